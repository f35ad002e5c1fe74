"""How often an answer changes with the background, and in which direction. Pure arrays, no files.

A trial is compared with the same cell's unaltered crop. `lost` minus `gained` is the drop in
accuracy, so a small drop can hide many flips in both directions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.schema import Flip
from compute.statistics.bootstrap import Resampling, share_interval
from compute.statistics.resampling_units import Units, means, scopes


def changes(
    before: NDArray[np.int64], after: NDArray[np.int64], own: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Say how each answer changed.

    Parameters
    ----------
    before, after
        Answers to the unaltered crop and to the trial, shape (T,).
    own
        Right answers, shape (T,).

    Returns
    -------
    ndarray
        Shape (T, 3), columns in the order of `Flip`; at most one is true.
    """
    was, now = before == own, after == own
    found = {
        Flip.LOST: was & ~now,
        Flip.GAINED: ~was & now,
        Flip.MOVED: ~was & ~now & (before != after),
    }
    return np.stack([found[direction] for direction in Flip], 1)


def flip_rows(
    flips: NDArray[np.float64],
    n: NDArray[np.float64],
    units: Units,
    resampling: Resampling,
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Estimate how often answers change; columns of `FLIPS`.

    Parameters
    ----------
    flips
        Sum over each unit's cells of the share of trials that changed, shape (U, 3).
    n
        Cells of each unit, shape (U,).
    units, resampling
        What is resampled, and its draws.
    names
        Class names.
    """
    found = means(flips, n, resampling)
    rows = []
    for scope in scopes(units, n, names):
        cells = scope.columns["n_cells"] if scope.index else None
        for f, direction in enumerate(Flip):
            estimate = float(found.point[scope.index, f])
            draws = found.draws[:, scope.index, f]
            low, high = share_interval(estimate, draws, scope.freedom, cells)
            rows.append(
                {
                    **scope.columns,
                    "direction": str(direction),
                    "estimate": estimate,
                    "ci_low": low,
                    "ci_high": high,
                    "unit": units.kind,
                }
            )
    return rows
