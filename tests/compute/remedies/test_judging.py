"""What remedies do to a model whose answer depends on the background by a known amount."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from compute import schema
from compute.errors import InputError
from compute.probes.multiclass import TrainingCrops, fit_multiclass
from compute.remedies.config import RemedyConfig
from compute.remedies.judge import Judge, answered, made_alike, worst
from compute.remedies.learned import average, learn
from compute.remedies.of_model import fit_remedies, model_rows, without_map
from compute.remedies.rows import WORST
from compute.remedies.wording import remedy_lines
from compute.schema import REMEDIES_IN_WORDS, Remedy
from compute.statistics.bootstrap import BootstrapConfig
from tests.compute.remedies.planted_run import CONDITIONS, DIRECTION, INSIDE, LEVEL, MODEL, make
from tests.compute.remedies.test_fitting import everything
from tests.compute.synthetic_cells import CLASSES

CONFIG = RemedyConfig(donors=6, backgrounds=4, strengths=(1.0, 0.1), directions=(0, 1, 2, 4))
BOOTSTRAP = BootstrapConfig(200, 200)
OTHERS = {Remedy.POOLED: INSIDE, Remedy.CENTRED: INSIDE}


def judge_of(planted, share=1.0):
    return Judge(planted.run, planted.cells, CONDITIONS, share, CONFIG, 0)


def table_of(planted, **options):
    rows = model_rows(judge_of(planted, **options), MODEL, OTHERS, {}, BOOTSTRAP, {"same": 0.0})
    return pa.Table.from_pylist(rows, schema.REMEDIES)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return make(tmp_path_factory.mktemp("planted") / "run", 1.0)


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    return make(tmp_path_factory.mktemp("control") / "run", 0.0)


@pytest.fixture(scope="module")
def table(planted):
    return table_of(planted)


@pytest.fixture(scope="module")
def asked(planted):
    judge = judge_of(planted)
    probes, _ = fit_remedies(judge, MODEL, OTHERS)
    return probes, judge.ask(probes, MODEL, OTHERS)


def values(table, column="estimate"):
    frame = table.to_pandas()
    return {(r.remedy, r.quantity, r.condition): getattr(r, column) for r in frame.itertuples()}


def test_a_background_that_moves_answers_by_a_known_amount_is_cured(table):
    found = values(table)
    gap = {remedy: found[remedy, "gap", "different"] for remedy in map(str, Remedy)}
    assert gap["none"] > 0.3, "no remedy keeps it"
    assert abs(gap["projected"]) < 0.03, "the direction is taken out"
    assert gap["balanced"] < 0.4 * gap["none"], "it is reduced"
    assert gap["pooled"] == gap["centred"] < 0.3 * gap["none"]
    assert gap["cleaned"] == gap["averaged"] == 0
    worst_case = {remedy: found[remedy, WORST, "different"] for remedy in map(str, Remedy)}
    assert worst_case["none"] < 0.5 < min(worst_case["projected"], worst_case["cleaned"])
    assert found["projected", "accuracy", "background_only"] < 0.4
    assert found["none", "accuracy", "background_only"] > 0.5, "the background gives it away"
    assert ("cleaned", "accuracy", "background_only") not in found


def test_the_direction_that_is_taken_out_is_the_planted_one(planted):
    learned = learn(planted.run, planted.cells, MODEL, CONFIG, 0)
    probes, chosen = fit_remedies(judge_of(planted), MODEL, {})
    assert set(chosen[Remedy.PROJECTED].removeprefix("directions ").split(", ")) <= {"1", "2"}
    steps = np.ptp(LEVEL[:4]) * DIRECTION
    plain, cured = probes[Remedy.NONE], probes[Remedy.PROJECTED]
    moved = (learned.unaltered + steps).astype(np.float32)
    before = plain(learned.unaltered, learned.cell) - plain(moved, learned.cell)
    after = cured(learned.unaltered, learned.cell) - cured(moved, learned.cell)
    assert np.abs(after).mean() < 0.02 < 0.1 < np.abs(before).mean()


def test_a_control_without_any_dependence_loses_nothing(control):
    table = table_of(control)
    found = values(table)
    for remedy in map(str, Remedy):
        if (remedy, "gap", "different") in found:
            assert abs(found[remedy, "gap", "different"]) < 0.03
            lost = found["none", "accuracy", "unaltered"] - found[remedy, "accuracy", "unaltered"]
            assert lost < 0.03, remedy


@pytest.mark.long
def test_answers_are_those_of_plain_loops(planted, asked):
    """Of every remedy, trial by trial."""
    probes, judged = asked
    vectors = everything(planted).set_index("trial")
    inside = everything(planted, INSIDE).set_index("trial")
    cells = planted.cells
    for remedy, spec in REMEDIES_IN_WORDS.items():
        right = []
        keys = zip(judged[remedy].cell, judged[remedy].condition, strict=True)
        expected = vectors[
            vectors["condition"].isin(CONDITIONS) & ~vectors["condition"].isin(spec.unknown)
        ]
        assert sorted(keys) == sorted(zip(expected["cell"], expected["condition"], strict=True))
        order = judged[remedy].cell
        for trial, row in expected.iterrows():
            vector = inside.loc[trial, "vector"] if remedy in OTHERS else row["vector"]
            if row["condition"] in ("unaltered", *spec.replaces) and spec.replaces:
                mine = vectors[vectors["cell"] == row["cell"]]
                if remedy is Remedy.CLEANED:
                    vector = mine[mine["condition"] == "alone"]["vector"].iloc[0]
                else:
                    some = mine.assign(donor=mine["donor"].fillna(-1)).reset_index()
                    stacked = np.stack(some["vector"])
                    vector = average(some, stacked, CLASSES, CONFIG.backgrounds, 0).features[0]
            fold = cells.folds.fold[row["cell"]]
            classifier = probes[remedy].classifiers[fold]
            scores = vector.astype(np.float64) @ classifier.weight + classifier.bias
            answer = classifier.known[scores.argmax()]
            right.append((row["cell"], row["condition"], answer == cells.classes[row["cell"]]))
        share = pd.DataFrame(right, columns=["cell", "condition", "right"])
        other = pd.DataFrame(
            {"cell": order, "condition": judged[remedy].condition, "right": judged[remedy].right}
        )
        one, two = (f.groupby(["cell", "condition"])["right"].mean() for f in (share, other))
        pd.testing.assert_series_equal(one, two, check_dtype=False)


def test_accuracies_differences_and_worst_cases_are_those_of_plain_loops(planted, asked, table):
    found, changed = values(table), values(table, "difference")
    classes = planted.cells.classes

    def accuracy(judged, condition, whole=False):
        here = judged.take(judged.condition == condition)
        by_class = []
        for k in range(4):
            mine = np.unique(here.cell[classes[here.cell] == k])
            each = [here.right[here.cell == cell] for cell in mine]
            by_class.append(np.mean([x.all() if whole else x.mean() for x in each]))
        return np.mean(by_class)

    for remedy, judged in asked[1].items():
        names = [c for c in CONDITIONS if c not in REMEDIES_IN_WORDS[remedy].unknown]
        mine = {c: accuracy(judged, c) for c in names}
        none = {c: accuracy(asked[1][Remedy.NONE], c) for c in names}
        expected = {("accuracy", c): (mine[c], mine[c] - none[c]) for c in names}
        for c in names[1:]:
            drops = mine["unaltered"] - mine[c], none["unaltered"] - none[c]
            expected["drop", c] = drops[0], drops[0] - drops[1]
        gaps = mine["same"] - mine["different"], none["same"] - none["different"]
        expected["gap", "different"] = gaps[0], gaps[0] - gaps[1]
        last = [accuracy(x, "different", True) for x in (judged, asked[1][Remedy.NONE])]
        expected[WORST, "different"] = last[0], last[0] - last[1]
        rows = {key[1:] for key in found if key[0] == remedy}
        assert rows == set(expected)
        for key, (value, difference) in expected.items():
            assert np.isclose(found[remedy, *key], value), (remedy, key)
            if remedy is not Remedy.NONE:
                assert np.isclose(changed[remedy, *key], difference), (remedy, key)


def test_intervals_hold_the_estimate_and_what_is_by_construction_is_said(table):
    frame = table.to_pandas()
    assert (frame["ci_low"] <= frame["estimate"] + 1e-9).all()
    assert (frame["ci_high"] >= frame["estimate"] - 1e-9).all()
    others = frame[frame["remedy"] != "none"]
    assert others["difference_low"].notna().all()
    assert frame[frame["remedy"] == "none"]["difference"].isna().all()
    said = frame[frame["by_construction"]]
    assert set(said["remedy"]) == {"cleaned", "averaged"}
    nothing = said[said["quantity"].isin(["drop", "gap"])]
    assert (nothing[["estimate", "ci_low", "ci_high"]] == 0).all(axis=None)
    for remedy, spec in REMEDIES_IN_WORDS.items():
        mine = frame[frame["remedy"] == remedy]
        assert set(mine["needs_mask"]) == {spec.needs_mask}
        assert set(mine["passes"]) == {CONFIG.backgrounds if spec.averages else 1}
    assert frame.set_index("condition").loc["same", "donor_seen"].eq(0).all()
    assert frame.set_index("condition").loc["unaltered", "donor_seen"].isna().all()


def test_only_the_trials_of_the_finished_run_are_judged(planted):
    """Further donors are there to learn from; the first of each class are those of the run."""
    judge = judge_of(planted, share=0.5)
    probes, _ = fit_remedies(judge, MODEL, {})
    found = judge.ask(probes, MODEL, {})
    frame = everything(planted)
    for name in CONDITIONS:
        mine = frame[frame["condition"] == name]
        many = mine.groupby("cell").size().iloc[0]
        first = mine[mine["repeat"] < max(many // 2, 1)]
        here = found[Remedy.NONE].condition == name
        assert sorted(found[Remedy.NONE].cell[here]) == sorted(first["cell"])


def test_what_donors_do_is_the_same_where_answers_are(planted, asked):
    judged = asked[1][Remedy.AVERAGED]
    found = answered(judged, planted.cells, CONDITIONS)
    kept = [c for c in found.tested if c != "background_only"]
    alike = made_alike(found, kept)
    assert alike.donors is not None
    weights = np.zeros(len(kept))
    weights[[0, 2]] = 1, -1
    assert np.allclose(alike.donors.moved @ weights, 0)
    assert np.allclose(weights @ alike.donors.within @ weights, 0)
    none = answered(asked[1][Remedy.CLEANED], planted.cells, ("unaltered", "same"))
    assert none.donors is None
    assert made_alike(none, ["unaltered"]) is none


def test_an_answer_that_rests_on_one_donor_many_times_is_as_of_one(planted, asked):
    """So an averaged answer's donors add no less than were it one donor's."""
    judged = asked[1][Remedy.NONE]
    here = judged.take(judged.condition == "different")
    wide = type(here)(
        here.cell, here.condition, here.background, np.repeat(here.donors, 3, 1), here.right
    )
    one, three = (answered(x, planted.cells, ["different"]).donors for x in (here, wide))
    assert np.allclose(one.moved, three.moved)
    assert np.allclose(one.within, three.within)


def test_worst_cases_are_of_whole_cells(planted, asked):
    judged = asked[1][Remedy.NONE]
    sums = worst(judged, planted.cells)
    here = judged.take(judged.condition == "different")
    expected = sum(here.right[here.cell == cell].all() for cell in np.unique(here.cell))
    assert sums[:, 0].sum() == expected
    assert sums[:, -1].sum() == len(np.unique(here.cell))


def test_a_model_whose_map_is_none_says_that_pooling_does_not_apply(planted):
    alike = dict.fromkeys(OTHERS, MODEL)
    assert without_map(planted.run, MODEL, alike) == list(OTHERS)
    assert without_map(planted.run, MODEL, OTHERS) == []
    same = model_rows(judge_of(planted), MODEL, alike, {}, BOOTSTRAP, {})
    rows = [row for row in same if row["remedy"] in map(str, OTHERS)]
    assert [row["applies"] for row in rows] == [False, False]
    assert rows[0]["reason"] == "Its layer gives vectors, no map that could be pooled."
    made = pa.Table.from_pylist(same, schema.REMEDIES)
    lines = list(remedy_lines(made))
    assert lines[0] == "planted:"
    assert len(lines) == 1 + len(Remedy)
    assert any("does not apply. Its layer gives vectors" in line for line in lines)
    assert any("gap 0.0% (by construction)" in line and "; 4 passes" in line for line in lines)
    assert any("; 1 pass, no mask" in line for line in lines)


def test_one_class_is_refused(tmp_path):
    population = {f"actin-{i}": ["actin"] for i in range(4)}
    population |= {f"{name}-0": [name] for name in CLASSES[1:4]}
    one = make(tmp_path / "run", 1.0, folds=2, population=population)
    with pytest.raises(InputError, match=r"'planted': its probe cannot be fitted.*two classes"):
        model_rows(judge_of(one), MODEL, {}, {}, BOOTSTRAP, {})


def test_a_probe_without_weights_or_strengths_is_what_it_was(planted):
    learned = learn(planted.run, planted.cells, MODEL, CONFIG, 0)
    given = learned.unaltered, learned.cell, learned.classes
    plain = fit_multiclass(TrainingCrops(*given), planted.cells.folds, 5)
    same = fit_multiclass(
        TrainingCrops(*given, np.ones(len(learned.cell))), planted.cells.folds, 5, None, [1.0] * 3
    )
    weaker = fit_multiclass(TrainingCrops(*given), planted.cells.folds, 5, None, [0.01] * 3)
    one, two, three = (x(learned.unaltered, learned.cell) for x in (plain, same, weaker))
    assert np.allclose(one, two, atol=1e-4)
    assert not np.allclose(one, three, atol=0.05)
