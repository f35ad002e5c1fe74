"""What a run needs before it starts: its configuration, the plan, the folds.

Layer: reads a store's tables; writes nothing, embeds nothing.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from compute.backgrounds.plan import Plan, PlanConfig
from compute.embedding.config import EmbedConfig
from compute.errors import InputError, UsageError
from compute.probes.cells import Cells
from compute.probes.folds import deal
from compute.statistics.bootstrap import BootstrapConfig
from compute.store.reader import CropStore


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run's tables depend on, beside the store and the models.

    Parameters
    ----------
    plan, embed, bootstrap
        Settings of the plan, of embedding, and of intervals and tests.
    folds
        Number of folds of the probes, 2 or more; the paper has 5.
    fold_scheme
        One of `compute.probes.folds.SCHEMES`.
    examples
        Cells of each protein whose crops are kept to look at, 0 to 1000.
    keep_embeddings
        Whether `embeddings` stay in a finished run.

    Raises
    ------
    UsageError
        `examples` is out of range; other values are checked where they are used.
    """

    plan: PlanConfig = field(default_factory=PlanConfig)
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    folds: int = 5
    fold_scheme: str = "grouped"
    examples: int = 4
    keep_embeddings: bool = True

    def __post_init__(self) -> None:
        """Check every value that no stage checks."""
        if not 0 <= self.examples <= 1000:
            raise UsageError(f"examples is {self.examples}; it must be 0 to 1000.")


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
