"""The probe stage: embeddings to predictions, pair accuracies and tallies.

Layer: reads `trials` and `embeddings`, writes `predictions`, and `pairwise` and tallies below the
run's `work` folder, one file per model and condition.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.conditions import Plan
from compute.effects import FEWEST_PROTEINS
from compute.files import Progress, silent, write_stream, write_table
from compute.folds import Folds
from compute.probes import (
    CONFLICTING,
    Crops,
    Hyperplane,
    Multiclass,
    PairScore,
    fit_multiclass,
    pair_tests,
)
from compute.rundir import RunDirectory
from compute.schema import CONDITIONS, Condition, Protocol


@dataclass(frozen=True)
class Cells:
    """What the probes need to know of every cell; N rows of the store's `cells`.

    Parameters
    ----------
    classes
        Class of the cell, −1 for none, shape (N,).
    protein
        Shape (N,).
    grid
        Cells that stand in pair tests and train the multi-class probe, shape (N,).
    names
        Class names.
    folds
        Who is held out with whom.
    """

    classes: NDArray[np.int64]
    protein: NDArray[np.str_]
    grid: NDArray[np.bool_]
    names: Sequence[str]
    folds: Folds

    @property
    def by_protein(self) -> bool:
        """Whether every tested class has enough proteins to resample whole ones."""
        tested = self.folds.testable()
        proteins = [len(np.unique(self.protein[self.grid & (self.classes == k)])) for k in tested]
        return bool(proteins) and min(proteins) >= FEWEST_PROTEINS


def probe(
    run: RunDirectory,
    plan: Plan,
    cells: Cells,
    models: Mapping[str, int],
    jobs: int = 1,
    progress: Progress = silent,
) -> None:
    """Fit and test every probe whose results are not there yet.

    Parameters
    ----------
    run
        With all `trials` and `embeddings`.
    plan
        Which conditions there are.
    cells
        Labels and folds.
    models
        Name and embedding dimension of each.
    jobs
        Processes for the pair tests.
    progress
        Called with units done (a model under a condition).
    """
    conditions = plan.config.composed
    testable = cells.folds.testable()
    units = [(m, n, c) for m in models for n, c in enumerate(conditions)]
    for done, (model, number, condition) in enumerate(units):
        progress("probe", done, len(units))
        if condition is Condition.UNALTERED:
            frozen: dict[tuple[int, int], Sequence[Hyperplane]] | None = None
            lead: Multiclass | None = None
        if _finished(run, plan, model, number, condition):
            continue
        if condition is not Condition.UNALTERED and frozen is None:
            frozen, lead = _fit_unaltered(run, cells, model, testable, jobs)
        if len(testable) > 1:
            crops = _read_crops(run, cells, model, condition)
            scores, fitted = _tests(crops, condition, plan, cells, testable, frozen, jobs)
            if condition is Condition.UNALTERED:
                frozen = fitted
            _write_scores(run, model, condition, scores, cells)
            if condition is Condition.DIFFERENT and Condition.CONFLICTING in plan.config.conditions:
                against, _ = _tests(
                    crops, Condition.CONFLICTING, plan, cells, testable, frozen, jobs
                )
                _write_scores(run, model, Condition.CONFLICTING, against, cells)
            own = _fit_multiclass(run, cells, model, condition, testable)
            lead = own if condition is Condition.UNALTERED else lead
            _write_predictions(run, cells, model, number, condition, own, lead)
    progress("probe", len(units), len(units))


def work_file(run: RunDirectory, kind: str, model: str, condition: str) -> Path:
    """Return where one model's and condition's `pairwise` or `tallies` rows lie."""
    return run.path / "work" / kind / f"{model}-{condition}.parquet"


def _finished(run: RunDirectory, plan: Plan, model: str, number: int, condition: Condition) -> bool:
    """Tell whether everything of one model under one condition is there."""
    names = [condition]
    if condition is Condition.DIFFERENT and Condition.CONFLICTING in plan.config.conditions:
        names.append(Condition.CONFLICTING)
    files = [run.part("predictions", number, model)]
    files += [
        work_file(run, kind, model, name) for kind in ("pairwise", "tallies") for name in names
    ]
    return all(file.is_file() for file in files)


def _fit_unaltered(
    run: RunDirectory, cells: Cells, model: str, testable: NDArray[np.int64], jobs: int
) -> tuple[dict[tuple[int, int], Sequence[Hyperplane]], Multiclass | None]:
    """Fit again what an interrupted run had fitted on unaltered crops."""
    if len(testable) < 2:
        return {}, None
    crops = _read_crops(run, cells, model, Condition.UNALTERED)
    pairs = list(combinations(testable.tolist(), 2))
    _, fitted = pair_tests(crops, pairs, {key: [-1] for key in pairs}, cells.folds, None, jobs)
    return fitted, _fit_multiclass(run, cells, model, Condition.UNALTERED, testable)


def _tests(
    crops: Crops,
    condition: Condition,
    plan: Plan,
    cells: Cells,
    testable: NDArray[np.int64],
    frozen: Mapping[tuple[int, int], Sequence[Hyperplane]] | None,
    jobs: int,
) -> tuple[list[tuple[str, PairScore]], dict[tuple[int, int], Sequence[Hyperplane]]]:
    """Choose each pair's backgrounds under a condition, and test."""
    pairs = list(combinations(testable.tolist(), 2))
    if condition is Condition.CONFLICTING:
        choice: dict[tuple[int, int], Sequence[int]] = {key: [CONFLICTING] for key in pairs}
    elif CONDITIONS[condition].grid:
        shared = plan.backgrounds.tolist()
        choice = {pair: [k for k in shared if k not in pair] for pair in pairs}
    else:
        choice = {key: [-1] for key in pairs}
    return pair_tests(crops, pairs, choice, cells.folds, frozen, jobs)


