"""The SVMs of many pair tests at once, on a GPU. Pure tensors, no files.

Minimises the same function as scikit-learn's ``SVC(kernel="linear")`` (hinge loss, free intercept),
by an interior-point method in 64 bits (Mehrotra, 1992, SIAM Journal on Optimization 2:575; Ferris
and Munson, 2003, SIAM Journal on Optimization 13:783, for linear SVMs): a step asks for one product
of the embeddings with themselves and one Cholesky factor, of as many rows as an embedding has
numbers, and 10 to 20 steps suffice whatever the crops. Steps are the same for every SVM, so a batch
of them keeps a GPU busy. Every step ends with libsvm's own question: how far is the solution, with
multipliers at their bounds where they are about to be, from optimal?
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute.devices import BatchSize
from compute.errors import UsageError
from compute.probes.svm_folds import Planes
from compute.probes.svm_path import TOLERANCE

BUDGET = 1 << 30
"""Bytes that a batch of SVMs may take on the device; halved where memory runs out."""

GRADES = 8
"""Numbers of crops are rounded up to so many steps between a power of two and the next: SVMs of one
size go together, and at most an eighth of the rows is empty."""

AIM = TOLERANCE / 10
"""Violation of optimality at which an SVM leaves the batch: a step further than need be, so that
how the batch was made up hardly shows."""

STEPS = 60
"""Most steps; what does not fulfil `TOLERANCE` by then goes to the reference."""

STAY = 0.995
"""Share of the way to the nearest bound that a step goes."""

AHEAD = 3.5
"""How far beyond the margin every crop is said to be at first, in units of the margin. Found by
trying on embeddings: from 0.5 to 60 the number of steps changes by a fifth."""

WIDE = 0.75
"""The batch is packed anew once so few of its SVMs are left."""


@dataclass(frozen=True)
class Problem:
    """One SVM to fit: a pair test without one of its folds.

    Parameters
    ----------
    rows
        Crops of the pair test, rows of its embeddings, shape (n,).
    second
        Which of them are of the pair's second class, shape (n,).
    fold
        Fold in which each is held out, shape (n,).
    held
        The fold to leave out; the others have crops of both classes.
    """

    rows: NDArray[np.int64]
    second: NDArray[np.bool_]
    fold: NDArray[np.int64]
    held: int

    @property
    def size(self) -> int:
        """Number of crops to learn from."""
        return int(np.count_nonzero(self.fold != self.held))


def fit_batched(
    features: NDArray[np.float32],
    problems: Sequence[Problem],
    bound: float,
    device: str = "cpu",
    budget: int = BUDGET,
) -> Planes:
    """Fit many SVMs, each on its own crops.

    Parameters
    ----------
    features
        Embeddings of all crops, brought to the device once, shape (N, D).
    problems
        The SVMs, P of them.
    bound
        The SVMs' C.
    device
        PyTorch's name of a device that has 64-bit numbers.
    budget
        Bytes that a batch may take there.

    Returns
    -------
    Planes
        One row per problem, in their order.

    Raises
    ------
    UsageError
        The device has no 64-bit numbers.
    BystanderError
        Its memory does not hold the embeddings, or not even one SVM.
    """
    where = torch.device(device)
    if where.type == "mps":
        raise UsageError(
            f"Pair tests cannot be fitted in batches on device {device!r}: it has no 64-bit "
            "numbers.",
            "Allowed: cuda, cuda:N, cpu. The shared solver needs no device.",
        )
    width = features.shape[1]
    weight, bias = np.zeros((len(problems), width)), np.zeros(len(problems))
    gap = np.full(len(problems), np.inf)
    there = _brought(features, where)
    for members, room in _sizes(problems):
        each = _bytes(room, width)
        asked = max(1, budget // each)
        size, start = BatchSize(asked, where, of="SVM"), 0
        while start < len(members):
            chosen = members[start : start + size.now]

            def fit(chosen: NDArray[np.int64] = chosen, room: int = room) -> None:
                index, sign = _gather([problems[k] for k in chosen], room)
                given = _given(there, index, sign)
                weight[chosen], bias[chosen], gap[chosen] = _solve(given, bound)

            start = size.attempt(fit, start, start + len(chosen))
        if size.now < asked:  # what was too much for one size is for the next
            budget = size.now * each
    return Planes(weight, bias, gap)


def _brought(features: NDArray[np.float32], device: torch.device) -> Tensor:
    """Bring a condition's embeddings to the device."""
    kept: list[Tensor] = []
    whole = BatchSize(1, device, of="condition's embeddings")
    whole.attempt(lambda: kept.append(torch.as_tensor(features, device=device)), 0, 1)
    return kept[0]


