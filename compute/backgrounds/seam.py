"""The seam between a centre cell and a borrowed background: whether the two differ much.

Layer: pure arrays, compiled; no files. A composite that is much brighter or dimmer just outside the
cell than the cell's own crop is flagged: a model could see the outline.
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
    layers: NDArray[np.uint8],
    glow: NDArray[np.float32],
    centre_row: NDArray[np.int64],
    background_row: NDArray[np.int64],
    glow_row: NDArray[np.int64],
    factor: NDArray[np.float32],
    offset: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Tell whether composites differ much from the cell's own crop just outside the cell.

    Parameters
    ----------
    pixels
        Raw images, the U cells first, shape (R, C, P).
    ring
        Pixels just outside each cell, shape (U, P).
    layers, glow, centre_row, background_row, glow_row, factor, offset
        As in `compute.backgrounds.compose.CropInputs`, images as flat rows.

    Returns
    -------
    ndarray
        Booleans, shape (T,), True where any channel differs; False for a cell whose ring has no
        pixels.
    """
    low, high = np.percentile(pixels[: len(ring)], PERCENTILES, axis=2)
    change = ring_change(
        pixels, ring, layers, glow, centre_row, background_row, glow_row, factor, offset
    )
    return np.asarray((np.abs(change) > SEAM_LIMIT * (high - low)[centre_row]).any(1))


@njit(nogil=True, cache=True)
def ring_change(
    pixels: NDArray[Any],
    ring: NDArray[np.bool_],
    layers: NDArray[np.uint8],
    glow: NDArray[np.float32],
    centre_row: NDArray[np.int64],
    background_row: NDArray[np.int64],
    glow_row: NDArray[np.int64],
    factor: NDArray[np.float32],
    offset: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Average composites less the cells' own crops over the rings of the cells.

    Arguments are those of `far_at_the_seam`; returns mean differences, shape (T, C), 0 where a ring
    is empty.
    """
    total = len(layers)
    change = np.zeros((total, pixels.shape[1]))
    place = np.empty(ring.size, np.int64)
    start = np.zeros(len(ring) + 1, np.int64)
    for u in range(len(ring)):
        count = start[u]
        for p in range(ring.shape[1]):
            if ring[u, p]:
                place[count] = p
                count += 1
        start[u + 1] = count
    for t in range(total):
        u, b = centre_row[t], background_row[t]
        first, last = start[u], start[u + 1]
        for c in range(pixels.shape[1]):
            gain, base, light, summed = factor[t, c], offset[t, c], glow[glow_row[t], c], 0.0
            for i in range(first, last):
                p = place[i]
                k = int(layers[t, p]) - 1
                if k >= 0:
                    summed += float(pixels[b, c, p]) * gain[k] + base[k] + light[p]
                    summed -= float(pixels[u, c, p])
            change[t, c] = summed / max(last - first, 1)
    return change
