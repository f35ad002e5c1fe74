"""Synthetic crops: a centre cell put on another background. Tables and pixels in, pixels out.

Layer: arrays and tensors, no files. A synthetic crop has the centre cell's own pixels in its mask,
whatever the condition, and with its glow around it (`compute.backgrounds.glow`); the rest is a
background, which is all that conditions differ in. The work has two halves: `gather` reads raw
pixels and removes the donors' own centre cells on the CPU; `combine` scales backgrounds and joins
them with centre cells on any device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute.backgrounds import compose_compiled
from compute.backgrounds.config import DONOR_CENTRE, LEFT, PASTE
from compute.backgrounds.glow import (
    HALO,
    STEEPS,
    glow_by_distance,
    glow_image,
    layers_of,
    medium_light,
    neighbours_of,
    take_glow_away,
)
from compute.backgrounds.harmonise import Scales
from compute.backgrounds.seam import far_at_the_seam
from compute.errors import unknown_value
from compute.images.cell_quality import FAR, LEAST_MEDIUM, border_pixels
from compute.images.dilation import Words, diamond, square, to_masks, to_words
from compute.images.distance import UNREACHED, steps_from
from compute.images.fill_holes import MARGIN, fill_from, fill_in_place, find_medium
from compute.schema import CONDITIONS, Condition, TrialFlag
from compute.store.reader import CropArrays, PixelFile, Pixels

REACH = 40
"""Distance of a donor's nearest neighbour from the pasted cell, pixels, that is told at most."""

NOISE_RATIO = 4.0
"""Largest factor by which the noise of a donor's medium is made stronger or weaker."""


@dataclass(frozen=True)
class Composed:
    """Synthetic crops of T trials.

    Parameters
    ----------
    images
        The crops, shape (T, C, H, W), float32, in the centre cells' own intensities.
    flags
        `TrialFlag` bits, int32, shape (T,).
    neighbour_fraction
        Share of the crop that the donor's neighbours cover, outside the mask; NaN without a donor's
        crop. float32, shape (T,).
    neighbour_distance
        Steps to one of the four next pixels from the mask to the nearest of them; NaN without one
        within `REACH`. float32, shape (T,).
    unaltered
        The cells as imaged, shape (U, C, H, W), float32.
    reference
        Row of `unaltered` for each trial, shape (T,).
    """

    images: NDArray[np.float32]
    flags: NDArray[np.int32]
    neighbour_fraction: NDArray[np.float32]
    neighbour_distance: NDArray[np.float32]
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
    glow
        Light of the centre cells outside their masks, and last an image without any; float32, shape
        (U + 1, C, H, W).
    layers
        Where each pixel comes from: 0 for the centre cell's crop, k for the background, scaled by
        the factor and offset k − 1 and lit by the cell's glow; uint8, shape (T, H, W).
    centre_row
        Row of `unaltered` (and of `pixels`) with each trial's centre cell, shape (T,).
    background_row
        Row of `pixels` with each trial's background, shape (T,).
    glow_row
        Row of `glow` for each trial, shape (T,): the centre cell's own, or the dark one.
    factor, offset
        Bring the background to the centre cell's scale, float32, shape (T, C, `STEEPS`).
    flags, neighbour_fraction, neighbour_distance
        As in `Composed`.
    """

    unaltered: Tensor
    pixels: Tensor
    glow: Tensor
    layers: Tensor
    centre_row: Tensor
    background_row: Tensor
    glow_row: Tensor
    factor: Tensor
    offset: Tensor
    flags: Tensor
    neighbour_fraction: Tensor
    neighbour_distance: Tensor

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
class _Cells:
    """The U centre cells of some trials.

    Parameters
    ----------
    images
        Their crops as imaged, shape (U, C, H, W).
    mask, foreground
        Their masks, and every cell in their crops; words of `compute.images.dilation`.
    steps, other
        Distance of every pixel from the cell, and from the other cells of its crop; shape (U, P).
    level, noise, known
        Their medium, from `compute.backgrounds.glow.medium_light`.
    """

    images: NDArray[Any]
    mask: Words
    foreground: Words
    steps: NDArray[np.uint8]
    other: NDArray[np.uint8]
    level: NDArray[np.float32]
    noise: NDArray[np.float32]
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class _ConditionTrials:
    """n trials of one condition, with what their backgrounds are made from.

    Parameters
    ----------
    cells
        The U centre cells.
    centre_row
        Row of `cells` for each trial, shape (n,).
    cell, donor
        Rows of the store: each trial's centre cell and its donor (−1 where it has none; a window's
        row under `cell_free`), shape (n,).
    seed
        Seed of each trial, shape (n,).
    keep_donor
        Whether the donor's own centre cell stays, as in the paper; shape (n,).
    glow
        Whether cells take their glow along.
    arrays, scales
        The store's pixels and intensity scales.
    buffer
        Holds the centre cells' crops first; the backgrounds are added to it.
    """

    cells: _Cells
    centre_row: NDArray[np.int64]
    cell: NDArray[np.int64]
    donor: NDArray[np.int64]
    seed: NDArray[np.int64]
    keep_donor: NDArray[np.bool_]
    glow: bool
    arrays: CropArrays
    scales: Scales
    buffer: _PixelBuffer


@dataclass(frozen=True)
class _Backgrounds:
    """Backgrounds of n trials.

    Parameters
    ----------
    row
        Row of the buffer with each trial's background, shape (n,).
    factor, offset
        Bring it to the centre cell's scale; shape (n, C, 1) or (n, C, `STEEPS`), or a number for
        all.
    flags
        `TrialFlag` bits, shape (n,), or 0.
    shown
        Distance of every pixel from the cells that the background shows, shape (n, P), where the
        cell is put on it with its glow; None, the default, where it ends at its mask.
    neighbours
        Distance of every pixel from the donor's neighbours, shape (n, P); None, the default,
        without a donor's crop.
    """

    row: NDArray[np.int64]
    factor: NDArray[np.float32] | float = 1.0
    offset: NDArray[np.float32] | float = 0.0
    flags: NDArray[np.int32] | int = 0
    shown: NDArray[np.uint8] | None = None
    neighbours: NDArray[np.uint8] | None = None


def compose(
    trials: pd.DataFrame,
    arrays: CropArrays,
    scales: Scales,
    donor_centre: str = "remove",
    paste: str = "glow",
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
    paste
        One of `PASTE`, by default ``"glow"``.

    Returns
    -------
    Composed
        In the order of `trials`.

    Raises
    ------
    UsageError
        `donor_centre` or `paste` is not allowed.
    """
    inputs = gather(trials, arrays, scales, donor_centre, paste)
    images = combine(inputs, slice(0, len(inputs)))
    return Composed(
        images.numpy(), inputs.flags.numpy(),
        inputs.neighbour_fraction.numpy(), inputs.neighbour_distance.numpy(),
        inputs.unaltered.numpy(), inputs.centre_row.numpy(),
    )  # fmt: skip


