"""The SVMs of a pair test, all folds together. Pure arrays, compiled; no files.

Minimises the same function as scikit-learn's ``SVC(kernel="linear")`` (hinge loss, free intercept),
but follows its solution along a path instead of moving pairs of multipliers: which crops lie on the
margin changes one crop at a time, and between two changes everything moves along a straight line
(Cauwenberghs and Poggio, 2000, NeurIPS 13; Karasuyama and Takeuchi, 2010, IEEE Transactions on
Neural Networks 21:1048, let many crops leave at once). One path leads to the solution on all crops:
the margin that is asked of a crop rises from what a first rough plane gives to 1. From there a path
leads to every fold: the multipliers of its held-out crops shrink to 0. A fold needs few changes, so
each costs a small part of a fit, and the end of a path is exact but for rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""Largest violation of optimality in a solution; scikit-learn's default for `SVC`."""

RIDGE = 1e-6
"""Added to the diagonal of the inner products, relative to their mean: crops that are alike, or
more of them on the margin than numbers in an embedding, would make it singular."""

REFRESH = 50
"""Changes after which the inverse is computed anew, since it gathers rounding."""

TURNS = 4
"""Changes on a path, as a multiple of the crops, before it is given up."""

FEW = 8
"""Crops on the margin for which there is room beside one for each number in an embedding."""

WIDEST, NARROW, SHRINK = 200.0, 0.2, 0.1
"""The first zone in which a hinge is rounded off: the crops' squares over this (there the loss
weighs as much as the weights); the largest lack in it at which narrowing ends; each narrowing."""

SETTLED = 0.01
"""Share of the crops that may have entered or left the zone in a step before it is narrowed."""

STEPS, SHORTER = 60, 6
"""Most Newton steps, and most times that one is shortened."""

ZERO, FREE, BOUND, OUT = 0, 1, 2, 3
"""A crop's multiplier is 0, between (the crop is on the margin), C, or the crop takes no part."""

Floats = NDArray[np.float64]
_Function = TypeVar("_Function", bound=Callable[..., Any])


def _compiled(function: _Function) -> _Function:
    """Compile on first use, keep the code on disk, and let other threads run meanwhile.

    Sums may be taken in another order (`reassoc`), so that they use vector instructions.
    """
    compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
    return cast(_Function, compiled(function))


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


