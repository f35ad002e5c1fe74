"""Runs as the pipeline makes them, with drawn embeddings in place of a network's."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from compute import schema
from compute.effects.stage import summarise
from compute.embedding.config import EmbedConfig
from compute.embedding.tables import embeddings_table, second_readings, trials_table
from compute.embedding.worker import SHARD_CELLS
from compute.probes.cells import Cells
from compute.probes.stage import probe
from compute.schema import COMPOSED, Condition, Dose, Reading
from compute.statistics.bootstrap import BootstrapConfig
from compute.storage.paths import SECOND, SECOND_PREDICTIONS
from compute.storage.run_directory import begin
from tests.compute.synthetic_cells import CLASSES, cells_table, make_plan, windows_table

MODELS = {"one": 6, "two": 4}
EMBED = EmbedConfig()
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

    def second(self, model, condition, reading=Reading.SCALED, protocol="frozen"):
        frame = read_plain(self.run.part(SECOND_PREDICTIONS[reading], place(condition), model))
        return frame[frame["protocol"] == protocol].reset_index(drop=True)

    def tested(self):
        """Names of the tested classes."""
        return [CLASSES[k] for k in self.cells.folds.testable()]

    def summarise(self, **options):
        conditions = self.plan.config.conditions
        summarise(self.run, self.cells, self.table, list(MODELS), conditions, BOOTSTRAP,
                  truth=self.truth, seeds={"network": list(MODELS)},
                  **{"embed": EMBED, **options})  # fmt: skip


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


def write_embeddings(run, path, trials, vectors, own=None):
    """Write embeddings, and own answers where a function from trials to probabilities is given."""
    dimension, classes = vectors.shape[1], 0
    if own is not None:
        said = own(trials)
        left = np.full((len(said), 1), 0.25)
        vectors, classes = (
            np.concatenate([vectors, said, left], 1).astype(np.float32),
            said.shape[1],
        )
    expected = schema.embeddings_schema(dimension, classes)
    run.write(path, embeddings_table(trials, vectors, dimension), expected)


def write_second_readings(run, number, trials, table, model, dimension, seed, own=None):
    """Write the embeddings of a shard's second readings: more of the cell shows, and new noise."""
    for place, (reading, conditions) in enumerate(EMBED.readings(COMPOSED).items()):
        rows = trials.iloc[second_readings(trials, conditions)]
        vectors = embeddings(rows, table, dimension, seed)
        rng = np.random.default_rng([seed, number, place])
        vectors *= np.float32(0.8)
        vectors += rng.standard_normal(vectors.shape).astype(np.float32) * np.float32(0.4)
        write_embeddings(run, run.part(SECOND[reading], number, model), rows, vectors, own)


def with_doses(trials, seed=0):
    """Draw how much of a donor's neighbours each trial with a donor's crop shows."""
    kinds = {str(c) for c in ("same_protein", "same", "different")}
    there = np.array([c in kinds for c in trials.column("condition").to_pylist()])
    rng = np.random.default_rng([seed, *trials.column("trial").to_numpy()[:1]])
    for dose, most in ((Dose.SHARE, 0.4), (Dose.DISTANCE, 30)):
        values = (most * rng.random(len(there))).astype(np.float32)
        place = trials.schema.get_field_index(str(dose))
        trials = trials.set_column(place, str(dose), pa.array(values, mask=~there))
    return trials


def make(folder, population, own=None, answerable=None, **config):
    """Make a run; shards hold so few cells that proteins lie in several.

    `own` gives, by model, a function from a store's cells to one from trials to probabilities, for
    models with a head, and `answerable` the classes that these can answer with.
    """
    table = cells_table(population, per_protein=6)
    windows = windows_table(CLASSES[:3], population=population)
    plan = make_plan(table, windows=windows, **config)
    code = {name: k for k, name in enumerate(CLASSES)}
    classes = table["localization"].map(code).fillna(-1).to_numpy().astype(np.int64)
    protein, grid = table["protein"].to_numpy(dtype=str), np.zeros(len(table), bool)
    grid[plan.rows[plan.grid]] = True
    of_window = windows["localization"].map(code).fillna(-1).to_numpy().astype(np.int64)
    window_protein = windows["protein"].to_numpy(dtype=object)
    cells = Cells(classes, protein, grid, CLASSES, plan.folds, of_window, window_protein)
    with begin(folder, {}, {"localizations": CLASSES}) as run:
        for number, (start, stop) in enumerate(plan.shards(SHARD_CELLS // 4)):
            trials = plan.trials(start, stop)
            unknown = np.full(len(trials), np.nan, np.float32)
            flags = np.zeros(len(trials), np.int32)
            written = with_doses(trials_table(trials, flags, unknown, unknown))
            run.write(run.part("trials", number), written, schema.trials_schema())
            for seed, (model, dimension) in enumerate(MODELS.items()):
                vectors = embeddings(trials, table, dimension, seed)
                said = own[model](table) if own and model in own else None
                path = run.part("embeddings", number, model)
                write_embeddings(run, path, trials, vectors, said)
                write_second_readings(run, number, trials, table, model, dimension, seed, said)
        probe(run, plan, cells, MODELS, embed=EMBED, exchanges=12)
        made = Made(run, plan, cells, table, draw_truth(table))
        made.summarise(**({"own": answerable} if answerable else {}))
    return made


def by_cell(made, model, condition, protocol):
    """Average every cell's trials, one cell at a time."""
    found = {}
    frame = made.predictions(model, condition, protocol)
    for cell, some in frame.groupby("cell"):
        hard = np.mean([[p == name for name in CLASSES] for p in some["predicted"]], axis=0)
        found[int(cell)] = np.mean(np.stack(some["probabilities"]), 0, dtype=np.float64), hard
    return found
