"""Finds which row of a table of cells is about which label, or which centres are of use. No files.

A row that goes with the wrong cell gives it the wrong class, so what does not fit is refused.
"""

import numpy as np
from numpy.typing import NDArray

from compute.importers.field_record import CellRows
from compute.importers.masks import Understood
from compute.importers.tiff import CropRejected

LEAST_HITS = 0.5
"""Least share of centres that must lie on cells."""

BETTER = 0.3
"""By how much more of them may not lie on cells if x and y are exchanged."""

ENOUGH = 4
"""Centres from which they are judged by that."""

SAME = 1.0
"""Two centres nearer than this are one, pixels."""


def rows_of_labels(rows: CellRows, marked: Understood, scale: float) -> dict[int, int]:
    """Return which row each label has, both by their place.

    Labels that have their file's numbers are known by these; others (pieces of one value, cells
    that were joined) by the centre that lies on them. A label about which rows say different things
    has none.

    Parameters
    ----------
    rows
        Rows about cells.
    marked
        The field's labels.
    scale
        Pixels of the labels for one of the rows, along a side.

    Raises
    ------
    CropRejected
        Rows and labels do not go together.
    """
    if rows.kind is None:
        return {}
    centres = rows.centres
    by_place = None if centres is None else _labels_at(marked.labels, centres, scale)
    if rows.numbers is not None and not marked.renumbered:
        place = {float(number): label for label, number in enumerate(marked.names)}
        labels = np.array([place.get(float(number), -1) for number in rows.numbers], int)
        if (labels < 0).all():
            raise CropRejected(
                "numbers in the table of cells of which the label image has none",
                f"such as {rows.numbers[0]}",
            )
        if by_place is not None:
            both = (labels >= 0) & (by_place >= 0)
            if not both.any() or (labels[both] == by_place[both]).mean() < LEAST_HITS:
                raise CropRejected(
                    "numbers and places in the table of cells that are of other labels",
                    remedy="Leave out the wrong ones. Are x and y exchanged?",
                )
    elif by_place is not None and centres is not None:
        labels = by_place
        exchanged = _labels_at(marked.labels, centres[:, ::-1], scale)
        check_hits(labels >= 0, exchanged >= 0, "labels")
    else:
        raise CropRejected(
            "a table of cells with numbers, but labels without (outlines, parts or one value)",
            remedy="Give the centres of cells, x and y.",
        )
    found: dict[int, int] = {}
    unclear = set()
    for row, label in enumerate(labels.tolist()):
        if label >= 0 and rows.kind[found.setdefault(label, row)] != rows.kind[row]:
            unclear.add(label)
    return {label: row for label, row in found.items() if label not in unclear}


def check_hits(hits: NDArray[np.bool_], exchanged: NDArray[np.bool_], what: str) -> None:
    """Refuse centres most of which do not lie on what they should, or would if exchanged.

    Parameters
    ----------
    hits, exchanged
        Which centres lie on it, and which would if x and y were exchanged, shape (n,).
    what
        What they should lie on, for the reason.

    Raises
    ------
    CropRejected
        They do not.
    """
    if len(hits) < ENOUGH:
        return
    share, other = float(hits.mean()), float(exchanged.mean())
    better = other >= share + BETTER
    if share < LEAST_HITS or better:
        raise CropRejected(
            f"centres of cells that do not lie on {what}"
            + (", but would if x and y were exchanged" if better else ""),
            f"{share:.0%} do",
            "Are they in pixels, from the upper left, and of these images?",
        )


def unplaced(centres: NDArray[np.float64]) -> dict[int, str]:
    """Return which centres are of no use, with the reason: no number, or a second time there."""
    reasons = {}
    seen: dict[tuple[int, int], list[int]] = {}
    for row, (x, y) in enumerate(centres):
        if not (np.isfinite(x) and np.isfinite(y)):
            reasons[row] = "a centre that is no number"
            continue
        at = (int(x // SAME), int(y // SAME))
        near = [
            other
            for dx in (-1, 0, 1)
            for dy in (-1, 0, 1)
            for other in seen.get((at[0] + dx, at[1] + dy), ())
        ]
        if any(np.hypot(*(centres[other] - centres[row])) < SAME for other in near):
            reasons[row] = "a second centre at the same place"
        else:
            seen.setdefault(at, []).append(row)
    return reasons


def values_at(
    image: NDArray[np.generic], centres: NDArray[np.float64], scale: float = 1.0
) -> NDArray[np.generic]:
    """Return the pixels (H, W) at centres (n, 2), x and y; 0 outside, shape (n,)."""
    # Beyond any image, but within the range of whole numbers.
    places = np.nan_to_num((centres + 0.5) * scale, nan=-1, posinf=-1, neginf=-1)
    x, y = np.floor(np.clip(places, -1, 2**31)).astype(np.int64).T
    inside = (x >= 0) & (x < image.shape[1]) & (y >= 0) & (y < image.shape[0])
    found = np.zeros(len(centres), image.dtype)
    found[inside] = image[y[inside], x[inside]]
    return found


def _labels_at(
    labels: NDArray[np.int32], centres: NDArray[np.float64], scale: float
) -> NDArray[np.int64]:
    """Return the label, from 0, that each centre lies on; -1 where it lies on none."""
    return np.asarray(values_at(labels, centres, scale).astype(np.int64) - 1)
