"""Differences between two models that answered the same trials. Pure arrays and tables, no files.

Two models are asked about the same cells on the same backgrounds, so they are compared on these:
what is hard for both cancels, and the interval of the difference is shorter than those of the two
would make it look.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.schema import CLAIMED, Condition, Effect, Quantity
from compute.statistics.bootstrap import BootstrapConfig, Resampling, interval, spread
from compute.statistics.donor_differences import difference_part
from compute.statistics.donors import DonorInfluence
from compute.statistics.effect_rows import adjust_within, count_cells, degrees_of_freedom
from compute.statistics.effects import (
    Tallies,
    common,
    contrasts,
    contributions,
    drawn_accuracies,
    influence,
    sign_flip_test,
)

_ROUNDING = 1e-12
"""A resampling unit's part of a difference up to this counts as 0."""

FAMILY = ["probe", "protocol", "quantity"]
"""Columns within which p-values are adjusted together, over pairs of models and conditions."""


@dataclass(frozen=True)
class Answered:
    """One model's and protocol's answers in one probe.

    Parameters
    ----------
    tallies
        Right answers under each condition.
    tested
        Names of the conditions.
    donors
        How donors move the accuracy under each of them; None without donors.
    """

    tallies: Tallies
    tested: list[str]
    donors: DonorInfluence | None


Draw = Callable[[NDArray[np.int64]], Resampling]
"""Gives the draws of resampling units with these classes."""


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


def together(first: Tallies, second: Tallies) -> Tallies:
    """Lay two models' answers side by side, over the resampling units that both have.

    Parameters
    ----------
    first, second
        Answers under M and L conditions. Where cells are resampled, those of a protein and class
        are the same, in the same order; a protein of which one model has more cells is left out.

    Returns
    -------
    Tallies
        Answers under M + L conditions.
    """
    sides = []
    for tallies in (first, second):
        key = pd.DataFrame({"class": tallies.classes, "protein": tallies.protein})
        group = key.groupby(["class", "protein"])
        key["number"] = group.cumcount()
        key["of"] = group["number"].transform("size")
        sides.append(key.assign(place=np.arange(len(key))))
    on = ["class", "protein", "number", "of"]
    both = sides[0].merge(sides[1], on=on, suffixes=("", "_other"))
    i, j = both["place"].to_numpy(), both["place_other"].to_numpy()
    return Tallies(
        np.concatenate([first.correct[:, i], second.correct[:, j]]),
        np.concatenate([first.n[:, i], second.n[:, j]]),
        first.classes[i],
        np.concatenate([first.n_cells[:, i], second.n_cells[:, j]]),
        first.protein[i],
    )


def quantities(conditions: Sequence[str]) -> Iterator[tuple[Quantity, str, dict[str, float]]]:
    """List what models are compared in.

    Parameters
    ----------
    conditions
        The conditions under which both have answered.

    Yields
    ------
    tuple
        The quantity, its condition, and the weight of every accuracy in it.

    Examples
    --------
    >>> for quantity, condition, weights in quantities(["unaltered", "same"]):
    ...     print(quantity, condition, weights)
    accuracy unaltered {'unaltered': 1.0}
    accuracy same {'same': 1.0}
    drop same {'unaltered': 1.0, 'same': -1.0}
    """
    for name in conditions:
        yield Quantity.ACCURACY, name, {name: 1.0}
    for effect, name, first, second in contrasts(conditions):
        if effect != Effect.NET:
            yield Quantity(effect), name, {conditions[first]: 1.0, conditions[second]: -1.0}


def _of_two(
    first: Answered,
    second: Answered,
    names: Sequence[str],
    draw: Draw,
    config: BootstrapConfig,
) -> Iterator[dict[str, Any]]:
    """Give the rows of one pair of models."""
    conditions = [name for name in first.tested if name in second.tested]
    tallies = together(first.tallies, second.tallies)
    if len(tallies.classes) == 0:
        return
    resampling = draw(tallies.classes)
    everything = drawn_accuracies(tallies, resampling)
    parts, moves = contributions(tallies, len(names)), influence(tallies, len(names))
    here = np.ones(len(tallies.classes), bool)
    for quantity, condition, weights in quantities(conditions):
        places = [first.tested.index(name) for name in weights]
        others = [second.tested.index(name) for name in weights]
        rows = [*places, *(len(first.tested) + place for place in others)]
        sign = np.array(list(weights.values()))
        both = np.concatenate([sign, -sign])
        shared = common(tallies, *rows)
        if np.array_equal(shared.n, tallies.n[rows]):
            found, part, moved = everything, parts[rows], moves[rows]
        else:
            found, rows = drawn_accuracies(shared, resampling), list(range(len(rows)))
            part, moved = contributions(shared, len(names)), influence(shared, len(names))
        estimate = float(found[0].overall[0, rows] @ both)
        draws = found[1].overall[:, rows] @ both
        contrast = (
            _scattered(sign, places, len(first.tested)),
            _scattered(sign, others, len(second.tested)),
        )
        added = difference_part(first.donors, second.donors, contrast)
        n_cells = shared.n_cells.min(0)
        free = degrees_of_freedom(
            tallies, n_cells, here, np.tensordot(both, moved, 1), None, draws, added
        )
        low, high = interval(estimate, draws, free, added.variance)
        alone = spread(draws)
        stretch = spread(draws, added.variance) / alone if alone > _ROUNDING else 1.0
        parts_of = both @ part
        parts_of[np.abs(parts_of) <= _ROUNDING] = 0
        yield {
            "quantity": str(quantity), "condition": condition, "estimate": estimate,
            "ci_low": low, "ci_high": high,
            "p_value": sign_flip_test(parts_of, config.flips, config.seed, stretch),
            **count_cells(tallies, n_cells, here),
        }  # fmt: skip


def _scattered(
    values: NDArray[np.float64], places: Sequence[int], size: int
) -> NDArray[np.float64]:
    """Put values at their places in an array of zeros."""
    found = np.zeros(size)
    found[list(places)] = values
    return found
