"""What machine this is, and its limits: speed of arithmetic and of memory, measured.

Layer: asks the operating system and PyTorch; writes nothing.
"""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from compute.bench.config import ROUNDS
from compute.bench.timing import alternate
from compute.devices import cores
from compute.models.precision import PRECISIONS

SIDES = {"cpu": 2048, "cuda": 8192}
"""Rows of the square matrices whose product measures arithmetic, by kind of device: 17 Gflop,
beyond every cache; on a GPU 1.1 Tflop, beside which starting is nothing."""

COPIED = {"cpu": 2**26, "cuda": 2**28}
"""Float32 numbers that are copied to measure memory: 256 MiB read and as much written; on a GPU
1 GiB."""


@dataclass(frozen=True)
class Machine:
    """A device and what was measured of it.

    Parameters
    ----------
    name
        Name of the processor or accelerator.
    device
        PyTorch's name of it.
    cores
        Processor cores that this process may use.
    memory
        Bytes of main memory; 0 where the system does not say.
    flops
        Floating-point operations per second in a matrix product, by precision (float32 without
        TF32).
    bandwidth
        Bytes per second in a copy, counted once when read and once when written.
    """

    name: str
    device: str
    cores: int
    memory: int
    flops: Mapping[str, float]
    bandwidth: float

    def __str__(self) -> str:
        """Describe it in a line."""
        memory = f", {self.memory / 2**30:.0f} GiB" if self.memory else ""
        speeds = ", ".join(f"{each / 1e9:,.0f} Gflop/s {name}" for name, each in self.flops.items())
        return (
            f"{self.name}, {self.cores} cores{memory}, device {self.device}: "
            f"{speeds}, {self.bandwidth / 1e9:,.1f} GB/s; "
            f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, "
            f"Python {platform.python_version()}"
        )


def measure(device: torch.device, repeats: int = ROUNDS) -> Machine:
    """Describe the machine and measure its two limits.

    Parameters
    ----------
    device
        The device to measure.
    repeats
        Rounds, of which the median counts; 5 by default.
    """
    side, copied = (known.get(device.type, known["cpu"]) for known in (SIDES, COPIED))
    square = torch.rand(side, side, device=device)
    source = torch.rand(copied, device=device)
    target = torch.empty_like(source)
    products = [
        partial(torch.matmul, typed, typed, out=torch.empty_like(typed))
        for typed in (square.to(getattr(torch, name)) for name in PRECISIONS)
    ]
    *multiplied, copy = alternate([*products, lambda: target.copy_(source)], repeats, device)
    return Machine(
        _name(device),
        str(device),
        cores(),
        _memory(),
        {name: 2 * side**3 / each.wall for name, each in zip(PRECISIONS, multiplied, strict=True)},
        2 * copied * source.itemsize / copy.wall,
    )


def _name(device: torch.device) -> str:
    """Return the name of the processor or accelerator."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory() -> int:
    """Return the bytes of main memory; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0
