"""Which cells are held out together. Pure arrays.

Under `grouped` no protein is in both halves, so a probe cannot answer by recognising the protein;
under `paper` cells are dealt out within their class, as in the published scripts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.errors import UsageError, unknown_value
from compute.hashing import Stream, mix

SCHEMES = ("grouped", "paper")


@dataclass(frozen=True)
class Folds:
    """Every cell's place in its class's deal.

    Parameters
    ----------
    rank
        The cell's (or its protein's) number within its class, shuffled; −1 for cells without a
        class. The fold out of F is ``rank % F``. Shape (N,).
    sizes
        Units (proteins or cells) in each class, shape (classes,).
    wanted
        Number of folds asked for.
    """

    rank: NDArray[np.int64]
    sizes: NDArray[np.int64]
    wanted: int

    def number(self, *classes: int) -> int:
        """Return how many folds these classes allow: what was asked for, or their fewest units."""
        return int(min(self.wanted, self.sizes[list(classes)].min()))

    def testable(self) -> NDArray[np.int64]:
        """Return the classes with at least two units, which can be both learned and tested."""
        return np.flatnonzero(self.sizes >= 2)


def deal(
    scheme: str,
    wanted: int,
    classes: NDArray[np.int64],
    protein: NDArray[Any],
    members: NDArray[np.bool_],
    n_classes: int,
    seed: int,
) -> Folds:
    """Deal cells out to folds.

    Parameters
    ----------
    scheme
        One of `SCHEMES`.
    wanted
        Folds, at least 2.
    classes
        Class of each cell, −1 for none, shape (N,).
    protein
        Protein of each cell, shape (N,).
    members
        Cells that stand in pair tests: only they count for a class's size, shape (N,).
    n_classes
        Number of classes.
    seed
        Shuffles the deal.

    Returns
    -------
    Folds
        For all N cells: under `grouped` also cells outside `members` have their protein's fold.

    Raises
    ------
    UsageError
        Unknown scheme, or fewer than two folds.
    """
    if scheme not in SCHEMES:
        raise unknown_value("fold scheme", scheme, SCHEMES)
    if wanted < 2:
        raise UsageError(f"folds is {wanted}; it must be at least 2.")
    code, names = pd.factorize(protein, sort=True)
    units: NDArray[Any] = code if scheme == "grouped" else np.arange(len(classes))
    rank = np.full(len(classes), -1)
    sizes = np.zeros(n_classes, np.int64)
    for k in range(n_classes):
        inside = np.unique(units[members & (classes == k)])
        sizes[k] = len(inside)
        shuffled = inside[np.argsort(mix(seed, Stream.FOLDS, inside), kind="stable")]
        place = np.full(max(len(names), len(classes)), -1)
        place[shuffled] = np.arange(len(shuffled))
        here = classes == k
        rank[here] = place[units[here]]
    return Folds(rank, sizes, wanted)
