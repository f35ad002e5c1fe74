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
    """The folds of N cells.

    What is dealt out, one after the other, are whole proteins under `grouped`, cells under `paper`.

    Parameters
    ----------
    rank
        Number of the cell's protein, or of the cell, within its class, in the shuffled order; −1
        for cells in no fold. The fold out of F is ``rank % F``. Shape (N,).
    sizes
        How many proteins, or cells, of each class were dealt out, shape (classes,).
    wanted
        Number of folds asked for.
    """

    rank: NDArray[np.int64]
    sizes: NDArray[np.int64]
    wanted: int

    def number(self, *classes: int) -> int:
        """Return how many folds these classes allow.

        That is the number asked for, or the size of the smallest of them, if that is less.
        """
        return int(min(self.wanted, self.sizes[list(classes)].min()))

    def testable(self) -> NDArray[np.int64]:
        """Return the classes of size 2 or more, which can be both learned and tested, ascending."""
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
    """Deal cells out to folds, in an order that the seed shuffles.

    Parameters
    ----------
    scheme
        ``"grouped"``: all cells of a protein go to one fold. ``"paper"``: each cell for itself.
    wanted
        Number of folds, at least 2; `Folds.number` says how many some classes allow.
    classes
        Class of each cell, −1 for none, shape (N,).
    protein
        Protein of each cell, shape (N,).
    members
        Which cells stand in pair tests, shape (N,). Only they count for a class's size.
    n_classes
        Number of classes.
    seed
        Any integer ≥ 0.

    Returns
    -------
    Folds
        Of all N cells. Under `grouped` a cell outside `members` has the fold of its protein, if
        that has one.

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
