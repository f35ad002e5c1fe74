"""What each network is trained to do: name a protein, name a localization, paint a cell.

Layer: pixels in memory in, losses out; no files. `compute.models.training.select_cells` decides
which cells are used, by the classes that an objective gives them, `compute.models.training.crops`
how a network sees them; the loop around all is `compute.models.training.train`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from compute.devices import copied
from compute.errors import InputError
from compute.models.networks.blocks import LayeredNetwork
from compute.models.training.consistency import Consistency
from compute.models.training.crops import Pixels, Views
from compute.models.training.select_cells import Labelling, Rows, Selection

NO_CONSISTENCY = Consistency()
"""Nothing is compared."""


@dataclass(frozen=True)
class Losses:
    """What a network was found to do on some cells; tensors of one number.

    Parameters
    ----------
    loss
        Mean loss of the objective.
    score
        Mean score; higher is better.
    consistency
        `compute.models.training.consistency.Consistency.term`; None where it is not asked for.
    """

    loss: Tensor
    score: Tensor
    consistency: Tensor | None = None


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
        consistency: Consistency = NO_CONSISTENCY,
    ) -> Losses:
        """Compute the mean loss over some cells, their mean score, and how consistent they are.

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
        consistency
            How a cell's embeddings on two backgrounds are compared; not at all by default.
        """


@dataclass(frozen=True)
class Naming:
    """Name the class of each cell; the loss is cross-entropy.

    A cell keeps its class on any background. In a crop as imaged the neighbours tell it too: they
    are of the same strain, so they carry PIFiA's label, the protein, as surely as the cell itself,
    and DeepLoc's with it. On a donor's background the neighbours carry the donor's label, which is
    drawn without regard to the cell's: what they show says nothing of the answer, or misleads, and
    the cell alone is left to answer from.

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
        consistency: Consistency = NO_CONSISTENCY,
    ) -> Losses:
        """Compute mean cross-entropy (nats) and accuracy; see `Objective.loss`."""
        views = pixels.views(rows, rng, 2 if consistency.weight else 1)
        found = network.features(views.images, (network.output, *consistency.layers))
        target = copied(selection.target[views.rows], pixels.device)
        logits = found[network.output]
        right = (logits.detach().argmax(dim=1) == target).float().mean()
        return Losses(F.cross_entropy(logits, target), right, _term(consistency, found, views))


@dataclass(frozen=True)
class Painting:
    """Paint the protein into another cell of the same field from that cell's marker.

    The loss is the mean squared error of images scaled to 0–1, as in `yeast_model/train.py` of
    github.com/alexxijielu/paired_cell_inpainting.

    Where crops stand on other backgrounds, source and target are put on theirs independently, and
    only the target's own pixels are painted: the error is averaged inside its mask. A donor's
    neighbours carry the donor's protein, of which the source tells nothing; to paint them well
    would mean to answer from the background, here the target's marker around the cell. What is to
    be painted is scaled by the target's crop as imaged, so that it is the same on any background,
    as no network could know how bright a donor's neighbours are.

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
        consistency: Consistency = NO_CONSISTENCY,
    ) -> Losses:
        """Compute mean squared error and explained share of variance; see `Objective.loss`."""
        side = selection.validation if rng is None else selection.training
        number = 2 if consistency.weight else 1
        source = pixels.views(rows, rng, number)
        other = partners(rows, side, selection.field, rng)
        target = pixels.views(other, rng, number, as_imaged=True)
        marker = target.images[:, 1:].contiguous(memory_format=torch.channels_last)
        layers = (network.output, *consistency.layers)
        found = network.features(source.images, layers, marker)
        predicted = found[network.output]
        if target.mask is None or target.as_imaged is None:
            painted = target.images[:, :1]
            loss = F.mse_loss(predicted, painted)
            variance = painted.var(dim=(1, 2, 3), correction=0).mean().clamp(min=1e-12)
        else:
            loss, variance = error_inside(predicted, target.as_imaged[:, :1], target.mask)
        score = 1 - loss.detach() / variance
        return Losses(loss, score, _term(consistency, found, source))


def error_inside(predicted: Tensor, painted: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Compute mean squared error and variance inside masks.

    Parameters
    ----------
    predicted, painted
        Images, N×1×H×W.
    mask
        What counts, bool, N×1×H×W.

    Returns
    -------
    error, variance
        Mean squared error over all pixels that count, and the mean over them of each image's
        variance there (at least 1e-12).
    """
    weight = mask.to(painted.dtype)
    count = weight.sum().clamp(min=1)
    error = ((predicted - painted).square() * weight).sum() / count
    pixels = (-3, -2, -1)
    mean = (painted * weight).sum(pixels, keepdim=True) / weight.sum(pixels, keepdim=True).clamp(1)
    variance = ((painted - mean).square() * weight).sum() / count
    return error, variance.clamp(min=1e-12)


def _term(
    consistency: Consistency, activations: Mapping[str, Tensor], views: Views
) -> Tensor | None:
    """Compare the cells' embeddings on two backgrounds, where that is asked for."""
    return None if views.pairs is None else consistency.term(activations, views.pairs)


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
