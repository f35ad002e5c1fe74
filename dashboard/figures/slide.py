"""What a figure is once it is made: a chart, sentences or crops, and a slide of one. Pure data."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dashboard.charts.description import Chart
from dashboard.figures.keys import FigureKey
from dashboard.theme import Ink
from dashboard.verdicts import MARKS, Mark, Verdict


@dataclass(frozen=True)
class Grid:
    """A small table, already in words."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Said:
    """What a model answered to a crop; `changed` from its answer to the unaltered one."""

    model: str
    character: str
    ink: Ink
    text: str
    changed: bool
    verdict: Verdict = Verdict.OPEN

    @property
    def mark(self) -> Mark:
        """How the answer is shown."""
        return MARKS[self.verdict]


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
class Words:
    """A finding in sentences.

    Parameters
    ----------
    title, caption
        What is asked; from which numbers the answer is.
    lines
        The sentences, the main one first; none where there is nothing to say.
    note
        A sentence about how the numbers were made, after the others; empty for none.
    grid
        The numbers.
    """

    title: str
    caption: str
    lines: tuple[str, ...]
    note: str = ""
    grid: Grid | None = None


@dataclass(frozen=True)
class Crops:
    """Pictures of cells, with the finding as title and a caption."""

    title: str
    caption: str
    pictures: tuple[Picture, ...]


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
    def length(self) -> int:
        """How much stands on a slide of sentences: characters, each row of its table for 100."""
        rows = len(self.grid.rows) + 1 if self.grid else 0
        return sum(map(len, self.lines)) + 100 * rows

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see."""
        return not (self.pictures or self.lines) and (self.chart is None or self.chart.empty)
