"""A network: one convolution, on the GFP channel."""

from tests.recipes.toy import Edit, Toy

TOY = Toy(
    recipe="A network",
    edits=(
        Edit(
            "compute/models/networks/tiny.py",
            '''"""Tiny: one convolution, to try things out."""

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor, nn

from compute.errors import UsageError
from compute.models.networks.blocks import ConvNormReLU, LayeredNetwork, initialise, scaled

UNITS = 512


class Tiny(LayeredNetwork):
    """One convolution and one dense layer.

    Parameters
    ----------
    width
        Scales the convolution.
    classes
        Proteins to tell apart.

    Raises
    ------
    UsageError
        No classes.
    """

    layers: ClassVar[tuple[str, ...]] = ("conv1", "logits")
    output: ClassVar[str] = "logits"

    def __init__(self, width: float = 1.0, classes: int = 20) -> None:
        super().__init__()
        if classes < 1:
            raise UsageError(f"tiny cannot have {classes} classes.", "Give 1 or more.")
        units = scaled(UNITS, width)
        self.conv1 = ConvNormReLU(1, units, padding=1)
        self.head = nn.Linear(units, classes)
        initialise(self)

    def activations(
        self, images: Tensor, marker: Tensor | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield `conv1` (after ReLU) and `logits`."""
        x = self.conv1(images)
        yield "conv1", x
        yield "logits", self.head(x.mean((2, 3)))
''',
        ),
        Edit(
            "compute/models/networks/__init__.py",
            """register(
    "tiny",
    NetworkSpec(
        title="Tiny",
        constructor="compute.models.networks.tiny:Tiny",
        channels=("GFP",),
        input_size=64,
        crop_size=64,
        scaling="paired_cell",
        layers=MappingProxyType({"conv1": LayerSpec(512, 64)}),
        default_layer="conv1",
        default_windows="centre",
        classes=True,
        objective="protein",
        publication="A toy",
    ),
)
""",
            before='register(\n    "deeploc",',
        ),
        Edit("ARCHITECTURE.md", "`tiny`, ", before="`deeploc`, `paired_cell`, `pifia` of `blocks`"),
    ),
    tests=(
        "tests/test_docs.py",
        "tests/compute/models/test_networks.py",
        "tests/compute/models/test_embedder.py",
    ),
    script="""
import tempfile
from pathlib import Path
from compute.models.embedder import load_model
from compute.models.training.train import train
from compute.simulation.simulate import simulate
import torch

folder = Path(tempfile.mkdtemp())
simulate(folder / "store", proteins_per_class=2, cells_per_protein=4, seed=1, workers=1)
card = train("tiny", folder / "store", folder / "weights", epochs=1, width=0.5)
assert load_model(card)(torch.rand(2, 1, 64, 64)).shape == (2, 256)
""",
)
