"""How much findings differ between two settings of the same run. Pure arrays, no files.

The same cells stand on the same donors in both, so answers are compared one by one: an accuracy is
linear in its answers, and the difference of two accuracies is the accuracy of differences (1 where
only the second setting is right, −1 where only the first is). Resampling units, draws and donors
are those of the accuracies themselves.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from compute.schema import Effect
from compute.statistics.bootstrap import Resampling, interval
from compute.statistics.donors import DonorInfluence
from compute.statistics.effect_rows import degrees_of_freedom, donor_part
from compute.statistics.effects import Tallies, common, contrasts, drawn_accuracies, influence

ACCURACY = "accuracy"
"""What the column `quantity` calls an accuracy; effects have the names of `Effect`."""

FINDINGS = (Effect.DROP, Effect.GAP)
"""The effects that are compared."""


def differences(before: Tallies, after: Tallies) -> Tallies | None:
    """Subtract the answers under one setting from those under another.

    Parameters
    ----------
    before, after
        Answers of the same tests: M conditions, U resampling units.

    Returns
    -------
    Tallies or None
        `correct` holds differences, from −n to n; None where the tests are not the same.
    """
    same = (
        before.n.shape == after.n.shape
        and np.array_equal(before.classes, after.classes)
        and np.array_equal(before.protein, after.protein)
        and np.allclose(before.n, after.n)
    )
    if not same:
        return None
    return Tallies(
        after.correct - before.correct, before.n, before.classes, before.n_cells, before.protein
    )


def difference_rows(
    answers: Tallies,
    conditions: Sequence[str],
    names: Sequence[str],
    resampling: Resampling,
    donors: DonorInfluence | None = None,
    unknown: Sequence[str] = (),
) -> Iterator[dict[str, Any]]:
    """Estimate how much every overall accuracy, drop and gap differs between two settings.

    Parameters
    ----------
    answers
        From `differences`.
    conditions
        Names of its conditions, in order.
    names
        Class names.
    resampling
        Draws of its resampling units.
    donors
        How donors move the differences under each of the conditions; by default None, for
        conditions without donors.
    unknown
        Conditions of which that is not known; what rests on one of them has no interval.

    Yields
    ------
    dict
        `quantity` (`ACCURACY` or one of `FINDINGS`), `condition`, `difference`, `difference_low`,
        `difference_high`.
    """
    every = np.eye(len(conditions))
    wanted = [(ACCURACY, name, [m]) for m, name in enumerate(conditions)]
    wanted += [
        (str(effect), name, [first, second])
        for effect, name, first, second in contrasts(conditions)
        if effect in FINDINGS
    ]
    anywhere = np.ones(len(answers.classes), bool)
    for quantity, name, places in wanted:
        signs = np.array([1.0, -1.0])[: len(places)]
        paired = len(places) == 2
        shared = common(answers, places[0], places[1]) if paired else answers
        at = [0, 1] if paired else places
        point, draws = drawn_accuracies(shared, resampling)
        value = float(point.overall[0, at] @ signs)
        drawn = draws.overall[:, at] @ signs
        row = {"quantity": quantity, "condition": name, "difference": value}
        if {conditions[m] for m in places} & set(unknown):
            yield {**row, "difference_low": np.nan, "difference_high": np.nan}
            continue
        moved = np.tensordot(signs, influence(shared, len(names))[at], 1)
        part = donor_part(donors, signs @ every[places], None)
        free = degrees_of_freedom(
            shared, shared.n_cells[at[-1]], anywhere, moved, None, drawn, part
        )
        low, high = interval(value, drawn, free, part.variance)
        yield {**row, "difference_low": low, "difference_high": high}
