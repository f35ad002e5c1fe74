"""Blocks that the networks are made of: scaled layers, initial weights, named activations.

Layer: tensors in, tensors out; no files.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from compute.errors import UsageError, unknown_value

Block = TypeVar("Block", bound=nn.Module)

EPSILON = 1e-3
"""Epsilon of every batch normalisation: Keras' default, and 1e-3 in `nn_layers.py` of
github.com/okraus/DeepLoc."""

MOMENTUM = 0.1
"""Share that each batch has in the running statistics while training.

Torch's default. Keras' 0.99 (0.01 in torch's sense, used by PIFiA and Paired Cell Inpainting)
needs thousands of steps to settle, DeepLoc's 0.5 follows single batches; trainings here take
hundreds of steps.
"""


def scaled(channels: int, width: float) -> int:
    """Return a hidden layer's number of channels at a network width, at least 1."""
    return max(1, round(channels * width))


class LayeredNetwork(nn.Module, ABC):
    """A network that yields its activations by name, and stops once it has those asked for."""

    layers: ClassVar[tuple[str, ...]]
    """Names of the activations, in the order in which `activations` yields them."""

    output: ClassVar[str]
    """The activation that `forward` returns."""

    @abstractmethod
    def activations(
        self, images: Tensor, marker: Tensor | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield each named activation as it is computed.

        Parameters
        ----------
        images
            N×C×H×W, scaled.
        marker
            Marker channel of a second cell, N×1×H×W; read by networks that paint one.
        """

    def features(
        self, images: Tensor, layers: Iterable[str], marker: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute some activations, and no layer after the deepest of them.

        Parameters
        ----------
        images
            N×C×H×W, scaled.
        layers
            Names among `self.layers`.
        marker
            As in `activations`.

        Returns
        -------
        dict
            Activations by name, N×K×h×w or N×K.

        Raises
        ------
        UsageError
            A name is not a layer of this network, or needs a marker that was not given.
        """
        wanted = set(layers)
        for name in wanted:
            if name not in self.layers:
                raise unknown_value(f"layer of {type(self).__name__}", name, self.layers)
        found: dict[str, Tensor] = {}
        if not wanted:
            return found
        for name, activation in self.activations(images, marker):
            if name in wanted:
                found[name] = activation
                if len(found) == len(wanted):
                    return found
        missing = ", ".join(sorted(wanted - set(found)))
        raise UsageError(
            f"{type(self).__name__} needs the marker channel of a second cell for {missing}.",
            "Pass `marker`, N×1×H×W.",
        )

    def forward_several(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Compute some activations in one pass; see `features`."""
        return self.features(images, layers)

    def forward_to(self, images: Tensor, layer: str, marker: Tensor | None = None) -> Tensor:
        """Compute one activation, and no layer after it; see `features`."""
        return self.features(images, (layer,), marker)[layer]

    def forward(self, images: Tensor, marker: Tensor | None = None) -> Tensor:
        """Compute the output that the network is trained on; see `features`."""
        return self.forward_to(images, self.output, marker)


class ConvNormReLU(nn.Module):
    """3×3 convolution, batch normalisation, ReLU.

    Parameters
    ----------
    inputs, outputs
        Numbers of channels.
    padding
        1 keeps the size (TensorFlow's "same"), 0 loses a pixel on each side ("valid").
    """

    def __init__(self, inputs: int, outputs: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=padding)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=EPSILON, momentum=MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×inputs×H×W to N×outputs×H'×W'."""
        return self.normalise(self.conv(x))

    def fold(self) -> None:
        """Multiply the normalisation into the convolution: the same results to rounding, faster.

        For inference only, and where nobody asks for the convolution's own output.
        """
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()

    def normalise(self, linear: Tensor) -> Tensor:
        """Normalise and rectify the convolution's own output; shapes stay."""
        return F.relu(self.norm(linear), inplace=True)


class ConvReLUNorm(nn.Module):
    """3×3 convolution that keeps the size, ReLU, then batch normalisation.

    Parameters
    ----------
    inputs, outputs
        Numbers of channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON, momentum=MOMENTUM)

    def rectified(self, x: Tensor) -> Tensor:
        """Return the ReLU's output, before the normalisation: what was published as features."""
        return F.relu(self.conv(x), inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×inputs×H×W to N×outputs×H×W."""
        normalised: Tensor = self.norm(self.rectified(x))
        return normalised


class DenseNorm(nn.Module):
    """Dense layer, then batch normalisation; the caller adds the activation.

    Parameters
    ----------
    inputs, outputs
        Numbers of units.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs, eps=EPSILON, momentum=MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×inputs to N×outputs."""
        normalised: Tensor = self.norm(self.dense(x))
        return normalised


def named(blocks: nn.ModuleDict, kind: type[Block]) -> Iterator[tuple[str, Block]]:
    """Yield names and blocks, all of one kind; a `ModuleDict` does not know of which."""
    for name, block in blocks.items():
        yield name, cast(Block, block)


def channels_last(network: LayeredNetwork) -> LayeredNetwork:
    """Lay convolutions out channels last, in which both CPU and GPU compute faster."""
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network


def fold(network: LayeredNetwork) -> LayeredNetwork:
    """Fold every normalisation that directly follows its convolution; see `ConvNormReLU.fold`."""
    network.eval()
    for module in network.modules():
        if isinstance(module, ConvNormReLU):
            module.fold()
    return network


def keep_scale(network: LayeredNetwork) -> LayeredNetwork:
    """Set normalisations of drawn weights so that no layer makes activations smaller or larger.

    Glorot's weights pass on 2n / (n + m) of the mean square, from n inputs to m outputs of a pixel,
    and ReLU half of that (He et al., ICCV 2015), so a deep network's answers all but vanish. The
    normalisation divides by what is expected of the weights alone; no crop is looked at. Without
    biases that changes nothing but the scale of what the network gives.
    """
    for module in network.modules():
        if not isinstance(module, ConvNormReLU | ConvReLUNorm | DenseNorm):
            continue
        weight = (module.dense if isinstance(module, DenseNorm) else module.conv).weight
        into, out = weight[0].numel(), weight[:, 0].numel()
        if (
            isinstance(module.norm, nn.BatchNorm1d | nn.BatchNorm2d)
            and module.norm.running_var is not None
        ):
            module.norm.running_var.fill_(into / (into + out))
    return network


def initialise(network: nn.Module) -> None:
    """Draw weights as Keras does: from Glorot's uniform distribution, with zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
