"""From embeddings to summary tables: every number against plain loops over the run's own files."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.spatial.distance import jensenshannon
from synthetic_cells import CLASSES, POPULATION, cells_table, make_plan, windows_table
from threadpoolctl import threadpool_limits

from compute import schema
from compute.effects import BootstrapConfig, Tallies, accuracies, contrasts
from compute.embed import SHARD_CELLS, trials_table
from compute.folds import deal
from compute.probes import PairScore, fit_multiclass
from compute.probing import Cells, _tally, probe
from compute.rundir import begin
from compute.schema import COMPOSED, Condition, Protocol
from compute.summarise import _multiclass_tallies, _pair_tallies, _summary, read_answers, summarise

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

    def frame(self, name):
        table = self.run.read(name).to_pandas()
        if "aggregation" in table:  # `published` rows are in test_published.py
            table = table[table["aggregation"] == "all"].reset_index(drop=True)
        return table

    def predictions(self, model, condition, protocol):
        number = list(COMPOSED).index(Condition(condition))
        frame = pq.read_table(self.run.part("predictions", number, model), partitioning=None)
        frame = frame.to_pandas()
        return frame[frame["protocol"] == protocol].reset_index(drop=True)


def embeddings(trials, table, dimension, seed):
    """Draw features that show the cell's class, and as strongly what stands behind it."""
    rng = np.random.default_rng(seed)
    code = {name: k for k, name in enumerate(CLASSES)}
    label = table["localization"].map(code).fillna(1).astype(int).to_numpy()[trials["cell"]]
    behind = trials["donor_localization"].map(code).to_numpy(dtype=float)
    condition = trials["condition"].to_numpy(dtype=str)
    behind = np.where(np.isnan(behind), label, behind).astype(int)
    shown = (condition != "masked")[:, None] * (condition != "cell_free")[:, None]
    own, context = rng.standard_normal((2, len(CLASSES), dimension))
    # The cell's own noise is the same under every condition.
    noise = np.random.default_rng(seed + 1).standard_normal((len(table), dimension))
    features = 0.6 * own[label] + 0.6 * shown * context[behind] + 0.7 * noise[trials["cell"]]
    return features.astype(np.float32)


def make(folder, population, **config):
    """Make a run as the pipeline does, with drawn embeddings in place of a network's."""
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
            written = trials_table(trials, np.zeros(len(trials), np.int32))
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
        summarise(run, cells, table, list(MODELS), plan.config.conditions, BOOTSTRAP)
    return Made(run, plan, cells, table)


@pytest.fixture(scope="module", params=["protein", "cell"])
def made(request, tmp_path_factory):
    """Return a run whose unit is the protein, or the cell because proteins are few."""
    population = BIG if request.param == "protein" else POPULATION
    folder = tmp_path_factory.mktemp(request.param) / "run"
    # Threads of the linear algebra only wait for each other on problems this small.
    with threadpool_limits(1):
        return make(folder, population, repeats=2, grid_cells=20)


@pytest.fixture(scope="module")
def unit(made):
    return "protein" if made.cells.by_protein else "cell"


def test_fewer_than_five_proteins_are_resampled_by_cell(made, unit):
    proteins = [len(set(made.cells.protein[made.cells.classes == k])) for k in range(3)]
    assert unit == ("protein" if min(proteins) >= 5 else "cell")
    for name in ("accuracy", "effects"):
        assert set(made.frame(name)["unit"]) == {unit}
    assert made.frame("pair_tallies")["cell"].isna().all() == (unit == "protein")


# Pair tests


