"""A mosaic of a store's cells as PNG files, by matplotlib: one composite, and one for each channel.

What stands on a mosaic is decided by `dashboard.render.mosaic`.
"""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from compute.storage.atomic_files import writing
from dashboard.render import fonts, images
from dashboard.render.figures import drawing, save
from dashboard.render.mosaic import NEIGHBOUR, OUTLINES, Mosaic, Tile, arrange, composite

ACROSS = 8
"""Tiles in a row."""

SIDE = 192
"""Side of a tile, pixels, about: pictures are enlarged by the whole number that comes nearest."""

NARROWEST = 170
"""Width of a tile with its text, pixels, at least."""

GAP, EDGE = 16, 28
"""Pixels between tiles, and around everything."""

DPI = 100

LINE, SMALL, LARGE = 17, 8.6, 11.5
"""Height of a line of text in pixels, and two sizes of letters in points."""

LETTERS = 7.8
"""Width of a small letter, pixels; names are of capitals and digits, too."""

MOST_LINES = 2
"""Lines for a name below a tile; what is longer is cut."""


def write_mosaic(
    table: pa.Table, channels: list[str], folder: Path | str, *, marker: str | None = None
) -> list[Path]:
    """Draw a mosaic as PNG files: all channels in colours, and each one alone.

    Parameters
    ----------
    table
        Columns of `compute.schema.MOSAIC`, at least one row (`compute.make_mosaic`, or the table
        `mosaic` of a run).
    channels
        Names of the store's channels.
    folder
        Where the files go; made where it is not there. Files of the same names are replaced.
    marker
        The channel that shows whole cells, which is among the coloured ones in any case; None, the
        default, shows the first ones.

    Returns
    -------
    list of Path
        `mosaic.png`, and `mosaic-1-GFP.png` and so on where there are several channels.

    Examples
    --------
    >>> from compute import CropStore, make_mosaic
    >>> from dashboard import write_mosaic
    >>> made = write_mosaic(make_mosaic("store"), CropStore("store").channels, "pictures")
    >>> [path.name for path in made]
    ['mosaic.png', 'mosaic-1-GFP.png', 'mosaic-2-RFP.png']
    """
    folder = Path(folder)
    frame = table.to_pandas()
    wanted = {"mosaic.png": composite(channels, marker)}
    if len(channels) > 1:
        for number, name in enumerate(channels):
            wanted[f"mosaic-{number + 1}-{as_file(name)}.png"] = (number,)
    made = []
    for name, shown in wanted.items():
        drawn = mosaic_png(arrange(frame, channels, shown))
        with writing(folder / name) as place:
            place.write_bytes(drawn)
        made.append(folder / name)
    return made


def mosaic_png(mosaic: Mosaic, *, outlines: bool = True) -> bytes:
    """Return a mosaic as a PNG.

    Parameters
    ----------
    mosaic
        From `dashboard.render.mosaic.arrange`.
    outlines
        Whether masks are drawn, as by default.
    """
    with drawing(_texts(mosaic)):
        return save(_Sheet(mosaic, outlines).draw(), "png", DPI)


