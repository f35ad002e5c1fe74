"""Exact solution paths of linear SVMs: from one solution to another. Pure arrays, compiled.

Which crops lie on the margin changes one crop at a time; between two changes everything moves along
a straight line (Cauwenberghs and Poggio, 2000, NeurIPS 13; Karasuyama and Takeuchi, 2010, IEEE
Transactions on Neural Networks 21:1048, let many crops leave at once). A change alters the
direction by a multiple of one vector, that by which it alters the inverse. Of many crops only those
near the margin are watched on the way; at the end of a path the violation of optimality is computed
anew from all of them, and where it is too large another short path takes it away.

All compiled functions that call each other stand in this file: code kept on disk is made anew when
the file of its function changes, not when that of a function called from it does.
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
"""Share of the largest multiplier below which one is 0, and of C within which one is at C."""

ALL, NEAR, TIMES, MOST = 200, 0.5, 3, 0.75
"""Up to this many crops all are watched; of up to twice as many, this many, those nearest to the
margin. Of more, so many times as many as are this near to it or are to be moved, but at most this
share: many where classes overlap, else few. And twice as many each time that others were found to
be violated."""

AFRESH = 16
"""Changes after which a direction is computed anew, so that rounding does not add up."""

ROOM = 64
"""Crops on the margin for which there is room, beside one for each number in an embedding and those
that are there at the start."""

LINES = 4
"""Crops whose inner products with others are kept, as a multiple of the room on the margin."""

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
    """What is given: embeddings (n, D), ±1 (n,), C, and what softens the inner products."""

    rows: Singles
    sign: Floats
    bound: float
    ridge: float


class Standing(NamedTuple):
    """Where a path stands; signed multipliers β = yα, Σβ = 0, w = Σβx.

    `error` is what is asked of a crop less what it gets (0 on the margin), `state` one of `ZERO`,
    `FREE`, `BOUND`, `OUT`; shapes (n,).
    """

    beta: Floats
    error: Singles
    state: NDArray[np.int8]


class Margin(NamedTuple):
    """The crops on the margin, in places 1, 2 and so on.

    `crop` is which one, `sign` and `share` are its ±1 and α; `inverse` is that of the inner
    products, bordered in place 0 by ones for the intercept. Beyond the last place are zeros.
    """

    crop: Indices
    sign: Floats
    share: Floats
    inverse: Floats


class Products(NamedTuple):
    """Inner products of crops with all others, as far as they were needed.

    `line` tells which of `lines` is a crop's, −1 for none; of that the first `known` are known;
    `used` holds how many lines are in use.
    """

    line: Indices
    known: Indices
    lines: Singles
    used: Indices


@compiled
def _wide(top: int) -> int:
    """Give a length for places up to this one that whole vector instructions fill."""
    return (top // 16 + 1) * 16


@compiled
def _empty_margin(room: int) -> Margin:
    """Give a margin without crops."""
    wide = _wide(room)
    return Margin(
        np.zeros(wide, np.int64), np.zeros(wide), np.zeros(wide), np.zeros((wide + 4, wide))
    )  # fmt: skip


@compiled
def centred(features: NDArray[np.floating[Any]]) -> tuple[Floats, Singles]:
    """Give the mean of the embeddings and what is left without it."""
    n, width = features.shape
    centre = np.zeros(width)
    for i in range(n):
        for d in range(width):
            centre[d] += features[i, d]
    for d in range(width):
        centre[d] /= n
    rows = np.empty((n, width), np.float32)
    for i in range(n):
        for d in range(width):
            rows[i, d] = features[i, d] - centre[d]
    return centre, rows


@compiled
def folds_from_two(
    features: NDArray[np.floating[Any]], second: NDArray[np.bool_], fold: Indices, number: int,
    bound: float,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Fit the SVM of every fold, from a first plane between two crops.

    The arguments are those of `compute.probes.svm_folds.fit_folds`, and what is returned are the
    fields of its `Planes`.
    """
    # The intercept is free, so a shift of all crops changes nothing but the rounding.
    centre, rows = centred(features)
    crops = Given(rows, np.where(second, 1.0, -1.0), bound, SOFT / bound)
    start, rate = _from_two(crops)
    return _moved(_along(crops, start, rate, fold, number), centre)


