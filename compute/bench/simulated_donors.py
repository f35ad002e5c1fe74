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

from compute.bench.simulated_answers import AnswersConfig, Sample, TrueAccuracies, mean_over
from compute.schema import CONDITIONS, Condition, Flip
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
        Cell that is its donor, shape (T,); None without donors.
    weight
        Weight of each trial in its cell's answer, shape (T,).
    logit
        Logit of a right answer, shape (T,).
    """

    cell: NDArray[np.int64]
    donor: NDArray[np.int64] | None
    weight: NDArray[np.float64]
    logit: NDArray[np.float64]


@dataclass(frozen=True)
class Answered:
    """The multi-class probe's answers to one data set.

    Parameters
    ----------
    tallies
        Right answers by condition and resampling unit, U of them.
    donors
        How donors move the accuracy under each condition; None if no condition has any.
    flips
        Share of trials under the last condition whose answer changed, by `Flip`, summed over the
        cells of each resampling unit, shape (U, 3). No answer is moved.
    behind
        How donors move these shares; None without donors.
    """

    tallies: Tallies
    donors: DonorInfluence | None
    flips: NDArray[np.float64]
    behind: DonorInfluence | None


def draw_donors(config: AnswersConfig, sample: Sample, rng: np.random.Generator) -> Donors:
    """Draw the effects of donors."""
    return Donors(
        config.image_sd * rng.standard_normal(len(sample.protein)),
        config.donor_sd * rng.standard_normal(len(sample.classes)),
    )


def another_models(
    config: AnswersConfig, donors: Donors, sample: Sample, share: float, rng: np.random.Generator
) -> Donors:
    """Draw what the same donors do to another model, which has a share of the variance in common.

    Parameters
    ----------
    config
        Says how much donors differ.
    donors
        What they do to the first model.
    sample
        The data set.
    share
        Share of the variance in common, 0 to 1.
    rng
        Draws the rest.
    """
    own = draw_donors(config, sample, rng)
    old, new = np.sqrt(share), np.sqrt(1 - share)
    return Donors(
        old * donors.of_cell + new * own.of_cell, old * donors.of_protein + new * own.of_protein
    )


def _relation(config: AnswersConfig, m: int) -> str:
    """Return of what the donors of condition m are, as `CONDITIONS` says."""
    return CONDITIONS[Condition(config.conditions[m])].relation


def _fold(config: AnswersConfig, sample: Sample) -> NDArray[np.int64]:
    """Return the fold of each protein, shape (U,)."""
    return np.arange(len(sample.classes)) % config.proteins % config.folds


def draw_trials(
    config: AnswersConfig, sample: Sample, donors: Donors, m: int, rng: np.random.Generator
) -> Trials:
    """Draw a donor for every trial of condition m, evenly among the cells that may be it."""
    cell, relation = np.arange(len(sample.protein)), _relation(config, m)
    if not relation:
        return Trials(cell, None, np.ones(len(cell)), sample.logit[m])
    own, of_fold = sample.of_cell, _fold(config, sample)[sample.protein]
    pool = own * config.folds + of_fold
    order = np.argsort(pool, kind="stable")  # in which the cells of a protein stay together
    pools = np.arange(config.classes * config.folds)
    start, size = np.searchsorted(pool[order], pools), np.bincount(pool, minlength=len(pools))
    if relation == "class":
        many = np.bincount(sample.protein)[sample.protein]
        first = np.argsort(order)[np.searchsorted(sample.protein, sample.protein)]
        place = start[pool] + rng.integers(0, size[pool] - many)
        donor = order[place + np.where(place >= first, many, 0)]
        weight = np.ones(len(cell))
    else:
        steps = np.arange(1, config.classes)
        behind = ((own[:, None] + steps) % config.classes) * config.folds + of_fold[:, None]
        donor = order[start[behind] + rng.integers(0, size[behind])].ravel()
        cell = np.repeat(cell, len(steps))
        weight = np.full(len(cell), 1 / len(steps))
    added = donors.of_cell[donor] + donors.of_protein[sample.protein[donor]]
    return Trials(cell, donor, weight, sample.logit[m, cell] + added)


def multiclass(
    config: AnswersConfig,
    sample: Sample,
    donors: Donors,
    rng: np.random.Generator,
    by_protein: bool = True,
    plan: np.random.Generator | None = None,
) -> Answered:
    """Have the multi-class probe answer every trial; count by centre unit and by donor unit.

    Parameters
    ----------
    config, sample, donors, rng
        How answers come about, and what draws them.
    by_protein
        Whether proteins are the units, as by default, else cells.
    plan
        Draws the donors, the same for models that are given the same; by default `rng` does.
    """
    group = sample.protein if by_protein else np.arange(len(sample.protein))
    classes = sample.classes if by_protein else sample.of_cell
    names = np.arange(len(classes)) if by_protein else sample.protein
    units, k = len(classes), config.classes
    correct, found = [], list[DonorInfluence | None]()
    before = rng.random(len(sample.protein)) < expit(sample.logit[0])
    flips, behind = np.zeros((units, len(Flip))), None
    for m in range(len(config.conditions)):
        trials = draw_trials(config, sample, donors, m, rng if plan is None else plan)
        right = rng.random(len(trials.cell)) < expit(trials.logit) if m else before
        was, unit = before[trials.cell], group[trials.cell]
        columns = np.column_stack([right, was & ~right, ~was & right, np.zeros(len(right), bool)])
        sums = [np.bincount(unit, trials.weight * each, units) for each in columns.T]
        correct.append(sums[0].astype(float))
        flips, behind = np.stack(sums[1:], 1), None
        if trials.donor is not None:
            total = DonorSums.empty(classes, k, columns.shape[1])
            total.add(
                unit.astype(np.int32), classes[unit], group[trials.donor].astype(np.int32),
                trials.weight, columns,
            )  # fmt: skip
            behind = total.influence()
        found.append(None if behind is None else behind.columns([0]))
    cells = np.broadcast_to(np.bincount(group, minlength=units), (len(correct), units))
    tallies = Tallies(
        np.stack(correct)[..., None], cells[..., None].astype(float), classes, cells,
        names.astype(str),
    )  # fmt: skip
    flipped = None if behind is None else behind.columns(range(1, 1 + len(Flip)))
    return Answered(tallies, side_by_side(found, k), flips, flipped)


def pair_tests(
    config: AnswersConfig,
    sample: Sample,
    donors: Donors,
    rng: np.random.Generator,
    plan: np.random.Generator | None = None,
) -> tuple[Tallies, DonorInfluence | None]:
    """Have every trial answered in the pair tests of its cell; no class is tested on its own.

    Parameters
    ----------
    config, sample, donors, rng
        How answers come about, and what draws them.
    plan
        Draws the donors, the same for models that are given the same; by default `rng` does.

    Returns
    -------
    tallies : Tallies
        Right answers and answers by condition, protein and other class.
    donors : DonorInfluence or None
        How donors' proteins move the accuracy under each condition; None if no condition has any.
    """
    units, k = len(sample.classes), config.classes
    of_pair = config.pair_sd * rng.standard_normal((units, k))
    correct, n, found = [], [], list[DonorInfluence | None]()
    for m in range(len(config.conditions)):
        trials = draw_trials(config, sample, donors, m, rng if plan is None else plan)
        unit = sample.protein[trials.cell]
        own = sample.classes[unit]
        right = rng.random((len(own), k)) < expit(trials.logit[:, None] + of_pair[unit])
        asked = own[:, None] != np.arange(k)
        if trials.donor is not None and _relation(config, m) == "other":
            asked &= sample.of_cell[trials.donor][:, None] != np.arange(k)
        trial, other = np.nonzero(asked)
        value, place = right[trial, other].astype(float), unit[trial] * k + other
        n.append(np.bincount(place, minlength=units * k).reshape(units, k).astype(float))
        correct.append(np.bincount(place, value, units * k).reshape(units, k))
        if trials.donor is None:
            found.append(None)
            continue
        total = np.zeros((k, k))
        np.add.at(total, sample.classes, n[-1])
        found.append(
            pair_influence(
                total, own[trial], other, unit[trial].astype(np.int32),
                sample.protein[trials.donor][trial].astype(np.int32), value[:, None],
                sample.classes,
            )
        )  # fmt: skip
    cells = np.broadcast_to(np.bincount(sample.protein, minlength=units), (len(n), units))
    tallies = Tallies(
        np.stack(correct), np.stack(n), sample.classes, cells, np.arange(units).astype(str)
    )
    return tallies, side_by_side(found, k)


def accuracies_of(config: AnswersConfig, sample: Sample, donors: Donors) -> TrueAccuracies:
    """Integrate multi-class accuracies of a sample's own proteins, as centres and as donors.

    Other cells of these very proteins would be drawn, in as many numbers.
    """
    fold, size = _fold(config, sample), np.bincount(sample.protein).astype(float)
    alike = sample.classes[:, None] == sample.classes
    near = (fold[:, None] == fold) * size
    spread = float(np.hypot(config.cell_sd, config.image_sd))
    found = []
    for m in range(len(config.conditions)):
        relation = _relation(config, m)
        if not relation:
            found.append(mean_over(sample.of_protein[m], config.cell_sd))
            continue
        chosen = near * (alike & ~np.eye(len(size), dtype=bool) if relation == "class" else ~alike)
        of_class = chosen @ np.eye(config.classes)[sample.classes]
        chosen = chosen / np.maximum(of_class[:, sample.classes], 1)
        chosen /= chosen.sum(1, keepdims=True)
        logit = sample.of_protein[m][:, None] + donors.of_protein
        found.append((mean_over(logit, spread) * chosen).sum(1))
    weight = np.eye(config.classes)[sample.classes] * size[:, None]
    by_class = np.stack(found) @ (weight / weight.sum(0))
    return TrueAccuracies(by_class.mean(1), by_class)
