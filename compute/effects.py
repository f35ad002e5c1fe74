"""Accuracies, drops and gaps with their uncertainty. Pure arrays, no files.

The unit of chance is the protein: whole proteins, with all their cells, conditions and models, are
resampled within their class (bootstrap) or have their difference's sign flipped (test), because
cells of one protein share a strain, a plate and a brightness.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.schema import Condition, Effect

FEWEST_PROTEINS = 5
"""With fewer proteins in a class than this, cells are resampled instead, and that is said."""

LEVEL = 0.95


@dataclass(frozen=True)
class BootstrapConfig:
    """How uncertainty is computed.

    Parameters
    ----------
    draws
        Bootstrap draws, at least 100 (the design asks for 2,000 in what is reported).
    flips
        Sign flips of the test, at least 100.
    seed
        Any integer ≥ 0.
    """

    draws: int = 2000
    flips: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        for what in ("draws", "flips"):
            if getattr(self, what) < 100:
                raise UsageError(f"{what} is {getattr(self, what)}; it must be at least 100.")


@dataclass(frozen=True)
class Tallies:
    """Held-out answers of one model and protocol, by unit; U units, M conditions, K classes.

    Parameters
    ----------
    correct, n
        Right answers and all answers, shape (M, U, K). In pair tests column b holds the tests
        against class b; in the multi-class probe there is one column.
    classes
        Class of each unit, shape (U,).
    n_cells
        Cells behind each unit and condition, shape (M, U).
    protein
        Protein of each unit, shape (U,).
    """

    correct: NDArray[np.float64]
    n: NDArray[np.float64]
    classes: NDArray[np.int64]
    n_cells: NDArray[np.int64]
    protein: NDArray[Any]


@dataclass(frozen=True)
class Accuracies:
    """Summary accuracies of every condition, for each row of weights.

    Parameters
    ----------
    overall
        Shape (W, M).
    by_class
        Shape (W, M, classes); not a number where a class was not tested.
    """

    overall: NDArray[np.float64]
    by_class: NDArray[np.float64]


def resample(classes: NDArray[np.int64], draws: int, seed: int) -> NDArray[np.float64]:
    """Draw units with replacement within their class.

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
        How often each unit was drawn, shape (draws, U); sums to the class's size within a class.
    """
    rng = np.random.default_rng(seed)
    weights = np.zeros((draws, len(classes)))
    for k in np.unique(classes):
        here = np.flatnonzero(classes == k)
        share = np.full(len(here), 1 / len(here))
        weights[:, here] = rng.multinomial(len(here), share, size=draws)
    return weights


def accuracies(tallies: Tallies, weights: NDArray[np.float64], n_classes: int) -> Accuracies:
    """Average answers into accuracies: over pairs of classes, or over classes.

    In pair tests (K = classes) a pair's accuracy is the share of right answers on both its
    classes; `overall` is the mean over pairs, `by_class` the mean over the pairs with that class.
    In the multi-class probe (K = 1) `by_class` is the share of right answers on a class and
    `overall` the mean over classes.

    Parameters
    ----------
    tallies
        Answers by unit.
    weights
        How often each unit counts, shape (W, U).
    n_classes
        Number of classes in the store.
    """
    m, _, k = tallies.n.shape
    shape = (len(weights), m, n_classes, k)
    right, answers = np.zeros(shape), np.zeros(shape)
    for a in np.unique(tallies.classes):
        units = np.flatnonzero(tallies.classes == a)
        w = weights[:, units]
        right[:, :, a] = np.einsum("wu,muk->wmk", w, tallies.correct[:, units], optimize=True)
        answers[:, :, a] = np.einsum("wu,muk->wmk", w, tallies.n[:, units], optimize=True)
    if k == 1:
        by_class = _ratio(right, answers)[..., 0]
        return Accuracies(_mean(by_class, -1), by_class)
    tested = (answers > 0) & (answers.swapaxes(2, 3) > 0)
    pair = _ratio(right + right.swapaxes(2, 3), answers + answers.swapaxes(2, 3))
    pair = np.where(tested, pair, np.nan)
    upper = np.triu(np.ones((n_classes, n_classes), bool), 1)
    return Accuracies(_mean(pair[:, :, upper], -1), _mean(pair, -1))


def common(tallies: Tallies, first: int, second: int) -> Tallies:
    """Keep two conditions, and of them the tests that both have, so that like meets like.

    Returns
    -------
    Tallies
        Two conditions, `first` and `second`. Units without such a test have no answers.
    """
    both = (tallies.n[first] > 0) & (tallies.n[second] > 0)
    pair = [first, second]
    answered = both.any(1)
    return Tallies(
        np.where(both, tallies.correct[pair], 0),
        np.where(both, tallies.n[pair], 0),
        tallies.classes,
        np.where(answered, tallies.n_cells[pair], 0),
        tallies.protein,
    )


def contributions(tallies: Tallies, n_classes: int) -> NDArray[np.float64]:
    """Split every condition's overall accuracy into its units' shares.

    Returns
    -------
    ndarray
        Shape (M, U); rows sum to `accuracies(...).overall`.
    """
    m, units, k = tallies.n.shape
    answers = np.zeros((m, n_classes, k))
    for a in np.unique(tallies.classes):
        answers[:, a] = tallies.n[:, tallies.classes == a].sum(1)
    if k == 1:
        per_class = answers[:, tallies.classes, 0]
        tested = (answers[..., 0] > 0).sum(1)[:, None]
        return _ratio0(tallies.correct[..., 0], per_class) / np.maximum(tested, 1)
    both = np.where(
        (answers > 0) & (answers.swapaxes(1, 2) > 0), answers + answers.swapaxes(1, 2), 0
    )
    pairs = np.maximum((both > 0).sum((1, 2)) / 2, 1)
    share = _ratio0(tallies.correct, both[:, tallies.classes])
    return np.asarray(share.sum(-1) / pairs[:, None]).reshape(m, units)


def contrasts(names: Sequence[str]) -> list[tuple[Effect, str, int, int]]:
    """List the effects that conditions allow.

    Returns
    -------
    list of tuple
        Effect, its condition, and the places of the first and the second accuracy in `names`: the
        effect is the first minus the second.
    """
    found = []
    if Condition.UNALTERED in names:
        base = names.index(Condition.UNALTERED)
        found = [
            (Effect.DROP, name, base, m)
            for m, name in enumerate(names)
            if name != Condition.UNALTERED
        ]
    if Condition.SAME in names and Condition.DIFFERENT in names:
        same, different = names.index(Condition.SAME), names.index(Condition.DIFFERENT)
        found.append((Effect.GAP, str(Condition.DIFFERENT), same, different))
    return found


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """Return the percentile interval of bootstrap draws, shape (draws,)."""
    finite = draws[np.isfinite(draws)]
    if len(finite) < 2:
        return np.nan, np.nan
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def sign_flip_test(differences: NDArray[np.float64], flips: int, seed: int) -> float:
    """Test whether differences, one per unit, sum to zero.

    Parameters
    ----------
    differences
        Each unit's share of the effect, shape (U,).
    flips
        Random sign patterns.
    seed
        Of the random numbers.

    Returns
    -------
    float
        Two-sided p-value, never below 1 / (flips + 1).
    """
    rng = np.random.default_rng(seed)
    observed = abs(differences.sum())
    if observed == 0:
        return 1.0
    beyond = 0
    for start in range(0, flips, 2000):
        size = (min(2000, flips - start), len(differences))
        signs = rng.integers(0, 2, size, np.int8) * 2.0 - 1
        beyond += int((np.abs(signs @ differences) >= observed * (1 - 1e-12)).sum())
    return (1 + beyond) / (1 + flips)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Adjust p-values for the family-wise error rate (Holm 1979)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)


def _ratio0(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(over, under, out=np.zeros(over.shape), where=under > 0)


def _mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Average what is a number; not a number where nothing is."""
    there = np.isfinite(values)
    return _ratio(np.where(there, values, 0).sum(axis), there.sum(axis).astype(float))
