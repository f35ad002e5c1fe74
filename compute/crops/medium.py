"""Medium, the part of a crop without cells: where it is, and holes filled with it. Pure arrays.

A hole is filled by copying single pixels of the same crop's medium, all channels of a pixel
together: brightness, noise and the correlation between channels stay those of that image.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compute.crops.dilation import grow_square
from compute.crops.quality import LEAST_MEDIUM
from compute.errors import InputError
from compute.hashing import FIRST, GOLDEN, SECOND

MARGIN = 2
"""Pixels next to a cell that its blur still lights: not medium."""

FAR = 5
"""Margin where the crop has the room: there, under 2% of a cell's light is left (mean over real
yeast crops outlined by `compute.crops.segment`), at `MARGIN` about 12%."""

DIMMEST = 1 / 20
"""Share of the crop's pixels, its dimmest, that stand in where there is too little medium."""

CHUNK = 32
"""Crops filled at a time: what stays in a processor's cache."""


def medium_mask(foreground: NDArray[np.bool_], margin: int = MARGIN) -> NDArray[np.bool_]:
    """Find the pixels that are away from any cell.

    Parameters
    ----------
    foreground
        Every cell, shape (..., H, W).
    margin
        Least distance from a cell, pixels, at least 0; squares of side 2·margin + 1.

    Returns
    -------
    ndarray
        Booleans of the same shape.
    """
    return ~grow_square(foreground, margin)


def fill(
    image: NDArray[Any],
    hole: NDArray[np.bool_],
    foreground: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Replace a hole by medium of the same crop.

    Parameters
    ----------
    image
        Shape (C, H, W).
    hole
        What to replace, shape (H, W).
    foreground
        Every cell, shape (H, W); medium is looked for outside it and outside the hole.
    rng
        Source of the one seed that the choice of pixels depends on.

    Returns
    -------
    ndarray
        A copy, of the image's dtype.
    """
    seed = rng.integers(0, 2**63 - 1, size=1, dtype=np.int64)
    filled, _ = fill_batch(image[None], hole[None], foreground[None], seed)
    return np.asarray(filled[0])


def fill_batch(
    images: NDArray[Any],
    holes: NDArray[np.bool_],
    foregrounds: NDArray[np.bool_],
    seeds: NDArray[np.integer[Any]],
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Replace holes by medium, each crop from its own; the same seed gives the same pixels.

    Pixel p of a hole takes medium pixel number ⌊n · u⌋ of the crop's n in reading order, where u
    is the upper half of ``mix(mix(seed) + p)`` over 2³²: whatever else is in the batch.

    Parameters
    ----------
    images
        Shape (N, C, H, W), any dtype; not changed.
    holes
        What to replace, shape (N, H, W).
    foregrounds
        Every cell, shape (N, H, W); medium is looked for `FAR` from it and outside the hole, at
        `MARGIN` where that is too little.
    seeds
        One per crop, shape (N,).

    Returns
    -------
    filled, little_medium
        Images of the same shape and dtype; and booleans of shape (N,), True where a hole had to
        be filled with the crop's dimmest pixels because there was too little medium
        (`compute.crops.quality.LEAST_MEDIUM`).

    Raises
    ------
    InputError
        Shapes do not go together.
    """
    filled = images.copy(order="C")
    return filled, fill_in_place(filled, holes, foregrounds, seeds)


def fill_in_place(
    images: NDArray[Any],
    holes: NDArray[np.bool_],
    foregrounds: NDArray[np.bool_],
    seeds: NDArray[np.integer[Any]],
) -> NDArray[np.bool_]:
    """Do as `fill_batch`, but change the images, which must be C-contiguous.

    Medium is outside the holes, so nothing is copied that was filled.

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
    seeds = np.asarray(seeds)
    little = np.zeros(n, bool)
    for at in range(0, n, CHUNK):
        part = slice(at, at + CHUNK)
        little[part] = _fill_part(images[part], holes[part], foregrounds[part], seeds[part])
    return little


def _fill_part(
    images: NDArray[Any],
    holes: NDArray[np.bool_],
    foregrounds: NDArray[np.bool_],
    seeds: NDArray[np.integer[Any]],
) -> NDArray[np.bool_]:
    """Fill the holes of a few crops in place; return where medium was scarce."""
    n, channels, height, width = images.shape
    size = height * width
    flat = holes.reshape(n, size)
    usable = (medium_mask(foregrounds, FAR) & ~holes).reshape(n, size)
    counts = usable.sum(1)
    near = np.flatnonzero(counts < LEAST_MEDIUM * size)
    if len(near):
        usable[near] = medium_mask(foregrounds[near]).reshape(-1, size) & ~flat[near]
        counts[near] = usable[near].sum(1)
    little = (counts < LEAST_MEDIUM * size) & flat.any(1)
    for i in np.flatnonzero(little):
        usable[i] = _dimmest(images[i].reshape(channels, size), flat[i])
    _copy_medium(images.reshape(n, channels, size, copy=False), flat, usable, seeds)
    return little


@njit(nogil=True, cache=True)
def _mixed(part: np.uint64) -> np.uint64:
    """Do as `compute.hashing.mix` for one number."""
    state = part + GOLDEN
    state = (state ^ (state >> np.uint64(30))) * FIRST
    state = (state ^ (state >> np.uint64(27))) * SECOND
    return state ^ (state >> np.uint64(31))


@njit(nogil=True, cache=True)
def _copy_medium(
    pixels: NDArray[Any], hole: NDArray[np.bool_], usable: NDArray[np.bool_], seed: NDArray[Any]
) -> None:
    """Copy a usable pixel to every pixel of a hole; where none is usable the hole stays.

    Shapes (n, C, P), (n, P) twice and (n,). Compiled: other threads run meanwhile, and nothing is
    kept of every pixel.
    """
    n, channels, size = pixels.shape
    place = np.empty(size + 1, np.int64)
    for i in range(n):
        count, own = 0, _mixed(np.uint64(seed[i]))
        for p in range(size):
            place[count] = p
            count += usable[i, p]
        if count == 0:
            continue
        for p in range(size):
            if hole[i, p]:
                draw = _mixed(own + np.uint64(p)) >> np.uint64(32)
                source = place[(draw * np.uint64(count)) >> np.uint64(32)]
                for c in range(channels):
                    pixels[i, c, p] = pixels[i, c, source]


def windows_from_crops(
    images: NDArray[Any],
    foregrounds: NDArray[np.bool_],
    seeds: NDArray[np.integer[Any]],
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Make windows without cells by filling every cell, and the blur around it, with medium.

    For sources that have crops only: such windows are stored with ``filled=True``.

    Parameters
    ----------
    images
        Shape (N, C, H, W).
    foregrounds
        Every cell, shape (N, H, W).
    seeds
        One per crop, shape (N,).

    Returns
    -------
    windows, little_medium
        As `fill_batch`.
    """
    return fill_batch(images, ~medium_mask(foregrounds, FAR), foregrounds, seeds)


def _dimmest(image: NDArray[Any], hole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the dimmest pixels outside the hole, all channels taken alike; (C, P) to (P,)."""
    values = image.astype(np.float64)
    spread = np.maximum(values.std(1, keepdims=True), 1e-12)
    brightness = (values / spread).sum(0)
    brightness[hole] = np.inf
    wanted = min(max(1, round(DIMMEST * len(hole))), int((~hole).sum()))
    chosen = np.zeros(len(hole), bool)
    chosen[np.argsort(brightness, kind="stable")[:wanted]] = True
    return chosen
