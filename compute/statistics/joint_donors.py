"""What donors add to the variance of a sum of several models' estimates. Pure arrays, no files."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from compute.statistics.donors import DonorInfluence, DonorPart, donor_part_of

Side = tuple[DonorInfluence | None, NDArray[np.float64]]
"""How donors move one model's V estimates (None without donors), and the weight of each in the
sum, shape (V,)."""


def joint_part(*sides: Side) -> DonorPart:
    """Return what donors add to the variance of a weighted sum of several models' estimates.

    All models answered the same trials, so that their donors are the same: what a donor does to two
    models alike cancels in their difference, and does not shrink in their mean.

    Parameters
    ----------
    *sides
        One for each model.

    Returns
    -------
    DonorPart
        Of the sum, overall.
    """
    there = [(each, weights) for each, weights in sides if each is not None]
    if not there:
        return DonorPart()
    numbers = [
        np.arange(len(each.classes)) if each.numbers is None else each.numbers for each, _ in there
    ]
    every, place = np.unique(np.concatenate(numbers), return_inverse=True)
    classes = np.zeros(len(every), np.int64)
    classes[place] = np.concatenate([each.classes for each, _ in there])
    moved = np.zeros(len(every))
    np.add.at(moved, place, np.concatenate([e.moved[:, 0] @ w for e, w in there]))
    own = [max(float(w @ each.within[0] @ w), 0.0) for each, w in there]
    within = sum(own)
    for (one, mine), (other, theirs) in combinations(zip(there, own, strict=True), 2):
        within += 2 * _shared(one, other, float(np.sqrt(mine * theirs)))
    return donor_part_of(moved, max(within, 0.0), classes)


def _shared(
    one: tuple[DonorInfluence, NDArray[np.float64]],
    other: tuple[DonorInfluence, NDArray[np.float64]],
    most: float,
) -> float:
    """Sum the products of two models' influences over pairs of a centre unit and a donor unit.

    It is −`most` to `most`, and taken as −`most`, which gives the longest interval, where a sketch
    is missing.
    """
    sketches = [each.sketch @ w for each, w in (one, other) if each.sketch is not None]
    if len(sketches) < 2:
        return -most
    return float(np.clip(sketches[0] @ sketches[1], -most, most))
