"""Runs as the pipeline makes them, with drawn embeddings in place of a network's."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from compute import schema
from compute.effects.stage import summarise
from compute.embedding.tables import trials_table
from compute.embedding.worker import SHARD_CELLS
from compute.probes.cells import Cells
from compute.probes.folds import deal
from compute.probes.stage import probe
from compute.schema import COMPOSED, Condition
from compute.statistics.bootstrap import BootstrapConfig
from compute.storage.atomic_files import write_table
from compute.storage.paths import LOCKED_PREDICTIONS
from compute.storage.run_directory import begin
from tests.compute.synthetic_cells import CLASSES, cells_table, make_plan, windows_table

MODELS = {"one": 6, "two": 4}
BOOTSTRAP = BootstrapConfig(200, 200, 0)
BIG = {
    **{f"{name}-{i}": [name] for name in CLASSES[:3] for i in range(5)},
    "lone": ["vacuole"],
    "mixed": ["actin", "ER"],
    "mystery": [],
}


@dataclass
class Made:
    """A run with probes and summaries, and what it was made from."""

    run: object
    plan: object
    cells: Cells
    table: pd.DataFrame
    truth: pd.DataFrame

    def frame(self, name):
        table = self.run.read(name).to_pandas()
        if "aggregation" in table:  # `published` rows are in test_published.py
            table = table[table["aggregation"] == "all"].reset_index(drop=True)
        return table

    def trials(self):
        return pd.concat(pq.read_table(file).to_pandas() for file in self.run.parts("trials"))

    def predictions(self, model, condition, protocol):
        frame = read_plain(self.run.part("predictions", place(condition), model))
        return frame[frame["protocol"] == protocol].reset_index(drop=True)

    def second(self, model, condition):
        return read_plain(self.run.part(LOCKED_PREDICTIONS, place(condition), model))

    def tested(self):
        """Names of the tested classes."""
        return [CLASSES[k] for k in self.cells.folds.testable()]

    def summarise(self, **options):
        conditions = self.plan.config.conditions
        summarise(self.run, self.cells, self.table, list(MODELS), conditions, BOOTSTRAP,
                  truth=self.truth, **options)  # fmt: skip


def place(condition):
    return list(COMPOSED).index(Condition(condition))


def read_plain(path):
    return pq.read_table(path, partitioning=None).to_pandas()


def embeddings(trials, table, dimension, seed):
    """Draw features that show the cell's class, and as strongly the class of its background."""
    rng = np.random.default_rng(seed)
    code = {name: k for k, name in enumerate(CLASSES)}
    label = table["localization"].map(code).fillna(1).astype(int).to_numpy()[trials["cell"]]
    background = trials["donor_localization"].map(code).to_numpy(dtype=float)
    condition = trials["condition"].to_numpy(dtype=str)
    background = np.where(np.isnan(background), label, background).astype(int)
    visible = (condition != "masked")[:, None] * (condition != "cell_free")[:, None]
    own, context = rng.standard_normal((2, len(CLASSES), dimension))
    # The cell's own noise is the same under every condition.
    noise = np.random.default_rng(seed + 1).standard_normal((len(table), dimension))
    features = 0.6 * own[label] + 0.6 * visible * context[background] + 0.7 * noise[trials["cell"]]
    return features.astype(np.float32)


def draw_truth(table, seed=0):
    """Give every cell true proportions: two classes, or one where it is labelled with one."""
    rng = np.random.default_rng(seed)
    rows = []
    for cell, label in zip(table["cell"], table["localization"], strict=True):
        if label is not None:
            rows.append((cell, label, 1.0))
            continue
        share = np.float32(rng.uniform(0.2, 0.8))
        first, second = rng.choice(CLASSES, 2, replace=False)
        rows += [(cell, first, share), (cell, second, 1 - share)]
    return pd.DataFrame(rows, columns=schema.truth_schema().names)


def write_second_reading(run, model, conditions, seed):
    """Write what the probe stage would say of the second reading, drawn at random."""
    rng = np.random.default_rng(seed)
    for number, condition in enumerate(conditions):
        if condition in (Condition.UNALTERED, Condition.SHAM):
            continue
        frame = read_plain(run.part("predictions", number, model))
        trials = pd.concat(pq.read_table(file).to_pandas() for file in run.parts("trials"))
        first = set(trials.loc[trials["repeat"] == 0, "trial"])
        rows = frame[(frame["protocol"] == "frozen") & frame["trial"].isin(first)].copy()
        drawn = rng.dirichlet(np.ones(len(CLASSES)), len(rows)).astype(np.float32)
        again = (rng.random(len(rows)) < 0.5)[:, None]
        mixed = np.where(again, drawn, np.stack(rows["probabilities"]))
        rows["probabilities"] = list(mixed)
        rows["predicted"] = [CLASSES[k] for k in mixed.argmax(1)]
        expected = schema.predictions_schema(len(CLASSES))
        table = pa.Table.from_pandas(rows, schema=expected, preserve_index=False)
        write_table(run.part(LOCKED_PREDICTIONS, number, model), table)


def make(folder, population, **config):
    """Make a run; shards hold so few cells that proteins lie in several."""
    table = cells_table(population, per_protein=6)
    plan = make_plan(table, windows=windows_table(CLASSES[:3], population=population), **config)
    code = {name: k for k, name in enumerate(CLASSES)}
    classes = table["localization"].map(code).fillna(-1).to_numpy().astype(np.int64)
    protein, grid = table["protein"].to_numpy(dtype=str), np.zeros(len(table), bool)
    grid[plan.rows[plan.grid]] = True
    folds = deal("grouped", 3, classes, protein, grid, len(CLASSES), 0)
    cells = Cells(classes, protein, grid, CLASSES, folds)
    with begin(folder, {}, {"localizations": CLASSES}) as run:
        for number, (start, stop) in enumerate(plan.shards(SHARD_CELLS // 4)):
            trials = plan.trials(start, stop)
            unknown = np.full(len(trials), np.nan, np.float32)
            written = trials_table(trials, np.zeros(len(trials), np.int32), unknown, unknown)
            run.write(run.part("trials", number), written, schema.trials_schema())
            for seed, (model, dimension) in enumerate(MODELS.items()):
                vectors = embeddings(trials, table, dimension, seed)
                columns = {name: written.column(name) for name in ("trial", "cell", "condition")}
                flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimension)
                run.write(
                    run.part("embeddings", number, model),
                    pa.table({**columns, "embedding": flat}),
                    schema.embeddings_schema(dimension),
                )
        probe(run, plan, cells, MODELS)
        for seed, model in enumerate(MODELS):
            write_second_reading(run, model, plan.config.composed, seed)
        made = Made(run, plan, cells, table, draw_truth(table))
        made.summarise()
    return made


def by_cell(made, model, condition, protocol):
    """Average every cell's trials, one cell at a time."""
    found = {}
    frame = made.predictions(model, condition, protocol)
    for cell, some in frame.groupby("cell"):
        hard = np.mean([[p == name for name in CLASSES] for p in some["predicted"]], axis=0)
        found[int(cell)] = np.mean(np.stack(some["probabilities"]), 0, dtype=np.float64), hard
    return found