def gather(
    trials: pd.DataFrame,
    arrays: CropArrays,
    scales: Scales,
    donor_centre: str = "remove",
    paste: str = "glow",
    channels: Sequence[int] | None = None,
) -> CropInputs:
    """Read what the crops of some trials are composed from.

    Parameters
    ----------
    trials, arrays, scales, donor_centre, paste
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
        `donor_centre` or `paste` is not allowed.
    """
    if donor_centre not in DONOR_CENTRE:
        raise unknown_value("donor centre", donor_centre, DONOR_CENTRE)
    if paste not in PASTE:
        raise unknown_value("paste", paste, PASTE)
    keep_donor = np.full(len(trials), donor_centre == LEFT)
    if "other_centre" in trials:
        keep_donor ^= trials["other_centre"].to_numpy(bool)
    cell = trials["cell"].to_numpy()
    rows, centre_row = np.unique(cell, return_inverse=True)
    buffer = _PixelBuffer(len(rows) + len(trials), arrays.images[rows[:1]])
    images, _ = buffer.add(arrays.images, rows)
    cells = _look_at(images, arrays, rows)
    count, total, (channel_count, height, width) = len(rows), len(trials), images.shape[1:]
    donor, seed = trials["donor"].to_numpy(), trials["seed"].to_numpy()
    condition = trials["condition"].to_numpy(dtype=str)
    background_row = np.empty(total, np.int64)
    factor, offset = np.empty((2, total, channel_count, STEEPS), np.float32)
    glow_row, borrowed = np.full(total, count), np.zeros(total, bool)
    fraction, distance = np.full((2, total), np.nan, np.float32)
    layers = np.empty((total, height * width), np.uint8)
    mask = to_masks(cells.mask, width)
    flags = _mask_flags(mask)[centre_row]
    for name in np.unique(condition):
        spec, here = CONDITIONS[Condition(name)], np.flatnonzero(condition == name)
        of_condition = _ConditionTrials(
            cells, centre_row[here], cell[here], donor[here], seed[here], keep_donor[here],
            paste == "glow", arrays, scales, buffer,
        )  # fmt: skip
        found = BACKGROUNDS[Condition(name)](of_condition)
        background_row[here] = found.row
        factor[here], offset[here] = found.factor, found.offset
        flags[here] |= found.flags
        borrowed[here] = spec.donors != "none"
        if not spec.keeps_cell:
            layers[here] = 1
        elif found.shown is None:
            layers[here] = (cells.steps > 0).view(np.uint8)[centre_row[here]]
        else:
            layers[here] = layers_of(centre_row[here], cells.steps, cells.other, found.shown)
            glow_row[here] = centre_row[here]
        if found.neighbours is not None:
            fraction[here], distance[here] = neighbours_of(
                centre_row[here], cells.steps, found.neighbours, REACH
            )
    glow = np.zeros((count + 1, channel_count, height * width), np.float32)
    if paste == "glow":
        glow_image(cells.steps, _own_glow(cells), glow[:-1])
    pixels = buffer.filled
    ring = (cells.steps > 0) & (cells.steps <= HALO)
    far = far_at_the_seam(
        pixels.reshape(*pixels.shape[:2], -1), ring, layers, glow,
        centre_row, background_row, glow_row, factor, offset,
    )  # fmt: skip
    flags[borrowed & far] |= int(TrialFlag.SEAM)
    glow = glow.reshape(count + 1, channel_count, height, width)
    if channels is not None and len(channels) < channel_count:
        wanted = list(channels)
        pixels, glow = pixels[:, wanted], glow[:, wanted]
        factor, offset = factor[:, wanted], offset[:, wanted]
    unaltered = pixels[:count].astype(np.float32)
    if pixels.dtype == np.uint16:
        pixels = pixels.view(np.int16)
    in_order = (
        unaltered, pixels, glow, layers.reshape(total, height, width),
        centre_row, background_row, glow_row, factor, offset, flags, fraction, distance,
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
        inputs.pixels, inputs.unaltered, inputs.glow, inputs.layers[rows],
        inputs.centre_row[rows], inputs.background_row[rows], inputs.glow_row[rows],
        inputs.factor[rows], inputs.offset[rows],
    )  # fmt: skip


