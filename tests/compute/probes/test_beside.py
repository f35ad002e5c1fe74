"""Probes beside the SVM from embeddings to rows: against plain loops, and on known embeddings."""

from functools import cache

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score

from compute import schema
from compute.effects.beside import rows_beside
from compute.embedding.tables import embeddings_table, trials_table
from compute.probes import network
from compute.probes.beside import files_beside, probe_beside
from compute.probes.cells import Cells, Mixed
from compute.probes.multilabel import fit_yes_or_no
from compute.probes.similarity import References
from compute.schema import BESIDE, FITTED, Condition, Probe, Protocol
from compute.statistics.bootstrap import BootstrapConfig, Resampling
from compute.storage.run_directory import begin
from tests.compute.synthetic_cells import CLASSES, cells_table, make_plan, windows_table

POPULATION = {
    **{f"{name}-{i}": [name] for name in CLASSES[:3] for i in range(6)},
    **{f"both-{i}": ["actin", "ER"] for i in range(5)},
    "lone": ["vacuole"],
    "mystery": [],
}
CONDITIONS = ("unaltered", "same", "different", "masked")
USUAL = (Probe.KNN, Probe.RETRIEVAL, Probe.MULTILABEL)
D = 12


class Study:
    """A run whose embeddings show as much of the cell and of its background as is asked."""

    def __init__(self, folder, own, behind, noise=0.5, seed=0, per_protein=4):
        self.table = cells_table(POPULATION, per_protein=per_protein, seed=seed)
        windows = windows_table(CLASSES[:3], population=POPULATION)
        self.plan = make_plan(self.table, windows=windows, conditions=CONDITIONS, seed=seed)
        code = {name: k for k, name in enumerate(CLASSES)}
        classes = self.table["localization"].map(code).fillna(-1).to_numpy().astype(np.int64)
        protein, grid = self.table["protein"].to_numpy(dtype=object), np.zeros(len(classes), bool)
        grid[self.plan.rows[self.plan.grid]] = True
        labels = self.table["labels"].to_numpy()[self.plan.rows].tolist()
        mixed = Mixed.choose(self.plan.rows, labels, CLASSES, 1000, seed)
        self.cells = Cells(classes, protein, grid, CLASSES, self.plan.folds, mixed=mixed)
        rng = np.random.default_rng(seed)
        fore, back = rng.normal(size=(2, len(CLASSES), D))
        mine = rng.normal(size=(len(self.table), D))
        shows = np.array([[name in (each or ()) for name in CLASSES] for each in
                          self.table["labels"]], float)  # fmt: skip
        trials = self.plan.trials(0, len(self.plan.rows))
        cell = trials["cell"].to_numpy()
        there = trials["donor_localization"].map(code)
        hint = np.where(there.isna().to_numpy()[:, None], shows[cell],
                        np.eye(len(CLASSES))[there.fillna(0).astype(int)])  # fmt: skip
        hint = np.where((trials["condition"] == "masked").to_numpy()[:, None], 0, hint)
        # The cell's own noise is the same under every condition.
        self.vectors = own * shows[cell] @ fore + behind * hint @ back + noise * mine[cell]
        self.vectors = self.vectors.astype(np.float32)
        self.trials = trials
        with begin(folder, {}, {"localizations": CLASSES}) as run:
            self.run = run
            unknown = np.full(len(trials), np.nan, np.float32)
            written = trials_table(trials, np.zeros(len(trials), np.int32), unknown, unknown)
            run.write(run.part("trials", 0), written, schema.trials_schema())
            path = run.part("embeddings", 0, "one")
            run.write(path, embeddings_table(trials, self.vectors), schema.embeddings_schema(D))
            self.ask(USUAL)

    def ask(self, probes, jobs=2):
        probe_beside(self.run, self.plan, self.cells, "one", D, probes, jobs)

    def rows(self, protocol=Protocol.REFIT):
        @cache
        def drawn(classes):
            code = np.frombuffer(classes, np.int64)
            return Resampling(code, max(len(CLASSES), code.max() + 1), 300, 0)

        found = {}
        for probe, (accuracy, effects), scored in rows_beside(
            self.run, self.cells, "one", protocol, lambda s: drawn(s.tobytes()),
            BootstrapConfig(300, 300),
        ):  # fmt: skip
            assert (scored is None) == (probe is Probe.MULTILABEL)
            found[probe] = pd.DataFrame(accuracy), pd.DataFrame(effects)
        return found

    def overall(self, protocol=Protocol.REFIT):
        """Each probe's overall numbers by condition, and drops."""
        return {
            probe: tuple(t[t["scope"] == "overall"].set_index("condition") for t in (
                accuracy, effects[effects["effect"] == "drop"]))
            for probe, (accuracy, effects) in self.rows(protocol).items()
        }  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("beside") / "run", own=1.0, behind=0.7, noise=1.0)


def crops(study, condition):
    """Vectors, cells and repeats of a condition's trials of tested cells."""
    here = (study.trials["condition"] == condition).to_numpy()
    cell = study.trials["cell"].to_numpy()
    asked = study.cells.tested.copy()
    asked[study.cells.mixed.cell] = True
    here = here & asked[cell]
    return study.vectors[here], cell[here], study.trials["repeat"].to_numpy()[here]


