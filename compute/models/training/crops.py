"""Crops as a network sees them in training: on their background, scaled, turned and shifted.

Layer: pixels in memory in, tensors on a device out; no files. Which background a crop stands on is
drawn by `compute.models.training.donors`, and put behind it by `compute.backgrounds.prepared`.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute.backgrounds.compose import in_single
from compute.backgrounds.prepared import DONOR, PreparedCells
from compute.devices import copied
from compute.models.scaling import Scaling
from compute.models.training.donors import BackgroundDraws
from compute.models.training.select_cells import Rows

MOST_KEPT = 0.5
"""Share of a GPU's free memory that pixels may take up at most; else they stay in the computer's,
and go to the GPU batch by batch."""


@dataclass(frozen=True)
class Changes:
    """How crops are turned, flipped and cut.

    Parameters
    ----------
    codes
        A number from 0 to 7 for each crop, one for each of the square's symmetries: quarter turns
        in the lower two bits, a flip in the third; shape (N,).
    offsets
        First row and first column of the window that is cut out, pixels, shape (2, N).
    """

    codes: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def repeated(self, times: int) -> "Changes":
        """Return the changes of the same crops several times, one set after the other."""
        return Changes(np.tile(self.codes, times), np.tile(self.offsets, (1, times)))


@dataclass(frozen=True)
class Views:
    """What a network sees of n cells, once or twice: V·n crops, one view after the other.

    Parameters
    ----------
    images
        Scaled input, V·n×C×S×S float32, channels last in memory.
    rows
        Rows of the store, shape (V·n,).
    pairs
        With two views: which cells stand on two different backgrounds, bool, shape (n,), on the
        device; None, the default, with one.
    mask
        Where backgrounds are changed: the cells' masks, bool, V·n×1×S×S; None, the default, where
        crops stay as imaged.
    as_imaged
        The same crops on their own backgrounds, scaled by themselves, V·n×C×S×S; None, the default,
        where that was not asked for or crops stay as imaged.
    """

    images: Tensor
    rows: Rows
    pairs: Tensor | None = None
    mask: Tensor | None = None
    as_imaged: Tensor | None = None


@dataclass(frozen=True)
class Side:
    """The cells of one side of the split, ready to be put on one another's backgrounds.

    Parameters
    ----------
    place
        Number of every row of the store among the side's cells, −1 for others; shape (N,).
    cells
        The cells, numbered from 0.
    draws
        Which background each view stands on; donors are of this side.
    """

    place: Rows
    cells: PreparedCells
    draws: BackgroundDraws


@dataclass(frozen=True)
class Pixels:
    """Raw crops, and the way from them to a network's input.

    Parameters
    ----------
    images
        Raw crops, N×C×H×W, in the store's dtype and the network's order of channels.
    scale
        The network's scaling, done on the whole crop.
    input_size
        Side of the square window that the network reads, in pixels.
    jitter
        Whether training takes that window anywhere in the crop (DeepLoc) or at its centre.
    device
        Where the network computes.
    training, validation
        Cells on other backgrounds; None, the default, where crops stay as imaged.
    kept
        `images` on the device (bits of uint16 as int16), where they fit; None, the default, has
        them copied batch by batch.
    """

    images: NDArray[Any]
    scale: Scaling
    input_size: int
    jitter: bool
    device: torch.device
    training: Side | None = None
    validation: Side | None = None
    kept: Tensor | None = None

    def on_device(self) -> "Pixels":
        """Keep the raw crops on the device where that has room for them (`MOST_KEPT`)."""
        if not fits(self.images.nbytes, self.device):
            return self
        raw = self.images.view(np.int16) if self.images.dtype == np.uint16 else self.images
        return replace(self, kept=torch.from_numpy(raw).to(self.device))

    def raw(self, rows: Rows) -> Tensor:
        """Return raw crops as imaged, N×C×H×W float32 on the device."""
        if self.kept is not None:
            return in_single(self.kept.index_select(0, copied(rows, self.device)))
        return copied(self.images[rows].astype(np.float32), self.device)

    def changes(self, count: int, rng: np.random.Generator | None) -> Changes:
        """Draw how crops are turned, flipped and cut; None changes nothing and cuts the centre."""
        margin = self.images.shape[-1] - self.input_size
        codes, offsets = np.zeros(count, np.int64), np.full((2, count), margin // 2)
        if rng is not None:
            codes = rng.integers(0, 8, count)
            if self.jitter:
                offsets = rng.integers(0, margin, offsets.shape, endpoint=True)
        return Changes(codes, offsets)

    def finished(self, raw: Tensor, changes: Changes) -> Tensor:
        """Scale raw crops N×C×H×W, then turn and cut them: N×C×S×S, channels last in memory."""
        moved = rearranged(self.scale(raw), changes, self.input_size)
        return moved.contiguous(memory_format=torch.channels_last)

    def crops(self, rows: Rows, rng: np.random.Generator | None = None) -> Tensor:
        """Return scaled input for some cells as imaged, changed at random with `rng`.

        Parameters
        ----------
        rows
            Rows of the store.
        rng
            Source of the random changes; None, the default, changes nothing.

        Returns
        -------
        Tensor
            N×C×S×S float32, channels last in memory.
        """
        return self.finished(self.raw(rows), self.changes(len(rows), rng))

    def views(
        self,
        rows: Rows,
        rng: np.random.Generator | None,
        number: int = 1,
        as_imaged: bool = False,
    ) -> Views:
        """Return what the network sees of some cells, each on the backgrounds drawn for it.

        Parameters
        ----------
        rows
            Rows of the store, n of one side of the split.
        rng
            Source of all that is random; None for cells of the validation side.
        number
            How often each cell is seen, 1 (the default) or 2: turned and cut in the same way.
        as_imaged
            Whether the crops on their own backgrounds are wanted beside them; False by default.
        """
        side = self.validation if rng is None else self.training
        if side is None:
            return Views(self.crops(rows, rng), rows)
        changes = self.changes(len(rows), rng).repeated(number)
        cells = side.place[rows]
        behind, donor = side.draws.draw(cells, rng, number)
        again = np.tile(cells, number)
        raw = side.cells.put(again, behind.ravel(), donor.ravel()).to(self.device)
        mask = side.cells.masks(again).to(self.device)[:, None]
        pairs = None
        if number == 2:
            differ = (behind[0] != behind[1]) | ((behind[0] == DONOR) & (donor[0] != donor[1]))
            pairs = copied(differ, self.device)
        own = None
        if as_imaged:
            own = self.finished(side.cells.own(again).to(self.device), changes)
        images = self.finished(raw, changes)
        moved = rearranged(mask, changes, self.input_size)
        return Views(images, np.tile(rows, number), pairs, moved, own)


def fits(size: int, device: torch.device) -> bool:
    """Tell whether so many bytes may stay in a GPU's memory; on other devices never."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return size <= MOST_KEPT * free


