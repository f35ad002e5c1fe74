"""What the probes know of every cell: its class, protein and fold. Pure arrays, no files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compute.backgrounds.folds import Folds
from compute.statistics.bootstrap import FEWEST_PROTEINS


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
    """

    classes: NDArray[np.int64]
    protein: NDArray[np.object_]
    grid: NDArray[np.bool_]
    names: Sequence[str]
    folds: Folds

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
