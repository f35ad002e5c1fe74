"""What machine this is, and its limits: speed of arithmetic and of memory, measured.

Layer: asks the operating system and PyTorch; writes nothing.
"""

import os
import platform
from collections.abc import Callable, Mapping
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
beyond every cache; on a GPU 1.1 Tflop, beside which starting is nothing. Where a precision is
emulated, less (`LONG_ENOUGH`)."""

LEAST_SIDE, LONG_ENOUGH = 256, 0.1
"""The first side tried, and the seconds of a product at which sides are doubled no more. Some
processors multiply bfloat16 a thousand times more slowly than float32."""

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
    source = torch.rand(copied, device=device)
    target = torch.empty_like(source)
    sides = [_affordable(name, side, device) for name in PRECISIONS]
    products = [_product(name, each, device) for name, each in zip(PRECISIONS, sides, strict=True)]
    *multiplied, copy = alternate([*products, lambda: target.copy_(source)], repeats, device)
    return Machine(
        _name(device),
        str(device),
        cores(),
        _memory(),
        {
            name: 2 * each**3 / product.wall
            for name, each, product in zip(PRECISIONS, sides, multiplied, strict=True)
        },
        2 * copied * source.itemsize / copy.wall,
    )


def _product(precision: str, side: int, device: torch.device) -> Callable[[], torch.Tensor]:
    """Return what multiplies a square matrix of that precision by itself."""
    square = torch.rand(side, side, device=device).to(getattr(torch, precision))
    return partial(torch.matmul, square, square, out=torch.empty_like(square))


def _affordable(precision: str, largest: int, device: torch.device) -> int:
    """Return the largest side tried, doubled until a product takes `LONG_ENOUGH`."""
    side = LEAST_SIDE
    while side < largest:
        (taken,) = alternate([_product(precision, side, device)], 1, device)
        if taken.wall >= LONG_ENOUGH:
            break
        side *= 2
    return side


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
