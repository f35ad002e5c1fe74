"""Put a centre cell on a background: trials to synthetic crops. No files.

Every condition is ``where(mask, cell, background)``; they differ in the background alone. The
centre cell's pixels are never changed. Work is cut in two: `gather` reads raw pixels and removes
donors' centre cells on the CPU, `combine` scales and joins them on any device.
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
from compute.backgrounds.config import DONOR_CENTRE
from compute.backgrounds.harmonise import Scales
from compute.backgrounds.seam import far_at_the_seam
from compute.errors import unknown_value
from compute.images.cell_quality import border_pixels
from compute.images.dilation import Words, diamond, to_masks
from compute.images.fill_holes import fill_in_place
from compute.schema import CONDITIONS, Condition, TrialFlag
from compute.store.reader import CropArrays, PixelFile, Pixels

HALO = 4
"""Pixels around a removed cell that carry its blur and go with it.

On the Paired Cell crops 24, 12, 6, 3 and 2% of a cell's light is left 1 to 5 pixels outside.
"""


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
class Pieces:
    """What the crops of T trials are put together from; on one device.

    Parameters
    ----------
    unaltered
        The U cells as imaged, float32, shape (U, C, H, W).
    pixels
        Raw images, shape (P, C, H, W): first the U cells, then the backgrounds that are not
        their own. Bits of uint16 are kept as int16, with which every device computes.
    mask
        Centre cells, and last a mask that is empty; booleans, shape (U + 1, 1, H, W).
    cell, ground
        Rows of `pixels`: centre cell and background of each trial, shape (T,).
    shown
        Rows of `mask`: what each trial shows of its centre cell, all or nothing, shape (T,).
    factor, offset
        Bring the background to the centre cell's scale, float32, shape (T, C).
    flags
        `TrialFlag` bits, int32, shape (T,).
    """

    unaltered: Tensor
    pixels: Tensor
    mask: Tensor
    cell: Tensor
    ground: Tensor
    shown: Tensor
    factor: Tensor
    offset: Tensor
    flags: Tensor

    def __len__(self) -> int:
        """Count the trials."""
        return len(self.cell)

    def moved(self, move: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function, such as a copy to a device, to every tensor."""
        return type(self)(*(move(getattr(self, f.name)) for f in fields(self)))


