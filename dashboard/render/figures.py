"""The same chart descriptions as SVG, PDF and PNG, by matplotlib: no browser, no screen.

Text stays text (`svg.fonttype` none, `pdf.fonttype` 42). `render` draws a page of its own with
title and caption, white whatever the theme; `panels` draws the panels alone, for slides.
"""

import io
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dashboard.charts.description import Axis, Bars, Chart, Layer, Points, Rule
from dashboard.render import fonts
from dashboard.render.panels import PAPER, Look, Swatches, draw_panel, is_heat
from dashboard.theme import MUTED, TEXT

Format = Literal["svg", "pdf", "png"]
FORMATS: dict[Format, str] = {
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "png": "image/png",
}
"""What a chart can be saved as, with MIME types."""

SETTINGS: dict[Any, Any] = {
    "pdf.fonttype": 42,
    "svg.hashsalt": "bystander",
    "text.parse_math": False,
}
_lock = threading.Lock()  # matplotlib's settings and fonts are shared by all threads


def slide_look(
    chart: Chart, dark: bool = False, swatches: Swatches | None = None, least: float = 12
) -> Look:
    """Return the look of a chart on a slide 13.33 inches wide: no letter below `least` points."""
    size = {1: 16.0, 2: 14.0}.get(min(len(chart.panels), 3), 12.4)
    small = least if any(is_heat(panel) for panel in chart.panels) else max(least, size - 2)
    return Look(max(size, least), small, max(size, least) + 2, dark, swatches)


@contextmanager
def drawing(written: list[str], outlines: bool = False) -> Iterator[None]:
    """Hold matplotlib's settings, with fonts for some texts, while something is drawn."""
    own: dict[Any, Any] = {
        "font.family": fonts.families(written),
        "svg.fonttype": "path" if outlines else "none",
    }
    with _lock, mpl.rc_context({**SETTINGS, **own}):
        yield


def save(figure: Figure, kind: Format, dpi: int = 200) -> bytes:
    """Return a figure as the bytes of a file, the same for the same figure.

    Raises
    ------
    ValueError
        Another format.
    """
    if kind not in FORMATS:
        raise ValueError(f"unknown format {kind!r}; allowed: {', '.join(FORMATS)}")
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}[kind]
    figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def render(chart: Chart, kind: Format, source: str = "") -> bytes:
    """Draw a chart with its title and caption as the bytes of a file.

    Parameters
    ----------
    chart
        What to draw.
    kind
        ``"svg"``, ``"pdf"`` or ``"png"`` (200 dots per inch).
    source
        Where the numbers come from, written below the caption.

    Raises
    ------
    ValueError
        Another format.
    """
    chart = chart if kind == "svg" else letters_drawn(chart)
    with drawing([*texts(chart), source]):
        return save(_page(chart, source), kind)


def panels(
    chart: Chart,
    kind: Format,
    width: float,
    height: float,
    look: Look,
    *,
    dpi: int = 200,
    outlines: bool = False,
) -> bytes:
    """Draw a chart's panels alone, on a clear page, as the bytes of a file.

    Parameters
    ----------
    chart
        What is drawn.
    kind
        ``"svg"``, ``"pdf"`` or ``"png"``.
    width, height
        In inches.
    outlines
        Whether letters of an SVG become lines, for programs without its fonts.
    """
    chart = chart if kind == "svg" and not outlines else letters_drawn(chart)
    with drawing(texts(chart), outlines):
        figure = blank(width, height)
        figure.patch.set_alpha(0)
        add_panels(figure, chart, (0, 0, 1, 1), look)
        return save(figure, kind, dpi)


def blank(width: float, height: float, colour: str = "white") -> Figure:
    """Return an empty figure; `width` and `height` in inches."""
    figure = Figure(figsize=(width, height), layout=None, facecolor=colour)
    FigureCanvasAgg(figure)
    return figure


def add_panels(
    figure: Figure, chart: Chart, rect: tuple[float, float, float, float], look: Look
) -> None:
    """Draw a chart's panels into a part of a figure.

    Parameters
    ----------
    rect
        Left, bottom, width, height, as shares of the figure.
    """
    columns, rows = shape(chart)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=rect))
    room = 72 * figure.get_figwidth() * rect[2] / columns * 0.86
    for index, panel in enumerate(chart.panels):
        draw_panel(figure.add_subplot(rows, columns, index + 1), panel, chart.legend, look, room)


def shape(chart: Chart) -> tuple[int, int]:
    """Return in how many columns and rows a chart's panels stand."""
    count = max(1, len(chart.panels))
    columns = min(3, count)
    return columns, -(-count // columns)


def texts(chart: Chart) -> list[str]:
    """Return everything that is written on a chart."""
    found = [chart.title, chart.caption]
    for panel in chart.panels:
        found += [panel.title, panel.x.heading, panel.y.heading]
        found += [*panel.x.categories, *panel.y.categories]
        for layer in panel.layers:
            if isinstance(layer, Points):
                found += [layer.name, *layer.text]
            elif isinstance(layer, Bars):
                found.append(layer.name)
            elif isinstance(layer, Rule):
                found.append(layer.text)
    return found


def letters_drawn(chart: Chart) -> Chart:
    """Return a chart whose letters all have a font, with a note where some had none."""
    written = texts(chart)
    if all(fonts.drawable(text) == text for text in written):
        return chart

    def axis(old: Axis) -> Axis:
        names = tuple(fonts.drawable(name) for name in old.categories)
        return replace(old, title=fonts.drawable(old.title), categories=names)

    def layer(old: Layer) -> Layer:
        if isinstance(old, Points):
            text = tuple(fonts.drawable(text) for text in old.text)
            return replace(old, name=fonts.drawable(old.name), text=text)
        if isinstance(old, Bars):
            return replace(old, name=fonts.drawable(old.name))
        if isinstance(old, Rule):
            return replace(old, text=fonts.drawable(old.text))
        return old

    drawn = tuple(
        replace(
            panel,
            x=axis(panel.x),
            y=axis(panel.y),
            title=fonts.drawable(panel.title),
            layers=tuple(layer(old) for old in panel.layers),
        )
        for panel in chart.panels
    )
    caption = f"{fonts.drawable(chart.caption)} {fonts.NOTE}".strip()
    return replace(chart, title=fonts.drawable(chart.title), caption=caption, panels=drawn)


def _page(chart: Chart, source: str) -> Figure:
    columns, rows = shape(chart)
    width = 8.0 if columns == 1 else 4.6 * columns
    title = textwrap.wrap(chart.title, int(width * 8.4))
    notes = textwrap.wrap(f"{chart.caption} {source}".strip(), int(width * 14))
    heights = [panel.height for panel in chart.panels] or [380]
    body = rows * max(3.4, max(heights) / 105)
    top, bottom = 0.35 + 0.26 * len(title), 0.25 + 0.17 * len(notes)
    height = body + top + bottom
    figure = blank(width, height)
    figure.text(
        0.015,
        1 - 0.12 / height,
        "\n".join(title),
        size=13,
        weight="bold",
        va="top",
        color=TEXT.light,
    )
    figure.text(0.015, 0.1 / height, "\n".join(notes), size=8, va="bottom", color=MUTED.light)
    rect = (0.01, bottom / height, 0.98, 1 - (top + bottom) / height)
    add_panels(figure, chart, rect, PAPER)
    return figure
