"""The linear SVMs of one pair test, all folds together. Pure arrays, no files.

Minimises the same function as scikit-learn's ``SVC(kernel="linear")`` (hinge loss, free intercept)
by following solution paths (`compute.probes.svm_path`) instead of optimising pairs of multipliers.
One path leads from a cheap start to the solution on all crops, and from there one path to every
fold. The folds share most of their crops, so each of these is short and costs little.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.probes.svm_path import (
    AT_C,
    AT_ZERO,
    FREE,
    RIDGE,
    TOLERANCE,
    Floats,
    Singles,
    centred,
    compiled,
    folds_from_two_crops,
    folds_from_warm_start,
)

CROPS_PER_DIMENSION = 10
"""With more crops than this for each number in an embedding, many lie as a rule on the wrong side
of the margin. The path then starts from the smoothed hinge, else from two crops."""

SUBSAMPLE = 4
"""One crop of so many is used for the first fit of the smoothed hinge."""

SUBSAMPLE_ZONES, ZONES = np.array([2.0], np.float32), np.array([0.5, 0.15], np.float32)
"""Widths of the zone in which the hinge is smoothed, for the subsample and then for all crops. The
first is above 1: at the start every crop lies at 1, and a narrower zone would hold none."""

SETTLED, MAX_STEPS, MAX_SHORTENINGS = 5, 60, 6
"""A zone is done with when at most so many crops entered or left it in the last Newton step; most
Newton steps; most times that a step is shortened."""

JITTER, INTERCEPT_DAMPING = 1e-9, 1e-3
"""Added to the diagonal of the Hessian: for weights a share of the diagonal itself, so that
rounding does not make it singular, for the intercept a share of all crops. Both only shorten steps;
the minimum stays where it is."""


@dataclass(frozen=True)
class Solutions:
    """Linear SVMs and how near to optimal they are; a positive score means the second class.

    Parameters
    ----------
    weight
        Shape (SVMs, D).
    bias
        Intercepts, shape (SVMs,).
    kkt_violation
        How far the multipliers are from fulfilling the KKT conditions, as libsvm measures it (Fan,
        Chen and Lin, 2005, JMLR 6:1889), computed anew from the weights; infinite where the SVM was
        given up. Shape (SVMs,).
    """

    weight: Floats
    bias: Floats
    kkt_violation: Floats

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether the KKT violation of each SVM is below `TOLERANCE`, shape (SVMs,)."""
        return np.asarray(self.kkt_violation < TOLERANCE)


def fit_folds(
    features: NDArray[np.floating[Any]],
    second: NDArray[np.bool_],
    fold: NDArray[np.int64],
    number: int,
    box: float,
) -> Solutions:
    """Fit one SVM per fold, on the other folds' crops.

    Parameters
    ----------
    features
        Embeddings of the pair test's crops, shape (n, D).
    second
        Which crops are of the pair's second class, shape (n,).
    fold
        Fold in which each crop is held out, 0 to `number` − 1, shape (n,).
    number
        Number of folds; without any one of them crops of both classes must be left.
    box
        The SVM's C, above 0.

    Returns
    -------
    Solutions
        One SVM per fold. Check `converged`: what is not may be far from optimal.

    Examples
    --------
    Two classes that differ in their first number, in two folds:

    >>> import numpy as np
    >>> features = np.array([[0, 0], [0, 1], [2, 0], [2, 1]], np.float32)
    >>> second = np.array([False, False, True, True])
    >>> fitted = fit_folds(features, second, np.array([0, 1, 0, 1]), 2, 1.0)
    >>> fitted.weight[:, 0].round(2), fitted.bias.round(2)
    (array([1., 1.]), array([-1., -1.]))
    >>> fitted.converged
    array([ True,  True])
    """
    n, width = features.shape
    starts = [folds_from_two_crops, _folds_from_smoothed_hinge]
    for start in starts if n <= CROPS_PER_DIMENSION * width else starts[::-1]:
        found = start(features, second, fold, number, float(box))
        if np.isfinite(found[2]).any():
            break
    return Solutions(*found)


