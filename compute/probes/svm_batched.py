"""The SVMs of many pair tests at once, on a GPU. Pure tensors, no files.

Minimises the same function as scikit-learn's ``SVC(kernel="linear")`` (hinge loss, free intercept)
by a primal-dual interior-point method in 64 bits (predictor and corrector: Mehrotra, 1992, SIAM
Journal on Optimization 2:575; for linear SVMs: Ferris and Munson, 2003, SIAM Journal on
Optimization 13:783). A step takes one product of the embeddings with themselves and one Cholesky
factor, of as many rows as an embedding has numbers, and 10 to 20 steps suffice whatever the crops.
All SVMs take the same steps, so a batch of them keeps a GPU busy. After every step multipliers are
put to 0 or C where they are about to be, and the KKT violation is computed as libsvm defines it.
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
from compute.probes.svm_folds import Solutions
from compute.probes.svm_path import TOLERANCE

BUDGET = 1 << 30
"""Bytes that a batch of SVMs may take on the device; halved where memory runs out."""

GRADES = 8
"""Between a power of two and the next, numbers of crops are rounded up to one of so many sizes.
SVMs of one size go together, and at most an eighth of the rows is empty."""

TARGET = TOLERANCE / 10
"""KKT violation below which an SVM leaves the batch. It is a step further than need be, so that the
make-up of the batch hardly shows in the result."""

MAX_STEPS = 60
"""Most steps; what is not below `TOLERANCE` by then goes to scikit-learn."""

STEP_SHARE = 0.995
"""Share of the way to the nearest bound that a step goes."""

START_SURPLUS = 3.5
"""How far beyond the margin every crop is said to be at first, in units of the margin. Found by
trying on embeddings: from 0.5 to 60 the number of steps changes by a fifth."""

REPACK_SHARE = 0.75
"""The batch is packed anew once at most this share of its SVMs is left."""


@dataclass(frozen=True)
class Problem:
    """One SVM to fit: a pair test without the crops of one of its folds.

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
    box: float,
    device: str = "cpu",
    budget: int = BUDGET,
) -> Solutions:
    """Fit many SVMs, each on its own crops.

    Parameters
    ----------
    features
        Embeddings of all crops, shape (N, D). They are brought to the device once.
    problems
        The SVMs to fit.
    box
        Their C, above 0.
    device
        PyTorch's name of a device that has 64-bit numbers, by default the CPU.
    budget
        Bytes that a batch may take there, by default `BUDGET`.

    Returns
    -------
    Solutions
        One SVM per problem, in their order. Check `converged`.

    Raises
    ------
    UsageError
        The device has no 64-bit numbers.
    BystanderError
        Its memory does not hold the embeddings, or not even one SVM.
    """
    there = torch.device(device)
    if there.type == "mps":
        raise UsageError(
            f"Pair tests cannot be fitted in batches on device {device!r}: it has no 64-bit "
            "numbers.",
            "Allowed: cuda, cuda:N, cpu. The shared solver needs no device.",
        )
    width = features.shape[1]
    weight, bias = np.zeros((len(problems), width)), np.zeros(len(problems))
    violation = np.full(len(problems), np.inf)
    embeddings = _to_device(features, there)
    for members, room in _by_size(problems):
        each = _bytes(room, width)
        asked = max(1, budget // each)
        size, start = BatchSize(asked, there, of="SVM"), 0
        while start < len(members):
            chosen = members[start : start + size.now]

            def fit(chosen: NDArray[np.int64] = chosen, room: int = room) -> None:
                index, sign = _gather([problems[k] for k in chosen], room)
                batch = _make_batch(embeddings, index, sign)
                weight[chosen], bias[chosen], violation[chosen] = _solve(batch, box)

            start = size.attempt(fit, start, start + len(chosen))
        if size.now < asked:  # what was too much for one size is for the next
            budget = size.now * each
    return Solutions(weight, bias, violation)


def _to_device(features: NDArray[np.float32], device: torch.device) -> Tensor:
    """Bring a condition's embeddings to the device."""
    kept: list[Tensor] = []
    whole = BatchSize(1, device, of="condition's embeddings")
    whole.attempt(lambda: kept.append(torch.as_tensor(features, device=device)), 0, 1)
    return kept[0]


def _by_size(problems: Sequence[Problem]) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Group problems of similar size, largest first.

    Yields
    ------
    members : ndarray
        Places in `problems`.
    room : int
        Rows of a batch that each of them takes.
    """
    size = np.array([problem.size for problem in problems], np.int64)
    grade = 2.0 ** np.floor(np.log2(np.maximum(size, GRADES))) / GRADES
    room = (np.ceil(size / grade) * grade).astype(np.int64)
    for rows in np.unique(room)[::-1].tolist():
        yield np.flatnonzero(room == rows), rows


def _bytes(room: int, width: int) -> int:
    """Estimate the bytes that one SVM takes: its crops three times, vectors, small matrices."""
    return 8 * (room * (3 * (width + 1) + 40) + 4 * (width + 1) ** 2)


def _gather(
    problems: Sequence[Problem], room: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """List the crops of each problem, in as many rows as `room` says.

    Returns
    -------
    index : ndarray
        Rows of the embeddings, shape (B, room). An empty row repeats the problem's first crop.
    sign : ndarray
        Labels: 1 for the second class, −1 for the first, 0 in an empty row; shape (B, room).
    """
    index = np.empty((len(problems), room), np.int64)
    sign = np.zeros((len(problems), room))
    for k, problem in enumerate(problems):
        train = problem.fold != problem.held
        own = problem.rows[train]
        index[k, : len(own)], index[k, len(own) :] = own, own[0]
        sign[k, : len(own)] = np.where(problem.second[train], 1.0, -1.0)
    return index, sign


@dataclass(frozen=True)
class _Batch:
    """The data of B SVMs; n rows for each.

    Parameters
    ----------
    signed_x
        Embeddings less their mean, followed by a 1 for the intercept, times the label; shape
        (B, n, D + 1).
    y
        Labels, ±1, and 0 in empty rows, shape (B, n).
    centre
        Mean of the embeddings, shape (B, D).
    mean_square
        Mean squared length of an embedding less the mean, shape (B, 1).
    """

    signed_x: Tensor
    y: Tensor
    centre: Tensor
    mean_square: Tensor


@dataclass(frozen=True)
class _Iterate:
    """Where the interior-point method stands in a batch of B SVMs.

    All but `plane` are above 0. At a solution y (w·x + b) − 1 = surplus − slack, and both
    alpha · surplus and complement · slack are 0.

    Parameters
    ----------
    plane
        Weights and intercept, shape (B, D + 1).
    alpha
        Multiplier of each crop, shape (B, n).
    complement
        C − alpha, which is the multiplier of slack ≥ 0; shape (B, n).
    surplus
        How far a crop is beyond the margin, shape (B, n).
    slack
        ξ, how far it falls short of the margin, shape (B, n).
    """

    plane: Tensor
    alpha: Tensor
    complement: Tensor
    surplus: Tensor
    slack: Tensor


def _make_batch(features: Tensor, index: NDArray[np.int64], sign: NDArray[np.float64]) -> _Batch:
    """Lay the crops that `_gather` listed into a batch, in 64 bits."""
    y = torch.as_tensor(sign, device=features.device)
    real = y.abs()
    n_crops = real.sum(1, keepdim=True)
    count, room = index.shape
    signed_x = y.new_empty(count, room, features.shape[1] + 1)
    x = signed_x[:, :, :-1]
    x.copy_(features[torch.as_tensor(index, device=features.device)])
    # The intercept is free, so a shift of all crops changes nothing but the rounding.
    centre = torch.bmm(real[:, None], x)[:, 0] / n_crops
    x.sub_(centre[:, None])
    signed_x[:, :, -1] = 1.0
    signed_x.mul_(y[:, :, None])
    mean_square = signed_x.square().sum((1, 2))[:, None] / n_crops - 1
    return _Batch(signed_x, y, centre, mean_square)


def _solve(
    batch: _Batch, box: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit a batch; return weights (B, D), intercepts (B,) and KKT violations (B,)."""
    size = len(batch.signed_x)
    left = torch.arange(size, device=batch.signed_x.device)
    weight, centre = torch.zeros_like(batch.centre), batch.centre
    bias = weight.new_zeros(size)
    violation = torch.full_like(bias, torch.inf)
    point, going = _start(batch, box), None
    for _ in range(MAX_STEPS):
        point = _step(batch, point)
        w, b, now = _at_bounds(batch, point, box)
        better = now < violation[left]
        if going is not None:
            better &= going
        # `where` rather than a mask: to ask which are better would have the device wait.
        weight[left] = torch.where(better[:, None], w, weight[left])
        bias[left] = torch.where(better, b, bias[left])
        violation[left] = torch.where(better, now, violation[left])
        sound = torch.isfinite(point.plane).all(1)
        going = (violation[left] >= TARGET) & sound
        count = int(going.sum())
        if count == 0:
            break
        if count <= REPACK_SHARE * len(left):
            kept = torch.nonzero(going)[:, 0]
            batch, point, left, going = _take(batch, kept), _take(point, kept), left[kept], None
    bias -= (weight * centre).sum(1)
    return weight.cpu().numpy(), bias.cpu().numpy(), violation.cpu().numpy()


Tensors = TypeVar("Tensors", _Batch, _Iterate)


def _take(tensors: Tensors, kept: Tensor) -> Tensors:
    """Take some of the SVMs of a batch."""
    return type(tensors)(*(getattr(tensors, f.name)[kept] for f in fields(tensors)))


def _start(batch: _Batch, box: float) -> _Iterate:
    """Start away from all bounds: weights and intercept 0, and every crop alike."""
    like = batch.y
    surplus, slack = torch.full_like(like, START_SURPLUS), torch.full_like(like, START_SURPLUS + 1)
    # So chosen that alpha · surplus equals complement · slack.
    alpha = torch.full_like(like, box * (START_SURPLUS + 1) / (2 * START_SURPLUS + 1))
    plane = like.new_zeros(len(like), batch.signed_x.shape[2])
    return _Iterate(plane, alpha, box - alpha, surplus, slack)


def _step(batch: _Batch, point: _Iterate) -> _Iterate:
    """Take one step: predict how far Newton's step could go, then correct its direction by that."""
    signed_x, real = batch.signed_x, batch.y.abs()
    pairs = 2 * real.sum(1, keepdim=True)
    margins = torch.bmm(signed_x, point.plane[:, :, None])[:, :, 0]
    # By how much y (w·x + b) − 1 = surplus − slack fails, at the start and by rounding.
    infeasibility = real * (margins - 1 + point.slack - point.surplus)
    scaling = real / (point.slack / point.complement + point.surplus / point.alpha)
    system = torch.bmm((signed_x * scaling[:, :, None]).mT, signed_x)
    system.diagonal(dim1=1, dim2=2)[:, :-1] += 1
    factor, _ = torch.linalg.cholesky_ex(system)

    def solve(
        alpha_surplus_change: Tensor, complement_slack_change: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Solve for the Newton step that changes alpha · surplus and complement · slack so."""
        wanted = (
            alpha_surplus_change / point.alpha
            - complement_slack_change / point.complement
            - infeasibility
        )
        right_side = torch.bmm((point.alpha + scaling * wanted)[:, None], signed_x)[:, 0]
        right_side[:, :-1] -= point.plane[:, :-1]
        plane_step = torch.cholesky_solve(right_side[:, :, None], factor)
        alpha_step = scaling * (wanted - torch.bmm(signed_x, plane_step)[:, :, 0])
        surplus_step = real * (alpha_surplus_change - point.surplus * alpha_step) / point.alpha
        slack_step = real * (complement_slack_change + point.slack * alpha_step) / point.complement
        return plane_step[:, :, 0], alpha_step, surplus_step, slack_step

    def longest(alpha_step: Tensor, surplus_step: Tensor, slack_step: Tensor) -> Tensor:
        """Return which share of the step keeps all that must be above 0 there, at most 1."""
        fall = torch.stack(
            [
                -(alpha_step / point.alpha),
                alpha_step / point.complement,
                -(surplus_step / point.surplus),
                -(slack_step / point.slack),
            ]
        )
        return 1 / fall.amax((0, 2)).clamp_min(1.0)[:, None]

    alpha_surplus, complement_slack = point.alpha * point.surplus, point.complement * point.slack
    mu = (real * (alpha_surplus + complement_slack)).sum(1, keepdim=True) / pairs
    _, alpha_step, surplus_step, slack_step = solve(-alpha_surplus, -complement_slack)
    share = longest(alpha_step, surplus_step, slack_step)
    affine_mu = (point.alpha + share * alpha_step) * (point.surplus + share * surplus_step)
    affine_mu += (point.complement - share * alpha_step) * (point.slack + share * slack_step)
    target = mu * ((real * affine_mu).sum(1, keepdim=True) / pairs / mu) ** 3
    plane_step, alpha_step, surplus_step, slack_step = solve(
        target - alpha_surplus - alpha_step * surplus_step,
        target - complement_slack + alpha_step * slack_step,
    )
    share = STEP_SHARE * longest(alpha_step, surplus_step, slack_step)
    return _Iterate(
        point.plane + share * plane_step, point.alpha + share * alpha_step,
        point.complement - share * alpha_step, point.surplus + share * surplus_step,
        point.slack + share * slack_step,
    )  # fmt: skip


def _at_bounds(batch: _Batch, point: _Iterate, box: float) -> tuple[Tensor, Tensor, Tensor]:
    """Put multipliers to 0 or C where they tend to; compute the KKT violation anew.

    Returns
    -------
    weight, bias, violation : Tensor
        Shapes (B, D), (B,), (B,); defined as in `compute.probes.svm_path`. The violation is
        infinite where the multipliers are not in 0 to C or do not sum to 0.
    """
    signed_x, y = batch.signed_x, batch.y
    real = y != 0
    # To put a multiplier to 0 or C moves the plane; to leave it free leaves the crop off the
    # margin. Which is less, in the units of a residual?
    scale = batch.mean_square + 1 / box
    at_zero = real & (point.alpha * scale < point.surplus)
    at_c = real & ~at_zero & (point.complement * scale < point.slack)
    free = real & ~at_zero & ~at_c
    alpha = torch.where(free, point.alpha, at_c * torch.full_like(point.alpha, box))
    excess = (y * alpha).sum(1, keepdim=True)
    count = free.sum(1, keepdim=True)
    alpha = torch.where(free, alpha - y * excess / count, alpha)
    inside = ((alpha >= 0) & (alpha <= box)).all(1)
    inside &= (y * alpha).sum(1).abs() <= 1e-9 * box * real.sum(1)
    weight = torch.bmm(alpha[:, None], signed_x)[:, 0, :-1]
    residual = y - y * torch.bmm(signed_x[:, :, :-1], weight[:, :, None])[:, :, 0]
    up = free | (at_zero & (y > 0)) | (at_c & (y < 0))
    down = free | (at_zero & (y < 0)) | (at_c & (y > 0))
    highest = torch.where(up, residual, -torch.inf).amax(1)
    lowest = torch.where(down, residual, torch.inf).amin(1)
    # The intercept that libsvm chooses.
    mean = torch.where(free, residual, 0.0).sum(1) / count[:, 0]
    bias = torch.where(count[:, 0] > 0, mean, (highest + lowest) / 2)
    violation = torch.where(inside, (highest - lowest).clamp_min(0.0), torch.inf)
    return weight, bias, torch.where(violation.isnan(), torch.inf, violation)
