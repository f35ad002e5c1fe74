"""What runs in the process of a worker on a Ray cluster.

Layer: does the tasks that `compute.runs.engines.on_ray` sends. Imports no Ray.
"""

from collections.abc import Callable, Sequence
from typing import Any

from compute.errors import DiskError
from compute.runs.engines.tasks import TaskError, Worker, disk_error_in


class RayWorker:
    """The process of a worker on Ray: opens the worker of a stage, and has it do tasks.

    Parameters
    ----------
    threads
        Number of cores it may use.
    """

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._worker: Worker | None = None

    def open(self, there: Callable[[], Worker]) -> None:
        """Make the worker of a stage; the one of the stage before is let go."""
        self._worker = None  # first, so that the models of both are never in memory
        self._worker = there()

    def work(self, tasks: Sequence[Any]) -> tuple[list[Any], tuple[Any, str] | None]:
        """Do tasks, until one fails.

        Returns
        -------
        done
            The tasks that were done.
        failed
            The task that failed, and its error; None where none did.

        Raises
        ------
        DiskError
            No file can be written.
        """
        done: list[Any] = []
        if self._worker is None:
            raise RuntimeError("no worker is open")
        try:
            for task in self._worker.work(tasks):
                done.append(task)
        except TaskError as error:
            if full := disk_error_in(error):
                raise DiskError(full.problem, full.remedy) from None
            return done, (error.task, str(error))
        return done, None

    def measured(self) -> dict[str, Any]:
        """Return what the worker measured; nothing where none is open."""
        return {} if self._worker is None else self._worker.measured()
