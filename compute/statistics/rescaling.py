"""A drop split into rescaling and context. Pure arrays, no files.

Most models scale every crop by its own range, so a bright neighbour makes the centre cell darker.
The same trial is read twice: scaled by its own range, and by that of the cell's unaltered crop.
What is lost even with the scale locked is due to the context, the rest to rescaling.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.schema import DropPart
from compute.statistics.bootstrap import Resampling, interval
from compute.statistics.resampling_units import Estimates, Units, means, scopes

READINGS = ("unaltered", "crop", "locked")
"""What a cell's answer is given to: its unaltered crop, the trial scaled by its own range, and the
trial scaled by the range of the unaltered crop."""


def rescaling_rows(
    right: NDArray[np.float64],
    n: NDArray[np.float64],
    units: Units,
    resampling: Resampling,
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Split one condition's drop into its parts, overall and by localization.

    Parameters
    ----------
    right
        Right answers of each resampling unit's cells under each of `READINGS`, shape (U, 3).
    n
        Number of cells of each resampling unit, shape (U,).
    units, resampling
        The U resampling units and their draws.
    names
        Class names.

    Returns
    -------
    list of dict
        Columns of `RESCALING` without `model` and `condition`.
    """
    found = means(right, n, resampling)
    rows = []
    for scope in scopes(units, n, names):
        for part, (estimate, draws) in _split(found, scope.index).items():
            low, high = interval(estimate, draws, scope.freedom)
            rows.append(
                {
                    **scope.columns,
                    "part": str(part),
                    "estimate": estimate,
                    "ci_low": low,
                    "ci_high": high,
                    "unit": units.kind,
                }
            )
    return rows


def _split(found: Estimates, index: int) -> dict[DropPart, tuple[float, NDArray[np.float64]]]:
    """Return each part of one scope's drop: its estimate, and that of each draw, shape (draws,)."""
    parts = {}
    for part, (first, second) in {
        DropPart.TOTAL: ("unaltered", "crop"),
        DropPart.RESCALING: ("locked", "crop"),
        DropPart.CONTEXT: ("unaltered", "locked"),
    }.items():
        one, two = READINGS.index(first), READINGS.index(second)
        point, draws = found.point[index], found.draws[:, index]
        parts[part] = (float(point[one] - point[two]), draws[:, one] - draws[:, two])
    return parts
