"""How far a protein's localization distribution moves: distance, null distribution, noise floor.

Pure arrays, no files. A protein's localization distribution is the mean over its cells of the
probe's probabilities.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from compute.statistics.config import ALPHA

DRAWS = 2000
"""Random exchanges of condition labels that make the null distribution."""

FINER = 40
"""Exchanges per tested protein for a finer p-value: with so many, the least p-value can be called
even if no other protein has it."""

STRETCH = 1.1
"""What moves of probes are multiplied with. They are found to first order and are not quite normal:
unstretched, p ≤ 0.05 came in up to 5.7% of simulated proteins that did not shift."""

HALVES = 50
"""Random divisions of the unaltered cells into halves that give the noise floor."""

LEAST_PROBABILITY = 1e-10
"""What a probability counts as at least in the Kullback–Leibler divergence (Gupta, Moses and Lu
2025, `analyze_lr.ipynb` in the published code)."""

BLOCK = 2**17
"""Random numbers that are drawn at a time."""


@dataclass(frozen=True)
class Shift:
    """How far one protein moves under one condition.

    Parameters
    ----------
    jsd
        Jensen–Shannon divergence from the unaltered distribution, in bits, 0 to 1.
    tv
        Total variation from it: half the summed absolute difference, 0 to 1.
    kl
        Kullback–Leibler divergence of the unaltered from the changed distribution, in nats.
    p_value
        Share of exchanges of condition labels within cells that move at least as far, counting the
        observed labels as one; at least 1 / (`DRAWS` + 1). NaN where there is no null.
    """

    jsd: float
    tv: float
    kl: float
    p_value: float


def total_variation(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the summed absolute difference along the last axis, 0 to 1."""
    return np.asarray(np.abs(p - q).sum(-1) / 2)


