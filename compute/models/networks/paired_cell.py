"""Paired Cell Inpainting: paints the protein into a second cell of the same image.

Lu et al., "Learning unsupervised feature representations for single cell microscopy images with
paired cell inpainting", PLOS Computational Biology 2019; layers as in `pair_model.py` of
github.com/alexxijielu/paired_cell_inpainting (GPL-2.0; the architecture only).

Layer: tensors in, tensors out; no files.
"""

from collections.abc import Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compute.errors import UsageError
from compute.models.networks.blocks import ConvReLUNorm, LayeredNetwork, initialise, named, scaled

SOURCE = (96, 256, 384, 384, 256)
MARKER = (16, 32, 32)
DECODER = (256, 384, 384, 256, 96)
"""Channels as published: of the source encoder, the marker encoder, the decoder."""

POOLED_AFTER = (1, 2)
"""Blocks of either encoder, counted from 1, after which a 2×2 pooling follows."""

UPSAMPLED_BEFORE = (9, 10)
"""Decoder layers (numbered on from the encoder, as published) whose input is doubled in size."""


class PairedCell(LayeredNetwork):
    """Source and marker encoders side by side, one decoder.

    Parameters
    ----------
    width
        Scales every hidden layer (1 as published).
    classes
        Must be 0, the default: this network paints and has no classes.

    Raises
    ------
    UsageError
        Classes were asked for.
    """

    layers: ClassVar[tuple[str, ...]] = (
        *(f"conv{i}_1" for i in range(1, len(SOURCE) + 1)),
        "prediction",
    )
    output: ClassVar[str] = "prediction"

    def __init__(self, width: float = 1.0, classes: int = 0) -> None:
        super().__init__()
        if classes:
            raise UsageError(f"paired_cell has no classes, {classes} were asked for.", "Give 0.")
        source = [2, *(scaled(c, width) for c in SOURCE)]
        marker = [1, *(scaled(c, width) for c in MARKER)]
        decoder = [source[-1] + marker[-1], *(scaled(c, width) for c in DECODER)]
        self.source = nn.ModuleDict(
            {f"conv{i}_1": ConvReLUNorm(source[i - 1], source[i]) for i in range(1, len(source))}
        )
        self.marker = nn.ModuleDict(
            {f"rfpconv{i}_1": ConvReLUNorm(marker[i - 1], marker[i]) for i in range(1, len(marker))}
        )
        self.decoder = nn.ModuleDict(
            {
                f"conv{i + len(SOURCE)}_1": nn.Conv2d(decoder[i - 1], decoder[i], 3, padding=1)
                for i in range(1, len(decoder))
            }
        )
        self.y_gfp = nn.Conv2d(decoder[-1], 1, 1)
        initialise(self)

    def activations(
        self, images: Tensor, marker: Tensor | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield `conv1_1`…`conv5_1` (after ReLU, before normalisation), then `prediction`.

        Parameters
        ----------
        images
            N×2×H×W, protein (GFP) then marker (RFP) of the source cell; H, W multiples of 4.
        marker
            Marker channel of the target cell, N×1×H×W; without it, the source encoder alone is
            computed.
        """
        x = images
        for i, (name, block) in enumerate(named(self.source, ConvReLUNorm), start=1):
            rectified = block.rectified(x)
            yield name, rectified
            x = block.norm(rectified)
            if i in POOLED_AFTER:
                x = F.max_pool2d(x, 2)
        if marker is None:
            return
        y = marker
        for i, (_, block) in enumerate(named(self.marker, ConvReLUNorm), start=1):
            y = block(y)
            if i in POOLED_AFTER:
                y = F.max_pool2d(y, 2)
        x = torch.cat((x, y), dim=1)
        for i, layer in enumerate(self.decoder.values(), start=len(SOURCE) + 1):
            if i in UPSAMPLED_BEFORE:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.relu(layer(x), inplace=True)
        yield "prediction", self.y_gfp(x)
