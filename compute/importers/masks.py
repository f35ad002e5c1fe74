"""Understands masks and label images, however they are coded, or says what was seen. Pure arrays.

A mask can be 0/1, 0/255, −1 or 1 for the background, numbers of cells, outlines, parts of cells, or
a map of probabilities, and one read wrongly gives confident false findings. So it is judged before
it is used. What is plain in a file is taken from that file. What only the whole tells (which value
is the background, whether labels are parts of cells, whether one value marks every cell) is found
out from many files of a source (`survey`) and holds for all of them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.images.cell_quality import SMALLEST_AREA
from compute.importers.mask_shapes import (
    Labels,
    cells_of_pieces,
    cells_together,
    connected,
    edge_pixels,
    enclosing,
    fill,
    join_parts,
    merge_rims,
    separate_touching,
)
from compute.importers.tiff import CropRejected

MANY_VALUES = 8
"""Values beside the background from which a mask may be a grey image."""

LARGEST_HOLE, LARGEST_HOLE_OF_PIECES = 1.0, 0.1
"""Largest hole that is filled, in areas of the cell: a nucleus that was left out. Where one value
marks every cell a larger one may be medium among cells that touch."""

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

UNDERSTOOD = {
    "threshold": "were cut at the given threshold",
    "background": "have another background than 0 ({background}), the value around their edge",
    "pieces": "show cells by one value: each connected piece is taken as a cell",
    "outlines": "were outlines, and were filled",
    "holes": "had holes, and were filled",
    "parts": "show parts of cells (such as a nucleus, or a rim), which were joined to whole cells",
    "rest": "had further pieces beside the cell, which are taken as its neighbours",
    "split": "show touching cells by one value, which were separated as asked",
}
"""Ways in which a mask was understood → what is said of how many, in the order of the notes."""


@dataclass(frozen=True)
class MaskCoding:
    """How the masks of a source are to be read.

    Parameters
    ----------
    background
        The value of what is no cell; 0 by default.
    parts
        Whether a label that lies inside another one is a part of the same cell. False by default.
    binary
        Whether one value marks every cell, so that connected pieces are cells. False by default:
        then one value is one cell, of which a piece may lie 1 or 2 pixels apart.
    threshold
        Pixels of at least this value are cells; None, the default, where masks are not to be cut.
    split
        What separates cells that touch in binary masks: None, the default (nothing), or
        ``"centres"``: a watershed from the middles of what is thick.
    whole_fields
        Whether they are label images of whole fields, rather than masks of crops; False by default.
    """

    background: float = 0
    parts: bool = False
    binary: bool = False
    threshold: float | None = None
    split: str | None = None
    whole_fields: bool = False

    @property
    def what(self) -> str:
        """What one of them is called in reasons."""
        return "label image" if self.whole_fields else "mask"


@dataclass(frozen=True)
class Understood:
    """A mask as cells.

    Parameters
    ----------
    labels
        Shape (H, W), int32; 0 is background, and every other number one cell.
    names
        What each cell, from 1, was called in the file, shape (n,); its own number where the file
        gives none.
    how
        Keys of `UNDERSTOOD`.
    renumbered
        Whether the numbers are others than the file's; False by default.
    """

    labels: Labels
    names: NDArray[Any]
    how: frozenset[str]
    renumbered: bool = False


def survey(
    masks: Sequence[NDArray[Any]],
    threshold: float | None = None,
    *,
    whole_fields: bool = False,
    split: str | None = None,
) -> MaskCoding:
    """Find out from some masks of a source how all of them are coded.

    Parameters
    ----------
    masks
        Some of its masks as they are in their files, shape (H, W) each.
    threshold, split
        See `MaskCoding`.
    whole_fields
        Whether they are label images of whole fields rather than masks of crops; False by default.

    Returns
    -------
    MaskCoding
        The plainest one for masks that cannot be used, as each will be refused.
    """
    if threshold is not None:
        return MaskCoding(0, False, True, threshold, split, whole_fields)
    numbers = []
    for mask in masks:
        try:
            numbers.append(_whole_numbers(mask))
        except CropRejected:
            continue
    background = _common_background(numbers)
    nested = several = binary = 0
    for values in numbers:
        cells, _ = _numbered(values, background)
        one_value = bool(cells.max() == 1)
        binary += one_value
        several += one_value and _has_several(cells)
        nested += _mostly_parts(cells)
    most = len(numbers) / 2
    parts = nested > 0 and nested >= most
    pieces = parts or (binary > most and (whole_fields or several > most / 2))
    return MaskCoding(background, parts, pieces, None, split, whole_fields)


def understand(
    mask: NDArray[Any],
    coding: MaskCoding,
    seeds: NDArray[Any] | None = None,
) -> Understood:
    """Turn a mask or label image into numbered cells.

    Parameters
    ----------
    mask
        As it is in its file, shape (H, W): booleans, integers or floats.
    coding
        How the source's masks are coded.
    seeds
        What separates touching cells of a binary mask, such as nuclei, numbered or as booleans,
        shape (H, W); None, the default, uses ``coding.split``.

    Returns
    -------
    Understood
        The cells.

    Raises
    ------
    CropRejected
        It cannot be understood, or holds no cell.
    """
    try:
        return _understand(mask, coding, seeds)
    except CropRejected as rejected:
        raise CropRejected(f"{coding.what}: {rejected.reason}") from rejected


def _understand(mask: NDArray[Any], coding: MaskCoding, seeds: NDArray[Any] | None) -> Understood:
    how: set[str] = set()
    if coding.threshold is not None:
        cells = (_finite(mask) >= coding.threshold).astype(np.int32)
        names = np.arange(1, 2)
        how.add("threshold")
    else:
        values = _whole_numbers(mask)
        _check_background(values, coding.background)
        cells, names = _numbered(values, coding.background)
        if coding.background != 0:
            how.add("background")
    if not cells.any():
        raise CropRejected("no cell in it")
    if coding.whole_fields and len(names) == 1 and cells.all():
        raise CropRejected("one value everywhere, so no cell and no background")
    if coding.parts and len(names) > 1:
        cells = join_parts(cells)
        how.add("parts")
    one_value = int(cells.max()) == 1
    # A field has many cells, so its pieces of one value are cells, whatever other fields have.
    binary = coding.binary or (coding.whole_fields and one_value and _has_several(cells))
    # Where pieces hold several cells, holes are measured against one of them.
    together = 1.0 if seeds is None or not binary else cells_together(cells > 0, seeds)
    filled = fill(cells, one_value, LARGEST_HOLE_OF_PIECES / together if binary else LARGEST_HOLE)
    cells = filled.cells
    how |= {"outlines"} if filled.outlines else set()
    how |= {"holes"} if filled.holes else set()
    if one_value and binary and not filled.outlines:
        cells = cells_of_pieces(cells > 0)
        how |= {"pieces"} if cells.max() > 1 else set()
        if seeds is not None or coding.split is not None:
            cells, apart = separate_touching(cells, seeds)
            how |= {"split"} if apart else set()
    renumbered = "parts" in how or int(cells.max()) != len(names) or (one_value and binary)
    if renumbered:
        names = np.arange(1, int(cells.max()) + 1)
    return Understood(cells, names, frozenset(how), renumbered)


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


def mask_notes(counts: Counter[str], what: str = MaskCoding().what) -> list[str]:
    """Say how many masks were understood in which way.

    Parameters
    ----------
    counts
        Has `counted` keys.
    what
        What one of them is; ``"mask"`` by default.

    Returns
    -------
    list of str
        Sentences; none for masks that were plain.
    """
    return [
        f"{count:,} {what}(s) {words}."
        for key, words in UNDERSTOOD.items()
        for name, count in sorted(counts.items())
        if name.split("|")[0] == f"mask: {key}"
        for words in [words.format(background=name.split("|")[-1])]
    ]


def counted(understood: frozenset[str], coding: MaskCoding) -> list[str]:
    """Return the names under which an importer counts how a mask was understood."""
    return [
        f"mask: {key}|{coding.background:g}" if key == "background" else f"mask: {key}"
        for key in sorted(understood)
    ]


def _finite(mask: NDArray[Any]) -> NDArray[Any]:
    if mask.dtype.kind not in "buif":
        raise CropRejected(f"values of type {mask.dtype}")
    if not np.isfinite(mask).all():
        raise CropRejected("values that are not finite")
    return mask


def _whole_numbers(mask: NDArray[Any]) -> NDArray[Any]:
    """Return a mask's values, if they can be the numbers of cells."""
    values = _finite(mask)
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    distinct, _ = _counted(values)
    fractions = len(distinct) > 2 and bool((distinct != np.floor(distinct)).any())
    grey = len(distinct) > MANY_LAYERS + 1 and _is_grey(np.searchsorted(distinct, values))
    if fractions or grey:
        raise CropRejected(PROBABILITY)
    return values


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


