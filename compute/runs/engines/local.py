"""The local engine: tasks done in this process, several at a time where the worker chooses to.

Layer: schedules; what a task does, and its files, are the worker's.
"""

import time
from types import TracebackType

from compute.runs.engines.tasks import Attempts, Outcome, Stage, TaskError, disk_error_in
from compute.storage.atomic_files import Progress

PAUSE = 1.0
"""Seconds before a failed task is tried again."""


class LocalEngine:
    """The default engine, which needs nothing but this process."""

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

    def run(self, stage: Stage, progress: Progress) -> Outcome:
        """Do every task that is missing; report those that failed too often.

        Raises
        ------
        DiskError
            No file can be written, whichever task it belongs to.
        IncompleteError
            Nearly all tasks fail.
        """
        attempts = Attempts(stage)
        todo = list(stage.missing())
        done = stage.total - len(todo)
        progress(stage.name, done, stage.total)
        if not todo:
            return Outcome()
        worker = stage.here()
        while todo:
            try:
                for _ in worker.work(todo):
                    done += 1
                    attempts.done += 1
                    progress(stage.name, done, stage.total)
                break
            except TaskError as error:
                if full := disk_error_in(error):
                    raise full from error
                attempts.failed(error.task, str(error))
                time.sleep(PAUSE)
            todo = [task for task in stage.missing() if not attempts.given_up(task)]
            done = stage.total - len(stage.missing())
        return Outcome(attempts.failures, [worker.measured()])
