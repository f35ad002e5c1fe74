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
    for i in range(n):
        for y in range(height):
            left = UNREACHED
            for x in range(width):
                above = int(steps[i, y - 1, x]) if y > 0 else UNREACHED
                left = 0 if masks[i, y, x] else min(min(left, above) + 1, UNREACHED)
                steps[i, y, x] = left
        for y in range(height - 1, -1, -1):
            right = UNREACHED
            for x in range(width - 1, -1, -1):
                below = int(steps[i, y + 1, x]) if y < height - 1 else UNREACHED
                right = min(int(steps[i, y, x]), min(right, below) + 1)
                steps[i, y, x] = right
    return steps
