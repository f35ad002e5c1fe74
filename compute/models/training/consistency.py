"""The term that pulls a cell's embeddings on two backgrounds together.

Layer: tensors in, tensors out; no files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from compute.errors import unknown_value
from compute.models.networks import DEFAULT_POOLING, NetworkSpec
from compute.models.recipe import pool

LEAST_SHARE = 1e-3
"""A unit whose variance is below this share of the layer's mean counts as if it had that much:
else units that hardly ever answer would decide the term."""


@dataclass(frozen=True)
class Consistency:
    """How a cell's two embeddings are compared.

    Parameters
    ----------
    weight
        Of the term beside the objective's loss; 0 for none.
    layers
        Names of the layers, compared one by one and averaged.
    """

    weight: float = 0.0
    layers: tuple[str, ...] = ()

    def term(self, activations: Mapping[str, Tensor], pairs: Tensor) -> Tensor:
        """Average `background_share` over the layers.

        Parameters
        ----------
        activations
            By layer, each of 2n crops: n cells on one background, then in the same order on
            another; maps 2n×K×h×w or vectors 2n×K.
        pairs
            Which of the n cells stand on two different backgrounds, bool, shape (n,).
        """
        shares = []
        for name in self.layers:
            first, second = pool(activations[name].float(), DEFAULT_POOLING).chunk(2)
            shares.append(background_share(first, second, pairs))
        return torch.stack(shares).mean()


def background_share(first: Tensor, second: Tensor, pairs: Tensor) -> Tensor:
    """Measure which share of the embeddings' variance is due to the background.

    For each unit: half the mean square of the difference between a cell's two embeddings, divided
    by the variance over all cells and backgrounds; then averaged over units. That is 0 where the
    background changes nothing, and about 1 where two crops of one cell have no more in common than
    two of different cells: one less the intraclass correlation. It is a ratio by unit, because a
    distance alone would be lowest where embeddings are all the same (and a cosine where they share
    a large mean, as after a ReLU), and because a linear probe standardises units. So it can only be
    lowered by telling cells apart in spite of their backgrounds.

    Parameters
    ----------
    first, second
        Embeddings of n cells on two backgrounds, n×K.
    pairs
        Which cells count: those that stand on two different backgrounds, bool, shape (n,).

    Returns
    -------
    Tensor
        A number of 0 or more; 0 where fewer than two cells count.
    """
    # Weights, not a selection: how many cells count would have to come from the device first.
    weight = pairs.to(first.dtype)[:, None]
    count = weight.sum().clamp(min=1)
    within = (weight * (first - second).square()).sum(0) / (2 * count)
    mean = (weight * (first + second)).sum(0) / (2 * count)
    spread = (weight * ((first - mean).square() + (second - mean).square())).sum(0) / (2 * count)
    floor = LEAST_SHARE * spread.detach().mean() + torch.finfo(spread.dtype).tiny
    share = (within / spread.clamp(min=floor)).mean()
    return share * (weight.sum() > 1)


def layers_to_compare(spec: NetworkSpec, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the layers whose embeddings are compared.

    Parameters
    ----------
    spec
        The network.
    asked
        Names that were asked for; none takes the layer of the paper's experiment, which the
        network's card reads unless told otherwise, and the last that may serve as embedding, which
        is what people use.

    Raises
    ------
    UsageError
        The network has no such layer that may serve as embedding.
    """
    for name in asked:
        if name not in spec.layers:
            raise unknown_value(f"layer of {spec.title}", name, spec.layers)
    return tuple(dict.fromkeys(asked or (spec.default_layer, list(spec.layers)[-1])))
