"""The protocol `own` in every table: a made head that answers from the background at a known rate.

The head of model `one` says the class of the background in half of the trials on another class, and
the cell's own class otherwise; it has no name for the last class. Model `two` has no head.
"""

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from compute.schema import FITTED, Condition, Protocol
from tests.compute.summarised_run import CLASSES, make, read_plain

NAMED = CLASSES[:2]
POPULATION = {f"{name}-{i}": [name] for name in CLASSES[:3] for i in range(5)}
POPULATION["mixed"] = list(NAMED)
CONDITIONS = tuple(
    map(str, (Condition.UNALTERED, Condition.SAME, Condition.DIFFERENT, Condition.SHAM))
)


def head(table):
    """Return the head: from trials to probabilities, those of unnamed classes 0."""
    label = table["localization"].map({name: k for k, name in enumerate(CLASSES)})
    own = label.fillna(0).to_numpy(int)

    def answer(trials):
        said = own[trials["cell"].to_numpy()]
        behind = trials["donor_localization"].astype(object)
        follows = behind.isin(NAMED).to_numpy() & (trials["trial"].to_numpy() % 2 == 0)
        follows &= (trials["condition"] == "different").to_numpy()
        code = behind.map({name: k for k, name in enumerate(CLASSES)}).fillna(0).to_numpy(int)
        said = np.where(follows, code, said)
        found = np.zeros((len(trials), len(CLASSES)))
        found[:, : len(NAMED)] = 0.1
        found[np.arange(len(trials)), np.minimum(said, len(NAMED) - 1)] += 1
        return found / found.sum(1, keepdims=True)

    return answer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with threadpool_limits(1):
        return make(
            tmp_path_factory.mktemp("own") / "run", POPULATION, own={"one": head},
            answerable={"one": NAMED}, conditions=CONDITIONS, repeats=2, grid_cells=20,
        )  # fmt: skip


def predictions(run, model, condition):
    """Read the model's own answers under a condition."""
    number = run.plan.config.composed.index(condition)
    frame = read_plain(run.run.part("predictions", number, model))
    return frame[frame["protocol"] == "own"].reset_index(drop=True)


def naive(run, condition):
    """Average right answers over a cell's trials, a class's cells, and the classes it can name."""
    label = run.table["localization"].tolist()
    by_class = {name: [] for name in NAMED}
    rows = predictions(run, "one", condition)
    for cell in rows["cell"].unique():
        if label[cell] in by_class and run.cells.units.of[cell] >= 0:
            answers = rows.loc[rows["cell"] == cell, "predicted"].tolist()
            by_class[label[cell]].append(np.mean([said == label[cell] for said in answers]))
    return np.mean([np.mean(values) for values in by_class.values()])


def test_every_trial_is_answered_by_the_head_as_it_said(run):
    trials = run.trials()
    table = run.table
    for condition in CONDITIONS:
        rows = predictions(run, "one", condition).sort_values("trial")
        asked = trials[trials["condition"] == condition].sort_values("trial")
        assert rows["trial"].tolist() == asked["trial"].tolist()
        expected = head(table)(asked)
        assert np.allclose(np.stack(rows["probabilities"]), expected, atol=1e-6)
        assert rows["predicted"].tolist() == [CLASSES[k] for k in expected.argmax(1)]
        assert predictions(run, "two", condition).empty


def test_accuracies_and_drops_are_those_of_a_plain_loop(run):
    accuracy = run.frame("accuracy").query("protocol == 'own' and scope == 'overall'")
    assert set(accuracy["model"]) == {"one"}
    assert set(accuracy["probe"]) == {"multiclass"}
    assert accuracy["donor_seen"].isna().all()
    found = accuracy.set_index("condition")["estimate"]
    expected = {condition: naive(run, condition) for condition in CONDITIONS}
    assert found.to_dict() == pytest.approx(expected)
    effects = run.frame("effects").query(
        "protocol == 'own' and scope == 'overall' and effect == 'drop'"
    )
    drop = effects.set_index("condition")["estimate"]
    for condition in ("same", "different", "sham"):
        assert drop[condition] == pytest.approx(expected["unaltered"] - expected[condition])


def test_the_planted_drop_is_found_and_no_other(run):
    """Half of the trials on the other class that it can name follow the background."""
    effects = run.frame("effects").query("protocol == 'own' and scope == 'overall'")
    drop = effects[effects["effect"] == "drop"].set_index("condition")
    assert drop.loc["same", "estimate"] == drop.loc["sham", "estimate"] == 0
    asked = run.trials().query("condition == 'different'")
    label = run.table["localization"].to_numpy(object)[asked["cell"]]
    mine = pd.Series(label, asked.index).isin(NAMED).to_numpy()
    follows = asked["donor_localization"].isin(NAMED).to_numpy() & (asked["trial"] % 2 == 0)
    share = follows[mine].groupby([label[mine], asked["cell"][mine]]).mean().groupby(level=0).mean()
    assert drop.loc["different", "estimate"] == pytest.approx(share.mean())
    assert drop.loc["different", "ci_low"] > 0
    gap = effects[effects["effect"] == "gap"]["estimate"]
    assert gap.tolist() == [pytest.approx(share.mean())]


def test_cells_of_a_class_that_it_cannot_name_are_in_no_accuracy(run):
    accuracy = run.frame("accuracy").query("protocol == 'own' and scope == 'localization'")
    assert set(accuracy["localization"]) == set(NAMED)
    frozen = run.frame("accuracy").query("protocol == 'frozen' and scope == 'localization'")
    assert set(frozen["localization"]) == set(run.tested())


@pytest.mark.parametrize(
    "name",
    ["flips", "shifts", "distributions", "calibration", "reliability", "decomposition", "dose",
     "worst_case", "mixed_shifts", "backgrounds"],
)  # fmt: skip
def test_every_table_of_answers_has_own_for_the_model_that_has_a_head(run, name):
    table = run.frame(name)
    assert set(table.loc[table["protocol"] == "own", "model"]) == {"one"}
    fitted = table[table["protocol"].isin(list(map(str, FITTED)))]
    assert set(fitted["model"]) == {"one", "two"}


def test_flips_and_steps_have_the_planted_drop_too(run):
    flips = run.frame("flips").query("protocol == 'own' and scope == 'overall'")
    shares = flips.set_index(["condition", "direction"])["estimate"]
    drop = naive(run, "unaltered") - naive(run, "different")
    lost, gained = (shares["different", which] for which in ("lost", "gained"))
    assert lost - gained == pytest.approx(drop)
    steps = run.frame("decomposition").query("protocol == 'own' and scope == 'overall'")
    total = steps[steps["part"] == "total"].set_index("step")["estimate"]
    assert total.drop("total").sum() == pytest.approx(total["total"])
    assert total["pasting"] == total["strange_image"] == 0
    assert total["neighbours"] > 0


def test_own_shifts_have_p_values_by_exchange_within_cells(run):
    shifts = run.frame("shifts").query("protocol == 'own'").set_index(["condition", "protein"])
    assert shifts["p_value"].notna().all()
    assert (shifts.loc["same", "p_value"] == 1).all(), "nothing moved"
    assert shifts.loc["different", "p_value"].min() < 0.2


def test_pair_tests_and_other_probes_have_no_own(run):
    for name in ("pairwise", "pair_tallies"):
        assert str(Protocol.OWN) not in set(run.frame(name)["protocol"])
    assert set(run.frame("effects").query("protocol == 'own'")["probe"]) == {"multiclass"}
