"""Sums of several models' answers to the same trials. Pure arrays, no files.

Models of a run are asked about the same cells on the same backgrounds. A weighted sum of their
accuracies (a difference of two, the mean of several) is therefore estimated on these together:
proteins are resampled for all of them at once, and what donors do to all of them is known.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.schema import Effect, Quantity
from compute.statistics.bootstrap import Resampling
from compute.statistics.donors import DonorInfluence, DonorPart
from compute.statistics.effect_rows import count_cells, degrees_of_freedom
from compute.statistics.effects import (
    Tallies,
    common,
    contrasts,
    contributions,
    drawn_accuracies,
    influence,
)
from compute.statistics.joint_donors import joint_part


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


@dataclass(frozen=True)
class JointEstimate:
    """A weighted sum of models' overall accuracies, drops or gaps.

    Parameters
    ----------
    quantity, condition
        Of what.
    estimate
        The sum.
    each
        Every model's own estimate, over the tests that all of them have, shape (S,).
    draws
        The sum of each bootstrap draw, shape (draws,).
    freedom
        Degrees of freedom of its standard deviation, donors included.
    added
        What donors add to its variance.
    parts
        Each resampling unit's part of it, shape (U,).
    counts
        `n_cells` and `n_proteins` behind it.
    """

    quantity: Quantity
    condition: str
    estimate: float
    each: NDArray[np.float64]
    draws: NDArray[np.float64]
    freedom: float
    added: DonorPart
    parts: NDArray[np.float64]
    counts: dict[str, int]


def joint_estimates(
    answers: Sequence[Answered], by: Sequence[float], names: Sequence[str], draw: Draw
) -> Iterator[JointEstimate]:
    """Estimate a weighted sum of models' accuracies, drops and gap, overall.

    Parameters
    ----------
    answers
        Of S models, in one protocol and probe.
    by
        Weight of each model.
    names
        Class names.
    draw
        Gives the bootstrap draws.

    Yields
    ------
    JointEstimate
        One for each of `quantities` under the conditions that all models have; none where they
        have no resampling unit in common.
    """
    conditions = [
        name for name in answers[0].tested if all(name in each.tested for each in answers)
    ]
    tallies = together(*(each.tallies for each in answers))
    if len(tallies.classes) == 0:
        return
    resampling = draw(tallies.classes)
    everything = drawn_accuracies(tallies, resampling)
    parts, moves = contributions(tallies, len(names)), influence(tallies, len(names))
    here = np.ones(len(tallies.classes), bool)
    starts = np.cumsum([0, *(len(each.tested) for each in answers)])
    for quantity, condition, weights in quantities(conditions):
        places = [[each.tested.index(name) for name in weights] for each in answers]
        rows = [
            int(start) + m for start, mine in zip(starts[:-1], places, strict=True) for m in mine
        ]
        sign = np.array(list(weights.values()))
        whole = np.concatenate([weight * sign for weight in by])
        shared = common(tallies, *rows)
        if np.array_equal(shared.n, tallies.n[rows]):
            found, part, moved = everything, parts[rows], moves[rows]
        else:
            found, rows = drawn_accuracies(shared, resampling), list(range(len(rows)))
            part, moved = contributions(shared, len(names)), influence(shared, len(names))
        own = found[0].overall[0, rows]
        draws = found[1].overall[:, rows] @ whole
        added = joint_part(
            *(
                (each.donors, weight * _scattered(sign, mine, len(each.tested)))
                for each, weight, mine in zip(answers, by, places, strict=True)
            )
        )
        n_cells = shared.n_cells.min(0)
        free = degrees_of_freedom(
            tallies, n_cells, here, np.tensordot(whole, moved, 1), None, draws, added
        )
        yield JointEstimate(
            quantity, condition, float(own @ whole), own.reshape(len(answers), -1) @ sign,
            draws, free, added, whole @ part, count_cells(tallies, n_cells, here),
        )  # fmt: skip


def together(*found: Tallies) -> Tallies:
    """Lay models' answers side by side, over the resampling units that all of them have.

    Parameters
    ----------
    *found
        Answers under M, L, … conditions. Where cells are resampled, those of a protein and class
        are the same, in the same order; a protein of which one model has more cells is left out.

    Returns
    -------
    Tallies
        Answers under M + L + … conditions.
    """
    return reduce(_side_by_side, found)


def _side_by_side(first: Tallies, second: Tallies) -> Tallies:
    """Lay two models' answers side by side."""
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


def _scattered(
    values: NDArray[np.float64], places: Sequence[int], size: int
) -> NDArray[np.float64]:
    """Put values at their places in an array of zeros."""
    found = np.zeros(size)
    found[list(places)] = values
    return found
