"""Which backgrounds change answers: centre class × background class. Pure arrays, no files."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.statistics.bootstrap import Resampling, freedom, interval
from compute.statistics.resampling_units import Units, add, counts, means

QUANTITIES = ("n", "right", "right_before", "towards", "towards_before")
"""What is summed for each resampling unit and background class: cells, right answers to the trial
and to the cell's unaltered crop, and answers of the background's class to either."""


def begin_grid(units: int, classes: int) -> NDArray[np.float64]:
    """Return sums of nothing for U resampling units, shape (U, quantities × background classes)."""
    return np.zeros((units, len(QUANTITIES) * classes))


def add_to_grid(
    grid: NDArray[np.float64],
    unit: NDArray[np.int32],
    position: NDArray[np.int64],
    background: NDArray[np.int64],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    own: NDArray[np.int64],
) -> None:
    """Add trials of whole cells to the sums, in place.

    A cell counts once on each background class: its trials there share its weight.

    Parameters
    ----------
    grid
        From `begin_grid`.
    unit
        Resampling unit of each trial's cell, shape (T,).
    position
        Number of each trial's cell, such as its place in a list, shape (T,).
    background
        Class of the background, −1 for none, shape (T,).
    before, after
        Class that was answered to the cell's unaltered crop and to the trial, shape (T,).
    own
        The cell's class, which is the right answer, shape (T,).
    """
    classes = grid.shape[1] // len(QUANTITIES)
    here = background >= 0
    unit, position, background = unit[here], position[here], background[here]
    before, after, own = before[here], after[here], own[here]
    _, place, many = np.unique(
        position * classes + background, return_inverse=True, return_counts=True
    )
    weight = 1 / many[place]
    found = (
        np.ones(len(own)),
        after == own,
        before == own,
        after == background,
        before == background,
    )
    for q, values in enumerate(found):
        add(grid, unit, q * classes + background, weight * values)


def background_rows(
    grid: NDArray[np.float64], units: Units, resampling: Resampling, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Estimate accuracy, drop and attraction of every centre class on every background class.

    The attraction is how much more often the background's class is answered than on the cell's own
    background.

    Parameters
    ----------
    grid
        Sums of one model, condition and protocol, shape (U, quantities × classes).
    units, resampling
        The U resampling units and their draws.
    names
        Class names.

    Yields
    ------
    dict
        Columns of `BACKGROUNDS` without `model`, `condition` and `protocol`.
    """
    classes = len(names)
    n, right, right_before, towards, towards_before = np.split(grid, len(QUANTITIES), axis=1)
    over = np.concatenate([right, right_before - right, towards - towards_before], 1)
    found = means(over, np.tile(n, 3), resampling)
    for a in np.unique(units.classes):
        own = units.classes == a
        for b in np.flatnonzero(n[own].sum(0) > 0).tolist():
            here = own & (n[:, b] > 0)
            free = freedom(units.classes[here])
            accuracy, drop, attraction = (
                float(found.point[1 + a, q * classes + b]) for q in range(3)
            )
            drawn = (found.draws[:, 1 + a, q * classes + b] for q in (1, 2))
            low, high = interval(drop, next(drawn), free)
            attraction_low, attraction_high = interval(attraction, next(drawn), free)
            yield {
                "localization": names[a],
                "background": names[b],
                "accuracy": accuracy,
                "drop": drop,
                "ci_low": low,
                "ci_high": high,
                "attraction": attraction,
                "attraction_low": attraction_low,
                "attraction_high": attraction_high,
                "unit": units.kind,
                **counts(units, n[:, b], here),
            }
