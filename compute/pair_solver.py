"""The SVMs of a pair test, all folds together. Pure arrays, compiled; no files.

Minimises the same function as scikit-learn's ``SVC(kernel="linear")`` (hinge loss, free intercept)
and stops by the same rule (Fan, Chen and Lin, 2005, JMLR 6: no two multipliers violate optimality
by more than `TOLERANCE`). It is faster in three ways. The folds share their crops, so inner
products are computed once, and each fold starts from a rough solution on all of the crops. Pairs of
multipliers move as in libsvm, but only among those that may still move. In between, all free
multipliers move at once by a Newton step, which saves the many small moves near the end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""Largest violation of optimality in a solution; scikit-learn's default for `SVC`."""

ROUGH = 0.1
"""The same for the solution on all crops, from which the folds start."""

MOST_CYCLES = 1000
"""Working sets before a problem is left to the reference solver."""

REFRESHES = 10
"""Times that errors are computed anew in 64 bits and steps go on (products are kept in 32)."""

TINY = 1e-12
"""Smallest squared distance between two crops (libsvm's ``TAU``), so that copies do not divide."""

WORKING = 64
"""Multipliers in a working set, beside twice the free ones."""

STEPS = 24
"""Steps of SMO before a Newton step."""

TURNS = 4
"""Newton steps on one working set."""

RIDGE = 1e-7
"""Relative addition to the diagonal of a Newton system: more free crops than numbers make it
singular."""

Floats = NDArray[np.float64]
_Function = TypeVar("_Function", bound=Callable[..., Any])


def _compiled(function: _Function) -> _Function:
    """Compile on first use, keep the code on disk, and let other threads run meanwhile."""
    return cast(_Function, njit(nogil=True, cache=True)(function))


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
        Violation of optimality, computed anew from the weights, shape (folds,).
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    gap: NDArray[np.float64]

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
    # The intercept is free, so a shift of all crops changes nothing but the rounding.
    centre = features.mean(0, dtype=np.float64)
    crops = np.ascontiguousarray(features - centre)
    sign = np.where(second, 1.0, -1.0)
    weight, bias, gap = _fit_folds(
        crops, sign, fold.astype(np.int64), number, float(bound), ROUGH, TOLERANCE
    )
    return Planes(weight, bias - weight @ centre, gap)


@_compiled
def _fit_folds(
    crops: Floats,
    sign: Floats,
    fold: NDArray[np.int64],
    number: int,
    bound: float,
    rough: float,
    tolerance: float,
) -> tuple[Floats, Floats, Floats]:
    """Solve on all crops roughly, then every fold from there."""
    n, width = crops.shape
    small = crops.astype(np.float32)
    products = np.empty((n, n), np.float32)  # rows are filled when first needed
    known = np.zeros(n, np.bool_)
    high = np.where(sign > 0, bound, 0.0)
    low = np.where(sign > 0, 0.0, -bound)
    whole = np.zeros(n)
    error = sign.copy()
    _solve(small, products, known, error, whole, low, high, rough)
    weight = np.zeros((number, width))
    bias = np.zeros(number)
    gap = np.zeros(number)
    for held in range(number):
        top, bottom, beta = high.copy(), low.copy(), whole.copy()
        for i in range(n):
            if fold[i] == held:
                top[i] = bottom[i] = beta[i] = 0.0
        _balance(beta)
        # The last digits are lost over many steps, so errors are computed anew before the check.
        for _ in range(REFRESHES):
            weight[held] = np.dot(beta, crops)
            error = sign - np.dot(crops, weight[held])
            gap[held], bias[held] = _check(error, beta, bottom, top)
            if gap[held] < tolerance:
                break
            _solve(small, products, known, error, beta, bottom, top, 0.9 * tolerance)
        if gap[held] >= tolerance:
            weight[held] = np.dot(beta, crops)
            error = sign - np.dot(crops, weight[held])
            gap[held], bias[held] = _check(error, beta, bottom, top)
    return weight, bias, gap


@_compiled
def _balance(beta: Floats) -> None:
    """Make multipliers sum to zero, by scaling the heavier class down."""
    excess = beta.sum()
    if excess == 0.0:
        return
    heavier = 0.0
    for value in beta:
        if value * excess > 0:
            heavier += value
    for i in range(len(beta)):
        if beta[i] * excess > 0:
            beta[i] *= 1 - excess / heavier


