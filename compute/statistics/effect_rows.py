"""Accuracies, drops and gaps as table rows, with intervals and tests. Pure tables, no files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.schema import CLAIMED, CONDITIONS, Effect
from compute.statistics.bootstrap import (
    BootstrapConfig,
    Resampling,
    effective_freedom,
    freedom,
    interval,
    share_interval,
    spread,
)
from compute.statistics.donors import DonorInfluence, DonorPart
from compute.statistics.effects import (
    Accuracies,
    Tallies,
    common,
    contrasts,
    contributions,
    drawn_accuracies,
    holm,
    influence,
    sign_flip_test,
)
from compute.statistics.equivalence import beyond_test, equivalence_test, with_odds
from compute.statistics.simultaneous import Drawn, simultaneous_intervals

FAMILY = ["probe", "protocol", "effect"]
"""Columns within which effects belong together, over models and conditions: p-values are adjusted
for one another, and intervals hold all at once."""

ADJUSTED = {
    "p_value": "p_holm",
    "p_equivalence": "p_equivalence_holm",
    "p_equivalence_odds": "p_equivalence_odds_holm",
}
"""Columns of p-values, and of what they become when they are adjusted."""

DRAWN = "drawn"
"""Key, in a row of an effect that the headline may name, of the draws behind it (`Drawn`)."""

_HEADLINE = {str(c) for c, spec in CONDITIONS.items() if spec.headline}


def may_be_named(effect: Effect, condition: str) -> bool:
    """Whether the headline may name an effect, so that it needs a simultaneous interval."""
    return condition in _HEADLINE and effect != Effect.NET


def pair_tallies(
    rows: pd.DataFrame, conditions: Sequence[str], names: Sequence[str]
) -> tuple[Tallies | None, list[str]]:
    """Arrange one model's and protocol's `pair_tallies` as arrays.

    Parameters
    ----------
    rows
        Rows of the table `pair_tallies`, of one model and protocol.
    conditions
        Conditions in the order that is wanted.
    names
        Class names.

    Returns
    -------
    tallies : Tallies or None
        Answers by condition, resampling unit and other class of the pair; None without rows.
    tested : list of str
        Those of the conditions that have rows, in the same order.
    """
    if len(rows) == 0:
        return None, []
    tested = [c for c in conditions if (rows["condition"] == c).any()]
    code = {name: i for i, name in enumerate(names)}
    group = rows.groupby(["localization", "protein", "cell"], dropna=False)
    u = group.ngroup().to_numpy()
    units, first = np.unique(u, return_index=True)
    classes = np.asarray(rows["localization"].map(code).to_numpy()[first], np.int64)
    m = rows["condition"].map({c: i for i, c in enumerate(tested)}).to_numpy()
    other = rows["other"].map(code).to_numpy()
    correct = np.zeros((len(tested), len(units), len(code)))
    n, n_cells = np.zeros_like(correct), np.zeros((len(tested), len(units)), np.int64)
    correct[m, u, other], n[m, u, other] = rows["correct"], rows["n"]
    np.maximum.at(n_cells, (m, u), rows["n_cells"].to_numpy())
    protein = rows["protein"].to_numpy()[first]
    return Tallies(correct, n, classes, n_cells, protein), tested


def effect_rows(
    tallies: Tallies,
    conditions: Sequence[str],
    names: Sequence[str],
    resampling: Resampling,
    config: BootstrapConfig,
    donors: DonorInfluence | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Estimate every condition's accuracy and every effect, overall and by localization.

    Parameters
    ----------
    tallies
        Answers of one model, protocol and probe.
    conditions
        Names of the conditions in `tallies`, in their order.
    names
        Class names.
    resampling
        Draws of the tallies' resampling units.
    config
        Says how many sign flips are drawn, with which seed, and the margin.
    donors
        How donors move the accuracy under each of the conditions; by default None, which takes
        answers that share a donor for independent.

    Returns
    -------
    accuracy, effects : list of dict
        Columns of `ACCURACY` and of `EFFECTS` without `model`, `protocol`, `probe`, `aggregation`,
        `unit` and `donor_seen`. Overall effects have p-values, not yet adjusted, and those that the
        headline may name also `DRAWN`, for `adjust`.
    """
    everything = drawn_accuracies(tallies, resampling)
    moves = influence(tallies, len(names))
    every = np.eye(len(conditions))
    paired = {}
    for effect, name, first, second in contrasts(conditions):
        shared = common(tallies, first, second)
        alike = np.array_equal(shared.n, tallies.n[[first, second]])
        found = everything if alike else drawn_accuracies(shared, resampling)
        rows = (first, second) if alike else (0, 1)
        share = contributions(shared, len(names))
        moved = moves if alike else influence(shared, len(names))
        paired[effect, name] = _Paired(
            found, rows, shared.n_cells[1], share[0] - share[1], moved[list(rows)],
            every[[first, second]],
        )  # fmt: skip
    scopes: list[tuple[str, int | None]] = [("overall", None)]
    scopes += [("localization", a) for a in np.unique(tallies.classes)]
    accuracy, effects = [], []
    for scope, a in scopes:
        here = tallies.classes >= 0 if a is None else tallies.classes == a
        where = {"scope": scope, "localization": None if a is None else names[a]}
        estimate, drawn = (of_scope(found, a) for found in everything)
        for m, name in enumerate(conditions):
            part, n, draws = donor_part(donors, every[m], a), tallies.n_cells[m], drawn[:, m]
            free = degrees_of_freedom(tallies, n, here, moves[m], a, draws, part)
            low, high = share_interval(float(estimate[0, m]), draws, free, added=part.variance)
            accuracy.append(
                {**where, "condition": name, "estimate": float(estimate[0, m]),
                 "ci_low": low, "ci_high": high, **count_cells(tallies, n, here)}
            )  # fmt: skip
        for (effect, name), pair in paired.items():
            estimate, drawn = (of_scope(each, a) for each in pair.found)
            both, draws_of = estimate[0, list(pair.rows)], drawn[:, list(pair.rows)]
            difference, draws = float(both @ _MINUS), draws_of @ _MINUS
            part = donor_part(donors, _MINUS @ pair.contrasts, a)
            moved = np.tensordot(_MINUS, pair.moved, 1)
            free = degrees_of_freedom(tallies, pair.n_cells, here, moved, a, draws, part)
            counts = count_cells(tallies, pair.n_cells, here)
            low, high = interval(difference, draws, free, part.variance)
            row: dict[str, Any] = {
                **where, "effect": str(effect), "condition": name, "estimate": difference,
                "ci_low": low, "ci_high": high, "p_value": np.nan, **counts,
            }  # fmt: skip
            if a is None:
                alone = spread(draws)
                stretch = spread(draws, part.variance) / alone if alone > 0 else 1.0
                row["p_value"] = sign_flip_test(pair.parts, config.flips, config.seed, stretch)
                row["margin"] = config.margin
                row["p_equivalence"] = equivalence_test(
                    difference, draws, free, config.margin, counts["n_cells"], part.variance
                )
                if may_be_named(effect, name):
                    row[DRAWN] = Drawn(difference, draws, free, part.variance, tallies.protein)
                if config.margin_odds is not None:
                    row["margin_odds"] = config.margin_odds
                    row["p_equivalence_odds"] = _odds_test(
                        tallies, pair, both, draws_of, donors, config.margin_odds
                    )
            effects.append(row)
    return accuracy, effects


