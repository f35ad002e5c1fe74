"""Pair tests on embeddings. Pure arrays, no files.

A pair test asks a linear SVM which of two localizations a held-out crop shows, as in Gupta, Moses
and Lu (2025). Which solver fits the SVMs is a `Fitting`.
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

from compute.probes.folds import Folds
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
"""Stands for each class on the other's background."""


@dataclass(frozen=True)
class Crops:
    """Embeddings of the crops of one condition that stand in pair tests; n rows.

    Parameters
    ----------
    features
        Shape (n, D).
    cell
        Row in the store's `cells`, shape (n,).
    classes
        Class of the cell, shape (n,).
    background
        Class of the background, −1 where none applies, shape (n,).
    """

    features: NDArray[np.float32]
    cell: NDArray[np.int64]
    classes: NDArray[np.int64]
    background: NDArray[np.int64]

    @cached_property
    def _rows(self) -> dict[tuple[int, int | None], NDArray[np.int64]]:
        """The rows of each class, on any background and on each, ascending."""
        found: dict[tuple[int, int | None], NDArray[np.int64]] = {}
        for of in np.unique(self.classes).tolist():
            here = np.flatnonzero(self.classes == of)
            found[of, None] = here
            for on in np.unique(self.background[here]).tolist():
                found[of, on] = here[self.background[here] == on]
        return found

    def rows(self, of: int, on: int | None = None) -> NDArray[np.int64]:
        """Return the rows of a class, on one background class or on any."""
        return self._rows.get((of, on), np.zeros(0, np.int64))


@dataclass(frozen=True)
class PairScore:
    """Held-out answers in one pair test.

    Parameters
    ----------
    first, second, background
        Classes; background is −1 where none applies.
    accuracy, std
        Mean and standard deviation over folds.
    n
        Distinct cells tested.
    cell, correct
        Every held-out answer, shape (answers,).
    unsolved
        Folds that the solver left to the reference.
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


Frozen = Mapping[tuple[int, int], Hyperplanes]
"""Per pair of classes, the SVMs fitted on unaltered crops."""


def score_pair(
    test: PairTest,
    features: NDArray[np.float32],
    cell: NDArray[np.int64],
    planes: Hyperplanes,
    unsolved: int = 0,
) -> PairScore:
    """Score a pair test, each cell by the fold that has not seen it.

    Parameters
    ----------
    test
        The pair test.
    features
        Embeddings of its crops, shape (n, D).
    cell
        Cells of its crops, shape (n,).
    planes
        The SVM of each fold.
    unsolved
        Written into the score.
    """
    correct, accuracies = _answers(features, test.second, test.fold, planes.weight, planes.bias)
    # Sums, not `mean` and `std`, which give the same in several times the time.
    mean = accuracies.sum() / test.number
    std = np.sqrt(((accuracies - mean) ** 2).sum() / test.number)
    ordered = np.sort(cell)
    n = 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
    return PairScore(
        *test.pair, test.background, float(mean), float(std), n, cell, correct, unsolved
    )


@compiled
def _answers(
    features: NDArray[np.float32], second: NDArray[np.bool_], fold: NDArray[np.int64],
    weight: NDArray[np.float64], bias: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:  # fmt: skip
    """Ask of each crop the plane of its own fold; give what was right, and its share by fold."""
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
    """List a pair's tests, on each background on which both classes are in every fold."""
    number = folds.number(*pair)
    for background in backgrounds:
        if background == CONFLICTING:
            rows = np.concatenate([crops.rows(pair[0], pair[1]), crops.rows(pair[1], pair[0])])
        else:
            on = None if background < 0 else background
            rows = np.concatenate([crops.rows(pair[0], on), crops.rows(pair[1], on)])
        test = PairTest(
            pair, max(background, -1), rows, crops.classes[rows] == pair[1],
            folds.rank[crops.cell[rows]] % number, number,
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
    """Do every test of one pair: refit, then frozen, on each background."""
    scores: list[tuple[str, PairScore]] = []
    used = None
    for place, test in enumerate(each_test(crops, pair, backgrounds, folds)):
        ready = solved[place] if solver is Solver.BATCHED else None
        features, cell = crops.features[test.rows], crops.cell[test.rows]
        used, unsolved = fit_test(features, test, solver, ready)
        score = score_pair(test, features, cell, used, unsolved)
        scores.append(("refit", score))
        if unaltered:
            scores.append(("frozen", replace(score, unsolved=0)))
        elif frozen is not None:
            scores.append(("frozen", score_pair(test, features, cell, frozen)))
    return scores, used


def pair_tests(
    crops: Crops,
    pairs: Sequence[tuple[int, int]],
    backgrounds: Mapping[tuple[int, int], Sequence[int]],
    folds: Folds,
    frozen: Frozen | None,
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
        Who is held out with whom.
    frozen
        SVMs fitted on unaltered crops; None where these are the unaltered crops.
    fitting
        How and where the SVMs are fitted.

    Returns
    -------
    list of (protocol, PairScore)
        A pair that lacks a class in some fold is left out; one that `frozen` lacks has no
        ``"frozen"`` score.
    dict
        The SVMs fitted here.
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
    """Do the tests of every pair; each thread takes the next pair that is left."""
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
    """Fit the SVMs of all pairs in batches; give them for each pair and test."""
    tests = [list(each_test(crops, pair, backgrounds[pair], folds)) for pair in pairs]
    found = iter(fit_together(crops.features, [test for some in tests for test in some], device))
    return [[next(found) for _ in some] for some in tests]
