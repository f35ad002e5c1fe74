"""A deck as a PDF, a page a slide: text stays text, charts stay lines, pixels stay pixels."""

import io
from collections.abc import Sequence

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from dashboard.figures.slide import Grid, Picture, Slide
from dashboard.render import figures, fonts
from dashboard.report.deck import Deck, as_grid
from dashboard.report.html import OUTLINE
from dashboard.report.slides import (
    BODY,
    BODY_TOP,
    CAPTION,
    HEIGHT,
    LETTER,
    MARGIN,
    TITLE,
    WIDTH,
    sentence_points,
    wrapped,
)
from dashboard.theme import GRID, MUTED
from dashboard.theme import TEXT as INK

BOLD = 1.13
"""How much wider bold letters are."""

LINE = 1.32
"""Height of a line over its size."""

ROWS = 14
"""Rows of a table that fit on a page."""


def render(deck: Deck) -> bytes:
    """Return a deck as the bytes of a PDF."""
    written = [*deck.notes_of_all, deck.title, deck.subtitle, *deck.left_out]
    written += [text for s in deck.slides if s.chart for text in figures.texts(s.chart)]
    buffer = io.BytesIO()
    about = {"Title": deck.title, "Creator": deck.source, "CreationDate": None, "Producer": None}
    with (
        figures.drawing(written),
        PdfPages(buffer, metadata=about) as pages,
    ):
        pages.savefig(_cover(deck))
        for number, slide in enumerate(deck.slides, 1):
            pages.savefig(_slide(slide, deck, number))
        provenance = as_grid(deck)
        for start in range(0, len(provenance.rows), ROWS):
            part = Grid(provenance.head, provenance.rows[start : start + ROWS])
            page = figures.blank(WIDTH, HEIGHT)
            _heading(page, "What was run")
            _table(page, part, HEIGHT - 1.4, CAPTION)
            pages.savefig(page)
    return buffer.getvalue()


def _cover(deck: Deck) -> Figure:
    page = figures.blank(WIDTH, HEIGHT)
    _paragraph(page, deck.title, 40, HEIGHT - 2.3, bold=True)
    _paragraph(page, deck.subtitle, 22, HEIGHT - 3.4)
    _paragraph(page, f"{deck.date[:10]}  {deck.source}", 14, HEIGHT - 4.4, ink=MUTED.light)
    return page


def _slide(slide: Slide, deck: Deck, number: int) -> Figure:
    chart = figures.letters_drawn(slide.chart) if slide.chart else None
    page = figures.blank(WIDTH, HEIGHT)
    _heading(page, slide.title)
    caption = chart.caption if chart is not None else slide.caption
    bottom = _footer(page, caption, deck.source, number)
    if chart is not None and not chart.empty:
        tall = HEIGHT - BODY_TOP - bottom
        rect = (MARGIN / WIDTH, bottom / HEIGHT, BODY[0] / WIDTH, tall / HEIGHT)
        figures.add_panels(page, chart, rect, figures.slide_look(chart))
    top = HEIGHT - 1.3
    points = sentence_points(slide.lines, slide.grid, HEIGHT - bottom)
    for place, line in enumerate(slide.lines):
        size = points + 3 if place == 0 else points
        top = _paragraph(page, line, size, top, bold=place == 0) - 0.18
    if slide.grid and slide.lines:
        _table(page, slide.grid, top - 0.25, 14)
    if slide.pictures:
        _pictures(page, slide.pictures)
    return page


def _heading(page: Figure, text: str) -> None:
    lines = wrapped(fonts.drawable(text), TITLE * BOLD, WIDTH - 2 * MARGIN)
    size = TITLE if len(lines) < 3 else TITLE * 0.8
    _paragraph(page, text, size, HEIGHT - 0.3, bold=True)


def _footer(page: Figure, caption: str, source: str, number: int) -> float:
    """Write the caption and the source; return where they begin, in inches from the bottom."""
    lines = wrapped(fonts.drawable(caption), CAPTION, WIDTH - 2 * MARGIN - 0.4)
    height = len(lines) * CAPTION * LINE / 72
    top = max(height + 0.34, 0.62)
    _paragraph(page, caption, CAPTION, top, ink=MUTED.light, width=WIDTH - 2 * MARGIN - 0.4)
    _put(page, MARGIN, 0.12, source, 12, MUTED.light, va="bottom")
    _put(page, WIDTH - MARGIN, 0.12, str(number), 12, MUTED.light, ha="right", va="bottom")
    return top + 0.1