def _sizes(problems: Sequence[Problem]) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Put problems of similar size together; give their places and the rows they take."""
    size = np.array([problem.size for problem in problems], np.int64)
    grade = 2.0 ** np.floor(np.log2(np.maximum(size, GRADES))) / GRADES
    room = (np.ceil(size / grade) * grade).astype(np.int64)
    for rows in np.unique(room)[::-1].tolist():
        yield np.flatnonzero(room == rows), rows


def _bytes(room: int, width: int) -> int:
    """Bytes of one SVM at work: its crops three times, some vectors, some small matrices."""
    return 8 * (room * (3 * (width + 1) + 40) + 4 * (width + 1) ** 2)


def _gather(
    problems: Sequence[Problem], room: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """List each problem's crops and their classes as ±1; an empty row is one of them times 0."""
    index = np.empty((len(problems), room), np.int64)
    sign = np.zeros((len(problems), room))
    for k, problem in enumerate(problems):
        train = problem.fold != problem.held
        own = problem.rows[train]
        index[k, : len(own)], index[k, len(own) :] = own, own[0]
        sign[k, : len(own)] = np.where(problem.second[train], 1.0, -1.0)
    return index, sign


@dataclass(frozen=True)
class _Given:
    """What a batch of B SVMs is given.

    `rows` are the embeddings less their mean, with a 1 for the intercept, times ±1: (B, n, D + 1);
    `sign` ±1, 0 in empty rows, (B, n); `centre` the mean, (B, D); `square` the mean squared length
    of an embedding, (B, 1).
    """

    rows: Tensor
    sign: Tensor
    centre: Tensor
    square: Tensor


@dataclass(frozen=True)
class _Point:
    """Where the SVMs of a batch stand.

    `plane` are weights and intercept, (B, D + 1); of every crop `share` is its multiplier, `rest`
    what is left of it to C, `beyond` how far the crop is beyond the margin, `lack` how far short
    of it, all above zero, (B, n). At the solution share × beyond and rest × lack are zero.
    """

    plane: Tensor
    share: Tensor
    rest: Tensor
    beyond: Tensor
    lack: Tensor


def _given(features: Tensor, index: NDArray[np.int64], sign: NDArray[np.float64]) -> _Given:
    signs = torch.as_tensor(sign, device=features.device)
    full = signs.abs()
    count = full.sum(1, keepdim=True)
    batch, room = index.shape
    rows = signs.new_empty(batch, room, features.shape[1] + 1)
    inner = rows[:, :, :-1]
    inner.copy_(features[torch.as_tensor(index, device=features.device)])
    # The intercept is free, so a shift of all crops changes nothing but the rounding.
    centre = torch.bmm(full[:, None], inner)[:, 0] / count
    inner.sub_(centre[:, None])
    rows[:, :, -1] = 1.0
    rows.mul_(signs[:, :, None])
    square = rows.square().sum((1, 2))[:, None] / count - 1
    return _Given(rows, signs, centre, square)


