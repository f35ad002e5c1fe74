"""One panel of a chart on matplotlib's axes, in a look: how large, and in which colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

from dashboard.charts.description import Axis, Bars, Heat, Panel, Points, Rule
from dashboard.theme import GRID, MUTED, PAGE, TEXT, Ink

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
PLACES: dict[str, tuple[float, float, str, str]] = {
    "top left": (-5, 5, "right", "bottom"),
    "top center": (0, 6, "center", "bottom"),
    "top right": (5, 5, "left", "bottom"),
    "middle left": (-6, 0, "right", "center"),
    "middle center": (0, 0, "center", "center"),
    "middle right": (6, 0, "left", "center"),
    "bottom left": (-5, -5, "right", "top"),
    "bottom center": (0, -6, "center", "top"),
    "bottom right": (5, -5, "left", "top"),
}
"""Where a label stands at its mark: points to the right, points up, and how it is aligned."""

SHADES = 64
"""Steps of a scale of colours."""

HATCHES = {"": None, "/": "///", ".": "..."}
LETTER = 0.58
"""Width of a letter over its size, roughly: where labels would touch, they are broken or turned."""


class Swatches:
    """Stand-ins for inks in a drawing whose colours are decided where it is shown.

    Each ink is drawn as a colour that nothing else has; `found` says which stands for which.
    """

    def __init__(self) -> None:
        self.found: dict[str, Ink] = {}

    def __call__(self, ink: Ink) -> str:
        """Return the stand-in of an ink."""
        for colour, known in self.found.items():
            if known == ink:
                return colour
        colour = f"#{0xFE0001 + len(self.found):06x}"
        self.found[colour] = ink
        return colour


@dataclass(frozen=True)
class Look:
    """How large and in which colours a chart is drawn.

    Parameters
    ----------
    text
        Points of labels and legends.
    small
        Points of numbers in squares and of labels at marks.
    heading
        Points of a panel's title.
    dark
        Whether the page is dark.
    swatches
        Makes colours stand-ins; None for the colours themselves.
    """

    text: float = 9
    small: float = 7.5
    heading: float = 10
    dark: bool = False
    swatches: Swatches | None = None

    def ink(self, ink: Ink) -> str:
        """Return the colour to draw with."""
        return self.swatches(ink) if self.swatches else ink.on(self.dark)

    @property
    def scale(self) -> float:
        """How much thicker marks and lines are than on paper."""
        return min(1.7, self.text / 9)


PAPER = Look()


def is_heat(panel: Panel) -> bool:
    """Whether a panel is a matrix of squares."""
    return any(isinstance(layer, Heat) for layer in panel.layers)


def draw_panel(axes: Axes, panel: Panel, legend: bool, look: Look, room: float) -> None:
    """Draw a panel.

    Parameters
    ----------
    axes
        The axes that are drawn on.
    panel
        What is drawn.
    legend
        Whether names of layers are listed above.
    look
        How large and in which colours.
    room
        Width of the axes in points, roughly: decides which labels are broken or turned.
    """
    panel = panel.in_points()
    axes.patch.set_alpha(0)
    if panel.y.categories:
        room -= max(map(len, panel.y.labels)) * LETTER * look.text
    for layer in panel.layers:
        if isinstance(layer, Points):
            _points(axes, layer, look)
        elif isinstance(layer, Bars):
            _bars(axes, layer, look)
        elif isinstance(layer, Heat):
            _heat(axes, layer, look, room / max(1, len(panel.x.categories)))
        else:
            _rule(axes, layer, panel, look)
    _axis(axes, panel.x, "x", look, room)
    _axis(axes, panel.y, "y", look, room)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(look.ink(MUTED))
    if not is_heat(panel):
        axes.grid(color=look.ink(GRID), linewidth=0.8 * look.scale)
        if panel.x.categories:
            axes.xaxis.grid(False)
        if panel.y.categories:
            axes.yaxis.grid(False)
        axes.set_axisbelow(True)
    if panel.title:
        axes.set_title(panel.title, size=look.heading, loc="left", color=look.ink(TEXT))
    if panel.square:
        axes.set_aspect("equal", adjustable="box")
    names = axes.get_legend_handles_labels()[1]
    if legend and names:
        above = 1.06 if look == PAPER else 1.06 + 0.006 * look.text
        axes.legend(
            fontsize=look.text - 1 if look == PAPER else look.text,
            frameon=False,
            labelcolor=look.ink(TEXT),
            loc="lower left",
            bbox_to_anchor=(0, above if panel.title else 1),
            ncols=_columns(names, room / look.text),
            borderaxespad=0.2,
            columnspacing=1.2,
            handletextpad=0.4,
        )


def _columns(names: Sequence[str], room: float) -> int:
    """Return in how many columns a legend fits into a width, in heights of its letters."""
    for count in range(min(4, len(names)), 1, -1):
        rows = -(-len(names) // count)
        parts = [names[i : i + rows] for i in range(0, len(names), rows)]
        if sum(max(map(len, part)) * LETTER + 4 for part in parts) <= room:
            return len(parts)
    return 1


def _numbers(values: tuple[float | None, ...]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _points(axes: Axes, layer: Points, look: Look) -> None:
    x, y = _numbers(layer.x), _numbers(layer.y)
    colour = look.ink(layer.ink)
    if layer.low:
        at, values = (y, x) if layer.along_x else (x, y)
        _intervals(
            axes, at, values, layer.low, layer.high, layer.along_x, layer.ink, look, layer.opacity
        )
    axes.plot(
        x,
        y,
        color=colour,
        alpha=layer.opacity,
        linestyle=DASHES[layer.dash] if layer.line else "none",
        linewidth=layer.width * 0.8 * look.scale,
        marker=SYMBOLS.get(layer.symbol, "o") if layer.marks else "",
        markersize=layer.size * 0.62 * look.scale,
        markerfacecolor="none" if layer.open_ else colour,
        markeredgecolor=colour if layer.open_ else look.ink(PAGE),
        markeredgewidth=1.3 * look.scale if layer.open_ else 0.6,
        label=layer.name or "_",
        clip_on=False,
    )
    texts = layer.text or ("",) * len(x)
    places = layer.text_at or ("middle left",) * len(x)
    for a, b, text, place in zip(x, y, texts, places, strict=True):
        if text:
            across, up, ha, va = PLACES[place]
            axes.annotate(
                text,
                (a, b),
                (across * look.scale, up * look.scale),
                textcoords="offset points",
                size=look.small,
                ha=ha,
                va=va,
                color=look.ink(MUTED),
            )


def _intervals(
    axes: Axes,
    at: Sequence[float],
    values: Sequence[float],
    low: tuple[float | None, ...],
    high: tuple[float | None, ...],
    along_x: bool,
    ink: Ink,
    look: Look,
    opacity: float,
) -> None:
    spread = [
        [max(0.0, value - end) for value, end in zip(values, _numbers(low), strict=True)],
        [max(0.0, end - value) for value, end in zip(values, _numbers(high), strict=True)],
    ]
    axes.errorbar(
        values if along_x else at,
        at if along_x else values,
        fmt="none",
        ecolor=look.ink(ink),
        elinewidth=1.2 * look.scale,
        alpha=opacity,
        xerr=spread if along_x else None,
        yerr=None if along_x else spread,
    )


def _bars(axes: Axes, layer: Bars, look: Look) -> None:
    base = list(layer.base) or [0.0] * len(layer.at)
    style: dict[str, Any] = {
        "color": look.ink(layer.ink),
        "alpha": layer.opacity,
        "label": layer.name or "_",
        "hatch": HATCHES[layer.pattern],
        "edgecolor": look.ink(PAGE) if layer.pattern else "none",
        "linewidth": 0,
    }
    if layer.horizontal:
        axes.barh(layer.at, layer.lengths, layer.thickness, left=base, **style)
    else:
        axes.bar(layer.at, layer.lengths, layer.thickness, bottom=base, **style)
    if layer.low:
        ends = [a + b for a, b in zip(base, layer.lengths, strict=True)]
        _intervals(axes, layer.at, ends, layer.low, layer.high, layer.horizontal, TEXT, look, 0.8)


def _heat(axes: Axes, layer: Heat, look: Look, room: float) -> None:
    """Draw squares with their numbers, times 100; the numbers take the place of a scale.

    Where a square has no room for its number, the ends of the scale are said.
    """
    numbers = layer.numbers and room > 3 * LETTER * look.small
    span = max(layer.high - layer.low, 1e-9)
    for i, row in enumerate(layer.z):
        for j, value in enumerate(row):
            if value is None:
                continue
            share = round(SHADES * min(1.0, max(0.0, (value - layer.low) / span))) / SHADES
            ink = along(layer.scale, share)
            colour = look.ink(ink)
            axes.add_patch(Rectangle((j - 0.49, i - 0.49), 0.98, 0.98, color=colour, lw=0))
            number = layer.written(value) if numbers else ""
            if number:
                text = look.ink(clearest(ink))
                axes.text(j, i, number, size=look.small, ha="center", va="center", color=text)
    unit = layer.unit
    if not numbers:
        unit = f"{layer.unit}: pale {100 * layer.low:.0f}, strong {100 * layer.high:.0f}"
    axes.annotate(
        unit,
        (1, 0),
        (0, -3),
        xycoords=("axes fraction", axes.xaxis.label),
        textcoords="offset points",
        size=look.text,
        color=look.ink(MUTED),
        ha="right",
        va="top",
    )


def along(scale: Sequence[Ink], share: float) -> Ink:
    """Return the ink at a share (0 to 1) of the way along a scale, on light and on dark."""
    place = share * (len(scale) - 1)
    step = min(int(place), len(scale) - 2)
    first, last, rest = scale[step], scale[step + 1], place - step
    return Ink(_mixed(first.light, last.light, rest), _mixed(first.dark, last.dark, rest))


def clearest(behind: Ink) -> Ink:
    """Return black or white, whichever stands out from an ink (by 4.5:1 at least)."""

    def of(colour: str) -> str:
        return max("#000000", "#ffffff", key=lambda text: contrast(text, colour))

    return Ink(of(behind.light), of(behind.dark))


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    bright, dim = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _mixed(first: str, last: str, share: float) -> str:
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (first, last)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends, strict=True))


def _rule(axes: Axes, rule: Rule, panel: Panel, look: Look) -> None:
    style: dict[str, Any] = {
        "color": look.ink(MUTED),
        "linewidth": look.scale,
        "linestyle": (0, (4, 3)),
    }
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
            size=max(look.small, look.text - 1),
            color=look.ink(MUTED),
            ha="left" if along_x else "right",
            va="top" if along_x else "bottom",
        )


def _axis(axes: Axes, axis: Axis, which: Literal["x", "y"], look: Look, room: float) -> None:
    target = axes.xaxis if which == "x" else axes.yaxis
    limit = axes.set_xlim if which == "x" else axes.set_ylim
    target.set_label_text(axis.heading, size=look.text, color=look.ink(MUTED))
    if axis.categories:
        count = len(axis.categories)
        names, size, turned = list(axis.labels), look.text, 0
        if which == "x":
            names, size, turned = _fitted(names, room / count, look)
        target.set_ticks(range(count), names)
        for label in target.get_ticklabels():
            label.set_fontsize(size)
            if turned:
                upright = turned == 90
                label.set(
                    rotation=turned,
                    ha="right",
                    va="center" if upright else "top",
                    rotation_mode="anchor",
                )
        ends = (-0.5, count - 0.5)
        limit(*(ends[::-1] if axis.reversed_ else ends))
    elif axis.range:
        limit(*axis.range)
    if not axis.categories:
        most = 4 if which == "x" and room < 300 else 6
        target.set_major_locator(
            MultipleLocator(axis.step) if axis.step else MaxNLocator(most, steps=[1, 2, 5, 10])
        )
    if axis.unit == "%":
        low, high = sorted(axes.get_xlim() if which == "x" else axes.get_ylim())
        target.set_major_formatter(PercentFormatter(1, 0 if high - low >= 0.045 else 1))
    if not axis.categories:
        axes.tick_params(axis=which, labelsize=look.text)
    axes.tick_params(
        axis=which,
        labelcolor=look.ink(TEXT),
        color=look.ink(MUTED),
        length=3,
    )


def _fitted(names: list[str], room: float, look: Look) -> tuple[list[str], float, int]:
    """Fit labels side by side: as they are, in lines, smaller, at last turned by some degrees."""
    for size in dict.fromkeys((look.text, look.small)):
        letters = room / (LETTER * size)
        if max(map(len, names)) <= letters:
            return names, size, 0
        if max(len(word) for name in names for word in name.split() or [""]) <= letters:
            return [name.replace(" ", "\n") for name in names], size, 0
    return names, look.text, 40 if room > 2 * look.text else 90
