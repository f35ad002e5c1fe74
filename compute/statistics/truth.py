"""How far a protein's distribution is from the true one, on simulated cells. Pure arrays, no files.

On real cells a shift says that two answers differ, not which is right. For simulated cells the true
distribution is known.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.statistics.shifts import jensen_shannon, total_variation


class Verdict(StrEnum):
    """Where a distribution is wrong: before (own background), after (the other), both, neither."""

    BEFORE = "before"
    AFTER = "after"
    BOTH = "both"
    NEITHER = "neither"


def verdict(
    tv_before: NDArray[np.float64], tv_after: NDArray[np.float64], threshold: float
) -> NDArray[np.str_]:
    """Tell on which background distributions were wrong: as far from the true one as a threshold.

    Parameters
    ----------
    tv_before, tv_after
        Total variation from the true distribution, on the cells' own background and on the other,
        shape (n,).
    threshold
        Total variation at which a shift is called substantial, 0 to 1.

    Returns
    -------
    ndarray
        Values of `Verdict`, shape (n,).
    """
    before, after = np.asarray(tv_before) >= threshold, np.asarray(tv_after) >= threshold
    return np.select(
        [before & after, before, after],
        [str(Verdict.BOTH), str(Verdict.BEFORE), str(Verdict.AFTER)],
        str(Verdict.NEITHER),
    )


@dataclass(frozen=True)
class Truth:
    """True proportions of N simulated cells, one row per cell and class that it has.

    Parameters
    ----------
    starts
        First row of each cell, and the number of rows, shape (N + 1,).
    classes
        Class of each row, shape (rows,).
    proportion
        Proportion of the cell's protein in that class, 0 to 1, shape (rows,).
    n_classes
        Number of classes.
    """

    starts: NDArray[np.int64]
    classes: NDArray[np.int16]
    proportion: NDArray[np.float32]
    n_classes: int

    @classmethod
    def of(cls, table: pd.DataFrame, cells: int, names: list[str]) -> "Truth":
        """Arrange a store's `truth` table by cell.

        Parameters
        ----------
        table
            Columns `cell`, `localization`, `proportion`.
        cells
            Number of cells in the store, N.
        names
            Class names.
        """
        order = np.argsort(table["cell"].to_numpy(), kind="stable")
        cell = table["cell"].to_numpy()[order]
        code = pd.Categorical(table["localization"], categories=names).codes
        return cls(
            np.searchsorted(cell, np.arange(cells + 1)),
            np.asarray(code, np.int16)[order],
            table["proportion"].to_numpy(np.float32)[order],
            len(names),
        )

    def mean(self, cell: NDArray[np.int64]) -> NDArray[np.float64]:
        """Average the true proportions of some cells (rows of `cells`); shape (classes,)."""
        many = self.starts[cell + 1] - self.starts[cell]
        first = np.repeat(self.starts[cell] - np.cumsum(many) + many, many)
        rows = first + np.arange(len(first))
        total = np.bincount(self.classes[rows], self.proportion[rows], self.n_classes)
        return total / len(cell)


def compare(
    true: NDArray[np.float64],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    names: list[str],
) -> dict[str, Any]:
    """Compare a protein's distributions with the true one.

    Parameters
    ----------
    true, before, after
        True distribution, and those of the probe's answers on the cells' own backgrounds and on
        others, all of the same cells, shape (classes,).
    names
        Class names.

    Returns
    -------
    dict
        `tv_before`, `tv_after`, `jsd_before`, `jsd_after`, `top_true`, `top_before` and
        `top_after`, columns of `TRUTH`.
    """
    return {
        "tv_before": float(total_variation(true, before)),
        "tv_after": float(total_variation(true, after)),
        "jsd_before": float(jensen_shannon(true, before)),
        "jsd_after": float(jensen_shannon(true, after)),
        "top_true": names[int(true.argmax())],
        "top_before": names[int(before.argmax())],
        "top_after": names[int(after.argmax())],
    }
