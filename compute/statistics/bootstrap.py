"""Bootstrap of whole proteins, and the intervals that its draws give. Pure arrays, no files.

The resampling unit is the protein: whole proteins, with all their cells, conditions and models, are
drawn within their class, because cells of one protein share a strain, a plate and a brightness.
Every statistic is made of sums over resampling units within a class, so draws of those sums are all
that is needed, and memory does not grow with the number of cells.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from compute.statistics.config import LEVEL
from compute.statistics.config import BootstrapConfig as BootstrapConfig

FEWEST_PROTEINS = 5
"""With fewer proteins in a class than this, cells are resampled instead, and `unit` says so."""

BLOCK = 2**21
"""Weights that are drawn at a time (16 MB)."""

_ROUNDING = 1e-12
"""Spreads up to this count as 0, and variances up to its square."""

KEPT = 2**25
"""Draws × resampling units up to which the counts are kept between uses (64 MB)."""


def _counts(
    classes: NDArray[np.int64], draws: int, seed: int
) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.uint16]]]:
    """Draw n − 1 of the n resampling units of each class, one class and some draws at a time.

    Yields
    ------
    rows : slice
        The draws.
    units : ndarray
        The class's resampling units, shape (n,).
    counts : ndarray
        How often each was drawn, shape (draws, n).
    """
    rng = np.random.default_rng(seed)
    for k in np.unique(classes):
        units = np.flatnonzero(classes == k)
        n = len(units)
        share = np.full(n, 1 / n)
        step = max(1, BLOCK // n)
        for start in range(0, draws, step):
            rows = slice(start, min(start + step, draws))
            drawn = rng.multinomial(n - 1, share, size=rows.stop - start)
            yield rows, units, drawn.astype(np.uint16)


def _weights(counts: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Turn counts of n units into weights that sum to n; one unit alone has weight 1."""
    n = counts.shape[1]
    return counts * (n / (n - 1)) if n > 1 else np.ones(counts.shape)


def resample(classes: NDArray[np.int64], draws: int, seed: int) -> NDArray[np.float64]:
    """Draw resampling units with replacement within their class.

    Of n units n − 1 are drawn and weighted n / (n − 1), so that the variance over draws is that of
    the estimate (Rao and Wu 1988, doi:10.1080/01621459.1988.10478591); drawing n would give
    (n − 1) / n of it. One unit alone always has weight 1.

    Parameters
    ----------
    classes
        Class of each resampling unit, shape (U,).
    draws
        Number of draws.
    seed
        Seed of the random numbers, any integer ≥ 0.

    Returns
    -------
    ndarray
        Weight of each resampling unit, shape (draws, U). Within a class weights sum to the number
        of its units.

    Examples
    --------
    The interval of a mean over eight proteins of one class:

    >>> import numpy as np
    >>> accuracy = np.array([0.9, 0.8, 0.7, 0.9, 1.0, 0.6, 0.8, 0.9])
    >>> classes = np.zeros(8, int)
    >>> draws = resample(classes, draws=2000, seed=0) @ accuracy / 8
    >>> low, high = interval(accuracy.mean(), draws, freedom(classes))
    >>> print(f"{accuracy.mean():.3f} [{low:.2f}, {high:.2f}]")
    0.825 [0.72, 0.93]
    """
    weights = np.zeros((draws, len(classes)))
    for rows, units, counts in _counts(classes, draws, seed):
        weights[rows, units] = _weights(counts)
    return weights


@dataclass(frozen=True)
class Resampling:
    """The draws of `resample`, applied to sums over U units without holding all weights.

    Parameters
    ----------
    classes
        Class of each resampling unit, shape (U,).
    n_classes
        Number of classes in the store, K.
    draws, seed
        As for `resample`.
    """

    classes: NDArray[np.int64]
    n_classes: int
    draws: int
    seed: int

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum values over each class's resampling units, weighted as they were drawn.

        Parameters
        ----------
        values
            F values of each unit, shape (U, F).

        Returns
        -------
        ndarray
            Shape (draws, K, F); 0 for classes without units.
        """
        found = np.zeros((self.draws, self.n_classes, values.shape[1]))
        for rows, units, counts in self._blocks():
            found[rows, self.classes[units[0]]] = _weights(counts) @ values[units]
        return found

    def totals(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum values, shape (U, F), over each class's resampling units once; shape (1, K, F)."""
        found = np.zeros((1, self.n_classes, values.shape[1]))
        np.add.at(found[0], self.classes, values)
        return found

    def _blocks(self) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.uint16]]]:
        """Go through the draws, kept ones where they are few enough."""
        if self.draws * len(self.classes) <= KEPT:
            yield from self._kept
        else:
            yield from _counts(self.classes, self.draws, self.seed)

    @cached_property
    def _kept(self) -> list[tuple[slice, NDArray[np.int64], NDArray[np.uint16]]]:
        """The draws, made once."""
        return list(_counts(self.classes, self.draws, self.seed))


def freedom(classes: NDArray[np.int64]) -> int:
    """Return the degrees of freedom of a spread over resampling units: units less classes.

    With 0, which is one unit in each class, the spread cannot be known, and there is no interval.

    Parameters
    ----------
    classes
        Class of each resampling unit, shape (U,).
    """
    return len(classes) - len(np.unique(classes))


