"""Answers of a made-up probe on backgrounds that cells share, whose true accuracies are known.

Layer: pure arrays, no files. To the logits of `simulated_answers` come an effect of the donor and
one of the donor's protein, each the same for every cell that stands on that donor. Donors are
chosen as a plan chooses them, in the centre cell's own fold: under `same` a cell of another protein
of its class, under `different` a cell of every other class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from compute.bench.simulated_answers import AnswersConfig, Sample
from compute.schema import CONDITIONS, Condition
from compute.statistics.donors import DonorInfluence, DonorSums, pair_influence, side_by_side
from compute.statistics.effects import Tallies


@dataclass(frozen=True)
class Donors:
    """What donors add to logits, the same under every condition.

    Parameters
    ----------
    of_cell, of_protein
        Effect of each cell as a donor and of each protein as a donor's, shapes (N,) and (U,).
    """

    of_cell: NDArray[np.float64]
    of_protein: NDArray[np.float64]


@dataclass(frozen=True)
class Trials:
    """The trials of one condition, T of them.

    Parameters
    ----------
    cell
        Cell of each trial, shape (T,).
    donor
        Cell that is its donor, −1 without one, shape (T,).
    weight
        Weight of each trial in its cell's answer, shape (T,).
    logit
        Logit of a right answer, shape (T,).
    """

    cell: NDArray[np.int64]
    donor: NDArray[np.int64]
    weight: NDArray[np.float64]
    logit: NDArray[np.float64]


def draw_donors(config: AnswersConfig, sample: Sample, rng: np.random.Generator) -> Donors:
    """Draw the effects of donors."""
    return Donors(
        config.image_sd * rng.standard_normal(len(sample.protein)),
        config.donor_sd * rng.standard_normal(len(sample.classes)),
    )


def draw_trials(
    config: AnswersConfig, sample: Sample, donors: Donors, m: int, rng: np.random.Generator
) -> Trials:
    """Draw a donor for every trial of condition m."""
    relation = CONDITIONS[Condition(config.conditions[m])].relation
    cell = np.arange(len(sample.protein))
    if not relation:
        return Trials(cell, np.full(len(cell), -1), np.ones(len(cell)), sample.logit[m])
    fold = np.arange(len(sample.classes)) % config.proteins % config.folds
    pool = (sample.classes * config.folds + fold)[sample.protein]
    order = np.argsort(pool, kind="stable")  # proteins of a pool stay together
    pools = np.arange(config.classes * config.folds)
    start = np.searchsorted(pool[order], pools)
    size = np.bincount(pool, minlength=len(pools))
    own, of_fold = sample.of_cell, fold[sample.protein]
    if relation == "class":
        many = np.bincount(sample.protein)[sample.protein]
        first = np.argsort(order)[np.searchsorted(sample.protein, sample.protein)]
        place = start[pool] + rng.integers(0, size[pool] - many)
        donor = order[place + np.where(place >= first, many, 0)]
        weight = np.ones(len(cell))
    else:
        step = np.arange(1, config.classes)
        behind = ((own[:, None] + step) % config.classes) * config.folds + of_fold[:, None]
        donor = order[start[behind] + rng.integers(0, size[behind])].ravel()
        cell = np.repeat(cell, len(step))
        weight = np.full(len(cell), 1 / len(step))
    logit = sample.logit[m, cell] + donors.of_cell[donor] + donors.of_protein[sample.protein[donor]]
    return Trials(cell, donor, weight, logit)


def multiclass_tallies(
    config: AnswersConfig, sample: Sample, rng: np.random.Generator
) -> tuple[Tallies, DonorInfluence | None]:
    """Have the multi-class probe answer every trial; count by protein and by the donor's protein.

    Returns
    -------
    tallies : Tallies
        Right answers by condition and protein.
    donors : DonorInfluence or None
        How donors' proteins move the accuracy under each condition.
    """
    donors, units = draw_donors(config, sample, rng), len(sample.classes)
    correct, found = [], list[DonorInfluence | None]()
    for m in range(len(config.conditions)):
        trials = draw_trials(config, sample, donors, m, rng)
        right = rng.random(len(trials.cell)) < expit(trials.logit)
        unit = sample.protein[trials.cell]
        correct.append(np.bincount(unit, trials.weight * right, units).astype(float))
        if trials.donor[0] < 0:
            found.append(None)
            continue
        sums = DonorSums.empty(sample.classes, config.classes, 1)
        behind = sample.protein[trials.donor].astype(np.int32)
        sums.add(unit.astype(np.int32), sample.classes[unit], behind, trials.weight, right[:, None])
        found.append(sums.influence())
    shape = (len(correct), units)
    cells = np.broadcast_to(np.bincount(sample.protein, minlength=units), shape)
    tallies = Tallies(
        np.stack(correct)[..., None], cells[..., None].astype(float), sample.classes, cells,
        np.arange(units).astype(str),
    )  # fmt: skip
    return tallies, side_by_side(found, config.classes)


def pair_tallies(
    config: AnswersConfig, sample: Sample, rng: np.random.Generator
) -> tuple[Tallies, DonorInfluence | None]:
    """Have every trial answered in the pair test against each class that is not behind the cell.

    Returns
    -------
    tallies : Tallies
        Right answers and answers by condition, protein and other class.
    donors : DonorInfluence or None
        How donors' proteins move the accuracy under each condition.
    """
    donors, units, k = draw_donors(config, sample, rng), len(sample.classes), config.classes
    of_pair = config.pair_sd * rng.standard_normal((units, k))
    correct, n, found = [], [], list[DonorInfluence | None]()
    for m in range(len(config.conditions)):
        trials = draw_trials(config, sample, donors, m, rng)
        unit = sample.protein[trials.cell]
        own = sample.classes[unit]
        logit = trials.logit[:, None] + of_pair[unit]
        right = rng.random(logit.shape) < expit(logit)
        asked = own[:, None] != np.arange(k)
        if trials.donor[0] >= 0:
            asked &= sample.of_cell[trials.donor][:, None] != np.arange(k)
            if CONDITIONS[Condition(config.conditions[m])].relation == "class":
                asked = own[:, None] != np.arange(k)
        trial, other = np.nonzero(asked)
        value, place = right[trial, other].astype(float), unit[trial] * k + other
        n.append(np.bincount(place, minlength=units * k).reshape(units, k).astype(float))
        correct.append(np.bincount(place, value, units * k).reshape(units, k))
        if trials.donor[0] < 0:
            found.append(None)
            continue
        total = np.bincount(own[trial] * k + other, minlength=k * k).reshape(k, k)
        behind = sample.protein[trials.donor].astype(np.int32)
        found.append(
            pair_influence(
                total.astype(float), own[trial], other, unit[trial].astype(np.int32),
                behind[trial], value[:, None], sample.classes,
            )
        )  # fmt: skip
    cells = np.broadcast_to(np.bincount(sample.protein, minlength=units), (len(n), units))
    tallies = Tallies(
        np.stack(correct), np.stack(n), sample.classes, cells, np.arange(units).astype(str)
    )
    return tallies, side_by_side(found, k)
