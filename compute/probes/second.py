"""Trials that are read again: their pair tests and the multi-class probe's answers to them.

Layer: reads the second readings' embeddings below the run's `work` folder and writes there too. What
a drop is made of (`compute.statistics.decomposition`) is computed from these files. The pair tests
of a condition are over the same trials in every view, so that answers can be compared one by one.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compute import schema
from compute.backgrounds.plan import Plan
from compute.embedding.config import EmbedConfig, View
from compute.probes.cells import Cells
from compute.probes.gather import gather_grid, shards
from compute.probes.multiclass import Multiclass, fit_multiclass
from compute.probes.pair_tests import HyperplanesByPair, PairScore, pair_tests
from compute.probes.solvers import Fitting
from compute.probes.tables import donor_influences, predictions_table, tally
from compute.schema import CONDITIONS, Condition, Protocol, Reading
from compute.storage.atomic_files import table_writer
from compute.storage.paths import SECOND, SECOND_PREDICTIONS
from compute.storage.run_directory import RunDirectory


def probe_again(
    run: RunDirectory,
    plan: Plan,
    cells: Cells,
    model: str,
    embed: EmbedConfig,
    planes: HyperplanesByPair | None,
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
    views = set(embed.step_views(composed).values())
    fitted: dict[View, Multiclass | None] = {}
    missing = _missing(run, model, embed, composed)
    for condition in composed:
        mine = [view for view in _ordered(views) if view.condition is condition]
        if condition is Condition.UNALTERED or not mine:
            continue
        files = [run.pairs("step_tallies", model, view.name) for view in mine]
        files.append(run.pairs("step_donors", model, condition))
        tests = not all(file.is_file() for file in files)
        found: list[list[tuple[str, PairScore]]] = []
        for view in mine:
            again = view in missing
            if not (tests or again):
                continue
            crops, first = gather_grid(run, cells, model, [condition], view.reading, once=True)[
                condition
            ]
            if tests:
                pairs, choice = plan.pair_tests(condition)
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
                fitted[view] = (
                    fit_multiclass(
                        crops.features[first], crops.cell[first], crops.classes[first],
                        cells.folds, len(cells.names),
                    )
                    if len(np.unique(crops.classes[first])) > 1
                    else None
                )  # fmt: skip
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


def _ordered(views: set[View]) -> list[View]:
    """Put views in order: the run's own way first, then as `Reading` has them."""
    order = [None, *Reading]
    return sorted(views, key=lambda view: (list(Condition).index(view.condition),
                                           order.index(view.reading)))  # fmt: skip


def _missing(
    run: RunDirectory, model: str, embed: EmbedConfig, composed: Sequence[Condition]
) -> dict[View, Any]:
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
    missing: Mapping[View, Any],
    fitted: Mapping[View, Multiclass | None],
    frozen: Multiclass | None,
) -> None:
    """Write the predictions of one reading's conditions, in the plan's order, by protein."""
    expected = schema.predictions_schema(len(cells.names))
    with ExitStack() as files:
        add = {v: files.enter_context(table_writer(path, expected)) for v, path in missing.items()}
        for trials, vectors in shards(run, SECOND[reading], model):
            name = trials["condition"].to_numpy(dtype=object)
            for view in add:
                here = name == str(view.condition)
                both = ((Protocol.REFIT, fitted.get(view)), (Protocol.FROZEN, frozen))
                if here.any():
                    add[view](
                        predictions_table(cells, trials[here], vectors[here], view.condition, both)
                    )