def test_every_pair_is_tested_on_every_background(made):
    found = made.frame("pairwise")
    tested = made.cells.folds.testable()
    pairs = list(itertools.combinations([CLASSES[k] for k in tested], 2))
    shared = [CLASSES[k] for k in made.plan.backgrounds]
    windows = CLASSES[:3]
    for model, protocol in itertools.product(MODELS, Protocol):
        some = found[(found["model"] == model) & (found["protocol"] == protocol)]
        for condition in schema.CONDITIONS:
            here = some[some["condition"] == condition]
            rows = [tuple(row) for row in here[["localization_a", "localization_b"]].to_numpy()]
            if not schema.CONDITIONS[condition].grid:
                assert rows == pairs
                assert here["background"].isna().all()
                continue
            expected = [
                (*pair, k)
                for pair in pairs
                for k in shared
                if k not in pair and (condition == "different" or k in windows)
            ]
            columns = ["localization_a", "localization_b", "background"]
            assert [tuple(row) for row in here[columns].to_numpy()] == expected
    assert found["accuracy"].between(0, 1).all()
    assert (found["n"] <= 40).all()


def test_tallies_hold_every_held_out_answer(made, unit):
    pairwise, tallies = made.frame("pairwise"), made.frame("pair_tallies")
    keys = ["model", "condition", "protocol"]
    trials = pd.concat(pq.read_table(f).to_pandas() for f in made.run.parts("trials"))
    grid = trials[made.cells.grid[trials["cell"]]]
    for key, some in tallies.groupby(keys):
        a, b = CLASSES[:2]
        for own, other in ((a, b), (b, a)):
            here = some[(some["localization"] == own) & (some["other"] == other)]
            donor = {"conflicting": "different"}.get(key[1], key[1])
            mine = grid[(grid["condition"] == donor)
                        & (made.table["localization"].to_numpy()[grid["cell"]] == own)]  # fmt: skip
            if schema.CONDITIONS[Condition(key[1])].grid:
                tests = pairwise[(pairwise[keys] == list(key)).all(axis=1)
                                 & (pairwise["localization_a"] == a)
                                 & (pairwise["localization_b"] == b)]  # fmt: skip
                mine = mine[mine["donor_localization"].isin(tests["background"])]
            if key[1] == "conflicting":
                mine = mine[mine["donor_localization"] == other]
            assert here["n"].sum() == len(mine)
            assert here["n_cells"].sum() == mine["cell"].nunique()
            assert (here["correct"] <= here["n"]).all()
    assert not tallies.duplicated([*keys, "protein", "cell", "localization", "other"]).any()


def test_a_tally_equals_a_naive_count_of_answers(made, unit):
    rng, cells = np.random.default_rng(0), made.cells
    scores = []
    for a, b in itertools.combinations(cells.folds.testable().tolist(), 2):
        rows = np.flatnonzero(cells.grid & np.isin(cells.classes, (a, b)))
        for protocol, background in itertools.product(("refit", "frozen"), (-1, 3)):
            cell = np.append(rows, rows[:5])
            right = rng.random(len(cell)) < 0.7
            scores.append((protocol, PairScore(a, b, background, 0, 0, 0, cell, right)))
    found = _tally("m", Condition.SAME, scores, cells).to_pandas()
    naive = {}
    for protocol, score in scores:
        for cell, right in zip(score.cell, score.correct, strict=True):
            own = cells.classes[cell]
            other = score.second if own == score.first else score.first
            place = (cells.protein[cell], None if unit == "protein" else int(cell))
            entry = naive.setdefault(
                (protocol, *place, CLASSES[own], CLASSES[other]), [0, 0, set()]
            )
            entry[0] += right
            entry[1] += 1
            entry[2].add(int(cell))
    rows = {}
    for r in found.itertuples():
        cell = None if pd.isna(r.cell) else int(r.cell)
        key = (r.protocol, r.protein, cell, r.localization, r.other)
        rows[key] = (r.correct, r.n, r.n_cells)
    assert rows == {key: (right, n, len(who)) for key, (right, n, who) in naive.items()}
    # And back: tallies to arrays to accuracies equals the mean over pairs of all their answers.
    for protocol in ("refit", "frozen"):
        some = found[found["protocol"] == protocol]
        arranged, names = _pair_tallies(some, ["unaltered", "same"], cells)
        assert names == ["same"]
        overall = accuracies(arranged, np.ones((1, len(arranged.classes))), len(CLASSES)).overall
        by_pair = {}
        for name, score in scores:
            if name == protocol:
                by_pair.setdefault((score.first, score.second), []).extend(score.correct)
        assert overall[0, 0] == pytest.approx(np.mean([np.mean(v) for v in by_pair.values()]))


