"""What the probes know of every cell: class, protein, who is held out with whom. No files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compute.probes.folds import Folds
from compute.statistics.bootstrap import FEWEST_PROTEINS


@dataclass(frozen=True)
class Cells:
    """What the probes need to know of every cell; N rows of the store's `cells`.

    Parameters
    ----------
    classes
        Class of the cell, −1 for none, shape (N,).
    protein
        Names, one object for all cells of a protein, shape (N,).
    grid
        Cells that stand in pair tests and train the multi-class probe, shape (N,).
    names
        Class names.
    folds
        Who is held out with whom.
    """

    classes: NDArray[np.int64]
    protein: NDArray[np.object_]
    grid: NDArray[np.bool_]
    names: Sequence[str]
    folds: Folds

    @property
    def by_protein(self) -> bool:
        """Whether every tested class has enough proteins to resample whole ones."""
        tested = self.folds.testable()
        proteins = [len(np.unique(self.protein[self.grid & (self.classes == k)])) for k in tested]
        return bool(proteins) and min(proteins) >= FEWEST_PROTEINS

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Which cells stand in pair tests and train probes, shape (N,)."""
        return np.asarray(self.grid & np.isin(self.classes, self.folds.testable()))
