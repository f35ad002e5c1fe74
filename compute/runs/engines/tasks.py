"""Units of work: what an engine is given, what it gives back, when it gives up. No files.

A unit is the smallest thing that is done whole or not at all: a shard of the plan, one model's
probes under one condition. It is done when its files are there, so doing it twice is harmless.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from compute.errors import BystanderError, DiskError
from compute.storage.atomic_files import Progress

ATTEMPTS = 3
"""How often a unit is tried before it is reported and the others go on."""

HOPELESS = 10
"""Failed units at which a stage is given up if hardly any others have been done."""

NAMED = 3
"""Failed units that the message names; `run.json` has all."""


class UnitError(BystanderError):
    """One unit could not be done; others may.

    Parameters
    ----------
    unit
        Which.
    problem, remedy
        What was wrong with it.
    """

    def __init__(self, unit: Hashable, problem: str, remedy: str = "") -> None:
        self.unit = unit
        super().__init__(problem, remedy)


class Worker(Protocol):
    """What does units: made once in each process, with its models and pixels."""

    def work(self, units: Iterable[Any]) -> Iterator[Any]:
        """Do units, begun in order; give each once all its files are there.

        Raises
        ------
        UnitError
            One could not be done.
        """

    def measured(self) -> dict[str, Any]:
        """Say what was measured on the way, for `run.json`."""


@dataclass(frozen=True)
class Task:
    """The units of one stage.

    Parameters
    ----------
    stage
        Its name.
    total
        Units in all.
    missing
        Gives the units whose files are not all there, in order.
    here
        Makes a worker in this process.
    there
        The same in another process or on another machine: pickled, so it holds paths and settings.
    describe
        Says in words and numbers what a unit is: its trials, its cells.
    block
        Units handed to a worker at once, 1 or more; it can do several of them at a time.
    """

    stage: str
    total: int
    missing: Callable[[], Sequence[Hashable]]
    here: Callable[[], Worker]
    there: Callable[[], Worker]
    describe: Callable[[Any], dict[str, Any]]
    block: int = 1


@dataclass(frozen=True)
class Failure:
    """A unit that was given up.

    Parameters
    ----------
    stage
        Of the run.
    unit
        Its number or name.
    what
        As `Task.describe` gives it.
    attempts
        How often it was tried.
    error
        What was wrong the last time.
    """

    stage: str
    unit: Any
    what: dict[str, Any]
    attempts: int
    error: str

    def __str__(self) -> str:
        """Say it in a line."""
        told = "; ".join(f"{key} {_short(value)}" for key, value in self.what.items())
        return f"{self.stage} {self.unit} ({told}): {self.error}"

    def record(self) -> dict[str, Any]:
        """Turn it into what `run.json` holds."""
        return asdict(self)


def _short(value: Any) -> str:
    """Write a list of numbers short: a shard has many cells."""
    if isinstance(value, list):
        more = f" and {len(value) - NAMED} more" if len(value) > NAMED else ""
        return ", ".join(map(str, value[:NAMED])) + more
    return str(value)


@dataclass(frozen=True)
class Outcome:
    """What an engine gives back of one stage.

    Parameters
    ----------
    failures
        Units that were given up.
    measured
        What the workers measured.
    """

    failures: list[Failure] = field(default_factory=list)
    measured: list[dict[str, Any]] = field(default_factory=list)


class Engine(Protocol):
    """Does the units of a stage."""

    def run(self, task: Task, progress: Progress) -> Outcome:
        """Do every unit that is missing; report those that failed `ATTEMPTS` times."""


class Attempts:
    """Counts how often the units of a stage failed.

    Parameters
    ----------
    task
        The stage.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._counts: Counter[Hashable] = Counter()
        self._failures: dict[Hashable, Failure] = {}
        self.done = 0

    @property
    def failures(self) -> list[Failure]:
        """Units that were given up."""
        return list(self._failures.values())

    def given_up(self, unit: Hashable) -> bool:
        """Tell whether a unit is not to be tried again."""
        return unit in self._failures

    def failed(self, unit: Hashable, error: str) -> None:
        """Note that a unit failed once more.

        Raises
        ------
        IncompleteError
            So many failed and so few were done that trying more of them is of no use.
        """
        self._counts[unit] += 1
        if self._counts[unit] < ATTEMPTS:
            return
        what = self._task.describe(unit)
        self._failures[unit] = Failure(self._task.stage, unit, what, self._counts[unit], error)
        if len(self._failures) >= max(HOPELESS, self.done):
            raise IncompleteError(self.failures, given_up=True)


class IncompleteError(BystanderError):
    """A run is not complete: units failed.

    Parameters
    ----------
    failures
        All of them.
    given_up
        Whether the stage was left before every unit had been tried.
    """

    def __init__(self, failures: Sequence[Failure], *, given_up: bool = False) -> None:
        self.failures = list(failures)
        listed = "\n  ".join(str(failure) for failure in self.failures[:NAMED])
        more = len(self.failures) - NAMED
        also = f"\n  and {more} more, listed in run.json under `failures`" if more > 0 else ""
        rest = "so the others were not tried" if given_up else "the rest was done"
        super().__init__(
            f"The run is not complete. {len(self.failures)} unit(s) failed {ATTEMPTS} times; "
            f"{rest}:\n  {listed}{also}",
            "The same command tries them again.",
        )


def disk_error_in(error: BaseException) -> DiskError | None:
    """Return the full disk or closed folder that an error comes from: it stops all units alike."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DiskError):
        cause = cause.__cause__
    return cause