@dataclass
class _Margin:
    """Where a path stands; signed multipliers β = yα, Σβ = 0, w = Σβx.

    Parameters
    ----------
    beta, error
        Multipliers, and what is asked of a crop less what it gets (0 on the margin), shape (n,).
    state
        One of `ZERO`, `FREE`, `BOUND`, `OUT`, shape (n,).
    free, on
        Crops on the margin and their embeddings, shapes (room,) and (room, D); the first `m` count.
    inverse
        Of the inner products of the crops on the margin, bordered by ones for the intercept, shape
        (room + 1, room + 1).
    m
        Crops on the margin.
    """

    beta: Floats
    error: Floats
    state: NDArray[np.int64]
    free: NDArray[np.int64]
    on: Floats
    inverse: Floats
    m: int = 0

    @classmethod
    def at(
        cls, beta: Floats, error: Floats, state: NDArray[np.int64], room: int, width: int
    ) -> "_Margin":
        """Start a path; the crops that are `FREE` are put on the margin when it is followed."""
        empty = np.empty(room, np.int64), np.empty((room, width)), np.empty((room + 1, room + 1))
        return cls(beta, error, state, *empty)

    def copy(self) -> "_Margin":
        """Copy what counts."""
        m = self.m
        on, inverse = np.empty_like(self.on), np.empty_like(self.inverse)
        on[:m], inverse[: m + 1, : m + 1] = self.on[:m], self.inverse[: m + 1, : m + 1]
        return _Margin(
            self.beta.copy(), self.error.copy(), self.state.copy(), self.free.copy(), on, inverse, m
        )

    def follow(
        self,
        crops: NDArray[np.float32],
        sign: Floats,
        bound: float,
        ridge: float,
        rate: Floats,
        push: Floats,
        excess: float,
    ) -> bool:
        """Follow a path to its end; tell whether it was reached.

        Parameters
        ----------
        crops, sign, bound, ridge
            Shape (n, D); ±1, shape (n,); C; added to the diagonal.
        rate
            By how much what is asked of each crop changes along the path, shape (n,).
        push
            What crops outside add to the weights along it, shape (D,).
        excess
            What the multipliers within gain in sum along it.
        """
        self.m = _follow(
            crops, sign, bound, ridge, self.beta, self.error, self.state, self.free, self.on,
            self.inverse, self.m, rate, push, excess,
        )  # fmt: skip
        return self.m >= 0


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
    # The intercept is free, so a shift of all crops changes nothing but the rounding.
    centre = features.mean(0, dtype=np.float64)
    crops = np.ascontiguousarray(features - centre, np.float32)
    exact = crops.astype(np.float64)
    sign = np.where(second, 1.0, -1.0)
    ridge = RIDGE * float(np.einsum("ij,ij->", exact, exact)) / n + np.finfo(float).tiny
    still, bound = np.zeros(width), float(bound)
    for start in (_from_two, _from_rounded):
        whole, rate, excess = start(exact, sign, bound)
        reached = whole.follow(crops, sign, bound, ridge, rate, still, excess)
        if reached:
            break
    gap = np.full(number, np.inf)
    beta, state = np.zeros((number, n)), np.full((number, n), OUT)
    rate = np.zeros(n)
    ended = np.zeros(number, bool)
    for held in range(number if reached else 0):
        part, out = whole.copy(), fold == held
        leaving = whole.beta[out]
        part.state[out], part.beta[out] = OUT, 0.0
        ended[held] = part.follow(
            crops, sign, bound, ridge, rate, -(leaving @ exact[out]), float(leaving.sum())
        )
        beta[held], state[held] = part.beta, part.state
    weight = beta @ exact
    error = sign - weight @ exact.T
    free = state == FREE
    rise = free | (state == np.where(second, ZERO, BOUND))
    fall = free | (state == np.where(second, BOUND, ZERO))
    up = np.where(rise, error, -np.inf).max(1)
    down = np.where(fall, error, np.inf).min(1)
    gap[ended] = np.maximum(up - down, 0.0)[ended]
    several = free.sum(1)
    # As libsvm chooses it.
    middle = np.zeros(number)
    middle[ended] = (up[ended] + down[ended]) / 2
    bias = np.where(several > 0, (error * free).sum(1) / np.maximum(several, 1), middle)
    return Planes(weight, bias - weight @ centre, gap)


def _from_two(crops: Floats, sign: Floats, bound: float) -> tuple[_Margin, Floats, float]:
    """Solve for one crop of each class; ask no more of the others than they get.

    Where the classes overlap much, the path from here passes through a point where all crops are on
    the margin at once, and is given up.

    Returns
    -------
    _Margin
        The solution for two crops.
    rate : ndarray
        By how much what is asked of each crop is still to change, shape (n,).
    excess : float
        By how much the sum of the multipliers is.
    """
    n, width = crops.shape
    # The two that are furthest apart: nearly all others lie between, so little is to change.
    along = crops @ (sign @ crops)
    one = int(np.where(sign > 0, along, -np.inf).argmax())
    two = int(np.where(sign < 0, along, np.inf).argmin())
    apart = crops[one] - crops[two]
    far = float(apart @ apart)
    share = min(bound, 2 / far) if far > 0 else bound
    beta, state = np.zeros(n), np.zeros(n, np.int64)
    beta[one], beta[two] = share, -share
    state[[one, two]] = FREE if share < bound else BOUND
    reached = crops @ (share * apart)
    error = sign - reached + (reached[one] + reached[two]) / 2
    others = state == ZERO
    rate = sign * max(0.0, float((sign * error)[others].max(initial=0.0))) * others
    error -= rate
    error[state == FREE] = 0.0
    return _Margin.at(beta, error, state, min(n, width + FEW), width), rate, 0.0


