"""Whether a drop or gap is small: two one-sided tests against a margin. Pure arrays, no files.

A large p-value of a difference shows nothing. A claim of robustness is a small p-value of this
test, whose null hypothesis is that the effect lies outside ± margin (Schuirmann 1987,
doi:10.1007/BF01068419).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from compute.statistics.bootstrap import spread


def equivalence_test(
    estimate: float, draws: NDArray[np.float64], freedom: float, margin: float, n_cells: int
) -> float:
    """Test that an effect lies within ± margin.

    Both one-sided tests use the distribution that the intervals use: Student's t around the
    estimate with the standard deviation of bootstrap draws. So p ≤ 0.05 says just that the 90%
    interval lies within the margin. Where the draws do not spread, because no answer differs, p is
    the chance that none of the cells would differ at an effect as large as the margin.

    Parameters
    ----------
    estimate
        The effect, from all units.
    draws
        The effect of drawn units, shape (draws,).
    freedom
        Degrees of freedom, from `compute.statistics.bootstrap.freedom`.
    margin
        Above 0.
    n_cells
        Cells behind the effect.

    Returns
    -------
    float
        The larger of the two one-sided p-values; 1 without degrees of freedom, not a number
        without an estimate or draws.
    """
    sd = spread(draws)
    if not np.isfinite(sd) or not np.isfinite(estimate):
        return np.nan
    if freedom < 1:
        return 1.0
    if sd == 0:
        return float((1 - margin) ** n_cells) if abs(estimate) < margin else 1.0
    steps = np.array([margin - estimate, margin + estimate]) / sd
    return float(stats.t.sf(steps, freedom).max())
