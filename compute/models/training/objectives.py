"""What each network is trained to do: pixels in memory to losses. No files.

Which cells are used is decided in `compute.models.training.select_cells`, with the classes an
objective gives; the loop around both is `compute.models.training.train`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from compute.errors import InputError
from compute.models.networks.blocks import LayeredNetwork
from compute.models.scaling import Scaling
from compute.models.training.select_cells import Rows, Selection, Task


@dataclass(frozen=True)
class Pixels:
    """Raw crops, and the way from them to a network's input.

    Parameters
    ----------
    images
        N×C×H×W, the store's dtype, in the network's channel order.
    scale
        The network's scaling, done on the whole crop.
    input_size
        Side of the square window the network reads, in pixels.
    jitter
        Whether training takes that window anywhere in the crop (DeepLoc) or at its centre.
    device
        Where tensors go.
    """

    images: NDArray[Any]
    scale: Scaling
    input_size: int
    jitter: bool
    device: torch.device

    def crops(self, rows: Rows, rng: np.random.Generator | None = None) -> Tensor:
        """Give scaled input for rows, flipped, turned and shifted at random if `rng` is given.

        Returns
        -------
        Tensor
            N×C×S×S float32, channels last in memory.
        """
        raw = torch.from_numpy(self.images[rows].astype(np.float32)).to(self.device)
        scaled = self.scale(raw)
        margin = scaled.shape[-1] - self.input_size
        offsets = np.full((2, len(rows)), margin // 2)
        if rng is not None:
            scaled = turned(scaled, rng.integers(0, 8, len(rows)))
            if self.jitter:
                offsets = rng.integers(0, margin, offsets.shape, endpoint=True)
        if margin:
            scaled = windows(scaled, offsets, self.input_size)
        return scaled.contiguous(memory_format=torch.channels_last)


def turned(images: Tensor, codes: NDArray[np.int64]) -> Tensor:
    """Give each image one of the square's eight symmetries.

    Parameters
    ----------
    images
        N×C×S×S.
    codes
        0–7 per image: quarter turns in the lower two bits, a flip in the third.
    """
    out = torch.empty_like(images)
    for code in range(8):
        chosen = torch.from_numpy(np.flatnonzero(codes == code)).to(images.device)
        part = images[chosen].rot90(code & 3, dims=(-2, -1))
        out[chosen] = part.flip(-1) if code & 4 else part
    return out


def windows(images: Tensor, offsets: NDArray[np.int64], side: int) -> Tensor:
    """Cut a window out of each image.

    Parameters
    ----------
    images
        N×C×H×W.
    offsets
        2×N: first row and first column, in pixels.
    side
        Of the windows, in pixels.

    Returns
    -------
    Tensor
        N×C×side×side.
    """
    # Stacked slices: indexing with arrays takes a hundred times as long.
    return torch.stack(
        [
            image[:, top : top + side, left : left + side]
            for image, top, left in zip(images, *offsets.tolist(), strict=True)
        ]
    )


class Objective(Task, Protocol):
    """One entry of `OBJECTIVES`."""

    @property
    def score_name(self) -> str:
        """What the score of `loss` is."""

    def loss(
        self,
        network: LayeredNetwork,
        pixels: Pixels,
        selection: Selection,
        rows: Rows,
        rng: np.random.Generator | None,
    ) -> tuple[Tensor, float]:
        """Give the mean loss over rows and their mean score (higher is better)."""


@dataclass(frozen=True)
class Naming:
    """Name a class of each cell: cross-entropy.

    Parameters
    ----------
    class_name
        What is named, for messages.
    label_of
        Cells table → class per cell, empty where there is none.
    lacking
        Why a cell has none.
    in_order
        Classes present, localizations in the store's order → classes in order.
    """

    class_name: str
    label_of: "Callable[[pd.DataFrame], pd.Series[str]]"
    lacking: str
    in_order: Callable[[Collection[str], list[str]], tuple[str, ...]]
    score_name: str = "accuracy"

    def labels(self, cells: pd.DataFrame) -> tuple["pd.Series[str]", str]:
        """Give each cell's class and why some have none."""
        return self.label_of(cells), self.lacking

    def class_names(self, present: Collection[str], localizations: list[str]) -> tuple[str, ...]:
        """Put the classes in order, at least two.

        Raises
        ------
        InputError
            Fewer than two classes.
        """
        if len(present) < 2:
            raise InputError(
                f"There is nothing to tell apart: the usable cells have {len(present)} "
                f"{self.class_name}(s){''.join(f' ({name})' for name in present)}.",
                "Train on a store with two or more, each with at least two cells.",
            )
        return self.in_order(present, localizations)

    def group_again(self, selection: Selection) -> Selection:
        """Keep everything."""
        return selection

    def loss(
        self,
        network: LayeredNetwork,
        pixels: Pixels,
        selection: Selection,
        rows: Rows,
        rng: np.random.Generator | None,
    ) -> tuple[Tensor, float]:
        """Give mean cross-entropy (nats) and accuracy."""
        target = torch.from_numpy(selection.target[rows]).to(pixels.device)
        logits = network(pixels.crops(rows, rng))
        right = (logits.detach().argmax(dim=1) == target).float().mean()
        return F.cross_entropy(logits, target), float(right)


