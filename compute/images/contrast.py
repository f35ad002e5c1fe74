"""Whether masks lie on cells, and whether crops have surroundings. Pure arrays, no files.

A label image that is transposed or shifted, or a mask of another crop, looks like any other mask.
Only the pixels tell: a cell differs from the ring around it. And crops whose outside was painted
over (black, the mean) have nothing to exchange; a run would find that no model uses it.
"""

from typing import Any

import numpy as np
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
    for i, (mask, ring) in enumerate(zip(masks, rings, strict=True)):
        if min(mask.sum(), ring.sum()) < LEAST_PIXELS:
            continue
        cell, around = images[i][:, mask].astype(np.float64), images[i][:, ring].astype(np.float64)
        middle = np.median(cell, 1)[:, None]
        contrast[i] = (around < middle).mean(1) + (around == middle).mean(1) / 2
        error = np.sqrt(cell.var(1) / cell.shape[1] + around.var(1) / around.shape[1])
        difference[i] = (cell.mean(1) - around.mean(1)) / np.maximum(error, 1e-12)
    return contrast, difference


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
    for i, mask in enumerate(masks):
        outside = frame if not mask.any() else far[i] if far[i].mean() > 0.05 else near[i]
        both = outside[:, 1:] & outside[:, :-1]
        if both.sum() < LEAST_PIXELS:
            continue
        equal = images[i][:, :, 1:] == images[i][:, :, :-1]
        found[i] = equal[:, both].mean(1) >= PAINTED
    return found
