"""Where a run's units of work are done: in this process, or on a Ray cluster.

Layer: hands out units (shards of the plan, probes), counts attempts, reports failures; what a unit
does is in its own stage, and its files are written by the same code everywhere. Importing this
loads no Ray.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from compute.errors import UsageError, unknown_value
from compute.runs.engines.tasks import Engine, Failure, IncompleteError, Outcome, Task, UnitError

__all__ = [
    "ENGINES",
    "Engine",
    "EngineConfig",
    "EngineName",
    "Failure",
    "IncompleteError",
    "Outcome",
    "Task",
    "UnitError",
    "open_engine",
]


class EngineName(StrEnum):
    """Where units are done."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class EngineConfig:
    """Where units are done. No table depends on it.

    Parameters
    ----------
    name
        One of `EngineName`.
    workers
        Workers on Ray, 1 to 10,000; by default one for each GPU of the cluster or, without GPUs,
        one for every 4 cores.
    address
        Of a Ray cluster (``"auto"``: the one this machine belongs to); without it Ray is started
        on this machine and ended with the run.
    """

    name: str = EngineName.LOCAL
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        if self.name not in list(EngineName):
            raise unknown_value("engine", self.name, list(EngineName))
        if self.workers is not None and not 1 <= self.workers <= 10_000:
            raise UsageError(f"workers is {self.workers}; it must be 1 to 10,000.")
        for option, value in (("workers", self.workers), ("address", self.address)):
            if self.name == EngineName.LOCAL and value is not None:
                raise UsageError(f"--{option} is of --engine ray.", f"Add it, or drop --{option}.")


def _local(config: EngineConfig) -> AbstractContextManager[Engine]:
    from compute.runs.engines.local import LocalEngine

    return LocalEngine()


def _ray(config: EngineConfig) -> AbstractContextManager[Engine]:
    from compute.runs.engines.on_ray import RayEngine

    return RayEngine(config.workers, config.address)


ENGINES: Mapping[str, Callable[[EngineConfig], AbstractContextManager[Engine]]] = MappingProxyType(
    {EngineName.LOCAL: _local, EngineName.RAY: _ray}
)
"""How each engine is opened."""


def open_engine(config: EngineConfig) -> AbstractContextManager[Engine]:
    """Open an engine; it ends with the block.

    Raises
    ------
    UsageError
        Its library is not installed, or the cluster cannot be reached.
    """
    return ENGINES[config.name](config)
