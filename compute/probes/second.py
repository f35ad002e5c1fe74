"""Trials that are read again: their pair tests and the multi-class probe's answers to them.

Layer: reads the embeddings of second readings below the run's `work` folder and writes there too.
What a drop is made of (`compute.statistics.decomposition`) is computed from these files. The pair
tests of a condition are over the same trials in every view, so that answers can be compared.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path

from compute import schema
from compute.backgrounds.plan import Plan
from compute.embedding.config import EmbedConfig, View
from compute.probes.cells import Cells
from compute.probes.gather import gather_grid, shards_with_own
from compute.probes.multiclass import Multiclass, TrainingCrops, fit_multiclass
from compute.probes.pair_tests import CONFLICTING, HyperplanesByPair, PairScore, pair_tests
from compute.probes.solvers import Fitting
from compute.probes.tables import donor_influences, predictions_table, tally
from compute.schema import CONDITIONS, Condition, Protocol, Reading
from compute.storage.atomic_files import table_writer
from compute.storage.paths import SECOND, SECOND_PREDICTIONS
from compute.storage.run_directory import RunDirectory


def backgrounds_of(
    condition: Condition, plan: Plan, cells: Cells
) -> tuple[list[tuple[int, int]], dict[tuple[int, int], Sequence[int]]]:
    """List the pairs that are tested under a condition, and the backgrounds that each stands on."""
    pairs = list(combinations(cells.folds.testable().tolist(), 2))
    if condition is Condition.CONFLICTING:
        return pairs, {pair: [CONFLICTING] for pair in pairs}
    if CONDITIONS[condition].grid:
        shared = plan.backgrounds.tolist()
        return pairs, {pair: [k for k in shared if k not in pair] for pair in pairs}
    return pairs, {pair: [-1] for pair in pairs}


def probe_again(
    run: RunDirectory,
    plan: Plan,
    cells: Cells,
    model: str,
    embed: EmbedConfig,
    planes: HyperplanesByPair,
    frozen: Multiclass | None,
    fitting: Fitting,
) -> None:
    """Fit and test the probes of one model's second readings, where their results are not there.

    Parameters
    ----------
    run
        The run; all `trials` and embeddings are there.
    plan, cells
        Conditions, and labels and folds of the store's cells.
    model
        Name of the model.
    embed
        Says which trials were read again, and how.
    planes, frozen
        SVMs and multi-class probe that were fitted on unaltered crops; None where there are none.
    fitting
        How and where the pair tests are fitted.
    """
    composed = plan.config.composed
    fitted: dict[View, Multiclass | None] = {}
    missing = _missing(run, model, embed, composed)
    for condition in composed:
        mine = step_views_of(embed, composed, condition)
        tests = not all(file.is_file() for file in _step_files(run, model, mine))
        found: list[list[tuple[str, PairScore]]] = []
        for view in mine:
            again = view in missing
            if not (tests or again):
                continue
            crops, first = gather_grid(run, cells, model, [condition], view.reading, once=True)[
                condition
            ]
            if tests:
                pairs, choice = backgrounds_of(condition, plan, cells)
                scores, _ = pair_tests(crops, pairs, choice, cells.folds, planes, fitting)
                found.append(scores)
                run.write(
                    run.pairs("step_tallies", model, view.name),
                    tally(
                        model, condition, scores, cells.classes, cells.protein, cells.names,
                        cells.by_protein,
                    ),
                    schema.PAIR_TALLIES,
                )  # fmt: skip
            if again:
                learned = TrainingCrops(
                    crops.features[first], crops.cell[first], crops.classes[first]
                )
                fitted[view] = fit_multiclass(learned, cells.folds, len(cells.names), frozen)
        if tests:
            run.write(
                run.pairs("step_donors", model, condition),
                donor_influences(found, cells),
                schema.PAIR_DONORS,
            )
    for reading in Reading:
        here = {view: path for view, path in missing.items() if view.reading is reading}
        if here:
            _answer(run, cells, model, reading, here, fitted, frozen)


def step_views_of(
    embed: EmbedConfig, composed: Sequence[Condition], condition: Condition
) -> list[View]:
    """List the views of a condition that steps lead to, the run's own first; its estimates' order.

    Parameters
    ----------
    embed
        Says which trials were read again, and how.
    composed
        The run's conditions with trials of their own.
    condition
        One of them; without trials that are read again it has no views.
    """
    views = {v for v in embed.step_views(composed).values() if v.condition is condition}
    if not any(view.reading for view in views):
        return []
    order = [None, *Reading]
    return sorted(views, key=lambda view: order.index(view.reading))


def _step_files(run: RunDirectory, model: str, views: Sequence[View]) -> list[Path]:
    """List where the results of the pair tests of one condition's views lie."""
    files = [run.pairs("step_tallies", model, view.name) for view in views]
    return files + [run.pairs("step_donors", model, view.condition) for view in views[:1]]


def finished_again(
    run: RunDirectory, model: str, embed: EmbedConfig, composed: Sequence[Condition]
) -> bool:
    """Tell whether all results of one model's second readings are there."""
    files = [
        file
        for condition in composed
        for file in _step_files(run, model, step_views_of(embed, composed, condition))
    ]
    return all(file.is_file() for file in files) and not _missing(run, model, embed, composed)


def _missing(
    run: RunDirectory, model: str, embed: EmbedConfig, composed: Sequence[Condition]
) -> dict[View, Path]:
    """Return where the answers to second readings will lie that are not there yet, by view."""
    return {
        View(condition, reading): path
        for reading, some in embed.readings(composed).items()
        for condition in some
        if not (
            path := run.part(SECOND_PREDICTIONS[reading], composed.index(condition), model)
        ).is_file()
    }


def _answer(
    run: RunDirectory,
    cells: Cells,
    model: str,
    reading: Reading,
    missing: Mapping[View, Path],
    fitted: Mapping[View, Multiclass | None],
    frozen: Multiclass | None,
) -> None:
    """Write the predictions of one reading's conditions, in the plan's order, by protein."""
    expected = schema.predictions_schema(len(cells.names))
    with ExitStack() as files:
        add = {v: files.enter_context(table_writer(path, expected)) for v, path in missing.items()}
        for trials, vectors, own in shards_with_own(run, SECOND[reading], model):
            name = trials["condition"].to_numpy(dtype=object)
            for view in add:
                here = name == str(view.condition)
                both = ((Protocol.REFIT, fitted.get(view)), (Protocol.FROZEN, frozen))
                if here.any():
                    add[view](
                        predictions_table(
                            cells, trials[here], vectors[here], view.condition, both,
                            None if own is None else own[here],
                        )
                    )  # fmt: skip
