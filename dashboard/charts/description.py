"""What a chart is, apart from what draws it. Pure data.

Categories are drawn at 0, 1, 2, …, so that marks of several models can stand side by side.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from dashboard.theme import Ink

Number = float | None


LONGEST = 32
"""Characters of a category that are written beside an axis; the whole name stands on hovering."""

_BETWEEN = "\x1f"
"""The control character that separates units: no name holds it."""


def pick(*values: str) -> str:
    """Return what a mark stands for (a condition, a model, a class …) as one text."""
    return _BETWEEN.join(values)


def picked(text: str) -> tuple[str, ...]:
    """Return what `pick` was given."""
    return tuple(text.split(_BETWEEN))


@dataclass(frozen=True)
class Points:
    """Marks, or a line through them; `None` breaks the line.

    Parameters
    ----------
    name
        For the legend; empty for none.
    x, y
        Positions.
    low, high
        Ends of vertical intervals, where there are any; `along_x` lays them along x.
    symbol
        Plotly's name; `open_` leaves it unfilled.
    hover
        One text per point; plain text.
    text
        One label per point, empty for none.
    text_at
        Where each label stands: ``"middle left"`` and so on; left where not given.
    picks
        What choosing a point means, one text per point; empty where it means nothing.
    """

    name: str
    x: tuple[Number, ...]
    y: tuple[Number, ...]
    ink: Ink
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()
    along_x: bool = False
    symbol: str = "circle"
    open_: bool = False
    size: float = 10
    marks: bool = True
    line: bool = False
    width: float = 2
    dash: str = "solid"
    opacity: float = 1
    hover: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    text_at: tuple[str, ...] = ()
    picks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bars:
    """Bars.

    Parameters
    ----------
    at
        Positions along the axis of categories (or bin centres).
    thickness
        In units of that axis.
    lengths, base
        How long the bars are and where they begin; 0 where `base` is not given.
    horizontal
        Whether lengths run along x.
    low, high
        Ends of intervals, where there are any, on the axis: `base` is part of them.
    pattern
        ``""`` for solid, ``"/"`` or ``"."`` for hatched.
    picks
        As of `Points`.
    """

    name: str
    at: tuple[float, ...]
    lengths: tuple[float, ...]
    ink: Ink
    thickness: float = 0.8
    base: tuple[float, ...] = ()
    horizontal: bool = False
    opacity: float = 1
    hover: tuple[str, ...] = ()
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()
    pattern: Literal["", "/", "."] = ""
    picks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heat:
    """A matrix of squares.

    Parameters
    ----------
    z
        Numbers by row, from top to bottom; a square of `None` is left blank.
    low, high
        Numbers that take the first and the last colour.
    scale
        Colours at equal steps from `low` to `high`.
    unit
        What the numbers are, and whether in percent or in points.
    signed
        Whether numbers are written with their sign, and small ones too.
    picks
        As of `Points`, one text for each square.
    """

    z: tuple[tuple[Number, ...], ...]
    low: float
    high: float
    scale: tuple[Ink, ...]
    unit: str
    numbers: bool = True
    hover: tuple[tuple[str, ...], ...] = ()
    signed: bool = False
    picks: tuple[tuple[str, ...], ...] = ()

    def written(self, value: Number) -> str:
        """Return the number that stands in a square, times 100; empty for none."""
        if value is None or (not self.signed and value < 0.005):
            return ""
        number = f"{100 * value:.0f}"
        if not self.signed:
            return number
        return "0" if number in ("0", "-0") else number.replace("-", "−")


@dataclass(frozen=True)
class Rule:
    """A line across the panel at one value, or the diagonal."""

    along: Literal["x", "y", "diagonal"]
    at: float = 0
    text: str = ""


@dataclass(frozen=True)
class Axis:
    """An axis; with `categories` it is labelled (`labels`) at 0, 1, 2 and so on.

    Parameters
    ----------
    unit
        How shares from 0 to 1 are written: in percent, or, where they are differences of shares,
        in percentage points; other numbers have none.
    """

    title: str = ""
    categories: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    unit: Literal["", "%", "points"] = ""
    reversed_: bool = False
    step: float | None = None

    @property
    def heading(self) -> str:
        """Its title, with the unit where the numbers beside it do not have one."""
        said = self.unit != "points" or "points" in self.title.lower()
        return self.title if said else f"{self.title}, points"

    @property
    def labels(self) -> tuple[str, ...]:
        """Its categories as they are written beside it: the middle of long names is left out.

        Lines stay apart, and no two categories become the same.
        """
        short = tuple("\n".join(map(_shortened, name.split("\n"))) for name in self.categories)
        return short if len(set(short)) == len(set(self.categories)) else self.categories


def _shortened(name: str) -> str:
    """Leave out the middle of a long name; its end often tells it from others."""
    if len(name) <= LONGEST:
        return name
    end = LONGEST // 3
    return f"{name[: LONGEST - end - 1].rstrip()}…{name[-end:].lstrip()}"


Layer = Points | Bars | Heat | Rule


@dataclass(frozen=True)
class Panel:
    """One set of axes."""

    x: Axis
    y: Axis
    layers: tuple[Layer, ...]
    title: str = ""
    height: int = 380
    square: bool = False

    def in_points(self) -> "Panel":
        """Return what is drawn: the numbers along an axis in points are 100 times the shares."""
        panel = self
        for along in ("x", "y"):
            axis: Axis = getattr(panel, along)
            if axis.unit != "points":
                continue
            ends = axis.range and (100 * axis.range[0], 100 * axis.range[1])
            layers = tuple(_hundredfold(layer, along) for layer in panel.layers)
            step = axis.step and 100 * axis.step
            axis = replace(axis, range=ends, step=step)
            panel = replace(panel, layers=layers)
            panel = replace(panel, x=axis) if along == "x" else replace(panel, y=axis)
        return panel


def _hundredfold(layer: Layer, along: str) -> Layer:
    """Return a layer whose numbers along an axis are 100 times as large."""
    if isinstance(layer, Heat):
        return layer
    if isinstance(layer, Rule):
        return replace(layer, at=100 * layer.at) if layer.along == along else layer
    if isinstance(layer, Bars):
        names = ["lengths", "base", "low", "high"] if layer.horizontal == (along == "x") else ["at"]
    else:
        names = [along, *(["low", "high"] if layer.along_x == (along == "x") else [])]
    many: dict[str, Any] = {
        name: tuple(None if value is None else 100 * value for value in getattr(layer, name))
        for name in names
    }
    return replace(layer, **many)


@dataclass(frozen=True)
class Chart:
    """One or several panels with a finding and a caption, which also serve who cannot see them.

    Parameters
    ----------
    name
        For file names and keys: letters and underscores.
    title
        The finding in a sentence.
    caption
        What is shown, with which n.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    legend: bool = True

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(panel.layers for panel in self.panels)

    @property
    def alt(self) -> str:
        """Text for screen readers."""
        return f"Chart. {self.title} {self.caption}"
