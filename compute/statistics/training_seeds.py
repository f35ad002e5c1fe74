"""Networks that were trained several times: how much findings vary with the seed. Pure tables.

Weights of one network trained from several seeds are as many draws of the model that its recipe
gives. What is said of the recipe has therefore two sources of variance, the proteins (and donors)
that were looked at, and the seeds; what is said of one set of weights has only the first.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from compute.schema import Quantity
from compute.statistics.bootstrap import interval, share_interval, spread
from compute.statistics.joint_answers import Answered, Draw, joint_estimates


def training_seed_rows(
    answers: Mapping[str, Answered], names: Sequence[str], draw: Draw
) -> Iterator[dict[str, Any]]:
    """Estimate a network's mean accuracies, drops and gap over its seeds, overall.

    The variance of the mean over S seeds is that over resampled proteins and donors, with these
    seeds, plus the variance between seeds / S, which has S − 1 degrees of freedom; both are put
    together by Satterthwaite's formula (1946, Biometrics Bulletin 2, 110–114). Where seeds differ
    much, an interval from two or three of them is very long: nothing shorter would hold.

    Parameters
    ----------
    answers
        Of S ≥ 2 models, the same network from several seeds, in one protocol and probe.
    names
        Class names.
    draw
        Gives the bootstrap draws.

    Yields
    ------
    dict
        Columns of `TRAINING_SEEDS` without `network`, `protocol`, `probe` and `unit`.
    """
    seeds = len(answers)
    by = np.full(seeds, 1 / seeds)
    for found in joint_estimates(list(answers.values()), by.tolist(), names, draw):
        sampled = spread(found.draws, found.added.variance)
        between = float(np.std(found.each, ddof=1))
        added = between**2 / seeds
        free = _satterthwaite((sampled**2, found.freedom), (added, seeds - 1))
        more = found.added.variance + added
        if found.quantity is Quantity.ACCURACY:
            ends = share_interval(found.estimate, found.draws, free, added=more)
        else:
            ends = interval(found.estimate, found.draws, free, more)
        yield {
            "models": list(answers), "estimates": found.each.tolist(), "scope": "overall",
            "quantity": str(found.quantity), "condition": found.condition,
            "estimate": found.estimate, "ci_low": ends[0], "ci_high": ends[1],
            "sampling_sd": sampled, "seed_sd": between, **found.counts,
        }  # fmt: skip


def _satterthwaite(*parts: tuple[float, float]) -> float:
    """Return the degrees of freedom of a sum of variances, each with its own.

    0 where one that is above 0 has fewer than 1, or where one is not known.
    """
    there = [(variance, free) for variance, free in parts if variance != 0]
    if any(not free >= 1 or not np.isfinite(variance) for variance, free in there):
        return 0.0
    if not there:
        return min(free for _, free in parts)
    whole = sum(variance for variance, _ in there)
    return whole**2 / sum(variance**2 / free for variance, free in there)
