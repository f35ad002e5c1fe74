"""What a slide is, apart from what draws it. Pure data, with the sizes that all drawers share."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dashboard import wording
from dashboard.charts.description import Chart
from dashboard.report.keys import FigureKey
from dashboard.theme import Ink

WIDTH, HEIGHT = 13.333, 7.5
"""Inches of a slide, 16:9, as PowerPoint has them: a point is two pixels at 1920 × 1080."""

MARGIN = 0.48
TITLE, TEXT, CAPTION = 26.0, 20.0, 12.5
"""Points. Nothing on a slide is below 12 points: 24 pixels at 1920 × 1080."""

BODY_TOP = 1.32
"""Inches from the top where what is below the title begins (titles take two lines at most)."""

BODY_BOTTOM = 1.2
"""Inches from the bottom where the caption begins."""

BODY = (WIDTH - 2 * MARGIN, HEIGHT - BODY_TOP - BODY_BOTTOM)
"""Width and height in inches of a slide's figure."""


@dataclass(frozen=True)
class Grid:
    """A small table, already in words."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Said:
    """What a model answered to a crop; `changed` where it answered otherwise before."""

    model: str
    character: str
    ink: Ink
    text: str
    changed: bool


@dataclass(frozen=True)
class Picture:
    """One crop: what it is, its pixels, the outline of its cell, the answers."""

    title: str
    ink: Ink
    alt: str
    pixels: npt.NDArray[np.uint8] = field(repr=False, compare=False)
    outline: tuple[tuple[float, ...], ...] = field(repr=False)
    size: tuple[int, int] = (64, 64)
    said: tuple[Said, ...] = ()
    behind: str = ""


@dataclass(frozen=True)
class Slide:
    """One figure with its finding as title and its caption.

    Parameters
    ----------
    key
        Which figure.
    title, caption
        The finding; what is shown, with which n.
    chart, pictures, lines
        What is shown: a chart, crops, sentences; a slide has one of them, sentences with a grid.
    grid
        The numbers: below sentences, or beside a chart where files have room for them.
    definitions
        What the words on it mean, for notes.
    """

    key: FigureKey
    title: str
    caption: str
    chart: Chart | None = None
    pictures: tuple[Picture, ...] = ()
    lines: tuple[str, ...] = ()
    grid: Grid | None = None
    definitions: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see."""
        return not (self.pictures or self.lines) and (self.chart is None or self.chart.empty)


def of_chart(
    key: FigureKey,
    chart: Chart,
    grid: Grid | None = None,
    definitions: tuple[str, ...] = (),
) -> Slide:
    """Return a chart as a slide."""
    return Slide(key, chart.title, chart.caption, chart, grid=grid, definitions=definitions)


LETTER = 0.5
"""Mean width of a letter over its size, in running text."""

PERCENT, POINTS, COUNT, NUMBER, WORDS = "percent", "points", "count", "number", "words"
"""How a column of a grid is written."""


def grid_of(
    table: pd.DataFrame, columns: Mapping[str, tuple[str, str]], note: str = "", most: int = 400
) -> Grid:
    """Write a table in words.

    Parameters
    ----------
    table
        With the columns named.
    columns
        Column to its heading and how it is written.
    most
        Rows from which on the rest is counted in the note.
    """
    rows = tuple(
        tuple(written(value, columns[name][1]) for name, value in zip(columns, row, strict=True))
        for row in table[list(columns)].head(most).itertuples(index=False)
    )
    if len(table) > most:
        note = f"{note} The first {most:,} of {len(table):,} rows.".strip()
    return Grid(tuple(head for head, _ in columns.values()), rows, note)


def written(value: Any, how: str) -> str:
    """Return one value of a table in words; ``–`` for what is missing."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    if not wording.known(value):
        return "–"
    if how == WORDS:
        return str(value)
    if how == PERCENT:
        return wording.percent(float(value))
    if how == POINTS:
        return f"{100 * float(value):.1f}".replace("-", "−")
    if how == COUNT:
        return f"{int(value):,}"
    return f"{float(value):.3g}".replace("-", "−")


def wrapped(text: str, points: float, inches: float) -> Sequence[str]:
    """Break a text into lines that fit a width, by the mean width of a letter."""
    return textwrap.wrap(text, max(8, int(inches * 72 / (points * LETTER)))) or [""]
