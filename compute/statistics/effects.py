"""Accuracies, drops and gaps, and the test that there are none. Pure arrays, no files.

The unit of chance is the protein, as in `bootstrap`: the test flips the sign of whole proteins'
differences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.schema import Condition, Effect
from compute.statistics.bootstrap import Resampling, mean, ratio


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
    values = _columns(tallies)
    sums = np.zeros((len(weights), n_classes, values.shape[1]))
    for a in np.unique(tallies.classes):
        units = np.flatnonzero(tallies.classes == a)
        sums[:, a] = weights[:, units] @ values[units]
    return _average(sums, tallies.n.shape[2])


def drawn_accuracies(tallies: Tallies, resampling: Resampling) -> tuple[Accuracies, Accuracies]:
    """Compute the accuracies of all units once, and of every bootstrap draw."""
    values, k = _columns(tallies), tallies.n.shape[2]
    sums = resampling.sums(values)
    parts = [_average(part, k) for part in np.array_split(sums, max(1, len(sums) // 200))]
    draws = Accuracies(
        np.concatenate([part.overall for part in parts]),
        np.concatenate([part.by_class for part in parts]),
    )
    return _average(resampling.totals(values), k), draws


def _columns(tallies: Tallies) -> NDArray[np.float64]:
    """Lay right answers and all answers side by side, shape (U, 2·M·K)."""
    both = np.stack([tallies.correct, tallies.n])
    return both.transpose(2, 0, 1, 3).reshape(both.shape[2], -1)


def _average(sums: NDArray[np.float64], k: int) -> Accuracies:
    """Turn sums of `_columns` by class, shape (W, classes, 2·M·K), into accuracies."""
    w, n_classes, _ = sums.shape
    right, answers = sums.reshape(w, n_classes, 2, -1, k).transpose(2, 0, 3, 1, 4)
    if k == 1:
        by_class = ratio(right, answers)[..., 0]
        return Accuracies(mean(by_class, -1), by_class)
    tested = (answers > 0) & (answers.swapaxes(2, 3) > 0)
    pair = ratio(right + right.swapaxes(2, 3), answers + answers.swapaxes(2, 3))
    pair = np.where(tested, pair, np.nan)
    upper = np.triu(np.ones((n_classes, n_classes), bool), 1)
    return Accuracies(mean(pair[:, :, upper], -1), mean(pair, -1))


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


def influence(tallies: Tallies, n_classes: int) -> NDArray[np.float64]:
    """Say how much every accuracy moves with each unit's weight, to first order.

    Parameters
    ----------
    tallies
        Answers by unit.
    n_classes
        Number of classes in the store.

    Returns
    -------
    ndarray
        Shape (M, U, 1 + classes): of `overall`, then of `by_class`; zero where it has no part.
    """
    m, _, k = tallies.n.shape
    own = tallies.classes
    right, answers = np.zeros((2, m, n_classes, k))
    for a in np.unique(own):
        right[:, a] = tallies.correct[:, own == a].sum(1)
        answers[:, a] = tallies.n[:, own == a].sum(1)
    if k == 1:
        per_class = answers[:, own]
        off = tallies.correct - tallies.n * _ratio0(right, answers)[:, own]
        moved = _ratio0(off, per_class)[..., 0]
        parts = np.where(own[:, None] == np.arange(n_classes), moved[..., None], 0)
        classes = np.maximum((answers[..., 0] > 0).sum(1), 1)
        return np.concatenate([(moved / classes[:, None])[..., None], parts], -1)
    tested = (answers > 0) & (answers.swapaxes(1, 2) > 0)
    both = np.where(tested, answers + answers.swapaxes(1, 2), 0)
    pair = _ratio0(right + right.swapaxes(1, 2), both)
    moved = _ratio0(tallies.correct - tallies.n * pair[:, own], both[:, own])
    tests = tested.sum(2)
    mine = own[:, None] == np.arange(n_classes)
    parts = np.where(mine, moved.sum(-1, keepdims=True), moved) / np.maximum(tests, 1)[:, None]
    pairs = np.maximum(tests.sum(1) / 2, 1)
    return np.concatenate([(moved.sum(-1) / pairs[:, None])[..., None], parts], -1)


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


def _ratio0(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(over, under, out=np.zeros(over.shape), where=under > 0)