@_compiled
def _check(error: Floats, beta: Floats, low: Floats, high: Floats) -> tuple[float, float]:
    """Return the violation, and the intercept as libsvm chooses it."""
    up, down, total, free = -np.inf, np.inf, 0.0, 0
    for i in range(len(beta)):
        if beta[i] < high[i]:
            up = max(up, error[i])
        if beta[i] > low[i]:
            down = min(down, error[i])
        if low[i] < beta[i] < high[i]:
            total += error[i]
            free += 1
    return up - down, total / free if free else (up + down) / 2


@_compiled
def _fill(
    crops: NDArray[np.float32],
    products: NDArray[np.float32],
    known: NDArray[np.bool_],
    place: NDArray[np.int64],
) -> None:
    """Compute some crops' inner products with all crops, where they are not there yet."""
    new = np.empty(len(place), np.int64)
    m = 0
    for i in place:
        if not known[i]:
            new[m] = i
            m += 1
            known[i] = True
    if m > 0:
        block = np.dot(crops[new[:m]], crops.T)
        for a in range(m):
            products[new[a]] = block[a]


@_compiled
def _choose(
    error: Floats, beta: Floats, low: Floats, high: Floats
) -> tuple[NDArray[np.int64], float]:
    """Choose a working set: free multipliers, then those that want to move most.

    Returns
    -------
    place : ndarray of int
        Multipliers that may move; those at a bound that no partner can move stay out.
    gap : float
        The violation.
    """
    n = len(beta)
    up, down, first, last, free = -np.inf, np.inf, 0, 0, 0
    for i in range(n):
        if beta[i] < high[i] and error[i] > up:
            up, first = error[i], i
        if beta[i] > low[i] and error[i] < down:
            down, last = error[i], i
        if low[i] < beta[i] < high[i]:
            free += 1
    middle = (up + down) / 2
    want = np.empty(n)
    place = np.empty(n, np.int64)
    q = 0
    for i in range(n):
        if low[i] == high[i]:
            continue
        value = -np.inf
        if i in (first, last) or low[i] < beta[i] < high[i]:
            value = np.inf
        elif beta[i] < high[i] and error[i] > down:
            value = error[i] - middle
        elif beta[i] > low[i] and error[i] < up:
            value = middle - error[i]
        if value > -np.inf:
            want[q], place[q] = value, i
            q += 1
    most = WORKING + 2 * free
    if q > most:
        edge = np.partition(want[:q], q - most)[q - most]
        kept = 0
        for k in range(q):
            # Ties at the edge: at the start all want to move alike.
            if want[k] > edge or (want[k] == edge and kept < most):
                place[kept] = place[k]
                kept += 1
        q = kept
    return place[:q], up - down


@_compiled
def _solve(
    crops: NDArray[np.float32],
    products: NDArray[np.float32],
    known: NDArray[np.bool_],
    error: Floats,
    beta: Floats,
    low: Floats,
    high: Floats,
    tolerance: float,
) -> None:
    """Bring one SVM below a violation, in place.

    Multipliers are signed (β = yα): low ≤ β ≤ high, Σβ = 0, w = Σβx. With error = y − w·x, β is
    optimal when no error of a multiplier that may rise exceeds one of one that may fall.
    """
    for _ in range(MOST_CYCLES):
        place, gap = _choose(error, beta, low, high)
        if gap < tolerance:
            return
        _fill(crops, products, known, place)
        q = len(place)
        within = np.empty((q, q), np.float32)
        for a in range(q):
            row = products[place[a]]
            for c in range(q):
                within[a, c] = row[place[c]]
        e, b, top, bottom = error[place], beta[place], high[place], low[place]
        for _ in range(TURNS):
            if _move_pairs(within, e, b, bottom, top, 0.5 * tolerance):
                break
            _move_free(within, e, b, bottom, top)
        for k in range(q):
            i = place[k]
            change = b[k] - beta[i]
            if change != 0.0:
                beta[i] = b[k]
                row = products[i]
                for m in range(len(error)):
                    error[m] -= change * row[m]


@_compiled
def _move_pairs(
    products: NDArray[np.float32],
    e: Floats,
    b: Floats,
    low: Floats,
    high: Floats,
    tolerance: float,
) -> bool:
    """Do steps of SMO (second-order choice of the pair); tell whether nothing is left to move."""
    q = len(e)
    for _ in range(STEPS):
        i, up, down = 0, -np.inf, np.inf
        for k in range(q):
            if b[k] < high[k] and e[k] > up:
                up, i = e[k], k
            if b[k] > low[k] and e[k] < down:
                down = e[k]
        if up - down < tolerance:
            return True
        one = products[i]
        j, best, step = 0, 0.0, 0.0
        for k in range(q):
            d = up - e[k]
            if d > 0 and b[k] > low[k]:
                far = max(one[i] + products[k, k] - 2 * one[k], TINY)
                if d * d > best * far:
                    best, j, step = d * d / far, k, d / far
        other = products[j]
        room, fall = high[i] - b[i], b[j] - low[j]
        step = min(step, room, fall)
        b[i] = high[i] if step == room else b[i] + step
        b[j] = low[j] if step == fall else b[j] - step
        for k in range(q):
            e[k] -= step * (one[k] - other[k])
    return False


