"""Differences between two models that answered the same trials. Pure tables, no files.

What is hard for both models cancels, so that the interval of their difference is shorter than those
of the two would make it look.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from compute.schema import CLAIMED, Condition
from compute.statistics.bootstrap import BootstrapConfig, interval, spread
from compute.statistics.effect_rows import adjust_within
from compute.statistics.effects import sign_flip_test
from compute.statistics.joint_answers import Answered, Draw, joint_estimates

_ROUNDING = 1e-12
"""A resampling unit's part of a difference up to this counts as 0."""

FAMILY = ["probe", "protocol", "quantity"]
"""Columns within which p-values are adjusted together, over pairs of models and conditions."""


def model_difference_rows(
    answers: Mapping[str, Answered],
    names: Sequence[str],
    draw: Draw,
    config: BootstrapConfig,
) -> list[dict[str, Any]]:
    """Estimate by how much any two models differ in accuracies, drops and the gap, overall.

    Parameters
    ----------
    answers
        Of each model, in one protocol and probe.
    names
        Class names.
    draw
        Gives the bootstrap draws.
    config
        Says how many sign flips are drawn, with which seed.

    Returns
    -------
    list of dict
        Columns of `MODEL_DIFFERENCES` without `protocol`, `probe`, `unit` and `p_holm`; the
        estimate is that of `model` minus that of `other`.
    """
    rows = []
    for (model, first), (other, second) in combinations(answers.items(), 2):
        for row in _of_two(first, second, names, draw, config):
            rows.append({"model": model, "other": other, "scope": "overall", **row})
    return rows


def adjust_differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Add `p_holm` to rows of `MODEL_DIFFERENCES`, in place, and return them.

    A family (`FAMILY`) has every pair of models under every condition of `CLAIMED`, and for
    accuracy under `unaltered` too. The other conditions are controls without an adjusted p-value.
    """
    claimed = rows["condition"].isin([str(Condition.UNALTERED), *map(str, CLAIMED)])
    return adjust_within(rows, FAMILY, claimed)


def _of_two(
    first: Answered,
    second: Answered,
    names: Sequence[str],
    draw: Draw,
    config: BootstrapConfig,
) -> Iterator[dict[str, Any]]:
    """Give the rows of one pair of models."""
    for found in joint_estimates([first, second], (1.0, -1.0), names, draw):
        added = found.added.variance
        low, high = interval(found.estimate, found.draws, found.freedom, added)
        alone = spread(found.draws)
        stretch = spread(found.draws, added) / alone if alone > _ROUNDING else 1.0
        parts = np.where(np.abs(found.parts) <= _ROUNDING, 0.0, found.parts)
        yield {
            "quantity": str(found.quantity), "condition": found.condition,
            "estimate": found.estimate, "ci_low": low, "ci_high": high,
            "p_value": sign_flip_test(parts, config.flips, config.seed, stretch), **found.counts,
        }  # fmt: skip
