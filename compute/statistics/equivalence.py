"""Whether a drop or gap is small: two one-sided tests against a margin. Pure arrays, no files.

A large p-value of a difference does not show that there is none. What supports a claim of
robustness is a small p-value of this test, whose null hypothesis is that the effect lies outside
± margin (Schuirmann 1987, doi:10.1007/BF01068419).
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
