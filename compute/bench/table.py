"""Measurements as rows of one table, for the terminal and for the documentation."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measurement.

    Parameters
    ----------
    what
        What was measured, in words.
    value
        With its unit.
    limit
        What the design asks for; empty where it asks nothing.
    met
        Whether the limit is kept; None where there is none.
    note
        How it was measured: sizes, repeats, what it is made of.
    """

    what: str
    value: str
    limit: str = ""
    met: bool | None = None
    note: str = ""

    def cells(self) -> tuple[str, str, str, str]:
        """Return the row as text."""
        verdict = {None: "", True: " ✓", False: " ✗ missed"}[self.met]
        return self.what, self.value, self.limit + verdict, self.note


HEADER = ("what", "measured", "limit", "how")


def markdown(rows: Iterable[Row]) -> Iterator[str]:
    """Give the lines of a Markdown table."""
    yield "| " + " | ".join(HEADER) + " |"
    yield "|" + " --- |" * len(HEADER)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in row.cells()) + " |"
