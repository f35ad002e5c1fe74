"""What is behind the centre cells: the background of every condition, as raw pixels with a scale.

Layer: arrays, no files. Every condition has a function that reads crops or windows, removes what
is not to be seen, and says how they come to the centre cell's scale. `compute.backgrounds.compose`
puts the cells on them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.backgrounds.glow import (
    HALO,
    STEEPS,
    glow_by_distance,
    medium_light,
    take_glow_away,
)
from compute.backgrounds.harmonise import Scales
from compute.images.cell_quality import FAR, LEAST_MEDIUM
from compute.images.dilation import Words, diamond, square, to_masks, to_words
from compute.images.distance import UNREACHED, steps_from
from compute.images.fill_holes import MARGIN, fill_from, fill_in_place, find_medium
from compute.schema import Condition, TrialFlag
from compute.store.reader import CropArrays, PixelFile, Pixels

NOISE_RATIO = 4.0
"""Largest factor by which the noise of a donor's medium is made stronger or weaker."""

MediumLight = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]
"""Level and noise of crops' medium, shape (n, C), and whether they are known, shape (n,)."""


class PixelBuffer:
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
class CentreCells:
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
class ConditionTrials:
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

    cells: CentreCells
    centre_row: NDArray[np.int64]
    cell: NDArray[np.int64]
    donor: NDArray[np.int64]
    seed: NDArray[np.int64]
    keep_donor: NDArray[np.bool_]
    glow: bool
    arrays: CropArrays
    scales: Scales
    buffer: PixelBuffer


@dataclass(frozen=True)
class Backgrounds:
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
    own_neighbours
        Whether the cell's own neighbours show; False by default.
    cells
        Distance of every pixel from the cells that the background shows, shape (n, P), however the
        cell is put on it; None, the default, where that is `shown`, or no cell shows but its own
        neighbours.
    """

    row: NDArray[np.int64]
    factor: NDArray[np.float32] | float = 1.0
    offset: NDArray[np.float32] | float = 0.0
    flags: NDArray[np.int32] | int = 0
    shown: NDArray[np.uint8] | None = None
    neighbours: NDArray[np.uint8] | None = None
    own_neighbours: bool = False
    cells: NDArray[np.uint8] | None = None


def look_at(images: NDArray[Any], arrays: CropArrays, rows: NDArray[np.int64]) -> CentreCells:
    """Measure the centre cells in these rows of the store, whose crops are `images`."""
    mask, foreground = arrays.outlines(rows)
    other = foreground & ~mask
    medium, _ = find_medium(_hole(mask, other), foreground, images.shape[-1])
    steps = steps_of(mask, images.shape[-1])
    beside = steps_of(other, images.shape[-1])
    return CentreCells(images, mask, foreground, steps, beside, *medium_light(images, medium))


def steps_of(words: Words, width: int) -> NDArray[np.uint8]:
    """Measure distances from masks, as flat images of shape (n, P)."""
    steps: NDArray[np.uint8] = steps_from(to_masks(words, width))
    return steps.reshape(len(words), -1)


def _hole(mask: Words, other: Words) -> Words:
    """Mark a cell and its halo where no other cell is near."""
    return mask | (diamond(mask, HALO) & ~diamond(other, HALO))


def _own(trials: ConditionTrials) -> Backgrounds:
    """Leave each cell on its own crop."""
    return Backgrounds(trials.centre_row, own_neighbours=True)


def _zero(trials: ConditionTrials) -> Backgrounds:
    """Set the background to zero."""
    return Backgrounds(trials.centre_row, factor=0.0)


def _emptied(trials: ConditionTrials) -> Backgrounds:
    """Take each cell's own crop with the cell replaced by medium."""
    removed, rows = np.zeros(len(trials.cell), bool), trials.centre_row
    mask, foreground = trials.cells.mask[rows], trials.cells.foreground[rows]
    other = trials.cells.other[rows]
    row, flags, _ = _remove(trials, trials.cell, mask, foreground, other, removed)
    return Backgrounds(row, flags=flags, own_neighbours=True)


