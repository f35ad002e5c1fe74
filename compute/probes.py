"""Pair tests on embeddings. Pure arrays, no files.

A pair test asks a linear SVM which of two localizations a held-out crop shows, as in Gupta, Moses
and Lu (2025). Which solver fits the SVMs is a `Fitting`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from compute.folds import Folds
from compute.pair_fits import (
    ONE_CORE,
    Fitting,
    Hyperplane,
    PairTest,
    Solved,
    Solver,
    fit_test,
    fit_together,
)

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


Frozen = Mapping[tuple[int, int], Sequence[Hyperplane]]
"""Per pair of classes, the SVM of each fold, fitted on unaltered crops."""


def score_pair(
    test: PairTest,
    features: NDArray[np.float32],
    cell: NDArray[np.int64],
    planes: Sequence[Hyperplane],
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
    # One product for all folds; of each crop only the answer of its own fold is taken.
    weight = np.array([plane.weight for plane in planes])
    answer = features @ weight.T + np.array([plane.bias for plane in planes])
    correct = (answer[np.arange(len(cell)), test.fold] > 0) == test.second
    right = np.bincount(test.fold, correct, test.number)
    accuracies = right / np.bincount(test.fold, minlength=test.number)
    return PairScore(
        *test.pair, test.background, float(accuracies.mean()), float(accuracies.std()),
        int(np.count_nonzero(np.diff(np.sort(cell)))) + 1, cell, correct, unsolved,
    )  # fmt: skip


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


def _score_pair_tests(
    crops: Crops,
    pair: tuple[int, int],
    backgrounds: Sequence[int],
    folds: Folds,
    frozen: Sequence[Hyperplane] | None,
    solver: Solver,
    solved: Sequence[Solved],
) -> tuple[list[tuple[str, PairScore]], list[Hyperplane]]:
    """Do every test of one pair: refit, then frozen, on each background."""
    scores: list[tuple[str, PairScore]] = []
    used: list[Hyperplane] = []
    for place, test in enumerate(each_test(crops, pair, backgrounds, folds)):
        ready = solved[place] if solver is Solver.BATCHED else None
        features, cell = crops.features[test.rows], crops.cell[test.rows]
        used, unsolved = fit_test(features, test, solver, ready)
        scores.append(("refit", score_pair(test, features, cell, used, unsolved)))
        planes = used if frozen is None else frozen
        if planes:
            scores.append(("frozen", score_pair(test, features, cell, planes)))
    return scores, used


def pair_tests(
    crops: Crops,
    pairs: Sequence[tuple[int, int]],
    backgrounds: Mapping[tuple[int, int], Sequence[int]],
    folds: Folds,
    frozen: Frozen | None,
    fitting: Fitting = ONE_CORE,
) -> tuple[list[tuple[str, PairScore]], dict[tuple[int, int], Sequence[Hyperplane]]]:
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
    solved: list[list[Solved]] = [[] for _ in pairs]
    # The fast solvers let other threads run meanwhile; the paper's plain loop needs processes.
    backend = "loky" if fitting.solver is Solver.REFERENCE else "threading"
    # Two threads of the linear algebra would fight over the cores, and might round differently.
    with threadpool_limits(1):
        if fitting.solver is Solver.BATCHED:
            solved = _solve_together(crops, pairs, backgrounds, folds, fitting.device)
        done = Parallel(n_jobs=fitting.jobs, batch_size="auto", backend=backend)(
            delayed(_score_pair_tests)(
                crops, pair, backgrounds[pair], folds,
                None if frozen is None else frozen.get(pair, []), fitting.solver, ready,
            )
            for pair, ready in zip(pairs, solved, strict=True)
        )  # fmt: skip
    scores = [score for some, _ in done for score in some]
    fitted = {pair: used for pair, (_, used) in zip(pairs, done, strict=True) if used}
    return scores, fitted


def _solve_together(
    crops: Crops,
    pairs: Sequence[tuple[int, int]],
    backgrounds: Mapping[tuple[int, int], Sequence[int]],
    folds: Folds,
    device: str,
) -> list[list[Solved]]:
    """Fit the SVMs of all pairs in batches; give them for each pair and test."""
    tests = [list(each_test(crops, pair, backgrounds[pair], folds)) for pair in pairs]
    found = iter(fit_together(crops.features, [test for some in tests for test in some], device))
    return [[next(found) for _ in some] for some in tests]
