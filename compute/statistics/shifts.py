"""How far a protein's localization distribution moves: distances, their null, their noise floor.

Pure arrays, no files. A distribution is the mean over cells of the probe's probabilities.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from compute.statistics.config import ALPHA

DRAWS = 2000
"""Random exchanges of condition labels in the null."""

FINER = 40
"""Exchanges per tested protein for a p-value that can be called among them, even alone."""

HALVES = 50
"""Random halves of the unaltered cells that give the noise floor."""

BLOCK = 2**17
"""Random numbers that are drawn at a time."""


@dataclass(frozen=True)
class Shift:
    """One protein under one condition.

    Parameters
    ----------
    jsd
        Jensen–Shannon divergence from the unaltered distribution, bits, 0 to 1.
    tv
        Total variation: half the summed absolute difference, 0 to 1.
    kl
        Kullback–Leibler divergence of the unaltered from the changed distribution, bits.
    p_value
        Share of exchanges of condition labels within cells that move at least as far.
    """

    jsd: float
    tv: float
    kl: float
    p_value: float


def total_variation(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the summed absolute difference along the last axis."""
    return np.asarray(np.abs(p - q).sum(-1) / 2)


def kullback_leibler(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the divergence of p from q along the last axis, bits; q is kept above 1e-12."""
    return np.asarray(rel_entr(p, np.maximum(q, 1e-12)).sum(-1) / np.log(2))


def jensen_shannon(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the divergence (not its root) along the last axis, bits, 0 to 1 (Lin 1991)."""
    middle = (p + q) / 2
    both = rel_entr(p, middle).sum(-1) + rel_entr(q, middle).sum(-1)
    return np.asarray(np.clip(both / 2 / np.log(2), 0, 1))


def shift(before: NDArray[np.float64], after: NDArray[np.float64], seed: int) -> Shift:
    """Compare a protein's distribution before and after, cell by cell.

    Under the null a cell's two answers could as well be exchanged, so the condition labels of
    random cells are exchanged and the total variation taken again.

    Parameters
    ----------
    before, after
        Probabilities of the same cells, shape (cells, classes).
    seed
        Of the random exchanges.
    """
    p, q = before.mean(0), after.mean(0)
    tv = float(total_variation(p, q))
    beyond = _beyond(after - before, tv, seed, DRAWS) if tv > 1e-9 else DRAWS
    return Shift(
        float(jensen_shannon(p, q)), tv, float(kullback_leibler(p, q)), (1 + beyond) / (1 + DRAWS)
    )


def finer_p_value(
    before: NDArray[np.float64], after: NDArray[np.float64], seed: int, draws: int
) -> float:
    """Return the p-value of a shift from more exchanges, the first of them those of `shift`."""
    tv = float(total_variation(before.mean(0), after.mean(0)))
    return (1 + _beyond(after - before, tv, seed, draws)) / (1 + draws)


def needs_finer(least: int, tested: int) -> bool:
    """Tell whether the least possible p-value could not be called.

    Of thousands of proteins a few that shift cannot reach a small q-value with `DRAWS` exchanges.
    Going on where none of them came near is valid: it only makes small p-values more exact
    (Besag and Clifford 1991, doi:10.1093/biomet/78.2.301).

    Parameters
    ----------
    least
        Proteins whose p-value is the least possible.
    tested
        All proteins.
    """
    return tested / (1 + DRAWS) > ALPHA * least


def _beyond(differences: NDArray[np.float64], tv: float, seed: int, draws: int) -> int:
    """Count the exchanges that move at least as far; differences have shape (cells, classes)."""
    rng = np.random.default_rng(seed)
    n, beyond = len(differences), 0
    # Four signs come from one random number, so blocks of a multiple of four draw what one would.
    step = 4 * max(1, BLOCK // (4 * n))
    for start in range(0, draws, step):
        signs = rng.integers(0, 2, (min(step, draws - start), n), np.int8) * 2.0 - 1
        null = np.abs(signs @ differences).sum(1) / (2 * n)
        beyond += int((null >= tv * (1 - 1e-9)).sum())
    return beyond


def noise_floor(before: NDArray[np.float64], seed: int) -> float:
    """Return the mean total variation between random halves of the unaltered cells.

    Not a number with fewer than two cells. Halves hold half the cells each, so this is above
    what two full samples would show.
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
    """Return q-values: the false discovery rate at which each would be called (1995)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1)
    return q
