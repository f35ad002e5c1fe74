"""Differences between any two models: of one run from its table, of two runs computed anew.

Two runs are compared where they asked about the same trials: the same crop store, plan, folds and
way to compose. Then what a run computes for two of its models (`model_differences`) can be computed
from what both runs keep: answers in pair tests by protein, and every answer of the multi-class
probe.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.errors import BystanderError, UsageError
from compute.schema import COMPOSED, CONDITIONS, MODEL_DIFFERENCES, Condition, Probe
from compute.statistics.bootstrap import BootstrapConfig, Resampling
from compute.statistics.donors import DonorInfluence, DonorSums, side_by_side
from compute.statistics.effect_rows import pair_tallies
from compute.statistics.effects import Tallies
from compute.statistics.joint_answers import Answered
from compute.statistics.model_differences import adjust_differences, model_difference_rows
from dashboard.queries.comparable_runs import Ask, Entry, comparison, directly
from dashboard.queries.open_runs import MissingTableError, Run, open_runs
from dashboard.queries.ranking import measured

COMPOSING = ("paste", "donor_centre", "harmonise", "mask_shift")
"""Settings of how crops are composed, beside the plan."""

COLUMNS = [name for name in MODEL_DIFFERENCES.names if name not in ("protocol", "probe", "scope")]


@dataclass(frozen=True)
class Differences:
    """Models two by two.

    Parameters
    ----------
    table
        ``model, other, quantity, condition, estimate, ci_low, ci_high, unit, p_value, p_holm,
        n_cells, n_proteins``: the first model minus the other, by their titles. Accuracies and
        their differences are shares, not percent.
    protocol, probe
        How they were asked.
    notes
        What has to be said with them, in sentences.
    """

    table: pd.DataFrame = field(repr=False)
    protocol: str
    probe: str
    notes: tuple[str, ...]


def differences(
    runs: Path | str | Sequence[Path | str],
    *,
    protocol: str | None = None,
    probe: str | None = None,
) -> Differences:
    """Compare every two models of a run, or of runs on the same trials, with intervals and tests.

    Parameters
    ----------
    runs
        One run directory, or several.
    protocol, probe
        ``"refit"``, ``"frozen"`` or ``"own"``; ``"pair"`` or ``"multiclass"``. By default the first
        combination that all runs have.

    Returns
    -------
    Differences
        The table, and what has to be said with it.

    Raises
    ------
    UsageError
        No such run, protocol or probe; the runs' trials differ.
    BystanderError
        A run cannot be read, or there are not two models.

    Examples
    --------
    >>> from dashboard import differences
    >>> table = differences("my-run", protocol="frozen", probe="multiclass").table
    >>> sorted(set(table["quantity"]))
    ['accuracy', 'drop', 'gap']
    """
    found = comparison(directly, open_runs(runs).runs)
    choice = measured(found.choices, {"protocol": protocol, "probe": probe})
    if choice is None or len(found.entries) < 2:
        raise BystanderError(
            "There are no two models to compare.", " ".join((*found.notes, *found.left_out))
        )
    each = {entry.run.key: entry.run for entry in found.entries}
    for one, other in combinations(each.values(), 2):
        check_same_trials(one, other)
    pairs = list(combinations(found.entries, 2))
    return of_pairs(directly, pairs, choice[0], choice[1])


def of_pairs(
    ask: Ask, pairs: Sequence[tuple[Entry, Entry]], protocol: str, probe: str
) -> Differences:
    """Compare pairs of models; p-values are adjusted over all of them (see `differences`).

    Parameters
    ----------
    ask
        Answers queries.
    pairs
        The first minus the second.
    protocol, probe
        How they were asked.
    """
    frames, notes = [], dict[str, None]()
    for first, second in pairs:
        if first.run.key == second.run.key:
            table: pd.DataFrame = ask(
                first.run, _stored, first.model, second.model, protocol, probe
            )
        else:
            table = ask(first.run, across, first.model, second, protocol, probe)
            notes |= dict.fromkeys(notes_of(probe))
        frames.append(table.assign(model=first.title, other=second.title))
    joined = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)
    if notes and len(joined):
        joined = adjust_differences(joined.assign(probe=probe, protocol=protocol))
    return Differences(joined[COLUMNS], protocol, probe, tuple(notes))


def notes_of(probe: str) -> list[str]:
    """Return what has to be said of a comparison of two runs."""
    if probe == Probe.PAIR:
        return [
            "Runs do not keep how donors move pair tests, so these intervals are over the proteins "
            "of the centre cells alone, with the donors as they were drawn; put both models into "
            "one run to have that part, too."
        ]
    return [
        "Under conditions whose backgrounds are windows without cells, intervals are over the "
        "proteins of the centre cells alone, as runs do not keep of which protein a window is."
    ]


def _stored(run: Run, model: str, other: str, protocol: str, probe: str) -> pd.DataFrame:
    """Return a run's own rows of two models, whichever way round they stand there."""
    return run.query(
        """
        SELECT quantity, condition,
               CASE WHEN model = $model THEN estimate ELSE -estimate END AS estimate,
               CASE WHEN model = $model THEN ci_low ELSE -ci_high END AS ci_low,
               CASE WHEN model = $model THEN ci_high ELSE -ci_low END AS ci_high,
               unit, p_value, p_holm, n_cells, n_proteins
        FROM {model_differences}
        WHERE protocol = $protocol AND probe = $probe AND scope = 'overall'
          AND ((model = $model AND other = $other) OR (model = $other AND other = $model))
        """,
        ("model_differences",),
        {"model": model, "other": other, "protocol": protocol, "probe": probe},
    )


