"""Drops against how much of a donor's neighbours a composite shows. Pure arrays, no files.

Trials are put in `BINS` bins of equal numbers by their dose. Quartiles are sums of bins, and so are
the points of a smooth line: each a mean over the bins near it, which count less the farther off.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.statistics.bootstrap import Resampling, interval
from compute.statistics.resampling_units import Units, add, counts, means, scopes

BINS = 40
"""Bins of a dose; a multiple of four, so that quartiles are whole bins."""

REACH = 8
"""Bins to either side over which the smooth line averages: a fifth of the trials."""

POINTS = np.arange(1, BINS, 2)
"""Bins at which the smooth line has its points."""


def edges(doses: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the ends of bins of equal numbers of trials, shape (`BINS` + 1,).

    Parameters
    ----------
    doses
        Dose of each trial; those that are NaN are left out.

    Returns
    -------
    ndarray
        Ascending; all NaN without a dose. Where doses are equal, bins have no width and no trials.
    """
    known = doses[np.isfinite(doses)].astype(np.float64)
    if len(known) == 0:
        return np.full(BINS + 1, np.nan)
    return np.quantile(known, np.linspace(0, 1, BINS + 1))


def bins_of(doses: NDArray[np.floating[Any]], ends: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each dose, −1 where it is NaN; shape of `doses`.

    Examples
    --------
    >>> import numpy as np
    >>> bins_of(np.array([0.0, 20.5, 40.0, np.nan]), np.arange(41.0))
    array([ 0, 20, 39, -1])
    """
    known = np.isfinite(doses)
    place = np.searchsorted(ends[1:-1], np.where(known, doses, 0), "right")
    return np.where(known, place, -1)


def begin_doses(units: int) -> NDArray[np.float64]:
    """Return sums of nothing for U resampling units: weights and drops by bin, (U, 2·`BINS`)."""
    return np.zeros((units, 2 * BINS))


def add_doses(
    sums: NDArray[np.float64],
    unit: NDArray[np.int32],
    bins: NDArray[np.int64],
    weight: NDArray[np.float64],
    lost: NDArray[np.floating[Any]],
) -> None:
    """Add trials to the sums, in place.

    Parameters
    ----------
    sums
        From `begin_doses`.
    unit
        Resampling unit of each trial's cell, shape (T,).
    bins
        Bin of each trial, shape (T,); those with −1 are left out.
    weight
        Weight of each trial in the mean over cells, shape (T,).
    lost
        Whether the unaltered crop is answered rightly less whether the trial is, shape (T,).
    """
    here = bins >= 0
    add(sums, unit[here], bins[here], weight[here])
    add(sums, unit[here], BINS + bins[here], (weight * lost)[here])


def kernel() -> NDArray[np.float64]:
    """Return the weight of each bin in the line at each other one (Epanechnikov's kernel)."""
    apart = np.arange(BINS)[:, None] - np.arange(BINS)
    return np.maximum(1 - (apart / (REACH + 1)) ** 2, 0)


def dose_rows(
    sums: NDArray[np.float64],
    ends: NDArray[np.float64],
    units: Units,
    resampling: Resampling,
    names: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Estimate the drop in every quartile of a dose, and along a smooth line.

    Parameters
    ----------
    sums
        Of one model, condition, protocol and dose, shape (U, 2·`BINS`).
    ends
        From `edges`.
    units, resampling
        The U resampling units and their draws.
    names
        Class names.

    Yields
    ------
    dict
        Columns of `DOSE` without `model`, `condition`, `protocol` and `measure`. Every mean is over
        classes, as the drop is: so a class that stands among many neighbours does not look like an
        effect of theirs.
    """
    n, lost = np.split(sums, 2, axis=1)
    if not n.any():
        return
    size = BINS // 4
    quartiles = np.repeat(np.eye(4), size, axis=0)
    middle = (ends[:-1] + ends[1:]) / 2
    filled = POINTS[n[:, POINTS].sum(0) > 0]
    # A line is drawn where there are trials, at the middle of their bins.
    line = kernel()[:, filled]
    weights = np.concatenate([quartiles, line], 1)
    some, over = n @ weights, lost @ weights
    found = means(over, some, resampling)
    scope = next(scopes(units, n.sum(1), names))
    for column in range(weights.shape[1]):
        if not some[:, column].any():
            continue
        bins = np.flatnonzero(weights[:, column])
        bins = bins[n[:, bins].any(0)]
        estimate = float(found.point[0, column])
        low, high = interval(estimate, found.draws[:, 0, column], scope.freedom)
        here = some[:, column] > 0
        of_line = column >= 4
        share = n[:, bins].sum(0)
        half = np.searchsorted(np.cumsum(share), share.sum() / 2)
        yield {
            "quartile": None if of_line else column + 1,
            "dose": float(middle[filled[column - 4]] if of_line else middle[bins[half]]),
            "low": float(ends[bins[0]]),
            "high": float(ends[bins[-1] + 1]),
            "estimate": estimate,
            "ci_low": low,
            "ci_high": high,
            "unit": units.kind,
            **counts(units, n[:, bins].sum(1), here),
        }