def naive_accuracy(tallies, model, protocol, condition, name):
    """Average answers into an accuracy, one pair at a time."""
    tallies = tallies[(tallies["model"] == model) & (tallies["protocol"] == protocol)
                      & (tallies["condition"] == condition)]  # fmt: skip
    pairs = []
    for a, b in itertools.combinations(sorted(set(tallies["localization"]), key=CLASSES.index), 2):
        both = [tallies[(tallies["localization"] == x) & (tallies["other"] == y)]
                for x, y in ((a, b), (b, a))]  # fmt: skip
        if name in (None, a, b) and all(len(side) for side in both):
            pairs.append(pd.concat(both)["correct"].sum() / pd.concat(both)["n"].sum())
    return np.mean(pairs)


def test_pair_accuracies_are_means_over_pairs(made):
    accuracy, tallies = made.frame("accuracy"), made.frame("pair_tallies")
    for row in accuracy[accuracy["probe"] == "pair"].itertuples():
        name = row.localization if row.scope == "localization" else None
        expected = naive_accuracy(tallies, row.model, row.protocol, row.condition, name)
        assert row.estimate == pytest.approx(expected)
        assert row.ci_low <= row.estimate + 0.05
        assert row.ci_high >= row.estimate - 0.05
        assert row.ci_low < row.ci_high or row.estimate in (0, 1)


# The multi-class probe


def by_cell(made, model, condition, protocol):
    """Average every cell's trials, one cell at a time."""
    found = {}
    frame = made.predictions(model, condition, protocol)
    for cell, some in frame.groupby("cell"):
        hard = np.mean([[p == name for name in CLASSES] for p in some["predicted"]], axis=0)
        found[int(cell)] = np.mean(np.stack(some["probabilities"]), 0, dtype=np.float64), hard
    return found


def test_answers_are_averaged_by_cell(made):
    for number, condition in enumerate(COMPOSED):
        answers = read_answers(made.run, "one", number, Protocol.FROZEN, CLASSES)
        naive = by_cell(made, "one", condition, "frozen")
        assert answers.cell.tolist() == sorted(naive, key=lambda c: (made.cells.protein[c], c)), (
            "by protein, each cell once"
        )
        for i, cell in enumerate(answers.cell.tolist()):
            assert np.allclose(answers.probabilities[i], naive[cell][0], atol=1e-6)
            assert np.allclose(answers.predicted[i], naive[cell][1])


def test_predictions_name_the_most_probable_class_of_every_trial(made):
    trials = pd.concat(pq.read_table(f).to_pandas() for f in made.run.parts("trials"))
    for condition, protocol in itertools.product(COMPOSED, Protocol):
        frame = made.predictions("two", condition, protocol)
        assert sorted(frame["trial"]) == sorted(trials[trials["condition"] == condition]["trial"])
        probabilities = np.stack(frame["probabilities"])
        assert np.allclose(probabilities.sum(1), 1, atol=1e-6)
        assert np.isin(frame["cell"], made.plan.rows).all()
        assert frame["predicted"].tolist() == [CLASSES[k] for k in probabilities.argmax(1)]
    for part in made.run.parts("predictions", "two"):
        protein = pq.read_table(part, partitioning=None).column("protein").to_pylist()
        assert protein == sorted(protein), "both protocols of a protein lie together"


