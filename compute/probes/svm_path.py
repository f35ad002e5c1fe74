"""Linear support-vector machines of all folds of a pair test, by following solution paths.

Layer: pure arrays, no files; compiled with numba.

What is solved
    For every fold, on the crops that it does not hold out: minimise ½‖w‖² + C Σ ξᵢ subject to
    yᵢ (w·xᵢ + b) ≥ 1 − ξᵢ and ξᵢ ≥ 0. In the dual every crop has a multiplier 0 ≤ αᵢ ≤ C, with
    Σ yᵢαᵢ = 0 and w = Σ yᵢαᵢxᵢ. What is stored is the signed multiplier yᵢαᵢ, `dual_coef` as in
    scikit-learn. With the residual rᵢ = yᵢ − w·xᵢ − b, a solution fulfils the KKT conditions: α = 0
    where yr < 0 (beyond the margin), α = C where yr > 0 (short of it), and r = 0 where 0 < α < C.

How a path is followed
    The crops with 0 < α < C are the active set. While no crop enters or leaves it, its multipliers
    and the intercept are linear in the path's parameter, which goes from 0 to 1, because the active
    residuals must stay 0. That is one linear system, with the kernel matrix bordered by ones for
    the intercept. Its inverse is kept, and changed by a matrix of rank one when a crop enters or
    leaves (Cauwenberghs and Poggio, 2000, Incremental and decremental support vector machine
    learning, NeurIPS 13). At a breakpoint a multiplier reaches 0 or C, or a crop outside reaches
    the margin; then the direction changes by a multiple of one vector. Many crops can be removed
    along one path (Karasuyama and Takeuchi, 2010, Multiple incremental decremental learning of
    support vector machines, IEEE Transactions on Neural Networks 21:1048).

The three kinds of path
    1. From a start that is cheap (two crops, or the smoothed hinge of `compute.probes.svm_folds`)
       to the solution on all crops. At the start the targets yᵢ are shifted so that the KKT
       conditions hold; along the path they return to ±1.
    2. From there to each fold: the multipliers of its held-out crops shrink to 0.
    3. A correction, where the KKT violation at the end of a path is too large: the targets of what
       violates are shifted, as at the start, and return.

What keeps it fast
    Of many crops only those near the margin are watched for breakpoints, as in shrinking
    (Joachims, 1999, Making large-scale SVM learning practical). Kernel rows, the inner products of
    a crop with all that are watched, are computed once, in 32 bits. So no path is trusted: at its
    end the KKT violation is computed anew, in 64 bits and from all crops, as libsvm defines it
    (Fan, Chen and Lin, 2005, JMLR 6:1889), and what stays above `TOLERANCE` is reported.

Why the file is long
    Numba keeps compiled code on disk until the file of the compiled function changes. It does not
    look at the files of functions that are called from it. So all functions here that call each
    other must stand in one file, or an edit could leave old code in use.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""Largest violation of optimality in a solution; scikit-learn's default for `SVC`."""

RIDGE = TOLERANCE / 4
"""Over C, added to the diagonal of the kernel matrix. Crops that are alike, or more active crops
than an embedding has numbers, would make it singular. It adds at most half of `TOLERANCE` to the
KKT violation."""

MARGIN_TOLERANCE = 1e-5
"""How far a crop outside the active set may pass the margin before that is a breakpoint: with
rounding to 32 bits, crops that have just left would enter again."""

BREAKPOINTS_PER_CROP = 4
"""Breakpoints, as a multiple of the crops, after which a path is given up."""

MAX_PATHS = 8
"""Most paths for one solution: the first, and corrections."""

BOX_TOLERANCE = 1e-9
"""α counts as 0 up to this share of the largest α, and as C within this share of C."""

WATCH_ALL, WATCH_WITHIN, WATCH_TIMES, WATCH_MOST = 200, 0.5, 3, 0.75
"""Which crops are watched: those nearest to the margin. Of up to `WATCH_ALL` crops all are, of up
to twice as many the nearest `WATCH_ALL`. Of more, `WATCH_TIMES` as many as have a residual within
± `WATCH_WITHIN`, but at most the share `WATCH_MOST`: many where classes overlap, few else. Always
those that are active or whose target changes. Their number doubles with every correction."""

REFRESH_EVERY = 16
"""Breakpoints after which the change of the residuals is computed anew, so that rounding does not
add up."""

ACTIVE_SET_SPARE = 64
"""Places in the active set, beside one for each number in an embedding and for each crop that is
active at the start."""

