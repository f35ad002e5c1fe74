"""What one reader waits for, page by page, on a server of its own; and what the server needs."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from compute.bench.table import Row
from compute.errors import BystanderError
from compute.storage.atomic_files import Progress, silent
from dashboard.bench.process import Process
from dashboard.bench.reader import Reader
from dashboard.bench.visits import STEPS, Choices, Visit, choices, walk
from dashboard.queries import copies
from dashboard.queries.open_runs import connect, open_library
from dashboard.server.launch import launch

LIMITS = {False: 0.150, True: 0.400}
"""Seconds that 95 of 100 interactions may take: of a small run, and of a large one."""

LARGE = 10_000_000
"""Predictions from which on a run is large."""

MOST_MEMORY = 1500.0
"""MB of memory that the server may take (10^6 bytes)."""

MB = 2**20 / 1e6
Notice = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """One interaction.

    Parameters
    ----------
    visit
        What was asked for.
    wall
        Seconds by the clock.
    cpu
        Seconds that the server computed on all cores.
    """

    visit: Visit
    wall: float
    cpu: float


@dataclass(frozen=True)
class Measured:
    """What one reader saw.

    Parameters
    ----------
    first
        Each step for the first time after the server's start.
    samples
        All others.
    peak
        Most memory of the server, MB (10^6 bytes).
    predictions
        Rows of predictions in the run.
    """

    first: tuple[Sample, ...]
    samples: tuple[Sample, ...]
    peak: float
    predictions: int

    @property
    def p95(self) -> float:
        """Seconds that 95 of 100 interactions take at most."""
        return percentile([sample.wall for sample in self.samples], 95)


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile, `share` from 0 to 100; NaN of no values."""
    return float(np.percentile(values, share)) if len(values) else float("nan")


@contextmanager
def served(path: Path) -> Iterator[tuple[str, Process]]:
    """Start a server on a run; gives its address and process."""
    server = launch([path], open_browser=False, wait=False)
    try:
        yield server.address, Process(server.process.pid)
    finally:
        server.stop()


def look(path: Path) -> tuple[Choices, int]:
    """Return what a run offers, and how many predictions it holds.

    Raises
    ------
    BystanderError
        The run cannot be opened.
    """
    folder = path.resolve()
    with closing(connect([folder])) as first:
        library = open_library([folder], first)
        for broken in library.broken:
            raise BystanderError(broken.problem, broken.remedy)
        there = copies.present(library.runs)
    with closing(connect([folder], there)) as connection:
        run = open_library([folder], connection).runs[0]
        count = run.query("SELECT count(*) AS n FROM {predictions}", ("predictions",))["n"]
        return choices(run), int(count.iloc[0])


def alone(path: Path, repeats: int, seed: int = 0, progress: Progress = silent) -> Measured:
    """Let one reader take every step once, then so many times more.

    Parameters
    ----------
    path
        A run directory.
    repeats
        How often each step is taken after the first time.
    seed
        Of what the reader chooses.
    progress
        Called with the interactions that are done and their number.

    Raises
    ------
    BystanderError
        A page showed a problem.
    """
    with served(path) as (address, process):
        of, predictions = look(path)
        rng = random.Random(seed)
        with Reader(address) as reader:
            visits = walk(of, rng, repeats + 1)
            samples = []
            for number, visit in enumerate(visits):
                progress("interactions", number + 1, len(visits))
                samples.append(take(reader, process, visit))
        peak = process.peak() * MB if process.known else float("nan")
    count = len(STEPS)
    return Measured(tuple(samples[:count]), tuple(samples[count:]), peak, predictions)


def take(reader: Reader, process: Process, visit: Visit) -> Sample:
    """Take one step and measure it.

    Raises
    ------
    BystanderError
        The page showed a problem.
    """
    before = process.busy() if process.known else float("nan")
    answer = reader.visit(visit.page, visit.selections)
    cpu = process.busy() - before if process.known else float("nan")
    if answer.problems:
        raise BystanderError(
            f"{visit.title}, {visit.step} ({dict(visit.selections)}): {answer.problems[0]}",
            "The page does not show what was asked for, so its time means nothing.",
        )
    return Sample(visit, answer.seconds, cpu)


def rows(found: Measured) -> Iterator[Row]:
    """Give a row per page, then all pages, the first visits and the memory."""
    large = found.predictions >= LARGE
    limit = LIMITS[large]
    by_page = sorted(found.samples, key=lambda sample: sample.visit.title)
    for title, some in groupby(by_page, key=lambda sample: sample.visit.title):
        samples = list(some)
        steps = sorted({sample.visit.step for sample in samples})
        yield _row(title, samples, None, "; ".join(steps))
    yield _row("All pages", found.samples, limit, f"{found.predictions:,} predictions")
    yield _row("First visits after a start", found.first, None, "nothing in the server's caches")
    yield Row(
        "Memory of the server, most",
        f"{found.peak:,.0f} MB",
        f"≤ {MOST_MEMORY:,.0f} MB",
        found.peak <= MOST_MEMORY,
        "resident, with everything that it has loaded",
    )


def _row(what: str, samples: Sequence[Sample], limit: float | None, note: str) -> Row:
    wall = [sample.wall for sample in samples]
    last = percentile(wall, 95)
    cpu = percentile([sample.cpu for sample in samples], 95)
    return Row(
        what,
        f"p50 {percentile(wall, 50) * 1e3:.0f} ms, p95 {last * 1e3:.0f} ms",
        "" if limit is None else f"p95 ≤ {limit * 1e3:.0f} ms",
        None if limit is None else last <= limit,
        f"n = {len(samples)}; processor time p95 {cpu * 1e3:.0f} ms; {note}",
    )
