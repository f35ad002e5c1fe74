"""Whether a drop or gap is small: two one-sided tests against a margin. Pure arrays, no files.

A large p-value of a difference does not show that there is none. What supports a claim of
robustness is a small p-value of this test, whose null hypothesis is that the effect lies outside
± margin (Schuirmann 1987, doi:10.1007/BF01068419).

Near the ceiling a margin in points is easily kept: from 99% to 97% the wrong answers triple. So the
margin may also be a ratio of odds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

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


@dataclass(frozen=True)
class LogOdds:
    """The log odds ratio of two accuracies: by how much the odds of a right answer change.

    Parameters
    ----------
    estimate
        Log odds under the first condition minus log odds under the second; NaN where an accuracy is
        0 or 1, whose odds are not finite.
    slopes
        Derivatives of the two log odds by the accuracies; 0 where `estimate` is NaN.
    lower
        The lower of the two accuracies.
    """

    estimate: float
    slopes: tuple[float, float]
    lower: float

    @classmethod
    def of(cls, first: float, second: float) -> "LogOdds":
        """Compare two accuracies, 0 to 1.

        Examples
        --------
        >>> found = LogOdds.of(0.9, 0.8)
        >>> print(f"{np.exp(found.estimate):.2f}")  # 9 to 1 against 4 to 1
        2.25
        """
        inside = [0 < each < 1 for each in (first, second)]
        if not all(inside):
            return cls(np.nan, (0.0, 0.0), min(first, second))
        odds = [float(special.logit(each)) for each in (first, second)]
        slopes = tuple(1 / (each * (1 - each)) for each in (first, second))
        return cls(odds[0] - odds[1], (slopes[0], slopes[1]), min(first, second))


def odds_equivalence_test(
    odds: LogOdds,
    draws: NDArray[np.float64],
    freedom: float,
    ratio: float,
    n_cells: int,
    added: float = 0.0,
) -> float:
    """Test that the odds of a right answer change by less than a factor, up or down.

    The two one-sided tests of `equivalence_test`, on the log odds ratio, whose variance comes from
    those of the two accuracies by its derivatives (the delta method).

    Parameters
    ----------
    odds
        The two accuracies compared.
    draws
        First accuracy times its slope minus second accuracy times its slope, of each bootstrap
        draw, shape (draws,).
    freedom
        Degrees of freedom.
    ratio
        The factor, above 1.
    n_cells
        Number of cells behind the accuracies.
    added
        Variance that the draws do not have, that of donors; by default 0.

    Returns
    -------
    float
        The larger of the two one-sided p-values; 1 where an accuracy is 0 or 1, as its odds are not
        finite. Where no answer differs, p is the probability that none of the cells would differ if
        the odds changed by the factor.
    """
    if not np.isfinite(odds.estimate):
        return 1.0
    margin = float(np.log(ratio))
    if spread(draws, added) == 0 and freedom >= 1:
        if abs(odds.estimate) >= margin:
            return 1.0
        here = special.logit(odds.lower)
        least = np.abs(special.expit(here + np.array([margin, -margin])) - odds.lower).min()
        return float((1 - least) ** n_cells)
    return equivalence_test(odds.estimate, draws, freedom, margin, n_cells, added)