KERNEL_ROWS_PER_PLACE = 4
"""Kernel rows that are kept, as a multiple of the places in the active set."""

AT_ZERO, FREE, AT_C, HELD_OUT = 0, 1, 2, 3
"""Status of a crop: α = 0, 0 < α < C (the active set), α = C, or it has no part in the fold."""

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


class DualProblem(NamedTuple):
    """What an SVM is fitted to.

    Parameters
    ----------
    x
        Embeddings less their mean, shape (n, D).
    y
        Labels, 1 for the pair's second class and −1 for its first, shape (n,).
    box
        C, the upper end of every α.
    ridge
        `RIDGE` over C.
    """

    x: Singles
    y: Floats
    box: float
    ridge: float


class PathPoint(NamedTuple):
    """Where a path stands.

    Parameters
    ----------
    dual_coef
        yα of each crop, shape (n,). Of an active crop it is written at the end of a path only; on
        the way `ActiveSet.alpha` has it.
    residual
        Target − w·x − b − ridge · yα, which is 0 for active crops; shape (n,).
    status
        `AT_ZERO`, `FREE`, `AT_C` or `HELD_OUT`, shape (n,).
    """

    dual_coef: Floats
    residual: Singles
    status: NDArray[np.int8]


class ActiveSet(NamedTuple):
    """The crops on the margin, in places 1 to m; place 0 is the intercept's.

    Arrays are longer than the places that are in use, and zero beyond them.

    Parameters
    ----------
    crops
        Which crop is in each place, shape (places,).
    y, alpha
        Its label and multiplier, shape (places,).
    inverse
        Inverse of the kernel matrix of these crops, with the ridge, bordered in place 0 by ones;
        shape (places + 4, places).
    """

    crops: Indices
    y: Floats
    alpha: Floats
    inverse: Floats


class KernelRows(NamedTuple):
    """Inner products of some crops with the crops that are watched.

    Parameters
    ----------
    row_of
        Row of `values` in which each crop's are, −1 for none, shape (n,).
    filled
        How many of a row, from the first, are computed, shape (rows,).
    values
        The inner products, shape (rows, n).
    used
        How many rows are in use, shape (1,).
    """

    row_of: Indices
    filled: Indices
    values: Singles
    used: Indices


