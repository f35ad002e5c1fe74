"""Put a centre cell on a background: trials to synthetic crops. Pure arrays, no files, no torch.

Every condition is ``where(mask, cell, background)``; they differ in the background alone. The
centre cell's pixels are never changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from compute.crops.medium import fill_batch
from compute.crops.quality import border_pixels
from compute.errors import unknown_value
from compute.harmonise import PERCENTILES, Scales
from compute.schema import CONDITIONS, Condition, TrialFlag
from compute.store import CropArrays

DONOR_CENTRE = ("remove", "paper")
"""What becomes of a donor's own centre cell: filled with medium, or left as in the paper."""

HALO = 4
"""Pixels around a removed cell that carry its blur and go with it.

On the Paired Cell crops 24, 12, 6, 3 and 2% of a cell's light is left 1 to 5 pixels outside.
"""

SEAM_LIMIT = 0.5
"""Mean difference at the seam, in the unaltered crop's own intensity range, that earns a flag."""


@dataclass(frozen=True)
class Composed:
    """Synthetic crops.

    Parameters
    ----------
    images
        Shape (T, C, H, W), float32, in the centre cells' own intensities.
    flags
        `TrialFlag` bits, int32, shape (T,).
    unaltered
        The cells as imaged, shape (U, C, H, W), float32.
    reference
        Row of `unaltered` for each trial, shape (T,).
    """

    images: NDArray[np.float32]
    flags: NDArray[np.int32]
    unaltered: NDArray[np.float32]
    reference: NDArray[np.int64]


@dataclass(frozen=True)
class _Batch:
    """Trials of one condition with what they are made from; n rows."""

    centre: NDArray[np.float32]
    mask: NDArray[np.bool_]
    foreground: NDArray[np.bool_]
    cell: NDArray[np.int64]
    donor: NDArray[np.int64]
    seed: NDArray[np.int64]
    arrays: CropArrays
    scales: Scales
    keep_donor: bool
    extent: NDArray[np.float32]


_Background = tuple[NDArray[Any], NDArray[np.int32]]


def compose(
    trials: pd.DataFrame, arrays: CropArrays, scales: Scales, donor_centre: str = "remove"
) -> Composed:
    """Make the synthetic crops of some trials.

    Parameters
    ----------
    trials
        Rows of `compute.conditions.Plan.trials`.
    arrays
        The store's pixels.
    scales
        Intensity scales of cells and windows.
    donor_centre
        One of `DONOR_CENTRE`.

    Returns
    -------
    Composed
        In the order of `trials`.

    Raises
    ------
    UsageError
        `donor_centre` is not allowed.
    """
    if donor_centre not in DONOR_CENTRE:
        raise unknown_value("donor centre", donor_centre, DONOR_CENTRE)
    cell = trials["cell"].to_numpy()
    rows, reference = np.unique(cell, return_inverse=True)
    unaltered = arrays.images[rows].astype(np.float32)
    mask = arrays.unpack(arrays.masks[rows])
    foreground = arrays.unpack(arrays.foregrounds[rows])
    ring = grow(mask, HALO) & ~mask
    low, high = np.percentile(unaltered, PERCENTILES, axis=(2, 3))
    extent = (high - low).astype(np.float32)
    images = np.empty((len(trials), *unaltered.shape[1:]), np.float32)
    flags = _mask_flags(mask)[reference]
    donor, seed = trials["donor"].to_numpy(), trials["seed"].to_numpy()
    condition = trials["condition"].to_numpy(dtype=str)
    for name in np.unique(condition):
        here = np.flatnonzero(condition == name)
        of = reference[here]
        batch = _Batch(
            unaltered[of], mask[of], foreground[of], cell[here], donor[here], seed[here],
            arrays, scales, donor_centre == "paper", extent[of],
        )  # fmt: skip
        background, more = BACKGROUNDS[Condition(name)](batch)
        inside = batch.mask[:, None] & (Condition(name) is not Condition.BACKGROUND_ONLY)
        images[here] = np.where(inside, batch.centre, background)
        if CONDITIONS[Condition(name)].donors != "none":
            more = more | _seam(images[here], batch, ring[of])
        flags[here] |= more
    return Composed(images, flags, unaltered, reference)