def join_on_device(
    pixels: Tensor, unaltered: Tensor, glow: Tensor, layers: Tensor,
    centre_row: Tensor, background_row: Tensor, glow_row: Tensor, factor: Tensor, offset: Tensor,
) -> Tensor:  # fmt: skip
    """Join as `compose_compiled.join` does, on any device: all crops together, in steps.

    Arguments are the fields of `CropInputs`, those by trial for n trials; returns n×C×H×W float32.
    """
    background = pixels.index_select(0, background_row)
    if background.dtype == torch.int16:
        background = background.to(torch.int32).bitwise_and_(0xFFFF)
    background = background.to(torch.float32)
    # `gather` takes each pixel's factor by the number of its layer.
    scale = layers.flatten(1).to(torch.int64).sub_(1).clamp_(min=0)
    scale = scale[:, None].expand(-1, factor.shape[1], -1)
    background.mul_(factor.gather(2, scale).view_as(background))
    background.add_(offset.gather(2, scale).view_as(background))
    background.add_(glow.index_select(0, glow_row))
    centre = unaltered.index_select(0, centre_row)
    return torch.where((layers == 0)[:, None], centre, background)


def _look_at(images: NDArray[Any], arrays: CropArrays, rows: NDArray[np.int64]) -> _Cells:
    """Measure the centre cells in these rows of the store, whose crops are `images`."""
    mask = arrays.words(arrays.masks[rows])
    foreground = arrays.words(arrays.foregrounds[rows])
    other = foreground & ~mask
    medium, _ = find_medium(_hole(mask, other), foreground, images.shape[-1])
    steps = _steps(mask, images.shape[-1])
    beside = _steps(other, images.shape[-1])
    return _Cells(images, mask, foreground, steps, beside, *medium_light(images, medium))


def _own_glow(cells: _Cells) -> NDArray[np.float32]:
    """Measure the centre cells' glow by distance."""
    flat = cells.images.reshape(*cells.images.shape[:2], -1)
    return glow_by_distance(flat, cells.level, cells.steps, cells.other)


def _steps(words: Words, width: int) -> NDArray[np.uint8]:
    """Measure distances from masks, as flat images of shape (n, P)."""
    steps: NDArray[np.uint8] = steps_from(to_masks(words, width))
    return steps.reshape(len(words), -1)


def _hole(mask: Words, other: Words) -> Words:
    """Mark a cell and its halo where no other cell is near."""
    return mask | (diamond(mask, HALO) & ~diamond(other, HALO))


