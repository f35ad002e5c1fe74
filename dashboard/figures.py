"""The same chart descriptions as SVG, PDF and PNG, by matplotlib: no browser, no screen.

Text stays text (`svg.fonttype` none, `pdf.fonttype` 42), pages are white whatever the theme.
"""

import io
import textwrap
import threading
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MultipleLocator, PercentFormatter

from dashboard.charts.description import Axis, Bars, Chart, Heat, Panel, Points, Rule
from dashboard.theme import GRID, MUTED, TEXT

Format = Literal["svg", "pdf", "png"]
FORMATS: dict[Format, str] = {
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "png": "image/png",
}
"""What a chart can be saved as, with MIME types."""

SYMBOLS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "pentagon": "p",
}
DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 2)),
    "dot": (0, (1, 1.5)),
    "dashdot": (0, (5, 2, 1, 2)),
    "longdash": (0, (8, 3)),
    "longdashdot": (0, (8, 3, 1, 3)),
}
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "svg.hashsalt": "bystander",
    "font.family": ["DejaVu Sans"],
    "text.parse_math": False,
}

_lock = threading.Lock()  # matplotlib's settings and fonts are shared by all threads


def render(chart: Chart, kind: Format, source: str = "") -> bytes:
    """Draw a chart as the bytes of a file.

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
    if kind not in FORMATS:
        raise ValueError(f"unknown format {kind!r}; allowed: {', '.join(FORMATS)}")
    with _lock, mpl.rc_context(SETTINGS):
        figure = _figure(chart, source)
        buffer = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"CreationDate": None}
        figure.savefig(buffer, format=kind, dpi=200, metadata=None if kind == "png" else metadata)
    return buffer.getvalue()


def _figure(chart: Chart, source: str) -> Figure:
    count = max(1, len(chart.panels))
    columns = min(3, count)
    rows = -(-count // columns)
    width = 8.0 if columns == 1 else 4.6 * columns
    title = textwrap.wrap(chart.title, int(width * 8.4))
    notes = textwrap.wrap(f"{chart.caption} {source}".strip(), int(width * 14))
    heights = [panel.height for panel in chart.panels] or [380]
    body = rows * max(3.4, max(heights) / 105)
    top, bottom = 0.35 + 0.26 * len(title), 0.25 + 0.17 * len(notes)
    height = body + top + bottom
    figure = Figure(figsize=(width, height), layout=None)
    FigureCanvasAgg(figure)
    rect = (0.01, bottom / height, 0.98, 1 - (top + bottom) / height)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=rect))
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
    for index, panel in enumerate(chart.panels):
        _panel(figure.add_subplot(rows, columns, index + 1), panel, chart.legend)
    return figure


def _panel(axes: Axes, panel: Panel, legend: bool) -> None:
    heat = any(isinstance(layer, Heat) for layer in panel.layers)
    for layer in panel.layers:
        if isinstance(layer, Points):
            _points(axes, layer)
        elif isinstance(layer, Bars):
            _bars(axes, layer)
        elif isinstance(layer, Heat):
            _heat(axes, layer)
        else:
            _rule(axes, layer, panel)
    _axis(axes, panel.x, "x")
    _axis(axes, panel.y, "y")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED.light)
    if not heat:
        axes.grid(color=GRID.light, linewidth=0.8)
        if panel.x.categories:
            axes.xaxis.grid(False)
        if panel.y.categories:
            axes.yaxis.grid(False)
        axes.set_axisbelow(True)
    if panel.title:
        axes.set_title(panel.title, size=10, loc="left", color=TEXT.light)
    if panel.square:
        axes.set_aspect("equal", adjustable="box")
    if legend and axes.get_legend_handles_labels()[1]:
        axes.legend(
            fontsize=8,
            frameon=False,
            loc="lower left",
            bbox_to_anchor=(0, 1.06 if panel.title else 1),
            ncols=3,
            borderaxespad=0.2,
            columnspacing=1.2,
            handletextpad=0.4,
        )


def _numbers(values: tuple[float | None, ...]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _points(axes: Axes, layer: Points) -> None:
    x, y = _numbers(layer.x), _numbers(layer.y)
    colour = layer.ink.light
    if layer.low:
        middle = x if layer.along_x else y
        spread = [
            [max(0.0, m - v) for m, v in zip(middle, _numbers(layer.low), strict=True)],
            [max(0.0, v - m) for m, v in zip(middle, _numbers(layer.high), strict=True)],
        ]
        axes.errorbar(
            x,
            y,
            fmt="none",
            ecolor=colour,
            elinewidth=1.2,
            alpha=layer.opacity,
            xerr=spread if layer.along_x else None,
            yerr=None if layer.along_x else spread,
        )
    axes.plot(
        x,
        y,
        color=colour,
        alpha=layer.opacity,
        linestyle=DASHES[layer.dash] if layer.line else "none",
        linewidth=layer.width * 0.8,
        marker=SYMBOLS.get(layer.symbol, "o") if layer.marks else "",
        markersize=layer.size * 0.62,
        markerfacecolor="none" if layer.open_ else colour,
        markeredgecolor=colour if layer.open_ else "white",
        markeredgewidth=1.3 if layer.open_ else 0.6,
        label=layer.name or "_",
        clip_on=False,
    )
    for a, b, text in zip(x, y, layer.text, strict=False):
        if text:
            axes.annotate(
                text,
                (a, b),
                (-6, 0),
                textcoords="offset points",
                size=7.5,
                ha="right",
                va="center",
                color=MUTED.light,
            )


def _bars(axes: Axes, layer: Bars) -> None:
    base = list(layer.base) or [0.0] * len(layer.at)
    style: dict[str, Any] = {
        "color": layer.ink.light,
        "alpha": layer.opacity,
        "label": layer.name or "_",
    }
    if layer.horizontal:
        axes.barh(layer.at, layer.lengths, layer.thickness, left=base, **style)
    else:
        axes.bar(layer.at, layer.lengths, layer.thickness, bottom=base, **style)


def _heat(axes: Axes, layer: Heat) -> None:
    colours = LinearSegmentedColormap.from_list("scale", [ink.light for ink in layer.scale])
    rows = [_numbers(row) for row in layer.z]
    drawn = axes.imshow(
        rows, cmap=colours, vmin=layer.low, vmax=layer.high, aspect="auto", interpolation="nearest"
    )
    figure = axes.get_figure()
    if figure is not None:
        bar = figure.colorbar(drawn, ax=axes, shrink=0.9, format=PercentFormatter(1, 0))
        bar.set_label(layer.unit, size=8)
        bar.ax.tick_params(labelsize=8)
    if not layer.numbers:
        return
    middle = (layer.low + layer.high) / 2
    for i, row in enumerate(layer.z):
        for j, value in enumerate(row):
            if value is not None and value >= 0.005:
                colour = "white" if value > middle else TEXT.light
                axes.text(
                    j, i, f"{100 * value:.0f}", size=7, ha="center", va="center", color=colour
                )


def _rule(axes: Axes, rule: Rule, panel: Panel) -> None:
    style: dict[str, Any] = {"color": MUTED.light, "linewidth": 1, "linestyle": (0, (4, 3))}
    if rule.along == "diagonal":
        low, high = panel.x.range or (0, 1)
        axes.plot([low, high], [low, high], zorder=0.5, **style)
    elif rule.along == "x":
        axes.axvline(rule.at, zorder=0.5, **style)
    else:
        axes.axhline(rule.at, zorder=0.5, **style)
    if rule.text and rule.along != "diagonal":
        along_x = rule.along == "x"
        axes.annotate(
            rule.text,
            (rule.at, 1) if along_x else (1, rule.at),
            (3, -2) if along_x else (-2, 2),
            xycoords=("data", "axes fraction") if along_x else ("axes fraction", "data"),
            textcoords="offset points",
            size=8,
            color=MUTED.light,
            ha="left" if along_x else "right",
            va="top" if along_x else "bottom",
        )


def _axis(axes: Axes, axis: Axis, which: Literal["x", "y"]) -> None:
    target = axes.xaxis if which == "x" else axes.yaxis
    limit = axes.set_xlim if which == "x" else axes.set_ylim
    target.set_label_text(axis.title, size=9, color=MUTED.light)
    if axis.categories:
        count = len(axis.categories)
        crowded = which == "x" and sum(map(len, axis.categories)) > 60
        target.set_ticks(range(count), list(axis.categories))
        if crowded:
            for label in target.get_ticklabels():
                label.set(rotation=40, ha="right", rotation_mode="anchor")
        ends = (-0.5, count - 0.5)
        limit(*(ends[::-1] if axis.reversed_ else ends))
    elif axis.range:
        limit(*axis.range)
    if axis.percent:
        target.set_major_formatter(PercentFormatter(1, 0))
    if axis.step:
        target.set_major_locator(MultipleLocator(axis.step))
    axes.tick_params(axis=which, labelsize=9, colors=TEXT.light, length=3)
