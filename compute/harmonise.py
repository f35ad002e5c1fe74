"""A common intensity scale for cell and donor: robust percentiles by protein or field.

Pure arrays. A donor is brought to the centre cell's scale, never the reverse, so the centre cell's
own pixels keep their values.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.errors import unknown_value
from compute.hashing import mix
from compute.store import CropArrays

HARMONISE = ("protein", "field", "none")
"""What shares a scale: all crops of a protein, of a field, or nothing is changed."""

PERCENTILES = (1.0, 99.5)
"""Low and high ends of a group's scale: medium, and nearly its brightest pixels."""

CROPS_PER_GROUP = 64
"""Crops, taken by hash, from which a group's percentiles are measured."""


@dataclass(frozen=True)
class Scales:
    """Low and high ends per group and channel.

    Parameters
    ----------
    low, high
        Shape (groups, C), float32.
    of_cell, of_window
        Group of each cell row and window row, int64.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    of_cell: NDArray[np.int64]
    of_window: NDArray[np.int64]

    def move(
        self, images: NDArray[np.float32], source: NDArray[np.int64], target: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Bring images from their groups' scales to others'.

        Parameters
        ----------
        images
            Shape (n, C, H, W).
        source, target
            Groups, shape (n,).

        Returns
        -------
        ndarray
            ``(image − low_source) · range_target / range_source + low_target``, float32.
        """
        factor = self.range(target) / self.range(source)
        offset = self.low[target] - self.low[source] * factor
        same = (source == target)[:, None]
        factor, offset = np.where(same, 1, factor), np.where(same, 0, offset)
        return np.asarray(images * factor[:, :, None, None] + offset[:, :, None, None], np.float32)

    def range(self, group: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return high minus low, never zero; shape (n, C)."""
        extent = self.high[group] - self.low[group]
        return np.where(extent > 0, extent, 1).astype(np.float32)


def measure(
    by: str, cells: pd.DataFrame, windows: pd.DataFrame, arrays: CropArrays, seed: int
) -> Scales:
    """Measure every group's scale.

    Parameters
    ----------
    by
        One of `HARMONISE`.
    cells, windows
        The store's tables, with `protein` and `field`.
    arrays
        The store's pixels.
    seed
        Chooses which crops of a large group are measured.

    Raises
    ------
    UsageError
        `by` is not allowed.
    """
    if by not in HARMONISE:
        raise unknown_value("harmonisation", by, HARMONISE)
    channels = arrays.images.shape[1]
    if by == "none":
        # One group: nothing moves, and its range is still the unit of the seam flag.
        of_cell, of_window = np.zeros(len(cells), np.int64), np.zeros(len(windows), np.int64)
        groups_in_all = 1
    else:
        names, of_cell = np.unique(cells[by].to_numpy(dtype=str), return_inverse=True)
        extra = sorted(set(windows[by]) - set(names))
        code = {name: i for i, name in enumerate([*names, *extra])}
        of_window = windows[by].map(code).to_numpy(np.int64)
        groups_in_all = len(code)
    low = np.zeros((groups_in_all, channels), np.float32)
    high = np.ones((groups_in_all, channels), np.float32)
    for images, groups in ((arrays.windows, of_window), (arrays.images, of_cell)):
        for group, rows in _sample(groups, seed):
            pixels: NDArray[Any] = images[rows].swapaxes(0, 1).reshape(channels, -1)
            low[group], high[group] = np.percentile(pixels, PERCENTILES, axis=1)
    return Scales(low, high, of_cell.astype(np.int64), of_window)


def _sample(groups: NDArray[np.int64], seed: int) -> list[tuple[int, NDArray[np.int64]]]:
    """Return up to `CROPS_PER_GROUP` rows of every group, chosen by hash."""
    rows = np.arange(len(groups))
    order = np.lexsort((mix(seed, 201, rows), groups))
    edges = np.flatnonzero(np.diff(groups[order])) + 1
    return [
        (int(groups[part[0]]), np.sort(part[:CROPS_PER_GROUP]))
        for part in np.split(order, edges)
        if len(part)
    ]