def _own(trials: _ConditionTrials) -> _Backgrounds:
    """Leave each cell on its own crop."""
    return _Backgrounds(trials.centre_row)


def _zero(trials: _ConditionTrials) -> _Backgrounds:
    """Set the background to zero."""
    return _Backgrounds(trials.centre_row, factor=0.0)


def _emptied(trials: _ConditionTrials) -> _Backgrounds:
    """Take each cell's own crop with the cell replaced by medium."""
    removed, rows = np.zeros(len(trials.cell), bool), trials.centre_row
    mask, foreground = trials.cells.mask[rows], trials.cells.foreground[rows]
    other = trials.cells.other[rows]
    row, flags, _ = _remove(trials, trials.cell, mask, foreground, other, removed)
    return _Backgrounds(row, flags=flags)


def _sham(trials: _ConditionTrials) -> _Backgrounds:
    """Take each cell's own crop through every step that a donor's crop goes through."""
    whole = _from_crops(trials, trials.cell, np.zeros(len(trials.cell), bool))
    return replace(whole, neighbours=None)


def _donor(trials: _ConditionTrials) -> _Backgrounds:
    """Take a donor's crop, without its own centre cell unless asked as in the paper."""
    return _from_crops(trials, trials.donor, trials.keep_donor)


def _alone(trials: _ConditionTrials) -> _Backgrounds:
    """Take each cell's own crop with every cell, and its halo, replaced by medium."""
    rows, width = trials.centre_row, trials.cells.images.shape[-1]
    images, row = trials.buffer.add(trials.cells.images, rows)
    foreground = trials.cells.foreground[rows]
    holes = square(foreground, FAR)
    room = np.count_nonzero(~to_masks(holes, width), axis=(1, 2))
    tight = np.flatnonzero(room < LEAST_MEDIUM * images[0, 0].size)
    holes[tight] = square(foreground[tight], MARGIN)
    little = fill_in_place(images, holes, foreground, trials.seed)
    shown = None
    if trials.glow:
        shown = np.full((len(rows), trials.cells.steps.shape[1]), UNREACHED, np.uint8)
    return _Backgrounds(row, flags=_little_medium(little), shown=shown)


def _window(trials: _ConditionTrials) -> _Backgrounds:
    """Take a window in which no cell is; one that several trials share is read once."""
    scales = trials.scales
    windows, which = np.unique(trials.donor, return_inverse=True)
    images, row = trials.buffer.add(trials.arrays.windows, windows)
    group = scales.of_window[trials.donor]
    if not trials.glow:
        return _Backgrounds(row[which], *_by_group(trials, group))
    everywhere = to_words(np.ones((len(images), *images.shape[2:]), bool))
    level, noise, known = medium_light(images, everywhere)
    moved = _by_medium(trials, group, level[which], noise[which], known[which])
    shown = np.full((len(which), trials.cells.steps.shape[1]), UNREACHED, np.uint8)
    return _Backgrounds(row[which], *moved, shown=shown)


BACKGROUNDS: dict[Condition, Callable[[_ConditionTrials], _Backgrounds]] = {
    Condition.UNALTERED: _own,
    Condition.SHAM: _sham,
    Condition.ALONE: _alone,
    Condition.MASKED: _zero,
    Condition.BACKGROUND_ONLY: _emptied,
    Condition.SAME_PROTEIN: _donor,
    Condition.SAME: _donor,
    Condition.DIFFERENT: _donor,
    Condition.CELL_FREE: _window,
}
"""The background of every condition that has trials of its own."""


def _from_crops(
    trials: _ConditionTrials, donor: NDArray[np.int64], keep: NDArray[np.bool_]
) -> _Backgrounds:
    """Take crops in these rows of the store; their centre cells are removed but where kept."""
    arrays, width = trials.arrays, trials.cells.images.shape[-1]
    mask = arrays.words(arrays.masks[donor])
    foreground = arrays.words(arrays.foregrounds[donor])
    neighbours = shown = _steps(foreground & ~mask, width)
    row, flags, medium = _remove(trials, donor, mask, foreground, neighbours, keep)
    if keep.any():
        shown = np.where(keep[:, None], _steps(foreground, width), neighbours)
        visible = (mask & ~trials.cells.mask[trials.centre_row]).any((1, 2))
        flags[keep & visible] |= int(TrialFlag.DONOR_VISIBLE)
    group = trials.scales.of_cell[donor]
    if not trials.glow:
        return _Backgrounds(row, *_by_group(trials, group), flags, neighbours=neighbours)
    moved = _by_medium(trials, group, *medium)
    return _Backgrounds(row, *moved, flags, shown, neighbours)


