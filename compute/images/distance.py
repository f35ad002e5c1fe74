"""Distances of pixels from masks, in steps to one of the four next pixels. Pure arrays, compiled.

The pixels at distance k are those that `compute.images.dilation.diamond` adds in step k.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

UNREACHED = 255
"""Distance of pixels that are farther away than any that is told apart, or where a mask is
empty."""


@njit(nogil=True, cache=True)
def steps_from(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Measure how many steps each pixel is away from a mask.

    Parameters
    ----------
    masks
        Booleans, shape (N, H, W).

    Returns
    -------
    ndarray
        Steps to one of the four next pixels, 0 inside the mask, at most `UNREACHED`; uint8,
        shape (N, H, W).
    """
    n, height, width = masks.shape
    steps = np.empty((n, height, width), np.uint8)
    row = np.empty(width, np.int64)
    for i in range(n):
        row[:] = UNREACHED
        for y in range(height):
            for x in range(width):
                row[x] = 0 if masks[i, y, x] else min(row[x] + 1, UNREACHED)
                steps[i, y, x] = row[x]
        row[:] = UNREACHED
        for y in range(height - 1, -1, -1):
            for x in range(width):
                row[x] = min(row[x] + 1, int(steps[i, y, x]))
            # What is nearest along the column may be nearer beside it.
            nearest = UNREACHED
            for x in range(width):
                nearest = min(nearest + 1, row[x])
                steps[i, y, x] = nearest
            nearest = UNREACHED
            for x in range(width - 1, -1, -1):
                nearest = min(nearest + 1, int(steps[i, y, x]))
                steps[i, y, x] = nearest
    return steps
