"""PIFiA: names the protein from the GFP channel of one cell.

Razdaibiedina et al., "PIFiA: self-supervised approach for protein functional annotation from
single-cell imaging data", Molecular Systems Biology 2024; layers as in `model/models.py` of
github.com/arazd/pifia (MIT).

Layer: tensors in, tensors out; no files.
"""

from collections.abc import Iterator
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from compute.errors import UsageError
from compute.models.networks.blocks import ConvNormReLU, LayeredNetwork, initialise, named, scaled

CHANNELS = (64, 64, 128, 128, 256, 256, 256, 256)
"""Channels of the convolutions as published."""

POOLED_AFTER = (2, 4)
"""Blocks, counted from 1, after which a 2×2 pooling follows; the last is pooled too."""

DENSE = (128, 64)
"""Units of the released weights' hidden dense layers; the second gives PIFiA's features."""

FLAT_SIDE = 2
"""Side of the last map in pixels: 64 → 62 → 60 | 30 → 28 → 26 | 13 → 11 → 9 → 7 → 5 | 2."""


class Pifia(LayeredNetwork):
    """Eight valid convolutions, then three dense layers.

    Parameters
    ----------
    width
        Scales every hidden layer (1 as published).
    classes
        Number of proteins to tell apart.

    Raises
    ------
    UsageError
        No classes.
    """

    layers: ClassVar[tuple[str, ...]] = (
        *(f"conv{i}" for i in range(1, len(CHANNELS))),
        "conv8_linear",
        "conv8",
        "d1",
        "d2",
        "logits",
    )
    output: ClassVar[str] = "logits"

    def __init__(self, width: float = 1.0, classes: int = 1) -> None:
        super().__init__()
        if classes < 1:
            raise UsageError(f"pifia cannot have {classes} classes.", "Give 1 or more.")
        channels = [1, *(scaled(c, width) for c in CHANNELS)]
        self.blocks = nn.ModuleDict(
            {
                f"conv{i}": ConvNormReLU(channels[i - 1], channels[i], padding=0)
                for i in range(1, len(channels))
            }
        )
        first, second = (scaled(units, width) for units in DENSE)
        self.d1 = nn.Linear(channels[-1] * FLAT_SIDE**2, first)
        self.d2 = nn.Linear(first, second)
        self.d3 = nn.Linear(second, classes)
        initialise(self)

    def activations(
        self, images: Tensor, marker: Tensor | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield `conv1`…`conv8` (after ReLU), `conv8_linear`, `d1`, `d2`, `logits`.

        Parameters
        ----------
        images
            N×1×64×64.
        marker
            Not read.
        """
        x = images
        for i, (name, block) in enumerate(named(self.blocks, ConvNormReLU), start=1):
            linear = block.conv(x)
            if name == "conv8":
                yield "conv8_linear", linear
            x = block.normalise(linear)
            yield name, x
            if i in POOLED_AFTER:
                x = F.max_pool2d(x, 2)
        x = F.max_pool2d(x, 2).flatten(1)
        x = F.relu(self.d1(x))
        yield "d1", x
        x = F.relu(self.d2(x))
        yield "d2", x
        yield "logits", self.d3(x)
