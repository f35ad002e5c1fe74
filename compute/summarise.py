"""The effects stage: tallies and predictions to the run's summary tables.

Layer: reads `predictions` and the probe stage's work files, writes `pairwise`, `pair_tallies`,
`accuracy`, `effects`, `shifts` and `distributions`.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.aggregation import aggregate, with_counts
from compute.effects import (
    Accuracies,
    BootstrapConfig,
    Tallies,
    accuracies,
    common,
    contrasts,
    contributions,
    holm,
    interval,
    resample,
    sign_flip_test,
)
from compute.files import Progress, silent
from compute.probing import Cells, work_file
from compute.protein_shifts import Answers, distribution_rows, read_answers, shift_rows, take
from compute.rundir import RunDirectory
from compute.schema import Aggregation, Condition, Probe, Protocol


def summarise(
    run: RunDirectory,
    cells: Cells,
    table: pd.DataFrame,
    models: Sequence[str],
    conditions: Sequence[str],
    config: BootstrapConfig,
    progress: Progress = silent,
) -> None:
    """Write every summary table that is not there yet.

    Parameters
    ----------
    run
        With the probe stage finished.
    cells
        Labels and folds.
    table
        The store's `cells`.
    models, conditions
        What the run holds.
    config
        Draws and seed.
    progress
        Called with units done (a model under a condition and protocol).
    """
    for name in ("pairwise", "pair_tallies"):
        if not run.summary(name).is_file():
            expected = schema.SUMMARY_TABLES[name]
            kind = "tallies" if name == "pair_tallies" else name
            files = [work_file(run, kind, m, c) for m in models for c in conditions]
            parts = [pq.read_table(f, partitioning=None) for f in files if f.is_file()]
            run.write(
                run.summary(name), pa.concat_tables([expected.empty_table(), *parts]), expected
            )
    wanted = ("accuracy", "effects", "shifts", "distributions")
    if all(run.summary(name).is_file() for name in wanted):
        return
    shifts, distributions, multiclass = _read_predictions(
        run, cells, table, models, conditions, config, progress
    )
    accuracy, effects = _accuracies(run, cells, models, conditions, multiclass, config)
    for name, frame in zip(wanted, (accuracy, effects, shifts, distributions), strict=True):
        expected = schema.SUMMARY_TABLES[name]
        if len(frame):
            written = pa.Table.from_pandas(
                frame.reindex(columns=expected.names), schema=expected, preserve_index=False
            )
        else:
            written = expected.empty_table()
        run.write(run.summary(name), written, expected)


def _read_predictions(
    run: RunDirectory,
    cells: Cells,
    table: pd.DataFrame,
    models: Sequence[str],
    conditions: Sequence[str],
    config: BootstrapConfig,
    progress: Progress,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[tuple[str, str, str], Answers]]:
    """Go through all predictions: shifts, distributions, and labelled cells' answers."""
    composed = [c for c in schema.COMPOSED if c in conditions]
    shifts: list[pd.DataFrame] = []
    distributions: list[pd.DataFrame] = []
    labelled: dict[tuple[str, str, str], Answers] = {}
    units = list(product(models, Protocol, enumerate(composed)))
    before: Answers | None = None
    for done, (model, protocol, (number, condition)) in enumerate(units):
        progress("effects", done, len(units))
        answers = read_answers(run, model, number, protocol, cells.names)
        if condition is Condition.UNALTERED:
            before = answers
        if answers is None or before is None:
            continue
        key = {"model": model, "condition": str(condition), "protocol": str(protocol)}
        known = np.flatnonzero(np.isin(cells.classes[answers.cell], cells.folds.testable()))
        labelled[model, str(condition), str(protocol)] = take(answers, known)
        distributions.append(distribution_rows(answers, cells).assign(**key))
        if condition is not Condition.UNALTERED:
            moved = shift_rows(before, answers, cells, table, config.seed, number)
            shifts.append(moved.assign(**key))
    progress("effects", len(units), len(units))
    empty = pd.DataFrame()
    return (
        pd.concat(shifts, ignore_index=True) if shifts else empty,
        pd.concat(distributions, ignore_index=True) if distributions else empty,
        labelled,
    )


