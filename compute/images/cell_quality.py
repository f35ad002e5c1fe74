"""Flags cells that cannot be in a trial, from their masks. Pure arrays, no files."""

import numpy as np
from numpy.typing import NDArray

from compute.schema import CellFlag

SMALLEST_AREA = 41
"""Least area of a cell's mask, pixels; less is debris."""

SMALLEST_SHARE = 1 / 100
"""In crops smaller than 64×64 the least area is this share of the crop."""

OFF_CENTRE = 1 / 6
"""Largest distance of the mask's centroid from the crop's centre, in crop sides."""

BORDER_LENGTH = 1 / 8
"""Largest number of mask pixels on the crop's outermost ring, in crop sides."""

LARGE_CROP = 64
"""Side from which distances and lengths go by the cell's size: a crop may be far larger than the
cell in its middle."""

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
    empty = area < smallest_area(height, width)
    distance = centre_distances(masks)
    ring = border_pixels(masks)
    medium = height * width - foregrounds.sum((1, 2))
    side, radius = min(height, width), np.sqrt(area / np.pi)
    flags[empty] |= CellFlag.EMPTY_MASK
    flags[~empty & (distance > by_cell(OFF_CENTRE, side, radius))] |= CellFlag.OFF_CENTRE
    flags[ring > by_cell(BORDER_LENGTH, side, radius)] |= CellFlag.TOUCHES_BORDER
    flags[medium < LEAST_MEDIUM * height * width] |= CellFlag.LITTLE_MEDIUM
    return flags


def smallest_area(height: int, width: int) -> float:
    """Return the least area of a cell in a crop of this size, pixels."""
    return min(SMALLEST_AREA, SMALLEST_SHARE * height * width)


def by_cell(share: float, side: int, radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a share of the crop's side, but in large crops no more than the cell's size allows.

    Parameters
    ----------
    share
        The limit in crop sides.
    side
        Of the crop, pixels. Up to `LARGE_CROP` it alone decides.
    radius
        Of a disc of the cell's area, pixels, any shape.

    Returns
    -------
    ndarray
        Pixels: the share of the side, or of `LARGE_CROP` or the radius where these are less.
    """
    return np.minimum(share * side, np.maximum(share * LARGE_CROP, radius))


def centre_distances(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Measure how far masks' centroids are from their crops' centres, pixels.

    From shape (N, H, W) to (N,); an empty mask counts as one in the corner.
    """
    height, width = masks.shape[1:]
    safe = np.maximum(masks.sum((1, 2)), 1)
    y = masks.sum(2) @ (np.arange(height) + 0.5) / safe - height / 2
    x = masks.sum(1) @ (np.arange(width) + 0.5) / safe - width / 2
    return np.asarray(np.hypot(x, y), np.float64)


def border_pixels(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count mask pixels on the outermost ring of each crop: from shape (N, H, W) to (N,)."""
    inner = masks[:, 1:-1, 1:-1].sum((1, 2))
    return np.asarray(masks.sum((1, 2)) - inner, np.int64)
