"""The plan: any shard is as in the whole, donors are of the right kind, nothing vanishes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from compute.backgrounds import plan as plan_module
from compute.backgrounds.config import PlanConfig
from compute.errors import InputError, UsageError
from compute.schema import COMPOSED, CONDITIONS, Condition
from tests.compute.synthetic_cells import CLASSES, cells_table, make_plan, whole, windows_table

PLAIN = [c for c, spec in CONDITIONS.items() if spec.composed and spec.donors == "none"]


def some_unusable(cells, seed=1):
    return np.random.default_rng(seed).random(len(cells)) > 0.15


@pytest.fixture(scope="module")
def cells():
    return cells_table()


@pytest.fixture(scope="module")
def usable(cells):
    return some_unusable(cells)


# What is planned


@pytest.mark.parametrize("shard", [1, 3, 7, 1000])
def test_a_plan_made_in_shards_in_any_order_equals_the_whole(cells, usable, shard):
    plan = make_plan(cells, usable, repeats=2, grid_cells=3)
    expected = whole(plan)
    shards = plan.shards(shard)
    assert all(0 < stop - start <= shard for start, stop in shards)
    order = np.random.default_rng(0).permutation(len(shards))
    fresh = make_plan(cells, usable, repeats=2, grid_cells=3)
    made = {i: fresh.trials(*shards[i]) for i in order}
    joined = pd.concat([made[i] for i in range(len(shards))], ignore_index=True)
    pd.testing.assert_frame_equal(joined, expected)


def test_trials_are_numbered_without_gaps_and_lie_by_protein(cells, usable):
    plan = make_plan(cells, usable, repeats=2)
    trials = whole(plan)
    assert trials["trial"].tolist() == list(range(plan.count))
    protein = cells["protein"].to_numpy()[trials["cell"]]
    assert list(protein) == sorted(protein)
    assert not trials.duplicated(["cell", "condition", "repeat"]).any()
    starts = trials.groupby(["cell", "condition"])["repeat"]
    assert (starts.min() == 0).all()
    assert (starts.max() + 1 == starts.size()).all()
    changes = (trials["cell"] != trials["cell"].shift()).sum()
    assert changes == trials["cell"].nunique(), "a cell's trials lie together"


def test_the_same_seed_gives_the_same_plan_and_another_another(cells, usable):
    one, same, other = (
        whole(make_plan(cells, usable, seed=seed, grid_cells=2)) for seed in (5, 5, 6)
    )
    pd.testing.assert_frame_equal(one, same)
    for name in ("same", "different", "cell_free"):
        a, b = (frame[frame["condition"] == name] for frame in (one, other))
        assert a["donor"].tolist() != b["donor"].tolist()
    assert set(one["seed"]).isdisjoint(other["seed"])
    assert (one["seed"] >= 0).all()
    assert one["seed"].is_unique


def test_the_seed_chooses_the_cells_and_backgrounds_of_pair_tests(cells):
    plans = [make_plan(cells, seed=seed, grid_cells=4, backgrounds=2) for seed in range(12)]
    assert len({tuple(plan.rows[plan.grid]) for plan in plans}) == 12
    assert len({tuple(plan.backgrounds) for plan in plans}) > 3


def naive_counts(cells, usable, windows, plan):
    """Count every cell's trials under every condition by looking at all donors."""
    repeats, expected = plan.config.repeats, {}
    donors = [
        (i, cells["localization"][i], cells["protein"][i])
        for i in range(len(cells))
        if usable[i] and cells["localization"][i] is not None
    ]
    shared = {plan.localizations[k] for k in plan.backgrounds}
    for place, row in enumerate(plan.rows):
        labels, own = set(cells["labels"][row] or ()), cells["protein"][row]
        for condition in plan.config.composed:
            if condition in PLAIN:
                n = 1
            elif condition == "same":
                n = repeats * any(k in labels and p != own for _, k, p in donors)
            elif condition == "same_protein":
                others = usable & (cells["protein"] == own)
                n = repeats * (others.sum() > 1)
            else:
                kinds = {k for _, k, _ in donors}
                if condition == "cell_free":
                    kinds = {k for k in windows["localization"] if isinstance(k, str)}
                kinds = kinds - labels
                n = repeats * (len(kinds & shared) if plan.grid[place] else bool(kinds))
            expected[int(row), str(condition)] = n
    return expected