def across(run: Run, model: str, second: Entry, protocol: str, probe: str) -> pd.DataFrame:
    """Compute the difference between a model and one of another run on the same trials.

    Returns
    -------
    pandas.DataFrame
        Columns of `MODEL_DIFFERENCES`, but `protocol`, `probe` and `scope`; p-values are not
        adjusted.

    Raises
    ------
    UsageError
        The runs asked about other trials; says in what they differ.
    """
    check_same_trials(run, second.run)
    unit = _unit(run, protocol, probe)
    answers = {
        side: _answered(asked, name, protocol, probe, unit)
        for side, asked, name in (("first", run, model), ("second", second.run, second.model))
    }
    there = run.meta.get("configuration", {}).get("bootstrap", {})
    known = {name: there[name] for name in ("draws", "flips", "seed") if name in there}
    config, names = BootstrapConfig(**known), run.localizations
    rows = model_difference_rows(
        answers, names, lambda c: Resampling(c, len(names), config.draws, config.seed), config
    )
    return pd.DataFrame(rows, columns=MODEL_DIFFERENCES.names).assign(unit=unit)[COLUMNS]


def check_same_trials(first: Run, second: Run) -> None:
    """Refuse two runs that did not ask about the same trials.

    Raises
    ------
    UsageError
        Names what differs.
    """
    differ = []
    stores = [run.meta.get("store", {}).get("fingerprint") for run in (first, second)]
    if stores[0] != stores[1] or stores[0] is None:
        differ.append("the crop store")
    plans, composed = (
        [run.meta.get("configuration", {}).get(part, {}) for run in (first, second)]
        for part in ("plan", "embed")
    )
    for sides, names in ((plans, sorted({*plans[0], *plans[1]})), (composed, COMPOSING)):
        for name in names:
            values = [side.get(name) for side in sides]
            if values[0] != values[1]:
                differ.append(f"{name} ({_short(values[0])} and {_short(values[1])})")
    if not differ and _folds(first) != _folds(second):
        differ.append("the folds of the cells")
    if differ:
        raise UsageError(
            f"The runs “{first.title}” and “{second.title}” did not ask about the same trials; "
            f"they differ in {', '.join(differ)}.",
            "Run both models on one store with the same options, or put them into one run "
            "(--models A,B). What they have in common can be compared all the same (leaderboard).",
        )


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _folds(run: Run) -> tuple[int, ...]:
    """Return a sum over the cells and their folds, equal where these are."""
    (row,) = run.query(
        "SELECT count(*) AS n, coalesce(sum(hash(cell, protein, fold) % 1000000007), 0)::BIGINT "
        "AS folds FROM {cells}",
        ("cells",),
    ).itertuples(index=False)
    return tuple(int(value) for value in row)


def _unit(run: Run, protocol: str, probe: str) -> str:
    """Return what a run resampled: ``protein`` or ``cell``."""
    found = run.query(
        "SELECT DISTINCT unit FROM {accuracy} WHERE protocol = $protocol AND probe = $probe "
        "AND aggregation = 'all' AND unit IS NOT NULL",
        ("accuracy",),
        {"protocol": protocol, "probe": probe},
    )["unit"]
    return str(found.iloc[0]) if len(found) else "protein"


def _answered(run: Run, model: str, protocol: str, probe: str, unit: str) -> Answered:
    """Return a model's answers as a run has them.

    Raises
    ------
    UsageError
        Nothing is kept of this probe from which they could be counted.
    """
    if probe == Probe.PAIR:
        return _pair_answers(run, model, protocol)
    if probe == Probe.MULTICLASS:
        return _multiclass_answers(run, model, protocol, unit == "protein")
    raise UsageError(
        f"Two runs cannot be compared in the probe {probe!r}: they keep no answers of it.",
        "Choose --probe pair or multiclass, or put both models into one run.",
    )


def _pair_answers(run: Run, model: str, protocol: str) -> Answered:
    rows = run.query(
        "SELECT * FROM {pair_tallies} WHERE model = $model AND protocol = $protocol",
        ("pair_tallies",),
        {"model": model, "protocol": protocol},
    )
    tallies, tested = pair_tallies(rows, run.conditions, run.localizations)
    if tallies is None:
        raise MissingTableError("pair_tallies", run)
    return Answered(tallies, tested, None)