def _paragraph(
    page: Figure,
    text: str,
    size: float,
    top: float,
    *,
    bold: bool = False,
    ink: str = INK.light,
    width: float = WIDTH - 2 * MARGIN,
) -> float:
    """Write a text in lines; return where it ends, in inches from the bottom."""
    lines = wrapped(fonts.drawable(text), size * (BOLD if bold else 1), width)
    for line in lines:
        _put(page, MARGIN, top, line, size, ink, weight="bold" if bold else "normal")
        top -= size * LINE / 72
    return top


def _put(
    page: Figure,
    x: float,
    y: float,
    text: str,
    size: float,
    ink: str,
    *,
    ha: str = "left",
    va: str = "top",
    weight: str = "normal",
) -> None:
    page.text(
        x / WIDTH,
        y / HEIGHT,
        fonts.drawable(text),
        size=size,
        color=ink,
        ha=ha,
        va=va,
        weight=weight,
    )


def _table(page: Figure, grid: Grid, top: float, size: float) -> None:
    """Write a table; columns are as wide as their longest text, the last takes what is left."""
    room = WIDTH - 2 * MARGIN
    rows = [grid.head, *grid.rows]
    letters = [max(len(row[i]) for row in rows) + 2 for i in range(len(grid.head))]
    inch = size * 0.62 / 72
    widths = [count * inch for count in letters]
    while sum(widths) > room and size > 12:
        size -= 0.5
        widths = [count * size * 0.62 / 72 for count in letters]
    widths[-1] = max(widths[-1], 1.0)
    limit = max(8, int((room - sum(widths[:-1])) / (size * LETTER / 72)))
    for place, row in enumerate(rows):
        x = MARGIN
        for text, width in zip(row[:-1], widths[:-1], strict=True):
            _put(page, x, top, text, size, INK.light, weight="bold" if place == 0 else "normal")
            x += width
        last = wrapped(fonts.drawable(row[-1]), size, limit * size * LETTER / 72)[:2]
        for line in last:
            _put(page, x, top, line, size, INK.light, weight="bold" if place == 0 else "normal")
            top -= size * LINE / 72
        top -= 0.06
        page.add_artist(_rule(top + 0.02))
        top -= 0.08


def _rule(y: float) -> Polygon:
    ends = [(MARGIN / WIDTH, y / HEIGHT), (1 - MARGIN / WIDTH, y / HEIGHT)]
    return Polygon(ends, closed=False, edgecolor=GRID.light, linewidth=0.8)


def _pictures(page: Figure, pictures: Sequence[Picture]) -> None:
    """Show crops side by side; the drawing keeps every pixel, enlarged without smoothing."""
    gap = 0.35
    side = min(2.9, (WIDTH - 2 * MARGIN - gap * (len(pictures) - 1)) / len(pictures))
    top = HEIGHT - 1.55
    x = (WIDTH - len(pictures) * side - gap * (len(pictures) - 1)) / 2
    for picture in pictures:
        width, height = picture.size
        tall = side * height / width
        _put(page, x, top + 0.28, picture.title, 15, INK.light, weight="bold")
        axes = page.add_axes((x / WIDTH, (top - tall) / HEIGHT, side / WIDTH, tall / HEIGHT))
        axes.imshow(picture.pixels, cmap="gray", vmin=0, vmax=255, interpolation="none")
        for contour in picture.outline:
            ends = list(zip(contour[::2], contour[1::2], strict=True))
            axes.add_patch(Polygon(ends, fill=False, edgecolor=OUTLINE, linewidth=1.4))
        axes.set_axis_off()
        y = top - tall - 0.12
        for one in picture.said:
            _put(page, x, y, one.character, 14, one.ink.light)
            ink = one.mark.ink.light
            text = one.mark.before(one.text)
            _put(page, x + 0.26, y, text, 14, ink, weight="bold" if one.changed else "normal")
            y -= 0.3
        if picture.behind:
            _put(page, x, y, picture.behind, 12, MUTED.light)
        x += side + gap
