"""Tasks: what an engine is given, what it gives back, when it gives up. No files.

Layer: classes and protocols that every engine and every stage uses; computes nothing itself. A
task is the smallest piece of work that is done whole or not at all: a shard of the plan, or one
model's probes. It is done when its files are there, so doing it twice is harmless. A stage of a
run, such as embedding, is a list of tasks.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from compute.errors import BystanderError, DiskError
from compute.storage.atomic_files import Progress

ATTEMPTS = 3
"""How often a task is tried before it is reported and the others go on."""

HOPELESS = 10
"""Failed tasks at which a stage is given up if hardly any others have been done."""

NAMED = 3
"""Failed tasks that the message names; `run.json` has all."""


class TaskError(BystanderError):
    """One task could not be done; others may.

    Parameters
    ----------
    task
        Its number or name.
    problem, remedy
        What was wrong with it, and what to do; no remedy by default.
    """

    def __init__(self, task: Hashable, problem: str, remedy: str = "") -> None:
        self.task = task
        super().__init__(problem, remedy)


class Worker(Protocol):
    """Something that does tasks: made once in each process, with its models and pixels."""

    def work(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """Do tasks, begun in order; yield each once all its files are there.

        Raises
        ------
        TaskError
            One could not be done.
        """

    def measured(self) -> dict[str, Any]:
        """Return what was measured on the way, for `run.json`."""


Tell = Callable[[int], None]
"""Called by a worker, in the thread that has it work, with units of progress newly done."""


def one(task: Any) -> int:
    """Return 1, the size of tasks that are all counted alike."""
    return 1


@dataclass(frozen=True)
class Stage:
    """A stage of a run, cut into tasks.

    Parameters
    ----------
    name
        Name of the stage, for messages and progress.
    total
        Units of progress of all tasks together: their number, or the sum of their sizes.
    missing
        Returns the tasks whose files are not all there, in order.
    here
        Makes a worker in this process. It may tell of units that are done within a task.
    there
        Makes a worker in another process or on another machine: it is pickled, so it holds paths
        and settings only.
    describe
        Says in words and numbers what a task is: its trials, its cells.
    at_once
        Tasks handed to a worker at once, 1 or more, by default 1; it can do several of them at a
        time.
    size
        Returns the units of progress of a task: how many crops a shard has; by default 1.
    """

    name: str
    total: int
    missing: Callable[[], Sequence[Hashable]]
    here: Callable[[Tell], Worker]
    there: Callable[[], Worker]
    describe: Callable[[Any], dict[str, Any]]
    at_once: int = 1
    size: Callable[[Any], int] = one

    def done(self, todo: Iterable[Any]) -> int:
        """Return the units of progress that are done when tasks are still to be done."""
        return self.total - sum(map(self.size, todo))


@dataclass(frozen=True)
class Failure:
    """A task that was given up.

    Parameters
    ----------
    stage
        Name of its stage.
    task
        Its number or name.
    what
        What it is, as `Stage.describe` says.
    attempts
        How often it was tried.
    error
        What was wrong the last time.
    """

    stage: str
    task: Any
    what: dict[str, Any]
    attempts: int
    error: str

    def __str__(self) -> str:
        """Describe it in a line."""
        told = "; ".join(f"{key} {_short(value)}" for key, value in self.what.items())
        return f"{self.stage} {self.task} ({told}): {self.error}"

    def record(self) -> dict[str, Any]:
        """Return what `run.json` holds of it; there a task is called a unit."""
        return {
            "stage": self.stage,
            "unit": self.task,
            "what": self.what,
            "attempts": self.attempts,
            "error": self.error,
        }


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
        The tasks that were given up; none by default.
    measured
        What the workers measured, an entry for each that was asked.
    """

    failures: list[Failure] = field(default_factory=list)
    measured: list[dict[str, Any]] = field(default_factory=list)


class Engine(Protocol):
    """Something that does the tasks of a stage."""

    def run(self, stage: Stage, progress: Progress) -> Outcome:
        """Do every task that is missing; report those that failed `ATTEMPTS` times."""


class Attempts:
    """Counts how often the tasks of a stage failed.

    Parameters
    ----------
    stage
        The stage.

    Attributes
    ----------
    done : int
        Tasks done so far; counted by the engine.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._counts: Counter[Hashable] = Counter()
        self._failures: dict[Hashable, Failure] = {}
        self.done = 0

    @property
    def failures(self) -> list[Failure]:
        """The tasks that were given up."""
        return list(self._failures.values())

    def given_up(self, task: Hashable) -> bool:
        """Tell whether a task is not to be tried again."""
        return task in self._failures

    def failed(self, task: Hashable, error: str) -> None:
        """Note that a task failed once more.

        Raises
        ------
        IncompleteError
            So many failed and so few were done that trying more of them is of no use.
        """
        self._counts[task] += 1
        if self._counts[task] < ATTEMPTS:
            return
        what = self._stage.describe(task)
        self._failures[task] = Failure(self._stage.name, task, what, self._counts[task], error)
        if len(self._failures) >= max(HOPELESS, self.done):
            raise IncompleteError(self.failures, given_up=True)


class IncompleteError(BystanderError):
    """A run is not complete: tasks failed.

    Parameters
    ----------
    failures
        All of them.
    given_up
        Whether the stage was left before every task had been tried; False by default.
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
    """Return the full disk or closed folder that an error comes from: it stops all tasks alike."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DiskError):
        cause = cause.__cause__
    return cause
