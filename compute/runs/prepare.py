"""What a run needs before anything is computed: the plan, and the folds of its cells.

Layer: reads a store's tables; writes nothing, embeds nothing.
"""

import numpy as np
import pandas as pd

from compute.backgrounds.plan import Plan
from compute.errors import InputError
from compute.probes.cells import Cells
from compute.probes.folds import deal
from compute.runs.config import RunConfig
from compute.store.reader import CropStore


def prepare(store: CropStore, config: RunConfig) -> tuple[Plan, Cells]:
    """Make the plan and deal out the folds.

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
        The number of folds is out of range.
    """
    plan = Plan(store.cells, store.usable, store.windows, store.localizations, config.plan)
    label = pd.Categorical(store.cells["localization"], categories=store.localizations)
    classes = label.codes.astype(np.int64)
    protein = store.cells["protein"].to_numpy(dtype=object)
    grid = np.zeros(len(classes), bool)
    grid[plan.rows[plan.grid]] = True
    folds = deal(
        config.fold_scheme, config.folds, classes, protein, grid, len(store.localizations),
        config.plan.seed,
    )  # fmt: skip
    cells = Cells(classes, protein, grid, store.localizations, folds)
    if len(folds.testable()) < 2:
        raise InputError(
            f"{store.path}: fewer than two localizations have at least two proteins with usable "
            "cells, so no probe can be fitted.",
            "Add labelled proteins (`--localizations TABLE` on import), or deal out cells instead "
            "of proteins with `--folds-by paper`.",
        )
    return plan, cells
