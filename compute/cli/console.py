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
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from compute.errors import BystanderError
from compute.storage.atomic_files import Progress as Report

if TYPE_CHECKING:
    from compute.runs.summary import Fact

PLAIN_EVERY = 10.0
"""Seconds between plain progress lines of one stage."""


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
    on a terminal, else a line every `PLAIN_EVERY` seconds.
    """
    if err.is_terminal:
        with Progress(
            TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(), console=err,
        ) as bars:  # fmt: skip
            bar_of: dict[str, TaskID] = {}

            def show(stage: str, done: int, total: int) -> None:
                _end_if_asked()
                if stage not in bar_of:
                    bar_of[stage] = bars.add_task(stage, total=total)
                bars.update(bar_of[stage], completed=done, total=total)

            yield show
        return
    last: dict[str, float] = {}

    def say(stage: str, done: int, total: int) -> None:
        _end_if_asked()
        now = time.monotonic()
        if done >= total or now - last.get(stage, -PLAIN_EVERY) >= PLAIN_EVERY:
            last[stage] = now
            print(f"{stage}: {done} of {total}", file=sys.stderr, flush=True)

    yield say


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
