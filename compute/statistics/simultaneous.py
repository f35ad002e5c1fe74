"""Intervals that hold all of several effects at once. Pure arrays, no files.

Who names the largest of many drops has picked it for being large, so its own 95% interval holds the
truth too rarely. Intervals that hold all of the effects at once in 95% of studies hold the one that
is picked, however it is picked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from compute.statistics.bootstrap import spread
from compute.statistics.config import LEVEL

REPEATS = 10
"""How often each bootstrap draw is used, each time with other random numbers for what the draws do
not have; the level that comes out then varies by chance by about 2% of itself."""


@dataclass(frozen=True)
class Drawn:
    """An estimate and what its interval is made from.

    Parameters
    ----------
    estimate
        From all resampling units.
    draws
        From each bootstrap draw, shape (draws,).
    freedom
        Degrees of freedom of its standard deviation.
    added
        Variance that the draws do not have, that of donors.
    units
        Names of what was resampled, shape (U,): draws of estimates with the same are joint.
    """

    estimate: float
    draws: NDArray[np.float64]
    freedom: float
    added: float
    units: NDArray[Any]


def simultaneous_intervals(found: Sequence[Drawn], seed: int) -> NDArray[np.float64]:
    """Return intervals that hold all true values at once, at the level of single ones.

    Each is the estimate ± Student's t × its whole standard deviation, donors included, with its own
    degrees of freedom; only the level of t is another (`single_level`).

    Parameters
    ----------
    found
        The estimates.
    seed
        Seed of the random numbers, any integer ≥ 0.

    Returns
    -------
    ndarray
        Low and high ends, shape (estimates, 2); NaN for an estimate that has no interval.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> units = np.arange(30)
    >>> draws = rng.normal(0.1, 0.02, (5, 2000))
    >>> five = [Drawn(0.1, some, 29, 0.0, units) for some in draws]
    >>> alone, together = (simultaneous_intervals(some, 0)[0] for some in (five[:1], five))
    >>> print(f"{alone[0]:.3f} alone, {together[0]:.3f} among five")
    0.059 alone, 0.045 among five
    """
    sd = np.array([spread(each.draws, each.added) for each in found])
    free = np.array([each.freedom for each in found], float)
    estimate = np.array([each.estimate for each in found], float)
    known = (free >= 1) & np.isfinite(sd) & np.isfinite(estimate)
    ends = np.full((len(found), 2), np.nan)
    if not known.any():
        return ends
    moving = known & (sd > 0)
    level = single_level([each for each, m in zip(found, moving, strict=True) if m], seed)
    reach = special.stdtrit(np.where(known, free, 1), 1 - level / 2) * sd
    ends[known] = np.stack([estimate - reach, estimate + reach], 1)[known]
    return ends


def single_level(found: Sequence[Drawn], seed: int) -> float:
    """Return how rarely each of several intervals may miss, so that all hold in `LEVEL` of studies.

    The joint distribution of the estimates is that of their bootstrap draws, in which all models
    and conditions share the resampled proteins, each scaled by its own standard deviation
    ("max-t"). What the draws do not have, the donors' part and the uncertainty of the standard
    deviations, is added to each estimate for itself: that it goes together in truth makes intervals
    longer than they need be, never shorter. Where draws are not joint, each interval may miss in
    1/m of the cases (Bonferroni); the level is never stricter than that.

    Parameters
    ----------
    found
        m estimates, each with a standard deviation above 0.
    seed
        Seed of the random numbers, any integer ≥ 0.

    Returns
    -------
    float
        (1 − `LEVEL`) / m to 1 − `LEVEL`.
    """
    miss, m = 1 - LEVEL, max(len(found), 1)
    joint = all(np.array_equal(each.units, found[0].units) for each in found)
    if m == 1 or not joint:
        return miss / m
    draws = np.stack([each.draws for each in found], 1)
    draws = draws[np.isfinite(draws).all(1)]
    if len(draws) < 2:
        return miss / m
    rng = np.random.default_rng(seed)
    added = np.array([each.added for each in found])
    sd = np.sqrt(draws.var(0) + added)
    free = np.array([min(each.freedom, 1e6) for each in found])
    least = []
    for _ in range(REPEATS):
        off = draws - draws.mean(0) + np.sqrt(added) * rng.standard_normal(draws.shape)
        t = off / sd / np.sqrt(rng.chisquare(free, draws.shape) / free)
        least.append((2 * special.stdtr(free, -np.abs(t))).min(1))
    return float(np.clip(np.quantile(np.concatenate(least), miss), miss / m, miss))
