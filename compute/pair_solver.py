"""The SVMs of a pair test, all folds together. Pure arrays, no files.

Minimises the same function as scikit-learn's ``SVC(kernel="linear")`` (hinge loss, free intercept),
but follows its solution along a path (`compute.pair_path`) instead of moving pairs of multipliers.
One path leads to the solution on all crops: what is asked of each crop rises from what a first
plane gives to 1. From there a path leads to every fold: the multipliers of its held-out crops
shrink to 0. A fold needs few changes, so each costs a small part of a fit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from compute.pair_path import (
    BOUND,
    FREE,
    SOFT,
    TOLERANCE,
    ZERO,
    Floats,
    Singles,
    centred,
    folds_from,
    folds_from_two,
)

CROWDED = 10
"""Crops for each number in an embedding from which many lie on the wrong side, as a rule: then the
first plane is that of a rounded hinge, else that of two crops."""

SAMPLE = 4
"""One crop of so many finds the first rounded plane."""

ZONES, LAST = (3.0, 0.5), (0.5, 0.15)
"""Widths of the zone in which a hinge is rounded off, for the sample and then for all crops."""

SETTLED, STEPS, SHORTER = 5, 60, 6
"""Crops that may have entered or left the zone in the last Newton step on it; most
steps; most times that one is shortened."""


@dataclass(frozen=True)
class Planes:
    """The SVMs of one pair test; positive is the second class.

    Parameters
    ----------
    weight
        Shape (folds, D).
    bias
        Shape (folds,).
    gap
        Violation of optimality (Fan, Chen and Lin, 2005, JMLR 6: how far two multipliers are from
        no longer wanting to move against each other), computed anew from the weights; infinite
        where a path was given up. Shape (folds,).
    """

    weight: Floats
    bias: Floats
    gap: Floats

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether each SVM fulfils `TOLERANCE`."""
        return np.asarray(self.gap < TOLERANCE)


def fit_folds(
    features: NDArray[np.floating[Any]],
    second: NDArray[np.bool_],
    fold: NDArray[np.int64],
    number: int,
    bound: float,
) -> Planes:
    """Fit one SVM per fold, on the other folds' crops.

    Parameters
    ----------
    features
        Shape (n, D).
    second
        Which crops are of the pair's second class, shape (n,).
    fold
        Fold in which each crop is held out, shape (n,).
    number
        Number of folds; each must leave crops of both classes.
    bound
        The SVM's C.
    """
    n, width = features.shape
    starts = [folds_from_two, _folds_from_rounded]
    for start in starts if n <= CROWDED * width else starts[::-1]:
        found = start(features, second, fold, number, float(bound))
        if np.isfinite(found[2]).any():
            break
    return Planes(*found)


def _folds_from_rounded(
    features: NDArray[np.floating[Any]],
    second: NDArray[np.bool_],
    fold: NDArray[np.int64],
    number: int,
    bound: float,
) -> tuple[Floats, Floats, Floats]:
    """Start from a plane whose hinge is rounded off.

    Its multipliers need not be optimal, nor sum to zero: what they lack is left to the path.
    """
    n, width = features.shape
    centre, inner = centred(features)
    rows = np.ones((n, width + 1), np.float32)
    rows[:, :width] = inner
    sign = np.where(second, np.float32(1), np.float32(-1))
    plane = np.zeros(width + 1, np.float32)
    some = np.ascontiguousarray(rows[::SAMPLE])
    plane, _ = _rounded(some, sign[::SAMPLE], bound * SAMPLE, plane, ZONES)
    plane, share = _rounded(rows, sign, bound, plane, LAST)
    beta = bound * sign.astype(np.float64) * share
    state = np.where(share <= 0, ZERO, np.where(share >= 1, BOUND, FREE)).astype(np.int8)
    error = sign - inner @ (beta @ inner) - plane[width] - SOFT / bound * beta
    wants = np.where(state == ZERO, sign, -sign) * error > 0
    rate = np.where((state == FREE) | wants, error, 0.0)
    return folds_from(
        inner, centre, second, fold, number, bound, beta, (error - rate).astype(np.float32),
        state, rate.astype(np.float32),
    )  # fmt: skip


def _rounded(
    rows: Singles, sign: Singles, bound: float, plane: Singles, zones: tuple[float, ...]
) -> tuple[Singles, Singles]:
    """Take Newton steps on the weights (Chapelle, 2007, Neural Computation 19:1155).

    The hinge is a parabola in a zone that grows narrower.

    Returns
    -------
    plane : ndarray
        Weights and intercept, shape (D + 1,).
    share : ndarray
        Multipliers over C, shape (n,).
    """
    n, width = len(rows), rows.shape[1] - 1
    diagonal = np.arange(width)
    lack = 1 - sign * (rows @ plane)
    zone, later_zones = np.float32(zones[0]), list(zones[1:])
    share = np.clip(lack / zone, 0, 1)
    inside = (share > 0) & (share < 1)
    for _ in range(STEPS):
        taken = rows.take(np.flatnonzero(inside), axis=0)
        system = (taken.T @ taken).astype(np.float64) * (bound / float(zone))
        system[diagonal, diagonal] += 1.0
        # Only the step of the intercept is damped, so where it ends is not changed.
        system[width, width] += 1e-3 * n * bound / float(zone)
        slope = -bound * ((share * sign) @ rows)
        slope[:width] += plane[:width]
        move = -dposv(system, slope)[1].astype(np.float32)
        change = -sign * (rows @ move)
        base, curve = float(plane[:width] @ move[:width]), float(move[:width] @ move[:width])
        length, first = 1.0, float(slope @ move)
        for _ in range(SHORTER):
            now = np.clip((lack + np.float32(length) * change) / zone, 0, 1)
            later = base + length * curve + bound * float(now @ change)
            if later <= 1e-3 * abs(first):
                break
            length *= max(0.1, first / (first - later))
        plane = plane + np.float32(length) * move
        lack += np.float32(length) * change
        share = np.clip(lack / zone, 0, 1)
        within = (share > 0) & (share < 1)
        if np.count_nonzero(within != inside) <= SETTLED:
            if not later_zones:
                break
            zone = np.float32(later_zones.pop(0))
            share = np.clip(lack / zone, 0, 1)
            within = (share > 0) & (share < 1)
        inside = within
    return plane, np.asarray(share, np.float32)