_MINUS = np.array([1.0, -1.0])
"""The first accuracy minus the second."""


@dataclass(frozen=True)
class _Paired:
    """Two conditions, compared in the tests that both have.

    Parameters
    ----------
    found
        Accuracies from all resampling units and from each draw.
    rows
        Places of the two conditions in `found`.
    n_cells
        Cells behind each of the U resampling units, shape (U,).
    parts
        Each unit's part of the effect, shape (U,).
    moved
        Its influence on the two accuracies, shape (2, U, 1 + classes).
    contrasts
        Weights of all M conditions' accuracies in the two, shape (2, M).
    """

    found: tuple[Accuracies, Accuracies]
    rows: tuple[int, int]
    n_cells: NDArray[np.int64]
    parts: NDArray[np.float64]
    moved: NDArray[np.float64]
    contrasts: NDArray[np.float64]


def _odds_test(
    tallies: Tallies,
    pair: _Paired,
    both: NDArray[np.float64],
    draws: NDArray[np.float64],
    donors: DonorInfluence | None,
    factor: float,
) -> float:
    """Test that the odds of a right answer change by less than a factor, up or down.

    Two one-sided tests: that the second accuracy is above the one that the first one's odds divided
    by the factor would give, and below the one that they would give multiplied by it. Both are
    linear in the draws of the second accuracy, and nearly so in those of the first, so that tests
    keep their level near the ceiling, and have an answer at it.

    Parameters
    ----------
    tallies
        Answers by resampling unit.
    pair
        The two conditions.
    both, draws
        Their overall accuracies from all resampling units, shape (2,), and from each bootstrap
        draw, shape (draws, 2).
    donors
        How donors move the accuracy under each condition of `tallies`, or None.
    factor
        Above 1.
    """
    everyone = np.ones(len(tallies.classes), bool)
    n_cells = count_cells(tallies, pair.n_cells, everyone)["n_cells"]
    same = not pair.parts.any()
    p = []
    for times, side in ((1 / factor, 1.0), (factor, -1.0)):
        bound, slope = with_odds(float(both[0]), times)
        by = side * np.array([-slope, 1.0])
        part = donor_part(donors, by @ pair.contrasts, None)
        moved, drawn = np.tensordot(by, pair.moved, 1), draws @ by
        free = degrees_of_freedom(tallies, pair.n_cells, everyone, moved, None, drawn, part)
        distance = side * float(both[1] - bound)
        p.append(beyond_test(distance, drawn, free, n_cells, part.variance, same))
    return max(p)