class _Sheet:
    """Lays out a mosaic from top to bottom, in pixels.

    Parameters
    ----------
    mosaic, outlines
        As in `mosaic_png`.
    """

    def __init__(self, mosaic: Mosaic, outlines: bool) -> None:
        self._mosaic, self._outlines = mosaic, outlines
        side = mosaic.groups[0].tiles[0].picture.shape[0]
        self._times = max(1, round(SIDE / side))
        self._side = side * self._times
        self._pitch = max(self._side, NARROWEST) + GAP
        self._width = 2 * EDGE + ACROSS * self._pitch - GAP
        self._letters = int((self._pitch - GAP) / LETTERS)

    def draw(self) -> Figure:
        """Return the figure."""
        self._things: list[tuple[str, Any]] = []
        y = self._head(EDGE)
        for group in self._mosaic.groups:
            y = self._text(EDGE, y + 10, [group.title], LARGE, "bold")
            y = self._text(EDGE, y, [group.note], SMALL) + 4
            for first in range(0, len(group.tiles), ACROSS):
                y = self._row(group.tiles[first : first + ACROSS], y) + 10
        height = y + EDGE - 10
        figure = Figure(figsize=(self._width / DPI, height / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, self._width), ylim=(height, 0))
        axes.set_axis_off()
        for kind, given in self._things:
            _DRAWN[kind](axes, **given)
        return figure

    def _head(self, y: float) -> float:
        """Place the caption and the legend; return where what follows begins."""
        wide = int((self._width - 2 * EDGE) / LETTERS)
        mosaic, x = self._mosaic, float(EDGE)
        y = self._text(EDGE, y, textwrap.wrap(f"{mosaic.scale}. {mosaic.caption}", wide), SMALL)
        y += 6
        for name, ink in mosaic.legend:
            self._things.append(("box", {"x": x, "y": y + 2, "ink": ink}))
            self._text(x + 24, y, [name], SMALL)
            x += 24 + LETTERS * len(name) + 30
        if self._outlines:
            for ink, dash, text in (
                (images.OUTLINE, "-", OUTLINES[0]),
                (NEIGHBOUR, (0, (3, 2)), OUTLINES[1]),
            ):
                line = np.array([[x, y + 9], [x + 26, y + 9]])
                self._things.append(("line", {"points": line, "ink": ink, "dash": dash}))
                self._text(x + 34, y, [text], SMALL)
                x += 34 + LETTERS * len(text) + 30
        return y + LINE + 8

    def _row(self, tiles: tuple[Tile, ...], y: float) -> float:
        """Place tiles side by side with their names below; return where they end."""
        low = y
        for number, tile in enumerate(tiles):
            x = EDGE + number * self._pitch
            big = tile.picture.repeat(self._times, 0).repeat(self._times, 1)
            self._things.append(("picture", {"x": x, "y": y, "pixels": big}))
            if self._outlines:
                for contours, ink, dash in (
                    (tile.neighbours, NEIGHBOUR, (0, (3, 2))),
                    (tile.outline, images.OUTLINE, "-"),
                ):
                    for contour in contours:
                        points = (np.reshape(contour, (-1, 2)) + 0.5) * self._times
                        moved = np.clip(points, 0, self._side) + np.array([x, y])
                        self._things.append(("line", {"points": moved, "ink": ink, "dash": dash}))
            lines = [f"cell {tile.cell:,}"]
            for text in tile.lines:
                lines += _cut(text, self._letters)
            low = max(low, self._text(x, y + self._side + 3, lines, SMALL))
        return low

    def _text(
        self, x: float, y: float, lines: list[str], size: float, weight: str = "normal"
    ) -> float:
        for line in lines:
            text = fonts.drawable(line)
            self._things.append(
                ("text", {"x": x, "y": y, "text": text, "size": size, "weight": weight})
            )
            y += LINE if size == SMALL else LINE + 5
        return y


def _cut(text: str, letters: int) -> list[str]:
    """Break a text into at most `MOST_LINES` lines; an ellipsis stands for what is left."""
    return textwrap.wrap(text, letters, max_lines=MOST_LINES, placeholder=" …") if text else []


def _picture(axes: Axes, x: float, y: float, pixels: npt.NDArray[np.uint8]) -> None:
    height, width = pixels.shape[:2]
    axes.imshow(
        pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto",
        extent=(x, x + width, y + height, y),
    )  # fmt: skip


def _line(axes: Axes, points: npt.NDArray[np.float64], ink: str, dash: Any) -> None:
    axes.plot(*points.T, color="black", linewidth=2.2, alpha=0.45)
    axes.plot(*points.T, color=ink, linewidth=1.2, linestyle=dash)


def _text(axes: Axes, x: float, y: float, text: str, size: float, weight: str) -> None:
    axes.text(x, y, text, size=size, weight=weight, va="top", color="#1b1f27", clip_on=False)


def _box(axes: Axes, x: float, y: float, ink: str) -> None:
    axes.add_patch(Rectangle((x, y), 16, 12, facecolor=ink, edgecolor="#777777", linewidth=0.8))


_DRAWN: dict[str, Any] = {"picture": _picture, "line": _line, "text": _text, "box": _box}


def _texts(mosaic: Mosaic) -> list[str]:
    """Return all that is written on a mosaic, for which fonts are needed."""
    said = [mosaic.caption, mosaic.scale, *(name for name, _ in mosaic.legend), "…"]
    for group in mosaic.groups:
        said += [group.title, group.note]
        for tile in group.tiles:
            said += tile.lines
    return said


def as_file(name: str) -> str:
    """Return a channel's name as part of a file's name, on any system."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:40]