def _own(batch: _Batch) -> _Background:
    return batch.centre, _no_flags(batch)


def _sham(batch: _Batch) -> _Background:
    """Take the cell's own crop by the way that a donor's crop would go."""
    group = batch.scales.of_cell[batch.cell]
    own = batch.arrays.images[batch.cell].astype(np.float32)
    return batch.scales.move(own, group, group), _no_flags(batch)


def _zero(batch: _Batch) -> _Background:
    return np.zeros_like(batch.centre), _no_flags(batch)


def _emptied(batch: _Batch) -> _Background:
    """Take the cell's own crop with the cell replaced by medium."""
    return _remove_centre(batch.centre, batch.mask, batch.foreground, batch.seed)


def _donor(batch: _Batch) -> _Background:
    """Take a donor's crop, without its own centre cell unless asked as in the paper."""
    arrays, scales = batch.arrays, batch.scales
    image = arrays.images[batch.donor].astype(np.float32)
    mask = arrays.unpack(arrays.masks[batch.donor])
    flags = _no_flags(batch)
    if batch.keep_donor:
        visible = (mask & ~batch.mask).any((1, 2))
        flags[visible] |= TrialFlag.DONOR_VISIBLE
    else:
        foreground = arrays.unpack(arrays.foregrounds[batch.donor])
        image, flags = _remove_centre(image, mask, foreground, batch.seed)
    moved = scales.move(image, scales.of_cell[batch.donor], scales.of_cell[batch.cell])
    return moved, flags


def _window(batch: _Batch) -> _Background:
    scales = batch.scales
    image = batch.arrays.windows[batch.donor].astype(np.float32)
    moved = scales.move(image, scales.of_window[batch.donor], scales.of_cell[batch.cell])
    return moved, _no_flags(batch)


BACKGROUNDS: dict[Condition, Callable[[_Batch], _Background]] = {
    Condition.UNALTERED: _own,
    Condition.SHAM: _sham,
    Condition.MASKED: _zero,
    Condition.BACKGROUND_ONLY: _emptied,
    Condition.SAME: _donor,
    Condition.DIFFERENT: _donor,
    Condition.CELL_FREE: _window,
}
"""The background of every condition that has trials of its own."""


def _remove_centre(
    images: NDArray[np.float32],
    masks: NDArray[np.bool_],
    foregrounds: NDArray[np.bool_],
    seeds: NDArray[np.int64],
) -> _Background:
    """Replace centre cells and their halo, but no neighbour, by medium."""
    neighbours = foregrounds & ~masks
    holes = grow(masks, HALO) & ~neighbours
    filled, little = fill_batch(images, holes, foregrounds, seeds)
    return filled, np.where(little, int(TrialFlag.LITTLE_MEDIUM), 0).astype(np.int32)


def grow(masks: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Dilate each mask of shape (N, H, W) by a number of pixels (city-block distance)."""
    structure = np.zeros((3, 3, 3), bool)
    structure[1, 1, :] = structure[1, :, 1] = True
    return np.asarray(binary_dilation(masks, structure, iterations=pixels))


def _no_flags(batch: _Batch) -> NDArray[np.int32]:
    return np.zeros(len(batch.cell), np.int32)


def _mask_flags(masks: NDArray[np.bool_]) -> NDArray[np.int32]:
    flags = np.zeros(len(masks), np.int32)
    flags[border_pixels(masks) > 0] |= TrialFlag.TOUCHES_BORDER
    flags[~masks.any((1, 2))] |= TrialFlag.EMPTY_MASK
    return flags


def _seam(images: NDArray[np.float32], batch: _Batch, ring: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Flag trials whose background beside the cell is far from what was there before."""
    count = np.maximum(ring.sum((1, 2)), 1)[:, None]
    change = np.einsum("nchw,nhw->nc", images - batch.centre, ring) / count
    far = (np.abs(change) > SEAM_LIMIT * batch.extent).any(1)
    return np.where(far, int(TrialFlag.SEAM), 0).astype(np.int32)
