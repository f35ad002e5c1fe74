"""Differences of two models against plain loops; their donors are the same."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from compute.schema import Quantity
from compute.statistics.bootstrap import BootstrapConfig, Resampling, resample
from compute.statistics.donors import (
    DonorInfluence,
    DonorPart,
    DonorSums,
    pair_influence,
    side_by_side,
)
from compute.statistics.effects import Tallies, accuracies
from compute.statistics.joint_answers import Answered, quantities, together
from compute.statistics.joint_donors import joint_part
from compute.statistics.model_differences import adjust_differences, model_difference_rows
from compute.statistics.sketch import BUCKETS, add_to_sketch
from tests.compute.statistics.test_donors import CLASSES, K, draw, influences, naive_component

NAMES = [f"class {k}" for k in range(K)]
CONDITIONS = ["unaltered", "same", "different"]
CONFIG = BootstrapConfig(draws=200, flips=200)


def answered(seed, width=1, units=CLASSES, conditions=CONDITIONS, gaps=True, donors=None):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 9, (len(conditions), len(units), width)).astype(float)
    if gaps:
        n[rng.random(n.shape) < 0.15] = 0
    if width > 1:
        n[:, np.arange(len(units)), units] = 0
    correct = rng.binomial(n.astype(int), 0.7).astype(float)
    names = np.array([f"protein {u}" for u in range(len(units))])
    return Answered(
        Tallies(correct, n, units, n.max(2).astype(int), names), list(conditions), donors
    )


def resampling(classes):
    return Resampling(classes, K, CONFIG.draws, CONFIG.seed)


def naive(first, second, weights, w):
    """One model's accuracies minus the other's, over the tests that all of them have."""
    sides = [(each.tallies, each.tested) for each in (first, second)]
    there = np.ones(sides[0][0].n.shape[1:], bool)
    for tallies, tested in sides:
        for name in weights:
            there &= tallies.n[tested.index(name)] > 0
    total = 0.0
    for sign, (tallies, tested) in zip((1, -1), sides, strict=True):
        for name, weight in weights.items():
            m = tested.index(name)
            one = Tallies(
                (tallies.correct[m] * there)[None], (tallies.n[m] * there)[None],
                tallies.classes, tallies.n_cells[[m]], tallies.protein,
            )  # fmt: skip
            total += sign * weight * accuracies(one, w[None], K).overall[0, 0]
    return total


@pytest.mark.parametrize("width", [1, K])
def test_every_difference_equals_a_plain_loop_and_so_does_its_spread(width):
    models = {"a": answered(1, width), "b": answered(2, width)}
    rows = model_difference_rows(models, NAMES, resampling, CONFIG)
    wanted = {(q, c): w for q, c, w in quantities(CONDITIONS)}
    assert {(r["quantity"], r["condition"]) for r in rows} == set(wanted)
    weights = resample(CLASSES, CONFIG.draws, CONFIG.seed)
    for row in rows:
        of = wanted[row["quantity"], row["condition"]]
        point = naive(*models.values(), of, np.ones(len(CLASSES)))
        assert row["estimate"] == pytest.approx(point)
        drawn = np.array([naive(*models.values(), of, w) for w in weights])
        drawn = drawn[np.isfinite(drawn)]
        half = (row["ci_high"] - row["ci_low"]) / 2
        # The t quantile lies between those of all units less classes and of 1.
        assert 1.96 * np.std(drawn) < half < 12.8 * np.std(drawn)
        assert (row["ci_low"] + row["ci_high"]) / 2 == pytest.approx(point)
        assert 0 < row["p_value"] <= 1


def test_a_model_does_not_differ_from_itself():
    one = answered(3, K)
    for row in model_difference_rows({"a": one, "b": one}, NAMES, resampling, CONFIG):
        assert (row["estimate"], row["ci_low"], row["ci_high"]) == (0, 0, 0)
        assert row["p_value"] == 1


def test_the_other_way_round_only_the_sign_changes():
    first, second = answered(4, K), answered(5, K)
    there = model_difference_rows({"a": first, "b": second}, NAMES, resampling, CONFIG)
    back = model_difference_rows({"b": second, "a": first}, NAMES, resampling, CONFIG)
    for one, other in zip(there, back, strict=True):
        assert one["estimate"] == pytest.approx(-other["estimate"])
        assert one["ci_low"] == pytest.approx(-other["ci_high"])
        assert one["p_value"] == other["p_value"]
        assert one["n_cells"] == other["n_cells"]


def test_three_models_are_three_pairs_and_a_condition_that_one_lacks_is_not_compared():
    models = {
        "a": answered(1), "b": answered(2, conditions=CONDITIONS[:2]), "c": answered(3),
    }  # fmt: skip
    rows = pd.DataFrame(model_difference_rows(models, NAMES, resampling, CONFIG))
    assert set(zip(rows["model"], rows["other"], strict=True)) == {
        ("a", "b"), ("a", "c"), ("b", "c"),
    }  # fmt: skip
    with_b = rows[(rows["model"] == "b") | (rows["other"] == "b")]
    assert set(with_b["condition"]) == {"unaltered", "same"}


def test_holm_is_over_pairs_and_conditions_without_controls():
    conditions = ["unaltered", "same", "sham", "different", "background_only"]
    models = {name: answered(i, conditions=conditions, gaps=False) for i, name in enumerate("abc")}
    rows = pd.DataFrame(model_difference_rows(models, NAMES, resampling, CONFIG))
    found = adjust_differences(rows.assign(probe="pair", protocol="refit"))
    control = found["condition"].isin(["sham", "background_only"])
    assert found["p_holm"].isna().equals(control)
    for quantity, many in ((Quantity.ACCURACY, 9), (Quantity.DROP, 6), (Quantity.GAP, 3)):
        some = found[(found["quantity"] == quantity) & ~control]
        assert len(some) == many
        expected = multipletests(some["p_value"], method="holm")[1]
        assert np.allclose(some["p_holm"], expected)


def test_units_are_those_that_both_models_have():
    first, second = answered(1).tallies, answered(2).tallies
    keep = np.array([u for u in range(len(CLASSES)) if u != 3])[::-1]
    fewer = Tallies(
        second.correct[:, keep], second.n[:, keep], second.classes[keep],
        second.n_cells[:, keep], second.protein[keep],
    )  # fmt: skip
    both = together(first, fewer)
    assert both.protein.tolist() == [p for p in first.protein if p != "protein 3"]
    rest = np.sort(keep)
    assert np.array_equal(both.correct, np.concatenate([first.correct, second.correct])[:, rest])
    # Cells of a protein are matched by their order; where their number differs, by nothing.
    cells = Tallies(
        second.correct, second.n, np.zeros(12, int), second.n_cells, np.repeat(["p", "q"], 6)
    )
    same = together(cells, cells)
    assert np.array_equal(same.correct[:3], same.correct[3:])
    longer = Tallies(
        cells.correct, cells.n, cells.classes, cells.n_cells, np.repeat(["p", "q"], [5, 7])
    )
    assert len(together(cells, longer).classes) == 0


# Donors


def difference_part(first, second, weights):
    return joint_part((first, weights[0]), (second, -weights[1]))


def multiclass(answers, value):
    sums = DonorSums.empty(CLASSES, K, 1)
    sums.add(answers.unit, answers.own, answers.donor, answers.weight, value[:, None])
    return sums.influence()


def pairs(answers, value):
    asked = np.zeros((K, K))
    np.add.at(asked, (answers.own, answers.other), 1)
    return pair_influence(
        asked, answers.own, answers.other, answers.unit, answers.donor, value[:, None], CLASSES
    )


@pytest.mark.parametrize("of", [multiclass, pairs])
def test_the_part_of_a_difference_equals_that_of_the_differences_of_answers(of):
    """Two models' answers to the same trials: subtracted answer by answer, or in sums."""
    away = []
    for seed in range(150):
        answers = draw(seed)
        first, second = answers.values.T.astype(float)
        found = difference_part(of(answers, first), of(answers, second), (np.ones(1), np.ones(1)))
        expected = of(answers, first - second).component(np.ones(1), 0)
        scale = of(answers, first).component(np.ones(1), 0).variance
        scale += float((of(answers, first).moved[:, 0, 0] ** 2).sum())
        away.append((found.variance - expected.variance) / scale)
    # Collisions in the sketch are chance: a hundred pairs on thousands of buckets.
    assert abs(np.mean(away)) <= 0.005
    assert np.quantile(np.abs(away), 0.95) <= 0.02
    assert np.abs(away).max() <= 0.25


