"""What the probes know of every cell: its class, protein and fold. Pure arrays, no files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.backgrounds.folds import Folds
from compute.hashing import Stream, mix
from compute.statistics.bootstrap import FEWEST_PROTEINS
from compute.statistics.donors import DonorUnits, make_donor_units
from compute.statistics.resampling_units import Units, make_units


def _no_classes() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


def _no_proteins() -> NDArray[np.object_]:
    return np.zeros(0, object)


def _no_labels() -> NDArray[np.bool_]:
    return np.zeros((0, 0), bool)


@dataclass(frozen=True)
class Mixed:
    """Cells of several classes, which only the multi-label probe takes.

    Parameters
    ----------
    cell
        Their rows in the store's `cells`, ascending, shape (n,); by default there are none.
    labels
        Which classes each of them is of, shape (n, classes).
    """

    cell: NDArray[np.int64] = field(default_factory=_no_classes)
    labels: NDArray[np.bool_] = field(default_factory=_no_labels)

    @classmethod
    def choose(
        cls, rows: NDArray[np.int64], labels: Sequence[Any], names: Sequence[str], most: int,
        seed: int,
    ) -> "Mixed":  # fmt: skip
        """Choose cells by hash.

        Parameters
        ----------
        rows
            Rows of cells that may be chosen, in any order, shape (n,).
        labels
            Names of the classes of each; those with fewer than two are left out.
        names
            Class names.
        most
            How many are chosen at most.
        seed
            Any integer ≥ 0.
        """
        several = np.array([x is not None and len(x) > 1 for x in labels], bool)
        place = np.flatnonzero(several)
        rank = mix(seed, Stream.MULTILABEL_CELLS, rows[place])
        place = place[np.argsort(rank, kind="stable")[:most]]
        place = place[np.argsort(rows[place])]
        code = {name: k for k, name in enumerate(names)}
        found = np.zeros((len(place), len(names)), bool)
        for row, n in enumerate(place.tolist()):
            found[row, [code[name] for name in labels[n]]] = True
        return cls(rows[place], found)


@dataclass(frozen=True)
class Cells:
    """What the probes need to know of the N cells of a store, in the order of its table `cells`.

    Parameters
    ----------
    classes
        Class of the cell, −1 for none, shape (N,).
    protein
        Names, one object for all cells of a protein, shape (N,).
    grid
        Which cells are chosen for pair tests and to train the multi-class probe, up to
        `grid_cells` of each class, shape (N,).
    names
        Class names, by class.
    folds
        Which cells are held out together.
    window_classes, window_protein
        Class and protein of each of the store's windows, shape (W,); by default there are none.
    mixed
        Cells of several classes; by default there are none.
    """

    classes: NDArray[np.int64]
    protein: NDArray[np.object_]
    grid: NDArray[np.bool_]
    names: Sequence[str]
    folds: Folds
    window_classes: NDArray[np.int64] = field(default_factory=_no_classes)
    window_protein: NDArray[np.object_] = field(default_factory=_no_proteins)
    mixed: Mixed = field(default_factory=Mixed)

    @property
    def by_protein(self) -> bool:
        """Whether every tested class has `FEWEST_PROTEINS`, so that whole ones are resampled."""
        tested = self.folds.testable()
        proteins = [len(np.unique(self.protein[self.grid & (self.classes == k)])) for k in tested]
        return bool(proteins) and min(proteins) >= FEWEST_PROTEINS

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Which cells of the grid are of a class that can be tested, shape (N,)."""
        return np.asarray(self.grid & np.isin(self.classes, self.folds.testable()))

    @cached_property
    def units(self) -> Units:
        """The resampling unit of every cell; proteins are numbered in the order of their names."""
        code, _ = pd.factorize(self.protein, sort=True)
        return make_units(
            self.classes, code.astype(np.int32), self.folds.testable(), self.by_protein,
            len(self.names),
        )  # fmt: skip

    @cached_property
    def labelled(self) -> Units:
        """The resampling unit of every cell of the multi-label probe.

        Those of cells of several classes are of one stratum more than there are classes.
        """
        code, _ = pd.factorize(self.protein, sort=True)
        stratum = np.where(self.tested, self.classes, -1)
        stratum[self.mixed.cell] = len(self.names)
        return make_units(
            stratum, code.astype(np.int32), np.arange(len(self.names) + 1), self.by_protein,
            len(self.names) + 1,
        )  # fmt: skip

    def labels_of(self, cell: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which testable classes some cells are of, shape (n, classes).

        Parameters
        ----------
        cell
            Rows of cells with a class, or of `mixed`, shape (n,).
        """
        found = self.classes[cell, None] == np.arange(len(self.names))
        place = np.searchsorted(self.mixed.cell, cell)
        several = np.isin(cell, self.mixed.cell)
        found[several] = self.mixed.labels[place[several]]
        found[:, np.setdiff1d(np.arange(len(self.names)), self.folds.testable())] = False
        return np.asarray(found)

    @cached_property
    def donor_units(self) -> DonorUnits:
        """The unit of every cell and window as a donor."""
        both = np.concatenate([self.protein, self.window_protein])
        code, _ = pd.factorize(both, sort=True)
        of_cells, of_windows = np.split(code.astype(np.int32), [len(self.protein)])
        return make_donor_units(
            (self.classes, self.window_classes), (of_cells, of_windows), self.by_protein,
            len(self.names),
        )  # fmt: skip
