"""What a forward pass needs, and the best that a machine could do: the roofline model.

Layer: runs a model once and counts; no files. A network's layer can be no faster than its
arithmetic at the machine's measured peak, nor than its bytes at the measured bandwidth (Williams,
Waterman and Patterson 2009, Communications of the ACM).
"""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from compute.bench.hardware import Machine
from compute.models.embedder import Embedder
from compute.models.footprint import counted


@dataclass(frozen=True)
class Need:
    """What a model's forward pass takes for one crop.

    Parameters
    ----------
    operations
        Floating-point operations, a multiplication and an addition counted as two.
    bytes
        Read and written if every layer reads its input and its weights and writes its output
        once, float32; weights are shared by the batch.
    precision
        What it computes with; ``"float32"`` by default. In bfloat16 half as much is moved.
    """

    operations: float
    bytes: float
    precision: str = "float32"

    def best(self, machine: Machine) -> float:
        """Return the crops per second that the machine could reach at best."""
        flops = machine.flops[self.precision]
        return 1 / max(self.operations / flops, self.bytes / machine.bandwidth)

    def __str__(self) -> str:
        """Say it for one crop."""
        return f"{self.operations / 1e6:.0f} Mflop and {self.bytes / 1e6:.1f} MB a crop"


def need(model: Embedder, batch: int, precision: str = "float32") -> Need | None:
    """Count one batch's operations and bytes.

    Parameters
    ----------
    model
        The model; its device does the pass that is counted.
    batch
        Crops per forward pass.
    precision
        What it computes with; ``"float32"`` by default.

    Returns
    -------
    Need or None
        Operations and bytes for one crop; None for what PyTorch cannot look into.
    """
    if model.module is None:
        return None
    shape = (batch, len(model.card.channels), model.card.size, model.card.size)
    with counted(model.module) as layers, FlopCounterMode(display=False) as counter:
        model(torch.rand(shape))
    share = getattr(torch, precision).itemsize / torch.float32.itemsize
    moved = share * sum(layer.weights + layer.given + layer.result for layer in layers)
    return Need(counter.get_total_flops() / batch, moved / batch, precision)
