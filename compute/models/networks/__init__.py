"""The networks that come with Bystander, as data: what each reads, scales by, and gives.

Layer: frozen dataclasses; importing this loads no torch. To add a network, write its file and
`register` it here; cards, loading and tests follow from the registry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from compute.errors import BystanderError, unknown_value

if TYPE_CHECKING:
    from compute.models.networks.blocks import LayeredNetwork


@dataclass(frozen=True)
class LayerSpec:
    """Shape of one activation that may serve as embedding.

    Parameters
    ----------
    units
        Number of channels (of a dense layer: of units) at width 1.
    side
        Height and width in pixels; 0, the default, for a dense layer.
    linear
        Whether it is a convolution's own output, before its batch normalisation, which must then
        not be folded into the convolution; False by default.
    """

    units: int
    side: int = 0
    linear: bool = False

    def dimension(self, width: float) -> int:
        """Return the length of the pooled embedding at a network width."""
        return max(1, round(self.units * width))


@dataclass(frozen=True)
class NetworkSpec:
    """One network: what it reads, how that is scaled, and what it gives.

    Parameters
    ----------
    title
        Name for people.
    constructor
        ``"module:Class"``, called with `width` and `classes`; as text, so that reading a model
        card needs no torch.
    channels
        Names of the channels as published, in order.
    input_size
        Side of the square input in pixels.
    crop_size
        Side of the crop that the input is cut from, in pixels; larger where windows are averaged.
    scaling
        Key of `compute.models.scaling.SCALINGS`.
    layers
        Activations that may serve as embedding, by name.
    default_layer
        Name of the one that the paper's swap experiment took.
    default_windows
        Key of `compute.models.recipe.WINDOWS`.
    classes
        Whether it ends in one output per class.
    objective
        Key of `compute.models.training.objectives.OBJECTIVES`.
    publication
        Authors, journal and year, for its cards.
    """

    title: str
    constructor: str
    channels: tuple[str, ...]
    input_size: int
    crop_size: int
    scaling: str
    layers: Mapping[str, LayerSpec]
    default_layer: str
    default_windows: str
    classes: bool
    objective: str
    publication: str

    def build(self, width: float = 1.0, classes: int = 0) -> "LayeredNetwork":
        """Make the network with freshly drawn weights.

        Parameters
        ----------
        width
            Scales every hidden layer; 1, the default, as published.
        classes
            Number of classes; 0, the default, for a network that has none.
        """
        module, name = self.constructor.split(":")
        constructor = getattr(import_module(module), name)
        network: LayeredNetwork = constructor(width=width, classes=classes)
        return network


DEFAULT_POOLING = "max"
"""Pooling of every network: the maximum over pixels, as in `yeast_model/extract_features.py` of
github.com/alexxijielu/paired_cell_inpainting."""

_networks: dict[str, NetworkSpec] = {}
NETWORKS: Mapping[str, NetworkSpec] = MappingProxyType(_networks)
"""Every network by the name that cards and the command line use."""


def register(name: str, spec: NetworkSpec) -> None:
    """Add a network.

    Raises
    ------
    BystanderError
        The name is taken.
    """
    if name in _networks:
        raise BystanderError(
            f"A network named {name!r} is registered already ({_networks[name].constructor}).",
            "Give the new one another name.",
        )
    _networks[name] = spec


def network_spec(name: str) -> NetworkSpec:
    """Find a network by name.

    Raises
    ------
    UsageError
        The network does not exist.
    """
    if name not in NETWORKS:
        raise unknown_value("network", name, NETWORKS)
    return NETWORKS[name]


register(
    "pifia",
    NetworkSpec(
        title="PIFiA",
        constructor="compute.models.networks.pifia:Pifia",
        channels=("GFP",),
        input_size=64,
        crop_size=64,
        scaling="pifia",
        layers=MappingProxyType(
            {
                "conv8": LayerSpec(256, 5),
                "conv8_linear": LayerSpec(256, 5, linear=True),
                "d2": LayerSpec(64),
            }
        ),
        default_layer="conv8",
        default_windows="centre",
        classes=True,
        objective="protein",
        publication="Razdaibiedina et al., Molecular Systems Biology 2024",
    ),
)
register(
    "paired_cell",
    NetworkSpec(
        title="Paired Cell Inpainting",
        constructor="compute.models.networks.paired_cell:PairedCell",
        channels=("GFP", "RFP"),
        input_size=64,
        crop_size=64,
        scaling="paired_cell",
        layers=MappingProxyType(
            {
                "conv1_1": LayerSpec(96, 64),
                "conv2_1": LayerSpec(256, 32),
                "conv3_1": LayerSpec(384, 16),
                "conv4_1": LayerSpec(384, 16),
                "conv5_1": LayerSpec(256, 16),
            }
        ),
        default_layer="conv4_1",
        default_windows="centre",
        classes=False,
        objective="paint",
        publication="Lu et al., PLOS Computational Biology 2019",
    ),
)
register(
    "deeploc",
    NetworkSpec(
        title="DeepLoc",
        constructor="compute.models.networks.deeploc:DeepLoc",
        channels=("GFP", "RFP"),
        input_size=60,
        crop_size=64,
        scaling="deeploc",
        layers=MappingProxyType(
            {
                **{
                    f"conv_{i}": LayerSpec(units, side)
                    for i, (units, side) in enumerate(
                        [(64, 60), (64, 60), (128, 30), (128, 30)] + [(256, 15)] * 4, start=1
                    )
                },
                "fc_1": LayerSpec(512),
                "fc_2": LayerSpec(512),
            }
        ),
        default_layer="conv_5",
        default_windows="five",
        classes=True,
        objective="localization",
        publication="Kraus et al., Molecular Systems Biology 2017",
    ),
)
