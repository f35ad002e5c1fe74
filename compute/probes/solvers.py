"""How the SVMs of pair tests are fitted: three solvers of one problem. Pure arrays, no files.

A pair test takes one linear SVM (C = 1) for each of its folds, as in Gupta, Moses and Lu (2025).
An SVM that a fast solver does not bring to scikit-learn's tolerance is fitted again by
scikit-learn, and counted.
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
    """The solvers of pair tests; `SOLVERS` says what each does."""

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
        One of `Solver`, by default the shared one.
    jobs
        Threads of the shared solver, or for what the batched solver leaves to scikit-learn;
        processes of the reference. By default 1. No result depends on it.
    device
        PyTorch's name of the device of the batched solver, by default the CPU.
    """

    solver: Solver = Solver.SHARED
    jobs: int = 1
    device: str = "cpu"

    @classmethod
    def on(cls, device: str, jobs: int = 1) -> Self:
        """Choose the fastest solver for a device: batched on CUDA, shared elsewhere.

        MPS has no 64-bit numbers, which the batched solver needs, and on a CPU the shared one is
        faster.

        Parameters
        ----------
        device
            PyTorch's name of it, such as ``"cuda:1"``.
        jobs
            As in `Fitting`.
        """
        batched = device.partition(":")[0] == "cuda"
        return cls(Solver.BATCHED if batched else Solver.SHARED, jobs, device)


ONE_CORE = Fitting()
"""The shared solver in this thread."""


@dataclass(frozen=True)
class Hyperplanes:
    """The linear SVMs of a pair test; a positive score means the pair's second class.

    Parameters
    ----------
    weight
        Weights of each fold's SVM, shape (folds, D).
    bias
        Its intercept, shape (folds,).
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]


@dataclass(frozen=True)
class PairTest:
    """One pair of classes on one background: which crops are told apart, and in which folds.

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
        """Whether every fold holds out crops of both classes."""
        place = 2 * self.fold + self.second
        return bool(np.bincount(place, minlength=2 * self.number).all())


def fit_pair(
    features: NDArray[np.floating[Any]], second: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float]:
    """Fit one linear SVM with scikit-learn, as the paper does.

    Parameters
    ----------
    features
        Embeddings to learn from, shape (n, D).
    second
        Which of them are of the pair's second class, shape (n,).

    Returns
    -------
    weight : ndarray
        Shape (D,).
    bias : float
        The intercept.
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
        Which solver fits them.
    solved
        The test's SVMs from `fit_together`, where the solver is the batched one.

    Returns
    -------
    planes : Hyperplanes
        One SVM per fold.
    unsolved : int
        How many of them the solver left to the reference; 0 for the reference itself.
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
        The pair tests; `PairTest.rows` says which embeddings each takes.
    device
        PyTorch's name of a device that has 64-bit numbers.

    Returns
    -------
    list of Solutions
        For each test one SVM per fold.

    Raises
    ------
    UsageError
        The device has no 64-bit numbers.
    BystanderError
        Its memory does not hold the embeddings, or not even one SVM.
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
