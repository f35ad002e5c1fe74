"""Cells that are put on other backgrounds again and again, as training does with every batch.

Layer: arrays and tensors, no files. What `compute.backgrounds.behind` makes of a crop (the cell
removed; every cell removed), and all that is measured on it, is made once. Then `put` chooses
backgrounds anew at the cost of joining them, all crops of a batch together, on any device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute.backgrounds import compose_compiled
from compute.backgrounds.behind import (
    BACKGROUNDS,
    ConditionTrials,
    PixelBuffer,
    look_at,
    medium_factors,
)
from compute.backgrounds.compose import in_single, join_on_device
from compute.backgrounds.config import HARMONISE, PASTE, WITH_GLOW
from compute.backgrounds.glow import GLOW, HALO, NEAREST, STEEPS, glow_by_distance
from compute.backgrounds.harmonise import Scales, measure
from compute.devices import copied
from compute.errors import unknown_value
from compute.hashing import Stream, mix
from compute.images.distance import UNREACHED
from compute.schema import Condition
from compute.store.reader import CropArrays

OWN, MEDIUM, DONOR = 0, 1, 2
"""What is behind a cell: its own background, medium of its own image, a donor's background."""

AT_A_TIME = 256
"""Cells that are prepared together."""

MADE_AS = {MEDIUM: Condition.ALONE, DONOR: Condition.SHAM}
"""The condition whose background is prepared: a donor's is its own crop with its cell removed."""


