"""The probe stage: embeddings to predictions, pair accuracies, tallies and scores.

Layer: reads `trials` and `embeddings`, writes `predictions`, and `pairwise`, tallies and scores
below the run's `work` folder, one file per model and condition. Embeddings are read shard by shard:
to gather what stands in pair tests and trains probes (the grid, whose size does not grow with the
store), once for these and once for the probes beside them, and to answer for every trial.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compute import schema
from compute.backgrounds.plan import Plan
from compute.embedding.config import EmbedConfig
from compute.hashing import Stream, mix
from compute.probes.beside import probe_beside
from compute.probes.cells import Cells
from compute.probes.exchange import Exchanged, fit_exchanged
from compute.probes.gather import GATHERED, gather_grid, groups, has_donors, shards_with_own
from compute.probes.multiclass import Multiclass, TrainingCrops, fit_multiclass
from compute.probes.pair_tests import Crops, HyperplanesByPair, PairScore, pair_tests
from compute.probes.protein_moves import ProteinMoves
from compute.probes.second import backgrounds_of, finished_again, probe_again
from compute.probes.solvers import ONE_CORE, Fitting
from compute.probes.tables import donor_influences, predictions_table, tally, write_pairwise
from compute.schema import ANSWERING, Condition, Probe, Protocol
from compute.storage.atomic_files import Progress, silent, table_writer
from compute.storage.run_directory import RunDirectory
from compute.storage.sealed_json import read_sealed, write_sealed

ONCE = EmbedConfig(second_readings=False)
"""Trials that were read once."""


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
    learned
        What that of unaltered crops was fitted on.
    exchanged
        How that of each other condition would move had its training cells' conditions been
        exchanged; None where that was not asked for, or is not known.
    """

    planes: HyperplanesByPair | None = None
    probes: dict[Condition, Multiclass | None] = field(default_factory=dict)
    learned: TrainingCrops | None = None
    exchanged: dict[Condition, Exchanged | None] = field(default_factory=dict)


