"""A network that reads every channel of a screen, at 128 pixels; registered for a test's time."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor, nn

from compute.models import networks
from compute.models.networks import LayerSpec, NetworkSpec, register
from compute.models.networks.blocks import ConvNormReLU, LayeredNetwork, initialise, scaled
from tests.screen import PAINTING

UNITS = 64


class Screen(LayeredNetwork):
    """One convolution over five channels and one dense layer."""

    layers: ClassVar[tuple[str, ...]] = ("conv1", "logits")
    output: ClassVar[str] = "logits"

    def __init__(self, width: float = 1.0, classes: int = 2) -> None:
        super().__init__()
        units = scaled(UNITS, width)
        self.conv1 = ConvNormReLU(len(PAINTING), units, padding=1)
        self.head = nn.Linear(units, classes)
        initialise(self)

    def activations(
        self, images: Tensor, marker: Tensor | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield `conv1` and `logits`."""
        x = self.conv1(images)
        yield "conv1", x
        yield "logits", self.head(x.mean((2, 3)))


@contextmanager
def registered() -> Iterator[str]:
    """Register the network, and take it out again; gives its name."""
    spec = NetworkSpec(
        title="Screen",
        constructor="tests.screen_network:Screen",
        channels=PAINTING,
        input_size=128,
        crop_size=128,
        scaling="paired_cell",
        layers=MappingProxyType({"conv1": LayerSpec(UNITS, 128)}),
        default_layer="conv1",
        default_windows="centre",
        classes=True,
        objective="localization",
        publication="A toy",
    )
    register("screen", spec)
    try:
        yield "screen"
    finally:
        del networks._networks["screen"]