def check_plan(cells, usable, windows, plan):
    """Check all that must hold of any plan."""
    trials = whole(plan)
    expected = naive_counts(cells, usable, windows, plan)
    found = trials.groupby(["cell", "condition"]).size().to_dict()
    assert found == {key: n for key, n in expected.items() if n}
    assert plan.count == sum(expected.values()) == len(trials)
    for condition in plan.config.composed:
        of = {row: n for (row, name), n in expected.items() if name == condition}
        assert plan.counts[condition] == sum(of.values())
        without = sum(n == 0 for n in of.values())
        told = [r for r in plan.rejections if r["reason"].startswith(f"{condition}:")]
        assert sum(r["count"] for r in told) == without, "cells without a trial are all counted"
    for trial in trials.itertuples():
        labels = set(cells["labels"][trial.cell] or ())
        if trial.condition in PLAIN:
            assert trial.donor == -1
            assert pd.isna(trial.donor_localization)
        elif trial.condition == "cell_free":
            assert windows["localization"][trial.donor] == trial.donor_localization
            assert trial.donor_localization not in labels
        else:
            assert usable[trial.donor], "an unusable cell is no donor"
            label = cells["localization"][trial.donor]
            assert label == trial.donor_localization or pd.isna(trial.donor_localization)
            if trial.condition == "same_protein":
                assert trial.donor != trial.cell
                assert cells["protein"][trial.donor] == cells["protein"][trial.cell]
            elif trial.condition == "same":
                assert trial.donor_localization in labels
                assert cells["protein"][trial.donor] != cells["protein"][trial.cell]
            else:
                assert trial.donor_localization not in labels
    return trials


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("backgrounds", [None, 1, 2])
def test_every_donor_satisfies_its_condition_and_counts_add_up(cells, usable, repeats, backgrounds):
    plan = make_plan(cells, usable, repeats=repeats, backgrounds=backgrounds, grid_cells=5)
    check_plan(cells, usable, windows_table(), plan)


@st.composite
def populations(draw):
    """Draw cells whose labels may differ within a protein, as a manifest allows."""
    n, names = draw(st.integers(1, 16)), CLASSES[:3]
    labels = [draw(st.lists(st.sampled_from(names), max_size=2, unique=True)) for _ in range(n)]
    frame = pd.DataFrame(
        {
            "cell": np.arange(n),
            "protein": [f"p{draw(st.integers(0, 3))}" for _ in range(n)],
            "localization": pd.Series(
                [k[0] if len(k) == 1 else None for k in labels], dtype=object
            ),
            "labels": pd.Series([k or None for k in labels], dtype=object),
            "field": "f",
            "split": None,
        }
    )
    usable = np.array([draw(st.integers(0, 4)) > 0 for _ in range(n)])
    usable[0] = True
    some = draw(st.lists(st.sampled_from([*names, None]), max_size=4))
    windows = pd.DataFrame(
        {"field": "f", "protein": "p0", "localization": pd.Series(some, dtype=object)}
    )
    return frame, usable, windows


@settings(max_examples=50, deadline=None)
@given(
    populations(),
    st.integers(0, 3),
    st.integers(1, 3),
    st.integers(2, 4),
    st.sampled_from([None, 1, 2]),
)
def test_any_population_is_planned_without_loss(population, seed, repeats, grid, backgrounds):
    cells, usable, windows = population
    plan = make_plan(
        cells, usable, windows, CLASSES[:3],
        seed=seed, repeats=repeats, grid_cells=grid, backgrounds=backgrounds,
    )  # fmt: skip
    check_plan(cells, usable, windows, plan)


@pytest.mark.parametrize("backgrounds", [None, 3])
def test_pair_test_cells_stand_once_on_every_other_shared_class(cells, backgrounds):
    plan = make_plan(cells, grid_cells=2, repeats=2, backgrounds=backgrounds)
    assert len(plan.backgrounds) == (backgrounds or 5)
    shared = {CLASSES[k] for k in plan.backgrounds}
    trials = whole(plan)
    for row in plan.rows[plan.grid]:
        own = cells["localization"][row]
        for name, there in (("different", shared), ("cell_free", shared & set(CLASSES[:4]))):
            here = trials[(trials["cell"] == row) & (trials["condition"] == name)]
            counts = here["donor_localization"].astype(object).value_counts().to_dict()
            assert counts == dict.fromkeys(there - {own}, 2)
            # The first trials, which train the multi-class probe, meet every class once.
            once = here.sort_values("repeat").head(len(counts))["donor_localization"]
            assert once.is_unique
    for row in plan.rows[~plan.grid]:
        here = trials[(trials["cell"] == row) & (trials["condition"] == "different")]
        assert len(here) == 2
        assert here["donor_localization"].nunique() == 2


