"""What the figures of `docs/method.md` share: size, fonts, colours, saving without a date."""

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dashboard.theme import GRID, MUTED, TEXT, condition_ink

WIDTH = 8.8
"""Inches; at `DPI` a figure is twice as wide as a page on GitHub shows it."""

DPI = 180
ACCENT = "#0b3d91"
FLOOR = "#9aa3af"

SETTINGS = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": TEXT.light,
    "axes.labelcolor": TEXT.light,
    "axes.edgecolor": MUTED.light,
    "xtick.color": TEXT.light,
    "ytick.color": TEXT.light,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID.light,
}


def new(height: float) -> Figure:
    """Return an empty figure of a height in inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    return figure


def note(figure: Figure, text: str) -> None:
    """Write a line below a figure."""
    figure.supxlabel(text, size=9, color=MUTED.light, x=0.01, ha="left")


def ink(condition: str) -> str:
    """Return a condition's colour on white."""
    return condition_ink(condition).light


def grid(axes: Axes, along: str) -> None:
    """Draw grid lines along one axis."""
    axes.grid(axis=along, linewidth=0.8)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG of at most 256 colours, with nothing in it that changes by the day."""
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=DPI, metadata={"Software": None})
    picture = Image.open(raw).convert("RGB")
    few = picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, format="PNG", optimize=True)


def settings() -> "mpl.rc_context":
    """Return the context in which figures are drawn."""
    return mpl.rc_context(SETTINGS)
