"""The share of cells that are right on every background they stand on. Pure arrays, no files."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.statistics.bootstrap import Resampling, share_interval
from compute.statistics.resampling_units import Units, add, means, scopes

QUANTITIES = ("all_right", "right", "backgrounds")
"""What is summed over cells: whether every answer is right, the share that is, and the number of
background classes."""


def begin_worst(units: int) -> NDArray[np.float64]:
    """Return sums of nothing for U resampling units: `QUANTITIES` and, last, cells; (U, 4)."""
    return np.zeros((units, len(QUANTITIES) + 1))


def add_worst(
    sums: NDArray[np.float64],
    unit: NDArray[np.int32],
    starts: NDArray[np.int64],
    background: NDArray[np.int64],
    right: NDArray[np.bool_],
) -> None:
    """Add whole cells to the sums, in place; those on fewer than two background classes are not.

    Parameters
    ----------
    sums
        From `begin_worst`.
    unit
        Resampling unit of each cell, shape (n,).
    starts
        Place of each cell's first trial, shape (n,); a cell's trials lie together.
    background
        Class of the background of each trial, −1 for none, shape (T,).
    right
        Whether each answer is right, shape (T,).
    """
    if len(starts) == 0:
        return
    many = np.diff(np.append(starts, len(right)))
    cell = np.repeat(np.arange(len(starts)), many)
    kinds = np.unique(np.stack([cell, background])[:, background >= 0], axis=1)
    number = np.bincount(kinds[0], minlength=len(starts))
    values = (
        np.logical_and.reduceat(right, starts),
        np.add.reduceat(right.astype(float), starts) / many,
        number,
        np.ones(len(starts)),
    )
    here = number >= 2
    for column, value in enumerate(values):
        add(sums, unit[here], column, value[here].astype(float))


def worst_rows(
    sums: NDArray[np.float64], units: Units, resampling: Resampling, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Estimate the share of cells that are right on all backgrounds, overall and by localization.

    Parameters
    ----------
    sums
        Of one model, condition and protocol, from `add_worst`, shape (U, 4).
    units, resampling
        The U resampling units and their draws.
    names
        Class names.

    Yields
    ------
    dict
        Columns of `WORST_CASE` without `model`, `condition` and `protocol`.
    """
    over, n = sums[:, :-1], sums[:, -1]
    if not n.any():
        return
    found = means(over, n, resampling)
    for scope in scopes(units, n, names):
        row: dict[str, Any] = {**scope.columns, "unit": units.kind}
        for column, name in enumerate(("estimate", "mean", "backgrounds")):
            value = float(found.point[scope.index, column])
            row[name] = value
            if name != "backgrounds":
                draws = found.draws[:, scope.index, column]
                low, high = share_interval(value, draws, scope.freedom)
                ends = ("ci_low", "ci_high") if name == "estimate" else ("mean_low", "mean_high")
                row.update(zip(ends, (low, high), strict=True))
        yield row