def _remove(
    trials: _ConditionTrials,
    donor: NDArray[np.int64],
    mask: Words,
    foreground: Words,
    beside: NDArray[np.uint8],
    keep: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int32], Any]:
    """Read crops and replace their centre cells with their halo, but no neighbour, by medium.

    Parameters
    ----------
    trials
        The trials, whose seeds choose the medium pixels that fill each hole.
    donor
        Rows of the store, shape (n,).
    mask, foreground
        Words of `compute.images.dilation`: their centre cells, and every cell in them.
    beside
        Distance of every pixel from the other cells, shape (n, P).
    keep
        Where nothing is replaced, shape (n,).

    Returns
    -------
    row, flags
        Rows of the buffer; `TrialFlag.LITTLE_MEDIUM` where a crop has little medium to fill from,
        else 0; shape (n,).
    medium
        Level, noise and whether they are known, from `medium_light`; None without glow.
    """
    images, row = trials.buffer.add(trials.arrays.images, donor)
    width, other, gone = images.shape[-1], foreground & ~mask, np.flatnonzero(~keep)
    flags = np.zeros(len(row), np.int32)
    hole = _hole(mask, other) if trials.glow else diamond(mask, HALO) & ~other
    medium, scarce = find_medium(hole, foreground, width)
    hole[keep] = 0
    light = medium_light(images, medium) if trials.glow else None
    if light is not None and len(gone):
        some = images if len(gone) == len(row) else images[gone]
        flat = some.reshape(*some.shape[:2], -1)
        steps, beside = _steps(mask[gone], width), beside[gone]
        level = light[0][gone]
        own = glow_by_distance(flat, level, steps, beside)
        others = glow_by_distance(flat, level, beside, steps)
        little = fill_from(some, hole[gone], medium[gone], scarce[gone], trials.seed[gone])
        whole = np.issubdtype(some.dtype, np.integer)
        top = float(np.iinfo(some.dtype).max) if whole else 0.0
        take_glow_away(flat, top, steps, beside, own, others)
        if some is not images:
            images[gone] = some
        flags[gone] = _little_medium(little)
    elif len(gone):
        flags = _little_medium(fill_from(images, hole, medium, scarce, trials.seed))
    return row, flags, light


def _little_medium(little: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Turn booleans into flags."""
    return np.where(little, int(TrialFlag.LITTLE_MEDIUM), 0).astype(np.int32)


def _by_group(
    trials: _ConditionTrials, group: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bring donors of these groups to the scale of the cells' groups."""
    factor, offset = trials.scales.factors(group, trials.scales.of_cell[trials.cell])
    return factor[..., None], offset[..., None]


def _by_medium(
    trials: _ConditionTrials,
    group: NDArray[np.int64],
    level: NDArray[np.float32],
    noise: NDArray[np.float32],
    known: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bring donors of these groups, with this medium, to the cells' medium and scale.

    Medium goes to the cell's level, and there has its noise; what stands out of it is stretched as
    the ranges of the two groups ask. Where a crop has no medium to measure, the low end of its
    group's scale stands for it, and noise is stretched like all else.
    """
    scales, cells, rows = trials.scales, trials.cells, trials.centre_row
    if not scales.moves:
        one = np.ones((len(rows), 1, 1), np.float32)
        return one, 0 * one
    target = scales.of_cell[trials.cell]
    range_factor, _ = scales.factors(group, target)
    source_level = np.where(known[:, None], level, scales.low[group])
    own_known = cells.known[rows][:, None]
    target_level = np.where(own_known, cells.level[rows], scales.low[target])
    own_noise = cells.noise[rows]
    measured = own_known & known[:, None] & (noise > 0) & (own_noise > 0)
    ratio = np.where(measured, own_noise / np.where(measured, noise, 1), range_factor)
    ratio = np.where(measured, np.clip(ratio, 1 / NOISE_RATIO, NOISE_RATIO), ratio)
    part = np.linspace(0, 1, STEEPS, dtype=np.float32)
    factor = range_factor[..., None] * (1 - part) + ratio[..., None] * part
    offset = target_level[..., None] - source_level[..., None] * factor
    return factor.astype(np.float32), offset.astype(np.float32)


def _mask_flags(masks: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Flag centre cells, masks of shape (U, H, W), that touch the crop's border or are empty."""
    flags = np.zeros(len(masks), np.int32)
    flags[border_pixels(masks) > 0] |= TrialFlag.TOUCHES_BORDER
    flags[~masks.any((1, 2))] |= TrialFlag.EMPTY_MASK
    return flags