def _from_rounded(crops: Floats, sign: Floats, bound: float) -> tuple[_Margin, Floats, float]:
    """Start from a plane whose hinge is rounded off; returns what `_from_two` does.

    Newton steps on the weights (Chapelle, 2007, Neural Computation 19:1155), with an ever narrower
    zone in which the hinge is a parabola. The multipliers need not be optimal, nor sum to zero:
    what they lack is left to the path.
    """
    n, width = crops.shape
    rows = np.ones((n, width + 1))
    rows[:, :width] = crops
    diagonal = np.arange(width)
    plane, lack, share = np.zeros(width + 1), np.ones(n), np.ones(n)
    zone = max(bound * float(np.einsum("ij,ij->", crops, crops)) / WIDEST, 1.0)
    for _ in range(STEPS):
        share = np.clip(lack / zone, 0.0, 1.0)
        inside = (share > 0) & (share < 1)
        taken = rows[inside]
        system = taken.T @ taken * (bound / zone)
        system[diagonal, diagonal] += 1.0
        # Only the step of the intercept is damped, so where it ends is not changed.
        system[width, width] += 1e-3 * n * bound / zone
        slope = -bound * (rows.T @ (share * sign))
        slope[:width] += plane[:width]
        move = -np.linalg.solve(system, slope)
        change = -sign * (rows @ move)
        length, first = 1.0, float(slope @ move)
        for _ in range(SHORTER):
            now = np.clip((lack + length * change) / zone, 0.0, 1.0)
            weight = plane[:width] + length * move[:width]
            later = float(weight @ move[:width] + bound * (now @ change))
            if later <= 1e-9 * abs(first):
                break
            length *= max(0.1, first / (first - later))
        plane += length * move
        lack += length * change
        share = np.clip(lack / zone, 0.0, 1.0)
        within = (share > 0) & (share < 1)
        if np.count_nonzero(within != inside) <= SETTLED * n:
            most = float(lack[within].max(initial=0.0))
            if most < NARROW:
                break
            zone *= max(SHRINK, 0.5 * NARROW / most)
    beta = bound * sign * share
    state = np.where(share <= 0, ZERO, np.where(share >= 1, BOUND, FREE))
    error = sign - crops @ (beta @ crops) - plane[width]
    wants = np.where(state == ZERO, sign, -sign) * error > 0
    rate = np.where((state == FREE) | wants, error, 0.0)
    room = min(n, width + int(np.count_nonzero(state == FREE)) + FEW)
    return _Margin.at(beta, error - rate, state, room, width), rate, -float(beta.sum())


@_compiled
def _join(
    crop: NDArray[np.float32], who: int, ridge: float, free: NDArray[np.int64], on: Floats,
    inverse: Floats, m: int,
) -> int:  # fmt: skip
    """Put a crop on the margin; return how many are on it."""
    width = on.shape[1]
    own = ridge
    for d in range(width):
        on[m, d] = crop[d]
        own += on[m, d] * on[m, d]
    free[m] = who
    if m == 0:
        inverse[0, 0], inverse[1, 1] = -own, 0.0
        inverse[0, 1] = inverse[1, 0] = 1.0
        return 1
    # The new row and column of the bordered matrix, and what the inverse makes of them.
    fresh, column = np.empty(m + 1), np.empty(m + 1)
    fresh[0] = 1.0
    for a in range(m):
        total = 0.0
        for d in range(width):
            total += on[a, d] * on[m, d]
        fresh[a + 1] = total
    rest = own
    for a in range(m + 1):
        total = 0.0
        for c in range(m + 1):
            total += inverse[a, c] * fresh[c]
        column[a] = total
        rest -= total * fresh[a]
    rest = 1 / max(rest, ridge)
    for a in range(m + 1):
        share = column[a] * rest
        for c in range(m + 1):
            inverse[a, c] += share * column[c]
        inverse[a, m + 1] = inverse[m + 1, a] = -share
    inverse[m + 1, m + 1] = rest
    return m + 1


@_compiled
def _leave(place: int, free: NDArray[np.int64], on: Floats, inverse: Floats, m: int) -> int:
    """Take a crop off the margin; return how many are on it."""
    if m > 1:
        p = place + 1
        column = inverse[p, : m + 1].copy()
        for a in range(m + 1):
            share = column[a] / column[p]
            for c in range(m + 1):
                inverse[a, c] -= share * column[c]
        # The last takes its place.
        for c in range(m):
            inverse[p, c] = inverse[m, c]
        for a in range(m):
            inverse[a, p] = inverse[p, a] if a != p else inverse[m, m]
        free[place] = free[m - 1]
        on[place] = on[m - 1]
    return m - 1