def probe(
    run: RunDirectory,
    plan: Plan,
    cells: Cells,
    models: Mapping[str, int],
    fitting: Fitting = ONE_CORE,
    progress: Progress = silent,
    embed: EmbedConfig = ONCE,
    exchanges: int = 0,
    probes: Sequence[Probe] = ANSWERING,
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
        model under one condition, or its second readings. By default nothing is called.
    embed
        Which trials were read again, and how; by default none were.
    exchanges
        Random exchanges of conditions among the refitted multi-class probes' training cells, from
        which p-values of shifts take these probes' uncertainty; 0, the default, for none.
    probes
        The probes; by default only those that every run has.
    """
    conditions = plan.config.composed
    each = len(conditions) + 1
    total = len(models) * each
    for done, (model, dimension) in enumerate(models.items()):
        before = done * each
        progress("probe", before, total)
        left = [c for c in conditions if not _finished(run, plan, model, c, exchanges)]
        again = not finished_again(run, model, embed, conditions)
        fitted = _Fitted()
        if (left or again) and len(cells.folds.testable()) > 1:
            # What was fitted on unaltered crops serves every condition.
            wanted = [c for c in conditions if c in left or c is Condition.UNALTERED]
            for group in groups(plan, int(cells.tested.sum()), dimension, wanted, GATHERED):
                gathered = gather_grid(run, cells, model, group)
                for condition in group:
                    crops, first = gathered.pop(condition)
                    _probe_condition(
                        run, plan, cells, model, condition, crops, first, fitted, fitting,
                        condition in left, exchanges,
                    )  # fmt: skip
                    before += 1
                    progress("probe", before, total)
            _answer(run, plan, cells, model, left, fitted, exchanges)
            probe_again(
                run, plan, cells, model, embed, fitted.planes or {},
                fitted.probes[Condition.UNALTERED], fitting,
            )  # fmt: skip
        probe_beside(run, plan, cells, model, dimension, probes, fitting.jobs)
    progress("probe", total, total)


def _finished(
    run: RunDirectory, plan: Plan, model: str, condition: Condition, exchanges: int
) -> bool:
    """Tell whether all files of one model under one condition are there."""
    names = [condition]
    if condition is Condition.DIFFERENT and Condition.CONFLICTING in plan.config.conditions:
        names.append(Condition.CONFLICTING)
    files = _answer_files(run, plan, model, condition, exchanges)
    kinds = ("pairwise", "tallies", *(["donors"] if has_donors(condition) else []))
    files += [run.pairs(kind, model, name) for kind in kinds for name in names]
    return all(file.is_file() for file in files)


def _answer_files(
    run: RunDirectory, plan: Plan, model: str, condition: Condition, exchanges: int
) -> list[Path]:
    """List where the multi-class probes' answers lie, and how these would move."""
    files = [run.part("predictions", plan.config.composed.index(condition), model)]
    if exchanges and condition is not Condition.UNALTERED:
        files.append(run.pairs("exchanges", model, condition))
    return files


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
    exchanges: int,
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
    exchanges
        As for `probe`.
    """
    scores, planes = _tests(crops, condition, plan, cells, fitted.planes, fitting)
    if condition is Condition.UNALTERED:
        fitted.planes = planes
    if write:
        _write_scores(run, model, condition, scores, cells, fitting)
        if condition is Condition.DIFFERENT and Condition.CONFLICTING in plan.config.conditions:
            against, _ = _tests(crops, Condition.CONFLICTING, plan, cells, fitted.planes, fitting)
            _write_scores(run, model, Condition.CONFLICTING, against, cells, fitting)
    learned = TrainingCrops(crops.features[first], crops.cell[first], crops.classes[first])
    lead = fitted.probes.get(Condition.UNALTERED)
    own = fit_multiclass(learned, cells.folds, len(cells.names), lead)
    fitted.probes[condition] = own
    if condition is Condition.UNALTERED:
        fitted.learned = learned
        return
    if exchanges and write and own and lead and fitted.learned:
        seed = int(mix(plan.config.seed, Stream.EXCHANGES) >> np.uint64(1))
        fitted.exchanged[condition] = fit_exchanged(
            (fitted.learned, learned), (lead, own), exchanges, seed
        )


def _tests(
    crops: Crops,
    condition: Condition,
    plan: Plan,
    cells: Cells,
    frozen: HyperplanesByPair | None,
    fitting: Fitting,
) -> tuple[list[tuple[str, PairScore]], HyperplanesByPair]:
    """Do a condition's pair tests, as `pair_tests` does those that `backgrounds_of` lists."""
    pairs, choice = backgrounds_of(condition, plan, cells)
    return pair_tests(crops, pairs, choice, cells.folds, frozen, fitting)


def _answer(
    run: RunDirectory,
    plan: Plan,
    cells: Cells,
    model: str,
    left: Sequence[Condition],
    fitted: _Fitted,
    exchanges: int,
) -> None:
    """Write the predictions of the conditions that are `left`, in the plan's order, by protein."""
    expected = schema.predictions_schema(len(cells.names))
    lead = fitted.probes[Condition.UNALTERED]
    paths = {c: _answer_files(run, plan, model, c, exchanges) for c in left}
    missing = {c: files for c, files in paths.items() if not all(f.is_file() for f in files)}
    with ExitStack() as files:
        add, moves = {}, {}
        for condition, (path, *others) in missing.items():
            add[condition] = files.enter_context(table_writer(path, expected))
            # Without exchanges that are known the table has no rows, but it is there.
            for other in others:
                kept = schema.exchanges_schema(len(cells.names))
                write = files.enter_context(table_writer(other, kept))
                if exchanged := fitted.exchanged.get(condition):
                    moves[condition] = ProteinMoves(exchanged, cells.protein, write)
        for trials, vectors, own in shards_with_own(run, "embeddings", model) if add else ():
            name = trials["condition"].to_numpy(dtype=object)
            cell = trials["cell"].to_numpy()
            unaltered = name == str(Condition.UNALTERED)
            for condition in add:
                here = name == str(condition)
                both = ((Protocol.REFIT, fitted.probes[condition]), (Protocol.FROZEN, lead))
                if here.any():
                    said = None if own is None else own[here]
                    add[condition](
                        predictions_table(cells, trials[here], vectors[here], condition, both, said)
                    )
                    if condition in moves:
                        moves[condition].add(
                            (vectors[unaltered], cell[unaltered]), (vectors[here], cell[here])
                        )
        for each in moves.values():
            each.finish()


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
    write_sealed(
        run.fits(model, condition),
        {
            "schema_version": schema.RUN_VERSION,
            "solver": str(fitting.solver),
            "fits_left_to_the_reference": left,
        },
    )
    write_pairwise(run, model, condition, scores, cells.names)
    run.write(
        run.pairs("tallies", model, condition),
        _tally(model, condition, scores, cells),
        schema.PAIR_TALLIES,
    )
    if has_donors(condition):
        found = donor_influences([scores], cells)
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
    again = "Run again with --fresh"
    found = [read_sealed(each, "run", schema.RUN_VERSION, again) for each in run.all_fits()]
    return {
        "solvers": sorted({each["solver"] for each in found}),
        "fits_left_to_the_reference": sum(each["fits_left_to_the_reference"] for each in found),
    }
