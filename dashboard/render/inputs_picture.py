"""What a network gets of a few crops, as a PNG file by matplotlib: a row a crop, a column an input.

Layer: an array to a file.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from compute.storage.atomic_files import writing

CROPS = 10
"""Rows at most."""

TILE = 1.1
"""Side of a tile, inches."""


def write_inputs(
    inputs: NDArray[np.float32], names: Sequence[str], path: Path | str, title: str
) -> Path:
    """Draw what a network gets, each input of all crops in one range of grey.

    Parameters
    ----------
    inputs
        Shape (n, passes, I, h, w).
    names
        Of the columns, one for each pass and input.
    path
        The PNG file.
    title
        Above the picture.

    Returns
    -------
    Path
        The file.
    """
    shown = inputs[:CROPS].reshape(len(inputs[:CROPS]), -1, *inputs.shape[3:])
    rows, columns = shown.shape[:2]
    figure = Figure(figsize=(max(4.0, columns * TILE), rows * TILE + 0.9), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for column in range(columns):
        low, high = float(shown[:, column].min()), float(shown[:, column].max())
        for row in range(rows):
            axis = axes[row, column]
            axis.imshow(
                shown[row, column], cmap="gray", vmin=low, vmax=max(high, low + 1e-9),
                interpolation="nearest",
            )  # fmt: skip
            axis.set_axis_off()
        axes[0, column].set_title(f"{names[column]}\n{low:.3g} to {high:.3g}", fontsize=7)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    path = Path(path)
    with writing(path) as temporary:
        figure.savefig(temporary, format="png")
    return path
