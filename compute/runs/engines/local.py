"""The local engine: tasks done in this process, several at a time where the worker chooses to.

Layer: schedules; what a task does, and its files, are the worker's.
"""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

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
        count = _Count(stage, progress)
        count.begin(todo)
        if not todo:
            return Outcome()
        worker = stage.here(count.tell)
        while todo:
            try:
                for task in worker.work(todo):
                    attempts.done += 1
                    count.whole(task)
                break
            except TaskError as error:
                if full := disk_error_in(error):
                    raise full from error
                attempts.failed(error.task, str(error))
                time.sleep(PAUSE)
            todo = [task for task in stage.missing() if not attempts.given_up(task)]
            count.begin(stage.missing())
        return Outcome(attempts.failures, [worker.measured()])


class _Count:
    """What of a stage is done, told of in units of progress.

    Parameters
    ----------
    stage
        The stage.
    progress
        Called with the stage's name, units done and units in all.
    """

    def __init__(self, stage: Stage, progress: Progress) -> None:
        self._stage, self._progress = stage, progress
        self._tasks = self._told = 0

    def begin(self, todo: Iterable[Any]) -> None:
        """Count what is done before tasks are begun, or begun again."""
        self._tasks = self._told = self._stage.done(todo)
        self._report()

    def tell(self, units: int) -> None:
        """Count units that a worker has done of a task that is not done yet."""
        self._told += units
        self._report()

    def whole(self, task: Any) -> None:
        """Count a task that is done, of which a worker may have told all."""
        self._tasks += self._stage.size(task)
        if self._told < self._tasks:
            self._told = self._tasks
            self._report()

    def _report(self) -> None:
        self._progress(self._stage.name, self._told, self._stage.total)
