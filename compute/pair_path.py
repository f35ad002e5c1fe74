"""Exact solution paths of linear SVMs: from one solution to another. Pure arrays, compiled.

Which crops lie on the margin changes one crop at a time; between two changes everything moves along
a straight line (Cauwenberghs and Poggio, 2000, NeurIPS 13; Karasuyama and Takeuchi, 2010, IEEE
Transactions on Neural Networks 21:1048, let many crops leave at once). Of many crops only those
near the margin are watched on the way; at the end of a path the violation of optimality is computed
anew from all of them, and where it is too large another short path takes it away.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""Largest violation of optimality in a solution; scikit-learn's default for `SVC`."""

SOFT = TOLERANCE / 4
"""Added to the diagonal of the inner products, over C: crops that are alike, or more of them on the
margin than numbers in an embedding, would make it singular. It adds at most half of `TOLERANCE` to
the violation."""

SLACK = 1e-5
"""How far a crop may pass the margin before it counts: rounding of 32 bits must not make crops that
have just left come back."""

TURNS = 4
"""Changes on a path, as a multiple of the crops, before it is given up."""

ROUNDS = 8
"""Most paths one after the other, each of which takes away what the one before left."""

END = 1e-9
"""Share of C within which a multiplier is at a bound."""

ALL, SHARE = 160, 3
"""Up to this many crops all are watched; of more, the nearest of this many, and twice as many each
time that others were found to be violated."""