def _sham(trials: ConditionTrials) -> Backgrounds:
    """Take each cell's own crop through every step that a donor's crop goes through."""
    whole = _from_crops(trials, trials.cell, np.zeros(len(trials.cell), bool))
    return replace(whole, neighbours=None)


def _donor(trials: ConditionTrials) -> Backgrounds:
    """Take a donor's crop, without its own centre cell unless asked as in the paper."""
    return _from_crops(trials, trials.donor, trials.keep_donor)


def _alone(trials: ConditionTrials) -> Backgrounds:
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
    return Backgrounds(row, flags=_little_medium(little), shown=shown)


def _window(trials: ConditionTrials) -> Backgrounds:
    """Take a window in which no cell is; one that several trials share is read once."""
    scales = trials.scales
    windows, which = np.unique(trials.donor, return_inverse=True)
    images, row = trials.buffer.add(trials.arrays.windows, windows)
    group = scales.of_window[trials.donor]
    if not trials.glow:
        return Backgrounds(row[which], *_by_group(trials, group))
    everywhere = to_words(np.ones((len(images), *images.shape[2:]), bool))
    level, noise, known = medium_light(images, everywhere)
    moved = _by_medium(trials, group, level[which], noise[which], known[which])
    shown = np.full((len(which), trials.cells.steps.shape[1]), UNREACHED, np.uint8)
    return Backgrounds(row[which], *moved, shown=shown)


BACKGROUNDS: dict[Condition, Callable[[ConditionTrials], Backgrounds]] = {
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
    trials: ConditionTrials, donor: NDArray[np.int64], keep: NDArray[np.bool_]
) -> Backgrounds:
    """Take crops in these rows of the store; their centre cells are removed but where kept."""
    arrays, width = trials.arrays, trials.cells.images.shape[-1]
    mask, foreground = arrays.outlines(donor)
    neighbours = shown = steps_of(foreground & ~mask, width)
    row, flags, medium = _remove(trials, donor, mask, foreground, neighbours, keep)
    if keep.any():
        shown = np.where(keep[:, None], steps_of(foreground, width), neighbours)
        visible = (mask & ~trials.cells.mask[trials.centre_row]).any((1, 2))
        flags[keep & visible] |= int(TrialFlag.DONOR_VISIBLE)
    group = trials.scales.of_cell[donor]
    if not trials.glow:
        moved = _by_group(trials, group)
        return Backgrounds(row, *moved, flags, neighbours=neighbours, cells=shown)
    moved = _by_medium(trials, group, *medium)
    return Backgrounds(row, *moved, flags, shown, neighbours)


def _remove(
    trials: ConditionTrials,
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
    little, light = take_out(images, mask, foreground, beside, trials.seed, trials.glow, keep)
    return row, _little_medium(little), light


def take_out(
    images: NDArray[Any],
    mask: Words,
    foreground: Words,
    beside: NDArray[np.uint8],
    seed: NDArray[np.int64],
    glow: bool,
    keep: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], MediumLight | None]:
    """Replace one cell of each crop with its halo, but no other cell, by medium, in place.

    Parameters
    ----------
    images
        Crops, shape (n, C, H, W), C-contiguous; changed.
    mask, foreground
        Words of `compute.images.dilation`: the cells that are taken out, and every cell.
    beside
        Distance of every pixel from the cells that stay, shape (n, P).
    seed
        Choose the medium pixels that fill each hole, shape (n,).
    glow
        Whether the cell's glow goes with it, and that of the others stays.
    keep
        Where nothing is replaced, shape (n,); None, the default, for nowhere.

    Returns
    -------
    little_medium
        Where a hole was filled although there is little medium to fill from, shape (n,).
    medium
        Level, noise and whether they are known, from `medium_light`; None without glow.
    """
    keep = np.zeros(len(images), bool) if keep is None else keep
    width, other, gone = images.shape[-1], foreground & ~mask, np.flatnonzero(~keep)
    found = np.zeros(len(images), bool)
    hole = _hole(mask, other) if glow else diamond(mask, HALO) & ~other
    medium, scarce = find_medium(hole, foreground, width)
    hole[keep] = 0
    light = medium_light(images, medium) if glow else None
    if light is not None and len(gone):
        some = images if len(gone) == len(images) else images[gone]
        flat = some.reshape(*some.shape[:2], -1)
        steps, beside = steps_of(mask[gone], width), beside[gone]
        level = light[0][gone]
        own = glow_by_distance(flat, level, steps, beside)
        others = glow_by_distance(flat, level, beside, steps)
        little = fill_from(some, hole[gone], medium[gone], scarce[gone], seed[gone])
        whole = np.issubdtype(some.dtype, np.integer)
        top = float(np.iinfo(some.dtype).max) if whole else 0.0
        take_glow_away(flat, top, steps, beside, own, others)
        if some is not images:
            images[gone] = some
        found[gone] = little
    elif len(gone):
        found = fill_from(images, hole, medium, scarce, seed)
    return found, light


