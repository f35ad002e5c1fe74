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
    total, size = layers.shape
    change = np.zeros((total, pixels.shape[1]))
    place = np.empty(size, np.int64)
    for t in range(total):
        u, b, count = centre_row[t], background_row[t], 0
        seen = 0
        for p in range(size):
            if ring[u, p]:
                count += 1
                if layers[t, p] > 0:
                    place[seen] = p
                    seen += 1
        for c in range(pixels.shape[1]):
            gain, base, light, summed = factor[t, c], offset[t, c], glow[glow_row[t], c], 0.0
            for i in range(seen):
                p = place[i]
                k = layers[t, p] - 1
                summed += float(pixels[b, c, p]) * gain[k] + base[k] + light[p]
                summed -= float(pixels[u, c, p])
            change[t, c] = summed / max(count, 1)
    return change
