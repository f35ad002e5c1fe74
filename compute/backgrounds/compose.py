"""Synthetic crops: a centre cell put on another background. Tables and pixels in, pixels out.

Layer: arrays and tensors, no files. Under every condition a synthetic crop is
``where(mask, centre cell, background)``; conditions differ in the background alone, and the centre
cell's pixels never change. The work has two halves: `gather` reads raw pixels and removes the
donors' own centre cells on the CPU; `combine` scales backgrounds and joins them with centre cells
on any device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute.backgrounds import compose_compiled
from compute.backgrounds.config import DONOR_CENTRE, LEFT
from compute.backgrounds.harmonise import Scales
from compute.backgrounds.seam import far_at_the_seam
from compute.errors import unknown_value
from compute.images.cell_quality import border_pixels
from compute.images.dilation import Words, diamond, to_masks
from compute.images.fill_holes import fill_in_place
from compute.schema import CONDITIONS, Condition, TrialFlag
from compute.store.reader import CropArrays, PixelFile, Pixels

HALO = 4
"""Pixels around a removed cell that carry its blur and are removed with it.

Measured on the Paired Cell Inpainting crops: 1, 2, 3, 4 and 5 pixels outside the mask, 24, 12, 6,
3 and 2% of a cell's light are left.
"""


@dataclass(frozen=True)
class Composed:
    """Synthetic crops of T trials.

    Parameters
    ----------
    images
        The crops, shape (T, C, H, W), float32, in the centre cells' own intensities.
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
class CropInputs:
    """What the crops of T trials are composed from, all on one device.

    Parameters
    ----------
    unaltered
        The U centre cells' crops as imaged, float32, shape (U, C, H, W).
    pixels
        Raw images, shape (P, C, H, W): first the U crops of `unaltered`, then the backgrounds
        that are not a cell's own crop. Bits of uint16 are kept as int16, with which every device
        computes.
    mask
        Masks of the centre cells, and last a mask that is empty; booleans, shape (U + 1, 1, H, W).
    centre_row
        Row of `unaltered` (and of `pixels`) with each trial's centre cell, shape (T,).
    background_row
        Row of `pixels` with each trial's background, shape (T,).
    mask_row
        Row of `mask` for each trial, shape (T,): the centre cell's own, or the empty one where
        the background stands alone.
    factor, offset
        Bring the background to the centre cell's scale, float32, shape (T, C).
    flags
        `TrialFlag` bits, int32, shape (T,).
    """

    unaltered: Tensor
    pixels: Tensor
    mask: Tensor
    centre_row: Tensor
    background_row: Tensor
    mask_row: Tensor
    factor: Tensor
    offset: Tensor
    flags: Tensor

    def __len__(self) -> int:
        """Count the trials."""
        return len(self.centre_row)

    def moved(self, move: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function, such as a copy to a device, to every tensor."""
        return type(self)(*(move(getattr(self, f.name)) for f in fields(self)))


class _PixelBuffer:
    """Memory for raw images, allocated once and filled from its start.

    New memory costs more than what is written to it, so every image is read to its final place.

    Parameters
    ----------
    rows
        Images it has room for.
    like
        Images of the same shape and dtype, shape (n, C, H, W).
    """

    def __init__(self, rows: int, like: NDArray[Any]) -> None:
        self._pixels = np.empty((rows, *like.shape[1:]), like.dtype)
        self._used = 0

    @property
    def filled(self) -> NDArray[Any]:
        """All images added so far, shape (n, C, H, W)."""
        return self._pixels[: self._used]

    def add(
        self, source: Pixels, rows: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Copy rows of other images; return the copies, to be changed in place, and their rows."""
        place = self._used + np.arange(len(rows))
        self._used += len(rows)
        images = self._pixels[self._used - len(rows) : self._used]
        if isinstance(source, PixelFile):
            source.read_into(images, rows)
        else:
            images[...] = source[rows]
        return images, place


@dataclass(frozen=True)
class _ConditionTrials:
    """n trials of one condition, with what their backgrounds are made from.

    Parameters
    ----------
    centre
        Crops of the U centre cells as imaged, shape (U, C, H, W).
    mask, foreground
        Masks of these cells, and of every cell in their crops; words of
        `compute.images.dilation`, a row for each centre cell.
    centre_row
        Row of `centre`, `mask` and `foreground` for each trial, shape (n,).
    cell, donor
        Rows of the store: each trial's centre cell and its donor (−1 where it has none; a window's
        row under `cell_free`), shape (n,).
    seed
        Seed of each trial, shape (n,).
    arrays, scales
        The store's pixels and intensity scales.
    keep_donor
        Whether the donor's own centre cell stays, as in the paper, shape (n,).
    buffer
        Holds the centre cells' crops first; the backgrounds are added to it.
    """

    centre: NDArray[Any]
    mask: Words
    foreground: Words
    centre_row: NDArray[np.int64]
    cell: NDArray[np.int64]
    donor: NDArray[np.int64]
    seed: NDArray[np.int64]
    arrays: CropArrays
    scales: Scales
    keep_donor: NDArray[np.bool_]
    buffer: _PixelBuffer


@dataclass(frozen=True)
class _Backgrounds:
    """Backgrounds of n trials.

    Parameters
    ----------
    row
        Row of the buffer with each trial's background, shape (n,).
    factor, offset
        Bring it to the centre cell's scale; shape (n, C), or a number for all.
    flags
        `TrialFlag` bits, shape (n,), or 0.
    """

    row: NDArray[np.int64]
    factor: NDArray[np.float32] | float = 1.0
    offset: NDArray[np.float32] | float = 0.0
    flags: NDArray[np.int32] | int = 0


def compose(
    trials: pd.DataFrame, arrays: CropArrays, scales: Scales, donor_centre: str = "remove"
) -> Composed:
    """Make the synthetic crops of some trials, on the CPU.

    Parameters
    ----------
    trials
        Rows of `compute.backgrounds.plan.Plan.trials`; where they have a column `other_centre`,
        donors' own centre cells are treated the other way in rows in which it is true.
    arrays
        The store's pixels.
    scales
        Intensity scales of cells and windows.
    donor_centre
        One of `DONOR_CENTRE`, by default ``"remove"``.

    Returns
    -------
    Composed
        In the order of `trials`.

    Raises
    ------
    UsageError
        `donor_centre` is not allowed.
    """
    inputs = gather(trials, arrays, scales, donor_centre)
    images = combine(inputs, slice(0, len(inputs)))
    flags, reference = inputs.flags.numpy(), inputs.centre_row.numpy()
    return Composed(images.numpy(), flags, inputs.unaltered.numpy(), reference)


def gather(
    trials: pd.DataFrame,
    arrays: CropArrays,
    scales: Scales,
    donor_centre: str = "remove",
    channels: Sequence[int] | None = None,
) -> CropInputs:
    """Read what the crops of some trials are composed from.

    Parameters
    ----------
    trials, arrays, scales, donor_centre
        See `compose`.
    channels
        Channels that are wanted, in ascending order; None, the default, takes all. Flags look at
        all channels in any case.

    Returns
    -------
    CropInputs
        In the order of `trials`, on the CPU.

    Raises
    ------
    UsageError
        `donor_centre` is not allowed.
    """
    if donor_centre not in DONOR_CENTRE:
        raise unknown_value("donor centre", donor_centre, DONOR_CENTRE)
    cell = trials["cell"].to_numpy()
    cells, centre_row = np.unique(cell, return_inverse=True)
    buffer = _PixelBuffer(len(cells) + len(trials), arrays.images[cells[:1]])
    centre, _ = buffer.add(arrays.images, cells)
    packed = arrays.masks[cells]
    mask, words = arrays.unpack(packed), arrays.words(packed)
    foreground = arrays.words(arrays.foregrounds[cells])
    donor, seed = trials["donor"].to_numpy(), trials["seed"].to_numpy()
    condition = trials["condition"].to_numpy(dtype=str)
    total = len(trials)
    background_row = np.empty(total, np.int64)
    factor, offset = np.ones((2, total, centre.shape[1]), np.float32)
    mask_row, borrowed = centre_row.copy(), np.zeros(total, bool)
    flags = _mask_flags(mask)[centre_row]
    keep = np.full(total, donor_centre == LEFT)
    if "other_centre" in trials:
        keep ^= trials["other_centre"].to_numpy(bool)
    for name in np.unique(condition):
        here = np.flatnonzero(condition == name)
        of_condition = _ConditionTrials(
            centre, words, foreground, centre_row[here], cell[here], donor[here], seed[here],
            arrays, scales, keep[here], buffer,
        )  # fmt: skip
        found = BACKGROUNDS[Condition(name)](of_condition)
        background_row[here] = found.row
        factor[here], offset[here] = found.factor, found.offset
        flags[here] |= found.flags
        if not CONDITIONS[Condition(name)].keeps_cell:
            mask_row[here] = len(mask)
        borrowed[here] = CONDITIONS[Condition(name)].donors != "none"
    pixels = buffer.filled
    ring = to_masks(diamond(words, HALO) & ~words, mask.shape[-1])
    far = far_at_the_seam(pixels, ring, centre_row, background_row, factor, offset)
    flags[borrowed & far] |= int(TrialFlag.SEAM)
    if channels is not None and len(channels) < pixels.shape[1]:
        wanted = list(channels)
        pixels, factor, offset = pixels[:, wanted], factor[:, wanted], offset[:, wanted]
    unaltered = pixels[: len(cells)].astype(np.float32)
    if pixels.dtype == np.uint16:
        pixels = pixels.view(np.int16)
    masks = np.zeros((len(mask) + 1, 1, *mask.shape[1:]), bool)
    masks[:-1, 0] = mask
    in_order = (
        unaltered, pixels, masks, centre_row, background_row, mask_row, factor, offset, flags,
    )  # fmt: skip
    return CropInputs(*map(torch.from_numpy, in_order))


def combine(inputs: CropInputs, rows: slice) -> Tensor:
    """Join centre cells and backgrounds of some trials, on the device of `inputs`.

    Returns
    -------
    Tensor
        Synthetic crops, n×C×H×W float32.
    """
    join = compose_compiled.join if inputs.pixels.device.type == "cpu" else join_on_device
    return join(
        inputs.pixels, inputs.unaltered, inputs.mask,
        inputs.centre_row[rows], inputs.background_row[rows], inputs.mask_row[rows],
        inputs.factor[rows], inputs.offset[rows],
    )  # fmt: skip


def join_on_device(
    pixels: Tensor, unaltered: Tensor, mask: Tensor,
    centre_row: Tensor, background_row: Tensor, mask_row: Tensor, factor: Tensor, offset: Tensor,
) -> Tensor:  # fmt: skip
    """Join as `compose_compiled.join` does, on any device: all crops together, in steps.

    Arguments are the fields of `CropInputs`, those by trial for n trials; returns n×C×H×W float32.
    """
    background = pixels.index_select(0, background_row)
    if background.dtype == torch.int16:
        background = background.to(torch.int32).bitwise_and_(0xFFFF)
    background = background.to(torch.float32)
    background.mul_(factor[:, :, None, None]).add_(offset[:, :, None, None])
    shows_cell, centre = mask.index_select(0, mask_row), unaltered.index_select(0, centre_row)
    return torch.where(shows_cell, centre, background)


def _own(trials: _ConditionTrials) -> _Backgrounds:
    """Leave each cell on its own crop."""
    return _Backgrounds(trials.centre_row)


def _sham(trials: _ConditionTrials) -> _Backgrounds:
    """Take each cell's own crop through every step that a donor's crop goes through."""
    group = trials.scales.of_cell[trials.cell]
    _, row = trials.buffer.add(trials.arrays.images, trials.cell)
    return _Backgrounds(row, *trials.scales.factors(group, group))


def _zero(trials: _ConditionTrials) -> _Backgrounds:
    """Set the background to zero."""
    return _Backgrounds(trials.centre_row, factor=0.0)


def _emptied(trials: _ConditionTrials) -> _Backgrounds:
    """Take each cell's own crop with the cell replaced by medium."""
    rows = trials.centre_row
    images, row = trials.buffer.add(trials.centre, rows)
    flags = _remove_centre(images, trials.mask[rows], trials.foreground[rows], trials.seed)
    return _Backgrounds(row, flags=flags)


def _alone(trials: _ConditionTrials) -> _Backgrounds:
    """Take each cell's own crop with every cell replaced by medium."""
    rows = trials.centre_row
    images, row = trials.buffer.add(trials.centre, rows)
    foreground = trials.foreground[rows]
    little = fill_in_place(images, diamond(foreground, HALO), foreground, trials.seed)
    flags = np.where(little, int(TrialFlag.LITTLE_MEDIUM), 0).astype(np.int32)
    return _Backgrounds(row, flags=flags)


def _donor(trials: _ConditionTrials) -> _Backgrounds:
    """Take a donor's crop, without its own centre cell unless asked as in the paper."""
    arrays, scales, donor = trials.arrays, trials.scales, trials.donor
    images, row = trials.buffer.add(arrays.images, donor)
    mask = arrays.words(arrays.masks[donor])
    visible = trials.keep_donor & (mask & ~trials.mask[trials.centre_row]).any((1, 2))
    flags = np.where(visible, int(TrialFlag.DONOR_VISIBLE), 0).astype(np.int32)
    gone = np.flatnonzero(~trials.keep_donor)
    if len(gone):
        foreground = arrays.words(arrays.foregrounds[donor[gone]])
        emptied = images[gone]
        flags[gone] = _remove_centre(emptied, mask[gone], foreground, trials.seed[gone])
        images[gone] = emptied
    moved = scales.factors(scales.of_cell[donor], scales.of_cell[trials.cell])
    return _Backgrounds(row, *moved, flags)


def _window(trials: _ConditionTrials) -> _Backgrounds:
    """Take a window in which no cell is; one that several trials share is read once."""
    scales = trials.scales
    windows, which = np.unique(trials.donor, return_inverse=True)
    _, row = trials.buffer.add(trials.arrays.windows, windows)
    moved = scales.factors(scales.of_window[trials.donor], scales.of_cell[trials.cell])
    return _Backgrounds(row[which], *moved)


BACKGROUNDS: dict[Condition, Callable[[_ConditionTrials], _Backgrounds]] = {
    Condition.UNALTERED: _own,
    Condition.SHAM: _sham,
    Condition.MASKED: _zero,
    Condition.BACKGROUND_ONLY: _emptied,
    Condition.ALONE: _alone,
    Condition.SAME_PROTEIN: _donor,
    Condition.SAME: _donor,
    Condition.DIFFERENT: _donor,
    Condition.CELL_FREE: _window,
}
"""The background of every condition that has trials of its own."""


def _remove_centre(
    images: NDArray[Any], masks: Words, foregrounds: Words, seeds: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Replace centre cells and their halo, but no neighbour, by medium, in place.

    Parameters
    ----------
    images
        Crops, shape (n, C, H, W); changed.
    masks, foregrounds
        Words of `compute.images.dilation`: the centre cell, and every cell in the crop.
    seeds
        Choose the medium pixels that fill each hole, shape (n,).

    Returns
    -------
    ndarray
        `TrialFlag.LITTLE_MEDIUM` where a crop has little medium to fill from, else 0; shape (n,).
    """
    neighbours = foregrounds & ~masks
    holes = diamond(masks, HALO) & ~neighbours
    little = fill_in_place(images, holes, foregrounds, seeds)
    return np.where(little, int(TrialFlag.LITTLE_MEDIUM), 0).astype(np.int32)


def _mask_flags(masks: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Flag centre cells, masks of shape (U, H, W), that touch the crop's border or are empty."""
    flags = np.zeros(len(masks), np.int32)
    flags[border_pixels(masks) > 0] |= TrialFlag.TOUCHES_BORDER
    flags[~masks.any((1, 2))] |= TrialFlag.EMPTY_MASK
    return flags
