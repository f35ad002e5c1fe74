"""The multi-class probe: logistic regression on standardised embeddings. Pure arrays, no files.

It answers with probabilities of localizations; each cell is answered by the fold that holds it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from compute.backgrounds.folds import Folds
from compute.probes.config import C as C

TOLERANCE = 1e-5
"""Largest slope at which the logistic regression stops. At scikit-learn's 1e-4 two fits to crops
that hardly differ ended up to 0.01 of probability apart; p-values of shifts told them apart."""

MAX_ITERATIONS = 1000
"""Most steps of the logistic regression."""


@dataclass(frozen=True)
class Softmax:
    """A fitted multinomial logistic regression, with standardisation folded into its weights.

    Parameters
    ----------
    weight
        Shape (D, known classes).
    bias
        Shape (known classes,).
    known
        Classes that it was fitted on, ascending, shape (known classes,).
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    known: NDArray[np.int64]

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probabilities of the known classes, shape (n, known classes).

        Parameters
        ----------
        features
            Embeddings, shape (n, D).
        """
        scores = features @ self.weight + self.bias
        scores = np.exp(scores - scores.max(1, keepdims=True))
        return scores / scores.sum(1, keepdims=True)


@dataclass(frozen=True)
class TrainingCrops:
    """What a multi-class probe learns from: n crops of cells of testable classes, mostly one each.

    Parameters
    ----------
    features
        Embeddings, shape (n, D).
    cell
        Row of each crop's cell in the store's `cells`, shape (n,).
    classes
        Class of each, shape (n,).
    weight
        How much each counts, shape (n,); None, the default, for all alike.
    """

    features: NDArray[np.float32]
    cell: NDArray[np.int64]
    classes: NDArray[np.int64]
    weight: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Multiclass:
    """A multi-class probe: one classifier per fold.

    Parameters
    ----------
    classifiers
        One per fold.
    n_classes
        Number of classes in the store; those that no classifier knows have probability 0.
    folds
        Which cells are held out together.
    """

    classifiers: Sequence[Softmax]
    n_classes: int
    folds: Folds

    def __call__(
        self, features: NDArray[np.float32], cell: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return class probabilities, each cell's from the fold that holds it out.

        Parameters
        ----------
        features
            Embeddings, shape (n, D).
        cell
            Row of each crop's cell in the store's `cells`, shape (n,).

        Returns
        -------
        ndarray
            Shape (n, classes), rows summing to 1.
        """
        fold = self.folds.fold[cell]
        result = np.zeros((len(cell), self.n_classes), np.float64)
        for held, classifier in enumerate(self.classifiers):
            rows = np.flatnonzero(fold == held)
            if len(rows):
                result[rows[:, None], classifier.known] = classifier(features[rows])
        return (result / result.sum(1, keepdims=True)).astype(np.float32)


def fit_multiclass(
    crops: TrainingCrops,
    folds: Folds,
    n_classes: int,
    start: Multiclass | None = None,
    strengths: Sequence[float] | None = None,
) -> Multiclass | None:
    """Fit the multi-class probe, once per fold on the other folds' cells.

    Parameters
    ----------
    crops
        What it learns from.
    folds
        Which cells are held out together.
    n_classes
        Number of classes in the store.
    start
        A probe to start from, such as that of unaltered crops, which takes less time where crops
        are alike; by default none.
    strengths
        Inverse strength of each fold's regularisation; by default `C` in all.

    Returns
    -------
    Multiclass or None
        None where the crops are of fewer than two classes, or a fold leaves none to learn from. A
        fold that leaves one class knows, and answers, that one only.
    """
    fold = folds.fold[crops.cell]
    if len(np.unique(crops.classes)) < 2 or len(np.unique(fold)) < 2:
        return None
    # The matrices are too small for threads to pay, and one thread rounds alike on any machine.
    with threadpool_limits(1):
        classifiers = [
            fit_softmax(
                crops.features[fold != held],
                crops.classes[fold != held],
                start.classifiers[held] if start else None,
                weight=None if crops.weight is None else crops.weight[fold != held],
                c=C if strengths is None else strengths[held],
            )
            for held in range(folds.number)
        ]
    return Multiclass(classifiers, n_classes, folds)


def fit_softmax(
    features: NDArray[np.floating[Any]],
    classes: NDArray[np.int64],
    start: Softmax | None = None,
    *,
    weight: NDArray[np.float64] | None = None,
    c: float = C,
    scaled: bool = True,
) -> Softmax:
    """Fit one classifier; of one class only, one that always answers it.

    Parameters
    ----------
    features
        Embeddings, shape (n, D).
    classes
        Class of each, shape (n,).
    start
        A classifier to start from; by default none.
    weight
        How much each crop counts, in the standardisation too, shape (n,); by default all alike.
    c
        Inverse strength of the regularisation; `C` by default.
    scaled
        Whether embeddings are standardised, as they are by default.
    """
    if len(np.unique(classes)) == 1:
        return Softmax(np.zeros((features.shape[1], 1)), np.zeros(1), classes[:1])
    scaler = StandardScaler(with_mean=scaled, with_std=scaled).fit(features, sample_weight=weight)
    width = features.shape[1]
    mean, scale = (scaler.mean_, scaler.scale_) if scaled else (np.zeros(width), np.ones(width))
    model = LogisticRegression(C=c, max_iter=MAX_ITERATIONS, tol=TOLERANCE, warm_start=True)
    if start is not None and np.array_equal(start.known, np.unique(classes)):
        # Of two classes scikit-learn has weights for the second only, against the first.
        two = len(start.known) == 2
        first, bias = start.weight.T, start.bias
        if two:
            first, bias = first[1:] - first[:1], bias[1:] - bias[:1]
        model.classes_ = start.known
        model.coef_ = first * scale
        model.intercept_ = bias + first @ mean
    # Single precision stops short of the tolerance.
    model.fit(scaler.transform(features).astype(np.float64), classes, weight)
    found = model.coef_ / scale
    bias = model.intercept_ - found @ mean
    if len(found) == 1:
        found, bias = np.concatenate([0 * found, found]), np.append(0, bias)
    return Softmax(found.T.astype(np.float64), bias.astype(np.float64), model.classes_)