def test_the_part_of_a_difference_equals_a_loop_over_pairs_of_answers():
    answers = draw(8)
    cells = np.bincount(answers.own, answers.weight, K)
    strata = list(zip(answers.own.tolist(), CLASSES[answers.donor].tolist(), strict=True))
    answers_minus = np.array([1.0, -1.0])
    part = influences(answers, 0, answers_minus, strata, lambda i, _: 1 / cells[answers.own[i]] / K)
    sides = [multiclass(answers, v.astype(float)) for v in answers.values.T]
    found = difference_part(*sides, (np.ones(1), np.ones(1)))
    assert found.variance == pytest.approx(max(naive_component(answers, part), 0), rel=0.03)


def test_what_donors_do_to_both_models_cancels():
    answers = draw(9)
    value = answers.values[:, 0].astype(float)
    one = side_by_side([None, multiclass(answers, value)], K)
    assert difference_part(one, one, (np.array([0, 1.0]), np.array([0, 1.0]))) == DonorPart()
    alone = one.component(np.array([0, 1.0]), 0)
    other = difference_part(one, None, (np.array([0, 1.0]), np.zeros(2)))
    assert other.variance == pytest.approx(alone.variance)
    assert difference_part(None, None, (np.ones(1), np.ones(1))) == DonorPart()