@pytest.mark.parametrize("protocol", FITTED)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_number_is_that_of_a_loop_over_cells(both, condition, protocol):
    source = condition if protocol is Protocol.REFIT else "unaltered"
    theirs, their_cell, repeat = crops(both, source)
    theirs, their_cell = theirs[repeat == 0], their_cell[repeat == 0]
    vectors, cell, _ = crops(both, condition)
    cells, fold = both.cells, both.cells.folds.fold
    has = cells.labels_of(cell)
    single = cells.classes[cell] >= 0
    score = np.zeros((2, len(cell)))
    said = np.zeros_like(has)
    for i in range(len(cell)):
        others = fold[their_cell] != fold[cell[i]]
        assert cells.protein[cell[i]] not in set(cells.protein[their_cell[others]])
        if single[i]:
            one = others & (cells.classes[their_cell] >= 0)
            references = References.of(theirs[one], cells.classes[their_cell[one]])
            found = references.compare(vectors[[i]], cells.classes[cell[[i]]])
            score[:, i] = found.right[0], found.precision[0]
    for held in range(cells.folds.number):
        others = fold[their_cell] != held
        fitted = fit_yes_or_no(theirs[others], cells.labels_of(their_cell[others]))
        mine = fold[cell] == held
        said[mine] = fitted(vectors[mine])
    weight = 1 / pd.Series(cell).map(pd.Series(cell).value_counts()).to_numpy()
    rows = both.overall(protocol)
    for probe, values in ((Probe.KNN, score[0]), (Probe.RETRIEVAL, score[1])):
        means = [
            np.average(values[of], weights=weight[of])
            for k in cells.folds.testable()
            if (of := cells.classes[cell] == k).any()
        ]
        assert rows[probe][0].loc[condition, "estimate"] == pytest.approx(np.mean(means))
    each = [f1_score(has[:, k], said[:, k], sample_weight=weight) for k in cells.folds.testable()]
    row = rows[Probe.MULTILABEL][0].loc[condition]
    assert row["estimate"] == pytest.approx(np.mean(each), abs=0.02)
    assert row["n_cells"] == len(set(cell))
    assert row["n_proteins"] == 23 > rows[Probe.KNN][0].loc[condition, "n_proteins"] == 18


def test_embeddings_of_the_background_alone_lose_everything_on_another(tmp_path):
    """The control that must fail: what only sees neighbours is misled by them."""
    study = Study(tmp_path / "run", own=0.0, behind=2.0)
    for protocol in FITTED:
        for probe, (accuracy, drops) in study.overall(protocol).items():
            assert accuracy.loc["unaltered", "estimate"] > 0.9, probe
            # The frozen probe answers with the background's class. The refit one can learn that
            # this is not the cell's, so that one of two classes is left, and of both labels both.
            most = 0.36 if protocol is Protocol.FROZEN else 0.6
            assert accuracy.loc["different", "estimate"] < most, (probe, protocol)
            assert drops.loc["different", "ci_low"] > 0.3, (probe, protocol)
            assert drops.loc["different", "p_value"] < 0.01, (probe, protocol)
            # Cells of two labels have `same` donors with one of them.
            assert drops.loc["same", "estimate"] < drops.loc["different", "estimate"] / 3


def test_embeddings_of_the_cell_alone_lose_nothing(tmp_path):
    """Where nothing differs every drop is 0, and no test says otherwise."""
    study = Study(tmp_path / "run", own=1.0, behind=0.0, noise=1.5)
    for protocol in FITTED:
        for probe, (accuracy, drops) in study.overall(protocol).items():
            assert accuracy.loc["unaltered", "estimate"] < 1, probe
            assert np.allclose(drops["estimate"], 0, atol=1e-12), (probe, protocol)
            assert (drops["p_value"] > 0.05).all()


def test_lost_files_come_again_as_they_were(both):
    files = [
        path
        for probe in USUAL
        for condition in CONDITIONS
        for path in files_beside(both.run, probe, "one", Condition(condition)).values()
    ]
    assert all(path.is_file() for path in files)
    before = {path: pq.read_table(path, partitioning=None) for path in files}
    for path in files:
        if "different" in path.name or "knn" in str(path.parent):
            path.unlink()
    both.ask(USUAL, jobs=1)
    for path, table in before.items():
        assert pq.read_table(path, partitioning=None).equals(table), path


def test_only_the_probes_that_were_chosen_are_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "STEPS", 40)
    study = Study(tmp_path / "run", own=1.0, behind=0.5)
    assert set(study.rows()) == set(USUAL) < set(BESIDE)
    study.ask((Probe.PAIR, Probe.NETWORK))
    rows = study.overall()
    assert set(rows) == set(BESIDE)
    assert rows[Probe.NETWORK][0].loc["unaltered", "estimate"] > 0.8


def test_cells_of_several_classes_are_chosen_by_hash_and_no_more_than_allowed():
    rows = np.array([2, 3, 5, 8, 9])
    labels = [["actin", "ER"], None, ["Golgi"], ["ER", "Golgi"], ["actin", "vacuole"]]
    every = Mixed.choose(rows, labels, CLASSES, 10, seed=0)
    assert every.cell.tolist() == [2, 8, 9]
    assert [[CLASSES[k] for k in np.flatnonzero(row)] for row in every.labels] == [
        ["actin", "ER"], ["ER", "Golgi"], ["actin", "vacuole"]
    ]  # fmt: skip
    two = [Mixed.choose(rows, labels, CLASSES, 2, seed).cell.tolist() for seed in range(20)]
    assert all(len(each) == 2 for each in two)
    assert len(set(map(tuple, two))) == 3
