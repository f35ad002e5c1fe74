"""The seam between a centre cell and a borrowed background: whether the two differ much.

Layer: pure arrays, compiled; no files. A background that is much brighter or dimmer than the one
around the cell in its own crop is flagged: a model could see the outline.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compute.backgrounds.harmonise import PERCENTILES

SEAM_LIMIT = 0.5
"""Mean difference at the seam above which a trial is flagged, as a share of the intensity range
(`PERCENTILES`) of the cell's unaltered crop."""


def far_at_the_seam(
    pixels: NDArray[Any],
    ring: NDArray[np.bool_],
    centre_row: NDArray[np.int64],
    background_row: NDArray[np.int64],
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
    centre_row, background_row
        Rows of `pixels` with each trial's centre cell and background, shape (T,).
    factor, offset
        Bring the background to the cell's scale, shape (T, C).

    Returns
    -------
    ndarray
        Booleans, shape (T,); False for a cell whose ring has no pixels.
    """
    cells = np.arange(len(ring))
    low, high = np.percentile(pixels[: len(ring)], PERCENTILES, axis=(2, 3))
    flat, rings = pixels.reshape(*pixels.shape[:2], -1), ring.reshape(len(ring), -1)
    level = ring_means(flat, rings, cells, cells)
    background = ring_means(flat, rings, centre_row, background_row) * factor + offset
    far = np.abs(background - level[centre_row]) > SEAM_LIMIT * (high - low)[centre_row]
    return far.any(1) & rings.any(axis=1).take(centre_row)


@njit(nogil=True, cache=True)
def ring_means(
    pixels: NDArray[Any],
    ring: NDArray[np.bool_],
    ring_row: NDArray[np.int64],
    image_row: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Average images over the rings of cells.

    Parameters
    ----------
    pixels
        Raw images, shape (P, C, H·W).
    ring
        Pixels just outside each cell, shape (U, H·W).
    ring_row, image_row
        Row of `ring` that is laid over which row of `pixels`, shape (n,).

    Returns
    -------
    ndarray
        Mean intensities, shape (n, C); 0 where a ring is empty.
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
    means = np.zeros((len(image_row), pixels.shape[1]))
    for t in range(len(image_row)):
        first, last = start[ring_row[t]], start[ring_row[t] + 1]
        for c in range(pixels.shape[1]):
            total = 0.0
            for k in range(first, last):
                total += pixels[image_row[t], c, place[k]]
            means[t, c] = total / max(last - first, 1)
    return means
