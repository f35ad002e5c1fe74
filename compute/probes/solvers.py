"""How the SVMs of pair tests are fitted: three solvers of one problem. Pure arrays, no files.

A linear SVM (C = 1) as in Gupta, Moses and Lu (2025), one for each fold of a pair test. What a fast
solver does not bring to scikit-learn's tolerance goes to scikit-learn, and is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from compute.probes.multiclass import C
from compute.probes.svm_folds import Solutions, fit_folds


class Solver(StrEnum):
    """How the SVMs of pair tests are fitted."""

    SHARED = "shared"
    BATCHED = "batched"
    REFERENCE = "reference"


SOLVERS: dict[Solver, str] = {
    Solver.SHARED: "the folds of a pair test together, on CPUs (`compute.probes.svm_folds`)",
    Solver.BATCHED: "the SVMs of many pair tests at once, on a GPU (`compute.probes.svm_batched`)",
    Solver.REFERENCE: "scikit-learn's SVC, one after the other, as in the paper",
}


@dataclass(frozen=True)
class Fitting:
    """How and where pair tests are fitted.

    Parameters
    ----------
    solver
        One of `Solver`.
    jobs
        Threads of the shared solver, processes of the reference, threads for what the batched one
        leaves. No result depends on it.
    device
        PyTorch's name of the device of the batched solver.
    """

    solver: Solver = Solver.SHARED
    jobs: int = 1
    device: str = "cpu"

    @classmethod
    def on(cls, device: str, jobs: int = 1) -> Self:
        """Choose the solver for a device: MPS has no 64-bit numbers, and CPUs have a faster one."""
        batched = device.partition(":")[0] == "cuda"
        return cls(Solver.BATCHED if batched else Solver.SHARED, jobs, device)


ONE_CORE = Fitting()
"""The shared solver in this thread."""


@dataclass(frozen=True)
class Hyperplanes:
    """The fitted linear SVMs of a pair test, one per fold: positive is the pair's second class.

    `weight` has the shape (folds, D), `bias` (folds,).
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]


@dataclass(frozen=True)
class PairTest:
    """One pair of classes on one background.

    Parameters
    ----------
    pair
        First and second class.
    background
        Class of the background; −1 where none applies.
    rows
        Crops of both classes, rows of the condition's embeddings, shape (n,).
    second
        Which of them are of the second class, shape (n,).
    fold
        Fold in which each is held out, shape (n,).
    number
        Number of folds.
    """

    pair: tuple[int, int]
    background: int
    rows: NDArray[np.int64]
    second: NDArray[np.bool_]
    fold: NDArray[np.int64]
    number: int

    @property
    def possible(self) -> bool:
        """Whether both classes are there in every fold."""
        place = 2 * self.fold + self.second
        return bool(np.bincount(place, minlength=2 * self.number).all())


def fit_pair(
    features: NDArray[np.floating[Any]], second: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float]:
    """Fit a linear SVM as the paper does; give its weights (D,) and its intercept.

    Parameters
    ----------
    features
        Shape (n, D).
    second
        Which rows are of the pair's second class, shape (n,).
    """
    svm = SVC(kernel="linear", C=C).fit(features, second)
    return svm.coef_[0], float(svm.intercept_[0])


def fit_test(
    features: NDArray[np.float32], test: PairTest, solver: Solver, solved: Solutions | None = None
) -> tuple[Hyperplanes, int]:
    """Fit the SVM of every fold of one pair test.

    Parameters
    ----------
    features
        Embeddings of its crops, shape (n, D).
    test
        The pair test.
    solver
        How.
    solved
        What `fit_together` gave, where the solver is the batched one.

    Returns
    -------
    Hyperplanes
        One per fold.
    int
        How many the solver left to the reference.
    """
    if solver is Solver.SHARED:
        solved = fit_folds(features, test.second, test.fold, test.number, C)
    if solved is None:
        weight, bias = np.empty((test.number, features.shape[1])), np.empty(test.number)
        left = np.arange(test.number)
    else:
        weight, bias, left = solved.weight, solved.bias, np.flatnonzero(~solved.converged)
    for held in left:
        train = test.fold != held
        weight[held], bias[held] = fit_pair(features[train], test.second[train])
    return Hyperplanes(weight, bias), 0 if solver is Solver.REFERENCE else len(left)


def fit_together(
    features: NDArray[np.float32], tests: Sequence[PairTest], device: str
) -> list[Solutions]:
    """Fit the SVMs of all pair tests of a condition in batches, on a device.

    Parameters
    ----------
    features
        Embeddings of all crops of the condition, shape (N, D).
    tests
        Which of them to take for each.
    device
        PyTorch's name of it.

    Returns
    -------
    list
        For each test, what was solved.
    """
    from compute.probes.svm_batched import (  # PyTorch, which no other solver needs
        Problem,
        fit_batched,
    )

    problems = [
        Problem(test.rows, test.second, test.fold, held)
        for test in tests
        for held in range(test.number)
    ]
    found = fit_batched(features, problems, C, device)
    ends = np.cumsum([test.number for test in tests])[:-1]
    parts = (np.split(part, ends) for part in (found.weight, found.bias, found.kkt_violation))
    return [Solutions(*part) for part in zip(*parts, strict=True)] if tests else []
