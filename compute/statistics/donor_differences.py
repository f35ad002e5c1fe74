"""What donors add to the variance of a difference between two models. Pure arrays, no files."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.statistics.donors import DonorInfluence, DonorPart, donor_part_of


def difference_part(
    first: DonorInfluence | None,
    second: DonorInfluence | None,
    contrast: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> DonorPart:
    """Return what donors add to the variance of one model's overall estimate minus another's.

    Both models answered the same trials, so that their donors are the same: what a donor does to
    both of them cancels.

    Parameters
    ----------
    first, second
        How donors move either model's V and W estimates; None without donors.
    contrast
        Weight of each estimate in either model's own, shapes (V,) and (W,).

    Returns
    -------
    DonorPart
        Of the first model's weighted sum minus the second's.
    """
    sides = [
        (each, weights * sign)
        for each, weights, sign in zip((first, second), contrast, (1.0, -1.0), strict=True)
        if each is not None
    ]
    if not sides:
        return DonorPart()
    numbers = [
        np.arange(len(each.classes)) if each.numbers is None else each.numbers for each, _ in sides
    ]
    every, place = np.unique(np.concatenate(numbers), return_inverse=True)
    classes = np.zeros(len(every), np.int64)
    classes[place] = np.concatenate([each.classes for each, _ in sides])
    moved = np.zeros(len(every))
    np.add.at(moved, place, np.concatenate([e.moved[:, 0] @ w for e, w in sides]))
    own = [max(float(w @ each.within[0] @ w), 0.0) for each, w in sides]
    within = sum(own)
    if len(sides) == 2:
        within += 2 * _shared(sides, float(np.sqrt(own[0] * own[1])))
    return donor_part_of(moved, within, classes)


def _shared(sides: Sequence[tuple[DonorInfluence, NDArray[np.float64]]], most: float) -> float:
    """Sum the products of two models' influences over pairs of a centre unit and a donor unit.

    It is −`most` to `most`, and taken as −`most`, which gives the longest interval, where a sketch
    is missing.
    """
    sketches = [each.sketch @ w for each, w in sides if each.sketch is not None]
    if len(sketches) < 2:
        return -most
    return float(np.clip(sketches[0] @ sketches[1], -most, most))