@compiled
def _padded(places: int) -> int:
    """Return a length that holds places 0 to `places` and fills whole vector registers."""
    return (places // 16 + 1) * 16


@compiled
def _empty_active_set(capacity: int) -> ActiveSet:
    """Return an active set without crops, with room for `capacity` of them."""
    padded = _padded(capacity)
    return ActiveSet(
        np.zeros(padded, np.int64), np.zeros(padded), np.zeros(padded),
        np.zeros((padded + 4, padded)),
    )  # fmt: skip


@compiled
def centred(features: NDArray[np.floating[Any]]) -> tuple[Floats, Singles]:
    """Subtract the mean of the embeddings.

    Parameters
    ----------
    features
        Shape (n, D).

    Returns
    -------
    centre : ndarray
        The mean, shape (D,).
    x : ndarray
        The embeddings less the mean, in 32 bits, shape (n, D).
    """
    n, width = features.shape
    centre = np.zeros(width)
    for i in range(n):
        for d in range(width):
            centre[d] += features[i, d]
    for d in range(width):
        centre[d] /= n
    x = np.empty((n, width), np.float32)
    for i in range(n):
        for d in range(width):
            x[i, d] = features[i, d] - centre[d]
    return centre, x


@compiled
def folds_from_two_crops(
    features: NDArray[np.floating[Any]], second: NDArray[np.bool_], fold: Indices, number: int,
    box: float,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Fit the SVM of every fold; the path starts from the SVM of two crops.

    Parameters
    ----------
    features, second, fold, number, box
        As for `compute.probes.svm_folds.fit_folds`.

    Returns
    -------
    weight, bias, kkt_violation : ndarray
        Fields of `compute.probes.svm_folds.Solutions`.
    """
    # The intercept is free, so a shift of all crops changes nothing but the rounding.
    centre, x = centred(features)
    problem = DualProblem(x, np.where(second, 1.0, -1.0), box, RIDGE / box)
    start, target_change = _start_from_two_crops(problem)
    return _uncentred(_follow_to_folds(problem, start, target_change, fold, number), centre)


@compiled
def folds_from_warm_start(
    x: Singles, centre: Floats, second: NDArray[np.bool_], fold: Indices, number: int,
    box: float, dual_coef: Floats, residual: Singles, status: NDArray[np.int8],
    target_change: Singles,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Fit the SVM of every fold; the path starts from multipliers that are given.

    Parameters
    ----------
    x, centre
        From `centred`.
    second, fold, number, box
        As for `compute.probes.svm_folds.fit_folds`.
    dual_coef, residual, status
        Fields of the `PathPoint` to start from. The multipliers need not sum to 0.
    target_change
        By how much each crop's target, and so its residual, is still to rise, shape (n,).

    Returns
    -------
    weight, bias, kkt_violation : ndarray
        Fields of `compute.probes.svm_folds.Solutions`.
    """
    problem = DualProblem(x, np.where(second, 1.0, -1.0), box, RIDGE / box)
    return _uncentred(
        _follow_to_folds(
            problem, PathPoint(dual_coef, residual, status), target_change, fold, number
        ),
        centre,
    )


@compiled
def _uncentred(
    solutions: tuple[Floats, Floats, Floats], centre: Floats
) -> tuple[Floats, Floats, Floats]:
    """Change intercepts from embeddings less their mean to embeddings as they are."""
    weight, bias, violation = solutions
    for held in range(len(bias)):
        for d in range(len(centre)):
            bias[held] -= weight[held, d] * centre[d]
    return weight, bias, violation


@compiled
def _dot_rows(rows: Singles, first: int, last: int, vector: Singles, out: Singles) -> None:
    """Write the products of rows `first` to `last` with a vector into `out`, four at a time."""
    width, whole = len(vector), last - (last - first) % 4
    for i in range(first, whole, 4):
        p, q, r, s = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for d in range(width):
            p += rows[i, d] * vector[d]
            q += rows[i + 1, d] * vector[d]
            r += rows[i + 2, d] * vector[d]
            s += rows[i + 3, d] * vector[d]
        out[i], out[i + 1], out[i + 2], out[i + 3] = p, q, r, s
    for i in range(whole, last):
        p = np.float32(0)
        for d in range(width):
            p += rows[i, d] * vector[d]
        out[i] = p


@compiled
def _start_from_two_crops(problem: DualProblem) -> tuple[PathPoint, Singles]:
    """Solve for one crop of each class; shift the targets of all others so that they have α = 0.

    Returns
    -------
    start : PathPoint
        Where the path starts.
    target_change : ndarray
        By how much each crop's target is still to rise, shape (n,).
    """
    x, y, box, ridge = problem
    n, width = x.shape
    dual_coef, status = np.zeros(n), np.zeros(n, np.int8)
    # The two that are furthest apart: nearly all others lie between, so little is to change.
    direction, score = np.zeros(width, np.float32), np.zeros(n, np.float32)
    for i in range(n):
        for d in range(width):
            direction[d] += np.float32(y[i]) * x[i, d]
    _dot_rows(x, 0, n, direction, score)
    first, second = -1, -1
    for i in range(n):
        if y[i] > 0 and (first < 0 or score[i] > score[first]):
            first = i
        if y[i] < 0 and (second < 0 or score[i] < score[second]):
            second = i
    curvature = 2 * ridge
    for d in range(width):
        direction[d] = x[first, d] - x[second, d]
        curvature += np.float64(direction[d]) * direction[d]
    alpha = min(box, 2 / curvature)
    dual_coef[first], dual_coef[second] = alpha, -alpha
    status[first] = status[second] = FREE if alpha < box else AT_C
    _dot_rows(x, 0, n, (alpha * direction).astype(np.float32), score)
    middle = (score[first] + score[second]) / 2
    residual, target_change, largest = (
        np.empty(n, np.float32),
        np.zeros(n, np.float32),
        np.float32(0),
    )
    for i in range(n):
        residual[i] = y[i] - score[i] + middle - ridge * dual_coef[i]
        if status[i] == AT_ZERO:
            largest = max(largest, np.float32(y[i] * residual[i]))
    for i in range(n):
        if status[i] == AT_ZERO:
            target_change[i] = y[i] * largest
            residual[i] -= target_change[i]
        elif status[i] == FREE:
            residual[i] = 0
    return PathPoint(dual_coef, residual, status), target_change


@compiled
def _follow_to_folds(
    problem: DualProblem, start: PathPoint, target_change: Singles, fold: Indices, number: int
) -> tuple[Floats, Floats, Floats]:
    """Follow the path to the solution on all crops, and from there to every fold.

    Parameters
    ----------
    problem
        All crops of the pair test.
    start, target_change
        As from `_start_from_two_crops`; both are written into.
    fold
        Fold in which each crop is held out, shape (n,).
    number
        Number of folds.

    Returns
    -------
    weight, bias, kkt_violation : ndarray
        Of every fold, shapes (folds, D), (folds,), (folds,); for embeddings less their mean. The
        violation is infinite where a path was given up.
    """
    n, width = problem.x.shape
    capacity = min(n, width + ACTIVE_SET_SPARE + np.count_nonzero(start.status == FREE))
    weight, bias, violation = np.zeros((number, width)), np.zeros(number), np.full(number, np.inf)
    sum_change = 0.0
    for i in range(n):
        sum_change -= start.dual_coef[i]
    active, fold_active = _empty_active_set(capacity), _empty_active_set(capacity)
    cached = min(n, KERNEL_ROWS_PER_PLACE * len(active.crops))
    kernel = KernelRows(
        np.full(n, -1), np.zeros(cached, np.int64), np.empty((cached, n), np.float32),
        np.zeros(1, np.int64),
    )  # fmt: skip
    order, watched = _choose_watched(start, target_change)
    ordered, point = problem, start
    if watched < n:  # else the order is as it was
        ordered, point = _reordered(problem, start, order)
        target_change = target_change[order]
    m, left, _ = _solve(
        ordered, point, active, kernel, 0, watched, target_change, np.zeros(width), sum_change,
        np.empty(width),
    )  # fmt: skip
    if not left < np.inf:
        return weight, bias, violation
    target_change[:] = 0
    reorder, watched = _choose_watched(point, target_change)
    ordered, point = _reordered(ordered, point, reorder)
    kernel.row_of[:], kernel.used[0] = -1, 0
    place = np.empty(n, np.int64)
    place[reorder] = np.arange(n)
    for s in range(1, m + 1):
        active.crops[s] = place[active.crops[s]]
    fold = fold[order][reorder]
    x = ordered.x
    fold_point = PathPoint(np.empty(n), np.empty(n, np.float32), np.empty(n, np.int8))
    dual_coef, status, size, no_direction = (
        fold_point.dual_coef, fold_point.status, 0, np.zeros(len(active.crops)),
    )  # fmt: skip
    for held in range(number):
        dual_coef[:], fold_point.residual[:], status[:] = (
            point.dual_coef, point.residual, point.status,
        )  # fmt: skip
        fold_active.crops[:], fold_active.y[:], fold_active.alpha[:] = (
            active.crops, active.y, active.alpha,
        )  # fmt: skip
        size = max(size, m) + 1
        fold_active.inverse[:size, :size] = active.inverse[:size, :size]
        weight_change, sum_change, size = np.zeros(width), 0.0, m
        for i in range(n):
            if fold[i] == held:
                coef = dual_coef[i]
                if coef != 0:
                    sum_change += coef
                    for d in range(width):
                        weight_change[d] -= coef * x[i, d]
                dual_coef[i], status[i] = 0.0, HELD_OUT
        for s in range(m, 0, -1):
            if status[active.crops[s]] == HELD_OUT:
                size = _leave(fold_active, size, s, no_direction)
        target_change[:] = 0
        size, violation[held], bias[held] = _solve(
            ordered, fold_point, fold_active, kernel, size, watched, target_change, weight_change,
            sum_change, weight[held],
        )  # fmt: skip
        # A path that was given up may have filled the inverse anywhere; the next copy covers it.
        size = len(active.crops) - 1 if size < 0 else size
    return weight, bias, violation


@compiled
def _choose_watched(point: PathPoint, target_change: Singles) -> tuple[Indices, int]:
    """Order crops by their distance from the margin, and choose how many of them to watch.

    Returns
    -------
    order : ndarray
        Active crops and those whose target changes, then the others, nearest first; shape (n,).
    watched : int
        How many to watch, from the first.
    """
    n, watched, residual, status = len(target_change), 0, point.residual, point.status
    distance = np.empty(n, np.float32)
    for i in range(n):
        distance[i] = abs(residual[i])
        if status[i] == FREE or target_change[i] != 0:
            distance[i] = -1
            watched += 1
    near = 0
    for i in range(n):
        near += distance[i] < WATCH_WITHIN
    watched = max(watched, WATCH_ALL)
    if n > 2 * WATCH_ALL:
        watched = max(watched, min(WATCH_TIMES * near, int(WATCH_MOST * n)))
    if watched >= n:
        return np.arange(n), n
    return np.argsort(distance), watched


@compiled
def _reordered(
    problem: DualProblem, point: PathPoint, order: Indices
) -> tuple[DualProblem, PathPoint]:
    """Return the crops in another order; `order` has the old place of each, shape (n,)."""
    old, x = problem.x, np.empty_like(problem.x)
    for i in range(len(order)):
        crop = order[i]
        for d in range(old.shape[1]):
            x[i, d] = old[crop, d]
    return (
        DualProblem(x, problem.y[order], problem.box, problem.ridge),
        PathPoint(point.dual_coef[order], point.residual[order], point.status[order]),
    )


@compiled
def _solve(
    problem: DualProblem, point: PathPoint, active: ActiveSet, kernel: KernelRows, m: int,
    watched: int, target_change: Singles, weight_change: Floats, sum_change: float, weight: Floats,
) -> tuple[int, float, float]:  # fmt: skip
    """Follow a path, then corrections until the KKT violation is below `TOLERANCE`.

    Parameters
    ----------
    problem, point, active, kernel, m, watched, target_change, weight_change, sum_change
        As for `_follow`.
    weight
        Takes the weights, shape (D,).

    Returns
    -------
    m : int
        Active crops at the end; −1 where a path was given up.
    violation : float
        The KKT violation; infinite where a path was given up.
    bias : float
        The intercept.
    """
    n, y = len(target_change), problem.y
    dual_coef, residuals, statuses = point
    violation, bias = np.inf, 0.0
    for _ in range(MAX_PATHS):
        m = _follow(
            problem, point, active, kernel, m, watched, target_change, weight_change, sum_change
        )
        if m < 0:
            return m, np.inf, 0.0
        violation, bias = _kkt_violation(problem, point, weight)
        if violation < TOLERANCE:
            break
        weight_change, sum_change, watched = np.zeros(len(weight_change)), 0.0, min(n, 2 * watched)
        for i in range(n):
            residual, status = residuals[i], statuses[i]
            wants = y[i] * residual * (1 if status == AT_ZERO else -1) > 0
            sum_change -= dual_coef[i]
            target_change[i] = 0
            if status == FREE or (status != HELD_OUT and wants):
                target_change[i], residuals[i] = residual, 0
                watched = max(watched, i + 1)
    return m, violation, bias


@compiled
def _kkt_violation(problem: DualProblem, point: PathPoint, weight: Floats) -> tuple[float, float]:
    """Compute weights, residuals and the KKT violation anew, in 64 bits and from all crops.

    The violation is libsvm's (Fan, Chen and Lin, 2005): the highest y − w·x among the crops whose
    yα may rise, less the lowest among those whose yα may fall. So is the intercept: the mean of
    y − w·x over the active set, or, where that is empty, the middle of those two.

    Parameters
    ----------
    problem, point
        Multipliers and status are read, residuals written.
    weight
        Takes the weights, shape (D,).

    Returns
    -------
    violation : float
        At least 0.
    bias : float
        The intercept.
    """
    x, y, box, ridge = problem
    dual_coef, residuals, statuses = point
    n, width = len(y), len(weight)
    largest, weight[:] = 0.0, 0
    for i in range(n):
        coef = dual_coef[i]
        if coef != 0:
            largest = max(largest, abs(coef))
            for d in range(width):
                weight[d] += coef * x[i, d]
    residual = np.empty(n)
    highest, lowest, free_residual, free_coef, n_free = -np.inf, np.inf, 0.0, 0.0, 0
    for i in range(n):
        score = 0.0
        for d in range(width):
            score += weight[d] * x[i, d]
        residual[i] = y[i] - score
        status, positive = statuses[i], y[i] > 0
        if status == FREE:
            # A path can end just where a multiplier reaches 0 or C.
            coef, nearly_c = y[i] * dual_coef[i], (1 - BOX_TOLERANCE) * box
            status = (
                AT_ZERO if coef <= BOX_TOLERANCE * largest else AT_C if coef > nearly_c else FREE
            )
        if status == FREE:
            free_residual += residual[i]
            free_coef += dual_coef[i]
            n_free += 1
        if status == FREE or (status != HELD_OUT and (status == AT_ZERO) == positive):
            highest = max(highest, residual[i])
        if status == FREE or (status != HELD_OUT and (status == AT_C) == positive):
            lowest = min(lowest, residual[i])
    # The intercept that libsvm chooses; that of the path differs by the mean of ridge · yα.
    bias = free_residual / n_free if n_free else (highest + lowest) / 2
    shift = bias - ridge * free_coef / max(n_free, 1)
    for i in range(n):
        residuals[i] = residual[i] - shift - ridge * dual_coef[i]
    return max(highest - lowest, 0.0), bias


@compiled
def _kernel_row(problem: DualProblem, kernel: KernelRows, crop: int, watched: int) -> int:
    """Return the row of `kernel.values` with a crop's inner products; compute what is missing."""
    row_of, filled, values, used = kernel
    row = row_of[crop]
    if row < 0:
        row = row_of[crop] = used[0]
        filled[row] = 0
        used[0] += 1
    if filled[row] < watched:
        _dot_rows(problem.x, filled[row], watched, problem.x[crop], values[row])
        filled[row] = watched
    return row


@compiled
def _subtract_response(
    kernel_rows: Singles, row_of: Indices, crops: Indices, m: int, watched: int, step: Floats,
    factor: float, residual_change: Singles,
) -> None:  # fmt: skip
    """Subtract from the residuals' change what a step of intercept and multipliers gives.

    It takes arrays, not the tuples that hold them: it is called so often that counting references
    to all arrays of a tuple would show.

    Parameters
    ----------
    kernel_rows, row_of, crops, m, watched
        Of `KernelRows`, `ActiveSet` and `_follow`.
    step
        Change of the intercept (place 0) and of each active yα, shape (places,).
    factor
        Times which the step is taken.
    residual_change
        Changed in place, shape (watched,).
    """
    row, coef = np.zeros(m + 8, np.int64), np.zeros(m + 8, np.float32)
    for s in range(m):
        row[s], coef[s] = row_of[crops[s + 1]], factor * step[s + 1]
    for s in range(m, m + 8):
        row[s] = row[0]
    shift = np.float32(factor * step[0])
    for a in range(0, m, 8):
        p, q, r, s = row[a], row[a + 1], row[a + 2], row[a + 3]
        t, u, v, w = row[a + 4], row[a + 5], row[a + 6], row[a + 7]
        f, g, h, k = coef[a], coef[a + 1], coef[a + 2], coef[a + 3]
        b, c, d, e = coef[a + 4], coef[a + 5], coef[a + 6], coef[a + 7]
        for i in range(watched):
            residual_change[i] -= (
                (shift + (f * kernel_rows[p, i] + g * kernel_rows[q, i]))
                + (h * kernel_rows[r, i] + k * kernel_rows[s, i])
            ) + (
                (b * kernel_rows[t, i] + c * kernel_rows[u, i])
                + (d * kernel_rows[v, i] + e * kernel_rows[w, i])
            )
        shift = np.float32(0)


@compiled
def _multiply(inverse: Floats, vector: Floats, m: int, out: Floats) -> None:
    """Write the inverse times a vector into `out`, four rows at a time; zeros follow in both."""
    padded = _padded(m)
    out[:padded] = 0
    for a in range(0, m + 1, 4):
        t, u, v, w = vector[a], vector[a + 1], vector[a + 2], vector[a + 3]
        for c in range(padded):
            out[c] += (t * inverse[a, c] + u * inverse[a + 1, c]) + (
                v * inverse[a + 2, c] + w * inverse[a + 3, c]
            )


@compiled
def _rank_one_update(inverse: Floats, vector: Floats, factor: float, m: int) -> None:
    """Add `factor` times the outer product of a vector with itself to the inverse, in place."""
    padded = _padded(m)
    for a in range(m + 1):
        scaled = factor * vector[a]
        for c in range(padded):
            inverse[a, c] += scaled * vector[c]


@compiled
def _enter(
    problem: DualProblem, point: PathPoint, active: ActiveSet, kernel: KernelRows, m: int,
    crop: int, watched: int, sensitivity: Floats,
) -> float:  # fmt: skip
    """Put a crop into the active set, in place m + 1.

    Parameters
    ----------
    problem, point, active, kernel, m, watched
        As for `_follow`.
    crop
        Which.
    sensitivity
        Takes how the intercept and the active yα answer where the new crop's yα falls by 1, so that
        no other active residual changes; −1 in the new place. Shape (places,).

    Returns
    -------
    float
        By how much the crop's own residual rises then: its Schur complement in the bordered
        kernel matrix.
    """
    crops, y, alpha, inverse = active
    kernel_row = kernel.values[_kernel_row(problem, kernel, crop, watched)]
    diagonal, column = kernel_row[crop] + problem.ridge, np.zeros(_padded(m + 1) + 4)
    column[0] = 1.0
    for s in range(1, m + 1):
        column[s] = kernel_row[crops[s]]
    m += 1
    crops[m], y[m], alpha[m] = crop, problem.y[crop], problem.y[crop] * point.dual_coef[crop]
    point.status[crop] = FREE
    if m == 1:
        inverse[0, 0], inverse[1, 1] = -diagonal, 0.0
        inverse[0, 1] = inverse[1, 0] = 1.0
        return 0.0
    _multiply(inverse, column, m, sensitivity)
    schur = diagonal
    for s in range(m):
        schur -= sensitivity[s] * column[s]
    schur = max(schur, problem.ridge)
    sensitivity[m] = -1.0
    _rank_one_update(inverse, sensitivity, 1 / schur, m)
    return schur


@compiled
def _leave(active: ActiveSet, m: int, place: int, direction: Floats) -> int:
    """Take the crop in a place out of the active set; the last one takes its place.

    Parameters
    ----------
    active, m
        As for `_follow`.
    place
        Which, 1 to m.
    direction
        Change of intercept and active yα along the path, rearranged alike; shape (places,).

    Returns
    -------
    int
        How many crops are active now.
    """
    crops, y, alpha, inverse = active
    if m == 1:
        inverse[0, 0] = inverse[0, 1] = inverse[1, 0] = inverse[1, 1] = 0.0
        return 0
    column = inverse[place].copy()
    _rank_one_update(inverse, column, -1 / column[place], m)
    crops[place], y[place], alpha[place], direction[place] = crops[m], y[m], alpha[m], direction[m]
    diagonal, direction[m] = inverse[m, m], 0.0
    for a in range(m):
        inverse[a, place] = inverse[place, a] = inverse[a, m]
        inverse[a, m] = inverse[m, a] = 0.0
    inverse[m, m] = 0.0
    if place < m:
        inverse[place, place] = diagonal
    return m - 1


@compiled
def _follow(
    problem: DualProblem, point: PathPoint, active: ActiveSet, kernel: KernelRows, m: int,
    watched: int, target_change: Singles, weight_change: Floats, sum_change: float,
) -> int:  # fmt: skip
    """Follow a path from one solution to another, in place.

    Along the path, whose parameter goes from 0 to 1, three things change at a constant rate; what
    is given is their whole change. The active multipliers and the intercept answer.

    Parameters
    ----------
    problem
        The crops; those that are watched come first.
    point, active, kernel
        Where it starts, and then where it ends.
    m
        Active crops at its start.
    watched
        How many crops are watched.
    target_change
        Change of each crop's target, shape (n,).
    weight_change
        Change of the weights by multipliers outside the active set, shape (D,).
    sum_change
        Change of the sum of yα within the active set.

    Returns
    -------
    int
        Active crops at its end; −1 where the path was given up: the active set is full, no crop can
        take up `sum_change`, or there were too many breakpoints.
    """
    dual_coef, residual, status = point
    row_of, filled, kernel_rows, used = kernel
    crops, active_y, alpha, inverse = active
    y, box, capacity = problem.y, problem.box, len(crops) - 1
    padded = len(crops)
    direction, sensitivity, right_side, box_rate = (
        np.zeros(padded), np.zeros(padded), np.zeros(padded + 4), np.zeros(padded),
    )  # fmt: skip
    residual_change, margin_rate = np.empty(watched, np.float32), np.empty(watched, np.float32)
    imposed = np.empty(watched, np.float32)
    # A rate is relative to the distance that is left, so the soonest breakpoint has the largest,
    # and 1 / rate is the step to it. Numbers above 0 are ordered as their bits are, and the largest
    # of many integers is found with vector instructions.
    largest = np.zeros(1, np.float32)
    margin_rate_bits, largest_bits = margin_rate.view(np.int32), largest.view(np.int32)
    tolerance, floor, zero = (
        np.float32(MARGIN_TOLERANCE), np.float32(MARGIN_TOLERANCE * MARGIN_TOLERANCE),
        np.float32(0),
    )  # fmt: skip
    # Times the residual this is the distance from the margin of a crop that is not active.
    margin_side = np.zeros(watched, np.float32)
    for i in range(watched):
        if status[i] == AT_ZERO or status[i] == AT_C:
            margin_side[i] = -y[i] if status[i] == AT_ZERO else y[i]
    remaining, refresh = 1.0, True
    for breakpoints in range(BREAKPOINTS_PER_CROP * len(dual_coef) + 1):
        if used[0] + m + 2 > len(kernel_rows) < len(dual_coef):
            row_of[:], used[0] = -1, 0
            for s in range(1, m + 1):
                _kernel_row(problem, kernel, crops[s], watched)
        if m == 0:
            # No crop is active: at the start of all, or because every one has left. Where the sum
            # of yα must change, shift the intercept until a crop that can do so is on the margin.
            entering = np.flatnonzero(status[:watched] == FREE)
            if len(entering) == 0 and sum_change != 0.0:
                wanted, crop, best = 1.0 if sum_change > 0 else -1.0, -1, -np.inf
                for i in range(watched):
                    able = AT_ZERO if y[i] == wanted else AT_C
                    if status[i] == able and wanted * residual[i] > best:
                        crop, best = i, wanted * residual[i]
                if crop < 0:
                    return -1
                shift = residual[crop]
                for i in range(watched):
                    residual[i] -= shift
                entering = np.array([crop])
            if len(entering) > capacity:
                return -1
            for k in range(len(entering)):
                crop = entering[k]
                _enter(problem, point, active, kernel, m, crop, watched, sensitivity)
                m, margin_side[crop] = m + 1, zero
            refresh = True
        if refresh:
            # The direction in which the active residuals stay 0.
            refresh = False
            _dot_rows(problem.x, 0, watched, weight_change.astype(np.float32), imposed)
            for i in range(watched):
                imposed[i] = target_change[i] - imposed[i]
            residual_change[:] = imposed
            direction[:] = 0
            if m > 0:
                right_side[:] = 0
                right_side[0] = sum_change
                for s in range(1, m + 1):
                    right_side[s] = residual_change[crops[s]]
                    row = row_of[crops[s]]
                    if row < 0 or filled[row] < watched:
                        _kernel_row(problem, kernel, crops[s], watched)
                _multiply(inverse, right_side, m, direction)
                _subtract_response(
                    kernel_rows, row_of, crops, m, watched, direction, 1.0, residual_change
                )
        elif breakpoints % REFRESH_EVERY == 0:
            residual_change[:] = imposed
            _subtract_response(
                kernel_rows, row_of, crops, m, watched, direction, 1.0, residual_change
            )
        # The step to the next breakpoint: an active multiplier reaches 0 or C, or another crop the
        # margin.
        step, crop, place, largest_box_rate = remaining, -1, -1, 0.0
        for s in range(1, m + 1):
            slope = active_y[s] * direction[s]
            distance = alpha[s] if slope < 0 else box - alpha[s]
            box_rate[s] = abs(slope) / max(distance, 1e-300)
            largest_box_rate = max(largest_box_rate, box_rate[s])
        if largest_box_rate * step > 1:
            place = 1
            while place < m and box_rate[place] != largest_box_rate:
                place += 1
            step, crop = 1 / largest_box_rate, crops[place]
        for i in range(watched):
            margin_rate[i] = -margin_side[i] * residual_change[i] / max(
                margin_side[i] * residual[i] + tolerance, floor
            )  # fmt: skip
        bits = np.int32(0)
        for i in range(watched):
            bits = max(bits, margin_rate_bits[i])
        largest_bits[0] = bits
        largest_margin_rate = largest[0]
        if largest_margin_rate * step > 1:
            crop, place = 0, -1
            while crop < watched - 1 and margin_rate[crop] != largest_margin_rate:
                crop += 1
            step = 1 / np.float64(largest_margin_rate)
        for s in range(1, m + 1):
            alpha[s] += step * active_y[s] * direction[s]
        step_32 = np.float32(step)
        for i in range(watched):
            residual[i] += step_32 * residual_change[i]
        remaining -= step
        if crop < 0:
            for s in range(1, m + 1):
                dual_coef[crops[s]] = active_y[s] * alpha[s]
            return m
        if place > 0:
            falls = active_y[place] * direction[place] < 0
            status[crop] = AT_ZERO if falls else AT_C
            dual_coef[crop] = 0.0 if falls else y[crop] * box
            margin_side[crop] = -y[crop] if falls else y[crop]
            residual[crop] = zero
            if m > 1:
                rate = direction[place] / inverse[place, place]
                _subtract_response(
                    kernel_rows, row_of, crops, m, watched, inverse[place], -rate, residual_change
                )
                for s in range(m + 1):
                    direction[s] -= rate * inverse[place, s]
                direction[place], residual_change[crop] = 0.0, rate
            m = _leave(active, m, place, direction)
        elif m == capacity:
            return -1
        else:
            residual[crop] = margin_side[crop] = zero
            rate = residual_change[crop]
            schur, m = _enter(problem, point, active, kernel, m, crop, watched, sensitivity), m + 1
            if m == 1:
                refresh = True
            else:
                _subtract_response(
                    kernel_rows, row_of, crops, m, watched, sensitivity, -rate / schur,
                    residual_change,
                )  # fmt: skip
                for s in range(m + 1):
                    direction[s] -= rate / schur * sensitivity[s]
    return -1