def test_pair_tests_take_as_many_cells_of_each_class_as_asked_for(cells, usable):
    plan = make_plan(cells, usable, grid_cells=6)
    chosen = cells.iloc[plan.rows[plan.grid]]["localization"].value_counts(dropna=False)
    there = cells[usable]["localization"].value_counts()
    assert chosen.to_dict() == there.clip(upper=6).to_dict()


# Evenness


def spread(counts):
    return stats.chisquare(counts).pvalue


def test_same_donors_are_evenly_spread_over_all_cells_of_other_proteins():
    cells = cells_table({"a": ["actin"], "b": ["actin"], "c": ["actin"], "m": ["actin", "ER"],
                         "e": ["ER"], "f": ["ER"]}, per_protein=5)  # fmt: skip
    plan = make_plan(cells, repeats=1000, windows=windows_table([], population={}),
                     conditions=("same",), donors="any")  # fmt: skip
    trials = whole(plan)
    trials = trials[trials["condition"] == "same"]
    for protein, pool in (("b", {"a", "c"}), ("m", {"a", "b", "c", "e", "f"}), ("e", {"f"})):
        here = cells["protein"].to_numpy()[trials["cell"]] == protein
        counts = trials[here]["donor"].value_counts()
        assert set(cells["protein"][counts.index]) == pool
        assert len(counts) == 5 * len(pool)
        assert spread(counts) > 1e-3


def test_other_donors_are_even_within_their_class_and_classes_over_cells():
    cells = cells_table({**{f"u{i}": [] for i in range(30)}, "a": ["actin"], "b": ["ER"],
                         "c": ["Golgi"], "n": ["nucleus"]}, per_protein=40)  # fmt: skip
    windows = windows_table(population={k: [v] for k, v in zip("abcn", CLASSES[:4], strict=True)})
    trials = whole(make_plan(cells, windows=windows, grid_cells=2))
    unlabelled = cells["localization"].isna().to_numpy()[trials["cell"]]
    for name, pool in (("different", 40), ("cell_free", 3)):
        here = trials[unlabelled & (trials["condition"] == name)]
        classes = here["donor_localization"].astype(object).value_counts()
        assert len(classes) == 4
        assert spread(classes) > 1e-3
        for _, some in here.groupby("donor_localization"):
            counts = np.zeros(pool)
            many = some["donor"].value_counts()
            counts[: len(many)] = many
            assert spread(counts) > 1e-3


def test_repeats_meet_other_donors_of_the_same_class(cells):
    trials = whole(make_plan(cells, repeats=6, grid_cells=4))
    for name in ("different", "cell_free"):
        here = trials[trials["condition"] == name]
        several = here.groupby(["cell", "donor_localization"])["donor"].nunique()
        many = here.groupby(["cell", "donor_localization"]).size()
        # Six draws from at least three donors: one donor alone is rare.
        assert (several[many == 6] > 1).mean() > 0.9


# Folds and donors


TENS = {f"{name}-{i}": [name] for name in CLASSES[:3] for i in range(10)}
TENS = {**TENS, "lone": ["vacuole"], "mixed": ["actin", "ER"], "mystery": []}


def fold_of(plan, cells):
    """The fold of every protein, by looking at all its cells."""
    found = {}
    for name, fold in zip(cells["protein"], plan.folds.fold, strict=True):
        assert found.setdefault(name, int(fold)) == fold, "a protein is in one fold"
    return found


def naive_seen(plan, cells, windows, trial):
    """Whether the probe that is tested on a trial was fitted on a crop of the donor's protein."""
    table = windows if trial.condition == "cell_free" else cells
    protein = table["protein"][trial.donor]
    learned = [
        row
        for row in plan.rows[plan.grid]
        if cells["protein"][row] == protein
        and plan.folds.fold[row] != plan.folds.fold[trial.cell]
        and plan.localizations.index(cells["localization"][row]) in plan.folds.testable()
    ]
    return bool(learned)


def test_donors_come_from_the_cells_own_fold_and_no_probe_has_seen_them():
    cells, usable = cells_table(TENS, per_protein=3), None
    windows = windows_table(CLASSES[:3], population=TENS)
    more = [windows_table(CLASSES[:3], population={k: v for k, v in TENS.items() if k[-1] == i})
            for i in "123456789"]  # fmt: skip
    windows = pd.concat([windows, *more], ignore_index=True)
    plan = make_plan(cells, usable, windows, grid_cells=100, folds=5)
    fold, trials = fold_of(plan, cells), whole(plan)
    assert plan.folds.number == 5
    for name in CLASSES[:3]:
        assert sorted(fold[f"{name}-{i}"] for i in range(10)) == sorted([*range(5)] * 2)
    borrowed = trials[trials["donor"] >= 0]
    assert set(borrowed["condition"]) == {"same", "same_protein", "different", "cell_free"}
    for trial in borrowed.itertuples():
        table = windows if trial.condition == "cell_free" else cells
        there = fold[table["protein"][trial.donor]]
        alone = trial.donor_localization == "vacuole"  # its one protein is in one fold
        assert there == fold[cells["protein"][trial.cell]] or alone
        assert not trial.donor_seen
        assert not naive_seen(plan, cells, windows, trial)
    assert trials.loc[trials["donor"] < 0, "donor_seen"].isna().all()