def _multiclass_answers(run: Run, model: str, protocol: str, by_protein: bool) -> Answered:
    """Count the multi-class probe's right answers, each cell counting once."""
    values = {"model": model, "protocol": protocol}
    rows = run.query(
        """
        WITH tested AS (SELECT DISTINCT localization FROM {accuracy}
                        WHERE probe = 'multiclass' AND protocol = $protocol AND model = $model
                          AND scope = 'localization'),
             p AS (SELECT p.cell, any_value(c.protein) AS protein, p.condition,
                          any_value(c.localization) AS localization,
                          avg((p.predicted = c.localization)::INT) AS share
                   FROM {predictions} AS p JOIN {cells} AS c USING (cell)
                        SEMI JOIN tested ON c.localization = tested.localization
                   WHERE p.model = $model AND p.protocol = $protocol
                   GROUP BY p.cell, p.condition)
        SELECT condition, protein, localization, CASE WHEN $by_protein THEN NULL ELSE cell END
               AS number, sum(share) AS correct, count(*) AS n
        FROM p GROUP BY ALL ORDER BY localization, protein, number
        """,
        ("accuracy", "predictions", "cells"),
        {**values, "by_protein": by_protein},
    )
    if rows.empty:
        raise MissingTableError("predictions", run)
    names = run.localizations
    tested = [str(c) for c in COMPOSED if (rows["condition"] == str(c)).any()]
    units = rows.groupby(["localization", "protein", "number"], dropna=False, sort=True).ngroup()
    first = np.unique(units, return_index=True)[1]
    m = rows["condition"].map({c: i for i, c in enumerate(tested)}).to_numpy()
    correct, n = np.zeros((2, len(tested), len(first), 1))
    correct[m, units, 0], n[m, units, 0] = rows["correct"], rows["n"]
    code = {name: k for k, name in enumerate(names)}
    classes = _codes(rows["localization"], code)[first]
    protein = rows["protein"].to_numpy()[first]
    tallies = Tallies(correct, n, classes, n[..., 0].astype(np.int64), protein)
    donors = [_donors(run, values, name, by_protein) for name in tested]
    return Answered(tallies, tested, side_by_side(donors, len(names)))


def _donors(
    run: Run, values: dict[str, str], condition: str, by_protein: bool
) -> DonorInfluence | None:
    """Return how donors move the multi-class accuracy; None where they are no cells."""
    if CONDITIONS[Condition(condition)].donors != "cell" or not run.has("trials"):
        return None
    unit = "protein" if by_protein else "cell"
    rows = run.query(
        f"""
        WITH tested AS (SELECT DISTINCT localization FROM {{accuracy}}
                        WHERE probe = 'multiclass' AND protocol = $protocol AND model = $model
                          AND scope = 'localization'),
             p AS (SELECT p.trial, p.cell, c.localization, (p.predicted = c.localization)::INT
                          AS correct, c.{unit} AS centre, 1.0 / count(*) OVER (PARTITION BY p.cell)
                          AS weight
                   FROM {{predictions}} AS p JOIN {{cells}} AS c USING (cell)
                        SEMI JOIN tested ON c.localization = tested.localization
                   WHERE p.model = $model AND p.protocol = $protocol AND p.condition = $condition)
        SELECT p.localization, p.centre, d.localization AS behind, d.{unit} AS donor,
               sum(p.weight) AS weight, sum(p.weight * p.correct) / sum(p.weight) AS share
        FROM p JOIN {{trials}} AS t USING (trial) JOIN {{cells}} AS d ON d.cell = t.donor
        WHERE t.condition = $condition AND d.localization IS NOT NULL
        GROUP BY ALL ORDER BY ALL
        """,
        ("accuracy", "predictions", "cells", "trials"),
        {**values, "condition": condition},
    )
    if rows.empty:
        return None
    every = run.query(
        f"SELECT DISTINCT localization, {unit} AS unit FROM {{cells}} "
        "WHERE localization IS NOT NULL ORDER BY ALL",
        ("cells",),
    )
    code = {name: k for k, name in enumerate(run.localizations)}
    number = {key: i for i, key in enumerate(every.itertuples(index=False, name=None))}
    classes = _codes(every["localization"], code)
    sums = DonorSums.empty(classes, len(code), 1)
    centre = _numbers(rows, number, "localization", "centre")
    sums.add(
        centre, _codes(rows["localization"], code),
        _numbers(rows, number, "behind", "donor"), rows["weight"].to_numpy(),
        rows[["share"]].to_numpy(),
    )  # fmt: skip
    return sums.influence()


def _codes(names: pd.Series, code: dict[str, int]) -> NDArray[np.int64]:
    """Return the number of each class name."""
    return np.asarray(names.map(code), np.int64)


def _numbers(
    rows: pd.DataFrame, number: dict[tuple[Any, ...], int], *columns: str
) -> NDArray[np.int32]:
    """Return the number of each row's unit."""
    keys = zip(*(rows[column] for column in columns), strict=True)
    return np.array([number[key] for key in keys], np.int32)
