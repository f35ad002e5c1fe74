"""What each network is trained to do: name a protein, name a localization, paint a cell.

Layer: pixels in memory in, losses out; no files. `compute.models.training.select_cells` decides
which cells are used, by the classes that an objective gives them; the loop around both is
`compute.models.training.train`.
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
from compute.models.training.select_cells import Labelling, Rows, Selection


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
    """

    images: NDArray[Any]
    scale: Scaling
    input_size: int
    jitter: bool
    device: torch.device

    def crops(self, rows: Rows, rng: np.random.Generator | None = None) -> Tensor:
        """Return scaled input for some cells, flipped, turned and shifted at random with `rng`.

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
    """Turn and flip each image by one of the square's eight symmetries.

    Parameters
    ----------
    images
        N×C×S×S.
    codes
        A number from 0 to 7 for each image: quarter turns in the lower two bits, a flip in the
        third; shape (N,).

    Returns
    -------
    Tensor
        N×C×S×S.
    """
    out = torch.empty_like(images)
    for code in range(8):
        chosen = torch.from_numpy(np.flatnonzero(codes == code)).to(images.device)
        some = images[chosen].rot90(code & 3, dims=(-2, -1))
        out[chosen] = some.flip(-1) if code & 4 else some
    return out


def windows(images: Tensor, offsets: NDArray[np.int64], side: int) -> Tensor:
    """Cut a window out of each image.

    Parameters
    ----------
    images
        N×C×H×W.
    offsets
        First row and first column of each window in pixels, shape (2, N).
    side
        Side of the windows in pixels.

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


class Objective(Labelling, Protocol):
    """What a network is trained to do; an entry of `OBJECTIVES`."""

    @property
    def score_name(self) -> str:
        """Name of the score that `loss` gives."""

    def loss(
        self,
        network: LayeredNetwork,
        pixels: Pixels,
        selection: Selection,
        rows: Rows,
        rng: np.random.Generator | None,
    ) -> tuple[Tensor, float]:
        """Compute the mean loss over some cells and their mean score (higher is better).

        Parameters
        ----------
        network
            The network that is trained.
        pixels, selection
            The store's crops and the cells in use.
        rows
            Rows of the store, all on one side of the split.
        rng
            Source of random changes to the crops; None where the network is validated.
        """


@dataclass(frozen=True)
class Naming:
    """Name the class of each cell; the loss is cross-entropy.

    Parameters
    ----------
    class_name
        What is named, for messages.
    label_of
        Takes the cells table; returns each cell's class, empty where it has none.
    lacking
        Reason for which a cell has none.
    in_order
        Takes the classes that are present, and the localizations in the store's order; returns
        the classes in order.
    score_name
        Name of the score; ``"accuracy"`` by default.
    """

    class_name: str
    label_of: "Callable[[pd.DataFrame], pd.Series[str]]"
    lacking: str
    in_order: Callable[[Collection[str], list[str]], tuple[str, ...]]
    score_name: str = "accuracy"

    def labels(self, cells: pd.DataFrame) -> tuple["pd.Series[str]", str]:
        """Return each cell's class, and the reason for which some have none."""
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
        """Compute mean cross-entropy (nats) and accuracy; see `Objective.loss`."""
        target = torch.from_numpy(selection.target[rows]).to(pixels.device)
        logits = network(pixels.crops(rows, rng))
        right = (logits.detach().argmax(dim=1) == target).float().mean()
        return F.cross_entropy(logits, target), float(right)


@dataclass(frozen=True)
class Painting:
    """Paint the protein into another cell of the same field from that cell's marker.

    The loss is the mean squared error of images scaled to 0–1, as in `yeast_model/train.py` of
    github.com/alexxijielu/paired_cell_inpainting.

    Parameters
    ----------
    score_name
        Name of the score; ``"explained variance"`` by default.
    """

    score_name: str = "explained variance"

    def labels(self, cells: pd.DataFrame) -> tuple["pd.Series[str]", str]:
        """Put every cell into one class."""
        return pd.Series("cell", index=cells.index), ""

    def class_names(self, present: Collection[str], localizations: list[str]) -> tuple[str, ...]:
        """Return none."""
        return ()

    def group_again(self, selection: Selection) -> Selection:
        """Leave out cells without a partner: alone in their field on their side of the split."""
        kept: dict[str, Any] = {}
        alone = 0
        for side in ("training", "validation"):
            rows = getattr(selection, side)
            _, which, sizes = np.unique(
                selection.field[rows], return_inverse=True, return_counts=True
            )
            kept[side] = rows[sizes[which] > 1]
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
        """Compute mean squared error and explained share of variance; see `Objective.loss`."""
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
        Rows that may be chosen; each field has at least two.
    field
        Number of the field of every row of the store.
    rng
        Chooses evenly among the others; without it, the default, the next one in the field is
        taken.

    Returns
    -------
    ndarray
        Rows of the store, one for each of `rows`.
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
    """Return each cell's localization, empty where it has none or several."""
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
"""Every objective by the name that `compute.models.networks.NetworkSpec.objective` gives."""
