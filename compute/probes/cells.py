"""What the probes know of every cell: its class, protein and fold. Pure arrays, no files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.backgrounds.folds import Folds
from compute.statistics.bootstrap import FEWEST_PROTEINS
from compute.statistics.donors import DonorUnits, make_donor_units
from compute.statistics.resampling_units import Units, make_units


def _no_classes() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


def _no_proteins() -> NDArray[np.object_]:
    return np.zeros(0, object)


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
    """

    classes: NDArray[np.int64]
    protein: NDArray[np.object_]
    grid: NDArray[np.bool_]
    names: Sequence[str]
    folds: Folds
    window_classes: NDArray[np.int64] = field(default_factory=_no_classes)
    window_protein: NDArray[np.object_] = field(default_factory=_no_proteins)

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
    def donor_units(self) -> DonorUnits:
        """The unit of every cell and window as a donor."""
        both = np.concatenate([self.protein, self.window_protein])
        code, _ = pd.factorize(both, sort=True)
        of_cells, of_windows = np.split(code.astype(np.int32), [len(self.protein)])
        return make_donor_units(
            (self.classes, self.window_classes), (of_cells, of_windows), self.by_protein,
            len(self.names),
        )  # fmt: skip
