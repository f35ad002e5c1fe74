"""Synthetic crops: a centre cell put on another background. Tables and pixels in, pixels out.

Layer: arrays and tensors, no files. A synthetic crop has the centre cell's own pixels in its mask,
whatever the condition, and with its glow around it (`compute.backgrounds.glow`); the rest is a
background, which is all that conditions differ in (`compute.backgrounds.behind`). The work has two
halves: `gather` reads raw pixels and removes the donors' own centre cells on the CPU; `combine`
scales backgrounds and joins them with centre cells on any device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute.backgrounds import compose_compiled
from compute.backgrounds.behind import (
    BACKGROUNDS,
    Backgrounds,
    CentreCells,
    ConditionTrials,
    PixelBuffer,
    look_at,
)
from compute.backgrounds.config import DONOR_CENTRE, LEFT, PASTE, WITH_GLOW
from compute.backgrounds.glow import (
    HALO,
    STEEPS,
    glow_by_distance,
    glow_image,
    layers_of,
    neighbours_of,
)
from compute.backgrounds.harmonise import Scales
from compute.backgrounds.scene import Scene
from compute.backgrounds.seam import far_at_the_seam
from compute.errors import unknown_value
from compute.images.cell_quality import border_pixels
from compute.images.dilation import to_masks
from compute.schema import CONDITIONS, Condition, TrialFlag
from compute.store.reader import CropArrays

REACH = 40
"""Distance of a donor's nearest neighbour from the pasted cell, pixels, that is told at most."""


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
    scene
        What lies where in the T crops, on the CPU; None, the default, where nobody asked.
    """

    images: NDArray[np.float32]
    flags: NDArray[np.int32]
    neighbour_fraction: NDArray[np.float32]
    neighbour_distance: NDArray[np.float32]
    unaltered: NDArray[np.float32]
    reference: NDArray[np.int64]
    scene: Scene | None = None


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
    scene
        What lies where in the T crops; None, the default, where nobody asked.
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
    scene: Scene | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        """Count the trials."""
        return len(self.centre_row)

    def moved(self, move: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function, such as a copy to a device, to every tensor."""
        tensors = {f.name: move(getattr(self, f.name)) for f in fields(self) if f.name != "scene"}
        scene = None if self.scene is None else self.scene.moved(move)
        return type(self)(**tensors, scene=scene)


def compose(
    trials: pd.DataFrame,
    arrays: CropArrays,
    scales: Scales,
    donor_centre: str = "remove",
    paste: str = WITH_GLOW,
    with_scene: bool = False,
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
    with_scene
        Whether to say what lies where; False by default.

    Returns
    -------
    Composed
        In the order of `trials`.

    Raises
    ------
    UsageError
        `donor_centre` or `paste` is not allowed.
    """
    inputs = gather(trials, arrays, scales, donor_centre, paste, with_scene=with_scene)
    images = combine(inputs, slice(0, len(inputs)))
    return Composed(
        images.numpy(), inputs.flags.numpy(),
        inputs.neighbour_fraction.numpy(), inputs.neighbour_distance.numpy(),
        inputs.unaltered.numpy(), inputs.centre_row.numpy(), inputs.scene,
    )  # fmt: skip


def gather(
    trials: pd.DataFrame,
    arrays: CropArrays,
    scales: Scales,
    donor_centre: str = "remove",
    paste: str = WITH_GLOW,
    channels: Sequence[int] | None = None,
    with_scene: bool = False,
) -> CropInputs:
    """Read what the crops of some trials are composed from.

    Parameters
    ----------
    trials, arrays, scales, donor_centre, paste, with_scene
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
    buffer = PixelBuffer(len(rows) + len(trials), arrays.images[rows[:1]])
    images, _ = buffer.add(arrays.images, rows)
    cells = look_at(images, arrays, rows)
    count, total, (channel_count, height, width) = len(rows), len(trials), images.shape[1:]
    donor, seed = trials["donor"].to_numpy(), trials["seed"].to_numpy()
    condition = trials["condition"].to_numpy(dtype=str)
    background_row = np.empty(total, np.int64)
    factor, offset = np.empty((2, total, channel_count, STEEPS), np.float32)
    glow_row, borrowed = np.full(total, count), np.zeros(total, bool)
    fraction, distance = np.full((2, total), np.nan, np.float32)
    layers = np.empty((total, height * width), np.uint8)
    mask = to_masks(cells.mask, width)
    crowd = np.zeros((total, height * width), bool) if with_scene else None
    flags = _mask_flags(mask)[centre_row]
    for name in np.unique(condition):
        spec, here = CONDITIONS[Condition(name)], np.flatnonzero(condition == name)
        of_condition = ConditionTrials(
            cells, centre_row[here], cell[here], donor[here], seed[here], keep_donor[here],
            paste == WITH_GLOW, arrays, scales, buffer,
        )  # fmt: skip
        found = BACKGROUNDS[Condition(name)](of_condition)
        background_row[here] = found.row
        factor[here], offset[here] = found.factor, found.offset
        flags[here] |= found.flags
        borrowed[here] = spec.donors != "none"
        if crowd is not None:
            crowd[here] = _cells_shown(found, cells, centre_row[here])
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
    if paste == WITH_GLOW:
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
    scene = None
    if crowd is not None:
        own = mask[centre_row]
        shown = crowd.reshape(own.shape) & ~own
        scene = Scene(torch.from_numpy(own), torch.from_numpy(shown))
    return CropInputs(*map(torch.from_numpy, in_order), scene=scene)


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
    background = in_single(pixels.index_select(0, background_row))
    # `gather` takes each pixel's factor by the number of its layer.
    scale = layers.flatten(1).to(torch.int64).sub_(1).clamp_(min=0)
    scale = scale[:, None].expand(-1, factor.shape[1], -1)
    background.mul_(factor.gather(2, scale).view_as(background))
    background.add_(offset.gather(2, scale).view_as(background))
    background.add_(glow.index_select(0, glow_row))
    centre = unaltered.index_select(0, centre_row)
    return torch.where((layers == 0)[:, None], centre, background)


def in_single(pixels: Tensor) -> Tensor:
    """Turn raw pixels into float32; int16 holds the bits of uint16."""
    if pixels.dtype == torch.int16:
        pixels = pixels.to(torch.int32).bitwise_and_(0xFFFF)
    return pixels.to(torch.float32)


def _cells_shown(
    found: Backgrounds, cells: CentreCells, rows: NDArray[np.int64]
) -> NDArray[np.bool_] | bool:
    """Mark the pixels of the cells that backgrounds show, shape (n, P); False where none does."""
    if found.own_neighbours:
        return cells.other[rows] == 0
    shown = found.shown if found.cells is None else found.cells
    return False if shown is None else shown == 0


def _own_glow(cells: CentreCells) -> NDArray[np.float32]:
    """Measure the centre cells' glow by distance."""
    flat = cells.images.reshape(*cells.images.shape[:2], -1)
    return glow_by_distance(flat, cells.level, cells.steps, cells.other)


def _mask_flags(masks: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Flag centre cells, masks of shape (U, H, W), that touch the crop's border or are empty."""
    flags = np.zeros(len(masks), np.int32)
    flags[border_pixels(masks) > 0] |= TrialFlag.TOUCHES_BORDER
    flags[~masks.any((1, 2))] |= TrialFlag.EMPTY_MASK
    return flags