@pytest.mark.parametrize("condition", ["unaltered", "same", "different"])
def test_the_probe_learns_from_the_first_crop_of_each_pair_test_cell(made, condition):
    trials = pd.concat(pq.read_table(f).to_pandas() for f in made.run.parts("trials"))
    parts = [pq.read_table(f, partitioning=None) for f in made.run.parts("embeddings", "one")]
    vectors = np.stack(pa.concat_tables(parts).column("embedding").to_pylist()).astype(np.float32)
    here = (trials["condition"] == condition).to_numpy()
    trials, vectors, cells = trials[here], vectors[here], made.cells
    cell = trials["cell"].to_numpy()
    tested = cells.grid & np.isin(cells.classes, cells.folds.testable())
    learned = tested[cell] & (trials["repeat"] == 0).to_numpy()
    of = cell[learned]
    fitted = fit_multiclass(vectors[learned], of, cells.classes[of], cells.folds, len(CLASSES))
    frame = made.predictions("one", condition, "refit").set_index("trial").loc[trials["trial"]]
    assert np.allclose(np.stack(frame["probabilities"]), fitted(vectors, cell), atol=1e-4)


def test_multiclass_accuracies_are_means_over_classes_of_all_labelled_cells(made):
    accuracy = made.frame("accuracy")
    tested = [CLASSES[k] for k in made.cells.folds.testable()]
    label = made.table["localization"]
    for (model, protocol, condition), rows in accuracy[accuracy["probe"] == "multiclass"].groupby(
        ["model", "protocol", "condition"]
    ):
        naive = by_cell(made, model, condition, protocol)
        expected, everyone = {}, []
        for name in tested:
            own = [c for c in naive if label[c] == name]
            everyone += own
            expected[name] = np.mean([naive[c][1][CLASSES.index(name)] for c in own])
            (row,) = rows[rows["localization"] == name].itertuples()
            assert row.estimate == pytest.approx(expected[name])
            assert row.n_cells == len(own)
            assert row.n_proteins == len(set(made.cells.protein[own]))
        (row,) = rows[rows["scope"] == "overall"].itertuples()
        assert row.estimate == pytest.approx(np.mean(list(expected.values())))
        assert row.n_cells == len(everyone)
        assert row.n_proteins == len(set(made.cells.protein[everyone]))
        assert row.localization is None or pd.isna(row.localization)


def test_counts_of_pair_tests_are_of_cells_and_proteins_in_pair_tests(made):
    accuracy, cells = made.frame("accuracy"), made.cells
    for row in accuracy[(accuracy["probe"] == "pair") & (accuracy["condition"] == "unaltered")
                        ].itertuples():  # fmt: skip
        here = cells.grid & np.isin(cells.classes, cells.folds.testable())
        if row.scope == "localization":
            here &= cells.classes == CLASSES.index(row.localization)
        assert row.n_cells == here.sum()
        assert row.n_proteins == len(set(cells.protein[here]))


def test_the_multiclass_probe_resamples_the_runs_unit(made, unit):
    answers = {
        str(c): read_answers(made.run, "one", number, Protocol.REFIT, CLASSES)
        for number, c in enumerate(COMPOSED[:2])
    }
    known = {}
    for name, found in answers.items():
        rows = np.flatnonzero(made.cells.classes[found.cell] >= 0)
        known[name] = replace(
            found, cell=found.cell[rows], probabilities=found.probabilities[rows],
            predicted=found.predicted[rows],
        )  # fmt: skip
    arranged, names = _multiclass_tallies(known, made.cells)
    assert names == ["unaltered", "same"]
    cell = known["unaltered"].cell
    proteins = set(made.cells.protein[cell])
    assert len(arranged.classes) == len(proteins if unit == "protein" else set(cell))
    assert set(arranged.protein) == proteins
    assert arranged.n_cells[0].sum() == len(cell)


