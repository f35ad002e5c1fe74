"""Embeddings whose answer depends on the background by a known amount along a known direction."""

from dataclasses import dataclass

import numpy as np

from compute import schema
from compute.embedding.tables import embeddings_table, trials_table
from compute.probes.cells import Cells
from compute.schema import Condition
from compute.storage.run_directory import begin
from tests.compute.synthetic_cells import CLASSES, cells_table, make_plan, windows_table

POPULATION = {f"{name}-{i}": [name] for name in CLASSES[:4] for i in range(6)}
CONDITIONS = ("unaltered", "same", "different", "cell_free", "masked", "background_only")
WIDTH = 10
DIRECTION = np.array([0, 0, 0, 0, 2, -1, 1, 0, 0, 0]) / np.sqrt(6)
LEVEL = np.array([-3.0, -1.0, 1.0, 3.0, 0.0])
"""Where on the direction the background of each class lies."""

MODEL, INSIDE = "planted", "planted.pooled"


@dataclass
class Planted:
    """A run's embeddings, and what they were made from."""

    run: object
    plan: object
    cells: Cells
    protein: np.ndarray


def vectors_of(trials, classes, noise, amount):
    """The cell's class in the first four units, its background along `DIRECTION`."""
    cell = trials["cell"].to_numpy()
    condition = trials["condition"].to_numpy().astype(str)
    code = {name: k for k, name in enumerate(CLASSES)}
    behind = trials["donor_localization"].astype(object).map(code)
    behind = np.where(behind.isna(), classes[cell], behind.fillna(0)).astype(int)
    seen = ~np.isin(condition, ["alone", "cell_free", "masked"])
    shown = condition != str(Condition.BACKGROUND_ONLY)
    found = noise[cell].copy()
    found[np.arange(len(cell)), classes[cell]] += 1.5 * shown
    found += amount * (seen * LEVEL[behind])[:, None] * DIRECTION
    return found.astype(np.float32)


def make(folder, amount, *, seed=0, repeats=2, folds=3, population=POPULATION, shard=16):
    """Write trials and embeddings of two models; of the second the background moves a tenth."""
    table = cells_table(population, per_protein=4, seed=seed)
    windows = windows_table(CLASSES[:4], population=population)
    conditions = (*CONDITIONS, "alone")
    plan = make_plan(
        table, windows=windows, conditions=conditions, repeats=repeats, folds=folds, seed=seed
    )
    code = {name: k for k, name in enumerate(CLASSES)}
    classes = table["localization"].map(code).to_numpy().astype(np.int64)
    protein, grid = table["protein"].to_numpy(dtype=object), np.zeros(len(table), bool)
    grid[plan.rows[plan.grid]] = True
    of_window = windows["localization"].map(code).fillna(-1).to_numpy().astype(np.int64)
    window_protein = windows["protein"].to_numpy(dtype=object)
    cells = Cells(classes, protein, grid, CLASSES, plan.folds, of_window, window_protein)
    noise = 0.6 * np.random.default_rng(seed).standard_normal((len(table), WIDTH))
    with begin(folder, {}, {"localizations": CLASSES}) as run:
        for number, (start, stop) in enumerate(plan.shards(shard)):
            trials = plan.trials(start, stop)
            unknown = np.full(len(trials), np.nan, np.float32)
            flags = np.zeros(len(trials), np.int32)
            written = trials_table(trials, flags, unknown, unknown)
            run.write(run.part("trials", number), written, schema.trials_schema())
            for model, much in ((MODEL, amount), (INSIDE, amount / 10)):
                found = vectors_of(trials, classes, noise, much)
                run.write(
                    run.part("embeddings", number, model), embeddings_table(trials, found),
                    schema.embeddings_schema(WIDTH),
                )  # fmt: skip
    return Planted(run, plan, cells, protein)
