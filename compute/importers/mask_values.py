"""Values of masks: whether they can be numbers of cells, and which is the background. Pure arrays.

What `compute.importers.masks` asks of a mask as it is in its file.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.importers.mask_shapes import Labels, edge_pixels
from compute.importers.tiff import CropRejected

MANY_VALUES = 8
"""Values beside the background from which a mask may be a grey image."""

MANY_LAYERS = 3
"""Values that may lie in each other like an onion's layers: a cell, its nucleus, a nucleolus."""

GREY, THIN, ORDERED = 0.6, 0.2, 0.95
"""A mask of many values is a grey image if, in the median over values, at least the first share of
neighbouring pixels have another value. So it is with the second share if at least the third share
of steps are to the next value or the one after."""

ENOUGH_PAIRS = 2**18
"""Pairs of neighbouring pixels in each direction from which a mask is judged, about."""

PROBABILITY = "grey levels or fractions (probabilities?), used only with --mask-threshold"
"""Why a mask of many values is refused."""


def finite_values(mask: NDArray[Any]) -> NDArray[Any]:
    """Return a mask, refused where its values are no numbers, or not finite."""
    if mask.dtype.kind not in "buif":
        raise CropRejected(f"values of type {mask.dtype}")
    if not np.isfinite(mask).all():
        raise CropRejected("values that are not finite")
    return mask


@dataclass(frozen=True)
class Numbers:
    """The values of a mask, shape (H, W), and those that occur, sorted, shape (n,)."""

    values: NDArray[Any]
    distinct: NDArray[Any]


def whole_numbers(mask: NDArray[Any]) -> Numbers:
    """Return a mask's values, if they can be the numbers of cells."""
    values = finite_values(mask)
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    distinct, _ = _counted(values)
    fractions = len(distinct) > 2 and bool((distinct != np.floor(distinct)).any())
    grey = len(distinct) > MANY_LAYERS + 1 and _is_grey(np.searchsorted(distinct, values))
    if fractions or grey:
        raise CropRejected(PROBABILITY)
    return Numbers(values, distinct)


def _counted(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the values that occur, sorted, and how often each does."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        counts = np.bincount(values.ravel())
        there = np.flatnonzero(counts)
        return there.astype(values.dtype), counts[there]
    return np.unique(values, return_counts=True)


def _is_grey(ranks: NDArray[np.int64]) -> bool:
    """Whether a mask is a grey image, from its values' ranks (0 for the lowest), shape (H, W).

    A label lies beside itself; a grey level lies beside others, and most often the next one.
    """
    count = int(ranks.max()) + 1
    # Of a whole field some rows and columns tell.
    step = max(1, isqrt(ranks.size // ENOUGH_PAIRS))
    rows, columns = ranks[::step], ranks[:, ::step]
    first = np.concatenate([rows[:, 1:].ravel(), columns[1:].ravel()])
    second = np.concatenate([rows[:, :-1].ravel(), columns[:-1].ravel()])
    steps = np.abs(first - second)
    layers = _mixed(first, second, count) >= THIN
    if np.median(layers) == 1 and (steps[steps > 0] <= 2).mean() >= ORDERED:
        return True
    if count <= MANY_VALUES + 1:
        return False
    inside = (first > 0) & (second > 0)
    mixed = _mixed(first[inside], second[inside], count)
    steps = steps[inside & (steps > 0)]
    ordered = len(steps) > 0 and float((steps <= 2).mean()) >= ORDERED
    return bool(np.median(mixed) >= GREY or (ordered and (mixed > 0).mean() >= ORDERED))


def _mixed(first: NDArray[np.int64], second: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return for each rank from 1 in which share of its pairs the other one differs."""
    other = first != second
    pairs = np.bincount(first, minlength=count) + np.bincount(second, minlength=count)
    mixed = np.bincount(first[other], minlength=count)
    mixed += np.bincount(second[other], minlength=count)
    return np.asarray(mixed[1:] / np.maximum(pairs[1:], 1))


def likely_background(numbers: Numbers) -> float | None:
    """Return the background of one mask as it looks by itself; None where nothing tells."""
    values, distinct = numbers.values, numbers.distinct
    edge, counts = _counted(edge_pixels(values))
    around = edge[int(counts.argmax())]
    share = counts.max() / counts.sum()
    height, width = values.shape
    middle = values[height // 2, width // 2]
    if distinct[0] < 0:
        return float(distinct[0]) if distinct[0] == -1 and around == -1 else None
    if distinct[0] == 0:
        inverted = len(distinct) == 2 and share >= 0.95 and around != 0 and middle == 0
        return float(around) if inverted else 0.0
    return float(around) if len(distinct) > 1 and share >= 0.5 and middle != around else None


def check_background(numbers: Numbers, background: float) -> None:
    """Refuse a mask whose background cannot be that of its source."""
    low = numbers.distinct[0]
    if low < min(background, 0):
        raise CropRejected(f"negative values, down to {low:g}")
    if background != 0 and background not in numbers.distinct:
        raise CropRejected(
            f"no value {background:g}, which is the background of the source's others"
        )
    looks_like = likely_background(numbers) if background == 0 else None
    if looks_like in (0, None):
        return
    if low > 0 and len(numbers.distinct) <= MANY_LAYERS:
        raise CropRejected("no 0, but one value around the edge, unlike the source's others")
    raise CropRejected("background and cell look exchanged (0 in the middle only)")


def numbered_values(numbers: Numbers, background: float) -> tuple[Labels, NDArray[Any]]:
    """Give numbers from 1 to the values other than the background."""
    values = numbers.values
    names = numbers.distinct[numbers.distinct != background]
    if len(names) == 1:
        return (values != background).astype(np.int32), names
    places = np.searchsorted(names, values) + 1
    return np.where(values == background, 0, places).astype(np.int32), names


def what_was_seen(mask: NDArray[Any]) -> str:
    """Return what values a mask holds, in words for a message."""
    values, counts = np.unique(mask[np.isfinite(mask)], return_counts=True)
    if len(values) == 0:
        return "no finite value"
    if len(values) <= 4:
        shares = ", ".join(
            f"{value:g} on {count / mask.size:.0%}"
            for value, count in zip(values.astype(float), counts, strict=True)
        )
        return f"values {shares} of its pixels"
    low, high = float(values[0]), float(values[-1])
    return f"{len(values)} values from {low:.6g} to {high:.6g}, no 0" if 0 not in values else (
        f"{len(values)} values from {low:.6g} to {high:.6g}"
    )  # fmt: skip
