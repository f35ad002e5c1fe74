"""The light that cells throw beyond their outlines: measured, taken away, and taken along.

Layer: pure arrays, compiled; no files. Light adds up. What lies outside a cell is medium, the glow
of that cell, and its neighbours with theirs. So a cell that is removed takes its glow with it, and
one that is pasted brings its own: pixel by pixel where no neighbour is near, and as the mean over
its outline, by distance, where one is.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compute.images.cell_quality import LEAST_MEDIUM
from compute.images.dilation import Words, to_masks

HALO = 4
"""Pixels around a removed cell that carry its blur and are removed with it, and around any cell
that show more of it than of what is behind.

Measured on the Paired Cell Inpainting crops: 1, 2, 3, 4 and 5 pixels outside the mask, 24, 12, 6,
3 and 2% of a cell's light are left.
"""

GLOW = 10
"""Pixels around a pasted cell to which its glow is followed. There 0.5% of its light is left, a
twelfth of the noise (median over the Paired Cell Inpainting crops). With 6 and 8 pixels composites
were told from unaltered crops more often."""

DECAY = 0.6
"""Part of a cell's glow that is left a pixel farther out, where it cannot be measured (on the same
crops 0.6 to 0.65 from pixel to pixel)."""

LEAST_SEEN = 8
"""Pixels of a distance from which its glow is measured at least."""

STEEPS = 5
"""Ways in which a background is brought to the cell's scale, from neighbours (1) to medium (5)."""

NEAREST = 2
"""Pixels around a donor's neighbour that are brought to the cell's scale as the neighbour is; from
there to medium the scale goes over in `STEEPS` − 1 steps of a pixel."""