def _folds_from_smoothed_hinge(
    features: NDArray[np.floating[Any]],
    second: NDArray[np.bool_],
    fold: NDArray[np.int64],
    number: int,
    box: float,
) -> tuple[Floats, Floats, Floats]:
    """Fit the SVM of every fold; the path starts from the minimum with a smoothed hinge.

    Its multipliers need be neither optimal nor sum to 0: the path makes up for both. The arguments
    are those of `fit_folds`, and what is returned are the fields of `Solutions`.
    """
    centre, x = centred(features)
    y = np.where(second, np.float32(1), np.float32(-1))
    plane = np.zeros(x.shape[1] + 1)
    subsample, subsample_y = (
        np.ascontiguousarray(x[::SUBSAMPLE]),
        np.ascontiguousarray(y[::SUBSAMPLE]),
    )
    plane, _ = _fit_smoothed_hinge(subsample, subsample_y, box * SUBSAMPLE, plane, SUBSAMPLE_ZONES)
    plane, alpha = _fit_smoothed_hinge(x, y, box, plane, ZONES)
    dual_coef = y * alpha
    status = np.where(alpha <= 0, AT_ZERO, np.where(alpha >= 1, AT_C, FREE)).astype(np.int8)
    residual = y - x @ (box * (dual_coef @ x)) - float(plane[-1]) - RIDGE * dual_coef
    wants = np.where(status == AT_ZERO, y, -y) * residual > 0
    target_change = np.where((status == FREE) | wants, residual, np.float32(0))
    return folds_from_warm_start(
        x, centre, second, fold, number, box, box * dual_coef.astype(np.float64),
        residual - target_change, status, target_change,
    )  # fmt: skip


@compiled
def _fit_smoothed_hinge(
    x: Singles, y: Singles, box: float, plane: Floats, zones: Singles
) -> tuple[Floats, Singles]:
    """Minimise ½‖w‖² + C Σ loss with a smoothed hinge, by Newton steps on weights and intercept.

    As in Chapelle (2007, Training a support vector machine in the primal, Neural Computation
    19:1155): within a zone the hinge is a parabola, and the zone grows narrower.

    Parameters
    ----------
    x
        Embeddings less their mean, shape (n, D).
    y
        Labels, ±1, shape (n,).
    box
        C.
    plane
        Weights and intercept to start from, shape (D + 1,).
    zones
        Widths of the zone, in units of the margin, in their order.

    Returns
    -------
    plane : ndarray
        Weights and intercept, shape (D + 1,).
    alpha : ndarray
        Multipliers over C, 0 to 1, shape (n,).
    """
    n, width = x.shape
    one, zero = np.float32(1), np.float32(0)
    deficit, change = np.ones(n, np.float32), np.empty(n, np.float32)
    inside, inside_x = np.zeros(n, np.bool_), np.ones((n, width + 1), np.float32)
    # Of each crop `deficit` is 1 − y (w·x + b): above 0 it falls short of the margin. All start at
    # the plane 0; the step to the plane that is given is the first, and never shortened.
    newton_step, gradient, plane = plane, np.zeros(width + 1), np.zeros(width + 1)
    stage, zone = 0, zones[0]
    for iteration in range(MAX_STEPS):
        step_32, weight_step = newton_step.astype(np.float32), newton_step[:width]
        slope, weight_slope = (
            float(np.dot(gradient, newton_step)),
            float(np.dot(plane[:width], weight_step)),
        )
        weight_curvature = float(np.dot(weight_step, weight_step))
        for i in range(n):
            score = step_32[width]
            for d in range(width):
                score += x[i, d] * step_32[d]
            change[i] = -y[i] * score
        length = 1.0
        for _ in range(MAX_SHORTENINGS if iteration > 0 else 0):
            total, part = zero, np.float32(length)
            for i in range(n):
                loss_slope = (deficit[i] + part * change[i]) / zone
                total += change[i] * min(max(loss_slope, zero), one)
            later_slope = float(weight_slope + length * weight_curvature + box * total)
            if later_slope <= 1e-3 * abs(slope):
                break
            length *= max(0.1, slope / (slope - later_slope))
        for d in range(width + 1):
            plane[d] += length * newton_step[d]
        part, moved = np.float32(length), 0
        for i in range(n):
            deficit[i] += part * change[i]
            within = (deficit[i] > 0) & (deficit[i] < zone)
            moved += within != inside[i]
            inside[i] = within
        if iteration > 0 and moved <= SETTLED:
            stage += 1
            if stage == len(zones):
                break
            zone = zones[stage]
        # The gradient of the loss, and for its Hessian the crops within the zone.
        pull, count = np.zeros(width + 1, np.float32), 0
        for i in range(n):
            inside[i] = (deficit[i] > 0) & (deficit[i] < zone)
            if deficit[i] > 0:
                part = y[i] * min(deficit[i] / zone, one)
                pull[width] += part
                for d in range(width):
                    pull[d] += part * x[i, d]
            if inside[i]:
                for d in range(width):
                    inside_x[count, d] = x[i, d]
                count += 1
        near, scale = inside_x[:count], box / np.float64(zone)
        hessian = scale * np.dot(near.T, near).astype(np.float64)
        for d in range(width):
            hessian[d, d] += 1.0 + JITTER * hessian[d, d]
            gradient[d] = plane[d] - box * pull[d]
        hessian[width, width] += scale * INTERCEPT_DAMPING * n
        gradient[width] = -box * pull[width]
        newton_step = -np.linalg.solve(hessian, gradient)
    for i in range(n):
        deficit[i] = min(max(deficit[i] / zone, zero), one)
    return plane, deficit
