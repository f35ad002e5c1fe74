"""What remedies do to a model's findings, as rows of the table `remedies`. Pure tables, no files.

Intervals are those of every other number of a run: proteins of centre cells are resampled, and
what donors add is known. A difference from no remedy is over the same cells on the same donors.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.schema import REMEDIES_IN_WORDS, Condition, Effect, Quantity, Remedy
from compute.statistics.bootstrap import BootstrapConfig, Resampling, freedom, interval
from compute.statistics.effect_rows import effect_rows
from compute.statistics.joint_answers import Answered, Draw, joint_estimates
from compute.statistics.resampling_units import Units, means
from compute.statistics.worst_case import worst_rows

WORST = "worst_case"
"""What the column `quantity` calls the share of cells that are right on every background class."""

Row = dict[str, Any]


def finding_rows(
    answers: Mapping[Remedy, Answered],
    names: Sequence[str],
    draw: Draw,
    config: BootstrapConfig,
) -> Iterator[Row]:
    """Estimate each remedy's accuracies, drops and gap, and their differences from no remedy.

    Parameters
    ----------
    answers
        Of each remedy, `NONE` among them.
    names
        Class names.
    draw
        Gives the bootstrap draws.
    config
        Settings of the intervals.

    Yields
    ------
    dict
        `remedy`, `quantity`, `condition`, `estimate`, `difference` and their intervals, `n_cells`,
        `n_proteins`.
    """
    for remedy, mine in answers.items():
        found = effect_rows(
            mine.tallies, mine.tested, names, draw(mine.tallies.classes), config, mine.donors
        )
        rows = [{"quantity": str(Quantity.ACCURACY), **row} for row in found[0]]
        rows += [{"quantity": row["effect"], **row} for row in found[1]]
        from_none = {}
        if remedy is not Remedy.NONE:
            for each in joint_estimates((mine, answers[Remedy.NONE]), (1.0, -1.0), names, draw):
                ends = interval(each.estimate, each.draws, each.freedom, each.added.variance)
                from_none[str(each.quantity), each.condition] = (each.estimate, *ends)
        for row in rows:
            if row["scope"] != "overall" or row["quantity"] == str(Effect.NET):
                continue
            key = row["quantity"], row["condition"]
            yield {
                "remedy": str(remedy), "quantity": key[0], "condition": key[1],
                **{name: _exact(row[name]) for name in _KEPT}, **_difference(from_none.get(key)),
                "by_construction": by_construction(remedy, key[1]),
            }  # fmt: skip


def worst_case_rows(
    sums: Mapping[Remedy, NDArray[np.float64]], units: Units, names: Sequence[str], draw: Draw
) -> Iterator[Row]:
    """Estimate each remedy's worst case, and its difference from no remedy.

    Parameters
    ----------
    sums
        Of each remedy, `NONE` among them, from `compute.remedies.judge.worst`, over the same cells.
    units
        The resampling units.
    names
        Class names.
    draw
        Gives the bootstrap draws.

    Yields
    ------
    dict
        As from `finding_rows`; none where no cell stands on two background classes.
    """
    here = sums[Remedy.NONE][:, -1] > 0
    if not here.any():
        return
    some = units.take(here)
    drawn = draw(some.classes)
    before = sums[Remedy.NONE][here]
    for remedy, every in sums.items():
        mine = every[here]
        row = next(worst_rows(mine, some, drawn, names))
        difference = None
        if remedy is not Remedy.NONE:
            difference = _worst_difference(before, mine, some, drawn)
        yield {
            "remedy": str(remedy), "quantity": WORST, "condition": str(Condition.DIFFERENT),
            **{name: row[name] for name in _KEPT}, **_difference(difference),
            "by_construction": by_construction(remedy, Condition.DIFFERENT),
        }  # fmt: skip


def by_construction(remedy: Remedy, condition: str) -> bool:
    """Tell whether a remedy's answers under a condition are those to unaltered crops.

    Numbers then follow from what the remedy does, and are not asked again.

    Examples
    --------
    >>> by_construction(Remedy.CLEANED, "different")
    True
    >>> by_construction(Remedy.CLEANED, "unaltered")
    False
    """
    return condition in REMEDIES_IN_WORDS[remedy].replaces


_ROUNDING = 1e-12
"""Numbers up to this count as 0."""

_KEPT = ("estimate", "ci_low", "ci_high", "n_cells", "n_proteins")


def _exact(value: float) -> float:
    """Return 0 for what rounding makes of it."""
    return 0 if abs(value) <= _ROUNDING else value


def _difference(found: tuple[float, float, float] | None) -> Row:
    """Return the columns of a difference; empty ones for no remedy."""
    names = ("difference", "difference_low", "difference_high")
    return dict(zip(names, found or (None, None, None), strict=True))


def _worst_difference(
    before: NDArray[np.float64], after: NDArray[np.float64], units: Units, drawn: Resampling
) -> tuple[float, float, float]:
    """Estimate the difference of two shares of cells that are right on every background."""
    found = means((after - before)[:, :1], before[:, -1], drawn)
    value = float(found.point[0, 0])
    return value, *interval(value, found.draws[:, 0, 0], freedom(units.classes))