def medium_light(
    images: NDArray[Any], medium: Words
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Measure level and noise of each crop's medium.

    Parameters
    ----------
    images
        Shape (n, C, H, W).
    medium
        Words of `compute.images.dilation`, shape (n, H, ⌈W/64⌉).

    Returns
    -------
    level, noise, known
        Mean and standard deviation, shape (n, C) each; and whether the crop has enough medium for
        that (`compute.images.cell_quality.LEAST_MEDIUM`), shape (n,).
    """
    inside = to_masks(medium, images.shape[-1]).reshape(len(images), -1)
    level, noise = _mean_and_spread(images.reshape(*images.shape[:2], -1), inside)
    known = np.count_nonzero(inside, axis=1) >= LEAST_MEDIUM * inside.shape[1]
    return level, noise, known


@njit(nogil=True, cache=True)
def _mean_and_spread(
    pixels: NDArray[Any], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Average pixels of shape (n, C, P) inside (n, P), with the standard deviation: (n, C)."""
    n, channels, size = pixels.shape
    level, noise = np.zeros((2, n, channels), np.float32)
    for i in range(n):
        for c in range(channels):
            # Sums of differences from a pixel of the medium keep their precision.
            first, count, total, squares = 0.0, 0, 0.0, 0.0
            for p in range(size):
                if inside[i, p]:
                    value = float(pixels[i, c, p])
                    if count == 0:
                        first = value
                    count += 1
                    total += value - first
                    squares += (value - first) ** 2
            if count:
                mean = total / count
                level[i, c] = first + mean
                noise[i, c] = np.sqrt(max(squares / count - mean * mean, 0.0))
    return level, noise


@njit(nogil=True, cache=True)
def glow_by_distance(
    pixels: NDArray[Any],
    level: NDArray[np.float32],
    steps: NDArray[np.uint8],
    other: NDArray[np.uint8],
) -> NDArray[np.float32]:
    """Measure the mean light around cells, above medium, where no other cell is near.

    Parameters
    ----------
    pixels
        Images, shape (n, C, P).
    level
        Their medium, shape (n, C).
    steps
        Distance from the cells whose glow is measured, shape (n, P).
    other
        Distance from the other cells of the crop; pixels beyond `HALO` count. Shape (n, P).

    Returns
    -------
    ndarray
        Glow by distance, at least 0, shape (n, C, `GLOW` + 2); 0 at distance 0 and beyond `GLOW`.
        A distance with fewer than `LEAST_SEEN` pixels has `DECAY` of the one before it, or that of
        the first behind it; all are 0 where there is none.
    """
    n, channels, size = pixels.shape
    glow = np.zeros((n, channels, GLOW + 2), np.float32)
    count = np.empty(GLOW + 2, np.int64)
    place = np.empty(size, np.int64)
    for i in range(n):
        count[:], seen = 0, 0
        for p in range(size):
            if 0 < steps[i, p] <= GLOW and other[i, p] > HALO:
                place[seen] = p
                seen += 1
                count[steps[i, p]] += 1
        first = 1
        while first <= GLOW and count[first] < LEAST_SEEN:
            first += 1
        if first > GLOW:
            continue
        for c in range(channels):
            total = np.zeros(GLOW + 2)
            for k in range(seen):
                p = place[k]
                total[steps[i, p]] += float(pixels[i, c, p]) - level[i, c]
            for k in range(first, GLOW + 1):
                if count[k] >= LEAST_SEEN:
                    glow[i, c, k] = max(total[k] / count[k], 0.0)
                else:
                    glow[i, c, k] = glow[i, c, k - 1] * DECAY
            glow[i, c, 1:first] = glow[i, c, first]
    return glow


@njit(nogil=True, cache=True)
def take_glow_away(
    pixels: NDArray[Any],
    top: float,
    steps: NDArray[np.uint8],
    other: NDArray[np.uint8],
    own: NDArray[np.float32],
    others: NDArray[np.float32],
) -> None:
    """Complete the removal of centre cells whose holes are filled with medium, in place.

    In the hole the neighbours' glow is added; beyond it, near neighbours, the cell's is subtracted.

    Parameters
    ----------
    pixels
        Images, shape (n, C, P); changed.
    top
        Largest value of their dtype if it has whole numbers only, to which values are then
        rounded; 0 for others.
    steps, other
        Distance from the centre cells, and from the other cells; shape (n, P).
    own, others
        Glow of the cell and of the others from `glow_by_distance`.
    """
    n, channels, size = pixels.shape
    for i in range(n):
        for p in range(size):
            k, j = min(int(steps[i, p]), GLOW + 1), min(int(other[i, p]), GLOW + 1)
            hole = is_hole(k, j)
            if (hole and j > GLOW) or (not hole and (j > HALO or k > GLOW)):
                continue
            for c in range(channels):
                light = others[i, c, j] if hole else -own[i, c, k]
                value = float(pixels[i, c, p]) + light
                if top > 0:
                    value = min(max(np.floor(value + 0.5), 0.0), top)
                pixels[i, c, p] = value


@njit(nogil=True, cache=True, inline="always")
def is_hole(steps: int, other: int) -> bool:
    """Tell whether a pixel is of the hole: the cell, and its halo where no other cell is near."""
    return steps == 0 or (steps <= HALO and other > HALO)


@njit(nogil=True, cache=True)
def glow_image(
    steps: NDArray[np.uint8], glow: NDArray[np.float32], image: NDArray[np.float32]
) -> None:
    """Draw glow by distance, shape (n, C, `GLOW` + 2), to `image`, shape (n, C, P)."""
    n, channels, size = image.shape
    for i in range(n):
        for c in range(channels):
            for p in range(size):
                image[i, c, p] = glow[i, c, min(int(steps[i, p]), GLOW + 1)]


@njit(nogil=True, cache=True)
def layers_of(
    cell: NDArray[np.int64],
    steps: NDArray[np.uint8],
    other: NDArray[np.uint8],
    shown: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Say of every pixel where it comes from.

    Parameters
    ----------
    cell
        Row of `steps` and `other` for each trial, shape (n,).
    steps, other
        Distance from the pasted cells, and from their own neighbours; shape (U, P).
    shown
        Distance from the cells that the background shows, shape (n, P).

    Returns
    -------
    ndarray
        Shape (n, P): 0 for the cell's own pixels, in its mask and, up to `GLOW` beyond it, where
        neither a neighbour of its own nor of the donor is near; else the background's scale, from
        1 (neighbours) to `STEEPS` (medium).
    """
    layers = np.empty_like(shown)
    total, size = shown.shape
    for t in range(total):
        u = cell[t]
        for p in range(size):
            near = int(shown[t, p])
            free = steps[u, p] <= GLOW and other[u, p] > HALO and near > HALO
            scale = min(max(near - NEAREST, 0), STEEPS - 1) + 1
            layers[t, p] = 0 if steps[u, p] == 0 or free else scale
    return layers


@njit(nogil=True, cache=True)
def neighbours_of(
    cell: NDArray[np.int64], steps: NDArray[np.uint8], donor: NDArray[np.uint8], reach: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure how much of a composite the donor's neighbours cover, and how near they come.

    Parameters
    ----------
    cell
        Row of `steps` for each trial, shape (n,).
    steps
        Distance from the pasted cells, shape (U, P).
    donor
        Distance from the donor's neighbours, shape (n, P).
    reach
        Distances beyond it are not told, pixels.

    Returns
    -------
    fraction, distance
        Share of the crop; and steps from the pasted cell to the nearest of these pixels, NaN where
        there is none within `reach`. float32, shape (n,) each.
    """
    n, size = donor.shape
    fraction, distance = np.zeros(n, np.float32), np.full(n, np.nan, np.float32)
    for t in range(n):
        covered, nearest = 0, reach + 1
        for p in range(size):
            if donor[t, p] == 0:
                away = int(steps[cell[t], p])
                if away > 0:
                    covered += 1
                    nearest = min(nearest, away)
        fraction[t] = covered / size
        if nearest <= reach:
            distance[t] = nearest
    return fraction, distance
