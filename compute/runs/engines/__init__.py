"""Engines: who does a run's tasks, this process or the workers of a Ray cluster.

Layer: hands out tasks (shards of the plan, models' probes), counts attempts, reports failures. What
a task does is in `compute.runs.stages`, and its files are written by the same code everywhere.
Importing this loads no Ray.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from compute.errors import UsageError, unknown_value
from compute.runs.engines.tasks import Engine


class EngineName(StrEnum):
    """The engines by name."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class EngineConfig:
    """Which engine does a run's tasks. No table depends on it.

    Parameters
    ----------
    name
        One of `EngineName`; ``"local"`` by default.
    workers
        Number of workers on Ray, 1 to 10,000; by default one for each GPU of the cluster or,
        without GPUs, one for every 4 cores.
    address
        Address of a Ray cluster (``"auto"``: the one this machine belongs to). By default Ray is
        started on this machine and ended with the run.

    Raises
    ------
    UsageError
        A value is not allowed, or is given for an engine that has no use for it.

    Examples
    --------
    >>> from compute import EngineConfig
    >>> EngineConfig("ray", workers=4).workers
    4
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
"""What opens each engine, by its name."""


def open_engine(config: EngineConfig) -> AbstractContextManager[Engine]:
    """Open an engine, to be used with ``with``; it ends with the block.

    Raises
    ------
    UsageError
        Its library is not installed, or the cluster cannot be reached.
    """
    return ENGINES[config.name](config)
