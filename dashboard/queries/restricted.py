"""Pair-test accuracies over some of a run's classes, so that runs with other classes compare.

Layer: a run's tallies or pair tests in, the same numbers as `accuracy` and `effects` out, over the
pairs within the classes that were asked for.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.schema import Aggregation, Probe
from compute.statistics.aggregation import aggregate
from compute.statistics.bootstrap import Resampling, freedom, interval, share_interval
from compute.statistics.effects import Accuracies, Tallies, common, contrasts, drawn_accuracies
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.open_runs import Run

DRAWS, SEED = 2000, 0
"""Bootstrap draws, as many as the design asks for, and their seed."""

COLUMNS = [
    "model", "effect", "condition", "scope", "localization", "estimate", "ci_low", "ci_high",
    "unit", "n_cells", "n_proteins",
]  # fmt: skip


def restricted(run: Run, chosen: AccuracyFilter, classes: tuple[str, ...]) -> pd.DataFrame:
    """Average pair tests over the pairs within some classes.

    Whole proteins are resampled, as in the run itself; under the aggregation `published`, and where
    a run keeps no tallies, the averages are those of `compute.statistics.aggregation`.

    Parameters
    ----------
    run
        The run that is asked.
    chosen
        Its protocol, aggregation, models and conditions.
    classes
        At least two of the run's localizations.

    Returns
    -------
    pandas.DataFrame
        ``model, effect`` (accuracy, drop or gap)``, condition, scope, localization, estimate,
        ci_low, ci_high, unit, n_cells, n_proteins``; empty for another probe.
    """
    if chosen.probe != Probe.PAIR or len(classes) < 2:
        return pd.DataFrame(columns=COLUMNS)
    values = {
        "protocol": chosen.protocol,
        "models": list(chosen.models),
        "conditions": list(chosen.conditions),
        "classes": list(classes),
    }
    where = "protocol = $protocol AND model IN $models AND condition IN $conditions"
    if chosen.aggregation == Aggregation.ALL and run.has("pair_tallies"):
        rows = run.query(
            f"""
            SELECT * FROM {{pair_tallies}}
            WHERE {where} AND localization IN $classes AND other IN $classes
            """,
            ("pair_tallies",),
            values,
        )
        if len(rows):
            parts = [_of_model(str(model), part, classes) for model, part in rows.groupby("model")]
            return pd.concat(parts, ignore_index=True)[COLUMNS]
    tests = run.query(
        f"""
        SELECT * FROM {{pairwise}}
        WHERE {where} AND localization_a IN $classes AND localization_b IN $classes
          AND (background IS NULL OR background IN $classes)
        """,
        ("pairwise",),
        values,
    )
    if tests.empty:
        return pd.DataFrame(columns=COLUMNS)
    accuracy, effects = aggregate(tests, Aggregation(chosen.aggregation))
    both = pd.concat([accuracy.assign(effect="accuracy"), effects], ignore_index=True)
    return both[COLUMNS]


def tallies_of(rows: pd.DataFrame, classes: Sequence[str]) -> tuple[Tallies, list[str]]:
    """Arrange one model's rows of `pair_tallies` by condition, unit and other class."""
    names = sorted(rows["condition"].unique())
    code = {name: i for i, name in enumerate(classes)}
    u = rows.groupby(["localization", "protein", "cell"], dropna=False).ngroup().to_numpy()
    units, first = np.unique(u, return_index=True)
    m = rows["condition"].map({c: i for i, c in enumerate(names)}).to_numpy()
    other = rows["other"].map(code).to_numpy()
    correct = np.zeros((len(names), len(units), len(classes)))
    n, n_cells = np.zeros_like(correct), np.zeros((len(names), len(units)), np.int64)
    correct[m, u, other], n[m, u, other] = rows["correct"], rows["n"]
    np.maximum.at(n_cells, (m, u), rows["n_cells"].to_numpy())
    of_class = np.asarray(rows["localization"].map(code).to_numpy()[first], np.int64)
    return Tallies(correct, n, of_class, n_cells, rows["protein"].to_numpy()[first]), names


def _of_model(model: str, rows: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    tallies, names = tallies_of(rows, classes)
    unit = "protein" if rows["cell"].isna().all() else "cell"
    resampling = Resampling(tallies.classes, len(classes), DRAWS, SEED)
    everything = drawn_accuracies(tallies, resampling)
    lines = [
        {**line, "effect": "accuracy"}
        for m, name in enumerate(names)
        for line in _lines(name, everything, (m,), tallies, tallies.n_cells[m], classes)
    ]
    for effect, name, first, second in contrasts(names):
        shared = common(tallies, first, second)
        numbers = drawn_accuracies(shared, resampling)
        for line in _lines(name, numbers, (0, 1), tallies, shared.n_cells[1], classes):
            lines.append({**line, "effect": str(effect)})
    return pd.DataFrame(lines).assign(model=model, unit=unit)


def _lines(
    condition: str,
    numbers: tuple[Accuracies, Accuracies],
    places: tuple[int, ...],
    tallies: Tallies,
    n_cells: NDArray[np.int64],
    classes: Sequence[str],
) -> list[dict[str, object]]:
    """Write one accuracy, or the difference of two, overall and by class."""
    lines = []
    for a in (None, *range(len(classes))):
        here = tallies.classes >= 0 if a is None else tallies.classes == a
        point, draws = (_at(each, a, places) for each in numbers)
        if not len(point) or not np.isfinite(point[0]):
            continue
        free = freedom(tallies.classes[here])
        span = share_interval if len(places) == 1 else interval
        low, high = span(float(point[0]), draws, free)
        answered = here & (n_cells > 0)
        lines.append(
            {
                "condition": condition,
                "scope": "overall" if a is None else "localization",
                "localization": None if a is None else classes[a],
                "estimate": float(point[0]),
                "ci_low": low,
                "ci_high": high,
                "n_cells": int(n_cells[answered].sum()),
                "n_proteins": len(set(tallies.protein[answered])),
            }
        )
    return lines


def _at(found: Accuracies, a: int | None, places: tuple[int, ...]) -> NDArray[np.float64]:
    of = found.overall if a is None else found.by_class[:, :, a]
    return of[:, places[0]] - of[:, places[1]] if len(places) == 2 else of[:, places[0]]
