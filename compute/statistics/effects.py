"""Accuracies, drops and gaps, and the test that there are none. Pure arrays, no files.

The resampling unit is the protein, as in `bootstrap`: the test flips the sign of the differences of
whole proteins.
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
    """Held-out answers of one model and protocol under M conditions, by U resampling units.

    Parameters
    ----------
    correct, n
        Right answers and all answers, shape (M, U, K). In pair tests K is the number of classes,
        and column b has the tests against class b; in the multi-class probe K is 1.
    classes
        Class of each resampling unit, shape (U,).
    n_cells
        Cells behind each of them under each condition, shape (M, U).
    protein
        Its protein, shape (U,).
    """

    correct: NDArray[np.float64]
    n: NDArray[np.float64]
    classes: NDArray[np.int64]
    n_cells: NDArray[np.int64]
    protein: NDArray[Any]


@dataclass(frozen=True)
class Accuracies:
    """Accuracies under M conditions, for each of W rows of weights.

    Parameters
    ----------
    overall
        Shape (W, M).
    by_class
        Shape (W, M, classes); NaN where a class was not tested.
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
        Answers by resampling unit.
    weights
        How often each of them counts, shape (W, U); see `compute.statistics.bootstrap.resample`.
    n_classes
        Number of classes in the store.

    Returns
    -------
    Accuracies
        For each row of weights.

    Examples
    --------
    Two proteins of each of two classes, ten answers each, under one condition:

    >>> import numpy as np
    >>> right = np.array([[9.0], [7.0], [10.0], [8.0]])
    >>> tallies = Tallies(
    ...     correct=right[None], n=np.full((1, 4, 1), 10.0), classes=np.array([0, 0, 1, 1]),
    ...     n_cells=np.full((1, 4), 10), protein=np.array(["a", "b", "c", "d"]),
    ... )
    >>> found = accuracies(tallies, weights=np.ones((1, 4)), n_classes=2)
    >>> found.by_class
    array([[[0.8, 0.9]]])
    >>> found.overall.round(3)
    array([[0.85]])
    """
    values = _columns(tallies)
    sums = np.zeros((len(weights), n_classes, values.shape[1]))
    for a in np.unique(tallies.classes):
        units = np.flatnonzero(tallies.classes == a)
        sums[:, a] = weights[:, units] @ values[units]
    return _average(sums, tallies.n.shape[2])


def drawn_accuracies(tallies: Tallies, resampling: Resampling) -> tuple[Accuracies, Accuracies]:
    """Compute the accuracies from all resampling units, and from every bootstrap draw.

    Returns
    -------
    point, draws : Accuracies
        With one row of weights, and with a row for each draw.
    """
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


def common(tallies: Tallies, *conditions: int) -> Tallies:
    """Keep some conditions, and of them only the tests that all have.

    So the same cells, in tests against the same classes, are compared with themselves.

    Parameters
    ----------
    tallies
        Answers by resampling unit.
    *conditions
        Places of the conditions.

    Returns
    -------
    Tallies
        These conditions, in their order. Resampling units without such a test have no answers.
    """
    chosen = list(conditions)
    shared = np.all(tallies.n[chosen] > 0, axis=0)
    answered = np.any(shared, axis=1)
    return Tallies(
        np.where(shared, tallies.correct[chosen], 0),
        np.where(shared, tallies.n[chosen], 0),
        tallies.classes,
        np.where(answered, tallies.n_cells[chosen], 0),
        tallies.protein,
    )


def contributions(tallies: Tallies, n_classes: int) -> NDArray[np.float64]:
    """Split every condition's overall accuracy into the parts of its resampling units.

    Parameters
    ----------
    tallies
        Answers by resampling unit.
    n_classes
        Number of classes in the store.

    Returns
    -------
    ndarray
        Shape (M, U); rows sum to the `overall` of `accuracies` with weights of 1.
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
    """Return the derivative of every accuracy by each resampling unit's weight.

    Parameters
    ----------
    tallies
        Answers by resampling unit.
    n_classes
        Number of classes in the store.

    Returns
    -------
    ndarray
        Shape (M, U, 1 + classes), for `overall` and then for `by_class`; 0 where a resampling unit
        has no part in it.
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
    """List the effects that can be computed from some conditions.

    Parameters
    ----------
    names
        The conditions.

    Returns
    -------
    list of tuple
        The effect, its condition, and two places in `names`: the effect is the accuracy under the
        first minus the accuracy under the second.

    Examples
    --------
    >>> for effect, condition, first, second in contrasts(["unaltered", "same", "different"]):
    ...     print(f"{effect} {condition}: {first} minus {second}")
    drop same: 0 minus 1
    drop different: 0 minus 2
    gap different: 1 minus 2
    """
    found = []
    for effect, base in ((Effect.DROP, Condition.UNALTERED), (Effect.NET, Condition.SHAM)):
        found += [
            (effect, name, names.index(base), m)
            for m, name in enumerate(names)
            if base in names and name not in {base, Condition.UNALTERED}
        ]
    if Condition.SAME in names and Condition.DIFFERENT in names:
        same, different = names.index(Condition.SAME), names.index(Condition.DIFFERENT)
        found.append((Effect.GAP, str(Condition.DIFFERENT), same, different))
    return found


def sign_flip_test(
    differences: NDArray[np.float64], flips: int, seed: int, stretch: float = 1.0
) -> float:
    """Test whether differences, one per resampling unit, are as likely to be above 0 as below.

    Parameters
    ----------
    differences
        Each resampling unit's part of the effect, shape (U,).
    flips
        Number of random sign patterns.
    seed
        Seed of the random numbers, any integer ≥ 0.
    stretch
        How much wider the sum's distribution is than flips make it, because resampling units share
        donors: a ratio of standard deviations, by default 1.

    Returns
    -------
    float
        Two-sided p-value, never below 1 / (flips + 1).

    Examples
    --------
    >>> import numpy as np
    >>> sign_flip_test(np.array([0.1, -0.1, 0.2, -0.2]), flips=1000, seed=0)
    1.0
    >>> sign_flip_test(np.full(20, 0.1), flips=1000, seed=0) < 0.05
    True
    """
    rng = np.random.default_rng(seed)
    observed = abs(differences.sum()) / stretch
    if observed == 0:
        return 1.0
    beyond = 0
    for start in range(0, flips, 2000):
        size = (min(2000, flips - start), len(differences))
        signs = rng.integers(0, 2, size, np.int8) * 2.0 - 1
        beyond += int((np.abs(signs @ differences) >= observed * (1 - 1e-12)).sum())
    return (1 + beyond) / (1 + flips)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Adjust p-values, shape (n,), for the family-wise error rate (Holm 1979).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.02])
    array([0.03, 0.04, 0.04])
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _ratio0(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; 0 where the divisor is not above 0."""
    return np.divide(over, under, out=np.zeros(over.shape), where=under > 0)
