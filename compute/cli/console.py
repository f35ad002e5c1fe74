"""What the command line prints: progress as bars on a terminal or as plain lines, notices, errors.

Layer: standard output and standard error; no files.
"""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from compute import amounts
from compute.cli.pace import Lines, Pace
from compute.errors import BystanderError
from compute.storage.atomic_files import Progress as Report

if TYPE_CHECKING:
    from compute.runs.summary import Fact

UNITS = {
    "read": "steps",
    "embed": "crops",
    "probe": "steps",
    "effects": "proteins",
    "intervals": "steps",
    "examples": "files",
    "check": "files",
    "references": "tables",
    "copy": "files",
    "export": "crops",
    "remedies": "models",
    "explain": "cells",
    "making backgrounds": "cells",
    "plan": "models",
}
"""What stages count; other stages are named after it, such as an import's ``"fields"``."""

BAR = 20
"""Letters that a bar takes: a line is to fit into 80 with what else it says."""


class Terminated(BaseException):
    """Another process asked this one to end (SIGTERM), as batch systems do when time is up."""


terminating = threading.Event()
"""Set once `Terminated` was raised. Python may swallow it where it is raised in code that it calls
by itself (a destructor, an import hook), so progress raises it again."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress() -> Iterator[Report]:
    """Give a function that shows progress, to be used with ``with``.

    It takes a stage's name, what is done and what there is in all, and shows a bar for each stage
    on a terminal, else a few lines: `compute.cli.pace.Lines` says which.
    """
    if err.is_terminal and not err.is_dumb_terminal:
        columns = (
            TextColumn("{task.description:<10}"), BarColumn(BAR), _Count(), TimeElapsedColumn(),
            _Left(),
        )  # fmt: skip
        with Progress(*columns, console=err) as bars:
            yield _Bars(bars).show
    else:
        yield _Plain().say


def counted(stage: str, done: int, total: int, between: str) -> str:
    """Write how far a stage is: ``"1,200 of 5,775 crops"``, with `between` for its ``" of "``."""
    unit = next((unit for name, unit in UNITS.items() if stage.endswith(name)), "")
    return f"{done:,}{between}{total:,} {unit}".rstrip()


class _Bars:
    """A bar for each stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars, self._bar_of = bars, dict[str, TaskID]()
        self._pace_of = dict[str, Pace]()

    def show(self, stage: str, done: int, total: int) -> None:
        """Move a stage's bar, which is made when it is first told of."""
        _end_if_asked()
        now = time.monotonic()
        if stage not in self._bar_of:
            pace = self._pace_of[stage] = Pace(done, now)
            self._bar_of[stage] = self._bars.add_task(stage, total=total, pace=pace)
        self._pace_of[stage].mark(done, now)
        self._bars.update(self._bar_of[stage], completed=done, total=total)


class _Count(ProgressColumn):
    """What is done, of how many of what."""

    def render(self, task: Task) -> Text:
        """Write it for one stage."""
        text = counted(task.description, int(task.completed), int(task.total or 0), "/")
        return Text(text, style="progress.download", no_wrap=True)


class _Left(ProgressColumn):
    """The time that is left, as soon as it is known."""

    def render(self, task: Task) -> Text:
        """Write it for one stage."""
        left = task.fields["pace"].left(int(task.total or 0), time.monotonic())
        known = left is not None and not task.finished
        text = f"{amounts.duration(left)} left" if known else ""
        return Text(text, style="progress.remaining", no_wrap=True)


class _Plain:
    """A few lines for each stage."""

    def __init__(self) -> None:
        self._began = dict[str, float]()
        self._lines, self._pace_of = dict[str, Lines](), dict[str, Pace]()

    def say(self, stage: str, done: int, total: int) -> None:
        """Print a line on how far a stage is, if one is due."""
        _end_if_asked()
        now = time.monotonic()
        if stage not in self._began:
            self._began[stage] = now
            self._lines[stage], self._pace_of[stage] = Lines(now), Pace(done, now)
        pace = self._pace_of[stage]
        pace.mark(done, now)
        if not self._lines[stage].due(done, total, now):
            return
        line = f"{stage}: {counted(stage, done, total, ' of ')}"
        left, taken = pace.left(total, now), now - self._began[stage]
        if done >= total and taken >= 1:
            line += f" in {amounts.duration(taken)}"
        elif done < total and left is not None:
            line += f", about {amounts.duration(left)} left"
        print(line, file=sys.stderr, flush=True)


def _end_if_asked() -> None:
    """Raise `Terminated` where that was swallowed; only the main thread may."""
    if terminating.is_set() and threading.current_thread() is threading.main_thread():
        raise Terminated


def show(lines: Sequence[str], facts: "Sequence[Fact]" = ()) -> None:
    """Print lines; on a terminal those that are facts as a table that fits its width.

    Parameters
    ----------
    lines
        Plain text, printed as it is where nobody reads it on a terminal.
    facts
        Facts about a store, each of which is one of the lines; none by default.
    """
    told = {fact.line() for fact in facts} if out.is_terminal else set()
    tabulated = False
    for line in lines:
        if line not in told:
            out.print(line, markup=False)
        elif not tabulated:
            out.print(_table(facts), soft_wrap=False)
            tabulated = True


def _table(facts: "Sequence[Fact]") -> Table:
    """Return topics beside what is said of them; a topic stands once."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for fact in facts:
        topic = "" if fact.topic == before else fact.topic
        table.add_row(Text(f"  {topic}", style="bold"), Text(fact.text))
        before = fact.topic
    return table


def verdict(text: str, *, good: bool) -> None:
    """Print what it all comes to, as the last line of what a command says."""
    out.print(f"Verdict: {text}", markup=False, style="bold green" if good else "bold red")


def notice(text: str) -> None:
    """Print a line that a person should read at once, on standard error."""
    err.print(text, markup=False)


def fail(error: BystanderError) -> None:
    """Print what is wrong and what to do, on standard error."""
    err.print(f"[bold red]Error:[/] {_plain(error.problem)}")
    if error.remedy:
        err.print(_plain(error.remedy))


def _plain(text: str) -> str:
    """Return text such that Rich prints its brackets as they are."""
    return text.replace("[", r"\[")
