"""The probe stage: embeddings to predictions, pair accuracies and tallies.

Layer: reads `trials` and `embeddings`, writes `predictions`, and `pairwise` and tallies below the
run's `work` folder, one file per model and condition. Embeddings are read shard by shard: once to
gather what stands in pair tests and trains probes (the grid, whose size does not grow with the
store), once to answer for every trial.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.backgrounds.plan import Plan
from compute.probes.cells import Cells
from compute.probes.multiclass import Multiclass, fit_multiclass
from compute.probes.pair_tests import CONFLICTING, Crops, HyperplanesByPair, PairScore, pair_tests
from compute.probes.solvers import ONE_CORE, Fitting
from compute.probes.tables import donor_influences, predictions_table, tally, write_pairwise
from compute.schema import CONDITIONS, Condition, Protocol
from compute.storage.atomic_files import Progress, silent, table_writer, write_json
from compute.storage.paths import LOCKED, LOCKED_PREDICTIONS
from compute.storage.run_directory import RunDirectory

GATHERED = 1 << 29
"""Bytes of the grid's embeddings that one pass over the shards gathers at most (512 MB); a pass
gathers one condition at least."""


@dataclass
class _Fitted:
    """Probes of one model.

    Parameters
    ----------
    planes
        SVMs fitted on unaltered crops, by pair; None until these are done.
    probes
        Multi-class probe fitted under each condition; None where fewer than two classes could be
        tested.
    """

    planes: HyperplanesByPair | None = None
    probes: dict[Condition, Multiclass | None] = field(default_factory=dict)


def probe(
    run: RunDirectory,
    plan: Plan,
    cells: Cells,
    models: Mapping[str, int],
    fitting: Fitting = ONE_CORE,
    progress: Progress = silent,
) -> None:
    """Fit and test every probe whose results are not there yet, and write the results.

    Parameters
    ----------
    run
        The run; all `trials` and `embeddings` are there.
    plan
        Says which conditions there are.
    cells
        Labels and folds of the store's cells.
    models
        Embedding dimension of each model, by name.
    fitting
        How and where the pair tests are fitted; by default by the shared solver in one thread.
    progress
        Called with the stage's name, how many units are done and how many there are; a unit is one
        model under one condition. By default nothing is called.
    """
    conditions = plan.config.composed
    for done, (model, dimension) in enumerate(models.items()):
        before = done * len(conditions)
        progress("probe", before, len(models) * len(conditions))
        left = [c for c in conditions if not _finished(run, plan, model, c)]
        if not left and _answered(run, model, conditions):
            continue
        fitted = _Fitted()
        if len(cells.folds.testable()) > 1:
            # What was fitted on unaltered crops serves every condition.
            wanted = [c for c in conditions if c in left or c is Condition.UNALTERED]
            for group in _groups(plan, cells, dimension, wanted):
                gathered = gather_grid(run, cells, model, group)
                for condition in group:
                    crops, first = gathered.pop(condition)
                    _probe_condition(
                        run, plan, cells, model, condition, crops, first, fitted, fitting,
                        condition in left,
                    )  # fmt: skip
                    before += 1
                    progress("probe", before, len(models) * len(conditions))
            _answer(run, cells, model, conditions, left, fitted)
            _answer_locked(run, cells, model, conditions, fitted.probes[Condition.UNALTERED])
    total = len(models) * len(conditions)
    progress("probe", total, total)


def _finished(run: RunDirectory, plan: Plan, model: str, condition: Condition) -> bool:
    """Tell whether all files of one model under one condition are there."""
    names = [condition]
    if condition is Condition.DIFFERENT and Condition.CONFLICTING in plan.config.conditions:
        names.append(Condition.CONFLICTING)
    files = [run.part("predictions", plan.config.composed.index(condition), model)]
    kinds = ("pairwise", "tallies", *(["donors"] if _has_donors(condition) else []))
    files += [run.pairs(kind, model, name) for kind in kinds for name in names]
    return all(file.is_file() for file in files)


def _has_donors(condition: Condition) -> bool:
    """Tell whether a condition's backgrounds come from donors."""
    return CONDITIONS[condition].donors != "none"


def _locked_conditions(conditions: Sequence[Condition]) -> list[tuple[int, Condition]]:
    """List the conditions whose trials are read a second time, with their numbers."""
    return [(n, c) for n, c in enumerate(conditions) if CONDITIONS[c].rescaled]


def _answered(run: RunDirectory, model: str, conditions: Sequence[Condition]) -> bool:
    """Tell whether the answers to second readings are there, or there are no second readings."""
    if not run.parts(LOCKED, model):
        return True
    files = [run.part(LOCKED_PREDICTIONS, n, model) for n, _ in _locked_conditions(conditions)]
    return all(file.is_file() for file in files)