@dataclass(frozen=True)
class Painting:
    """Paint the protein into another cell of the same field from that cell's marker.

    Mean squared error of images scaled to 0–1, as in `yeast_model/train.py` of
    github.com/alexxijielu/paired_cell_inpainting.
    """

    score_name: str = "explained variance"

    def labels(self, cells: pd.DataFrame) -> tuple["pd.Series[str]", str]:
        """Put every cell into one class."""
        return pd.Series("cell", index=cells.index), ""

    def class_names(self, present: Collection[str], localizations: list[str]) -> tuple[str, ...]:
        """Give none."""
        return ()

    def group_again(self, selection: Selection) -> Selection:
        """Leave out cells without a partner: alone in their field on their side of the split."""
        kept: dict[str, Any] = {}
        alone = 0
        for part in ("training", "validation"):
            rows = getattr(selection, part)
            _, which, sizes = np.unique(
                selection.field[rows], return_inverse=True, return_counts=True
            )
            kept[part] = rows[sizes[which] > 1]
            alone += int((sizes[which] == 1).sum())
        left_out = {
            **selection.left_out,
            **({"no second cell in its field": alone} if alone else {}),
        }
        return replace(selection, **kept, left_out=left_out)

    def loss(
        self,
        network: LayeredNetwork,
        pixels: Pixels,
        selection: Selection,
        rows: Rows,
        rng: np.random.Generator | None,
    ) -> tuple[Tensor, float]:
        """Give mean squared error and the share of the pixels' variance that is explained."""
        side = selection.validation if rng is None else selection.training
        source = pixels.crops(rows, rng)
        target = pixels.crops(partners(rows, side, selection.field, rng), rng)
        painted, marker = target[:, :1], target[:, 1:]
        predicted = network(source, marker.contiguous(memory_format=torch.channels_last))
        loss = F.mse_loss(predicted, painted)
        variance = painted.var(dim=(1, 2, 3), correction=0).mean().clamp(min=1e-12)
        return loss, float(1 - loss.detach() / variance)


def partners(rows: Rows, side: Rows, field: Rows, rng: np.random.Generator | None = None) -> Rows:
    """Choose another cell of the same field for each row.

    Parameters
    ----------
    rows
        Rows of the store, all among `side`.
    side
        Rows that may be chosen; every field at least twice.
    field
        Field number of every row of the store.
    rng
        Chooses evenly among the others; without it the next one in the field is taken.
    """
    ordered = side[np.lexsort((side, field[side]))]
    place = np.empty(len(field), np.int64)
    place[ordered] = np.arange(len(ordered))
    _, first, size = np.unique(field[ordered], return_index=True, return_counts=True)
    group = np.repeat(np.arange(len(first)), size)[place[rows]]
    start, count = first[group], size[group]
    step = np.ones(len(rows), np.int64) if rng is None else rng.integers(1, count)
    return ordered[start + (place[rows] - start + step) % count]


def _single_localization(cells: pd.DataFrame) -> "pd.Series[str]":
    several = cells["labels"].map(lambda labels: labels is not None and len(labels) > 1)
    return cells["localization"].astype(object).where(~several.astype(bool)).fillna("")


OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {
        "protein": Naming(
            "protein",
            lambda cells: cells["protein"].astype(object),
            "no protein",
            lambda present, _: tuple(sorted(present)),
        ),
        "localization": Naming(
            "localization",
            _single_localization,
            "no single localization",
            lambda present, order: tuple(name for name in order if name in present),
        ),
        "paint": Painting(),
    }
)
"""By the names in `compute.models.networks.NetworkSpec.objective`."""
