"""How a figure's table is shown: its columns, and the table in words. Pure text.

Pages give the same columns to their table widget (`views.show.config`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pandas as pd

from dashboard import theme, wording
from dashboard.figures.slide import Grid

MOST_ROWS = 400
"""Rows of a table in words; the rest is counted in its note."""


class Written(StrEnum):
    """How the values of a column are written."""

    WORDS = "words"
    COUNT = "count"
    NUMBER = "number"
    PERCENT = "percent"
    POINTS = "points"


@dataclass(frozen=True)
class Column:
    """A column of a figure's table as it is shown.

    Parameters
    ----------
    title
        Its heading. A table widget needs each heading once, so a second "to" ends in a space.
    written
        How its values are written. Shares are from 0 to 1 in the table and written as percent or,
        for differences of shares, as percentage points.
    help
        What it is, for pages; None where the heading says it.
    form
        Printf format of a `NUMBER` on pages.
    """

    title: str
    written: Written = Written.WORDS
    help: str | None = None
    form: str = "%.3f"


Columns = Mapping[str, Column]
"""Columns to show by their name in the table, in order."""

MODEL, CONDITION = Column("Model"), Column("Condition")
CELLS, PROTEINS = Column("Cells", Written.COUNT), Column("Proteins", Written.COUNT)


def named(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with models, conditions and populations by title.

    A table of conditions is put in the order of charts: by model, then by condition.
    """
    found = table
    if "condition" in table:
        order = {name: place for place, name in enumerate(theme.in_order(table["condition"]))}
        ranks = [[order.get(name, len(order)) for name in table["condition"]]]
        if "model" in table:
            marks = list(theme.model_marks(table["model"]))
            ranks.insert(0, [marks.index(name) for name in table["model"]])
        rows = sorted(range(len(table)), key=lambda row: [rank[row] for rank in ranks])
        found = found.iloc[rows]
    titles = {
        "condition": theme.condition_title,
        "model": theme.model_title,
        "population": lambda name: name.replace("_", " "),
    }
    return found.assign(
        **{
            column: [title(name) for name in found[column]]
            for column, title in titles.items()
            if column in found
        }
    )


def grid_of(table: pd.DataFrame, columns: Columns, note: str = "") -> Grid:
    """Write a table in words.

    Parameters
    ----------
    table
        Has the columns named.
    columns
        Which columns, and how each is written.
    note
        Stands below the table; says how many rows are left out of a table longer than `MOST_ROWS`.
    """
    rows = tuple(
        tuple(
            written(value, column.written)
            for value, column in zip(row, columns.values(), strict=True)
        )
        for row in table[list(columns)].head(MOST_ROWS).itertuples(index=False)
    )
    if len(table) > MOST_ROWS:
        note = f"{note} The first {MOST_ROWS:,} of {len(table):,} rows.".strip()
    return Grid(tuple(column.title.strip() for column in columns.values()), rows, note)


def written(value: Any, how: Written) -> str:
    """Return one value of a table in words; ``–`` for what is missing."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    if not wording.known(value):
        return "–"
    if how == Written.WORDS:
        return str(value)
    if how == Written.PERCENT:
        return wording.percent(float(value))
    if how == Written.POINTS:
        return f"{100 * float(value):.1f}".replace("-", "−")
    if how == Written.COUNT:
        return f"{int(value):,}"
    return f"{float(value):.3g}".replace("-", "−")
