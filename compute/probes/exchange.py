"""How a refitted probe would have moved had conditions been exchanged among its training cells.

Layer: pure arrays, no files. Under `refit` each condition has a probe of its own, fitted on other
crops of the same cells. So two probes differ even where backgrounds do nothing. If they do nothing,
the unaltered crop and that of the condition can be exchanged in any training cell. Each random
exchange gives another pair of probes; to refit all of them would take too long, so each is found by
one Newton step from halfway between the two probes that were fitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from compute.probes.multiclass import C, Multiclass, Softmax, TrainingCrops

TOLERANCE = 1e-2
"""Residual of the conjugate gradients, as a share of the right-hand side, at which they stop."""

MOST_STEPS = 200
"""Most of their steps."""

_FREE = 1e-6
"""Regularisation of biases, which have none: it keeps their common level where it is."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Exchanged:
    """The multi-class probes of two conditions, and their moves under R exchanges.

    Parameters
    ----------
    fitted
        The two probes.
    middle
        The probe halfway between the two that were fitted, one per fold.
    weight
        How its weights move with each exchange, shape (D, known classes, R), one per fold.
    bias
        How its biases move, shape (known classes, R), one per fold.
    """

    fitted: tuple[Multiclass, Multiclass]
    middle: Sequence[Softmax]
    weight: Sequence[Array]
    bias: Sequence[Array]

    def both(self, features: NDArray[np.float32], cell: NDArray[np.int64]) -> Array:
        """Return the mean of both probes' probabilities of each crop, shape (n, classes)."""
        first, second = (probe(features, cell) for probe in self.fitted)
        return np.asarray((first + second) / 2, np.float32)

    def __call__(self, features: NDArray[np.float32], cell: NDArray[np.int64]) -> Array:
        """Return how each crop's probabilities move, each cell's by the fold that holds it out.

        Parameters
        ----------
        features
            Embeddings, shape (n, D).
        cell
            Row of each crop's cell in the store's `cells`, shape (n,).

        Returns
        -------
        ndarray
            Shape (n, R, classes): the second probe's probabilities minus the first's, to first
            order, had training cells been exchanged.
        """
        fold = self.fitted[0].folds.fold[cell]
        shape = (len(cell), self.bias[0].shape[1], self.fitted[0].n_classes)
        found = np.zeros(shape, np.float32)
        for held, (middle, weight, bias) in enumerate(
            zip(self.middle, self.weight, self.bias, strict=True)
        ):
            rows = np.flatnonzero(fold == held)
            if len(rows):
                p = middle(features[rows]).astype(np.float32)
                scores = _times(features[rows], weight) + bias
                found[np.ix_(rows, np.arange(found.shape[1]), middle.known)] = _slope(
                    p, scores
                ).swapaxes(1, 2)
        return found


def fit_exchanged(
    crops: tuple[TrainingCrops, TrainingCrops],
    fitted: tuple[Multiclass, Multiclass],
    exchanges: int,
    seed: int,
) -> Exchanged | None:
    """Find how a pair of probes moves under random exchanges of their training crops.

    Parameters
    ----------
    crops
        What the two were fitted on, unaltered and under a condition. Cells that only one of them
        has keep their crop.
    fitted
        The two probes.
    exchanges
        Number of random exchanges, R.
    seed
        Seed of the exchanges, any integer ≥ 0.

    Returns
    -------
    Exchanged or None
        None where the two know different classes in a fold, so that they differ by more than their
        crops.
    """
    folds = fitted[0].folds
    pairs = list(zip(fitted[0].classifiers, fitted[1].classifiers, strict=True))
    if not all(np.array_equal(one.known, two.known) for one, two in pairs):
        return None
    first, second = crops
    cell, at_first, at_second = np.intersect1d(first.cell, second.cell, return_indices=True)
    signs = _signs(len(cell), exchanges, seed)
    fold = folds.fold[cell]
    moved: list[tuple[Softmax, Array, Array]] = []
    with threadpool_limits(1):
        for held, pair in enumerate(pairs):
            rows = np.flatnonzero(fold != held)
            both = (first.features[at_first[rows]], second.features[at_second[rows]])
            own = np.searchsorted(pair[0].known, first.classes[at_first[rows]])
            moved.append(_moves(both, own, pair, signs[rows]))
    middle, weight, bias = zip(*moved, strict=True)
    return Exchanged(fitted, middle, weight, bias)


def _signs(cells: int, exchanges: int, seed: int) -> Array:
    """Draw which cells are exchanged: 1 for those that are not, −1 for those that are."""
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 2, (cells, exchanges), np.int8) * 2 - 1).astype(np.float32)


