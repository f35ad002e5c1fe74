"""Whether a drop or gap is small: two one-sided tests against a margin. Pure arrays, no files.

A large p-value of a difference does not show that there is none. What supports a claim of
robustness is a small p-value of this test, whose null hypothesis is that the effect lies outside
± margin (Schuirmann 1987, doi:10.1007/BF01068419).

Near the ceiling a margin in points is easily kept: from 99% to 97% the wrong answers triple. So the
margin may also be a factor by which odds change: the second accuracy then has to lie between those
that the first one's odds, divided and multiplied by it, would give (`with_odds`).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from compute.statistics.bootstrap import spread


def equivalence_test(
    estimate: float,
    draws: NDArray[np.float64],
    freedom: float,
    margin: float,
    n_cells: int,
    added: float = 0.0,
) -> float:
    """Test that an effect lies within ± margin.

    Both one-sided tests use the distribution of the intervals: Student's t around the estimate with
    the standard deviation of bootstrap draws. So p ≤ 0.05 means the same as that the 90% interval
    lies within the margin. Where the draws have no spread, because no answer differs, p is the
    probability that none of the cells would differ if the effect were as large as the margin.

    Parameters
    ----------
    estimate
        The effect of all resampling units.
    draws
        The effect of each bootstrap draw, shape (draws,).
    freedom
        Degrees of freedom, as for `compute.statistics.bootstrap.interval`.
    margin
        A difference of accuracies, above 0.
    n_cells
        Number of cells behind the effect.
    added
        Variance that the draws do not have, that of donors; by default 0.

    Returns
    -------
    float
        The larger of the two one-sided p-values; 1 with fewer than 1 degree of freedom, NaN without
        an estimate or two draws.
    """
    sd = spread(draws, added)
    if not np.isfinite(sd) or not np.isfinite(estimate):
        return np.nan
    if freedom < 1:
        return 1.0
    if sd == 0:
        return float((1 - margin) ** n_cells) if abs(estimate) < margin else 1.0
    steps = np.array([margin - estimate, margin + estimate]) / sd
    return float(stats.t.sf(steps, freedom).max())


def with_odds(accuracy: float, factor: float) -> tuple[float, float]:
    """Return the accuracy whose odds are those of another times a factor, and its derivative.

    Parameters
    ----------
    accuracy
        The other accuracy, 0 to 1.
    factor
        Above 0.

    Examples
    --------
    Odds of 9 to 1, halved:

    >>> value, slope = with_odds(0.9, 0.5)
    >>> print(f"{value:.3f}")
    0.818
    """
    under = 1 - accuracy + factor * accuracy
    return factor * accuracy / under, factor / under**2


def beyond_test(
    distance: float,
    draws: NDArray[np.float64],
    freedom: float,
    n_cells: int,
    added: float = 0.0,
    same: bool = False,
) -> float:
    """Test that a distance is above 0: one of the two one-sided tests of equivalence.

    Parameters
    ----------
    distance
        By how much an accuracy is on the right side of what it is compared with.
    draws
        The distance of each bootstrap draw, up to a constant, shape (draws,).
    freedom, n_cells, added
        As for `equivalence_test`.
    same
        Whether no answer differs between the two accuracies that are compared; False by default. p
        is then the probability that none of the cells would differ if the distance were 0.

    Returns
    -------
    float
        One-sided p-value; 1 with fewer than 1 degree of freedom, NaN without a distance or two
        draws.
    """
    sd = spread(draws, added)
    if not np.isfinite(sd) or not np.isfinite(distance):
        return np.nan
    if freedom < 1 or ((same or sd == 0) and distance <= 0):
        return 1.0
    if same or sd == 0:
        return float((1 - distance) ** n_cells)
    return float(stats.t.sf(distance / sd, freedom))