def _read_embeddings(
    run: RunDirectory, model: str, condition: Condition
) -> Iterator[tuple[pd.DataFrame, NDArray[np.float32]]]:
    """Read one condition's embeddings, a shard at a time, with what the plan says of each."""
    chosen = pc.field("condition") == str(condition)
    for trials_file, file in zip(run.parts("trials"), run.parts("embeddings", model), strict=True):
        table = pq.read_table(file, filters=chosen, partitioning=None)
        trials = pq.read_table(
            trials_file, columns=["trial", "cell", "donor_localization", "repeat"],
            filters=chosen, partitioning=None,
        ).to_pandas()  # fmt: skip
        column = table.column("embedding").combine_chunks()
        flat = np.asarray(column.flatten())
        yield trials, flat.reshape(len(trials), -1)


def _read_crops(run: RunDirectory, cells: Cells, model: str, condition: Condition) -> Crops:
    """Gather the embeddings that stand in pair tests."""
    frames, features = [], []
    tested = cells.grid & np.isin(cells.classes, cells.folds.testable())
    for trials, vectors in _read_embeddings(run, model, condition):
        here = tested[trials["cell"].to_numpy()]
        frames.append(trials[here])
        features.append(vectors[here])
    trials = pd.concat(frames, ignore_index=True)
    code = {name: i for i, name in enumerate(cells.names)}
    background = trials["donor_localization"].map(code, na_action="ignore").fillna(-1)
    cell = trials["cell"].to_numpy()
    return Crops(
        np.concatenate(features),
        cell,
        cells.classes[cell],
        background.to_numpy().astype(np.int64)
        if CONDITIONS[condition].grid
        else np.full(len(cell), -1),
    )


def _fit_multiclass(
    run: RunDirectory, cells: Cells, model: str, condition: Condition, testable: NDArray[np.int64]
) -> Multiclass | None:
    """Fit the multi-class probe on one crop per cell (repeat 0) of a condition."""
    member = cells.grid & np.isin(cells.classes, testable)
    features, rows = [], []
    for trials, vectors in _read_embeddings(run, model, condition):
        cell = trials["cell"].to_numpy()
        here = member[cell] & (trials["repeat"] == 0).to_numpy()
        features.append(vectors[here])
        rows.append(cell[here])
    cell = np.concatenate(rows)
    present = np.unique(cells.classes[cell])
    number = cells.folds.number(*present) if len(present) > 1 else 0
    if number < 2:
        return None
    return fit_multiclass(
        np.concatenate(features), cell, cells.classes[cell], cells.folds, len(cells.names)
    )