@_compiled
def _follow(
    crops: NDArray[np.float32], sign: Floats, bound: float, ridge: float, beta: Floats,
    error: Floats, state: NDArray[np.int64], free: NDArray[np.int64], on: Floats, inverse: Floats,
    m: int, rate: Floats, push: Floats, excess: float,
) -> int:  # fmt: skip
    """Follow a path in place; return how many crops are on the margin at its end, or −1."""
    n, width = crops.shape
    step, way, change = np.empty(len(on) + 1), np.empty(width), np.empty(n)
    toward = np.empty(len(on) + 1)
    small = np.empty(width, np.float32)
    for a in range(m - 1, -1, -1):
        if state[free[a]] == OUT:
            m = _leave(a, free, on, inverse, m)
    left, joining = 1.0, 0
    for turn in range(TURNS * n + 1):
        if turn % REFRESH == REFRESH - 1:
            before, m = m, 0
            for a in range(before):
                m = _join(crops[free[a]], free[a], ridge, free, on, inverse, m)
        if m == 0:
            # At the start of all; or no crop can take up what the leaving ones give: shift the
            # intercept until one can.
            while joining < n and state[joining] != FREE:
                joining += 1
            who, best = joining, -np.inf
            if joining == n and excess != 0.0:
                way_up = 1.0 if excess > 0 else -1.0
                for i in range(n):
                    able = ZERO if sign[i] == way_up else BOUND
                    if state[i] == able and way_up * error[i] > best:
                        who, best = i, way_up * error[i]
                if who == n:
                    return -1
                shift = error[who]
                for i in range(n):
                    error[i] -= shift
                state[who] = FREE
            if who < n:
                for i in range(n):
                    if state[i] == FREE:
                        m = _join(crops[i], i, ridge, free, on, inverse, m)
        # The direction in which the crops on the margin stay on it.
        toward[0] = excess
        for a in range(m):
            total = rate[free[a]]
            for d in range(width):
                total -= on[a, d] * push[d]
            toward[a + 1] = total
        shift = 0.0
        for d in range(width):
            way[d] = push[d]
        for a in range(m + 1 if m > 0 else 0):
            total = 0.0
            for c in range(m + 1):
                total += inverse[a, c] * toward[c]
            step[a] = total
            if a == 0:
                shift = total
            else:
                for d in range(width):
                    way[d] += total * on[a - 1, d]
        for d in range(width):
            small[d] = way[d]
        # How far it goes: to where a multiplier meets a bound, or a crop comes to the margin.
        length, who, place = left, -1, -1
        for a in range(m):
            i = free[a]
            value, slope = sign[i] * beta[i], sign[i] * step[a + 1]
            if slope < 0 and value < -slope * length:
                length, who, place = max(value, 0.0) / -slope, i, a
            elif slope > 0 and bound - value < slope * length:
                length, who, place = max(bound - value, 0.0) / slope, i, a
        for i in range(n):
            total = np.float32(0)
            for d in range(width):
                total += crops[i, d] * small[d]
            change[i] = rate[i] - total - shift
        for i in range(n):
            value, slope = sign[i] * error[i], sign[i] * change[i]
            if state[i] == ZERO and slope > 0 and -value < slope * length:
                length, who, place = max(-value, 0.0) / slope, i, -1
            elif state[i] == BOUND and slope < 0 and value < -slope * length:
                length, who, place = max(value, 0.0) / -slope, i, -1
        for a in range(m):
            beta[free[a]] += length * step[a + 1]
            change[free[a]] = 0.0
        for i in range(n):
            error[i] += length * change[i]
        left -= length
        if who < 0:
            return m
        if place >= 0:
            falls = sign[who] * step[place + 1] < 0
            state[who] = ZERO if falls else BOUND
            beta[who] = 0.0 if falls else sign[who] * bound
            m = _leave(place, free, on, inverse, m)
        elif m == len(on):
            return -1
        else:
            state[who] = FREE
            error[who] = 0.0
            m = _join(crops[who], who, ridge, free, on, inverse, m)
    return -1
