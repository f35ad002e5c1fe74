"""Whether masks lie on cells, and whether crops have surroundings. Pure arrays, compiled.

A label image that is transposed or shifted, or a mask of another crop, looks like any other mask.
Only the pixels tell: a cell differs from the ring around it. And crops whose outside was painted
over (black, the mean) have nothing to exchange; a run would find that no model uses it.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compute.images.dilation import grow_square

GAP, REACH = 2, 8
"""The ring around a mask begins and ends so many pixels outside of it: beyond the blur of its edge,
and nearer than most neighbours."""

LEAST_PIXELS = 10
"""Pixels of a mask, and of the ring around it, below which nothing is said of it."""

PAINTED = 0.99
"""Least share of the pixels outside a cell that equal the one on their right where nothing is left
of its surroundings. Noise makes nearly all of them differ."""


def contrasts(
    images: NDArray[Any], masks: NDArray[np.bool_], foregrounds: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure how cells stand out of what is around them, by ranks, so that no scale matters.

    Parameters
    ----------
    images
        Shape (N, C, H, W).
    masks, foregrounds
        Centre cells, and every cell, shape (N, H, W).

    Returns
    -------
    contrast, difference
        Shape (N, C). The share of the pixels in the ring around a cell (`GAP` to `REACH` pixels
        from it, without other cells) that are darker than the cell's median: 1 for a bright cell, 0
        for a dark one, around 0.5 where there is none. And the cell's mean less that of the ring,
        in standard errors of this difference (Welch's t). NaN where the cell or its ring has fewer
        than `LEAST_PIXELS`.
    """
    rings = grow_square(masks, REACH) & ~grow_square(masks, GAP)
    rings &= ~grow_square(foregrounds & ~masks, GAP)
    contrast = np.full(images.shape[:2], np.nan)
    difference = np.full(images.shape[:2], np.nan)
    _contrasts(np.ascontiguousarray(images), masks, rings, contrast, difference)
    return contrast, difference


@njit(nogil=True, cache=True)
def _contrasts(
    images: NDArray[Any],
    masks: NDArray[np.bool_],
    rings: NDArray[np.bool_],
    contrast: NDArray[np.float64],
    difference: NDArray[np.float64],
) -> None:
    """Compare the pixels of every cell with those of its ring; written to the last two."""
    for i in range(len(images)):
        inside, outside = masks[i].ravel(), rings[i].ravel()
        if min(inside.sum(), outside.sum()) < LEAST_PIXELS:
            continue
        for channel in range(images.shape[1]):
            values = images[i, channel].ravel()
            cell = values[inside].astype(np.float64)
            around = values[outside].astype(np.float64)
            middle = np.median(cell)
            darker = equal = 0
            for value in around:
                darker += value < middle
                equal += value == middle
            contrast[i, channel] = darker / len(around) + equal / len(around) / 2
            error = np.sqrt(cell.var() / len(cell) + around.var() / len(around))
            difference[i, channel] = (cell.mean() - around.mean()) / max(error, 1e-12)


def without_surroundings(images: NDArray[Any], masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the channels in which a crop holds nothing but its cell.

    Parameters
    ----------
    images
        Shape (N, C, H, W).
    masks
        Centre cells, shape (N, H, W); of a crop without one the outermost eighth is looked at.

    Returns
    -------
    ndarray
        Booleans of shape (N, C): whether the outside is free of noise (`PAINTED`).
    """
    found = np.zeros(images.shape[:2], bool)
    far, near = ~grow_square(masks, REACH), ~grow_square(masks, GAP)
    side = images.shape[-1]
    frame = np.ones(masks.shape[1:], bool)
    frame[side // 8 : -(side // 8), side // 8 : -(side // 8)] = False
    share, there = far.mean((1, 2)), masks.any((1, 2))
    outside = np.where((share > 0.05)[:, None, None], far, near)
    outside[~there] = frame
    _painted(np.ascontiguousarray(images), outside, found)
    return found


@njit(nogil=True, cache=True)
def _painted(images: NDArray[Any], outside: NDArray[np.bool_], found: NDArray[np.bool_]) -> None:
    """Write to `found` in which channels pixels outside equal the one on their right."""
    n, channels, height, width = images.shape
    for i in range(n):
        for channel in range(channels):
            pairs = equal = 0
            for y in range(height):
                for x in range(width - 1):
                    if outside[i, y, x] and outside[i, y, x + 1]:
                        pairs += 1
                        equal += images[i, channel, y, x] == images[i, channel, y, x + 1]
            found[i, channel] = pairs >= LEAST_PIXELS and equal / pairs >= PAINTED
