"""The effects stage as a whole: the multi-class probe, effects, and making tables again."""

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from statsmodels.stats.multitest import multipletests
from threadpoolctl import threadpool_limits

from compute import schema
from compute.probes.multiclass import TrainingCrops, fit_multiclass
from compute.probes.stage import probe
from compute.schema import COMPOSED, CONDITIONS, FITTED, Condition
from compute.storage.paths import SECOND
from tests.compute.summarised_run import BIG, EMBED, MODELS, by_cell, make
from tests.compute.synthetic_cells import CLASSES


def test_predictions_name_the_most_probable_class_of_every_trial(made):
    trials = made.trials()
    for condition, protocol in itertools.product(COMPOSED, FITTED):
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
    trials = made.trials()
    parts = [pq.read_table(f, partitioning=None) for f in made.run.parts("embeddings", "one")]
    vectors = np.stack(pa.concat_tables(parts).column("embedding").to_pylist()).astype(np.float32)
    here = (trials["condition"] == condition).to_numpy()
    trials, vectors, cells = trials[here], vectors[here], made.cells
    cell = trials["cell"].to_numpy()
    tested = cells.grid & np.isin(cells.classes, cells.folds.testable())
    learned = tested[cell] & (trials["repeat"] == 0).to_numpy()
    of = cell[learned]
    fitted = fit_multiclass(
        TrainingCrops(vectors[learned], of, cells.classes[of]), cells.folds, len(CLASSES)
    )
    frame = made.predictions("one", condition, "refit").set_index("trial").loc[trials["trial"]]
    assert np.allclose(np.stack(frame["probabilities"]), fitted(vectors, cell), atol=2e-3)


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
        first = {"drop": "unaltered", "net": "sham", "gap": "same"}[row.effect]
        second = row.condition
        assert row.estimate == pytest.approx(value[first, *key] - value[second, *key])
        assert row.ci_low <= row.estimate + 0.06
        assert row.ci_high >= row.estimate - 0.06
        for column in ("p_value", "margin", "p_equivalence"):
            assert np.isnan(getattr(row, column)) == (row.scope != "overall")
        control = row.condition in ("sham", "background_only")
        for column in ("p_holm", "p_equivalence_holm"):
            assert np.isnan(getattr(row, column)) == (row.scope != "overall" or control)
        headline = CONDITIONS[Condition(row.condition)].headline and row.effect != "net"
        for column in ("simultaneous_low", "simultaneous_high"):
            assert np.isnan(getattr(row, column)) == (row.scope != "overall" or not headline)
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
    assert (sham["margin"] == 0.02).all()
    assert np.allclose(sham["p_equivalence"], 0.98 ** sham["n_cells"], atol=0)
    gap = overall[(overall["effect"] == "gap") & (overall["protocol"] == "frozen")]
    assert (gap["ci_low"] > 0).all()
    drops = overall.query("probe == 'pair' and effect == 'drop' and protocol == 'frozen'")
    conflicting = drops[drops["condition"] == "conflicting"]
    different = drops[drops["condition"] == "different"]
    both = pd.merge(conflicting, different, on="model", suffixes=("_against", "_neutral"))
    assert (both["estimate_against"] > both["estimate_neutral"]).all()


@pytest.mark.parametrize("column", ["p_value", "p_equivalence"])
def test_p_values_are_adjusted_over_models_and_conditions(made, column):
    effects = made.frame("effects")
    holm = {"p_value": "p_holm", "p_equivalence": "p_equivalence_holm"}[column]
    controls = effects["condition"].isin(["sham", "background_only"])
    tested = effects[effects[column].notna() & ~controls]
    assert effects[holm].notna().equals(effects[column].notna() & ~controls)
    for _, family in tested.groupby(["probe", "protocol", "effect"]):
        assert set(family["model"]) == set(MODELS)
        p = family[column].to_numpy()
        for one, adjusted in zip(p, family[holm], strict=True):
            steps = [min(1, x * (p >= x).sum()) for x in p if x <= one]
            assert adjusted == pytest.approx(max(steps))


def test_models_differ_by_the_difference_of_their_accuracies_drops_and_gaps(made, unit):
    found, accuracy = made.frame("model_differences"), made.frame("accuracy")
    effects = made.frame("effects")
    assert list(found.columns) == schema.MODEL_DIFFERENCES.names
    assert set(found["unit"]) == {unit}
    assert set(found["scope"]) == {"overall"}
    assert set(zip(found["model"], found["other"], strict=True)) == {("one", "two")}
    both = pd.concat([accuracy.assign(effect="accuracy"), effects], ignore_index=True)
    both = both[(both["scope"] == "overall") & (both["effect"] != "net")]
    keys = ["effect", "condition", "protocol", "probe"]
    value = both.set_index(["model", *keys])["estimate"]
    assert len(found) == len(both) / 2
    for row in found.itertuples():
        key = row.quantity, row.condition, row.protocol, row.probe
        assert row.estimate == pytest.approx(value["one", *key] - value["two", *key])
        assert row.ci_low <= row.estimate <= row.ci_high
        assert np.isnan(row.p_holm) == (row.condition in ("sham", "background_only"))
    for _, family in found[found["p_holm"].notna()].groupby(["probe", "protocol", "quantity"]):
        expected = multipletests(family["p_value"], method="holm")[1]
        assert np.allclose(family["p_holm"], expected)


def test_a_network_from_two_seeds_has_their_mean(made):
    found, accuracy = made.frame("training_seeds"), made.frame("accuracy")
    assert set(found["network"]) == {"network"}
    value = accuracy[accuracy["scope"] == "overall"].set_index(
        ["model", "condition", "protocol", "probe"]
    )["estimate"]
    some = found[found["quantity"] == "accuracy"]
    assert len(some) == len(value) / 2
    for row in some.itertuples():
        key = row.condition, row.protocol, row.probe
        assert row.estimates == pytest.approx([value[model, *key] for model in MODELS])
        assert row.estimate == pytest.approx(np.mean(row.estimates))
    assert ((found["seed_sd"] > 0) & (found["ci_low"] < found["ci_high"])).any()


# Again


def test_what_is_there_is_not_made_again_and_what_is_missing_comes_back_the_same(made):
    @threadpool_limits.wrap(1)
    def do():
        probe(made.run, made.plan, made.cells, MODELS, embed=EMBED, exchanges=12)
        made.summarise()

    every = sorted(made.run.path.rglob("*.parquet"))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in every}
    do()
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in every} == before
    # Lose the unaltered probes' own results' followers: they have to be fitted again.
    lost = [p for p in every if "different" in p.name or p.name == "part-00002.parquet"]
    kept = ("trials", "embeddings", *SECOND.values())
    lost = [p for p in lost if not any(f"{name}/" in p.as_posix() for name in kept)]
    lost += [made.run.summary(name) for name in ("shifts", "pairwise", "accuracy", "flips")]
    assert len(lost) > 6
    for path in lost:
        path.unlink()
    do()
    assert {p: p.read_bytes() for p in every} == {p: content for p, (content, _) in before.items()}


def test_only_unaltered_crops_give_accuracies_and_empty_effects(tmp_path):
    made = make(tmp_path / "run", BIG, conditions=())
    assert set(made.frame("accuracy")["condition"]) == {"unaltered"}
    for name in ("effects", "shifts", "truth", "flips", "backgrounds", "rescaling",
                 "decomposition", "dose", "worst_case"):  # fmt: skip
        assert len(made.frame(name)) == 0
    for name in ("distributions", "calibration", "reliability"):
        assert set(made.frame(name)["condition"]) == {"unaltered"}