def kullback_leibler(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the divergence of p from q along the last axis, in nats.

    Both count as `LEAST_PROBABILITY` or more, and are not brought to a sum of 1 again, as in the
    published code.
    """
    p, q = np.maximum(p, LEAST_PROBABILITY), np.maximum(q, LEAST_PROBABILITY)
    return np.asarray((p * np.log(p / q)).sum(-1))


def jensen_shannon(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the divergence, not its square root, along the last axis, in bits, 0 to 1.

    Defined by Lin (1991), IEEE Transactions on Information Theory 37:145.
    """
    middle = (p + q) / 2
    both = rel_entr(p, middle).sum(-1) + rel_entr(q, middle).sum(-1)
    return np.asarray(np.clip(both / 2 / np.log(2), 0, 1))


@dataclass(frozen=True)
class Null:
    """What a protein's shift is where backgrounds do nothing; n cells, K classes.

    Parameters
    ----------
    differences
        What each cell's probabilities change by with one probe, or by the mean of two, shape
        (n, K). Their signs are exchanged.
    probe
        How the protein's mean probabilities differ by the two probes, for R exchanges of conditions
        among their training cells, shape (R, K); None, as by default, where one probe answers for
        both conditions.
    """

    differences: NDArray[np.float64]
    probe: NDArray[np.float64] | None = None


def shift(
    before: NDArray[np.float64], after: NDArray[np.float64], seed: int, null: Null | None
) -> Shift:
    """Compare a protein's distribution on its cells' own backgrounds with that on others.

    If backgrounds do not matter, a cell's two answers can be exchanged. So the condition labels of
    random cells are exchanged, and the total variation is computed again. Where each condition has
    a probe of its own, the labels of the cells that these were fitted on are exchanged, too.

    Parameters
    ----------
    before, after
        Probabilities for the same cells, unaltered and under the condition, shape (cells, classes).
    seed
        Seed of the random exchanges, any integer ≥ 0.
    null
        What is exchanged; None where there is no null, so that p is NaN.

    Returns
    -------
    Shift
        Distances and p-value. Where nothing moves (total variation up to 1e-9), p is 1.

    Examples
    --------
    Twenty cells that all move to the second class:

    >>> import numpy as np
    >>> before, after = np.tile([0.9, 0.1], (20, 1)), np.tile([0.4, 0.6], (20, 1))
    >>> moved = shift(before, after, seed=0, null=Null(after - before))
    >>> print(f"{moved.tv:.2f} {moved.jsd:.2f} bits, p = {moved.p_value:.4f}")
    0.50 0.21 bits, p = 0.0005
    """
    p, q = before.mean(0), after.mean(0)
    tv = float(total_variation(p, q))
    chance = np.nan if null is None else p_value(null, tv, seed, DRAWS)
    return Shift(float(jensen_shannon(p, q)), tv, float(kullback_leibler(p, q)), chance)


def p_value(null: Null, tv: float, seed: int, draws: int) -> float:
    """Return the share of exchanges that move at least as far, the observed labels being one.

    Parameters
    ----------
    null
        What is exchanged.
    tv
        The observed total variation.
    seed, draws
        Seed and number of the exchanges. The first exchanges are the same however many there are.
    """
    beyond = _beyond(null, tv, seed, draws) if tv > 1e-9 else draws
    return (1 + beyond) / (1 + draws)


def needs_finer(least: int, tested: int) -> bool:
    """Tell whether the least possible p-value is too large to be called.

    If a few of thousands of proteins shift, `DRAWS` exchanges cannot give them a small q-value. To
    draw more exchanges for a protein of which none moved as far is valid: it only makes a small
    p-value more exact (Besag and Clifford 1991, doi:10.1093/biomet/78.2.301).

    Parameters
    ----------
    least
        Number of proteins with the least possible p-value.
    tested
        Number of all proteins.
    """
    return tested / (1 + DRAWS) > ALPHA * least


def _beyond(null: Null, tv: float, seed: int, draws: int) -> int:
    """Count the exchanges with at least this total variation; arguments as for `p_value`."""
    signs_of, probes_of = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    n, beyond = len(null.differences), 0
    # Four signs come from one random number. So in blocks of a multiple of four draws the signs
    # are those of a single block.
    step = 4 * max(1, BLOCK // (4 * n))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        signs = signs_of.integers(0, 2, (size, n), np.int8) * 2.0 - 1
        moved = signs @ null.differences / n
        if null.probe is not None:
            moved += _drawn(null.probe, size, probes_of)
        beyond += int((np.abs(moved).sum(1) / 2 >= tv * (1 - 1e-9)).sum())
    return beyond


def _drawn(probe: NDArray[np.float64], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw from the distribution of which there are R exchanges, shape (draws, K).

    It is normal, being a sum over many training cells, with a covariance that R exchanges tell
    with R degrees of freedom; so draws are of the multivariate Student's t.

    Parameters
    ----------
    probe
        Shape (R, K); exchanges have mean 0.
    draws
        Number of draws.
    rng
        Source of random numbers.
    """
    count = len(probe)
    spread = np.sqrt(rng.chisquare(count, draws))
    return np.asarray(STRETCH * rng.standard_normal((draws, count)) @ probe / spread[:, None])


def noise_floor(before: NDArray[np.float64], seed: int) -> float:
    """Return the mean total variation between random halves of a protein's unaltered cells.

    A half holds half the cells, so this is above what two samples of all cells would show.

    Parameters
    ----------
    before
        Probabilities for the unaltered crops, shape (cells, classes).
    seed
        Seed of the random halves, any integer ≥ 0.

    Returns
    -------
    float
        0 to 1; NaN with fewer than two cells.
    """
    n = len(before)
    if n < 2:
        return np.nan
    rng = np.random.default_rng(seed)
    half = n // 2
    distances = []
    step = max(1, BLOCK // (n * before.shape[1]))
    for start in range(0, HALVES, step):
        size = (min(step, HALVES - start), 1)
        orders = rng.permuted(np.tile(np.arange(n), size), axis=1)
        first = before[orders[:, :half]].mean(1)
        second = before[orders[:, half : 2 * half]].mean(1)
        distances.append(total_variation(first, second))
    return float(np.concatenate(distances).mean())


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return q-values: the least false discovery rate at which each p-value would be called.

    By Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57:289.

    Examples
    --------
    >>> import numpy as np
    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.02])).round(3)
    array([0.03, 0.04, 0.03])
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1)
    return q
