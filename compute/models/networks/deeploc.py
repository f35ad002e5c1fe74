"""DeepLoc: names the localization from the GFP and RFP channels of one cell.

Kraus et al., "Automated analysis of high-content microscopy data with deep learning",
Molecular Systems Biology 2017; layers as in `DeepLoc_train.py` and `nn_layers.py` of
github.com/okraus/DeepLoc (BSD-3).

Layer: tensors in, tensors out; no files.
"""

from collections.abc import Iterator
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from compute.errors import UsageError
from compute.models.networks.blocks import (
    ConvNormReLU,
    DenseNorm,
    LayeredNetwork,
    initialise,
    named,
    scaled,
)

CHANNELS = (64, 64, 128, 128, 256, 256, 256, 256)
"""Channels of the convolutions as published."""

POOLED_AFTER = (2, 4, 8)
"""Convolutions, counted from 1, after which a 2×2 pooling follows."""

DENSE = (512, 512)
"""Units of the hidden dense layers as published."""

FLAT_SIDE = 8
"""Side of the last map in pixels: 60 → 30 → 15 → 8, as TensorFlow's "same" pooling rounds up."""


class DeepLoc(LayeredNetwork):
    """Eight convolutions and three dense layers, each normalised before its ReLU.

    Parameters
    ----------
    width
        Scales every hidden layer (1 as published).
    classes
        Localizations to tell apart (19 as published).

    Raises
    ------
    UsageError
        No classes.
    """

    layers: ClassVar[tuple[str, ...]] = (
        *(f"conv_{i}" for i in range(1, len(CHANNELS) + 1)),
        "fc_1",
        "fc_2",
        "logits",
    )
    output: ClassVar[str] = "logits"

    def __init__(self, width: float = 1.0, classes: int = 19) -> None:
        super().__init__()
        if classes < 1:
            raise UsageError(f"deeploc cannot have {classes} classes.", "Give 1 or more.")
        channels = [2, *(scaled(c, width) for c in CHANNELS)]
        self.blocks = nn.ModuleDict(
            {
                f"conv_{i}": ConvNormReLU(channels[i - 1], channels[i], padding=1)
                for i in range(1, len(channels))
            }
        )
        first, second = (scaled(units, width) for units in DENSE)
        self.fc_1 = DenseNorm(channels[-1] * FLAT_SIDE**2, first)
        self.fc_2 = DenseNorm(first, second)
        self.final_layer = DenseNorm(second, classes)
        initialise(self)

    def activations(
        self, images: Tensor, marker: Tensor | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield `conv_1`…`conv_8`, `fc_1`, `fc_2` (after ReLU) and `logits`.

        Parameters
        ----------
        images
            N×2×60×60, GFP then RFP.
        marker
            Not read.
        """
        x = images
        for i, (name, block) in enumerate(named(self.blocks, ConvNormReLU), start=1):
            x = block(x)
            yield name, x
            if i in POOLED_AFTER:
                x = F.max_pool2d(x, 2, ceil_mode=True)
        x = x.flatten(1)
        x = F.relu(self.fc_1(x))
        yield "fc_1", x
        x = F.relu(self.fc_2(x))
        yield "fc_2", x
        yield "logits", self.final_layer(x)
