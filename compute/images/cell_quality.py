"""Flags cells that cannot be in a trial, from their masks. Pure arrays, no files."""

import numpy as np
from numpy.typing import NDArray

from compute.schema import CellFlag

SMALLEST_AREA = 1 / 100
"""Least area of a cell's mask, share of the crop (41 pixels of 64×64); less is debris."""

OFF_CENTRE = 1 / 6
"""Largest distance of the mask's centroid from the crop's centre, in crop sides."""

BORDER_LENGTH = 1 / 8
"""Largest number of mask pixels on the crop's outermost ring, in crop sides."""

LEAST_MEDIUM = 1 / 40
"""Least share of the crop that must be medium to fill holes from it (102 pixels of 64×64)."""

FAR = 5
"""Pixels next to a cell that are not medium where the crop has enough room: beyond them, under 2%
of a cell's light is left (mean over real yeast crops outlined by `compute.images.segmentation`)."""


def flag_cells(masks: NDArray[np.bool_], foregrounds: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Flag cells whose mask is empty, off centre or cut by the border, and crowded crops.

    Parameters
    ----------
    masks
        Centre cells, shape (N, H, W).
    foregrounds
        Every cell in the crop, shape (N, H, W).

    Returns
    -------
    ndarray
        `compute.schema.CellFlag` bits, int32, shape (N,).
    """
    n, height, width = masks.shape
    flags = np.zeros(n, np.int32)
    if n == 0:
        return flags
    area = masks.sum((1, 2))
    empty = area < SMALLEST_AREA * height * width
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    safe = np.maximum(area, 1)
    y = masks.sum(2) @ rows / safe / height - 0.5
    x = masks.sum(1) @ columns / safe / width - 0.5
    ring = border_pixels(masks)
    medium = height * width - foregrounds.sum((1, 2))
    flags[empty] |= CellFlag.EMPTY_MASK
    flags[~empty & (np.hypot(x, y) > OFF_CENTRE)] |= CellFlag.OFF_CENTRE
    flags[ring > BORDER_LENGTH * min(height, width)] |= CellFlag.TOUCHES_BORDER
    flags[medium < LEAST_MEDIUM * height * width] |= CellFlag.LITTLE_MEDIUM
    return flags


def border_pixels(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count mask pixels on the outermost ring of each crop: from shape (N, H, W) to (N,)."""
    inner = masks[:, 1:-1, 1:-1].sum((1, 2))
    return np.asarray(masks.sum((1, 2)) - inner, np.int64)
