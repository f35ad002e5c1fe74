"""How far a protein's distribution is from the true one, on simulated cells. Pure arrays, no files.

On real cells a shift says that two answers differ, not which is right. Simulated cells know.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.statistics.shifts import jensen_shannon, total_variation


class Verdict(StrEnum):
    """When a distribution was wrong."""

    BEFORE = "before"
    AFTER = "after"
    BOTH = "both"
    NEITHER = "neither"


VERDICTS: dict[Verdict, str] = {
    Verdict.BEFORE: "wrong on its own background, right on the other",
    Verdict.AFTER: "right on its own background, wrong on the other",
    Verdict.BOTH: "wrong on both",
    Verdict.NEITHER: "right on both, to the threshold",
}


def verdict(
    tv_before: NDArray[np.float64], tv_after: NDArray[np.float64], threshold: float
) -> NDArray[np.str_]:
    """Say when distributions were wrong: at least the threshold away from the true ones.

    Parameters
    ----------
    tv_before, tv_after
        Total variation from the true distribution, shape (n,).
    threshold
        The one at which a shift is called substantial, 0 to 1.

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
    """True proportions of simulated cells, one row per cell and class that it holds.

    Parameters
    ----------
    starts
        First row of each cell, and one past the last, shape (N + 1,).
    classes
        Shape (rows,).
    proportion
        Shape (rows,).
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
            Cells in the store.
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
        """Average some cells' true proportions, shape (K,)."""
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
    """Compare a protein's distributions with the true one; columns of `TRUTH`.

    Parameters
    ----------
    true, before, after
        Of the same cells, shape (K,).
    names
        Class names.
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
