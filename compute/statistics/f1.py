"""Macro-F1 of cells with several labels, with intervals and tests. Pure arrays, no files.

F1 of a class is a ratio of sums over all cells: twice the cells that have the label and are said to
have it, over those that have it plus those that are said to have it. So it also moves with cells of
other classes, and the bootstrap draws resampling units of all classes anew, each within its
stratum: its class, or, for cells of several classes, one stratum of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.schema import Effect
from compute.statistics.bootstrap import (
    BootstrapConfig,
    Resampling,
    effective_freedom,
    freedom,
    interval,
    mean,
    ratio,
    share_interval,
    spread,
)
from compute.statistics.donors import DonorInfluence, DonorPart, unbiased
from compute.statistics.effect_rows import DRAWN, may_be_named
from compute.statistics.effects import contrasts
from compute.statistics.equivalence import equivalence_test
from compute.statistics.simultaneous import Drawn


@dataclass(frozen=True)
class LabelTallies:
    """What was said of the labels of U resampling units' cells, under M conditions.

    Parameters
    ----------
    both
        Twice the cells that have a label and are said to have it, shape (M, U, K).
    either
        Cells that have it, plus cells that are said to have it, shape (M, U, K).
    strata
        Stratum of each resampling unit, shape (U,).
    n_cells
        Cells of each under each condition, shape (M, U).
    labelled
        Those of them that have each label, shape (M, U, K).
    protein
        Protein of each resampling unit, shape (U,).
    """

    both: NDArray[np.float64]
    either: NDArray[np.float64]
    strata: NDArray[np.int64]
    n_cells: NDArray[np.int64]
    labelled: NDArray[np.int64]
    protein: NDArray[Any]

    def common(self, first: int, second: int) -> "LabelTallies":
        """Keep two conditions, and of them only resampling units that have cells under both."""
        pair = [first, second]
        both = (self.n_cells[first] > 0) & (self.n_cells[second] > 0)
        return LabelTallies(
            self.both[pair] * both[:, None],
            self.either[pair] * both[:, None],
            self.strata,
            self.n_cells[pair] * both,
            self.labelled[pair] * both[:, None],
            self.protein,
        )

    def drawn(self, resampling: Resampling) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return macro-F1 and F1 from all resampling units, and from every bootstrap draw.

        Parameters
        ----------
        resampling
            Draws of the resampling units within their strata.

        Returns
        -------
        point, draws : ndarray
            Overall and then by class, shapes (M, 1 + K) and (draws, M, 1 + K).
        """
        found = []
        for both, either in zip(self.both, self.either, strict=True):
            sides = np.concatenate([both, either], 1)
            drawn = resampling.sums(sides).sum(1)
            found.append(np.concatenate([sides.sum(0)[None], drawn]))
        values = f1(np.stack(found, 1))
        return values[0], values[1:]

    def influence(self) -> NDArray[np.float64]:
        """Return the derivative of macro-F1 and F1 by each unit's weight, shape (M, U, 1 + K)."""
        under = self.either.sum(1)
        score = _ratio0(self.both.sum(1), under)
        moved = _ratio0(self.both - score[:, None] * self.either, under[:, None])
        tested = np.maximum((under > 0).sum(1), 1)[:, None]
        return np.concatenate([(moved.sum(-1) / tested)[..., None], moved], -1)