def _accuracies(
    run: RunDirectory,
    cells: Cells,
    models: Sequence[str],
    conditions: Sequence[str],
    multiclass: dict[tuple[str, str, str], Answers],
    config: BootstrapConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Summarise both probes with intervals and tests; `ACCURACY` and `EFFECTS` rows."""
    tallies = run.read("pair_tallies").to_pandas()
    accuracy: list[dict[str, Any]] = []
    effects: list[dict[str, Any]] = []
    unit = "protein" if cells.by_protein else "cell"
    for model, protocol in product(models, Protocol):
        chosen = tallies[(tallies["model"] == model) & (tallies["protocol"] == protocol)]
        pair, pair_conditions = _pair_tallies(chosen, conditions, cells)
        whole, whole_conditions = _multiclass_tallies(
            {c: a for (m, c, p), a in multiclass.items() if (m, p) == (model, protocol)}, cells
        )
        for probe, found, names in (
            (Probe.PAIR, pair, pair_conditions),
            (Probe.MULTICLASS, whole, whole_conditions),
        ):
            if found is None:
                continue
            key = {
                "model": model,
                "protocol": str(protocol),
                "probe": str(probe),
                "aggregation": str(Aggregation.ALL),
                "unit": unit,
            }
            rows, differences = _summary(found, names, cells, config)
            accuracy += [{**key, **row} for row in rows]
            effects += [{**key, **row} for row in differences]
    frame = pd.DataFrame(effects)
    if len(frame):
        frame["p_holm"] = np.nan
        tested = frame["p_value"].notna()
        for _, family in frame[tested].groupby(["probe", "protocol", "effect"]):
            frame.loc[family.index, "p_holm"] = holm(family["p_value"].to_list())
    summaries = pd.DataFrame(accuracy)
    return _add_published(run.read("pairwise").to_pandas(), summaries, frame)


def _add_published(
    pairwise: pd.DataFrame, accuracy: pd.DataFrame, effects: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add the pair tests averaged as in the paper, to be compared with it like with like."""
    if len(pairwise) == 0:
        return accuracy, effects
    rows, differences = aggregate(pairwise, Aggregation.PUBLISHED)
    tables = ((accuracy, rows), (effects, differences))
    first, second = (
        pd.concat([table, with_counts(more, accuracy)], ignore_index=True) if len(more) else table
        for table, more in tables
    )
    return first, second


def _pair_tallies(
    rows: pd.DataFrame, conditions: Sequence[str], cells: Cells
) -> tuple[Tallies | None, list[str]]:
    """Arrange one model's and protocol's `pair_tallies` by condition, unit and other class."""
    if len(rows) == 0:
        return None, []
    names = [c for c in conditions if (rows["condition"] == c).any()]
    code = {name: i for i, name in enumerate(cells.names)}
    group = rows.groupby(["localization", "protein", "cell"], dropna=False)
    u = group.ngroup().to_numpy()
    units, first = np.unique(u, return_index=True)
    classes = np.asarray(rows["localization"].map(code).to_numpy()[first], np.int64)
    m = rows["condition"].map({c: i for i, c in enumerate(names)}).to_numpy()
    other = rows["other"].map(code).to_numpy()
    correct = np.zeros((len(names), len(units), len(code)))
    n, n_cells = np.zeros_like(correct), np.zeros((len(names), len(units)), np.int64)
    correct[m, u, other], n[m, u, other] = rows["correct"], rows["n"]
    np.maximum.at(n_cells, (m, u), rows["n_cells"].to_numpy())
    protein = rows["protein"].to_numpy()[first]
    return Tallies(correct, n, classes, n_cells, protein), names


def _multiclass_tallies(
    answers: dict[str, Answers], cells: Cells
) -> tuple[Tallies | None, list[str]]:
    """Sum labelled cells' answers by condition and unit."""
    names = list(answers)
    if not names or all(len(a.cell) == 0 for a in answers.values()):
        return None, []
    every = np.unique(np.concatenate([a.cell for a in answers.values()]))
    unit_of = cells.protein[every] if cells.by_protein else every.astype(str)
    joint = np.char.add(np.char.add(unit_of, "\x1f"), cells.classes[every].astype(str))
    units, first, u = np.unique(joint, return_index=True, return_inverse=True)
    classes, protein = cells.classes[every][first], cells.protein[every][first]
    correct = np.zeros((len(names), len(units), 1))
    n = np.zeros_like(correct)
    for m, name in enumerate(names):
        found = answers[name]
        here = u[np.searchsorted(every, found.cell)]
        right = found.predicted[np.arange(len(found.cell)), cells.classes[found.cell]]
        correct[m, :, 0] = np.bincount(here, right, len(units))
        n[m, :, 0] = np.bincount(here, minlength=len(units))
    return Tallies(correct, n, classes, np.asarray(n[..., 0], np.int64), protein), names


def _summary(
    tallies: Tallies, names: Sequence[str], cells: Cells, config: BootstrapConfig
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Estimate every condition's accuracy and every effect, overall and by localization."""
    k = len(cells.names)
    weights = resample(tallies.classes, config.draws, config.seed)
    everything = _draw(tallies, weights, k)
    paired = {}
    for effect, name, first, second in contrasts(names):
        shared = common(tallies, first, second)
        alike = np.array_equal(shared.n, tallies.n[[first, second]])
        point, draws = everything if alike else _draw(shared, weights, k)
        rows = (first, second) if alike else (0, 1)
        share = contributions(shared, k)
        p_value = sign_flip_test(share[0] - share[1], config.flips, config.seed)
        paired[effect, name] = (point, draws, rows, shared.n_cells[1], p_value)
    scopes: list[tuple[str, int | None]] = [("overall", None)]
    scopes += [("localization", a) for a in np.unique(tallies.classes)]
    accuracy, effects = [], []
    for scope, a in scopes:
        here = tallies.classes >= 0 if a is None else tallies.classes == a
        where = {"scope": scope, "localization": None if a is None else cells.names[a]}
        estimate, drawn = (_of(found, a) for found in everything)
        for m, name in enumerate(names):
            low, high = interval(drawn[:, m])
            accuracy.append(
                {**where, "condition": name, "estimate": float(estimate[0, m]),
                 "ci_low": low, "ci_high": high, **_counts(tallies, tallies.n_cells[m], here)}
            )  # fmt: skip
        for (effect, name), (*found, (first, second), n_cells, p_value) in paired.items():
            estimate, drawn = (_of(each, a) for each in found)
            low, high = interval(drawn[:, first] - drawn[:, second])
            effects.append(
                {**where, "effect": str(effect), "condition": name,
                 "estimate": float(estimate[0, first] - estimate[0, second]),
                 "ci_low": low, "ci_high": high,
                 "p_value": p_value if a is None else np.nan, **_counts(tallies, n_cells, here)}
            )  # fmt: skip
    return accuracy, effects


def _draw(
    tallies: Tallies, weights: NDArray[np.float64], n_classes: int
) -> tuple[Accuracies, Accuracies]:
    """Compute the accuracies of all units once, and of every bootstrap draw."""
    parts = [
        accuracies(tallies, part, n_classes)
        for part in np.array_split(weights, max(1, len(weights) // 200))
    ]
    draws = Accuracies(
        np.concatenate([part.overall for part in parts]),
        np.concatenate([part.by_class for part in parts]),
    )
    return accuracies(tallies, np.ones((1, len(tallies.classes))), n_classes), draws


def _of(found: Accuracies, a: int | None) -> NDArray[np.float64]:
    """Take overall accuracies, or those of a class; shape (weights, conditions)."""
    return found.overall if a is None else found.by_class[:, :, a]


def _counts(
    tallies: Tallies, n_cells: NDArray[np.int64], here: NDArray[np.bool_]
) -> dict[str, int]:
    """Count the cells and proteins that gave answers."""
    answered = here & (n_cells > 0)
    return {
        "n_cells": int(n_cells[answered].sum()),
        "n_proteins": len(set(tallies.protein[answered])),
    }
