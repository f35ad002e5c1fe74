"""Measurements as rows of one table, for the terminal and for the documentation.

Layer: text; no files.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measurement.

    Parameters
    ----------
    what
        What was measured, in words.
    value
        What came out, with its unit.
    limit
        What the design asks for; empty, the default, where it asks nothing.
    met
        Whether the limit is kept; None, the default, where there is none.
    note
        How it was measured: sizes, repeats, what it consists of; empty by default.
    speed
        What came out, a second, where other rows are made of it; None by default.
    """

    what: str
    value: str
    limit: str = ""
    met: bool | None = None
    note: str = ""
    speed: float | None = None

    def cells(self) -> tuple[str, str, str, str]:
        """Return the row's four cells as text."""
        verdict = {None: "", True: " ✓", False: " ✗ missed"}[self.met]
        return self.what, self.value, self.limit + verdict, self.note


HEADER = ("what", "measured", "limit", "how")
"""Names of the table's columns."""


def markdown(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield from table_lines(HEADER, (row.cells() for row in rows))


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table with any columns."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + " --- |" * len(header)
    for cells in rows:
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