@_compiled
def _cholesky_solve(system: Floats, wanted: Floats) -> bool:
    """Solve a positive definite system in place; tell whether it was one."""
    m = len(wanted)
    for c in range(m):
        pivot = system[c, c]
        if not pivot > 0:
            return False
        pivot = np.sqrt(pivot)
        # Rows hold the factor's columns, so that the inner loop runs along memory.
        line = system[c, c:]
        scale = 1 / pivot
        for k in range(m - c):
            line[k] *= scale
        for a in range(1, m - c):
            factor = line[a]
            below, beside = system[c + a, c + a :], line[a:]
            for k in range(len(beside)):
                below[k] -= factor * beside[k]
        wanted[c] *= scale
        rest, factor, beside = wanted[c + 1 :], wanted[c], line[1:]
        for k in range(len(beside)):
            rest[k] -= factor * beside[k]
    for c in range(m - 1, -1, -1):
        total = wanted[c]
        for k in range(c + 1, m):
            total -= system[c, k] * wanted[k]
        wanted[c] = total / system[c, c]
    return True


@_compiled
def _along(products: NDArray[np.float32], free: NDArray[np.int64], step: Floats) -> Floats:
    """Return what a step of the free multipliers takes from every error."""
    taken = np.zeros(len(products))
    for a in range(len(free)):
        row = products[free[a]]
        for k in range(len(taken)):
            taken[k] += step[a] * row[k]
    return taken


@_compiled
def _move_free(
    products: NDArray[np.float32], e: Floats, b: Floats, low: Floats, high: Floats
) -> None:
    """Do one Newton step on the free multipliers: towards where all their errors are equal."""
    free = np.flatnonzero((b > low) & (b < high))
    m = len(free)
    if m < 2:
        return
    # The first multiplier takes what the others give, so differences from it make the system.
    o = free[0]
    system = np.empty((m - 1, m - 1))
    wanted = np.empty(m - 1)
    for a in range(m - 1):
        i = free[a + 1]
        for c in range(a, m - 1):
            k = free[c + 1]
            system[a, c] = products[i, k] - products[i, o] - products[o, k] + products[o, o]
        system[a, a] += RIDGE * system[a, a] + TINY
        wanted[a] = e[i] - e[o]
    if not _cholesky_solve(system, wanted):
        return
    step = np.empty(m)
    step[1:] = wanted
    step[0] = -wanted.sum()
    start, error, bottom, top = b[free], e[free], low[free], high[free]
    limit, blocked = 1.0, -1
    for a in range(m):
        bound = top[a] if step[a] > 0 else bottom[a]
        if step[a] != 0.0 and (bound - start[a]) / step[a] < limit:
            limit, blocked = (bound - start[a]) / step[a], a
    taken = _along(products, free, step)
    slope, curve = (step * error).sum(), (step * taken[free]).sum()
    if not slope > 0 or not curve > 0:
        return
    length = min(limit, slope / curve)
    if length < limit:
        blocked = -1
    if blocked >= 0:
        # Bounds stand in the way: perhaps going to all of them at once gains more.
        gain = length * (slope - 0.5 * length * curve)
        bent = _folded(step, start, bottom, top)
        away = _along(products, free, bent)
        slope, curve = (bent * error).sum(), (bent * away[free]).sum()
        if slope > 0 and curve > 0:
            other = min(1.0, slope / curve)
            if other * (slope - 0.5 * other * curve) > gain:
                step, length, blocked, taken = bent, other, -1, away
    for a in range(m):
        now = start[a] + length * step[a]
        span = 1e-12 * (top[a] - bottom[a])
        if now <= bottom[a] + span or (a == blocked and step[a] < 0):
            now = bottom[a]
        if now >= top[a] - span or (a == blocked and step[a] > 0):
            now = top[a]
        b[free[a]] = now
    for k in range(len(e)):
        e[k] -= length * taken[k]


@_compiled
def _folded(step: Floats, beta: Floats, low: Floats, high: Floats) -> Floats:
    """Cut a step at the bounds, and take what that unbalances from those that have room."""
    target = np.minimum(np.maximum(beta + step, low), high)
    excess = (target - beta).sum()
    room = target - low if excess > 0 else high - target
    total = room.sum()
    if total > 0:
        target -= room * (excess / total)
    return target - beta
