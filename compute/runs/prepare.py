"""What a run needs before anything is computed: the plan, and what probes know of its cells.

Layer: reads a store's tables; writes nothing, embeds nothing.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from compute.backgrounds.plan import Plan
from compute.errors import InputError, UsageError
from compute.probes.cells import Cells, Mixed
from compute.runs.config import RunConfig
from compute.schema import Condition
from compute.store.reader import CropStore


def prepare(store: CropStore, config: RunConfig) -> tuple[Plan, Cells]:
    """Make the plan, and gather what the probes need to know of the cells.

    Parameters
    ----------
    store
        A crop store.
    config
        Settings of the run.

    Returns
    -------
    plan : Plan
        Every trial.
    cells : Cells
        Class, protein and fold of every cell.

    Raises
    ------
    InputError
        The store has no usable cell, or fewer than two classes can be tested.
    UsageError
        The split does not exist, there would be too many trials, or backgrounds were to be tested
        with crops whose surroundings were removed.
    """
    gone = store.meta["source"].get("without_surroundings")
    if gone and set(config.plan.conditions) != {Condition.UNALTERED}:
        raise UsageError(
            f"{store.path}: its crops have nothing around their cells in {', '.join(gone)}, so no "
            "background can be tested: no model could lose by a change of what is not there.",
            "Import crops with their surroundings, or show the models without testing backgrounds: "
            "--conditions unaltered.",
        )
    plan = Plan(store.cells, store.usable, store.windows, store.localizations, config.plan)
    label = pd.Categorical(store.cells["localization"], categories=store.localizations)
    classes = label.codes.astype(np.int64)
    protein = store.cells["protein"].to_numpy(dtype=object)
    grid = np.zeros(len(classes), bool)
    grid[plan.rows[plan.grid]] = True
    several = Mixed.choose(
        plan.rows, store.cells["labels"].to_numpy()[plan.rows].tolist(), store.localizations,
        int(grid.sum()), config.plan.seed,
    )  # fmt: skip
    windows = pd.Categorical(store.windows["localization"], categories=store.localizations)
    cells = Cells(
        classes, protein, grid, store.localizations, plan.folds,
        windows.codes.astype(np.int64), store.windows["protein"].to_numpy(dtype=object),
        several,
    )  # fmt: skip
    if len(plan.folds.testable()) < 2:
        raise InputError(
            f"{store.path}: fewer than two classes have at least two proteins with usable "
            "cells, so no probe can be fitted.",
            "Add labelled proteins (`--localizations TABLE` on import), or deal out cells instead "
            "of proteins with `--folds-by paper`.",
        )
    return plan, cells


def with_fold(tables: Iterable[pa.Table], fold: NDArray[np.int64]) -> Iterator[pa.Table]:
    """Add each cell's fold to a store's `cells`.

    Parameters
    ----------
    tables
        The rows, some after the other.
    fold
        Fold of every cell, −1 for none, shape (N,).
    """
    for table in tables:
        mine = fold[table.column("cell").to_numpy()]
        yield table.append_column("fold", pa.array(mine.astype(np.int16), mask=mine < 0))
