"""Pair tests on embeddings. Pure arrays, no files.

A pair test asks a linear SVM which of two localizations a held-out crop shows, as in Gupta, Moses
and Lu (2025). A `Fitting` says which solver fits the SVMs.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from compute.backgrounds.folds import Folds
from compute.probes.solvers import (
    ONE_CORE,
    Fitting,
    Hyperplanes,
    PairTest,
    Solver,
    fit_test,
    fit_together,
)
from compute.probes.svm_folds import Solutions
from compute.probes.svm_path import compiled

CONFLICTING = -2
"""Number that stands for a background class: each class of the pair on the other's background."""


@dataclass(frozen=True)
class Crops:
    """Embeddings of the crops of one condition that stand in pair tests; n rows.

    Parameters
    ----------
    features
        Embeddings, shape (n, D).
    cell
        Row of each crop's cell in the store's `cells`, shape (n,).
    classes
        Class of the cell, shape (n,).
    background
        Class of the background, −1 where none applies, shape (n,).
    donor
        Donor unit of the crop, shape (n,); None, the default, where there are no donors.
    """

    features: NDArray[np.float32]
    cell: NDArray[np.int64]
    classes: NDArray[np.int64]
    background: NDArray[np.int64]
    donor: NDArray[np.int32] | None = None

    @cached_property
    def _rows(self) -> dict[tuple[int, int | None], NDArray[np.int64]]:
        """Rows of each class, by (class, background class) and (class, None) for any, ascending."""
        found: dict[tuple[int, int | None], NDArray[np.int64]] = {}
        for of in np.unique(self.classes).tolist():
            here = np.flatnonzero(self.classes == of)
            found[of, None] = here
            for on in np.unique(self.background[here]).tolist():
                found[of, on] = here[self.background[here] == on]
        return found

    def rows(self, of: int, on: int | None = None) -> NDArray[np.int64]:
        """Return the rows of class `of`, on background class `on` or, with None, on any."""
        return self._rows.get((of, on), np.zeros(0, np.int64))


@dataclass(frozen=True)
class PairScore:
    """Held-out answers in one pair test.

    Parameters
    ----------
    first, second, background
        Classes of the pair and of the background; background is −1 where none applies.
    accuracy, std
        Mean and standard deviation (of all folds, not n − 1) of the folds' shares of right answers.
    n
        Number of different cells that were tested.
    cell, correct
        Of every held-out answer the cell and whether it was right, shape (answers,).
    unsolved
        SVMs that the solver left to the reference, by default 0.
    donor
        Of every held-out answer the donor unit, shape (answers,); None, the default, where there
        are no donors.
    """

    first: int
    second: int
    background: int
    accuracy: float
    std: float
    n: int
    cell: NDArray[np.int64]
    correct: NDArray[np.bool_]
    unsolved: int = 0
    donor: NDArray[np.int32] | None = None


HyperplanesByPair = Mapping[tuple[int, int], Hyperplanes]
"""The SVMs of each pair of classes, one per fold."""


def score_pair(
    test: PairTest,
    features: NDArray[np.float32],
    cell: NDArray[np.int64],
    planes: Hyperplanes,
    unsolved: int = 0,
    donor: NDArray[np.int32] | None = None,
) -> PairScore:
    """Score a pair test: each crop is answered by the SVM of the fold that holds it out.

    Parameters
    ----------
    test
        The pair test.
    features
        Embeddings of its crops, shape (n, D).
    cell
        Row of each crop's cell in the store's `cells`, shape (n,).
    planes
        The SVM of each fold.
    unsolved
        Written into the score, by default 0.
    donor
        Donor unit of each crop, shape (n,); written into the score too, by default None.
    """
    correct, accuracies = _answers(features, test.second, test.fold, planes.weight, planes.bias)
    # Sums, not `mean` and `std`, which give the same in several times the time.
    mean = accuracies.sum() / test.number
    std = np.sqrt(((accuracies - mean) ** 2).sum() / test.number)
    ordered = np.sort(cell)
    n = 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
    return PairScore(
        *test.pair, test.background, float(mean), float(std), n, cell, correct, unsolved, donor
    )


