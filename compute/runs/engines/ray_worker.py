"""What runs in the process of a worker on Ray.

Layer: does units for the engine that gave it its place. No Ray.
"""

from collections.abc import Callable, Sequence
from typing import Any

from compute.errors import DiskError
from compute.runs.engines.tasks import UnitError, Worker, disk_error_in


class Seat:
    """What runs in a worker's process: it opens a stage's worker and does blocks of units.

    Parameters
    ----------
    threads
        Cores it may use.
    """

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._worker: Worker | None = None

    def open(self, there: Callable[[], Worker]) -> None:
        """Make the worker of a stage, in the place of the last stage's."""
        self._worker = None  # first, so that the models of both are never in memory
        self._worker = there()

    def block(self, units: Sequence[Any]) -> tuple[list[Any], tuple[Any, str] | None]:
        """Do units; gives those done, and the one that failed with its error.

        Raises
        ------
        DiskError
            No file can be written.
        """
        done: list[Any] = []
        if self._worker is None:
            raise RuntimeError("no worker is open")
        try:
            for unit in self._worker.work(units):
                done.append(unit)
        except UnitError as error:
            if full := disk_error_in(error):
                raise DiskError(full.problem, full.remedy) from None
            return done, (error.unit, str(error))
        return done, None

    def measured(self) -> dict[str, Any]:
        """Say what the worker measured."""
        return {} if self._worker is None else self._worker.measured()