def _moves(
    crops: tuple[NDArray[np.float32], NDArray[np.float32]],
    classes: NDArray[np.int64],
    pair: tuple[Softmax, Softmax],
    signs: Array,
) -> tuple[Softmax, Array, Array]:
    """Solve for the moves of one fold's probe.

    The probe minimises C × the sum of its losses + half the squared weights of standardised
    features. With crops exchanged, the gradient halfway changes by the signed sum of what each
    cell's two crops differ in, and the minimum moves by the inverse Hessian times that.

    Parameters
    ----------
    crops
        Embeddings of the training cells under both conditions, each of shape (n, D).
    classes
        Their classes' places among the known ones, shape (n,).
    pair
        The two fitted probes.
    signs
        Which cells are exchanged, shape (n, R).
    """
    mean, scale = _standard(crops)
    start = (_standardised(pair[0], mean, scale) + _standardised(pair[1], mean, scale)) / 2
    middle = _softmax(start, mean, scale, pair[0].known)
    augmented = [_augmented(some, mean, scale) for some in crops]
    p = [middle(some).astype(np.float32) for some in crops]
    right = np.eye(len(middle.known), dtype=np.float32)[classes]
    gradient = _gradient(augmented[1], p[1] - right, signs)
    gradient -= _gradient(augmented[0], p[0] - right, signs)
    moved = -_solve(np.concatenate(augmented), np.concatenate(p), C * gradient)
    weight = moved[:-1] / scale[:, None, None]
    bias = moved[-1] - np.tensordot(mean, weight, 1)
    return middle, weight.astype(np.float32), bias.astype(np.float32)


def _standard(
    crops: Sequence[NDArray[np.float32]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of features over all crops; constant ones count as 1."""
    both = np.concatenate(crops).astype(np.float64)
    scale = both.std(0)
    return both.mean(0), np.where(scale > 0, scale, 1.0)


def _standardised(
    probe: Softmax, mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a probe's weights for standardised features, biases in the last row; (D + 1, K)."""
    bias = probe.bias + mean @ probe.weight
    return np.concatenate([probe.weight * scale[:, None], bias[None]])


def _softmax(
    standardised: NDArray[np.float64],
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    known: NDArray[np.int64],
) -> Softmax:
    """Undo `_standardised`."""
    weight = standardised[:-1] / scale[:, None]
    return Softmax(weight, standardised[-1] - mean @ weight, known)


def _augmented(
    features: NDArray[np.float32], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> Array:
    """Standardise features and append a column of ones for the bias, shape (n, D + 1)."""
    ones = np.ones((len(features), 1))
    return np.concatenate([(features - mean) / scale, ones], 1).astype(np.float32)


def _gradient(x: Array, residual: Array, signs: Array) -> Array:
    """Sum the signed gradients of the losses, shape (D + 1, K, R)."""
    n, k = residual.shape
    signed = (residual[:, :, None] * signs[:, None]).reshape(n, -1)
    return np.asarray(x.T @ signed).reshape(x.shape[1], k, -1)


def _times(x: Array, weight: Array) -> Array:
    """Multiply features, shape (n, D), with weights, shape (D, K, R)."""
    return np.asarray(x @ weight.reshape(len(weight), -1)).reshape(len(x), *weight.shape[1:])


def _slope(p: Array, scores: Array) -> Array:
    """Return how probabilities move with scores, both of shape (n, K, R), in place."""
    scores -= np.matmul(p[:, None], scores)
    scores *= p[:, :, None]
    return scores


def _solve(x: Array, p: Array, right: Array) -> Array:
    """Solve the Hessian's equations by conjugate gradients, for all exchanges together.

    The losses' part is the mean over the two crops of each cell. Each class's own block of the
    Hessian is inverted and serves as preconditioner.

    Parameters
    ----------
    x
        Augmented features of both crops of n cells, shape (2 n, D + 1).
    p
        Probabilities, shape (2 n, K).
    right
        Right-hand sides, shape (D + 1, K, R).
    """
    ridge = np.ones((len(right), 1, 1), np.float32)
    ridge[-1] = _FREE

    def hessian(v: Array) -> Array:
        curved = C / 2 * _slope(p, _times(x, v))
        return np.asarray(x.T @ curved.reshape(len(x), -1)).reshape(v.shape) + ridge * v

    inverse = np.stack(
        [
            np.linalg.inv(
                C / 2 * (x * (own * (1 - own))[:, None]).T @ x.astype(np.float64)
                + np.diag(ridge[:, 0, 0] + _FREE)
            )
            for own in p.T
        ]
    ).astype(np.float32)

    def preconditioned(v: Array) -> Array:
        return np.matmul(inverse, v.swapaxes(0, 1)).swapaxes(0, 1)

    found, residual = np.zeros_like(right), right.copy()
    enough = TOLERANCE * np.sqrt((right**2).sum((0, 1)))
    step = preconditioned(residual)
    product = (residual * step).sum((0, 1))
    for _ in range(MOST_STEPS):
        if (np.sqrt((residual**2).sum((0, 1))) <= enough).all():
            break
        curved = hessian(step)
        curvature = (step * curved).sum((0, 1))
        length = np.divide(product, curvature, out=np.zeros_like(product), where=curvature > 0)
        found += length * step
        residual -= length * curved
        next_ = preconditioned(residual)
        before, product = product, (residual * next_).sum((0, 1))
        step = (
            next_ + np.divide(product, before, out=np.zeros_like(product), where=before > 0) * step
        )
    return found