def _groups(
    plan: Plan, cells: Cells, dimension: int, conditions: Sequence[Condition]
) -> Iterator[list[Condition]]:
    """Cut conditions into groups whose grid embeddings fit into `GATHERED` bytes together."""
    per_condition = int(cells.tested.sum()) * plan.config.repeats * 4 * dimension
    group: list[Condition] = []
    size = 0
    for condition in conditions:
        each = per_condition * (len(plan.backgrounds) if CONDITIONS[condition].grid else 1)
        if group and size + each > GATHERED:
            yield group
            group, size = [], 0
        group.append(condition)
        size += each
    yield group


def _probe_condition(
    run: RunDirectory,
    plan: Plan,
    cells: Cells,
    model: str,
    condition: Condition,
    crops: Crops,
    first: NDArray[np.bool_],
    fitted: _Fitted,
    fitting: Fitting,
    write: bool,
) -> None:
    """Do one condition's pair tests and fit its multi-class probe.

    Parameters
    ----------
    run, plan, cells, model, fitting
        As for `probe`; one model's name.
    condition
        The condition.
    crops
        Embeddings of the grid under it, n crops.
    first
        Which of them are of repeat 0, shape (n,).
    fitted
        Takes the probes that are fitted here.
    write
        Whether to write its tables; else they are there, and its probes are fitted again because
        other conditions need them.
    """
    scores, planes = _tests(crops, condition, plan, cells, fitted.planes, fitting)
    if condition is Condition.UNALTERED:
        fitted.planes = planes
    if write:
        _write_scores(run, model, condition, scores, cells, fitting)
        if condition is Condition.DIFFERENT and Condition.CONFLICTING in plan.config.conditions:
            against, _ = _tests(crops, Condition.CONFLICTING, plan, cells, fitted.planes, fitting)
            _write_scores(run, model, Condition.CONFLICTING, against, cells, fitting)
    present = np.unique(crops.classes[first])
    enough = len(present) > 1
    fitted.probes[condition] = (
        fit_multiclass(
            crops.features[first], crops.cell[first], crops.classes[first], cells.folds,
            len(cells.names),
        )
        if enough
        else None
    )  # fmt: skip


def _tests(
    crops: Crops,
    condition: Condition,
    plan: Plan,
    cells: Cells,
    frozen: HyperplanesByPair | None,
    fitting: Fitting,
) -> tuple[list[tuple[str, PairScore]], HyperplanesByPair]:
    """Do a condition's pair tests, each on the backgrounds that the condition has for it.

    Returns
    -------
    scores, planes
        As from `pair_tests`.
    """
    pairs = list(combinations(cells.folds.testable().tolist(), 2))
    if condition is Condition.CONFLICTING:
        choice: dict[tuple[int, int], Sequence[int]] = {key: [CONFLICTING] for key in pairs}
    elif CONDITIONS[condition].grid:
        shared = plan.backgrounds.tolist()
        choice = {pair: [k for k in shared if k not in pair] for pair in pairs}
    else:
        choice = {key: [-1] for key in pairs}
    return pair_tests(crops, pairs, choice, cells.folds, frozen, fitting)


def _shards(
    run: RunDirectory, table: str, model: str
) -> Iterator[tuple[pd.DataFrame, NDArray[np.float32]]]:
    """Read embeddings a shard at a time.

    Yields
    ------
    trials : pandas.DataFrame
        Columns `trial`, `cell`, `condition`, `donor`, `donor_localization` and `repeat`, n rows.
    vectors : ndarray
        Their embeddings, shape (n, D).
    """
    columns = ["trial", "cell", "condition", "donor", "donor_localization", "repeat"]
    for trials_file, file in zip(run.parts("trials"), run.parts(table, model), strict=True):
        found = pq.read_table(file, partitioning=None)
        trials = pq.read_table(trials_file, columns=columns, partitioning=None)
        if len(found) < len(trials):
            trials = trials.filter(pc.is_in(trials["trial"], found["trial"].combine_chunks()))
        flat = np.asarray(found.column("embedding").combine_chunks().flatten())
        yield trials.to_pandas(), flat.reshape(len(found), -1)