def _solve(
    given: _Given, bound: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit a batch; give weights (B, D), intercepts (B,) and violations of optimality (B,)."""
    batch = len(given.rows)
    left = torch.arange(batch, device=given.rows.device)
    weight, centre = torch.zeros_like(given.centre), given.centre
    bias = weight.new_zeros(batch)
    gap = torch.full_like(bias, torch.inf)
    point, going = _start(given, bound), None
    for _ in range(STEPS):
        point = _step(given, point)
        w, b, far = _rounded(given, point, bound)
        better = far < gap[left]
        if going is not None:
            better &= going
        # Without asking which: an answer would have the device wait.
        weight[left] = torch.where(better[:, None], w, weight[left])
        bias[left] = torch.where(better, b, bias[left])
        gap[left] = torch.where(better, far, gap[left])
        sound = torch.isfinite(point.plane).all(1)
        going = (gap[left] >= AIM) & sound
        count = int(going.sum())
        if count == 0:
            break
        if count <= WIDE * len(left):
            kept = torch.nonzero(going)[:, 0]
            given, point, left, going = _of(given, kept), _of(point, kept), left[kept], None
    bias -= (weight * centre).sum(1)
    return weight.cpu().numpy(), bias.cpu().numpy(), gap.cpu().numpy()


Tensors = TypeVar("Tensors", _Given, _Point)


def _of(tensors: Tensors, kept: Tensor) -> Tensors:
    """Take some of the SVMs of a batch."""
    return type(tensors)(*(getattr(tensors, f.name)[kept] for f in fields(tensors)))


def _start(given: _Given, bound: float) -> _Point:
    """Start in the middle of all bounds: no plane yet, and every crop alike."""
    like = given.sign
    beyond, lack = torch.full_like(like, AHEAD), torch.full_like(like, AHEAD + 1)
    # Both products are the same.
    share = torch.full_like(like, bound * (AHEAD + 1) / (2 * AHEAD + 1))
    plane = like.new_zeros(len(like), given.rows.shape[2])
    return _Point(plane, share, bound - share, beyond, lack)


def _step(given: _Given, at: _Point) -> _Point:
    """Take one step: first where Newton's would lead, then the one that stays clear of bounds."""
    rows, full = given.rows, given.sign.abs()
    count = 2 * full.sum(1, keepdim=True)
    gets = torch.bmm(rows, at.plane[:, :, None])[:, :, 0]
    # What rounding, and a start that is none, leave of the conditions that are linear.
    short = full * (gets - 1 + at.lack - at.beyond)
    stiff = full / (at.lack / at.rest + at.beyond / at.share)
    system = torch.bmm((rows * stiff[:, :, None]).mT, rows)
    system.diagonal(dim1=1, dim2=2)[:, :-1] += 1
    factor, _ = torch.linalg.cholesky_ex(system)

    def solve(out: Tensor, inn: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Move so that share × beyond grows by `out`, and rest × lack by `inn`."""
        wanted = out / at.share - inn / at.rest - short
        right = torch.bmm((at.share + stiff * wanted)[:, None], rows)[:, 0]
        right[:, :-1] -= at.plane[:, :-1]
        move = torch.cholesky_solve(right[:, :, None], factor)
        more = stiff * (wanted - torch.bmm(rows, move)[:, :, 0])
        away = full * (out - at.beyond * more) / at.share
        near = full * (inn + at.lack * more) / at.rest
        return move[:, :, 0], more, away, near

    def length(more: Tensor, away: Tensor, near: Tensor) -> Tensor:
        """How far every multiplier and slack stays above zero, at most 1."""
        fall = torch.stack(
            [-(more / at.share), more / at.rest, -(away / at.beyond), -(near / at.lack)]
        )
        return 1 / fall.amax((0, 2)).clamp_min(1.0)[:, None]

    one, two = at.share * at.beyond, at.rest * at.lack
    now = (full * (one + two)).sum(1, keepdim=True) / count
    _, more, away, near = solve(-one, -two)
    far = length(more, away, near)
    then = (at.share + far * more) * (at.beyond + far * away)
    then += (at.rest - far * more) * (at.lack + far * near)
    aim = now * ((full * then).sum(1, keepdim=True) / count / now) ** 3
    move, more, away, near = solve(aim - one - more * away, aim - two + more * near)
    far = STAY * length(more, away, near)
    return _Point(
        at.plane + far * move, at.share + far * more, at.rest - far * more,
        at.beyond + far * away, at.lack + far * near,
    )  # fmt: skip


def _rounded(given: _Given, at: _Point, bound: float) -> tuple[Tensor, Tensor, Tensor]:
    """Put multipliers to the bounds they tend to; compute the violation of optimality anew.

    Returns
    -------
    weight, bias, gap
        Shapes (B, D), (B,), (B,); defined as in `compute.probes.svm_path`.
    """
    rows, sign = given.rows, given.sign
    there = sign != 0
    # Which does less harm: to move a plane by a multiplier, or to leave a crop off the margin.
    harm = given.square + 1 / bound
    zero = there & (at.share * harm < at.beyond)
    full = there & ~zero & (at.rest * harm < at.lack)
    free = there & ~zero & ~full
    share = torch.where(free, at.share, full * torch.full_like(at.share, bound))
    excess = (sign * share).sum(1, keepdim=True)
    count = free.sum(1, keepdim=True)
    share = torch.where(free, share - sign * excess / count, share)
    inside = ((share >= 0) & (share <= bound)).all(1)
    inside &= (sign * share).sum(1).abs() <= 1e-9 * bound * there.sum(1)
    weight = torch.bmm(share[:, None], rows)[:, 0, :-1]
    error = sign - sign * torch.bmm(rows[:, :, :-1], weight[:, :, None])[:, :, 0]
    up = free | (zero & (sign > 0)) | (full & (sign < 0))
    down = free | (zero & (sign < 0)) | (full & (sign > 0))
    most = torch.where(up, error, -torch.inf).amax(1)
    least = torch.where(down, error, torch.inf).amin(1)
    # As libsvm chooses it.
    mean = torch.where(free, error, 0.0).sum(1) / count[:, 0]
    bias = torch.where(count[:, 0] > 0, mean, (most + least) / 2)
    gap = torch.where(inside, (most - least).clamp_min(0.0), torch.inf)
    return weight, bias, torch.where(gap.isnan(), torch.inf, gap)
