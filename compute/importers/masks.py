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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.images.cell_quality import SMALLEST_AREA
from compute.importers.cut_fields import shared_labels
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
from compute.importers.mask_values import (
    MANY_LAYERS,
    Numbers,
    check_background,
    finite_values,
    likely_background,
    numbered_values,
    whole_numbers,
)
from compute.importers.tiff import CropRejected

LARGEST_HOLE, LARGEST_HOLE_OF_PIECES = 1.0, 0.1
"""Largest hole that is filled, in areas of the cell: a nucleus that was left out. Where one value
marks every cell a larger one may be medium among cells that touch."""

UNDERSTOOD = {
    "palette": "have a palette: the numbers of its colours are read, and the colours are not",
    "colours": "are in colour: each colour is read as a number of its own, and black as 0",
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
    shared
        How many of a field's numbers seem to stand for several cells each
        (`compute.importers.cut_fields.shared_labels`); 0 by default.
    """

    labels: Labels
    names: NDArray[Any]
    how: frozenset[str]
    renumbered: bool = False
    shared: int = 0


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
            numbers.append(whole_numbers(mask))
        except CropRejected:
            continue
    background = _common_background(numbers)
    nested = several = binary = 0
    for one in numbers:
        cells, _ = numbered_values(one, background)
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
        cells = (finite_values(mask) >= coding.threshold).astype(np.int32)
        names = np.arange(1, 2)
        how.add("threshold")
    else:
        numbers = whole_numbers(mask)
        check_background(numbers, coding.background)
        cells, names = numbered_values(numbers, coding.background)
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
    shared = int(shared_labels(cells).sum()) if coding.whole_fields and not renumbered else 0
    if shared >= max(2, len(names) / 2):
        raise CropRejected(
            "most numbers mark several cells that lie apart (numbers of classes? more cells than "
            "its pixel type has numbers?)"
        )
    return Understood(cells, names, frozenset(how), renumbered, shared)


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


def _common_background(masks: Sequence[Numbers]) -> float:
    votes = Counter(vote for mask in masks if (vote := likely_background(mask)) is not None)
    if not votes:
        return 0.0
    value, count = votes.most_common(1)[0]
    # Cells that fill a crop have all kinds of numbers at its edge; a background has one.
    alone = sum(votes.values()) == 1 and len(masks[0].distinct) > MANY_LAYERS and value > 0
    return value if count >= 0.8 * len(masks) and not alone else 0.0


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