def test_counts_are_of_the_units_that_answered_under_the_condition(made):
    n = np.array([[4.0, 4, 4, 4], [4, 0, 4, 4]])[..., None]
    some = Tallies(n / 2, n, np.array([0, 0, 1, 1]), n[..., 0].astype(int), np.array(list("pqrs")))
    accuracy, _ = _summary(some, ["unaltered", "same"], made.cells, BOOTSTRAP)
    counts = {
        (row["condition"], row["localization"]): (row["n_cells"], row["n_proteins"])
        for row in accuracy
    }
    assert counts["unaltered", None] == (16, 4)
    assert counts["same", None] == (12, 3)
    assert counts["same", CLASSES[0]] == (4, 1)
    assert counts["same", CLASSES[1]] == (8, 2)


# Effects


def test_effects_are_differences_of_accuracies(made):
    accuracy, effects = made.frame("accuracy"), made.frame("effects")
    keys = ["model", "protocol", "probe", "scope", "localization"]
    value = {
        (
            r.condition,
            *(None if pd.isna(getattr(r, k)) else getattr(r, k) for k in keys),
        ): r.estimate
        for r in accuracy.itertuples()
    }
    seen = set()
    for row in effects.itertuples():
        key = tuple(None if pd.isna(getattr(row, k)) else getattr(row, k) for k in keys)
        first, second = {"drop": ("unaltered", row.condition), "gap": ("same", "different")}[
            row.effect
        ]
        assert row.estimate == pytest.approx(value[first, *key] - value[second, *key])
        assert row.ci_low <= row.estimate + 0.06
        assert row.ci_high >= row.estimate - 0.06
        assert np.isnan(row.p_value) == (row.scope != "overall")
        seen.add((row.effect, row.condition, row.probe))
    drops = {c for effect, c, p in seen if effect == "drop" and p == "pair"}
    assert drops == set(map(str, Condition)) - {"unaltered"}
    assert ("gap", "different", "pair") in seen
    assert ("gap", "different", "multiclass") in seen
    assert ("drop", "conflicting", "multiclass") not in seen


def test_the_sham_swap_has_no_effect_and_the_planted_context_has(made):
    effects = made.frame("effects")
    overall = effects[effects["scope"] == "overall"]
    sham = overall[overall["condition"] == "sham"]
    assert (sham[["estimate", "ci_low", "ci_high"]] == 0).all(axis=None)
    assert (sham["p_value"] == 1).all()
    gap = overall[(overall["effect"] == "gap") & (overall["protocol"] == "frozen")]
    assert (gap["ci_low"] > 0).all()
    drops = overall.query("probe == 'pair' and effect == 'drop' and protocol == 'frozen'")
    conflicting = drops[drops["condition"] == "conflicting"]
    different = drops[drops["condition"] == "different"]
    assert conflicting["estimate"].to_numpy().min() > different["estimate"].to_numpy().max()


def test_p_values_are_adjusted_over_models_and_conditions(made):
    effects = made.frame("effects")
    tested = effects[effects["p_value"].notna()]
    assert effects["p_holm"].notna().equals(effects["p_value"].notna())
    for _, family in tested.groupby(["probe", "protocol", "effect"]):
        assert set(family["model"]) == set(MODELS)
        p = family["p_value"].to_numpy()
        for one, adjusted in zip(p, family["p_holm"], strict=True):
            steps = [min(1, x * (p >= x).sum()) for x in p if x <= one]
            assert adjusted == pytest.approx(max(steps))


def test_the_list_of_effects_follows_from_the_conditions():
    assert contrasts(["unaltered", "same", "different"]) == [
        ("drop", "same", 0, 1),
        ("drop", "different", 0, 2),
        ("gap", "different", 1, 2),
    ]
    assert contrasts(["unaltered", "different"]) == [("drop", "different", 0, 1)]
    assert contrasts(["same", "different"]) == [("gap", "different", 0, 1)]


# Proteins