@dataclass(frozen=True)
class PreparedCells:
    """n cells with what they, or others, can be put on; tensors on one device.

    Parameters
    ----------
    pixels
        Raw images, shape (P, C, H, W): the n crops, then n backgrounds for each key of `start`.
        Bits of uint16 are kept as int16.
    start
        First row of `pixels` with the backgrounds `MEDIUM` and `DONOR`, those that were prepared.
    steps, other
        Distance of every pixel from the cell, and from the other cells of its crop; uint8, shape
        (n, H, W).
    glow
        The cell's glow by distance, float32, shape (n, C, `GLOW` + 2); None where cells are cut off
        at their masks.
    medium
        `compute.backgrounds.glow.medium_light` of the crops.
    scales
        Intensity scales, by row of these cells.
    """

    pixels: Tensor
    start: dict[int, int]
    steps: Tensor
    other: Tensor
    glow: Tensor | None
    medium: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]
    scales: Scales

    @property
    def device(self) -> torch.device:
        """Where crops are joined."""
        return self.pixels.device

    def own(self, rows: NDArray[np.int64]) -> Tensor:
        """Return crops as imaged, float32, shape (n, C, H, W)."""
        return in_single(self.pixels.index_select(0, self._moved(rows)))

    def masks(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the cells' masks, bool, shape (n, H, W)."""
        return self.steps.index_select(0, self._moved(rows)) == 0

    def put(
        self, rows: NDArray[np.int64], behind: NDArray[np.int64], donor: NDArray[np.int64]
    ) -> Tensor:
        """Put cells on backgrounds.

        Parameters
        ----------
        rows
            The cells, shape (n,).
        behind
            `OWN`, `MEDIUM` or `DONOR` for each, shape (n,).
        donor
            The donors, shape (n,); read under `DONOR` only.

        Returns
        -------
        Tensor
            Crops in the cells' own intensities, float32, shape (n, C, H, W). Under `OWN` those as
            imaged, bit by bit.
        """
        count, channels = len(rows), self.pixels.shape[1]
        donor = np.where(behind == DONOR, donor, rows)
        first = np.array([0, self.start.get(MEDIUM, 0), self.start.get(DONOR, 0)])
        factor = np.ones((count, channels, STEEPS), np.float32)
        offset = np.zeros_like(factor)
        here = np.flatnonzero(behind == DONOR)
        factor[here], offset[here] = self._factors(rows[here], donor[here])
        row, donor_row, background_row, kind = map(
            self._moved, (rows, donor, first[behind] + donor, behind)
        )
        images, number = self.own(rows), self._moved(np.arange(count))
        steps = self.steps.index_select(0, row)
        layers = self._layers(row, donor_row, steps, kind)
        join = compose_compiled.join if self.device.type == "cpu" else join_on_device
        return join(
            self.pixels, images, self._glow(row, steps), layers, number, background_row, number,
            self._moved(factor), self._moved(offset),
        )  # fmt: skip

    def _moved(self, array: NDArray[Any]) -> Tensor:
        """Copy an array to the device."""
        return copied(array, self.device)

    def _factors(
        self, rows: NDArray[np.int64], donor: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Say how donors come to the scale of cells, shape (n, C, `STEEPS`) or one that fits it."""
        group, target = self.scales.of_cell[donor], self.scales.of_cell[rows]
        if self.glow is None:
            factor, offset = self.scales.factors(group, target)
            return factor[..., None], offset[..., None]
        of_donor, of_cell = (tuple(part[who] for part in self.medium) for who in (donor, rows))
        return medium_factors(self.scales, group, target, of_donor, of_cell)  # type: ignore[arg-type]

    def _layers(self, row: Tensor, donor: Tensor, steps: Tensor, behind: Tensor) -> Tensor:
        """Say of every pixel where it comes from, as `compute.backgrounds.glow.layers_of` does."""
        kind = behind[:, None, None]
        if self.glow is None:
            return ((steps > 0) & (kind != OWN)).to(torch.uint8)
        near = self.other.index_select(0, donor).where(kind == DONOR, UNREACHED)
        layers = near.clamp(NEAREST, NEAREST + STEEPS - 1) - (NEAREST - 1)
        free = (steps <= GLOW) & (self.other.index_select(0, row) > HALO) & (near > HALO)
        return layers.masked_fill((steps == 0) | free | (kind == OWN), 0)

    def _glow(self, row: Tensor, steps: Tensor) -> Tensor:
        """Draw the cells' glow, shape (n, C, H, W)."""
        shape = (len(row), self.pixels.shape[1], *steps.shape[1:])
        if self.glow is None:
            return torch.zeros(shape, device=self.device)
        distance = steps.clamp(max=GLOW + 1).to(torch.int64).flatten(1)
        distance = distance[:, None].expand(-1, shape[1], -1)
        return self.glow.index_select(0, row).gather(2, distance).view(shape)


def bytes_needed(arrays: CropArrays, kinds: tuple[int, ...]) -> int:
    """Return the memory that `prepare` keeps of each cell, in bytes, for these backgrounds."""
    shape = arrays.images.shape[1:]
    pixels = int(np.prod(shape)) * arrays.images.dtype.itemsize * (1 + len(kinds))
    return pixels + 2 * int(np.prod(shape[1:])) + 4 * shape[0] * (GLOW + 2)


def prepare(
    rows: NDArray[np.int64],
    cells: pd.DataFrame,
    arrays: CropArrays,
    kinds: tuple[int, ...],
    *,
    paste: str = WITH_GLOW,
    harmonise: str = HARMONISE[0],
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> PreparedCells:
    """Make the backgrounds of some cells, and measure what joining needs.

    Parameters
    ----------
    rows
        Rows of the store, ascending; nothing of any other is read. Shape (n,).
    cells
        The store's `cells` table, with `protein` and `field`.
    arrays
        The store's pixels.
    kinds
        `MEDIUM`, `DONOR` or both.
    paste
        One of `PASTE`, by default ``"glow"``.
    harmonise
        One of `HARMONISE`, by default ``"protein"``; scales are measured on these cells alone.
    seed
        Decides the pixels that fill holes.
    device
        Where crops are to be joined; the CPU by default.
    progress
        Called with the number of cells that are done; silent by default.

    Returns
    -------
    PreparedCells
        Its cells are numbered from 0, in the order of `rows`.

    Raises
    ------
    UsageError
        `paste` or `harmonise` is not allowed.
    """
    if paste not in PASTE:
        raise unknown_value("paste", paste, PASTE)
    table = cells.iloc[rows].reset_index(drop=True)
    count, (channels, height, width) = len(rows), arrays.images.shape[1:]
    pixels = np.empty((count * (1 + len(kinds)), channels, height, width), arrays.images.dtype)
    pixels[:count] = arrays.images[rows]
    own = CropArrays(
        pixels[:count], arrays.masks[rows], arrays.foregrounds[rows], arrays.windows[:0],
        arrays.mask_shift,
    )  # fmt: skip
    nothing = table.iloc[:0]
    scales = measure(harmonise, table, nothing, own, seed)
    fill = (mix(seed, Stream.TRAINING_FILL, rows) >> np.uint64(1)).astype(np.int64)
    with_glow = paste == WITH_GLOW
    steps, other = np.empty((2, count, height * width), np.uint8)
    glow = np.zeros((count, channels, GLOW + 2), np.float32)
    level, noise = np.zeros((2, count, channels), np.float32)
    known = np.zeros(count, bool)
    start = {kind: count * number for number, kind in enumerate(kinds, start=1)}
    for first in range(0, count, AT_A_TIME):
        chunk = np.arange(first, min(first + AT_A_TIME, count))
        here = slice(first, first + len(chunk))
        seen = look_at(own.images[here], own, chunk)
        steps[here], other[here] = seen.steps, seen.other
        level[here], noise[here], known[here] = seen.level, seen.noise, seen.known
        flat = seen.images.reshape(len(chunk), channels, -1)
        if with_glow:
            glow[here] = glow_by_distance(flat, seen.level, seen.steps, seen.other)
        for kind in kinds:
            buffer = PixelBuffer(len(chunk), seen.images)
            trials = ConditionTrials(
                seen, np.arange(len(chunk)), chunk, chunk, fill[here], np.zeros(len(chunk), bool),
                with_glow, own, scales, buffer,
            )  # fmt: skip
            found = BACKGROUNDS[MADE_AS[kind]](trials)
            pixels[start[kind] + chunk] = buffer.filled[found.row]
        progress(first + len(chunk))
    raw = pixels.view(np.int16) if pixels.dtype == np.uint16 else pixels
    shape = (count, height, width)
    return PreparedCells(
        torch.from_numpy(raw).to(device), start,
        torch.from_numpy(steps.reshape(shape)).to(device),
        torch.from_numpy(other.reshape(shape)).to(device),
        torch.from_numpy(glow).to(device) if with_glow else None,
        (level, noise, known), scales,
    )  # fmt: skip
