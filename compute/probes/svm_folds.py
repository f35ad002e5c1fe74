"""The SVMs of a pair test, all folds together. Pure arrays, no files.

Minimises the same function as scikit-learn's ``SVC(kernel="linear")`` (hinge loss, free intercept),
but follows its solution along a path (`compute.probes.svm_path`) instead of moving pairs of
multipliers. One path leads to the solution on all crops: what is asked of each crop rises from what
a first plane gives to 1. From there a path leads to every fold: the multipliers of its held-out
crops shrink to 0. A fold needs few changes, so each costs a small part of a fit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.probes.svm_path import (
    BOUND,
    FREE,
    SOFT,
    TOLERANCE,
    ZERO,
    Floats,
    Singles,
    centred,
    compiled,
    folds_from,
    folds_from_two,
)

CROWDED = 10
"""Crops for each number in an embedding from which many lie on the wrong side, as a rule: then the
first plane is that of a rounded hinge, else that of two crops."""

SAMPLE = 4
"""One crop of so many finds the first rounded plane."""

ZONES, LAST = np.array([2.0], np.float32), np.array([0.5, 0.15], np.float32)
"""Widths of the zone in which a hinge is rounded off, for the sample and then for all crops; the
first is above 1, or no crop would lie in it at the start."""

SETTLED, STEPS, SHORTER = 5, 60, 6
"""Crops that may have entered or left the zone in the last Newton step on it; most steps; most
times that one is shortened."""

FIRM, DAMP = 1e-9, 1e-3
"""What is added to the diagonal of a Newton step's system, as a share of it, so that rounding does
not make it singular, and for the intercept as a share of all crops. Both only shorten steps: where
they end is not changed."""


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
    centre, rows = centred(features)
    sign = np.where(second, np.float32(1), np.float32(-1))
    plane = np.zeros(rows.shape[1] + 1)
    some, signs = np.ascontiguousarray(rows[::SAMPLE]), np.ascontiguousarray(sign[::SAMPLE])
    plane, _ = _rounded(some, signs, bound * SAMPLE, plane, ZONES)
    plane, share = _rounded(rows, sign, bound, plane, LAST)
    signed = sign * share
    state = np.where(share <= 0, ZERO, np.where(share >= 1, BOUND, FREE)).astype(np.int8)
    error = sign - rows @ (bound * (signed @ rows)) - float(plane[-1]) - SOFT * signed
    wants = np.where(state == ZERO, sign, -sign) * error > 0
    rate = np.where((state == FREE) | wants, error, np.float32(0))
    return folds_from(
        rows, centre, second, fold, number, bound, bound * signed.astype(np.float64),
        error - rate, state, rate,
    )  # fmt: skip


@compiled
def _rounded(
    rows: Singles, sign: Singles, bound: float, plane: Floats, zones: Singles
) -> tuple[Floats, Singles]:
    """Take Newton steps on the weights (Chapelle, 2007, Neural Computation 19:1155).

    The hinge is a parabola in a zone that grows narrower.

    Parameters
    ----------
    rows, sign, bound
        As in `Given`, in 32 bits.
    plane
        Weights and intercept to start from, shape (D + 1,).
    zones
        Widths of the zone.

    Returns
    -------
    plane : ndarray
        Weights and intercept, shape (D + 1,).
    share : ndarray
        Multipliers over C, shape (n,).
    """
    n, width = rows.shape
    one, nothing = np.float32(1), np.float32(0)
    lack, change = np.ones(n, np.float32), np.empty(n, np.float32)
    inside, taken = np.zeros(n, np.bool_), np.ones((n, width + 1), np.float32)
    # The way to the plane that is given is the first step, which is never shortened.
    move, slope, plane = plane, np.zeros(width + 1), np.zeros(width + 1)
    place, zone = 0, zones[0]
    for turn in range(STEPS):
        way, ahead = move.astype(np.float32), move[:width]
        first, base = float(np.dot(slope, move)), float(np.dot(plane[:width], ahead))
        curve = float(np.dot(ahead, ahead))
        for i in range(n):
            reached = way[width]
            for d in range(width):
                reached += rows[i, d] * way[d]
            change[i] = -sign[i] * reached
        length = 1.0
        for _ in range(SHORTER if turn > 0 else 0):
            total, part = nothing, np.float32(length)
            for i in range(n):
                gone = (lack[i] + part * change[i]) / zone
                total += change[i] * min(max(gone, nothing), one)
            later = float(base + length * curve + bound * total)
            if later <= 1e-3 * abs(first):
                break
            length *= max(0.1, first / (first - later))
        for d in range(width + 1):
            plane[d] += length * move[d]
        part, moved = np.float32(length), 0
        for i in range(n):
            lack[i] += part * change[i]
            within = (lack[i] > 0) & (lack[i] < zone)
            moved += within != inside[i]
            inside[i] = within
        if turn > 0 and moved <= SETTLED:
            place += 1
            if place == len(zones):
                break
            zone = zones[place]
        # How crops in the zone and beyond it push the plane, and the products of those in it.
        push, count = np.zeros(width + 1, np.float32), 0
        for i in range(n):
            inside[i] = (lack[i] > 0) & (lack[i] < zone)
            if lack[i] > 0:
                part = sign[i] * min(lack[i] / zone, one)
                push[width] += part
                for d in range(width):
                    push[d] += part * rows[i, d]
            if inside[i]:
                for d in range(width):
                    taken[count, d] = rows[i, d]
                count += 1
        near, scale = taken[:count], bound / np.float64(zone)
        system = scale * np.dot(near.T, near).astype(np.float64)
        for d in range(width):
            system[d, d] += 1.0 + FIRM * system[d, d]
            slope[d] = plane[d] - bound * push[d]
        system[width, width] += scale * DAMP * n
        slope[width] = -bound * push[width]
        move = -np.linalg.solve(system, slope)
    for i in range(n):
        lack[i] = min(max(lack[i] / zone, nothing), one)
    return plane, lack