def rearranged(images: Tensor, changes: Changes, side: int) -> Tensor:
    """Turn and flip each image, then cut a window out of it: all pixels are moved at once.

    Parameters
    ----------
    images
        N×C×L×L.
    changes
        How, for each image.
    side
        Side S of the windows in pixels.

    Returns
    -------
    Tensor
        N×C×S×S.
    """
    length, device = images.shape[-1], images.device
    codes, offsets = copied(changes.codes, device), copied(changes.offsets, device)
    step = torch.arange(side, device=device)
    row, column = (offsets[:, :, None] + step)[..., None].unbind()
    row, column = row.expand(-1, -1, side), column.transpose(1, 2).expand(-1, side, -1)
    code, last = codes[:, None, None], length - 1
    column = torch.where(code >= 4, last - column, column)
    # A quarter turn against the clock shows at (y, x) what was at (x, last − y).
    quarter = code & 3
    at_row = torch.where(
        quarter == 0,
        row,
        torch.where(quarter == 1, column, torch.where(quarter == 2, last - row, last - column)),
    )
    at_column = torch.where(
        quarter == 0,
        column,
        torch.where(quarter == 1, last - row, torch.where(quarter == 2, last - column, row)),
    )
    place = (at_row * length + at_column).flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, place).unflatten(2, (side, side))
