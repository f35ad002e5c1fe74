"""A common intensity scale for centre cell and donor: robust percentiles by protein or field.

Layer: arrays; one small file beside a store keeps what was measured. A donor is brought to the
centre cell's scale, never the reverse, so the centre cell's own pixels keep their values.
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
"""Percentiles of a group's pixels that are the ends of its scale: medium, and nearly its brightest
pixels."""

CROPS_PER_GROUP = 64
"""Crops, chosen by hash, from which a group's percentiles are measured at most."""


@dataclass(frozen=True)
class Scales:
    """Intensity scales of groups of crops (proteins or fields), by channel.

    Parameters
    ----------
    low, high
        Ends of each group's scale, raw intensities, shape (groups, C), float32.
    of_cell, of_window
        Group of each cell row and window row, int64.
    moves
        Whether donors are brought to the cell's scale, as they are by default; False leaves them
        as they are, medium and noise too (``"none"``).
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    of_cell: NDArray[np.int64]
    of_window: NDArray[np.int64]
    moves: bool = True

    def move(
        self, images: NDArray[np.float32], source: NDArray[np.int64], target: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Bring images from the scales of their groups to those of other groups.

        Parameters
        ----------
        images
            Raw images, shape (n, C, H, W).
        source, target
            Each image's own group and the group whose scale it gets, shape (n,).

        Returns
        -------
        ndarray
            ``(image − low_source) · range_target / range_source + low_target``, float32, shape
            (n, C, H, W).
        """
        factor, offset = self.factors(source, target)
        return np.asarray(images * factor[:, :, None, None] + offset[:, :, None, None], np.float32)

    def factors(
        self, source: NDArray[np.int64], target: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what `move` multiplies by and adds, shapes (n, C); 1 and 0 within a group."""
        factor = self.range(target) / self.range(source)
        offset = self.low[target] - self.low[source] * factor
        same = (source == target)[:, None]
        return np.where(same, np.float32(1), factor), np.where(same, np.float32(0), offset)

    def range(self, group: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the high minus the low end of groups, shape (n, C); 1 where they are equal."""
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

    Returns
    -------
    Scales
        Of every protein, every field, or (``"none"``) one group of all crops.

    Raises
    ------
    UsageError
        `by` is not allowed.
    """
    of_cell, of_window, count = _groups(by, cells, windows)
    ends = _ends(of_cell, of_window, count, arrays, seed)
    return Scales(*ends, of_cell, of_window, by != "none")


def measure_once(
    by: str, cells: pd.DataFrame, windows: pd.DataFrame, arrays: CropArrays, seed: int, prefix: Path
) -> Scales:
    """Measure every group's scale, or read what was measured before.

    Parameters
    ----------
    by, cells, windows, arrays, seed
        See `measure`.
    prefix
        Path and beginning of the name of a file that belongs to this store alone.

    Raises
    ------
    UsageError
        `by` is not allowed.
    """
    of_cell, of_window, count = _groups(by, cells, windows)
    path = prefix.with_name(f"{prefix.name}-scales-{by}-{seed}.npy")
    with one_at_a_time(path.parent):
        if not path.is_file():
            ends = _ends(of_cell, of_window, count, arrays, seed)
            with writing(path) as temporary, temporary.open("wb") as file:
                np.save(file, np.stack(ends), allow_pickle=False)
    low, high = np.load(path, allow_pickle=False)
    return Scales(low, high, of_cell, of_window, by != "none")


def _groups(
    by: str, cells: pd.DataFrame, windows: pd.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Give each cell and window the number of its group, and how many groups there are."""
    if by not in HARMONISE:
        raise unknown_value("harmonisation", by, HARMONISE)
    if by == "none":
        # One group: nothing moves, and the seam is still judged by a range of intensities.
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
    """Measure the low and high ends of every group, each of shape (groups, C).

    A group that has both cells and windows is measured by its cells.
    """
    channels = arrays.images.shape[1]
    low = np.zeros((count, channels), np.float32)
    high = np.ones((count, channels), np.float32)
    for images, groups in ((arrays.windows, of_window), (arrays.images, of_cell)):
        for group, rows in _sample(groups, seed):
            pixels: NDArray[Any] = images[rows].swapaxes(0, 1).reshape(channels, -1)
            low[group], high[group] = np.percentile(pixels, PERCENTILES, axis=1)
    return low, high


def _sample(groups: NDArray[np.int64], seed: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each group with up to `CROPS_PER_GROUP` of its rows, chosen by hash, ascending."""
    rows = np.arange(len(groups))
    order = np.lexsort((mix(seed, Stream.SCALE_CROPS, rows), groups))
    edges = np.flatnonzero(np.diff(groups[order])) + 1
    for first, last in pairwise([0, *edges.tolist(), len(order)]):
        members = order[first:last]
        if len(members):
            yield int(groups[members[0]]), np.sort(members[:CROPS_PER_GROUP])
