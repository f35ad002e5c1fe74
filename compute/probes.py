"""Pair tests on embeddings. Pure arrays, no files.

A pair test asks a linear SVM (C = 1) which of two localizations a held-out crop shows, as in
Gupta, Moses and Lu (2025). The SVMs come from one of two solvers (`Solver`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from compute.folds import Folds
from compute.multiclass import C, Multiclass, fit_multiclass
from compute.pair_solver import fit_folds

__all__ = [
    "CONFLICTING",
    "C",
    "Crops",
    "Frozen",
    "Hyperplane",
    "Multiclass",
    "PairScore",
    "Solver",
    "fit_multiclass",
    "fit_pair",
    "pair_tests",
    "score_pair",
]


class Solver(StrEnum):
    """How the SVMs of pair tests are fitted."""

    SHARED = "shared"
    REFERENCE = "reference"


SOLVERS: dict[Solver, str] = {
    Solver.SHARED: "the folds of a pair test together (`compute.pair_solver`)",
    Solver.REFERENCE: "scikit-learn's SVC, one after the other, as in the paper",
}


@dataclass(frozen=True)
class Hyperplane:
    """A fitted linear SVM: positive is the pair's second class."""

    weight: NDArray[np.float64]
    bias: float

    def __call__(self, features: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Tell whether each row is of the second class."""
        return np.asarray(features @ self.weight + self.bias > 0)


def fit_pair(features: NDArray[np.floating[Any]], second: NDArray[np.bool_]) -> Hyperplane:
    """Fit a linear SVM.

    Parameters
    ----------
    features
        Shape (n, D).
    second
        Which rows are of the pair's second class, shape (n,).
    """
    svm = SVC(kernel="linear", C=C).fit(features, second)
    return Hyperplane(svm.coef_[0], float(svm.intercept_[0]))


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
        Folds that the shared solver left to the reference.
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
    crops: Crops,
    rows: NDArray[np.int64],
    pair: tuple[int, int],
    background: int,
    folds: Folds,
    frozen: Sequence[Hyperplane] | None,
    solver: Solver = Solver.SHARED,
) -> tuple[PairScore, list[Hyperplane]]:
    """Test one pair of classes on some rows, each cell by the fold that has not seen it.

    Parameters
    ----------
    crops, rows
        Which crops to take.
    pair
        First and second class.
    background
        Written into the score.
    folds
        Who is held out with whom.
    frozen
        SVMs fitted before, one per fold; None fits them here, on the other folds' rows.
    solver
        How they are fitted.

    Returns
    -------
    PairScore
        Held-out answers.
    list of Hyperplane
        The SVMs that were used.
    """
    number = folds.number(*pair)
    second = crops.classes[rows] == pair[1]
    fold = folds.rank[crops.cell[rows]] % number
    features = crops.features[rows]
    used, unsolved = (list(frozen), 0) if frozen else _fit(features, second, fold, number, solver)
    # One product for all folds; of each crop only the answer of its own fold is taken.
    weight = np.array([plane.weight for plane in used])
    answer = features @ weight.T + np.array([plane.bias for plane in used])
    correct = (answer[np.arange(len(rows)), fold] > 0) == second
    accuracies = np.bincount(fold, correct, number) / np.bincount(fold, minlength=number)
    cell = crops.cell[rows]
    score = PairScore(
        *pair, background, float(accuracies.mean()), float(accuracies.std()),
        len(np.unique(cell)), cell, correct, unsolved,
    )  # fmt: skip
    return score, used


def _fit(
    features: NDArray[np.float32],
    second: NDArray[np.bool_],
    fold: NDArray[np.int64],
    number: int,
    solver: Solver,
) -> tuple[list[Hyperplane], int]:
    """Fit the SVM of every fold; what the shared solver cannot solve goes to the reference.

    Returns
    -------
    list of Hyperplane
        One per fold.
    int
        How many the shared solver tried in vain.
    """
    planes: list[Hyperplane | None] = [None] * number
    unsolved = 0
    if solver is Solver.SHARED:
        found = fit_folds(features, second, fold, number, C)
        planes = [
            Hyperplane(weight, float(bias)) if good else None
            for weight, bias, good in zip(found.weight, found.bias, found.converged, strict=True)
        ]
        unsolved = planes.count(None)
    fitted = [
        plane or fit_pair(features[fold != held], second[fold != held])
        for held, plane in enumerate(planes)
    ]
    return fitted, unsolved


def _tests_of_pair(
    crops: Crops,
    pair: tuple[int, int],
    backgrounds: Sequence[int],
    folds: Folds,
    frozen: Any,
    solver: Solver,
) -> tuple[list[tuple[str, PairScore]], list[Hyperplane]]:
    """Do every test of one pair: refit, then frozen, on each background."""
    scores: list[tuple[str, PairScore]] = []
    used: list[Hyperplane] = []
    for background in backgrounds:
        if background == CONFLICTING:
            rows = np.concatenate([crops.rows(pair[0], pair[1]), crops.rows(pair[1], pair[0])])
        else:
            on = None if background < 0 else background
            rows = np.concatenate([crops.rows(pair[0], on), crops.rows(pair[1], on)])
        if not _testable(crops, rows, pair, folds):
            continue
        label = -1 if background == CONFLICTING else background
        score, used = score_pair(crops, rows, pair, label, folds, None, solver)
        scores.append(("refit", score))
        planes = used if frozen is None else frozen
        if planes:
            scores.append(("frozen", score_pair(crops, rows, pair, label, folds, planes)[0]))
    return scores, used


CONFLICTING = -2
"""Stands for each class on the other's background."""


def _testable(crops: Crops, rows: NDArray[np.int64], pair: tuple[int, int], folds: Folds) -> bool:
    """Tell whether both classes are there in every fold."""
    number = folds.number(*pair)
    fold = folds.rank[crops.cell[rows]] % number
    place = 2 * fold + (crops.classes[rows] == pair[1])
    return bool(np.bincount(place, minlength=2 * number).all())


def pair_tests(
    crops: Crops,
    pairs: Sequence[tuple[int, int]],
    backgrounds: Mapping[tuple[int, int], Sequence[int]],
    folds: Folds,
    frozen: Frozen | None,
    jobs: int = 1,
    solver: Solver = Solver.SHARED,
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
    jobs
        Threads of the shared solver, processes of the reference. No result depends on it.
    solver
        How the SVMs are fitted.

    Returns
    -------
    list of (protocol, PairScore)
        A pair that lacks a class in some fold is left out; one that `frozen` lacks has no
        ``"frozen"`` score.
    dict
        The SVMs fitted here.
    """
    # The shared solver is compiled and lets other threads run; SVC needs processes.
    backend = "threading" if solver is Solver.SHARED else "loky"
    # Two threads of the linear algebra would fight over the cores, and might round differently.
    with threadpool_limits(1):
        done = Parallel(n_jobs=jobs, batch_size="auto", backend=backend)(
            delayed(_tests_of_pair)(
                crops, pair, backgrounds[pair], folds,
                None if frozen is None else frozen.get(pair, []), solver,
            )
            for pair in pairs
        )  # fmt: skip
    scores = [score for some, _ in done for score in some]
    fitted = {pair: used for pair, (_, used) in zip(pairs, done, strict=True) if used}
    return scores, fitted
