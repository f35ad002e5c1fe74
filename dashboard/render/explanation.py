"""Where a model looks in one cell's crop, as a PNG file, by matplotlib.

Each piece is outlined in the colour of what taking it out does to the answer: orange where that
becomes less probable, blue where more. Every change stands beside the crop as a number too, so that
no colour is needed to read it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from compute.schema import Piece, piece_title
from compute.storage.atomic_files import writing
from dashboard.render import fonts, images
from dashboard.render.figures import drawing, save
from dashboard.render.mosaic import composite
from dashboard.render.mosaic_picture import as_file
from dashboard.theme import DIVERGING, MUTED, TEXT, model_title

Outlines = Mapping[tuple[str, int], Sequence[Sequence[float]]]
"""By kind and number of each piece its closed contours, each x0, y0, x1, y1, … in pixels."""

DPI = 100

SIZE = (11.2, 5.6)
"""Inches."""

LEAST = 1.0
"""Points of probability at which the scale of colours ends at least: smaller changes look alike."""

NOTE = (
    "Distance in steps of a pixel from the cell; =: the same answer.\n"
    "M, dashed: a patch of medium, which tells what filling alone does."
)
"""What stands below the numbers."""

MOST_LINES = 11
"""Pieces whose numbers are written, at most: of neighbours those that change most."""

LETTERS = 26
"""Letters of a class in the last column, at most; what is longer is cut."""

DASHED = (0, (3, 2))

STYLES: dict[str, Any] = {Piece.CENTRE: "-", Piece.NEIGHBOUR: "-", Piece.MEDIUM: DASHED}
"""How outlines of each kind are drawn."""

_BELOW, _ABOVE = DIVERGING[2].dark, DIVERGING[0].dark
SCALE = LinearSegmentedColormap.from_list("change", [_BELOW, "#ffffff", _ABOVE])
"""Orange where the answer falls, white for no change, blue where it rises: seen on the black of an
image, and told apart with any kind of colour blindness."""

Row = dict[str, Any]


def write_explanation(
    table: pa.Table,
    image: npt.NDArray[np.float32],
    outlines: Outlines,
    channels: Sequence[str],
    folder: Path | str,
    *,
    marker: str | None = None,
    simulated: bool = False,
) -> list[Path]:
    """Draw where models look in one cell's crop, a PNG file for each model.

    Parameters
    ----------
    table
        Rows of one cell, columns of `compute.schema.OCCLUSIONS` (`compute.explain_cell`).
    image
        The crop, shape (C, H, W).
    outlines
        Contours of its pieces.
    channels
        Names of its channels.
    folder
        Where the files go; made where it is not there. Files of the same names are replaced.
    marker
        The channel that shows whole cells, which is shown in any case; None, the default, shows the
        first ones.
    simulated
        Whether the cell is simulated, which is then said; False by default.

    Returns
    -------
    list of Path
        ``cell-12-deeploc.png`` and so on, in the table's order of models.

    Examples
    --------
    >>> from compute import RunDirectory, explain_cell
    >>> from dashboard import write_explanation
    >>> cell = RunDirectory("my-run").read("trials")["cell"][0].as_py()
    >>> found = explain_cell("store", "my-run", cell, ["deeploc.toml"])
    >>> drawn = (found.table, found.image, found.outlines, found.channels)
    >>> [path.suffix for path in write_explanation(*drawn, "pictures")]
    ['.png']
    """
    folder, rows, made = Path(folder), table.to_pylist(), []
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        drawn = explanation_png(mine, image, outlines, channels, marker=marker, simulated=simulated)
        path = folder / f"cell-{mine[0]['cell']}-{as_file(model)}.png"
        with writing(path) as place:
            place.write_bytes(drawn)
        made.append(path)
    return made


def explanation_png(
    rows: Sequence[Row],
    image: npt.NDArray[np.float32],
    outlines: Outlines,
    channels: Sequence[str],
    *,
    marker: str | None = None,
    simulated: bool = False,
) -> bytes:
    """Return the picture of one model as a PNG; arguments as of `write_explanation`."""
    shown = composite(channels, marker)
    contrast = images.ranges([image])
    planes = [images.colour(image, contrast, (channel,)) for channel in shown]
    # In grey, so that colours are those of changes alone.
    pixels = np.mean(planes, axis=0).astype(np.uint8)
    told = [row for row in rows if row["kind"] != Piece.NOTHING]
    most = max([LEAST, *(100 * abs(row["fall"]) for row in told)])
    scale = Normalize(-most, most)
    lines = _lines(rows[0], [channels[k] for k in shown], simulated)
    with drawing([*lines, *(row["answer_after"] for row in rows)]):
        figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        _crop(figure.add_axes((0.01, 0.04, 0.48, 0.92)), pixels, told, outlines, scale)
        bar = figure.colorbar(
            ScalarMappable(scale, SCALE), cax=figure.add_axes((0.53, 0.1, 0.42, 0.035)),
            orientation="horizontal",
        )  # fmt: skip
        bar.set_label("change of the answer's probability, points", size=9, color=TEXT.light)
        _texts(figure, lines, told)
        return save(figure, "png", DPI)


def _lines(row: Row, shown: Sequence[str], simulated: bool) -> list[str]:
    """Return what stands above the numbers; `shown` names the channels in the picture."""
    own = f", {row['localization']}" if row["localization"] else ""
    return [
        f"{model_title(row['model'])}, cell {row['cell']:,}",
        f"{row['protein']}{own}",
        f"answers {row['answer']} ({100 * row['probability']:.1f}%)",
        f"{'simulated cells, ' if simulated else ''}crop: {' and '.join(shown)}, in grey",
    ]


def _crop(
    axes: Axes,
    pixels: npt.NDArray[np.uint8],
    rows: Sequence[Row],
    outlines: Outlines,
    scale: Normalize,
) -> None:
    """Draw the crop with each piece in the colour of its change."""
    height, width = pixels.shape[:2]
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()
    for row in rows:
        ink = SCALE(scale(-100 * row["fall"]))
        contours = [np.reshape(c, (-1, 2)) for c in outlines[row["kind"], row["piece"]]]
        for points in contours:
            clipped = np.clip(points, -0.5, np.array([width, height]) - 0.5)
            axes.plot(*clipped.T, color="black", linewidth=3.6, alpha=0.6)
            axes.plot(*clipped.T, color=ink, linewidth=2.2, linestyle=STYLES[row["kind"]])
        middle = np.concatenate(contours).mean(0)
        x, y = np.clip(middle, 2, np.array([width, height]) - 3)
        axes.text(
            x, y, _short(row), size=9, color="white",
            ha="center", va="center",
            bbox={"facecolor": "black", "alpha": 0.65, "edgecolor": ink, "pad": 2},
        )  # fmt: skip


def _texts(figure: Figure, lines: Sequence[str], rows: Sequence[Row]) -> None:
    """Write the cell, and a line a piece with its numbers."""
    y = 0.93
    for number, line in enumerate(lines):
        size, weight = (12, "bold") if number == 0 else (9.5, "normal")
        ink = TEXT.light if number < 3 else MUTED.light
        figure.text(0.52, y, fonts.drawable(line), size=size, weight=weight, color=ink)
        y -= 0.05
    y -= 0.02
    columns = (
        ("taken out", 0.52, "left"),
        ("px", 0.67, "right"),
        ("distance", 0.74, "right"),
        ("points", 0.8, "right"),
        ("then", 0.81, "left"),
    )
    heads = [text for text, _, _ in columns]
    order = sorted(
        range(len(rows)),
        key=lambda k: (rows[k]["kind"] == Piece.NEIGHBOUR, -abs(rows[k]["fall"])),
    )
    told = [rows[k] for k in sorted(order[:MOST_LINES])]
    for number, cells in enumerate([heads, *map(_cells, told)]):
        for text, (_, x, side) in zip(cells, columns, strict=True):
            ink = MUTED.light if number == 0 else TEXT.light
            figure.text(x, y, fonts.drawable(text), size=9, color=ink, ha=side)
        y -= 0.037
    if len(told) < len(rows):
        more = f"and {len(rows) - len(told)} neighbours that change it no more"
        figure.text(0.52, y, more, size=9, color=MUTED.light)
    figure.text(0.52, 0.18, NOTE, size=8, color=MUTED.light)


def _cells(row: Row) -> list[str]:
    """Return a line of the table of numbers."""
    away = "–" if row["distance"] is None else str(row["distance"])
    then = row["answer_after"] if row["changed"] else "="
    then = then if len(then) <= LETTERS else f"{then[: LETTERS - 1]}…"
    title = f"{_short(row)}  {piece_title(row['kind'], row['piece'])}"
    return [title, str(row["area"]), away, f"{-100 * row['fall']:+.1f}", then]


def _short(row: Row) -> str:
    """Return what stands on a piece in the crop: a neighbour's number, or a letter."""
    return str(row["piece"]) if row["kind"] == Piece.NEIGHBOUR else row["kind"][0].upper()
