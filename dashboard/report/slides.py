"""The sizes that all drawers of slides share, and lines that fit them. Pure arithmetic."""

import textwrap
from collections.abc import Sequence

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


def wrapped(text: str, points: float, inches: float) -> Sequence[str]:
    """Break a text into lines that fit a width, by the mean width of a letter."""
    return textwrap.wrap(text, max(8, int(inches * 72 / (points * LETTER)))) or [""]
