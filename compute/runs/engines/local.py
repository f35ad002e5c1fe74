"""Units done in this process; how many at a time is the worker's choice."""

import time
from types import TracebackType

from compute.runs.engines.tasks import Attempts, Outcome, Task, UnitError, disk_error_in
from compute.storage.atomic_files import Progress

PAUSE = 1.0
"""Seconds before a failed unit is tried again, times the attempts so far."""


class LocalEngine:
    """The default engine: needs nothing but this process."""

    def __enter__(self) -> "LocalEngine":
        """Open nothing."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close nothing."""

    def run(self, task: Task, progress: Progress) -> Outcome:
        """Do every unit that is missing; report those that failed too often.

        Raises
        ------
        DiskError
            No file can be written, whichever unit it is of.
        IncompleteError
            Nearly all units fail.
        """
        attempts = Attempts(task)
        todo = list(task.missing())
        done = task.total - len(todo)
        progress(task.stage, done, task.total)
        if not todo:
            return Outcome()
        worker = task.here()
        while todo:
            try:
                for _ in worker.work(todo):
                    done += 1
                    attempts.done += 1
                    progress(task.stage, done, task.total)
                break
            except UnitError as error:
                if full := disk_error_in(error):
                    raise full from error
                attempts.failed(error.unit, str(error))
                time.sleep(PAUSE)
            todo = [unit for unit in task.missing() if not attempts.given_up(unit)]
            done = task.total - len(task.missing())
        return Outcome(attempts.failures, [worker.measured()])
