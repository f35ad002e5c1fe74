"""Finds medium, the part of a crop without cells, and fills holes with it. Pure arrays.

A hole is filled by copying single pixels of the same crop's medium, all channels of a pixel
together: brightness, noise and the correlation between channels stay those of that image.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compute.errors import InputError
from compute.hashing import FIRST, GOLDEN, SECOND
from compute.images.cell_quality import FAR, LEAST_MEDIUM
from compute.images.dilation import Words, grow_square, square, to_masks, to_words

MARGIN = 2
"""Pixels next to a cell that its blur still lights, with about 12% of its light: not medium."""

DIMMEST = 1 / 20
"""Share of a crop's pixels, the dimmest, that are used where there is too little medium."""


def medium_mask(foreground: NDArray[np.bool_], margin: int = MARGIN) -> NDArray[np.bool_]:
    """Find the pixels that are away from any cell.

    Parameters
    ----------
    foreground
        Every cell, booleans of shape (..., H, W).
    margin
        Pixels next to a cell, in squares of side 2·margin + 1, that are not medium; at least 0,
        `MARGIN` by default.

    Returns
    -------
    ndarray
        Booleans of the same shape.
    """
    return ~grow_square(foreground, margin)


def fill_batch(
    images: NDArray[Any],
    holes: NDArray[np.bool_],
    foregrounds: NDArray[np.bool_],
    seeds: NDArray[np.integer[Any]],
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Replace holes by medium of the same crop; the same seed gives the same pixels.

    Pixel p of a hole takes medium pixel number ⌊n · u⌋ of the crop's n in reading order, where u
    is the upper half of ``mix(mix(seed) + p)`` over 2³², whatever other crops there are.

    Parameters
    ----------
    images
        Shape (N, C, H, W), any dtype; not changed.
    holes
        What to replace, booleans of shape (N, H, W).
    foregrounds
        Every cell, booleans of shape (N, H, W). Medium is what is outside the hole and `FAR` from
        any cell, or `MARGIN` where that is too little.
    seeds
        One per crop, shape (N,).

    Returns
    -------
    filled, little_medium
        Images of the same shape and dtype; and booleans of shape (N,), True where a hole was
        filled with the crop's dimmest pixels because there was too little medium
        (`compute.images.cell_quality.LEAST_MEDIUM`).

    Raises
    ------
    InputError
        Shapes do not go together.
    """
    n, _, height, width = images.shape
    if holes.shape != (n, height, width) or holes.shape != foregrounds.shape or len(seeds) != n:
        raise InputError(
            f"Images {images.shape} with holes {holes.shape}, foregrounds {foregrounds.shape} "
            f"and {len(seeds)} seeds.",
            "Expected (N, C, H, W), (N, H, W) twice, and N seeds.",
        )
    filled = images.copy(order="C")
    return filled, fill_in_place(filled, to_words(holes), to_words(foregrounds), np.asarray(seeds))


def fill_in_place(
    images: NDArray[Any], holes: Words, foregrounds: Words, seeds: NDArray[np.integer[Any]]
) -> NDArray[np.bool_]:
    """Replace holes as `fill_batch` does, in the images themselves.

    Parameters
    ----------
    images
        Shape (N, C, H, W), C-contiguous; changed.
    holes, foregrounds
        As for `fill_batch`, packed by `compute.images.dilation.to_words`, shape (N, H, ⌈W/64⌉).
    seeds
        One per crop, shape (N,).

    Returns
    -------
    ndarray
        `little_medium` of `fill_batch`, shape (N,).
    """
    medium, little = find_medium(holes, foregrounds, images.shape[-1])
    return fill_from(images, holes, medium, little, seeds)


def find_medium(holes: Words, foregrounds: Words, width: int) -> tuple[Words, NDArray[np.bool_]]:
    """Find the pixels of each crop that holes are filled from.

    Parameters
    ----------
    holes, foregrounds
        As for `fill_in_place`.
    width
        Width of the crops, pixels.

    Returns
    -------
    medium, scarce
        Words of the same shape: what is outside the hole and `FAR` from any cell, or `MARGIN` where
        that is too little; and whether even that is less than `LEAST_MEDIUM`, shape (N,).
    """
    height = holes.shape[-2]
    inside = to_words(np.ones((height, width), bool)) & ~holes
    medium = inside & ~square(foregrounds, FAR)
    counts, least = _count(medium), LEAST_MEDIUM * height * width
    near = np.flatnonzero(counts < least)
    if len(near):
        medium[near] = inside[near] & ~square(foregrounds[near], MARGIN)
        counts[near] = _count(medium[near])
    return medium, counts < least


def fill_from(
    images: NDArray[Any],
    holes: Words,
    medium: Words,
    scarce: NDArray[np.bool_],
    seeds: NDArray[np.integer[Any]],
) -> NDArray[np.bool_]:
    """Replace holes by the medium that `find_medium` found, in the images themselves.

    Where it is scarce, the crop's dimmest pixels outside the hole are taken (`DIMMEST`).

    Parameters
    ----------
    images, holes, seeds
        As for `fill_in_place`.
    medium, scarce
        From `find_medium`; not changed.

    Returns
    -------
    ndarray
        `little_medium` of `fill_batch`, shape (N,).
    """
    n, channels, height, width = images.shape
    crop = to_words(np.ones((height, width), bool))
    little = scarce & (crop & holes).any((1, 2))
    if little.any():
        medium = medium.copy()
        for i in np.flatnonzero(little):
            medium[i] = to_words(_dimmest(images[i], crop & ~holes[i]))
    # Medium is outside the holes, so nothing is copied that was filled.
    flat = images.reshape(n, channels, height * width, copy=False)
    _copy_medium(flat, width, holes, medium, seeds)
    return little


def _count(words: Words) -> NDArray[np.int64]:
    """Count the pixels of each mask: from shape (N, H, ⌈W/64⌉) to (N,)."""
    return np.bitwise_count(words).sum((1, 2), dtype=np.int64)


@njit(nogil=True, cache=True)
def _mixed(part: np.uint64) -> np.uint64:
    """Return what `compute.hashing.mix` returns for one number."""
    state = part + GOLDEN
    state = (state ^ (state >> np.uint64(30))) * FIRST
    state = (state ^ (state >> np.uint64(27))) * SECOND
    return state ^ (state >> np.uint64(31))


@njit(nogil=True, cache=True)
def _places(words: Words, width: int, place: NDArray[np.int64]) -> int:
    """Write the pixels of one mask, words of shape (H, ⌈W/64⌉), to `place`; return their number."""
    count = 0
    for y in range(len(words)):
        for k in range(words.shape[1]):
            word, first = words[y, k], y * width + 64 * k
            if word:
                for b in range(min(64, width - 64 * k)):
                    place[count] = first + b
                    count += int(word >> np.uint64(63))
                    word <<= np.uint64(1)
    return count


@njit(nogil=True, cache=True)
def _copy_medium(
    pixels: NDArray[Any], width: int, hole: Words, usable: Words, seed: NDArray[Any]
) -> None:
    """Copy a usable pixel of the crop to every pixel of its hole; without one the hole stays.

    `pixels` has shape (n, C, P), `hole` and `usable` (n, H, ⌈W/64⌉), `seed` (n,). It is compiled so
    that other threads run meanwhile, and that memory holds nothing per pixel of all crops.
    """
    n, channels, size = pixels.shape
    medium, lacking, source = np.empty((3, size), np.int64)
    for i in range(n):
        count = _places(usable[i], width, medium)
        if count == 0:
            continue
        holes, own = _places(hole[i], width, lacking), _mixed(np.uint64(seed[i]))
        for k in range(holes):
            draw = _mixed(own + np.uint64(lacking[k])) >> np.uint64(32)
            source[k] = medium[(draw * np.uint64(count)) >> np.uint64(32)]
        for c in range(channels):
            for k in range(holes):
                pixels[i, c, lacking[k]] = pixels[i, c, source[k]]


def windows_from_crops(
    images: NDArray[Any],
    foregrounds: NDArray[np.bool_],
    seeds: NDArray[np.integer[Any]],
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Make windows without cells by filling every cell, and the blur around it, with medium.

    For sources that have crops only; such windows are stored with ``filled=True``.

    Parameters
    ----------
    images
        Shape (N, C, H, W).
    foregrounds
        Every cell, booleans of shape (N, H, W).
    seeds
        One per crop, shape (N,).

    Returns
    -------
    windows, little_medium
        Images of the same shape and dtype; and as `fill_batch`.
    """
    return fill_batch(images, ~medium_mask(foregrounds, FAR), foregrounds, seeds)


def _dimmest(image: NDArray[Any], outside: Words) -> NDArray[np.bool_]:
    """Mark the dimmest pixels outside the hole, every channel with the same weight: (H, W)."""
    values = image.reshape(len(image), -1).astype(np.float64)
    spread = np.maximum(values.std(1, keepdims=True), 1e-12)
    here = to_masks(outside, image.shape[-1]).ravel()
    brightness = np.where(here, (values / spread).sum(0), np.inf)
    wanted = min(max(1, round(DIMMEST * len(here))), int(here.sum()))
    chosen = np.zeros(len(here), bool)
    chosen[np.argsort(brightness, kind="stable")[:wanted]] = True
    return chosen.reshape(image.shape[1:])