def _little_medium(little: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Turn booleans into flags."""
    return np.where(little, int(TrialFlag.LITTLE_MEDIUM), 0).astype(np.int32)


def _by_group(
    trials: ConditionTrials, group: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bring donors of these groups to the scale of the cells' groups."""
    factor, offset = trials.scales.factors(group, trials.scales.of_cell[trials.cell])
    return factor[..., None], offset[..., None]


def _by_medium(
    trials: ConditionTrials,
    group: NDArray[np.int64],
    level: NDArray[np.float32],
    noise: NDArray[np.float32],
    known: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bring donors of these groups, with this medium, to the cells' medium and scale."""
    cells, rows = trials.cells, trials.centre_row
    own = (cells.level[rows], cells.noise[rows], cells.known[rows])
    target = trials.scales.of_cell[trials.cell]
    return medium_factors(trials.scales, group, target, (level, noise, known), own)


def medium_factors(
    scales: Scales,
    group: NDArray[np.int64],
    target: NDArray[np.int64],
    medium: MediumLight,
    own_medium: MediumLight,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Say how donors of these groups, with this medium, come to the cells' medium and scale.

    Medium goes to the cell's level, and there has its noise; what stands out of it is stretched as
    the ranges of the two groups ask. Where a crop has no medium to measure, the low end of its
    group's scale stands for it, and noise is stretched like all else.

    Parameters
    ----------
    scales
        Intensity scales of the groups.
    group, target
        Groups of the donors and of the cells, shape (n,).
    medium, own_medium
        `compute.backgrounds.glow.medium_light` of the donors and of the cells.

    Returns
    -------
    factor, offset
        Shape (n, C, `STEEPS`), or (n, 1, 1) where the scales move nothing.
    """
    if not scales.moves:
        one = np.ones((len(group), 1, 1), np.float32)
        return one, 0 * one
    level, noise, known = medium
    own_level, own_noise, own_known = own_medium[0], own_medium[1], own_medium[2][:, None]
    range_factor, _ = scales.factors(group, target)
    source_level = np.where(known[:, None], level, scales.low[group])
    target_level = np.where(own_known, own_level, scales.low[target])
    measured = own_known & known[:, None] & (noise > 0) & (own_noise > 0)
    ratio = np.where(measured, own_noise / np.where(measured, noise, 1), range_factor)
    ratio = np.where(measured, np.clip(ratio, 1 / NOISE_RATIO, NOISE_RATIO), ratio)
    part = np.linspace(0, 1, STEEPS, dtype=np.float32)
    factor = range_factor[..., None] * (1 - part) + ratio[..., None] * part
    offset = target_level[..., None] - source_level[..., None] * factor
    return factor.astype(np.float32), offset.astype(np.float32)
