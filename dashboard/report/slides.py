"""The sizes that all drawers of slides share, and text that fits them. Pure arithmetic."""

import textwrap
from collections.abc import Sequence

from dashboard.figures.slide import Grid

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

LETTER = 0.5
"""Mean width of a letter over its size, in running text."""


ROW = 0.33
"""Inches of a table's row on a slide, the most that either kind of file takes."""


def sentence_points(lines: Sequence[str], grid: Grid | None, bottom: float) -> float:
    """Return the points of a slide's sentences, so that they and a table below them have room.

    Parameters
    ----------
    lines
        The sentences; the first stands 3 points larger.
    grid
        The table.
    bottom
        Inches from the top where the caption begins.
    """
    rows = len(grid.rows) + 1 if grid else 0
    points, least = TEXT - 3, 12.0
    while points > least and _end_of(lines, rows, points) > bottom:
        points -= 0.5
    return points


def _end_of(lines: Sequence[str], rows: int, points: float) -> float:
    """Return how many inches from the top sentences and their table end."""
    end = BODY_TOP
    for place, line in enumerate(lines):
        size = points if place else points + 3
        wide = size if place else size * 1.1
        count = len(wrapped(line, wide, WIDTH - 2 * MARGIN - 0.3))
        end += count * size * 1.32 / 72 + 0.18
    return end + (0.2 + ROW * rows if rows else 0)


def wrapped(text: str, points: float, inches: float) -> Sequence[str]:
    """Break a text into lines that fit a width, by the mean width of a letter."""
    return textwrap.wrap(text, max(8, int(inches * 72 / (points * LETTER)))) or [""]