ZERO, FREE, BOUND, OUT = 0, 1, 2, 3
"""A crop's multiplier is 0, between (the crop is on the margin), C, or the crop takes no part."""

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Indices = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile on first use, keep the code on disk, and let other threads run meanwhile.

    Sums may be taken in another order (`reassoc`), so that they use vector instructions.
    """
    flags = {"reassoc", "contract", "nnan", "nsz"}
    compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=flags)
    return cast(Function, compiled(function))


class Given(NamedTuple):
    """What is given: embeddings twice, crop by crop (n, D) and number by number (D, n); ±1; C."""

    rows: Singles
    tall: Singles
    sign: Floats
    bound: float
    ridge: float


class Margin(NamedTuple):
    """Where a path stands; signed multipliers β = yα, Σβ = 0, w = Σβx.

    `error` is what is asked of a crop less what it gets (0 on the margin), `state` one of `ZERO`,
    `FREE`, `BOUND`, `OUT`; shapes (n,). `free` are the crops on the margin, `on` their embeddings,
    `pull` by how much what each must get changes along the path, beside what the multipliers on the
    margin do; `inverse` is that of their inner products, bordered by ones for the intercept. There
    is room for more crops than are on it.
    """

    beta: Floats
    error: Singles
    state: NDArray[np.int8]
    free: Indices
    pull: Floats
    on: Floats
    inverse: Floats


@compiled
def empty_margin(n: int, room: int, width: int) -> Margin:
    """Give a margin without crops."""
    return Margin(
        np.zeros(n), np.zeros(n, np.float32), np.zeros(n, np.int8), np.empty(room, np.int64),
        np.empty(room), np.zeros((room + 4, width)), np.zeros((_wide(room) + 4, _wide(room))),
    )  # fmt: skip


@compiled
def _wide(m: int) -> int:
    """Give a length for m multipliers and the intercept that whole vector instructions fill."""
    return (m // 16 + 1) * 16


@compiled
def along(
    crops: Given, margin: Margin, rate: Singles, fold: Indices, number: int
) -> tuple[Floats, Floats, Floats]:
    """Follow the path to the solution on all crops, and from there to every fold.

    Returns
    -------
    weight, bias, gap : ndarray
        Of every fold, shapes (folds, D), (folds,), (folds,).
    """
    n, width = crops.rows.shape
    weight, bias, gap = np.zeros((number, width)), np.zeros(number), np.full(number, np.inf)
    excess = 0.0
    for i in range(n):
        excess -= margin.beta[i]
    m, lack, _ = _settle(crops, margin, 0, rate, np.zeros(width), excess, np.empty(width))
    if not lack < np.inf:
        return weight, bias, gap
    rate = np.zeros(n, np.float32)
    part, top = empty_margin(n, len(margin.free), width), 0
    for held in range(number):
        part.beta[:], part.error[:], part.state[:] = margin.beta, margin.error, margin.state
        part.free[:m], part.on[:m] = margin.free[:m], margin.on[:m]
        part.inverse[:top, :top] = 0.0
        part.inverse[: m + 1, : m + 1] = margin.inverse[: m + 1, : m + 1]
        push, excess, left = np.zeros(width), 0.0, m
        for i in range(n):
            if fold[i] == held:
                share = part.beta[i]
                if share != 0:
                    excess += share
                    for d in range(width):
                        push[d] -= share * crops.rows[i, d]
                part.beta[i], part.state[i] = 0.0, OUT
        for a in range(m - 1, -1, -1):
            if part.state[part.free[a]] == OUT:
                left = _leave(part, left, a)
        for a in range(left):
            total = 0.0
            for d in range(width):
                total -= part.on[a, d] * push[d]
            part.pull[a] = total
        left, gap[held], bias[held] = _settle(crops, part, left, rate, push, excess, weight[held])
        top = left + 1 if left >= 0 else len(part.inverse)
    return weight, bias, gap


@compiled
def _settle(
    crops: Given, margin: Margin, m: int, rate: Singles, push: Floats, excess: float,
    weight: Floats,
) -> tuple[int, float, float]:  # fmt: skip
    """Follow a path, and further ones until nothing is violated; the arguments are `_follow`'s.

    Returns
    -------
    m : int
        Crops on the margin.
    gap, bias : float
        As in `Planes`; the weights are written into `weight`.
    """
    n, width = crops.rows.shape
    gap, bias = np.inf, 0.0
    for turn in range(ROUNDS):
        if n <= ALL:
            m = _follow(crops, margin, m, rate, push, excess)
        else:
            near = _near(margin, rate, (n // SHARE) << turn)
            place = np.empty(n, np.int64)
            place[near] = np.arange(len(near))
            rows = np.empty((len(near), width), np.float32)
            tall = np.empty((width, len(near)), np.float32)
            for k in range(len(near)):
                rows[k] = crops.rows[near[k]]
            for d in range(width):
                for k in range(len(near)):
                    tall[d, k] = rows[k, d]
            few = Given(rows, tall, crops.sign[near], crops.bound, crops.ridge)
            part = Margin(
                margin.beta[near], margin.error[near], margin.state[near], margin.free,
                margin.pull, margin.on, margin.inverse,
            )  # fmt: skip
            for a in range(m):
                margin.free[a] = place[margin.free[a]]
            m = _follow(few, part, m, rate[near], push, excess)
            for a in range(m):
                margin.free[a] = near[margin.free[a]]
            margin.beta[near], margin.state[near] = part.beta, part.state
        if m < 0:
            return m, np.inf, 0.0
        gap, bias = _violation(crops, margin, weight)
        if gap < TOLERANCE:
            break
        push, rate, excess = np.zeros(width), np.zeros(n, np.float32), 0.0
        for i in range(n):
            error, state = margin.error[i], margin.state[i]
            wants = crops.sign[i] * error * (1 if state == ZERO else -1) > 0
            excess -= margin.beta[i]
            if state == FREE or (state != OUT and wants):
                rate[i], margin.error[i] = error, 0
        for a in range(m):
            margin.pull[a] = rate[margin.free[a]]
    return m, gap, bias


@compiled
def _near(margin: Margin, rate: Singles, count: int) -> Indices:
    """Choose the crops to watch: those near the margin, or of which more will be asked."""
    n = len(rate)
    far = np.empty(n, np.float32)
    for i in range(n):
        far[i] = abs(margin.error[i])
        if margin.state[i] == FREE or rate[i] != 0:
            far[i] = 0
        if margin.state[i] == OUT:
            far[i] = np.inf
    count = min(count, n - 1)
    limit = np.partition(far, count)[count]
    return np.flatnonzero(far <= limit)


@compiled
def _violation(crops: Given, margin: Margin, weight: Floats) -> tuple[float, float]:
    """Compute weights, errors, the violation of optimality and the intercept anew."""
    n, width = crops.rows.shape
    weight[:] = 0
    add_weight(crops, margin.beta, weight)
    error = crops.sign.copy()
    for d in range(width):
        share = weight[d]
        for i in range(n):
            error[i] -= share * crops.tall[d, i]
    up, down, total, soft, count = -np.inf, np.inf, 0.0, 0.0, 0
    for i in range(n):
        state, positive = margin.state[i], crops.sign[i] > 0
        if state == FREE:
            # A path can end just where a multiplier meets a bound.
            share = crops.sign[i] * margin.beta[i] / crops.bound
            state = ZERO if share < END else BOUND if share > 1 - END else FREE
        if state == FREE:
            total += error[i]
            soft += margin.beta[i]
            count += 1
        if state == FREE or (state != OUT and (state == ZERO) == positive):
            up = max(up, error[i])
        if state == FREE or (state != OUT and (state == BOUND) == positive):
            down = min(down, error[i])
    # As libsvm chooses it.
    bias = total / count if count else (up + down) / 2
    shift = bias - crops.ridge * soft / max(count, 1)
    for i in range(n):
        margin.error[i] = error[i] - shift - crops.ridge * margin.beta[i]
    return max(up - down, 0.0), bias


@compiled
def add_weight(crops: Given, beta: Floats, weight: Floats) -> None:
    """Add the sum of embeddings times multipliers."""
    for i in range(len(beta)):
        share = beta[i]
        if share != 0:
            for d in range(len(weight)):
                weight[d] += share * crops.rows[i, d]


@compiled
def subtract(tall: Singles, way: Floats, change: Singles) -> None:
    """Subtract what a step along `way` gives to every crop; eight numbers at a time."""
    width, n = tall.shape
    w = way.astype(np.float32)
    whole = width - width % 8
    for d in range(0, whole, 8):
        a, b, c, e = w[d], w[d + 1], w[d + 2], w[d + 3]
        f, g, h, k = w[d + 4], w[d + 5], w[d + 6], w[d + 7]
        for i in range(n):
            change[i] -= (
                (a * tall[d, i] + b * tall[d + 1, i]) + (c * tall[d + 2, i] + e * tall[d + 3, i])
            ) + (
                (f * tall[d + 4, i] + g * tall[d + 5, i])
                + (h * tall[d + 6, i] + k * tall[d + 7, i])
            )
    for d in range(whole, width):
        for i in range(n):
            change[i] -= w[d] * tall[d, i]


@compiled
def _combine(lines: Floats, share: Floats, first: int, count: int, into: Floats) -> None:
    """Add lines times shares, which begin at `first`, four at a time; zeros follow on both."""
    for a in range(0, count, 4):
        b = first + a
        t, u, v, w = share[b], share[b + 1], share[b + 2], share[b + 3]
        for c in range(len(into)):
            into[c] += (t * lines[a, c] + u * lines[a + 1, c]) + (
                v * lines[a + 2, c] + w * lines[a + 3, c]
            )


@compiled
def _join(crops: Given, margin: Margin, m: int, who: int, rate: float, push: Floats) -> int:
    """Put a crop on the margin; return how many are on it."""
    on, inverse, width = margin.on, margin.inverse, margin.on.shape[1]
    own, pull = crops.ridge, float(rate)
    for d in range(width):
        value = np.float64(crops.rows[who, d])
        on[m, d] = value
        own += value * value
        pull -= value * push[d]
    margin.free[m], margin.pull[m], margin.state[who] = who, pull, FREE
    if m == 0:
        inverse[0, 0], inverse[1, 1] = -own, 0.0
        inverse[0, 1] = inverse[1, 0] = 1.0
        return 1
    # The new row and column of the bordered matrix, and what the inverse makes of them.
    wide = _wide(m)
    fresh, column = np.zeros(wide + 4), np.zeros(wide)
    fresh[0] = 1.0
    for a in range(m):
        total = 0.0
        for d in range(width):
            total += on[a, d] * on[m, d]
        fresh[a + 1] = total
    _combine(inverse, fresh, 0, m + 1, column)
    rest = own
    for a in range(m + 1):
        rest -= column[a] * fresh[a]
    rest = 1 / max(rest, crops.ridge)
    for a in range(m + 1):
        inverse[m + 1, a] = rest * column[a]
    for a in range(m + 1):
        share = inverse[m + 1, a]
        for c in range(wide):
            inverse[a, c] += share * column[c]
        inverse[a, m + 1] = -share
    for a in range(m + 1):
        inverse[m + 1, a] = -inverse[m + 1, a]
    inverse[m + 1, m + 1] = rest
    return m + 1


@compiled
def _leave(margin: Margin, m: int, place: int) -> int:
    """Take a crop off the margin; return how many are on it."""
    if m == 1:
        return 0
    inverse, p = margin.inverse, place + 1
    # It changes places with the last, which then leaves.
    if p < m:
        for c in range(m + 1):
            inverse[p, c], inverse[m, c] = inverse[m, c], inverse[p, c]
        for a in range(m + 1):
            inverse[a, p], inverse[a, m] = inverse[a, m], inverse[a, p]
        margin.free[place], margin.pull[place] = margin.free[m - 1], margin.pull[m - 1]
        for d in range(margin.on.shape[1]):
            margin.on[place, d] = margin.on[m - 1, d]
    wide = _wide(m)
    last = inverse[m, :wide].copy()
    column = last / last[m]  # kept, so that the loop below does not divide
    for a in range(m):
        share = column[a]
        for c in range(wide):
            inverse[a, c] -= share * last[c]
        inverse[a, m] = 0.0
    inverse[m, : m + 1] = 0.0
    return m - 1


@compiled
def _follow(
    crops: Given, margin: Margin, m: int, rate: Singles, push: Floats, excess: float
) -> int:
    """Follow a path in place.

    Parameters
    ----------
    crops, margin, m
        Where it starts; `m` crops are on the margin.
    rate
        By how much what is asked of each crop changes along the path, shape (n,).
    push
        What crops outside add to the weights along it, shape (D,).
    excess
        What the multipliers within gain in sum along it.

    Returns
    -------
    int
        How many crops are on the margin at its end; −1 where it was given up.
    """
    beta, error, state, free, pull, on, inverse = margin
    sign, bound, n = crops.sign, crops.bound, len(margin.beta)
    room, width = len(margin.free), margin.on.shape[1]
    step, toward, way = np.empty(_wide(room) + 4), np.empty(_wide(room) + 4), np.empty(width)
    change, haste = np.empty(n, np.float32), np.empty(n, np.float32)
    slack, least, nothing = np.float32(SLACK), np.float32(SLACK * SLACK), np.float32(0)
    # Times an error: how far a crop off the margin is from it.
    side = np.zeros(n, np.float32)
    for i in range(n):
        if state[i] == ZERO or state[i] == BOUND:
            side[i] = -sign[i] if state[i] == ZERO else sign[i]
    left = 1.0
    for _ in range(TURNS * n + 1):
        if m == 0:
            # At the start of all; or no crop can take up what the leaving ones give: shift the
            # intercept until one can.
            waiting = np.flatnonzero(state == FREE)
            if len(waiting) == 0 and excess != 0.0:
                way_up, who, best = 1.0 if excess > 0 else -1.0, -1, -np.inf
                for i in range(n):
                    able = ZERO if sign[i] == way_up else BOUND
                    if state[i] == able and way_up * error[i] > best:
                        who, best = i, way_up * error[i]
                if who < 0:
                    return -1
                moved = error[who]
                for i in range(n):
                    error[i] -= moved
                waiting = np.array([who])
            if len(waiting) > room:
                return -1
            for some in range(len(waiting)):
                who = waiting[some]
                m, side[who] = _join(crops, margin, m, who, rate[who], push), 0
        # The direction in which the crops on the margin stay on it.
        toward[0], shift = excess, 0.0
        toward[1 : m + 1], way[:] = pull[:m], push
        if m > 0:
            wide = _wide(m)
            toward[m + 1 : m + 5], step[: wide + 4] = 0.0, 0.0
            _combine(inverse, toward, 0, m + 1, step[:wide])
            _combine(on, step, 1, m, way)
            shift = step[0]
        # How far it goes: to where a multiplier meets a bound, or a crop comes to the margin.
        length, who, place = left, -1, -1
        for a in range(m):
            i = free[a]
            value, slope = sign[i] * beta[i], sign[i] * step[a + 1]
            if slope < 0 and value < -slope * length:
                length, who, place = max(value, 0.0) / -slope, i, a
            elif slope > 0 and bound - value < slope * length:
                length, who, place = max(bound - value, 0.0) / slope, i, a
        moved = np.float32(shift)
        for i in range(n):
            change[i] = rate[i] - moved
        subtract(crops.tall, way, change)
        most = nothing
        for i in range(n):
            haste[i] = -side[i] * change[i] / max(side[i] * error[i] + slack, least)
            most = max(most, haste[i])
        if most * length > 1:
            for i in range(n):
                if haste[i] == most:
                    length, who, place = 1 / np.float64(most), i, -1
                    break
        for a in range(m):
            beta[free[a]] += length * step[a + 1]
            change[free[a]] = nothing
        part = np.float32(length)
        for i in range(n):
            error[i] += part * change[i]
        left -= length
        if who < 0:
            return m
        if place >= 0:
            falls = sign[who] * step[place + 1] < 0
            state[who] = ZERO if falls else BOUND
            beta[who] = 0.0 if falls else sign[who] * bound
            side[who] = -sign[who] if falls else sign[who]
            m = _leave(margin, m, place)
        elif m == room:
            return -1
        else:
            error[who] = side[who] = nothing
            m = _join(crops, margin, m, who, rate[who], push)
    return -1