def effective_freedom(influence: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """Return the degrees of freedom of an estimate whose classes differ in spread.

    The class that adds most of the variance counts most (Satterthwaite 1946, Biometrics Bulletin 2,
    110–114). In a pair test that is often the class with more wrong answers.

    Parameters
    ----------
    influence
        How much the estimate changes with each resampling unit's weight, shape (U,).
    classes
        Class of each resampling unit, shape (U,).

    Returns
    -------
    float
        At least 1; `freedom` where no unit has influence.
    """
    many = np.bincount(classes)
    off = influence - (np.bincount(classes, influence) / np.maximum(many, 1))[classes]
    free = np.maximum(many - 1, 1)
    variance = np.bincount(classes, off**2) * many / free
    if not variance.any():
        return freedom(classes)
    share = variance / variance.sum()
    return max(float(1 / (share**2 / free).sum()), 1.0)


def spread(draws: NDArray[np.float64], added: float = 0.0) -> float:
    """Return the standard deviation of the draws that are finite; NaN with fewer than two.

    Parameters
    ----------
    draws
        Values, shape (draws,).
    added
        Variance that is added to theirs, by default 0.
    """
    finite = draws[np.isfinite(draws)]
    return float(np.sqrt(finite.var() + added)) if len(finite) > 1 else np.nan


def interval(
    estimate: float, draws: NDArray[np.float64], freedom: float, added: float = 0.0
) -> tuple[float, float]:
    """Return the estimate ± Student's t × the standard deviation of bootstrap draws.

    Percentiles of the draws hold the truth too rarely with few proteins; `docs/method.md` has the
    figures.

    Parameters
    ----------
    estimate
        The statistic of all resampling units.
    draws
        The statistic of each draw, shape (draws,).
    freedom
        Degrees of freedom, from `freedom` or `effective_freedom`.
    added
        Variance that the draws do not have, that of donors; by default 0.

    Returns
    -------
    low, high : float
        Ends of the `LEVEL` interval; NaN without an estimate, without two draws, or with fewer than
        1 degree of freedom.

    Examples
    --------
    >>> import numpy as np
    >>> low, high = interval(0.5, draws=np.array([0.4, 0.6]), freedom=4)
    >>> print(f"{low:.3f} to {high:.3f}")
    0.222 to 0.778
    """
    sd = spread(draws, added)
    if freedom < 1 or not np.isfinite(sd) or not np.isfinite(estimate):
        return np.nan, np.nan
    reach = _t(freedom) * sd
    return estimate - reach, estimate + reach


def share_interval(
    estimate: float,
    draws: NDArray[np.float64],
    freedom: float,
    answers: int | None = None,
    added: float = 0.0,
) -> tuple[float, float]:
    """Return Wilson's interval of a share, which stays in 0 to 1 and has a width even at 0 and 1.

    The number of independent answers is the one that the spread of the draws implies (Korn and
    Graubard 1998, Survey Methodology 24, 193–201), or, where they have no spread, the number of
    degrees of freedom plus 1.

    Parameters
    ----------
    estimate, draws, freedom
        As for `interval`; the estimate is in 0 to 1.
    answers
        Number of answers, for a share of one class; by default None. Independent answers alone give
        the variance p (1 − p) / answers, which then counts as the known part of the variance. The
        variance is not taken for less, and only what exceeds it has the degrees of freedom of the
        resampling units (Satterthwaite). Not for cells of several trials, whose means differ less
        than single answers do.
    added
        As for `interval`.

    Returns
    -------
    low, high : float
        Ends of the `LEVEL` interval, 0 to 1; NaN where `interval` has NaN.

    Examples
    --------
    Every answer of ten proteins of one class was right, so draws have no spread:

    >>> import numpy as np
    >>> low, high = share_interval(1.0, draws=np.ones(2000), freedom=9)
    >>> print(f"{low:.2f} to {high:.2f}")
    0.66 to 1.00
    """
    sd = spread(draws, added)
    if freedom < 1 or not np.isfinite(sd) or not np.isfinite(estimate):
        return np.nan, np.nan
    binomial = estimate * (1 - estimate)
    if sd > _ROUNDING and binomial > _ROUNDING:
        variance, freedom = _with_known(sd**2, binomial / answers if answers else 0.0, freedom)
        n = max(binomial / variance, 1.0)
    else:
        n = freedom + 1
    return wilson(estimate, n, _t(freedom))


def wilson(share: float, n: float, reach: float | None = None) -> tuple[float, float]:
    """Return Wilson's interval of a share of n independent answers (Wilson 1927).

    Parameters
    ----------
    share
        0 to 1.
    n
        Number of answers, above 0.
    reach
        Standard deviations that the interval reaches to; those of a normal distribution at `LEVEL`
        by default.

    Returns
    -------
    low, high : float
        0 to 1.
    """
    t2 = (_t(np.inf) if reach is None else reach) ** 2
    middle = (share + t2 / (2 * n)) / (1 + t2 / n)
    off = np.sqrt(t2 * (max(share * (1 - share), 0) / n + t2 / (4 * n * n))) / (1 + t2 / n)
    return float(max(middle - off, 0)), float(min(middle + off, 1))


def _with_known(variance: float, known: float, freedom: float) -> tuple[float, float]:
    """Return the variance, at least its known part, and its degrees of freedom."""
    rest = variance - known
    if rest <= _ROUNDING**2:
        return max(variance, known), np.inf
    return variance, freedom * (variance / rest) ** 2


def _t(freedom: float) -> float:
    """Return the quantile of Student's t that a two-sided interval of `LEVEL` reaches to."""
    return float(special.stdtrit(freedom, (1 + LEVEL) / 2))


def ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, with broadcasting; NaN where the divisor is not above 0."""
    shape = np.broadcast_shapes(over.shape, under.shape)
    return np.divide(over, under, out=np.full(shape, np.nan), where=under > 0)


def mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Average the finite values along an axis; NaN where there are none."""
    there = np.isfinite(values)
    return ratio(np.where(there, values, 0).sum(axis), there.sum(axis).astype(float))
