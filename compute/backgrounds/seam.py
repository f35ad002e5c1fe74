"""The seam between a cell and a borrowed background. Pure arrays, compiled.

A background that is much brighter or dimmer than what the cell stood on is flagged: a model could
see the outline.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compute.backgrounds.harmonise import PERCENTILES

SEAM_LIMIT = 0.5
"""Mean difference at the seam, in the unaltered crop's own intensity range, that earns a flag."""


def far_at_the_seam(
    pixels: NDArray[Any],
    ring: NDArray[np.bool_],
    cell: NDArray[np.int64],
    ground: NDArray[np.int64],
    factor: NDArray[np.float32],
    offset: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Tell whether a background differs much from the cell's own, in any channel.

    Parameters
    ----------
    pixels
        Raw images, the U cells first, shape (P, C, H, W).
    ring
        Pixels just outside each cell, shape (U, H, W).
    cell, ground
        Rows of `pixels`: centre cell and background of each trial, shape (T,).
    factor, offset
        Bring the background to the cell's scale, shape (T, C).

    Returns
    -------
    ndarray
        Shape (T,); a cell without a ring is near.
    """
    cells = np.arange(len(ring))
    low, high = np.percentile(pixels[: len(ring)], PERCENTILES, axis=(2, 3))
    flat, rings = pixels.reshape(*pixels.shape[:2], -1), ring.reshape(len(ring), -1)
    level = ring_means(flat, rings, cells, cells)
    behind = ring_means(flat, rings, cell, ground) * factor + offset
    far = np.abs(behind - level[cell]) > SEAM_LIMIT * (high - low)[cell]
    return far.any(1) & rings.any(axis=1).take(cell)


@njit(nogil=True, cache=True)
def ring_means(
    pixels: NDArray[Any], ring: NDArray[np.bool_], cell: NDArray[np.int64], row: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Average images over the rings of cells.

    Parameters
    ----------
    pixels
        Shape (P, C, H·W).
    ring
        Shape (U, H·W).
    cell, row
        Whose ring is laid over which image, shape (n,).

    Returns
    -------
    ndarray
        Shape (n, C); 0 where a ring is empty.
    """
    place = np.empty(ring.size, np.int64)
    start = np.zeros(len(ring) + 1, np.int64)
    for u in range(len(ring)):
        count = start[u]
        for p in range(ring.shape[1]):
            if ring[u, p]:
                place[count] = p
                count += 1
        start[u + 1] = count
    means = np.zeros((len(row), pixels.shape[1]))
    for t in range(len(row)):
        first, last = start[cell[t]], start[cell[t] + 1]
        for c in range(pixels.shape[1]):
            total = 0.0
            for k in range(first, last):
                total += pixels[row[t], c, place[k]]
            means[t, c] = total / max(last - first, 1)
    return means
