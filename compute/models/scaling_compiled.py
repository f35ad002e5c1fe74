"""Scaling on a CPU, compiled: one crop at a time, while it is in the cache.

Layer: tensors in, tensors out; no files. `compute.models.scaling` defines what is computed, and
other devices use it as it is; `compute.backgrounds.compose_compiled` says why a CPU has compiled
code of its own.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from compute.models.scaling import LOW, reference_of

LANES = 64
"""Values that are compared side by side: several vector registers full."""

Singles = NDArray[np.float32]

compiled = njit(nogil=True, cache=True, error_model="numpy")
summing = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc"})
"""Compiles functions that may add in any order, so that sums use vector instructions."""


@compiled
def _ends(row: Singles) -> tuple[np.float32, np.float32]:
    """Return the least and the largest value of a row: first of every 64th, then of those."""
    lows, highs = np.full(LANES, row[0]), np.full(LANES, row[0])
    whole = len(row) - len(row) % LANES
    for start in range(0, whole, LANES):
        for k in range(LANES):
            value = row[start + k]
            lows[k] = value if value < lows[k] else lows[k]
            highs[k] = value if value > highs[k] else highs[k]
    for k in range(len(row) - whole):
        lows[k], highs[k] = min(lows[k], row[whole + k]), max(highs[k], row[whole + k])
    return lows.min(), highs.max()


@summing
def _sum(row: Singles, low: np.float32, gain: np.float32) -> float:
    """Add the scaled values of a row."""
    total = 0.0
    for p in range(len(row)):
        total += (row[p] - low) * gain
    return total


@summing
def _squares(row: Singles, low: np.float32, gain: np.float32, mean: np.float32) -> float:
    """Add the squared distances of a row's scaled values from a mean."""
    total = 0.0
    for p in range(len(row)):
        away = (row[p] - low) * gain - mean
        total += away * away
    return total


@compiled
def _low_and_gain(row: Singles) -> tuple[np.float32, np.float32]:
    """Return a row's minimum, and 1 over its range; 1 where all values are equal."""
    low, high = _ends(row)
    span = high - low
    return low, np.float32(1) / (span if span > 0 else np.float32(1))


@compiled
def _min_max(images: Singles, source: Singles, scaled: Singles) -> None:
    """Fill `scaled` as `compute.models.scaling.scale_min_max` does; all are (N, C, H·W)."""
    for i in range(len(images)):
        for c in range(images.shape[1]):
            low, gain = _low_and_gain(source[i, c])
            row, out = images[i, c], scaled[i, c]
            for p in range(len(row)):
                out[p] = (row[p] - low) * gain


@compiled
def _pifia(images: Singles, source: Singles, scaled: Singles) -> None:
    """Fill `scaled` as `compute.models.scaling.scale_pifia` does; all are (N, C, H·W)."""
    n, channels, size = images.shape
    lows, gains = np.empty(channels, np.float32), np.empty(channels, np.float32)
    count = channels * size
    floor = np.float32(1 / math.sqrt(count))
    for i in range(n):
        total, squares = 0.0, 0.0
        for c in range(channels):
            lows[c], gains[c] = _low_and_gain(source[i, c])
            total += _sum(source[i, c], lows[c], gains[c])
        mean = np.float32(total / count)
        for c in range(channels):
            squares += _squares(source[i, c], lows[c], gains[c], mean)
        deviation = max(np.float32(math.sqrt(squares / count)), floor)
        for c in range(channels):
            low, gain, row, out = lows[c], gains[c], images[i, c], scaled[i, c]
            for p in range(size):
                out[p] = ((row[p] - low) * gain - mean) / deviation


@compiled
def _percentiles(row: Singles) -> tuple[np.float32, np.float32]:
    """Return percentiles `LOW` and 100 − `LOW` of a row; few extreme values are sorted."""
    last = len(row) - 1
    position = LOW / 100 * last
    below = int(position)
    between = np.float32(position - below)
    count = min(below + 2, last + 1)
    low, high = np.full(count, np.float32(np.inf)), np.full(count, -np.float32(np.inf))
    for p in range(len(row)):
        value = row[p]
        if value < low[count - 1]:
            k = count - 1
            while k > 0 and low[k - 1] > value:
                low[k] = low[k - 1]
                k -= 1
            low[k] = value
        if value > high[count - 1]:
            k = count - 1
            while k > 0 and high[k - 1] < value:
                high[k] = high[k - 1]
                k -= 1
            high[k] = value
    # The two percentiles lie symmetrically, so both are at the same rank from their own end.
    upper = min(below + 1, last)
    return (
        low[below] + between * (low[upper] - low[below]),
        high[below] + between * (high[upper] - high[below]),
    )


@compiled
def _deeploc(images: Singles, source: Singles, scaled: Singles) -> None:
    """Fill `scaled` as `compute.models.scaling.scale_deeploc` does; all are (N, C, H·W)."""
    for i in range(len(images)):
        for c in range(images.shape[1]):
            low, high = _percentiles(source[i, c])
            span = high - low
            if not span > 1:
                span = np.float32(1)
            row, out = images[i, c], scaled[i, c]
            for p in range(len(row)):
                out[p] = (min(max(row[p], low), high) - low) / span


SCALERS: Mapping[str, Callable[[Singles, Singles, Singles], None]] = MappingProxyType(
    {"pifia": _pifia, "paired_cell": _min_max, "min_max": _min_max, "deeploc": _deeploc}
)
"""Compiled twins of `compute.models.scaling.SCALINGS` by name; each fills its third argument."""


def scale(name: str, images: Tensor, reference: Tensor | None = None) -> Tensor:
    """Scale crops as the function of that name in `compute.models.scaling.SCALINGS` does.

    Parameters
    ----------
    name
        Key of `SCALERS`.
    images, reference
        N×C×H×W float32, on the CPU; without a reference the images are scaled by themselves.

    Returns
    -------
    Tensor
        N×C×H×W float32; sums are taken in 64 bits.

    Raises
    ------
    UsageError
        `images` is not N×C×H×W, or `reference` is of another shape.
    """
    source = reference_of(images, reference)
    scaled = torch.empty(images.shape)
    SCALERS[name](_flat(images), _flat(source), _flat(scaled))
    return scaled


def _flat(images: Tensor) -> NDArray[Any]:
    """View N×C×H×W as an array of shape (N, C, H·W)."""
    array: NDArray[Any] = images.contiguous().flatten(2).numpy()
    return array
