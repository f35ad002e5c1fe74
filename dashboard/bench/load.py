"""Several readers at once, each with a session and a pace of their own, for some minutes."""

import random
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from compute.bench.table import Row
from compute.errors import BystanderError, UsageError
from dashboard.bench.measure import MB, look, percentile, served
from dashboard.bench.reader import Reader
from dashboard.bench.visits import Choices, walk

SLOWER = 2.0
"""How much longer an interaction may take than for one reader alone."""

GROWTH = 0.10
"""By how much memory may grow between the second and the last fifth of the time."""

EVERY = 0.5
"""Seconds between two looks at the server's memory."""


@dataclass(frozen=True)
class Load:
    """How many readers, for how long.

    Parameters
    ----------
    sessions
        Readers at once.
    seconds
        For how long.
    pause
        Mean seconds that a reader looks at a page before the next step (exponential).
    seed
        Of what the readers choose.
    """

    sessions: int = 8
    seconds: float = 300.0
    pause: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sessions < 1 or self.seconds <= 0 or self.pause < 0:
            raise UsageError(
                f"A load of {self.sessions} sessions, {self.seconds:g} s, pauses of "
                f"{self.pause:g} s cannot be made.",
                "Give at least one session, some time, and pauses of no less than 0 s.",
            )


@dataclass
class Loaded:
    """What happened under a load.

    Parameters
    ----------
    load
        What was asked for.
    waits
        Seconds of every interaction, in the order in which they ended.
    problems
        What went wrong, as the readers saw it.
    memory
        Memory of the server over time, MB (10^6 bytes).
    alone
        Seconds that 95 of 100 interactions take for one reader on the same server.
    """

    load: Load
    waits: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    alone: float = float("nan")

    @property
    def p95(self) -> float:
        """Seconds that 95 of 100 interactions take at most."""
        return percentile(self.waits, 95)

    @property
    def growth(self) -> float:
        """Share by which memory grew between the second and the last fifth of the time."""
        fifth = len(self.memory) // 5
        if not fifth:
            return float("nan")
        early = statistics.median(self.memory[fifth : 2 * fifth])
        return statistics.median(self.memory[-fifth:]) / early - 1


def together(path: Path, load: Load, warm: int = 3) -> Loaded:
    """Measure one reader alone, then several at once, on one server.

    Parameters
    ----------
    path
        A run directory.
    load
        How many readers, for how long.
    warm
        How often one reader takes each step before; the first time does not count.

    Returns
    -------
    Loaded
        Problems are listed there and raise no error.
    """
    found = Loaded(load)
    with served(path) as (address, process):
        of, _ = look(path)
        found.alone = percentile(_before(address, of, warm), 95)
        end = time.monotonic() + load.seconds
        readers = [
            threading.Thread(target=_read, args=(address, of, found, number, end))
            for number in range(load.sessions)
        ]
        for reader in readers:
            reader.start()
        while any(reader.is_alive() for reader in readers):
            if process.known:
                found.memory.append(process.memory() * MB)
            time.sleep(EVERY)
    return found


def _before(address: str, of: Choices, rounds: int) -> list[float]:
    visits = walk(of, random.Random(1), rounds)
    with Reader(address) as reader:
        taken = [reader.visit(visit.page, visit.selections).seconds for visit in visits]
    return taken[len(taken) // rounds :]


def _read(address: str, of: Choices, found: Loaded, number: int, end: float) -> None:
    """Be one reader until the time is over; lists are appended to, which threads may do."""
    rng = random.Random(f"{found.load.seed} {number}")
    try:
        with Reader(address, dark=bool(number % 2)) as reader:
            while True:
                for visit in walk(of, rng, 1):
                    pause = rng.expovariate(1 / found.load.pause) if found.load.pause else 0.0
                    time.sleep(max(0.0, min(pause, end - time.monotonic())))
                    if time.monotonic() >= end:
                        return
                    answer = reader.visit(visit.page, visit.selections)
                    found.waits.append(answer.seconds)
                    where = f"{visit.title}, {visit.step} ({dict(visit.selections)})"
                    found.problems.extend(f"{where}: {said}" for said in answer.problems)
    except BystanderError as error:
        found.problems.append(str(error))


def rows(found: Loaded) -> Iterator[Row]:
    """Give what the load is judged by, a row each: problems, waits, memory."""
    load = found.load
    asked = f"{load.sessions} sessions, {load.seconds:g} s, pauses of {load.pause:g} s on average"
    yield Row(
        "Interactions without a problem",
        f"{len(found.waits) - len(found.problems):,} of {len(found.waits):,}",
        "all",
        not found.problems and bool(found.waits),
        found.problems[0] if found.problems else asked,
    )
    yield Row(
        "Wait, all readers",
        f"p50 {percentile(found.waits, 50) * 1e3:.0f} ms, p95 {found.p95 * 1e3:.0f} ms",
        f"p95 ≤ {SLOWER:g} × {found.alone * 1e3:.0f} ms",
        found.p95 <= SLOWER * found.alone,
        "against one reader alone on the same server, without pauses",
    )
    if found.memory:
        yield Row(
            "Memory of the server",
            f"{found.growth:+.1%}, most {max(found.memory):,.0f} MB",
            f"≤ {GROWTH:+.0%}",
            found.growth <= GROWTH,
            "median of the last fifth of the time against the second",
        )
