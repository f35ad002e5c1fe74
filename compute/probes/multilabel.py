"""The multi-label probe: a logistic regression for each class, that says yes or no. No files.

Cells may have several labels, so none is told from the others: each class has a classifier of its
own, fitted on all references, and says yes where its probability is above a half.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from compute.probes.multiclass import C

ITERATIONS = 200
"""Most steps of the fit; it takes 10 to 60."""

TOLERANCE = 1e-2
"""Largest part of the gradient at which a fit is done, in the fit's own coordinates, as a sum over
references. That of scikit-learn's logistic regression is 10⁻⁴ as a mean over them."""


@dataclass(frozen=True)
class YesOrNo:
    """K fitted classifiers, with standardisation folded into their weights.

    Parameters
    ----------
    weight
        Shape (D, K).
    bias
        Shape (K,); −∞ for a class that no reference has.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which classes each cell is said to be of, shape (n, K).

        Parameters
        ----------
        features
            Embeddings, shape (n, D).
        """
        return np.asarray(features @ self.weight + self.bias > 0)


def fit_yes_or_no(
    features: NDArray[np.float32], labels: NDArray[np.bool_], start: YesOrNo | None = None
) -> YesOrNo:
    """Fit a logistic regression (C = 1, as the multi-class probe's) for each class.

    Parameters
    ----------
    features
        Embeddings of n references, shape (n, D).
    labels
        Which classes each of them is of, shape (n, K).
    start
        Classifiers to begin the fit at, such as those of other crops of the same cells; by default
        None, for weights of 0. The fit ends at the same ones.

    Returns
    -------
    YesOrNo
        A class that all references have is always said yes to, one that none has never.
    """
    values = features.astype(np.float64)
    mean, scale = values.mean(0), values.std(0)
    scale[scale == 0] = 1
    x = np.append((values - mean) / scale, np.ones((len(values), 1)), axis=1)
    known = labels.any(0) & ~labels.all(0)
    weight = np.zeros((x.shape[1], labels.shape[1]))
    weight[-1] = np.where(labels.any(0), np.inf, -np.inf)
    if known.any():
        begin = np.zeros((x.shape[1], int(known.sum())))
        if start is not None:
            slope = start.weight[:, known]
            bias = start.bias[known] + mean @ slope
            begin = np.append(slope * scale[:, None], np.where(np.isfinite(bias), bias, 0)[None], 0)
        weight[:, known] = _fit(x, labels[:, known].astype(np.float64), begin)
    slope = weight[:-1] / scale[:, None]
    return YesOrNo(slope, weight[-1] - mean @ slope)


def _fit(
    x: NDArray[np.float64], y: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit all classes at once; their objectives add up and share no weight.

    The classes' weights are turned into coordinates in which the curvature at zero is that of the
    unit matrix, so that few steps are needed.

    Parameters
    ----------
    x
        Standardised embeddings and a column of ones, which is not penalised, shape (n, D + 1).
    y
        1 where a reference is of the class, else 0, shape (n, K).
    start
        Where to begin, shape (D + 1, K).
    """
    width, k = x.shape[1], y.shape[1]
    penalty = np.append(np.ones(width - 1), 0.0)
    # The intercept's own curvature is n/4, so the matrix has an inverse.
    root = linalg.cholesky(C * x.T @ x / 4 + np.diag(penalty), lower=True)
    turned = linalg.solve_triangular(root, x.T, lower=True).T
    shrunk = linalg.solve_triangular(root, np.diag(penalty), lower=True)
    shrunk = shrunk @ shrunk.T

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        v = flat.reshape(width, k)
        scores, pull = turned @ v, shrunk @ v
        rest = np.exp(-np.abs(scores))
        loss = np.maximum(scores, 0) - y * scores + np.log1p(rest)
        yes = np.where(scores > 0, 1, rest) / (1 + rest)
        slope = C * turned.T @ (yes - y) + pull
        return float(C * loss.sum() + (v * pull).sum() / 2), slope.ravel()

    found = optimize.minimize(
        objective, (root.T @ start).ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": ITERATIONS, "gtol": TOLERANCE, "ftol": 0.0, "maxcor": 20},
    )  # fmt: skip
    return np.asarray(
        linalg.solve_triangular(root, found.x.reshape(width, k), lower=True, trans="T")
    )