def _write_predictions(
    run: RunDirectory,
    cells: Cells,
    model: str,
    number: int,
    condition: Condition,
    refit: Multiclass | None,
    frozen: Multiclass | None,
) -> None:
    """Write one condition's predictions, in the plan's order, which is by protein."""
    expected = schema.predictions_schema(len(cells.names))
    names = np.asarray(cells.names, dtype=object)

    def tables() -> Iterator[pa.Table]:
        for trials, vectors in _read_embeddings(run, model, condition):
            cell = trials["cell"].to_numpy()
            parts = []
            for protocol, classifier in ((Protocol.REFIT, refit), (Protocol.FROZEN, frozen)):
                if classifier is None or len(cell) == 0:
                    continue
                probabilities = classifier(vectors, cell)
                parts.append(
                    {
                        "protein": cells.protein[cell],
                        "cell": cell,
                        "trial": trials["trial"].to_numpy(),
                        "condition": np.full(len(cell), str(condition), object),
                        "protocol": np.full(len(cell), str(protocol), object),
                        "predicted": names[probabilities.argmax(1)],
                        "probabilities": probabilities,
                    }
                )
            if parts:
                joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
                order = np.argsort(joined["protein"], kind="stable")
                yield _table(joined, order, expected)

    write_stream(run.part("predictions", number, model), tables(), expected)


def _table(columns: Mapping[str, Any], order: NDArray[np.int64], expected: pa.Schema) -> pa.Table:
    arrays = []
    for field in expected:
        values = columns[field.name][order]
        if values.ndim == 2:
            flat = pa.array(np.ascontiguousarray(values).ravel())
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, values.shape[1]))
        elif values.dtype.kind in "OU":
            arrays.append(pa.array(list(values), field.type))
        else:
            arrays.append(pa.array(values))
    return pa.table(arrays, names=expected.names).cast(expected)


def _write_scores(
    run: RunDirectory,
    model: str,
    condition: Condition,
    scores: Sequence[tuple[str, PairScore]],
    cells: Cells,
) -> None:
    """Write one model's and condition's rows of `pairwise` and `pair_tallies`."""
    names = cells.names
    pairwise = pd.DataFrame(
        [
            {
                "model": model,
                "condition": str(condition),
                "protocol": protocol,
                "localization_a": names[score.first],
                "localization_b": names[score.second],
                "background": names[score.background] if score.background >= 0 else None,
                "accuracy": score.accuracy,
                "std": score.std,
                "n": score.n,
            }
            for protocol, score in scores
        ],
        columns=schema.PAIRWISE.names,
    )
    table = pa.Table.from_pandas(pairwise, schema=schema.PAIRWISE, preserve_index=False)
    write_table(work_file(run, "pairwise", model, condition), table)
    write_table(
        work_file(run, "tallies", model, condition),
        _tally(model, condition, scores, cells),
    )


def _tally(
    model: str, condition: Condition, scores: Sequence[tuple[str, PairScore]], cells: Cells
) -> pa.Table:
    """Sum held-out answers by protein (or by cell where proteins are few) and other class."""
    size, k = len(cells.classes), len(cells.names)
    frames = []
    for protocol in Protocol:
        right, answers = np.zeros((size, k), np.int64), np.zeros((size, k), np.int64)
        for name, score in scores:
            if name == protocol:
                other = np.where(
                    cells.classes[score.cell] == score.first, score.second, score.first
                )
                np.add.at(answers, (score.cell, other), 1)
                np.add.at(right, (score.cell, other), score.correct)
        cell, other = np.nonzero(answers)
        frames.append(
            pd.DataFrame(
                {
                    "protocol": str(protocol),
                    "protein": cells.protein[cell],
                    "cell": cell,
                    "localization": np.asarray(cells.names)[cells.classes[cell]],
                    "other": np.asarray(cells.names)[other],
                    "correct": right[cell, other],
                    "n": answers[cell, other],
                    "n_cells": 1,
                }
            )
        )
    frame = pd.concat(frames, ignore_index=True)
    if cells.by_protein:
        keys = ["protocol", "protein", "localization", "other"]
        frame = frame.groupby(keys, as_index=False)[["correct", "n", "n_cells"]].sum()
        frame["cell"] = None
    frame["model"], frame["condition"] = model, str(condition)
    return pa.Table.from_pandas(
        frame[schema.PAIR_TALLIES.names], schema=schema.PAIR_TALLIES, preserve_index=False
    )