def f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return macro-F1 and F1 by class.

    Parameters
    ----------
    sums
        Sums of `both`, then of `either`, over cells, shape (..., 2·K).

    Returns
    -------
    ndarray
        Shape (..., 1 + K); NaN for a class that no cell has or is said to have, which is left out
        of macro-F1.

    Examples
    --------
    Of four cells two have the label, three are said to have it, two of them rightly; a second class
    was found without a mistake:

    >>> import numpy as np
    >>> f1(np.array([4.0, 8.0, 5.0, 8.0]))
    array([0.9, 0.8, 1. ])
    """
    both, either = np.split(sums, 2, axis=-1)
    by_class = ratio(both, either)
    return np.concatenate([mean(by_class, -1)[..., None], by_class], -1)


def f1_rows(
    tallies: LabelTallies,
    conditions: Sequence[str],
    names: Sequence[str],
    resampling: Resampling,
    config: BootstrapConfig,
    donors: DonorInfluence | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Estimate macro-F1 under every condition and every effect, as `effect_rows` does accuracies.

    Parameters
    ----------
    tallies
        Of one model and protocol.
    conditions
        Names of the conditions in `tallies`, in their order.
    names
        Class names.
    resampling
        Draws of the tallies' resampling units within their strata.
    config
        Says how many times answers are exchanged, with which seed, and the margin.
    donors
        How donors move macro-F1 and F1 under each of the conditions; by default None.

    Returns
    -------
    accuracy, effects : list of dict
        As from `compute.statistics.effect_rows.effect_rows`.
    """
    point, drawn = tallies.drawn(resampling)
    moves = tallies.influence()
    every = np.eye(len(conditions))
    tested = np.flatnonzero((tallies.labelled > 0).any((0, 1)))
    scopes: list[int | None] = [None, *tested.tolist()]
    accuracy, effects = [], []
    for a in scopes:
        where = {
            "scope": "overall" if a is None else "localization",
            "localization": None if a is None else names[a],
        }
        place = 0 if a is None else 1 + a
        for m, name in enumerate(conditions):
            part, draws = _part(donors, every[m], place), drawn[:, m, place]
            free = _freedom(tallies, m, moves[m, :, place], draws, part)
            value = float(point[m, place])
            low, high = share_interval(value, draws, free, added=part.variance)
            accuracy.append(
                {**where, "condition": name, "estimate": value, "ci_low": low, "ci_high": high,
                 **_counts(tallies, m, a)}
            )  # fmt: skip
    for effect, name, first, second in contrasts(conditions):
        shared = tallies.common(first, second)
        alike = np.array_equal(shared.n_cells, tallies.n_cells[[first, second]])
        both = (point[[first, second]], drawn[:, [first, second]])
        values, draws = both if alike else shared.drawn(resampling)
        moved = shared.influence()
        for a in scopes:
            place = 0 if a is None else 1 + a
            row = _effect(
                effect, name, shared, values[:, place], draws[..., place],
                moved[0, :, place] - moved[1, :, place],
                _part(donors, every[first] - every[second], place), a, config,
            )  # fmt: skip
            where = {
                "scope": "overall" if a is None else "localization",
                "localization": None if a is None else names[a],
            }
            effects.append({**where, **row})
    return accuracy, effects


def exchange_test(
    both: NDArray[np.float64],
    either: NDArray[np.float64],
    flips: int,
    seed: int,
    stretch: float = 1.0,
) -> float:
    """Test whether two conditions' macro-F1 differ by more than exchanging answers makes it.

    The two conditions' answers to all cells of a resampling unit change places at random, and
    macro-F1 is computed anew: F1 is no sum over resampling units, so flipping the signs of their
    parts would not do.

    Parameters
    ----------
    both, either
        As in `LabelTallies`, of two conditions, shape (2, U, K).
    flips
        Number of random patterns.
    seed
        Seed of the random numbers, any integer ≥ 0.
    stretch
        As for `compute.statistics.effects.sign_flip_test`.

    Returns
    -------
    float
        Two-sided p-value, never below 1 / (flips + 1).
    """
    sides = np.concatenate([both, either], 2)
    total, apart = sides.sum((0, 1)) / 2, (sides[0] - sides[1]) / 2
    # The same answers for the greater part: only resampling units that differ are exchanged.
    apart = apart[apart.any(1)]
    observed = abs(f1(total + apart.sum(0))[0] - f1(total - apart.sum(0))[0]) / stretch
    if not observed > 0:
        return 1.0
    rng = np.random.default_rng(seed)
    beyond = 0
    for start in range(0, flips, 2000):
        size = (min(2000, flips - start), len(apart))
        moved = (rng.integers(0, 2, size, np.int8) * 2.0 - 1) @ apart
        difference = f1(total + moved)[:, 0] - f1(total - moved)[:, 0]
        beyond += int((np.abs(difference) >= observed * (1 - 1e-12)).sum())
    return (1 + beyond) / (1 + flips)


