"""Linear probes on embeddings: pair tests and the multi-class probe. Pure arrays, no files.

A pair test asks a linear SVM (C = 1) which of two localizations a held-out crop shows, as in
Gupta, Moses and Lu (2025). The multi-class probe is multinomial logistic regression on
standardised features; it gives the localization distributions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from compute.folds import Folds

C = 1.0
"""Inverse regularisation of both probes (the paper's SVM)."""

MAX_ITERATIONS = 1000


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

    def rows(self, of: int, on: int | None = None) -> NDArray[np.int64]:
        """Return the rows of a class, on one background class or on any."""
        here = self.classes == of
        return np.flatnonzero(here if on is None else here & (self.background == on))


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
    """

    first: int
    second: int
    background: int
    accuracy: float
    std: float
    n: int
    cell: NDArray[np.int64]
    correct: NDArray[np.bool_]


Frozen = Mapping[tuple[int, int], Sequence[Hyperplane]]
"""Per pair of classes, the SVM of each fold, fitted on unaltered crops."""


def score_pair(
    crops: Crops,
    rows: NDArray[np.int64],
    pair: tuple[int, int],
    background: int,
    folds: Folds,
    frozen: Sequence[Hyperplane] | None,
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
    correct = np.zeros(len(rows), bool)
    used: list[Hyperplane] = []
    accuracies = []
    for held in range(number):
        test = fold == held
        plane = frozen[held] if frozen else fit_pair(features[~test], second[~test])
        correct[test] = plane(features[test]) == second[test]
        used.append(plane)
        accuracies.append(correct[test].mean())
    cell = crops.cell[rows]
    score = PairScore(
        *pair, background, float(np.mean(accuracies)), float(np.std(accuracies)),
        len(np.unique(cell)), cell, correct,
    )  # fmt: skip
    return score, used


def _tests_of_pair(
    crops: Crops, pair: tuple[int, int], backgrounds: Sequence[int], folds: Folds, frozen: Any
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
        score, used = score_pair(crops, rows, pair, label, folds, None)
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
    return all(len(np.unique(fold[crops.classes[rows] == k])) == number for k in pair)


def pair_tests(
    crops: Crops,
    pairs: Sequence[tuple[int, int]],
    backgrounds: Mapping[tuple[int, int], Sequence[int]],
    folds: Folds,
    frozen: Frozen | None,
    jobs: int = 1,
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
        Processes.

    Returns
    -------
    list of (protocol, PairScore)
        A pair that lacks a class in some fold is left out; one that `frozen` lacks has no
        ``"frozen"`` score.
    dict
        The SVMs fitted here.
    """
    done = Parallel(n_jobs=jobs, batch_size="auto")(
        delayed(_tests_of_pair)(
            crops, pair, backgrounds[pair], folds, None if frozen is None else frozen.get(pair, [])
        )
        for pair in pairs
    )
    scores = [score for some, _ in done for score in some]
    fitted = {pair: used for pair, (_, used) in zip(pairs, done, strict=True) if used}
    return scores, fitted


@dataclass(frozen=True)
class Multiclass:
    """A multi-class probe: one classifier per fold.

    Parameters
    ----------
    classifiers
        Standardisation and logistic regression, one per fold.
    n_classes
        Columns of the probabilities; classes never seen have probability 0.
    folds
        Who is held out with whom.
    """

    classifiers: Sequence[Pipeline]
    n_classes: int
    folds: Folds

    def __call__(
        self, features: NDArray[np.float32], cell: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return class probabilities, each cell's from the fold that has not seen it.

        Cells that are in no fold (several localizations, or none known) get the mean over folds.

        Parameters
        ----------
        features
            Shape (n, D).
        cell
            Rows in the store's `cells`, shape (n,).

        Returns
        -------
        ndarray
            Shape (n, classes), rows summing to 1.
        """
        number = len(self.classifiers)
        rank = self.folds.rank[cell]
        result = np.zeros((len(cell), self.n_classes), np.float64)
        for held, classifier in enumerate(self.classifiers):
            rows = np.flatnonzero((rank < 0) | (rank % number == held))
            if len(rows) == 0:
                continue
            weight = np.where(rank[rows] < 0, 1 / number, 1)[:, None]
            known = classifier.classes_
            result[rows[:, None], known] += weight * classifier.predict_proba(features[rows])
        return (result / result.sum(1, keepdims=True)).astype(np.float32)


def fit_multiclass(
    features: NDArray[np.float32],
    cell: NDArray[np.int64],
    classes: NDArray[np.int64],
    folds: Folds,
    n_classes: int,
) -> Multiclass:
    """Fit the multi-class probe, once per fold on the other folds' cells.

    Parameters
    ----------
    features
        One crop per cell, shape (n, D); only cells of testable classes.
    cell
        Rows in the store's `cells`, shape (n,).
    classes
        Class of each, shape (n,).
    folds
        Who is held out with whom.
    n_classes
        Number of classes in the store.
    """
    number = folds.number(*np.unique(classes))
    fold = folds.rank[cell] % number
    classifiers = [
        make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=MAX_ITERATIONS)).fit(
            features[fold != held], classes[fold != held]
        )
        for held in range(number)
    ]
    return Multiclass(classifiers, n_classes, folds)
