"""Which cells are held out together, and so which donors a cell may have. Pure arrays.

Under `grouped` no protein is in two folds, so a probe cannot answer by recognising the protein.
Under `paper` cells are dealt out within their class, as the published scripts do, but shuffled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.backgrounds.config import SCHEMES
from compute.hashing import Stream, mix

PER_FOLD = 2
"""Proteins of every tested class in each fold, where there are enough: a cell of the one has the
other's as `same` donors, from its own fold."""


@dataclass(frozen=True)
class Folds:
    """The folds of N cells.

    What is dealt out, one after the other, are whole proteins under `grouped`, cells under `paper`.

    Parameters
    ----------
    fold
        The fold that holds each cell out, 0 to `number` − 1, shape (N,).
    number
        How many folds there are, at least 2.
    sizes
        How many proteins, or cells, of each class were dealt out, shape (classes,).
    fewest
        How many of them the fold with the fewest has, shape (classes,).
    """

    fold: NDArray[np.int64]
    number: int
    sizes: NDArray[np.int64]
    fewest: NDArray[np.int64]

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
        One of `compute.backgrounds.config.SCHEMES`. ``"grouped"``: all cells of a protein go to
        one fold. ``"paper"``: each cell for itself.
    wanted
        Number of folds, at least 2. There are fewer where a class with two or more proteins has
        less than `PER_FOLD` of them for each (under `paper`, less than one cell for each).
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
        Of all N cells: those that are no members are dealt out after the members.

    Examples
    --------
    Two classes of four proteins with two cells each: two proteins of a class go to each fold.

    >>> import numpy as np
    >>> protein = np.repeat(list("abcdefgh"), 2)
    >>> classes = np.repeat([0, 1], 8)
    >>> folds = deal("grouped", 5, classes, protein, np.ones(16, bool), n_classes=2, seed=0)
    >>> folds.number, folds.sizes, folds.fewest
    (2, array([4, 4]), array([2, 2]))
    """
    grouped = scheme == SCHEMES[0]
    code = pd.factorize(protein, sort=True)[0] if grouped else np.arange(len(classes))
    count = int(code.max()) + 1 if len(code) else 0
    of_class = [np.unique(code[members & (classes == k)]) for k in range(n_classes)]
    sizes = np.array([len(units) for units in of_class], np.int64)
    least = sizes[sizes >= 2]
    most = int(least.min()) // (PER_FOLD if grouped else 1) if len(least) else wanted
    number = max(2, min(wanted, most))
    dealt = _Dealt(number, count, seed)
    # Classes with few come first: what belongs to two classes is dealt for the smaller.
    for k in np.argsort(sizes, kind="stable"):
        dealt.add(of_class[k])
    for k in range(-1, n_classes):
        dealt.add(np.unique(code[classes == k]))
    fewest = np.array(
        [np.bincount(dealt.fold[units], minlength=number).min() for units in of_class], np.int64
    )
    return Folds(dealt.fold[code], number, sizes, fewest)


class _Dealt:
    """Folds of proteins or cells, filled class by class.

    Parameters
    ----------
    number, count
        Number of folds, and of what is dealt out.
    seed
        Shuffles.
    """

    def __init__(self, number: int, count: int, seed: int) -> None:
        self._number, self._seed = number, seed
        self._total = np.zeros(number, np.int64)
        self.fold = np.full(count, -1, np.int64)

    def add(self, units: NDArray[np.int64]) -> None:
        """Deal out a class's, evenly among themselves and then among all, shape (n,)."""
        known = self.fold[units]
        here = np.bincount(known[known >= 0], minlength=self._number)
        left = units[known < 0]
        # The places of every fold, from its first free one; those are taken that fill up evenly.
        rounds = len(left) // self._number + int(here.max(initial=0) - here.min(initial=0)) + 1
        level = here[:, None] + np.arange(rounds)
        fold, _ = np.divmod(np.arange(level.size), rounds)
        order = np.lexsort((self._total[fold], level.ravel()))[: len(left)]
        shuffled = left[np.argsort(mix(self._seed, Stream.FOLDS, left), kind="stable")]
        self.fold[shuffled] = fold[order]
        self._total += np.bincount(fold[order], minlength=self._number)


def seen_by(
    folds: Folds, protein: NDArray[np.integer[Any]], learned: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell of which proteins the probe of each fold was fitted on crops.

    Parameters
    ----------
    folds
        The folds of N cells.
    protein
        Number of each cell's protein, shape (N,).
    learned
        Cells on whose crops probes are fitted, shape (N,).

    Returns
    -------
    ndarray
        Shape (proteins, folds): whether the protein has such a cell in another fold.
    """
    count = int(protein.max()) + 1 if len(protein) else 0
    there = np.zeros((count, folds.number), bool)
    there[protein[learned], folds.fold[learned]] = True
    return np.asarray(there.sum(1, keepdims=True) - there > 0)


def too_few(folds: Folds, names: Sequence[str]) -> list[str]:
    """Name the tested classes that have fewer than `PER_FOLD` proteins in some fold."""
    return [names[k] for k in folds.testable() if folds.fewest[k] < PER_FOLD]
