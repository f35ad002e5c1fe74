"""Resampling of whole units, and the intervals that its draws give. Pure arrays, no files.

The unit of chance is the protein: whole proteins, with all their cells, conditions and models, are
resampled within their class, because cells of one protein share a strain, a plate and a
brightness. Every statistic is made of sums over units within a class, so draws of those sums are
all that is needed, and memory does not grow with the number of cells.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from compute.statistics.config import LEVEL
from compute.statistics.config import BootstrapConfig as BootstrapConfig

FEWEST_PROTEINS = 5
"""With fewer proteins in a class than this, cells are resampled instead, and that is said."""

BLOCK = 2**21
"""Weights that are drawn at a time (16 MB)."""

_ROUNDING = 1e-12

KEPT = 2**25
"""Draws × units up to which the counts are kept between uses (64 MB)."""


def _counts(
    classes: NDArray[np.int64], draws: int, seed: int
) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.uint16]]]:
    """Draw n − 1 of the n units of each class, some draws and one class at a time."""
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
    n = counts.shape[1]
    return counts * (n / (n - 1)) if n > 1 else np.ones(counts.shape)


def resample(classes: NDArray[np.int64], draws: int, seed: int) -> NDArray[np.float64]:
    """Draw units with replacement within their class.

    Of n units n − 1 are drawn and weighted n / (n − 1), so that the variance over draws is that of
    the estimate (Rao and Wu 1988, doi:10.1080/01621459.1988.10478591); drawing n would give
    (n − 1) / n of it. One unit alone always has weight 1.

    Parameters
    ----------
    classes
        Class of each unit, shape (U,).
    draws
        Rows of the result.
    seed
        Of the random numbers.

    Returns
    -------
    ndarray
        Weight of each unit, shape (draws, U); sums to the class's size within a class.
    """
    weights = np.zeros((draws, len(classes)))
    for rows, units, counts in _counts(classes, draws, seed):
        weights[rows, units] = _weights(counts)
    return weights


@dataclass(frozen=True)
class Resampling:
    """The draws of `resample`, applied to sums over units without holding all weights.

    Parameters
    ----------
    classes
        Class of each unit, shape (U,).
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
        """Sum values over each class's drawn units.

        Parameters
        ----------
        values
            Shape (U, F).

        Returns
        -------
        ndarray
            Shape (draws, K, F).
        """
        found = np.zeros((self.draws, self.n_classes, values.shape[1]))
        for rows, units, counts in self._blocks():
            found[rows, self.classes[units[0]]] = _weights(counts) @ values[units]
        return found

    def totals(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum values over each class's units, each once; shape (1, K, F)."""
        found = np.zeros((1, self.n_classes, values.shape[1]))
        np.add.at(found[0], self.classes, values)
        return found

    def _blocks(self) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.uint16]]]:
        if self.draws * len(self.classes) <= KEPT:
            yield from self._kept
        else:
            yield from _counts(self.classes, self.draws, self.seed)

    @cached_property
    def _kept(self) -> list[tuple[slice, NDArray[np.int64], NDArray[np.uint16]]]:
        return list(_counts(self.classes, self.draws, self.seed))


def freedom(classes: NDArray[np.int64]) -> int:
    """Return the degrees of freedom of a spread over units: units less classes.

    With none, which is one unit in each class, a spread cannot be known, and there is no interval.
    """
    return len(classes) - len(np.unique(classes))


def effective_freedom(influence: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """Return the degrees of freedom of an estimate to which classes add unlike spreads.

    The class that adds most of the spread counts most (Satterthwaite 1946, Biometrics Bulletin 2,
    110–114). In a pair test that is often the class with the poorer answers.

    Parameters
    ----------
    influence
        How much each unit moves the estimate, shape (U,).
    classes
        Class of each unit, shape (U,).

    Returns
    -------
    float
        At least 1; that of `freedom` where no unit moves the estimate.
    """
    _, group, many = np.unique(classes, return_inverse=True, return_counts=True)
    off = influence - (np.bincount(group, influence) / many)[group]
    free = np.maximum(many - 1, 1)
    variance = np.bincount(group, off**2) * many / free
    if not variance.any():
        return freedom(classes)
    share = variance / variance.sum()
    return max(float(1 / (share**2 / free).sum()), 1.0)


def spread(draws: NDArray[np.float64]) -> float:
    """Return the standard deviation of draws; not a number with fewer than two."""
    finite = draws[np.isfinite(draws)]
    return float(finite.std()) if len(finite) > 1 else np.nan


def interval(estimate: float, draws: NDArray[np.float64], freedom: float) -> tuple[float, float]:
    """Return the estimate ± Student's t × the standard deviation of bootstrap draws.

    Percentiles of the draws hold the truth too rarely with few proteins; `docs/method.md` has the
    figures.

    Parameters
    ----------
    estimate
        From all units.
    draws
        The same from drawn units, shape (draws,).
    freedom
        Degrees of freedom, from `freedom`.
    """
    sd = spread(draws)
    if freedom < 1 or not np.isfinite(sd) or not np.isfinite(estimate):
        return np.nan, np.nan
    reach = _t(freedom) * sd
    return estimate - reach, estimate + reach


def share_interval(
    estimate: float,
    draws: NDArray[np.float64],
    freedom: float,
    answers: int | None = None,
) -> tuple[float, float]:
    """Return Wilson's interval of a share, which stays in 0 to 1 and is not empty at its ends.

    The number of independent answers is what the spread of the draws implies (Korn and Graubard
    1998, Survey Methodology 24, 193–201); where they do not spread it is the number of units.

    Parameters
    ----------
    estimate, draws, freedom
        As for `interval`.
    answers
        Cells that were counted, for a share of one class. Independent cells alone give the
        variance p (1 − p) / answers, which then counts as its known part: the variance is not
        taken for less, and only what exceeds it has the degrees of freedom of the units
        (Satterthwaite). With several trials a cell that part is at most this, and the interval
        is wider than need be.
    """
    sd = spread(draws)
    if freedom < 1 or not np.isfinite(sd) or not np.isfinite(estimate):
        return np.nan, np.nan
    binomial = estimate * (1 - estimate)
    if sd > _ROUNDING and binomial > _ROUNDING:
        variance, freedom = _with_known(sd**2, binomial / answers if answers else 0.0, freedom)
        n = max(binomial / variance, 1.0)
    else:
        n = freedom + 1
    t2 = _t(freedom) ** 2
    middle = (estimate + t2 / (2 * n)) / (1 + t2 / n)
    reach = np.sqrt(t2 * (max(binomial, 0) / n + t2 / (4 * n * n))) / (1 + t2 / n)
    return float(max(middle - reach, 0)), float(min(middle + reach, 1))


def _with_known(variance: float, known: float, freedom: float) -> tuple[float, float]:
    """Return a variance that is at least its known part, and its degrees of freedom."""
    rest = variance - known
    if rest <= _ROUNDING**2:
        return max(variance, known), np.inf
    return variance, freedom * (variance / rest) ** 2


def _t(freedom: float) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; not a number where there is nothing to divide by."""
    shape = np.broadcast_shapes(over.shape, under.shape)
    return np.divide(over, under, out=np.full(shape, np.nan), where=under > 0)


def mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Average what is a number; not a number where nothing is."""
    there = np.isfinite(values)
    return ratio(np.where(there, values, 0).sum(axis), there.sum(axis).astype(float))
