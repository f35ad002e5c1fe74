"""What machine this is, and its limits: speed of arithmetic and of memory, measured.

Layer: asks the operating system and PyTorch; writes nothing.
"""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from compute.bench.config import ROUNDS
from compute.bench.timing import alternate
from compute.devices import cores

SIDE = 2048
"""Rows of the square matrices whose product measures arithmetic: 17 Gflop, beyond every cache."""

COPIED = 2**26
"""Float32 numbers that are copied to measure memory: 256 MiB read and as much written."""


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
        Floating-point operations per second in a matrix product (float32, no TF32).
    bandwidth
        Bytes per second in a copy, counted once when read and once when written.
    """

    name: str
    device: str
    cores: int
    memory: int
    flops: float
    bandwidth: float

    def __str__(self) -> str:
        """Describe it in a line."""
        memory = f", {self.memory / 2**30:.0f} GiB" if self.memory else ""
        return (
            f"{self.name}, {self.cores} cores{memory}, device {self.device}: "
            f"{self.flops / 1e9:.0f} Gflop/s, {self.bandwidth / 1e9:.1f} GB/s; "
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
    square = torch.rand(SIDE, SIDE, device=device)
    product = torch.empty_like(square)
    source = torch.rand(COPIED, device=device)
    target = torch.empty_like(source)
    multiply, copy = alternate(
        [lambda: torch.matmul(square, square, out=product), lambda: target.copy_(source)],
        repeats,
        device,
    )
    return Machine(
        _name(device),
        str(device),
        cores(),
        _memory(),
        2 * SIDE**3 / multiply.wall,
        2 * COPIED * source.itemsize / copy.wall,
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