def test_without_sketches_the_longest_interval_is_taken():
    answers = draw(9)
    sides = [multiclass(answers, v.astype(float)) for v in answers.values.T]
    bare = [DonorInfluence(each.moved, each.within, each.classes) for each in sides]
    weights = np.ones(1), np.ones(1)
    assert difference_part(*bare, weights).variance > difference_part(*sides, weights).variance


def test_donor_units_of_two_models_are_matched_by_their_numbers():
    first, second = draw(10), draw(11)
    second.donor[second.donor == 4] = 5  # so that one unit is not used by the second model
    sides = [
        side_by_side([multiclass(each, each.values[:, 0].astype(float))], K)
        for each in (first, second)
    ]
    assert [4 in side.numbers for side in sides] == [True, False]
    moved = np.zeros(len(CLASSES))
    for side, sign in zip(sides, (1, -1), strict=True):
        for number, value in zip(side.numbers, side.moved[:, 0, 0], strict=True):
            moved[number] += sign * value
    within = sum(side.within[0, 0, 0] for side in sides)
    within -= 2 * float(sides[0].sketch[:, 0] @ sides[1].sketch[:, 0])
    found = difference_part(*sides, (np.ones(1), np.ones(1)))
    assert found.variance == pytest.approx(max(moved @ moved - within, 0))


def test_products_of_sketches_are_sums_of_products():
    rng, n = np.random.default_rng(0), 200_000
    keys = np.arange(n), rng.integers(0, 50, n)
    values = rng.standard_normal((n, 2)) + np.array([0.5, 0.5])
    sketches = []
    for column in values.T:
        sketch = np.zeros((1, BUCKETS, 1))
        half = n // 3  # in two pieces
        for some in (slice(0, half), slice(half, n)):
            part = np.zeros(len(keys[0][some]), int)
            add_to_sketch(sketch, part, (keys[0][some], keys[1][some]), column[some, None])
        sketches.append(sketch.ravel())
    exact = float(values[:, 0] @ values[:, 1])
    size = float(np.sqrt((values[:, 0] ** 2).sum() * (values[:, 1] ** 2).sum()))
    error = np.sqrt(2 / BUCKETS)
    assert sketches[0] @ sketches[1] == pytest.approx(exact, abs=4 * error * size)
