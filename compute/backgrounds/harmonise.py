"""A common intensity scale for cell and donor: robust percentiles by protein or field.

A donor is brought to the centre cell's scale, never the reverse, so the centre cell's
own pixels keep their values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.backgrounds.config import HARMONISE
from compute.errors import unknown_value
from compute.hashing import Stream, mix
from compute.storage.atomic_files import writing
from compute.storage.locks import one_at_a_time
from compute.store.reader import CropArrays

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
        factor, offset = self.factors(source, target)
        return np.asarray(images * factor[:, :, None, None] + offset[:, :, None, None], np.float32)

    def factors(
        self, source: NDArray[np.int64], target: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what `move` multiplies by and adds; both (n, C), 1 and 0 within a group."""
        factor = self.range(target) / self.range(source)
        offset = self.low[target] - self.low[source] * factor
        same = (source == target)[:, None]
        return np.where(same, np.float32(1), factor), np.where(same, np.float32(0), offset)

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
    of_cell, of_window, count = _groups(by, cells, windows)
    return Scales(*_ends(of_cell, of_window, count, arrays, seed), of_cell, of_window)


def measure_once(
    by: str, cells: pd.DataFrame, windows: pd.DataFrame, arrays: CropArrays, seed: int, prefix: Path
) -> Scales:
    """Measure every group's scale, or read what was measured before.

    Parameters
    ----------
    by, cells, windows, arrays, seed
        See `measure`.
    prefix
        Path and first part of the name of a file that belongs to this store alone.
    """
    of_cell, of_window, count = _groups(by, cells, windows)
    path = prefix.with_name(f"{prefix.name}-scales-{by}-{seed}.npy")
    with one_at_a_time(path.parent):
        if not path.is_file():
            ends = _ends(of_cell, of_window, count, arrays, seed)
            with writing(path) as temporary, temporary.open("wb") as file:
                np.save(file, np.stack(ends), allow_pickle=False)
    low, high = np.load(path, allow_pickle=False)
    return Scales(low, high, of_cell, of_window)


def _groups(
    by: str, cells: pd.DataFrame, windows: pd.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Give each cell and window the number of its group, and how many groups there are."""
    if by not in HARMONISE:
        raise unknown_value("harmonisation", by, HARMONISE)
    if by == "none":
        # One group: nothing moves, and its range is still the unit of the seam flag.
        return np.zeros(len(cells), np.int64), np.zeros(len(windows), np.int64), 1
    of_cell, names = pd.factorize(cells[by], sort=True)
    extra = sorted(set(windows[by]) - set(names))
    code = {name: i for i, name in enumerate([*names, *extra])}
    return of_cell.astype(np.int64), windows[by].map(code).to_numpy(np.int64), len(code)


def _ends(
    of_cell: NDArray[np.int64],
    of_window: NDArray[np.int64],
    count: int,
    arrays: CropArrays,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure the low and high ends of every group; a group of cells and windows by its cells."""
    channels = arrays.images.shape[1]
    low = np.zeros((count, channels), np.float32)
    high = np.ones((count, channels), np.float32)
    for images, groups in ((arrays.windows, of_window), (arrays.images, of_cell)):
        for group, rows in _sample(groups, seed):
            pixels: NDArray[Any] = images[rows].swapaxes(0, 1).reshape(channels, -1)
            low[group], high[group] = np.percentile(pixels, PERCENTILES, axis=1)
    return low, high


def _sample(groups: NDArray[np.int64], seed: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Go through the groups with up to `CROPS_PER_GROUP` rows of each, chosen by hash."""
    rows = np.arange(len(groups))
    order = np.lexsort((mix(seed, Stream.SCALE_CROPS, rows), groups))
    edges = np.flatnonzero(np.diff(groups[order])) + 1
    for first, last in pairwise([0, *edges.tolist(), len(order)]):
        part = order[first:last]
        if len(part):
            yield int(groups[part[0]]), np.sort(part[:CROPS_PER_GROUP])
