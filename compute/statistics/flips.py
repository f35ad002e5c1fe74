"""How often an answer changes with the background, and in which direction. Pure arrays, no files.

A trial is compared with the same cell's unaltered crop. `lost` minus `gained` is the drop in
accuracy, so a small drop can hide many changes in both directions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.schema import Flip
from compute.statistics.bootstrap import Resampling, effective_freedom, share_interval
from compute.statistics.donors import DonorInfluence, DonorPart
from compute.statistics.resampling_units import Units, means, scopes


def changes(
    before: NDArray[np.int64], after: NDArray[np.int64], own: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell in which direction each answer changed.

    Parameters
    ----------
    before, after
        Class that was answered to the unaltered crop and to the trial, shape (T,).
    own
        The cell's class, which is the right answer, shape (T,).

    Returns
    -------
    ndarray
        Shape (T, 3), columns in the order of `Flip`: lost, gained, moved. At most one of a row is
        true.

    Examples
    --------
    >>> import numpy as np
    >>> changes(before=np.array([0, 1]), after=np.array([2, 0]), own=np.array([0, 0]))
    array([[ True, False, False],
           [False,  True, False]])
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
    donors: DonorInfluence | None = None,
    single: bool = True,
) -> list[dict[str, Any]]:
    """Estimate how often answers change, overall and by localization.

    Parameters
    ----------
    flips
        Share of a cell's trials that changed in each direction of `Flip`, summed over the cells of
        each resampling unit, shape (U, 3).
    n
        Number of cells of each resampling unit, shape (U,).
    units, resampling
        The U resampling units and their draws.
    names
        Class names.
    donors
        How donors move the share of each direction; by default None, which takes answers that share
        a donor for independent.
    single
        Whether every cell has one trial, as by default. Then independent cells alone would give a
        share of one class a known part of its variance; cells of several trials differ less.

    Returns
    -------
    list of dict
        Columns of `FLIPS` without `model`, `condition` and `protocol`.
    """
    found = means(flips, n, resampling)
    many = np.bincount(units.classes, n, len(names))
    off = flips - found.point[1 + units.classes] * n[:, None]
    moved = off / np.maximum(many, 1)[units.classes, None]
    rows, every = [], np.eye(len(Flip))
    for scope in scopes(units, n, names):
        here = scope.here
        cells = scope.columns["n_cells"] if scope.index and single else None
        for f, direction in enumerate(Flip):
            estimate = float(found.point[scope.index, f])
            draws = found.draws[:, scope.index, f]
            part = DonorPart() if donors is None else donors.component(every[f], scope.index)
            free: float = scope.freedom
            if free > 0 and not scope.index:
                free = effective_freedom(moved[here, f], units.classes[here])
            free = part.freedom_with(free, draws)
            low, high = share_interval(estimate, draws, free, cells, part.variance)
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