def adjust(effects: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Take into account that there are many models and conditions.

    P-values are adjusted (Holm 1979) within each family (`FAMILY`), which has every model under
    every condition of `CLAIMED`; the others, `sham` and `background_only`, are controls and get no
    adjusted p-value. Effects that the headline may name get simultaneous intervals.

    Parameters
    ----------
    effects
        Rows of `EFFECTS` of all models, with `DRAWN`.
    seed
        Seed of the random numbers of simultaneous intervals; by default 0.

    Returns
    -------
    pandas.DataFrame
        The same table, with the columns of `ADJUSTED`, `simultaneous_low` and `simultaneous_high`,
        without `DRAWN`.
    """
    claimed = effects["condition"].isin([str(c) for c in CLAIMED])
    adjust_within(effects, FAMILY, claimed)
    ends = ["simultaneous_low", "simultaneous_high"]
    effects[ends] = np.nan
    if DRAWN not in effects:
        return effects
    for _, family in effects[effects[DRAWN].notna()].groupby(FAMILY):
        effects.loc[family.index, ends] = simultaneous_intervals(family[DRAWN].to_list(), seed)
    return effects.drop(columns=DRAWN)


def adjust_within(rows: pd.DataFrame, family: Sequence[str], claimed: pd.Series) -> pd.DataFrame:
    """Adjust every column of p-values within families (Holm 1979), in place.

    Parameters
    ----------
    rows
        Has some of the keys of `ADJUSTED`.
    family
        Columns that are the same within a family.
    claimed
        Which rows belong to a family; the others get no adjusted p-value.

    Returns
    -------
    pandas.DataFrame
        The same table, with the adjusted columns.
    """
    for column, adjusted in ADJUSTED.items():
        if column not in rows:
            continue
        rows[adjusted] = np.nan
        for _, some in rows[rows[column].notna() & claimed].groupby(list(family)):
            rows.loc[some.index, adjusted] = holm(some[column].to_list())
    return rows


def of_scope(found: Accuracies, a: int | None) -> NDArray[np.float64]:
    """Return overall accuracies (`a` is None), or those of class `a`; shape (W, M)."""
    return found.overall if a is None else found.by_class[:, :, a]


def degrees_of_freedom(
    tallies: Tallies,
    n_cells: NDArray[np.int64],
    here: NDArray[np.bool_],
    moved: NDArray[np.float64],
    a: int | None,
    draws: NDArray[np.float64],
    part: DonorPart,
) -> float:
    """Return the degrees of freedom of an accuracy or effect, overall (`a` is None) or of a class.

    Parameters
    ----------
    tallies
        Answers of U resampling units.
    n_cells
        Cells behind each of them, shape (U,).
    here
        Resampling units of the class, or all, shape (U,).
    moved
        Influence of each of them, shape (U, 1 + classes), as from `influence`.
    a
        The class.
    draws
        The estimate of each draw, shape (draws,).
    part
        What donors add to their variance.
    """
    units = freedom(tallies.classes[here & (n_cells > 0)])
    mine = moved[:, 0 if a is None else 1 + a]
    if units < 1:
        return units
    centre = effective_freedom(mine, tallies.classes) if mine.any() else units
    return part.freedom_with(centre, draws)


def donor_part(
    donors: DonorInfluence | None, contrast: NDArray[np.float64], a: int | None
) -> DonorPart:
    """Return what donors add to the variance of an effect, overall (`a` is None) or of a class."""
    if donors is None:
        return DonorPart()
    return donors.component(contrast, 0 if a is None else 1 + a)


def count_cells(
    tallies: Tallies, n_cells: NDArray[np.int64], here: NDArray[np.bool_]
) -> dict[str, int]:
    """Count the cells and proteins that gave answers, among the resampling units `here`."""
    answered = here & (n_cells > 0)
    return {
        "n_cells": int(n_cells[answered].sum()),
        "n_proteins": len(set(tallies.protein[answered])),
    }