def gather_grid(
    run: RunDirectory, cells: Cells, model: str, conditions: Sequence[Condition]
) -> dict[Condition, tuple[Crops, NDArray[np.bool_]]]:
    """Gather the embeddings of cells that stand in pair tests, in one pass over the shards.

    Parameters
    ----------
    run
        The run; all `trials` and `embeddings` are there.
    cells
        Labels and folds of the store's cells.
    model
        Name of the model.
    conditions
        The conditions to gather.

    Returns
    -------
    dict
        For each condition its crops, n of them, and which are of repeat 0, shape (n,).
    """
    tested = cells.tested
    gathered: dict[Condition, list[tuple[NDArray[Any], ...]]] = {c: [] for c in conditions}
    for trials, vectors in _shards(run, "embeddings", model):
        cell, first = trials["cell"].to_numpy(), trials["repeat"].to_numpy() == 0
        behind = pd.Categorical(trials["donor_localization"], categories=list(cells.names)).codes
        number = trials["donor"].fillna(-1).to_numpy(np.int64)
        for condition in conditions:
            here = tested[cell] & (trials["condition"] == str(condition)).to_numpy()
            if here.any() or not gathered[condition]:
                donor = cells.donor_units.of(CONDITIONS[condition].donors, number[here])
                gathered[condition].append(
                    (vectors[here], cell[here], behind[here], donor, first[here])
                )
    found = {}
    for condition in conditions:
        # Arrays of each shard were kept, not its frames, which take more than the embeddings.
        vectors, cell, behind, donor, first = map(
            np.concatenate, zip(*gathered.pop(condition), strict=True)
        )
        grid = CONDITIONS[condition].grid
        background = behind.astype(np.int64) if grid else np.full(len(cell), -1)
        known = donor if _has_donors(condition) else None
        found[condition] = (Crops(vectors, cell, cells.classes[cell], background, known), first)
    return found


def _answer(
    run: RunDirectory,
    cells: Cells,
    model: str,
    conditions: Sequence[Condition],
    left: Sequence[Condition],
    fitted: _Fitted,
) -> None:
    """Write the predictions of the conditions that are `left`, in the plan's order, by protein."""
    expected = schema.predictions_schema(len(cells.names))
    lead = fitted.probes[Condition.UNALTERED]
    missing = [
        (c, path)
        for n, c in enumerate(conditions)
        if c in left and not (path := run.part("predictions", n, model)).is_file()
    ]
    with ExitStack() as files:
        add = {c: files.enter_context(table_writer(path, expected)) for c, path in missing}
        for trials, vectors in _shards(run, "embeddings", model) if add else ():
            name = trials["condition"].to_numpy(dtype=object)
            for condition in add:
                here = name == str(condition)
                both = ((Protocol.REFIT, fitted.probes[condition]), (Protocol.FROZEN, lead))
                if here.any():
                    add[condition](
                        predictions_table(cells, trials[here], vectors[here], condition, both)
                    )


def _answer_locked(
    run: RunDirectory,
    cells: Cells,
    model: str,
    conditions: Sequence[Condition],
    frozen: Multiclass | None,
) -> None:
    """Write the frozen probe's predictions for trials that were read a second time, if any were."""
    if not run.parts(LOCKED, model):
        return
    expected = schema.predictions_schema(len(cells.names))
    missing = [
        (c, path)
        for n, c in _locked_conditions(conditions)
        if not (path := run.part(LOCKED_PREDICTIONS, n, model)).is_file()
    ]
    with ExitStack() as files:
        add = {c: files.enter_context(table_writer(path, expected)) for c, path in missing}
        for trials, vectors in _shards(run, LOCKED, model) if add else ():
            name = trials["condition"].to_numpy(dtype=object)
            for condition in add:
                here = name == str(condition)
                if here.any():
                    add[condition](
                        predictions_table(
                            cells, trials[here], vectors[here], condition,
                            ((Protocol.FROZEN, frozen),),
                        )
                    )  # fmt: skip


def _write_scores(
    run: RunDirectory,
    model: str,
    condition: Condition,
    scores: Sequence[tuple[str, PairScore]],
    cells: Cells,
    fitting: Fitting,
) -> None:
    """Write one model's and condition's `pairwise` and `pair_tallies`, and which solver fitted."""
    left = sum(score.unsolved for _, score in scores)
    write_json(
        run.fits(model, condition),
        {"solver": str(fitting.solver), "fits_left_to_the_reference": left},
    )
    write_pairwise(run, model, condition, scores, cells.names)
    run.write(
        run.pairs("tallies", model, condition),
        _tally(model, condition, scores, cells),
        schema.PAIR_TALLIES,
    )
    if _has_donors(condition):
        found = donor_influences(scores, cells)
        run.write(run.pairs("donors", model, condition), found, schema.PAIR_DONORS)


def _tally(
    model: str, condition: Condition, scores: Sequence[tuple[str, PairScore]], cells: Cells
) -> pa.Table:
    """Sum held-out answers by protein (or by cell where proteins are few) and other class."""
    return tally(
        model, condition, scores, cells.classes, cells.protein, cells.names, cells.by_protein
    )


def how_fitted(run: RunDirectory) -> dict[str, Any]:
    """Say which solvers fitted the pair tests, and how many SVMs they left to the reference.

    Returns
    -------
    dict
        `solvers`, a sorted list, with more than one entry where a run was continued on another
        device; and `fits_left_to_the_reference`, a number. Both go into `run.json`.
    """
    found = [json.loads(file.read_text("utf-8")) for file in run.all_fits()]
    return {
        "solvers": sorted({each["solver"] for each in found}),
        "fits_left_to_the_reference": sum(each["fits_left_to_the_reference"] for each in found),
    }
