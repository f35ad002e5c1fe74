"""The resampling units of the bootstrap, and sums over them. Pure arrays, no files.

A resampling unit is a protein's cells of one class, or a single cell where a class has too few
proteins. Every estimate with an interval is a sum over resampling units within a class, divided by
their number of cells, and averaged over classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.statistics.bootstrap import Resampling, freedom, mean, ratio

MOST_PARTS = 200
"""Most resampling units of one protein and class where cells are resampled; with more cells than
this, cells share units.

Cells dealt into 200 parts have the spread of single cells (the random group method: Wolter 2007,
Introduction to Variance Estimation, chapter 2), and memory does not grow with their number.
"""


@dataclass(frozen=True)
class Units:
    """The resampling unit of every cell; N cells, U resampling units.

    Parameters
    ----------
    of
        Resampling unit of each cell, −1 for cells that are not tested, shape (N,). Units are
        ordered by protein.
    classes, protein
        Class, and number of the protein, of each resampling unit, shape (U,).
    by_protein
        Whether resampling units are whole proteins, else cells.
    n_classes
        Number of classes in the store.
    """

    of: NDArray[np.int32]
    classes: NDArray[np.int64]
    protein: NDArray[np.int32]
    by_protein: bool
    n_classes: int

    @property
    def kind(self) -> str:
        """What the column `unit` says in tables: `protein` or `cell`."""
        return "protein" if self.by_protein else "cell"

    @property
    def count(self) -> int:
        """Number of resampling units, U."""
        return len(self.classes)

    def take(self, chosen: NDArray[np.bool_]) -> "Units":
        """Choose resampling units by a mask, shape (U,); cells of the others are in none."""
        number = np.append(np.where(chosen, np.cumsum(chosen) - 1, -1), -1).astype(np.int32)
        return Units(
            number[self.of],
            self.classes[chosen],
            self.protein[chosen],
            self.by_protein,
            self.n_classes,
        )


def make_units(
    classes: NDArray[np.int64],
    protein: NDArray[np.int32],
    tested: NDArray[np.int64],
    by_protein: bool,
    n_classes: int,
) -> Units:
    """Group cells into resampling units.

    Parameters
    ----------
    classes
        Class of each cell, −1 for none, shape (N,).
    protein
        Number of each cell's protein, shape (N,).
    tested
        Classes whose cells take part.
    by_protein
        Whether whole proteins are resampled, else cells.
    n_classes
        Number of classes in the store.

    Returns
    -------
    Units
        The resampling unit of each cell.

    Examples
    --------
    Five cells of two proteins; the last has no class:

    >>> import numpy as np
    >>> classes, protein = np.array([0, 0, 1, 1, -1]), np.array([0, 0, 1, 1, 1])
    >>> units = make_units(classes, protein, np.array([0, 1]), by_protein=True, n_classes=2)
    >>> units.of
    array([ 0,  0,  1,  1, -1], dtype=int32)
    >>> units.kind, units.classes
    ('protein', array([0, 1]))
    """
    known = np.flatnonzero(np.isin(classes, tested))
    part = np.zeros(len(known), np.int64)
    if not by_protein:
        order = np.argsort(protein[known], kind="stable")
        sorted_protein = protein[known][order]
        first = np.searchsorted(sorted_protein, sorted_protein, "left")
        part[order] = (np.arange(len(known)) - first) % MOST_PARTS
    key = (protein[known].astype(np.int64) * n_classes + classes[known]) * MOST_PARTS + part
    values, unit = np.unique(key, return_inverse=True)
    of = np.full(len(classes), -1, np.int32)
    of[known] = unit
    pair = values // MOST_PARTS
    return Units(of, pair % n_classes, (pair // n_classes).astype(np.int32), by_protein, n_classes)


def add(
    total: NDArray[np.float64],
    unit: NDArray[np.integer[Any]],
    column: NDArray[np.integer[Any]] | int,
    values: NDArray[Any],
) -> None:
    """Add values to the totals of resampling units, in place.

    Parameters
    ----------
    total
        Totals of F quantities, shape (U, F).
    unit
        Resampling unit to whose total each value is added, shape (n,).
    column
        Quantity that each value is of, shape (n,), or one number for all.
    values
        Shape (n,).
    """
    if len(unit) == 0:
        return
    width = total.shape[1]
    low, high = int(unit.min()), int(unit.max()) + 1
    place = (unit.astype(np.int64) - low) * width + column
    found = np.bincount(place, values, (high - low) * width)
    total[low:high] += found.reshape(-1, width)


@dataclass(frozen=True)
class Scope:
    """What a row of a table is about: all tested classes, or one of them.

    Parameters
    ----------
    index
        Row of `Estimates`: 0 overall, else 1 + the class.
    here
        Resampling units with answers in the scope, shape (U,).
    columns
        Values of `scope`, `localization`, `n_cells` and `n_proteins`.
    freedom
        Degrees of freedom of the spread over those resampling units.
    """

    index: int
    here: NDArray[np.bool_]
    columns: dict[str, Any]
    freedom: int


def scopes(units: Units, n: NDArray[np.float64], names: Sequence[str]) -> Iterator[Scope]:
    """List the scopes of a table: overall, then every class that has answers.

    Parameters
    ----------
    units
        The U resampling units.
    n
        Cells of each of them that gave answers, shape (U,).
    names
        Class names.
    """
    answered = n > 0
    chosen: list[int | None] = [None, *np.unique(units.classes[answered]).tolist()]
    for a in chosen:
        here = answered if a is None else answered & (units.classes == a)
        yield Scope(
            0 if a is None else 1 + a,
            here,
            {
                "scope": "overall" if a is None else "localization",
                "localization": None if a is None else names[a],
                **counts(units, n, here),
            },
            freedom(units.classes[here]),
        )


def counts(units: Units, n: NDArray[np.float64], here: NDArray[np.bool_]) -> dict[str, int]:
    """Count the cells and proteins of some resampling units.

    Parameters
    ----------
    units
        The U resampling units.
    n
        Cells of each of them that gave answers, shape (U,).
    here
        Which are counted, shape (U,).

    Returns
    -------
    dict
        `n_cells` and `n_proteins`.
    """
    return {
        "n_cells": round(float(n[here].sum())),
        "n_proteins": len(np.unique(units.protein[here])),
    }


@dataclass(frozen=True)
class Estimates:
    """Means of F quantities by scope; `Scope.index` says in which row each scope is.

    Parameters
    ----------
    point
        From all resampling units, shape (1 + classes, F).
    draws
        From each bootstrap draw, shape (draws, 1 + classes, F).
    """

    point: NDArray[np.float64]
    draws: NDArray[np.float64]


def means(over: NDArray[np.float64], n: NDArray[np.float64], resampling: Resampling) -> Estimates:
    """Average quantities over each class's cells, and these means over classes.

    Parameters
    ----------
    over
        Sums of F quantities over the cells of each resampling unit, shape (U, F).
    n
        Number of those cells, shape (U,), or (U, F) where it differs between quantities.
    resampling
        Draws of the same resampling units.

    Returns
    -------
    Estimates
        Overall and by class; NaN for classes without cells.
    """
    width = over.shape[1]
    both = np.concatenate([over, n.reshape(len(over), -1)], 1)
    found = []
    for sums in (resampling.totals(both), resampling.sums(both)):
        by_class = ratio(sums[..., :width], sums[..., width:])
        found.append(np.concatenate([mean(by_class, 1)[:, None], by_class], 1))
    return Estimates(found[0][0], found[1])
