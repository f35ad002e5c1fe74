"""The crowd in numbers: how many neighbours, how near, how much they cover. Pure arrays, compiled.

Layer: arrays, no files. Looks at masks alone, so that nothing of an image's intensities, noise or
texture can tell it anything.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compute.images.distance import UNREACHED, steps_from

NAMES = (
    "covered", "pieces", "nearness", "touching", "covered_near", "covered_border", "largest_piece",
)  # fmt: skip
"""What is measured, in order.

`covered`: share of the pixels outside the mask that neighbours cover; `covered_near`: of those
within `NEAR` steps of it; `touching`: of those right beside it; `covered_border`: of the crop's
outermost. `pieces`: ln(1 + number) of connected pieces of neighbours, corners connecting, so that
neighbours that touch each other count once; `largest_piece`: share of the pixels outside the mask
that the largest covers. `nearness`: 1 / steps from the mask to the nearest neighbour, a step going
to one of the four next pixels. All are 0 without neighbours.
"""

NEAR = 10
"""Steps from the mask within which neighbours are near: half a yeast cell at 64 pixels a crop."""


def measure_crowd(mask: NDArray[np.bool_], neighbours: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Measure the neighbours in crops.

    Parameters
    ----------
    mask
        Masks of the centre cells, shape (N, H, W).
    neighbours
        Pixels of other cells outside them, of the same shape.

    Returns
    -------
    ndarray
        float32, shape (N, 7), columns as `NAMES`.
    """
    found = np.zeros((len(mask), len(NAMES)), np.float32)
    _measure(np.ascontiguousarray(mask), neighbours & ~mask, steps_from(mask), found)
    return found


@njit(nogil=True, cache=True)
def _measure(
    mask: NDArray[np.bool_],
    neighbours: NDArray[np.bool_],
    steps: NDArray[np.uint8],
    found: NDArray[np.float32],
) -> None:
    """Fill `found`, shape (N, 7); `steps` is the distance of every pixel from the mask."""
    n, height, width = mask.shape
    for i in range(n):
        outside = beside = near = border = 0
        covered = covered_beside = covered_near = covered_border = 0
        nearest = UNREACHED + 1
        for y in range(height):
            for x in range(width):
                if mask[i, y, x]:
                    continue
                away, there = int(steps[i, y, x]), int(neighbours[i, y, x])
                outside += 1
                covered += there
                if away == 1:
                    beside += 1
                    covered_beside += there
                if away <= NEAR:
                    near += 1
                    covered_near += there
                if y in (0, height - 1) or x in (0, width - 1):
                    border += 1
                    covered_border += there
                if there and away < UNREACHED:
                    nearest = min(nearest, away)
        pieces, largest = _pieces(neighbours[i])
        found[i, 0] = covered / max(outside, 1)
        found[i, 1] = np.log1p(pieces)
        found[i, 2] = 1 / nearest if nearest <= UNREACHED else 0.0
        found[i, 3] = covered_beside / max(beside, 1)
        found[i, 4] = covered_near / max(near, 1)
        found[i, 5] = covered_border / max(border, 1)
        found[i, 6] = largest / max(outside, 1)


@njit(nogil=True, cache=True)
def _pieces(pixels: NDArray[np.bool_]) -> tuple[int, int]:
    """Count connected pieces of an image, shape (H, W), and the pixels of the largest."""
    height, width = pixels.shape
    left, waiting = pixels.copy(), np.empty(height * width, np.int64)
    pieces = largest = 0
    for start in range(height * width):
        if not left[start // width, start % width]:
            continue
        left[start // width, start % width] = False
        waiting[0], count, size = start, 1, 0
        pieces += 1
        while count:
            count -= 1
            size += 1
            y, x = waiting[count] // width, waiting[count] % width
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    if left[v, u]:
                        left[v, u] = False
                        waiting[count] = v * width + u
                        count += 1
        largest = max(largest, size)
    return pieces, largest