@compiled
def folds_from(
    rows: Singles, centre: Floats, second: NDArray[np.bool_], fold: Indices, number: int,
    bound: float, beta: Floats, error: Singles, state: NDArray[np.int8], rate: Singles,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Fit the SVM of every fold, from a plane that is given.

    Parameters
    ----------
    rows, centre
        Embeddings less their mean, and the mean.
    second, fold, number, bound
        As for `folds_from_two`.
    beta, error, state
        Of a `Standing`.
    rate
        By how much what is asked of each crop is still to change, shape (n,).
    """
    crops = Given(rows, np.where(second, 1.0, -1.0), bound, SOFT / bound)
    return _moved(_along(crops, Standing(beta, error, state), rate, fold, number), centre)


@compiled
def _moved(planes: tuple[Floats, Floats, Floats], centre: Floats) -> tuple[Floats, Floats, Floats]:
    """Move planes by the mean that the embeddings were given without."""
    weight, bias, gap = planes
    for held in range(len(bias)):
        for d in range(len(centre)):
            bias[held] -= weight[held, d] * centre[d]
    return weight, bias, gap


@compiled
def _dots(rows: Singles, first: int, last: int, way: Singles, into: Singles) -> None:
    """Multiply rows by a vector, four at a time."""
    width, whole = len(way), last - (last - first) % 4
    for i in range(first, whole, 4):
        p, q, r, s = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for d in range(width):
            p += rows[i, d] * way[d]
            q += rows[i + 1, d] * way[d]
            r += rows[i + 2, d] * way[d]
            s += rows[i + 3, d] * way[d]
        into[i], into[i + 1], into[i + 2], into[i + 3] = p, q, r, s
    for i in range(whole, last):
        p = np.float32(0)
        for d in range(width):
            p += rows[i, d] * way[d]
        into[i] = p


@compiled
def _from_two(crops: Given) -> tuple[Standing, Singles]:
    """Solve for one crop of each class; ask no more of the others than they get.

    Returns
    -------
    Standing
        Where the path starts.
    rate : ndarray
        By how much what is asked of each crop is still to change, shape (n,).
    """
    rows, sign, bound, ridge = crops
    n, width = rows.shape
    beta, state = np.zeros(n), np.zeros(n, np.int8)
    # The two that are furthest apart: nearly all others lie between, so little is to change.
    way, reached = np.zeros(width, np.float32), np.zeros(n, np.float32)
    for i in range(n):
        for d in range(width):
            way[d] += np.float32(sign[i]) * rows[i, d]
    _dots(rows, 0, n, way, reached)
    one, two = -1, -1
    for i in range(n):
        if sign[i] > 0 and (one < 0 or reached[i] > reached[one]):
            one = i
        if sign[i] < 0 and (two < 0 or reached[i] < reached[two]):
            two = i
    far = 2 * ridge
    for d in range(width):
        way[d] = rows[one, d] - rows[two, d]
        far += np.float64(way[d]) * way[d]
    share = min(bound, 2 / far)
    beta[one], beta[two] = share, -share
    state[one] = state[two] = FREE if share < bound else BOUND
    _dots(rows, 0, n, (share * way).astype(np.float32), reached)
    middle = (reached[one] + reached[two]) / 2
    error, rate, most = np.empty(n, np.float32), np.zeros(n, np.float32), np.float32(0)
    for i in range(n):
        error[i] = sign[i] - reached[i] + middle - ridge * beta[i]
        if state[i] == ZERO:
            most = max(most, np.float32(sign[i] * error[i]))
    for i in range(n):
        if state[i] == ZERO:
            rate[i] = sign[i] * most
            error[i] -= rate[i]
        elif state[i] == FREE:
            error[i] = 0
    return Standing(beta, error, state), rate


@compiled
def _along(
    given: Given, start: Standing, rate: Singles, fold: Indices, number: int
) -> tuple[Floats, Floats, Floats]:
    """Follow the path to the solution on all crops, and from there to every fold.

    Returns
    -------
    weight, bias, gap : ndarray
        Of every fold, shapes (folds, D), (folds,), (folds,).
    """
    n, width = given.rows.shape
    room = min(n, width + ROOM + np.count_nonzero(start.state == FREE))
    weight, bias, gap = np.zeros((number, width)), np.zeros(number), np.full(number, np.inf)
    excess = 0.0
    for i in range(n):
        excess -= start.beta[i]
    margin, part = _empty_margin(room), _empty_margin(room)
    limit = min(n, LINES * len(margin.crop))
    products = Products(
        np.full(n, -1), np.zeros(limit, np.int64), np.empty((limit, n), np.float32),
        np.zeros(1, np.int64),
    )  # fmt: skip
    order, count = _nearest(start, rate)
    crops, at = given, start
    if count < n:  # else the order is as it was
        crops, at = _arranged(given, start, order)
        rate = rate[order]
    m, lack, _ = _settle(
        crops, at, margin, products, 0, count, rate, np.zeros(width), excess, np.empty(width)
    )
    if not lack < np.inf:
        return weight, bias, gap
    rate[:] = 0
    later, count = _nearest(at, rate)
    crops, at = _arranged(crops, at, later)
    products.line[:], products.used[0] = -1, 0
    place = np.empty(n, np.int64)
    place[later] = np.arange(n)
    for s in range(1, m + 1):
        margin.crop[s] = place[margin.crop[s]]
    fold = fold[order][later]
    rows = crops.rows
    here = Standing(np.empty(n), np.empty(n, np.float32), np.empty(n, np.int8))
    beta, state, top, nothing = here.beta, here.state, 0, np.zeros(len(margin.crop))
    for held in range(number):
        beta[:], here.error[:], state[:] = at.beta, at.error, at.state
        part.crop[:], part.sign[:], part.share[:] = margin.crop, margin.sign, margin.share
        top = max(top, m) + 1
        part.inverse[:top, :top] = margin.inverse[:top, :top]
        push, excess, top = np.zeros(width), 0.0, m
        for i in range(n):
            if fold[i] == held:
                share = beta[i]
                if share != 0:
                    excess += share
                    for d in range(width):
                        push[d] -= share * rows[i, d]
                beta[i], state[i] = 0.0, OUT
        for s in range(m, 0, -1):
            if state[margin.crop[s]] == OUT:
                top = _leave(part, top, s, nothing)
        rate[:] = 0
        top, gap[held], bias[held] = _settle(
            crops, here, part, products, top, count, rate, push, excess, weight[held]
        )
        top = len(margin.crop) - 1 if top < 0 else top
    return weight, bias, gap


@compiled
def _nearest(at: Standing, rate: Singles) -> tuple[Indices, int]:
    """Order crops by how near they are to the margin, those first of which more will be asked.

    Returns
    -------
    order : ndarray
        Shape (n,).
    count : int
        How many to watch.
    """
    n, count, error, state = len(rate), 0, at.error, at.state
    far = np.empty(n, np.float32)
    for i in range(n):
        far[i] = abs(error[i])
        if state[i] == FREE or rate[i] != 0:
            far[i] = -1
            count += 1
    near = 0
    for i in range(n):
        near += far[i] < NEAR
    count = max(count, ALL)
    if n > 2 * ALL:
        count = max(count, min(TIMES * near, int(MOST * n)))
    if count >= n:
        return np.arange(n), n
    return np.argsort(far), count


@compiled
def _arranged(crops: Given, at: Standing, order: Indices) -> tuple[Given, Standing]:
    """Put crops into another order."""
    old, rows = crops.rows, np.empty_like(crops.rows)
    for i in range(len(order)):
        who = order[i]
        for d in range(old.shape[1]):
            rows[i, d] = old[who, d]
    return (
        Given(rows, crops.sign[order], crops.bound, crops.ridge),
        Standing(at.beta[order], at.error[order], at.state[order]),
    )


@compiled
def _settle(
    crops: Given, at: Standing, margin: Margin, products: Products, m: int, count: int,
    rate: Singles, push: Floats, excess: float, weight: Floats,
) -> tuple[int, float, float]:  # fmt: skip
    """Follow a path, and further ones until nothing is violated; the arguments are `_follow`'s.

    Returns
    -------
    m : int
        Crops on the margin.
    gap, bias : float
        As in `Planes`; the weights are written into `weight`.
    """
    n, sign = len(rate), crops.sign
    beta, errors, states = at
    gap, bias = np.inf, 0.0
    for _ in range(ROUNDS):
        m = _follow(crops, at, margin, products, m, count, rate, push, excess)
        if m < 0:
            return m, np.inf, 0.0
        gap, bias = _violation(crops, at, weight)
        if gap < TOLERANCE:
            break
        push, excess, count = np.zeros(len(push)), 0.0, min(n, 2 * count)
        for i in range(n):
            error, state = errors[i], states[i]
            wants = sign[i] * error * (1 if state == ZERO else -1) > 0
            excess -= beta[i]
            rate[i] = 0
            if state == FREE or (state != OUT and wants):
                rate[i], errors[i] = error, 0
                count = max(count, i + 1)
    return m, gap, bias


@compiled
def _violation(crops: Given, at: Standing, weight: Floats) -> tuple[float, float]:
    """Compute weights, errors, the violation of optimality and the intercept anew."""
    rows, sign, bound, ridge = crops
    beta, errors, states = at
    n, width = len(sign), len(weight)
    most, weight[:] = 0.0, 0
    for i in range(n):
        share = beta[i]
        if share != 0:
            most = max(most, abs(share))
            for d in range(width):
                weight[d] += share * rows[i, d]
    error = np.empty(n)
    up, down, total, soft, count = -np.inf, np.inf, 0.0, 0.0, 0
    for i in range(n):
        reached = 0.0
        for d in range(width):
            reached += weight[d] * rows[i, d]
        error[i] = sign[i] - reached
        state, positive = states[i], sign[i] > 0
        if state == FREE:
            # A path can end just where a multiplier meets a bound.
            share, full = sign[i] * beta[i], (1 - END) * bound
            state = ZERO if share <= END * most else BOUND if share > full else FREE
        if state == FREE:
            total += error[i]
            soft += beta[i]
            count += 1
        if state == FREE or (state != OUT and (state == ZERO) == positive):
            up = max(up, error[i])
        if state == FREE or (state != OUT and (state == BOUND) == positive):
            down = min(down, error[i])
    # As libsvm chooses it.
    bias = total / count if count else (up + down) / 2
    shift = bias - ridge * soft / max(count, 1)
    for i in range(n):
        errors[i] = error[i] - shift - ridge * beta[i]
    return max(up - down, 0.0), bias


@compiled
def _line(crops: Given, products: Products, who: int, count: int) -> int:
    """Tell which line holds a crop's inner products with the first crops; compute what lacks."""
    line, known, lines, used = products
    place = line[who]
    if place < 0:
        place = line[who] = used[0]
        known[place] = 0
        used[0] += 1
    if known[place] < count:
        _dots(crops.rows, known[place], count, crops.rows[who], lines[place])
        known[place] = count
    return place


@compiled
def _spread(
    lines: Singles, line: Indices, crop: Indices, m: int, count: int, way: Floats, factor: float,
    change: Singles,
) -> None:  # fmt: skip
    """Subtract what a change of multipliers and intercept gives to every crop that is watched.

    Arrays, not the tuples that hold them: this is called so often that counting references to all
    of a tuple's arrays would show.
    """
    place, share = np.zeros(m + 8, np.int64), np.zeros(m + 8, np.float32)
    for s in range(m):
        place[s], share[s] = line[crop[s + 1]], factor * way[s + 1]
    for s in range(m, m + 8):
        place[s] = place[0]
    shift = np.float32(factor * way[0])
    for a in range(0, m, 8):
        p, q, r, s = place[a], place[a + 1], place[a + 2], place[a + 3]
        t, u, v, w = place[a + 4], place[a + 5], place[a + 6], place[a + 7]
        f, g, h, k = share[a], share[a + 1], share[a + 2], share[a + 3]
        b, c, d, e = share[a + 4], share[a + 5], share[a + 6], share[a + 7]
        for i in range(count):
            change[i] -= (
                (shift + (f * lines[p, i] + g * lines[q, i])) + (h * lines[r, i] + k * lines[s, i])
            ) + ((b * lines[t, i] + c * lines[u, i]) + (d * lines[v, i] + e * lines[w, i]))
        shift = np.float32(0)


@compiled
def _times(inverse: Floats, share: Floats, m: int, into: Floats) -> None:
    """Multiply the inverse by a vector, four lines at a time; zeros follow on both."""
    wide = _wide(m)
    into[:wide] = 0
    for a in range(0, m + 1, 4):
        t, u, v, w = share[a], share[a + 1], share[a + 2], share[a + 3]
        for c in range(wide):
            into[c] += (t * inverse[a, c] + u * inverse[a + 1, c]) + (
                v * inverse[a + 2, c] + w * inverse[a + 3, c]
            )


@compiled
def _renew(inverse: Floats, way: Floats, factor: float, m: int) -> None:
    """Add a vector's products with itself to the inverse."""
    wide = _wide(m)
    for a in range(m + 1):
        share = factor * way[a]
        for c in range(wide):
            inverse[a, c] += share * way[c]


@compiled
def _join(
    crops: Given, at: Standing, margin: Margin, products: Products, m: int, who: int, count: int,
    way: Floats,
) -> float:  # fmt: skip
    """Put a crop on the margin.

    Returns
    -------
    float
        What the crop gets of `way`: where its multiplier falls by 1, and the others on the margin
        and the intercept move so that nothing changes for them.
    """
    crop, sign, share, inverse = margin
    line = products.lines[_line(crops, products, who, count)]
    own, fresh = line[who] + crops.ridge, np.zeros(_wide(m + 1) + 4)
    fresh[0] = 1.0
    for s in range(1, m + 1):
        fresh[s] = line[crop[s]]
    m += 1
    crop[m], sign[m], share[m] = who, crops.sign[who], crops.sign[who] * at.beta[who]
    at.state[who] = FREE
    if m == 1:
        inverse[0, 0], inverse[1, 1] = -own, 0.0
        inverse[0, 1] = inverse[1, 0] = 1.0
        return 0.0
    _times(inverse, fresh, m, way)
    rest = own
    for s in range(m):
        rest -= way[s] * fresh[s]
    rest = max(rest, crops.ridge)
    way[m] = -1.0
    _renew(inverse, way, 1 / rest, m)
    return rest


@compiled
def _leave(margin: Margin, m: int, slot: int, step: Floats) -> int:
    """Take a crop off the margin; return how many are on it.

    The last takes its place, also in `step`.
    """
    crop, sign, share, inverse = margin
    if m == 1:
        inverse[0, 0] = inverse[0, 1] = inverse[1, 0] = inverse[1, 1] = 0.0
        return 0
    way = inverse[slot].copy()
    _renew(inverse, way, -1 / way[slot], m)
    crop[slot], sign[slot], share[slot], step[slot] = crop[m], sign[m], share[m], step[m]
    own, step[m] = inverse[m, m], 0.0
    for a in range(m):
        inverse[a, slot] = inverse[slot, a] = inverse[a, m]
        inverse[a, m] = inverse[m, a] = 0.0
    inverse[m, m] = 0.0
    if slot < m:
        inverse[slot, slot] = own
    return m - 1


@compiled
def _follow(
    crops: Given, at: Standing, margin: Margin, products: Products, m: int, count: int,
    rate: Singles, push: Floats, excess: float,
) -> int:  # fmt: skip
    """Follow a path in place.

    Parameters
    ----------
    crops, at, margin, products
        Where it starts.
    m
        How many crops are on the margin.
    count
        How many crops are watched, from the first.
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
    beta, error, state = at
    line, known, lines, used = products
    crop, signs, shares, inverse = margin
    sign, bound, room = crops.sign, crops.bound, len(crop) - 1
    wide = len(crop)
    step, way, toward, hurry = np.zeros(wide), np.zeros(wide), np.zeros(wide + 4), np.zeros(wide)
    change, haste = np.empty(count, np.float32), np.empty(count, np.float32)
    outer = np.empty(count, np.float32)
    # Numbers above 0 are ordered as their bits are, and the most of integers takes vector
    # instructions.
    soonest = np.zeros(1, np.float32)
    haste_bits, soonest_bits = haste.view(np.int32), soonest.view(np.int32)
    slack, least, nothing = np.float32(SLACK), np.float32(SLACK * SLACK), np.float32(0)
    # Times an error: how far a crop off the margin is from it.
    side = np.zeros(count, np.float32)
    for i in range(count):
        if state[i] == ZERO or state[i] == BOUND:
            side[i] = -sign[i] if state[i] == ZERO else sign[i]
    left, afresh = 1.0, True
    for turn in range(TURNS * len(beta) + 1):
        if used[0] + m + 2 > len(lines) < len(beta):
            line[:], used[0] = -1, 0
            for s in range(1, m + 1):
                _line(crops, products, crop[s], count)
        if m == 0:
            # At the start of all; or no crop can take up what the leaving ones give: shift the
            # intercept until one can.
            waiting = np.flatnonzero(state[:count] == FREE)
            if len(waiting) == 0 and excess != 0.0:
                way_up, who, best = 1.0 if excess > 0 else -1.0, -1, -np.inf
                for i in range(count):
                    able = ZERO if sign[i] == way_up else BOUND
                    if state[i] == able and way_up * error[i] > best:
                        who, best = i, way_up * error[i]
                if who < 0:
                    return -1
                moved = error[who]
                for i in range(count):
                    error[i] -= moved
                waiting = np.array([who])
            if len(waiting) > room:
                return -1
            for k in range(len(waiting)):
                who = waiting[k]
                _join(crops, at, margin, products, m, who, count, way)
                m, side[who] = m + 1, nothing
            afresh = True
        if afresh:
            # The direction in which the crops on the margin stay on it.
            afresh = False
            _dots(crops.rows, 0, count, push.astype(np.float32), outer)
            for i in range(count):
                outer[i] = rate[i] - outer[i]
            change[:] = outer
            step[:] = 0
            if m > 0:
                toward[:] = 0
                toward[0] = excess
                for s in range(1, m + 1):
                    toward[s] = change[crop[s]]
                    place = line[crop[s]]
                    if place < 0 or known[place] < count:
                        _line(crops, products, crop[s], count)
                _times(inverse, toward, m, step)
                _spread(lines, line, crop, m, count, step, 1.0, change)
        elif turn % AFRESH == 0:
            change[:] = outer
            _spread(lines, line, crop, m, count, step, 1.0, change)
        # How far it goes: to where a multiplier meets a bound, or a crop comes to the margin.
        length, who, slot, most = left, -1, -1, 0.0
        for s in range(1, m + 1):
            slope = signs[s] * step[s]
            gap = shares[s] if slope < 0 else bound - shares[s]
            hurry[s] = abs(slope) / max(gap, 1e-300)
            most = max(most, hurry[s])
        if most * length > 1:
            slot = 1
            while slot < m and hurry[slot] != most:
                slot += 1
            length, who = 1 / most, crop[slot]
        for i in range(count):
            haste[i] = -side[i] * change[i] / max(side[i] * error[i] + slack, least)
        most_bits = np.int32(0)
        for i in range(count):
            most_bits = max(most_bits, haste_bits[i])
        soonest_bits[0] = most_bits
        soon = soonest[0]
        if soon * length > 1:
            who, slot = 0, -1
            while who < count - 1 and haste[who] != soon:
                who += 1
            length = 1 / np.float64(soon)
        for s in range(1, m + 1):
            shares[s] += length * signs[s] * step[s]
        part = np.float32(length)
        for i in range(count):
            error[i] += part * change[i]
        left -= length
        if who < 0:
            for s in range(1, m + 1):
                beta[crop[s]] = signs[s] * shares[s]
            return m
        if slot > 0:
            falls = signs[slot] * step[slot] < 0
            state[who] = ZERO if falls else BOUND
            beta[who] = 0.0 if falls else sign[who] * bound
            side[who] = -sign[who] if falls else sign[who]
            error[who] = nothing
            if m > 1:
                pace = step[slot] / inverse[slot, slot]
                _spread(lines, line, crop, m, count, inverse[slot], -pace, change)
                for s in range(m + 1):
                    step[s] -= pace * inverse[slot, s]
                step[slot], change[who] = 0.0, pace
            m = _leave(margin, m, slot, step)
        elif m == room:
            return -1
        else:
            error[who] = side[who] = nothing
            pace = change[who]
            rest, m = _join(crops, at, margin, products, m, who, count, way), m + 1
            if m == 1:
                afresh = True
            else:
                _spread(lines, line, crop, m, count, way, -pace / rest, change)
                for s in range(m + 1):
                    step[s] -= pace / rest * way[s]
    return -1