def _background(values: NDArray[Any]) -> float | None:
    """Return the background of one mask as it looks by itself; None where nothing tells."""
    distinct, _ = _counted(values)
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


def _common_background(masks: Sequence[NDArray[Any]]) -> float:
    votes = Counter(vote for mask in masks if (vote := _background(mask)) is not None)
    if not votes:
        return 0.0
    value, count = votes.most_common(1)[0]
    # Cells that fill a crop have all kinds of numbers at its edge; a background has one.
    alone = sum(votes.values()) == 1 and len(np.unique(masks[0])) > MANY_LAYERS and value > 0
    return value if count >= 0.8 * len(masks) and not alone else 0.0


def _check_background(values: NDArray[Any], background: float) -> None:
    """Refuse a mask whose background cannot be that of its source."""
    low = values.min()
    if low < min(background, 0):
        raise CropRejected(f"negative values, down to {low:g}")
    if background != 0 and not (values == background).any():
        raise CropRejected(
            f"no value {background:g}, which is the background of the source's others"
        )
    looks_like = _background(values) if background == 0 else None
    if looks_like in (0, None):
        return
    if low > 0 and len(_counted(values)[0]) <= MANY_LAYERS:
        raise CropRejected("no 0, but one value around the edge, unlike the source's others")
    raise CropRejected("background and cell look exchanged (0 in the middle only)")


def _numbered(values: NDArray[Any], background: float) -> tuple[Labels, NDArray[Any]]:
    """Give numbers from 1 to the values other than the background."""
    names, _ = _counted(values)
    names = names[names != background]
    if len(names) == 1:
        return (values != background).astype(np.int32), names
    numbers = np.searchsorted(names, values) + 1
    return np.where(values == background, 0, numbers).astype(np.int32), names


def _mostly_parts(cells: Labels) -> bool:
    """Whether at least half of a mask's labels lie in another, or hold one."""
    cells = merge_rims(cells)
    hosts = enclosing(cells)
    return len({*hosts, *hosts.values()}) >= max(2.0, (len(np.unique(cells)) - 1) / 2)


def _has_several(cells: Labels) -> bool:
    """Whether a mask of one value has a second piece that is a cell, or is cut by the edge."""
    pieces = connected(cells > 0, corners=True)
    sizes = np.bincount(pieces.ravel())[1:]
    at_edge = len(np.setdiff1d(edge_pixels(pieces), [0]))
    return len(sizes) > 1 and (int((sizes >= SMALLEST_AREA).sum()) > 1 or at_edge > 0)