@pytest.mark.parametrize(("scheme", "donors"), [("grouped", "any"), ("paper", "any"),
                                               ("paper", "fold"), ("grouped", "fold")])  # fmt: skip
def test_donor_seen_is_what_looking_at_every_training_crop_finds(cells, usable, scheme, donors):
    windows = windows_table()
    plan = make_plan(cells, usable, windows, fold_scheme=scheme, donors=donors, folds=2)
    trials = whole(plan)
    borrowed = trials[trials["donor"] >= 0]
    for trial in borrowed.itertuples():
        assert trial.donor_seen == naive_seen(plan, cells, windows, trial)
    if (scheme, donors) == ("grouped", "any"):
        assert 0.2 < borrowed["donor_seen"].mean() < 0.8
    if (scheme, donors) == ("grouped", "fold"):
        seen = borrowed[borrowed["donor_seen"].astype(bool)]
        # Three proteins of a class in two folds: where one is alone, its kin are elsewhere.
        assert set(seen["condition"]) <= {"same", "cell_free"}
        assert (seen["condition"] == "same").sum() > 0


def test_donors_of_the_same_protein_are_from_another_field_where_there_is_one():
    cells = cells_table({"a": ["actin"], "b": ["ER"]}, per_protein=6)
    cells.loc[cells["protein"] == "b", "field"] = "b/0"
    plan = make_plan(cells, windows=windows_table([], population={}), repeats=300, folds=2)
    trials = whole(plan)
    kin = trials[trials["condition"] == "same_protein"]
    field = cells["field"].to_numpy()
    of_a = kin[cells["protein"].to_numpy()[kin["cell"]] == "a"]
    assert (field[of_a["cell"]] != field[of_a["donor"]]).all()
    of_b = kin.drop(of_a.index)
    assert (of_b["cell"] != of_b["donor"]).all()
    for _, some in kin.groupby("cell"):
        counts = some["donor"].value_counts()
        assert len(counts) == (3 if some["cell"].iloc[0] in set(of_a["cell"]) else 5)
        # A field's own cell is passed over by taking the last for it, which comes twice as often.
        assert counts.max() <= 3 * counts.min()


def test_a_protein_with_one_cell_has_no_donor_of_its_own():
    cells = cells_table({"a": ["actin"], "b": ["ER"]}, per_protein=1)
    plan = make_plan(cells, windows=windows_table([], population={}), folds=2)
    reasons = {r["reason"]: r["count"] for r in plan.rejections}
    assert reasons["same_protein: no other cell of the protein"] == 2


# What cannot be planned


def test_a_class_with_one_protein_is_rejected_and_counted(cells):
    plan = make_plan(cells)
    reasons = {r["reason"]: r for r in plan.rejections}
    lone = reasons["same: no other protein of the same localization"]
    assert lone["count"] == 4
    assert lone["examples"] == ["lone"]
    trials = whole(plan)
    same = trials[trials["condition"] == "same"]
    assert "lone" not in set(cells["protein"].to_numpy()[same["cell"]])


def test_unlabelled_cells_have_every_condition_but_same(cells):
    plan = make_plan(cells)
    reasons = {r["reason"]: r for r in plan.rejections}
    assert reasons["same: no label"]["count"] == 4
    assert reasons["same: no label"]["examples"] == ["mystery"]
    trials = whole(plan)
    here = trials[cells["protein"].to_numpy()[trials["cell"]] == "mystery"]
    assert set(here["condition"]) == set(map(str, COMPOSED)) - {"same"}
    kin = here[here["condition"] == "same_protein"]
    assert set(cells["protein"].to_numpy()[kin["donor"]]) == {"mystery"}
    assert not plan.grid[np.isin(plan.rows, here["cell"])].any()