def test_distributions_are_means_over_cells(made):
    found = made.frame("distributions")
    sums = found.groupby(["model", "condition", "protocol", "protein"])
    assert np.allclose(sums[["proportion", "mean_probability"]].sum(), 1)
    for condition, protocol in itertools.product(COMPOSED, Protocol):
        naive = by_cell(made, "one", condition, protocol)
        some = found[(found["model"] == "one") & (found["condition"] == condition)
                     & (found["protocol"] == protocol)]  # fmt: skip
        for protein, rows in some.groupby("protein"):
            own = [c for c in naive if made.cells.protein[c] == protein]
            assert rows["localization"].tolist() == CLASSES
            assert np.allclose(rows["mean_probability"], np.mean([naive[c][0] for c in own], 0),
                               atol=1e-6)  # fmt: skip
            assert np.allclose(rows["proportion"], np.mean([naive[c][1] for c in own], 0))
            assert (rows["n_cells"] == len(own)).all()


def test_shifts_compare_the_same_cells_before_and_after(made):
    found = made.frame("shifts")
    assert set(found["condition"]) == set(map(str, COMPOSED)) - {"unaltered"}
    for (condition, protocol), rows in found[found["model"] == "two"].groupby(
        ["condition", "protocol"]
    ):
        before = by_cell(made, "two", "unaltered", protocol)
        after = by_cell(made, "two", condition, protocol)
        assert set(rows["protein"]) == {made.cells.protein[c] for c in after}
        for row in rows.itertuples():
            own = [c for c in after if made.cells.protein[c] == row.protein]
            p, q = (np.mean([some[c][0] for c in own], 0) for some in (before, after))
            assert row.n_cells == len(own)
            assert row.tv == pytest.approx(np.abs(p - q).sum() / 2, abs=1e-6)
            assert row.jsd == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-5)
            assert row.top_before == CLASSES[p.argmax()]
            assert row.top_after == CLASSES[q.argmax()]
            # The chance that a trial drawn before and one drawn after name different classes.
            flips = [1 - before[c][1] @ after[c][1] for c in own]
            assert row.flipped_fraction == pytest.approx(np.mean(flips))
            labels = made.table["labels"][own[0]]
            assert (None if row.labels is None else list(row.labels)) == labels
        p = rows["p_value"].to_numpy()
        q = [min(min(1, x * len(p) / (p <= x).sum()) for x in p if x >= one) for one in p]
        assert np.allclose(rows["q_value"], q), "adjusted over proteins, within the condition"


def test_the_sham_swap_shifts_nothing(made):
    sham = made.frame("shifts").query("condition == 'sham' and protocol == 'frozen'")
    assert np.allclose(sham[["jsd", "tv"]], 0, atol=1e-9)
    assert (sham[["p_value", "q_value"]] == 1).all(axis=None)


# Again


def test_what_is_there_is_not_made_again_and_what_is_missing_comes_back_the_same(made):
    @threadpool_limits.wrap(1)
    def do():
        probe(made.run, made.plan, made.cells, MODELS)
        summarise(made.run, made.cells, made.table, list(MODELS), made.plan.config.conditions,
                  BOOTSTRAP)  # fmt: skip

    every = sorted(made.run.path.rglob("*.parquet"))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in every}
    do()
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in every} == before
    # Lose the unaltered probes' own results' followers: they have to be fitted again.
    lost = [p for p in every if "different" in p.name or p.name == "part-00002.parquet"]
    lost = [p for p in lost if "trials" not in str(p) and "embeddings" not in str(p)]
    lost += [made.run.summary(name) for name in ("shifts", "pairwise", "accuracy")]
    assert len(lost) > 6
    for path in lost:
        path.unlink()
    do()
    assert {p: p.read_bytes() for p in every} == {p: content for p, (content, _) in before.items()}


def test_only_unaltered_crops_give_accuracies_and_empty_effects(tmp_path):
    made = make(tmp_path / "run", BIG, conditions=())
    assert set(made.frame("accuracy")["condition"]) == {"unaltered"}
    assert len(made.frame("effects")) == len(made.frame("shifts")) == 0
    assert len(made.frame("distributions")) > 0