def label_influence(
    unit: NDArray[np.int32],
    stratum: NDArray[np.int64],
    donor: NDArray[np.int32],
    weight: NDArray[np.float64],
    has: NDArray[np.bool_],
    said: NDArray[np.bool_],
    classes: NDArray[np.int64],
) -> DonorInfluence:
    """Return how donor units move macro-F1 and F1 under one condition.

    Parameters
    ----------
    unit, stratum
        Resampling unit of each of T trials' cell, and its stratum, shape (T,).
    donor
        Donor unit of each trial, shape (T,); trials with −1 are left out.
    weight
        Weight of each trial among its cell's, shape (T,).
    has, said
        Which labels the cell has, and which it is said to have, shape (T, K).
    classes
        Class of each donor unit, shape (G,).

    Returns
    -------
    DonorInfluence
        Of one estimate, V = 1.
    """
    k, known = has.shape[1], donor >= 0
    both, either = 2.0 * (has & said), has.astype(float) + said
    under = weight @ either
    score = _ratio0(weight @ both, under)
    pull = _ratio0(weight[:, None] * (both - score * either), under)[known]
    unit, stratum, donor, weight = unit[known], stratum[known], donor[known], weight[known]
    # Deviations from the mean of the same stratum and the same donor's class.
    _, cell = np.unique(
        stratum * (classes.max(initial=0) + 1) + classes[donor], return_inverse=True
    )
    size = np.bincount(cell, weight)
    middle = _sums(cell, pull, len(size)) / size[:, None]
    shares = np.zeros((len(classes), len(size)))
    np.add.at(shares, (donor, cell), weight)
    off = (pull - weight[:, None] * middle[cell]) * unbiased(shares)[cell, None]
    _, first, pair = np.unique(
        unit.astype(np.int64) * len(classes) + donor, return_index=True, return_inverse=True
    )
    by_pair = _sums(pair, off, len(first))
    tested = max(int((under > 0).sum()), 1)
    by_pair = np.concatenate([by_pair.sum(1, keepdims=True) / tested, by_pair], 1)
    moved = np.zeros((len(classes), 1 + k, 1))
    np.add.at(moved[..., 0], donor[first], by_pair)
    return DonorInfluence(moved, (by_pair**2).sum(0)[:, None, None], classes)


def _effect(
    effect: Effect,
    condition: str,
    shared: LabelTallies,
    values: NDArray[np.float64],
    draws: NDArray[np.float64],
    moved: NDArray[np.float64],
    part: DonorPart,
    a: int | None,
    config: BootstrapConfig,
) -> dict[str, Any]:
    """Return one effect's columns, overall (`a` is None) or of a class.

    Parameters
    ----------
    effect, condition, a, config
        Of the row.
    shared
        The two conditions, over the same resampling units.
    values, draws
        F1 under them, shape (2,), and of each draw, shape (draws, 2).
    moved
        Influence of each resampling unit on the effect, shape (U,).
    part
        What donors add to the variance.
    """
    difference, apart = float(values[0] - values[1]), draws[:, 0] - draws[:, 1]
    free = _freedom(shared, 1, moved, apart, part)
    low, high = interval(difference, apart, free, part.variance)
    counts = _counts(shared, 1, a)
    row: dict[str, Any] = {
        "effect": str(effect), "condition": condition, "estimate": difference, "ci_low": low,
        "ci_high": high, "p_value": np.nan, **counts,
    }  # fmt: skip
    if a is None:
        alone = spread(apart)
        stretch = spread(apart, part.variance) / alone if alone > 0 else 1.0
        row["p_value"] = exchange_test(
            shared.both, shared.either, config.flips, config.seed, stretch
        )
        row["margin"] = config.margin
        row["p_equivalence"] = equivalence_test(
            difference, apart, free, config.margin, counts["n_cells"], part.variance
        )
        if may_be_named(effect, condition):
            row[DRAWN] = Drawn(difference, apart, free, part.variance, shared.protein)
    return row


def _freedom(
    tallies: LabelTallies,
    m: int,
    moved: NDArray[np.float64],
    draws: NDArray[np.float64],
    part: DonorPart,
) -> float:
    """Return the degrees of freedom of an estimate under a condition, by its influences."""
    units = freedom(tallies.strata[tallies.n_cells[m] > 0])
    if units < 1:
        return units
    centre = effective_freedom(moved, tallies.strata) if moved.any() else units
    return part.freedom_with(centre, draws)


def _part(donors: DonorInfluence | None, contrast: NDArray[np.float64], place: int) -> DonorPart:
    """Return what donors add to the variance of a sum of estimates."""
    return DonorPart() if donors is None else donors.component(contrast, place)


def _counts(tallies: LabelTallies, m: int, a: int | None) -> dict[str, int]:
    """Count the cells and proteins under a condition, or those that have a label."""
    cells = tallies.n_cells[m] if a is None else tallies.labelled[m, :, a]
    return {
        "n_cells": int(cells.sum()),
        "n_proteins": len(set(tallies.protein[cells > 0])),
    }


def _sums(of: NDArray[np.int64], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Sum rows, shape (T, K), by what they are of, shape (T,); shape (n, K)."""
    return np.stack([np.bincount(of, column, n) for column in values.T], 1)


def _ratio0(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, with broadcasting; 0 where the divisor is not above 0."""
    shape = np.broadcast_shapes(over.shape, under.shape)
    return np.divide(over, under, out=np.zeros(shape), where=under > 0)