@compiled
def _answers(
    features: NDArray[np.float32], second: NDArray[np.bool_], fold: NDArray[np.int64],
    weight: NDArray[np.float64], bias: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:  # fmt: skip
    """Answer each crop with the SVM of its fold.

    Returns
    -------
    correct : ndarray
        Whether each answer is right, shape (n,).
    accuracies : ndarray
        Share of right answers in each fold, shape (folds,).
    """
    n, width = features.shape
    correct, right, count = np.empty(n, np.bool_), np.zeros(len(bias)), np.zeros(len(bias))
    for i in range(n):
        held, reached = fold[i], 0.0
        for d in range(width):
            reached += features[i, d] * weight[held, d]
        correct[i] = (reached + bias[held] > 0) == second[i]
        right[held] += correct[i]
        count[held] += 1
    return correct, right / count


def each_test(
    crops: Crops, pair: tuple[int, int], backgrounds: Sequence[int], folds: Folds
) -> Iterator[PairTest]:
    """List a pair's tests, one for each background on which every fold has both classes.

    Parameters
    ----------
    crops
        Embeddings of the condition.
    pair
        First and second class.
    backgrounds
        Background classes; −1 stands for any, `CONFLICTING` for each class on the other's.
    folds
        Which cells are held out together.

    Yields
    ------
    PairTest
        In the order of `backgrounds`.
    """
    for background in backgrounds:
        if background == CONFLICTING:
            rows = np.concatenate([crops.rows(pair[0], pair[1]), crops.rows(pair[1], pair[0])])
        else:
            on = None if background < 0 else background
            rows = np.concatenate([crops.rows(pair[0], on), crops.rows(pair[1], on)])
        test = PairTest(
            pair, max(background, -1), rows, crops.classes[rows] == pair[1],
            folds.fold[crops.cell[rows]], folds.number,
        )  # fmt: skip
        if test.possible:
            yield test


_Asked = tuple[
    Crops,
    tuple[int, int],
    Sequence[int],
    Folds,
    bool,
    Hyperplanes | None,
    Solver,
    Sequence[Solutions],
]
"""The arguments of `_score_pair_tests`."""

_Answered = tuple[list[tuple[str, PairScore]], Hyperplanes | None]


def _score_pair_tests(
    crops: Crops,
    pair: tuple[int, int],
    backgrounds: Sequence[int],
    folds: Folds,
    unaltered: bool,
    frozen: Hyperplanes | None,
    solver: Solver,
    solved: Sequence[Solutions],
) -> tuple[list[tuple[str, PairScore]], Hyperplanes | None]:
    """Do every test of one pair, on each background under `refit` and then under `frozen`.

    The arguments are those of `pair_tests` for this pair; `unaltered` tells whether the crops are
    the unaltered ones, on which both protocols are the same, and `solved` has what `fit_together`
    gave for each test.

    Returns
    -------
    scores : list of (protocol, PairScore)
        In the order of the tests.
    planes : Hyperplanes or None
        The SVMs of the last test; None without tests.
    """
    scores: list[tuple[str, PairScore]] = []
    used = None
    for place, test in enumerate(each_test(crops, pair, backgrounds, folds)):
        ready = solved[place] if solver is Solver.BATCHED else None
        features, cell = crops.features[test.rows], crops.cell[test.rows]
        donor = None if crops.donor is None else crops.donor[test.rows]
        used, unsolved = fit_test(features, test, solver, ready)
        score = score_pair(test, features, cell, used, unsolved, donor)
        scores.append(("refit", score))
        if unaltered:
            scores.append(("frozen", replace(score, unsolved=0)))
        elif frozen is not None:
            scores.append(("frozen", score_pair(test, features, cell, frozen, 0, donor)))
    return scores, used


def pair_tests(
    crops: Crops,
    pairs: Sequence[tuple[int, int]],
    backgrounds: Mapping[tuple[int, int], Sequence[int]],
    folds: Folds,
    frozen: HyperplanesByPair | None,
    fitting: Fitting = ONE_CORE,
) -> tuple[list[tuple[str, PairScore]], dict[tuple[int, int], Hyperplanes]]:
    """Do all pair tests of one condition, under both protocols.

    Parameters
    ----------
    crops
        Embeddings of the condition.
    pairs
        Pairs of classes.
    backgrounds
        For each pair the background classes to test on; ``[-1]`` where none applies,
        ``[CONFLICTING]`` for each class on the other's.
    folds
        Which cells are held out together.
    frozen
        SVMs fitted on unaltered crops; None where these are the unaltered crops.
    fitting
        How and where the SVMs are fitted; by default by the shared solver in one thread.

    Returns
    -------
    scores : list of (protocol, PairScore)
        A pair that lacks a class in some fold is left out; one that `frozen` lacks has no
        ``"frozen"`` score.
    planes : dict
        The SVMs that were fitted here, by pair; of several backgrounds those of the last.

    Examples
    --------
    Forty cells of two classes that differ in the first number of their embedding, in two folds:

    >>> import numpy as np
    >>> from compute.backgrounds.folds import deal
    >>> cell, classes = np.arange(40), np.repeat([0, 1], 20)
    >>> features = np.stack([classes, cell % 2], 1).astype(np.float32)
    >>> folds = deal("paper", 2, classes, np.full(40, "protein"), classes >= 0, 2, seed=0)
    >>> crops = Crops(features, cell, classes, background=np.full(40, -1))
    >>> scores, planes = pair_tests(crops, [(0, 1)], {(0, 1): [-1]}, folds, frozen=None)
    >>> [(protocol, score.accuracy, score.n) for protocol, score in scores]
    [('refit', 1.0, 40), ('frozen', 1.0, 40)]
    >>> planes[0, 1].weight.shape
    (2, 2)
    """
    solved: list[list[Solutions]] = [[] for _ in pairs]

    # Two threads of the linear algebra would fight over the cores, and might round differently.
    with threadpool_limits(1):
        if fitting.solver is Solver.BATCHED:
            solved = _solve_together(crops, pairs, backgrounds, folds, fitting.device)
        work = [
            (
                crops, pair, backgrounds[pair], folds, frozen is None, (frozen or {}).get(pair),
                fitting.solver, ready,
            )
            for pair, ready in zip(pairs, solved, strict=True)
        ]  # fmt: skip
        if fitting.solver is Solver.REFERENCE:  # which holds the interpreter's lock
            done = Parallel(fitting.jobs)(delayed(_score_pair_tests)(*given) for given in work)
        else:
            done = _in_threads(work, fitting.jobs)
    scores = [score for some, _ in done for score in some]
    fitted = {pair: used for pair, (_, used) in zip(pairs, done, strict=True) if used}
    return scores, fitted


def _in_threads(work: Sequence[_Asked], jobs: int) -> list[_Answered]:
    """Do the tests of every pair in threads, each of which takes the next pair that is left."""
    left = iter(range(len(work)))
    done: dict[int, _Answered] = {}

    def some(_: int) -> None:
        for place in left:
            done[place] = _score_pair_tests(*work[place])

    with ThreadPoolExecutor(jobs) as threads:
        try:
            deque(threads.map(some, range(jobs)))
        finally:
            deque(left, 0)  # where one has failed, or is interrupted, the others stop
    return [done[place] for place in range(len(work))]


def _solve_together(
    crops: Crops,
    pairs: Sequence[tuple[int, int]],
    backgrounds: Mapping[tuple[int, int], Sequence[int]],
    folds: Folds,
    device: str,
) -> list[list[Solutions]]:
    """Fit the SVMs of all pairs in batches; return them by pair, and within it by test."""
    tests = [list(each_test(crops, pair, backgrounds[pair], folds)) for pair in pairs]
    found = iter(fit_together(crops.features, [test for some in tests for test in some], device))
    return [[next(found) for _ in some] for some in tests]