def test_cells_of_two_localizations_stand_on_neither_as_different(cells):
    trials = whole(make_plan(cells, repeats=50))
    here = trials[cells["protein"].to_numpy()[trials["cell"]] == "mixed"]
    by = {name: set(some["donor_localization"]) for name, some in here.groupby("condition")}
    assert by["same"] == {"actin", "ER"}
    assert by["different"] == {"Golgi", "nucleus", "vacuole"}
    assert by["cell_free"] == {"Golgi", "nucleus"}


def test_without_windows_cell_free_is_rejected_and_counted(cells):
    plan = make_plan(cells, windows=windows_table([], population={}).iloc[:0])
    reasons = {r["reason"]: r["count"] for r in plan.rejections}
    assert reasons["cell_free: no donor of another localization"] == len(cells)
    assert plan.counts[Condition.CELL_FREE] == 0


def test_no_usable_cell_is_refused(cells):
    with pytest.raises(InputError, match=r"None of the 60 cells is usable.*check STORE"):
        make_plan(cells, np.zeros(len(cells), bool))


# Splits


def test_a_split_keeps_cells_donors_and_windows_to_itself(cells):
    windows = windows_table()
    plan = make_plan(cells, windows=windows, split="test")
    trials = whole(plan)
    test = (cells["split"] == "test").to_numpy()
    assert set(plan.rows) == set(np.flatnonzero(test))
    donors = trials[trials["condition"].isin(["same", "different"])]["donor"]
    assert test[donors].all()
    free = trials[trials["condition"] == "cell_free"]["donor"]
    assert set(windows["field"].to_numpy()[free]) <= set(cells["field"][test])
    left = next(r for r in plan.rejections if r["reason"] == "not of the split 'test'")
    assert left["count"] == (~test).sum()


def test_an_unknown_split_names_those_there_are(cells):
    with pytest.raises(UsageError, match=r"Unknown split 'tset'.*'test'.*Allowed: test, train"):
        make_plan(cells, split="tset")


# Configuration


def test_an_unknown_condition_lists_the_allowed_ones():
    with pytest.raises(UsageError) as caught:
        PlanConfig(conditions=("same", "diferent"))
    assert "'diferent'" in str(caught.value)
    assert "Did you mean 'different'" in str(caught.value)
    assert all(name in caught.value.remedy for name in CONDITIONS)


def test_conflicting_needs_different():
    with pytest.raises(UsageError, match=r"conflicting.*different"):
        PlanConfig(conditions=("conflicting", "same"))


def test_conditions_are_put_in_order_and_unaltered_is_always_there():
    config = PlanConfig(conditions=("conflicting", "different", "same"))
    assert config.conditions == ("unaltered", "same", "different", "conflicting")
    assert config.composed == (Condition.UNALTERED, Condition.SAME, Condition.DIFFERENT)


def test_only_chosen_conditions_are_planned(cells):
    trials = whole(make_plan(cells, conditions=("masked", "sham")))
    assert set(trials["condition"]) == {"unaltered", "masked", "sham"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("repeats", 0),
        ("repeats", 1001),
        ("grid_cells", 1),
        ("backgrounds", 0),
        ("folds", 1),
    ],
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(UsageError, match=f"{name} is {value}; it must lie between"):
        PlanConfig(**{name: value})


def test_unknown_ways_to_deal_and_to_draw_name_those_there_are():
    with pytest.raises(UsageError, match=r"'group'.*Did you mean 'grouped'.*paper"):
        PlanConfig(fold_scheme="group")
    with pytest.raises(UsageError, match=r"'folds'.*Did you mean 'fold'.*any"):
        PlanConfig(donors="folds")


def test_more_trials_than_can_be_numbered_are_refused(cells, monkeypatch):
    monkeypatch.setattr(plan_module, "MOST_TRIALS", 8)
    assert len(whole(make_plan(cells, repeats=2, grid_cells=100)))
    with pytest.raises(UsageError, match=r"repeats is 3: .* 12 trials of 'different'.*--repeats 2"):
        make_plan(cells, repeats=3, grid_cells=100)


def test_a_plan_counted_in_parts_is_the_same(cells, monkeypatch):
    expected = make_plan(cells, repeats=2)
    monkeypatch.setattr(plan_module, "CELLS_AT_A_TIME", 3)
    found = make_plan(cells, repeats=2)
    assert found.counts == expected.counts
    assert found.rejections == expected.rejections
    pd.testing.assert_frame_equal(whole(found), whole(expected))


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (3, 9), (5, 5 + 7)])
def test_the_span_of_some_cells_is_that_of_their_trials(cells, start, stop):
    plan = make_plan(cells)
    trials = plan.trials(start, stop)["trial"]
    assert plan.span(start, stop) == (trials.iloc[0], trials.iloc[-1])
