"""Judges one field: whether its labels lie on its cells, or would if they were turned. No files."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.importers.config import ENOUGH_LABELS
from compute.importers.cut_fields import Labels, find_cells, window_at
from compute.importers.judge import LEAST_FITTING, judge, share_on_cells
from compute.importers.tiff import CropRejected


def check_labels(image: NDArray[Any], labels: Labels, marker: int | None, size: int) -> None:
    """Refuse a label image most of whose labels do not lie on cells.

    Fewer than `ENOUGH_LABELS` are judged with those of other fields.

    Parameters
    ----------
    image
        The field, shape (C, H, W).
    labels
        Its labels, numbered from 1 without gaps, shape (H, W).
    marker
        Number of the channel that shows whole cells, or None.
    size
        Side of a crop, pixels.

    Raises
    ------
    CropRejected
        They lie elsewhere; says whether they would lie on cells if they were turned.
    """
    share, n = _share_on_cells(image, labels, marker, size)
    if n < ENOUGH_LABELS or share >= LEAST_FITTING:
        return
    for way, other in (
        ("transposed", labels.T),
        ("turned upside down", labels[::-1]),
        ("mirrored", labels[:, ::-1]),
        ("turned by a half", labels[::-1, ::-1]),
    ):
        if other.shape != labels.shape:
            continue
        fits, many = _share_on_cells(image, np.ascontiguousarray(other), marker, size)
        if many >= ENOUGH_LABELS and fits >= LEAST_FITTING:
            raise CropRejected(f"labels that do not lie on cells, but would if {way}")
    raise CropRejected("labels that do not lie on cells (shifted, or of another field?)")


def _share_on_cells(
    image: NDArray[Any], labels: Labels, marker: int | None, size: int
) -> tuple[float, int]:
    """Return the share of labels that clearly lie on cells, and how many could be judged."""
    cells = find_cells(labels, np.zeros(int(labels.max()), bool), size)
    boxes = [window_at(cell.corner, size) for cell in cells if cell.corner is not None]
    numbers = [cell.label for cell in cells if cell.corner is not None]
    if not boxes:
        return 0.0, 0
    counts: Counter[str] = Counter()
    masks = np.stack([labels[box] == number for box, number in zip(boxes, numbers, strict=True)])
    judge(
        np.stack([image[:, *box] for box in boxes]),
        masks,
        np.stack([labels[box] > 0 for box in boxes]),
        np.ones(len(boxes), bool),
        marker,
        counts,
    )
    n = counts["contrast: judged"]
    return (share_on_cells(counts)[0] if n else 0.0), n