class _Room:
    """Raw images in one block of memory, filled from its start.

    New memory costs more than what is written to it, so everything is read to its place.
    """

    def __init__(self, rows: int, like: NDArray[Any]) -> None:
        self._pixels = np.empty((rows, *like.shape[1:]), like.dtype)
        self._used = 0

    @property
    def filled(self) -> NDArray[Any]:
        """All images so far."""
        return self._pixels[: self._used]

    def add(
        self, source: Pixels, rows: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Copy rows of other images; return them, to be changed in place, and their places."""
        place = self._used + np.arange(len(rows))
        self._used += len(rows)
        images = self._pixels[self._used - len(rows) : self._used]
        if isinstance(source, PixelFile):
            source.read_into(images, rows)
        else:
            images[...] = source[rows]
        return images, place


@dataclass(frozen=True)
class _Batch:
    """Trials of one condition with what their backgrounds are made from; n rows.

    `centre`, `mask` and `foreground` have a row per cell, `of` tells which one a trial has; masks
    are words of `compute.images.dilation`. `room` holds the cells, and takes the backgrounds.
    """

    centre: NDArray[Any]
    mask: Words
    foreground: Words
    of: NDArray[np.int64]
    cell: NDArray[np.int64]
    donor: NDArray[np.int64]
    seed: NDArray[np.int64]
    arrays: CropArrays
    scales: Scales
    keep_donor: bool
    room: _Room


@dataclass(frozen=True)
class _Ground:
    """Backgrounds of n trials.

    Parameters
    ----------
    row
        Which image of the room is behind each trial, shape (n,).
    factor, offset
        Shape (n, C), or a number for all.
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
        Rows of `compute.backgrounds.plan.Plan.trials`.
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
    pieces = gather(trials, arrays, scales, donor_centre)
    images = combine(pieces, slice(0, len(pieces)))
    flags, cell = pieces.flags.numpy(), pieces.cell.numpy()
    return Composed(images.numpy(), flags, pieces.unaltered.numpy(), cell)


def gather(
    trials: pd.DataFrame,
    arrays: CropArrays,
    scales: Scales,
    donor_centre: str = "remove",
    channels: Sequence[int] | None = None,
) -> Pieces:
    """Read what some trials are made from.

    Parameters
    ----------
    trials, arrays, scales, donor_centre
        See `compose`.
    channels
        Those that are wanted, in ascending order; None takes all. Flags look at all.

    Returns
    -------
    Pieces
        In the order of `trials`, on the CPU.

    Raises
    ------
    UsageError
        `donor_centre` is not allowed.
    """
    if donor_centre not in DONOR_CENTRE:
        raise unknown_value("donor centre", donor_centre, DONOR_CENTRE)
    cell = trials["cell"].to_numpy()
    rows, of = np.unique(cell, return_inverse=True)
    room = _Room(len(rows) + len(trials), arrays.images[rows[:1]])
    centre, _ = room.add(arrays.images, rows)
    packed = arrays.masks[rows]
    mask, words = arrays.unpack(packed), arrays.words(packed)
    foreground = arrays.words(arrays.foregrounds[rows])
    donor, seed = trials["donor"].to_numpy(), trials["seed"].to_numpy()
    condition = trials["condition"].to_numpy(dtype=str)
    total = len(trials)
    ground = np.empty(total, np.int64)
    factor, offset = np.ones((2, total, centre.shape[1]), np.float32)
    shown, borrowed = of.copy(), np.zeros(total, bool)
    flags = _mask_flags(mask)[of]
    for name in np.unique(condition):
        here = np.flatnonzero(condition == name)
        batch = _Batch(
            centre, words, foreground, of[here], cell[here], donor[here], seed[here],
            arrays, scales, donor_centre == "paper", room,
        )  # fmt: skip
        found = BACKGROUNDS[Condition(name)](batch)
        ground[here] = found.row
        factor[here], offset[here] = found.factor, found.offset
        flags[here] |= found.flags
        if Condition(name) is Condition.BACKGROUND_ONLY:
            shown[here] = len(mask)
        borrowed[here] = CONDITIONS[Condition(name)].donors != "none"
    pixels = room.filled
    ring = to_masks(diamond(words, HALO) & ~words, mask.shape[-1])
    far = far_at_the_seam(pixels, ring, of, ground, factor, offset)
    flags[borrowed & far] |= int(TrialFlag.SEAM)
    if channels is not None and len(channels) < pixels.shape[1]:
        wanted = list(channels)
        pixels, factor, offset = pixels[:, wanted], factor[:, wanted], offset[:, wanted]
    unaltered = pixels[: len(rows)].astype(np.float32)
    if pixels.dtype == np.uint16:
        pixels = pixels.view(np.int16)
    solid = np.zeros((len(mask) + 1, 1, *mask.shape[1:]), bool)
    solid[:-1, 0] = mask
    arrays_in_order = (unaltered, pixels, solid, of, ground, shown, factor, offset, flags)
    return Pieces(*map(torch.from_numpy, arrays_in_order))


def combine(pieces: Pieces, rows: slice) -> Tensor:
    """Join some trials' cells and backgrounds, where the pieces are.

    Returns
    -------
    Tensor
        Synthetic crops, n×C×H×W float32.
    """
    join = compose_compiled.join if pieces.pixels.device.type == "cpu" else join_on_device
    return join(
        pieces.pixels, pieces.unaltered, pieces.mask, pieces.cell[rows], pieces.ground[rows],
        pieces.shown[rows], pieces.factor[rows], pieces.offset[rows],
    )  # fmt: skip


def join_on_device(
    pixels: Tensor, unaltered: Tensor, mask: Tensor,
    cell: Tensor, ground: Tensor, shown: Tensor, factor: Tensor, offset: Tensor,
) -> Tensor:  # fmt: skip
    """Join as `compose_compiled.join` does, on any device: all crops together, in steps."""
    behind = pixels.index_select(0, ground)
    if behind.dtype == torch.int16:
        behind = behind.to(torch.int32).bitwise_and_(0xFFFF)
    behind = behind.to(torch.float32)
    behind.mul_(factor[:, :, None, None]).add_(offset[:, :, None, None])
    return torch.where(mask.index_select(0, shown), unaltered.index_select(0, cell), behind)


def _own(batch: _Batch) -> _Ground:
    return _Ground(batch.of)


def _sham(batch: _Batch) -> _Ground:
    """Take the cell's own crop by the way that a donor's crop would go."""
    group = batch.scales.of_cell[batch.cell]
    _, row = batch.room.add(batch.arrays.images, batch.cell)
    return _Ground(row, *batch.scales.factors(group, group))


def _zero(batch: _Batch) -> _Ground:
    return _Ground(batch.of, factor=0.0)


def _emptied(batch: _Batch) -> _Ground:
    """Take the cell's own crop with the cell replaced by medium."""
    of = batch.of
    own, row = batch.room.add(batch.centre, of)
    flags = _remove_centre(own, batch.mask[of], batch.foreground[of], batch.seed)
    return _Ground(row, flags=flags)


def _donor(batch: _Batch) -> _Ground:
    """Take a donor's crop, without its own centre cell unless asked as in the paper."""
    arrays, scales, donor = batch.arrays, batch.scales, batch.donor
    image, row = batch.room.add(arrays.images, donor)
    mask = arrays.words(arrays.masks[donor])
    if batch.keep_donor:
        visible = (mask & ~batch.mask[batch.of]).any((1, 2))
        flags = np.where(visible, int(TrialFlag.DONOR_VISIBLE), 0).astype(np.int32)
    else:
        foreground = arrays.words(arrays.foregrounds[donor])
        flags = _remove_centre(image, mask, foreground, batch.seed)
    moved = scales.factors(scales.of_cell[donor], scales.of_cell[batch.cell])
    return _Ground(row, *moved, flags)


def _window(batch: _Batch) -> _Ground:
    scales = batch.scales
    windows, which = np.unique(batch.donor, return_inverse=True)
    _, row = batch.room.add(batch.arrays.windows, windows)
    moved = scales.factors(scales.of_window[batch.donor], scales.of_cell[batch.cell])
    return _Ground(row[which], *moved)


BACKGROUNDS: dict[Condition, Callable[[_Batch], _Ground]] = {
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
    images: NDArray[Any], masks: Words, foregrounds: Words, seeds: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Replace centre cells and their halo, but no neighbour, by medium, in place."""
    neighbours = foregrounds & ~masks
    holes = diamond(masks, HALO) & ~neighbours
    little = fill_in_place(images, holes, foregrounds, seeds)
    return np.where(little, int(TrialFlag.LITTLE_MEDIUM), 0).astype(np.int32)


def _mask_flags(masks: NDArray[np.bool_]) -> NDArray[np.int32]:
    flags = np.zeros(len(masks), np.int32)
    flags[border_pixels(masks) > 0] |= TrialFlag.TOUCHES_BORDER
    flags[~masks.any((1, 2))] |= TrialFlag.EMPTY_MASK
    return flags
