"""Rows of accuracies and effects: counts, tests and their adjustment."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from compute.schema import CLAIMED, CONDITIONS
from compute.statistics.bootstrap import BootstrapConfig, Resampling, effective_freedom
from compute.statistics.effect_rows import adjust, effect_rows
from compute.statistics.effects import Tallies, drawn_accuracies, influence

NAMES = ["actin", "ER", "Golgi"]
CONFIG = BootstrapConfig(200, 200, 0, margin=0.1)


def rows_of(correct, n, classes, conditions, config=CONFIG):
    some = Tallies(correct, n, classes, n[..., 0].astype(int), np.arange(len(classes)).astype(str))
    drawn = Resampling(classes, len(NAMES), CONFIG.draws, CONFIG.seed)
    return effect_rows(some, conditions, NAMES, drawn, config)


def test_counts_are_of_the_units_that_answered_under_the_condition():
    n = np.array([[4.0, 4, 4, 4], [4, 0, 4, 4]])[..., None]
    accuracy, effects = rows_of(n / 2, n, np.array([0, 0, 1, 1]), ["unaltered", "same"])
    counts = {
        (row["condition"], row["localization"]): (row["n_cells"], row["n_proteins"])
        for row in accuracy
    }
    assert counts["unaltered", None] == (16, 4)
    assert counts["same", None] == (12, 3)
    assert counts["same", "actin"] == (4, 1)
    assert counts["same", "ER"] == (8, 2)
    (drop,) = [row for row in effects if row["scope"] == "overall"]
    assert (drop["n_cells"], drop["n_proteins"]) == (12, 3)


def test_only_overall_effects_are_tested_against_the_margin():
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], 6)
    n = np.full((2, 18, 1), 40.0)
    correct = rng.binomial(40, 0.8, (2, 18, 1)).astype(float)
    correct[1] = np.maximum(correct[0] - 20, 0)
    _, effects = rows_of(correct, n, classes, ["unaltered", "different"])
    for row in effects:
        assert ("p_equivalence" in row) == (row["scope"] == "overall")
    (drop,) = [row for row in effects if row["scope"] == "overall"]
    assert drop["margin"] == 0.1
    assert drop["p_equivalence"] > 0.99
    assert drop["p_value"] < 0.05
    correct[1] = correct[0]
    _, effects = rows_of(correct, n, classes, ["unaltered", "different"])
    (drop,) = [row for row in effects if row["scope"] == "overall"]
    assert drop["p_equivalence"] < 1e-6
    assert drop["p_value"] == 1


def test_shares_have_their_own_interval_and_drops_another():
    n = np.full((2, 12, 1), 10.0)
    correct = np.stack([n[0], np.repeat([[8.0], [10]], 6, 0)])
    accuracy, effects = rows_of(correct, n, np.repeat([0, 1], 6), ["unaltered", "same"])
    for row in accuracy:
        assert 0 <= row["ci_low"] < row["estimate"] <= row["ci_high"] <= 1
    (drop,) = [row for row in effects if row["localization"] == "actin"]
    assert (drop["estimate"], drop["ci_low"], drop["ci_high"]) == pytest.approx((0.2, 0.2, 0.2))


def test_both_tests_are_adjusted_within_probe_protocol_and_effect():
    frame = pd.DataFrame(
        {
            "probe": ["pair"] * 3 + ["multiclass"],
            "protocol": "refit",
            "effect": "drop",
            "condition": "different",
            "p_value": [0.01, 0.02, np.nan, 0.03],
            "p_equivalence": [0.3, np.nan, 0.2, 0.04],
        }
    )
    found = adjust(frame)
    assert np.array_equal(found["p_holm"], [0.02, 0.02, np.nan, 0.03], equal_nan=True)
    assert np.array_equal(found["p_equivalence_holm"], [0.4, np.nan, 0.4, 0.04], equal_nan=True)


def test_controls_are_in_no_family():
    """A sham swap whose p is small neither gets an adjusted p nor makes the others' larger."""
    conditions = [str(c) for c in CONDITIONS if c != "unaltered"]
    frame = pd.DataFrame(
        {
            "probe": "pair", "protocol": "refit", "effect": "drop", "condition": conditions,
            "p_value": 0.004, "p_equivalence": 0.004, "p_equivalence_odds": 0.004,
        }
    )  # fmt: skip
    found = adjust(frame).set_index("condition")
    controls = ["sham", "background_only"]
    claimed = [name for name in conditions if name not in controls]
    assert sorted(map(str, CLAIMED)) == sorted(claimed)
    for column in ("p_holm", "p_equivalence_holm", "p_equivalence_odds_holm"):
        assert found.loc[controls, column].isna().all()
        assert np.allclose(found.loc[claimed, column], 0.004 * len(claimed))


def answers(seed, models=2, classes=3, proteins=8, conditions=("unaltered", "sham", "different")):
    rng = np.random.default_rng(seed)
    own = np.repeat(np.arange(classes), proteins)
    n = np.full((len(conditions), len(own), 1), 12.0)
    return own, [rng.binomial(12, 0.8, n.shape).astype(float) for _ in range(models)], n


def test_only_effects_that_the_headline_may_name_have_simultaneous_intervals():
    conditions = ["unaltered", "same", "different", "sham", "alone"]
    own, drawn, n = answers(4, conditions=conditions)
    rows = []
    for model, correct in enumerate(drawn):
        _, some = rows_of(correct, n, own, conditions)
        rows += [{"model": model, "probe": "pair", "protocol": "refit", **row} for row in some]
    found = adjust(pd.DataFrame(rows))
    assert "drawn" not in found
    there = found[found["simultaneous_low"].notna()]
    assert set(zip(there["effect"], there["condition"], strict=True)) == {
        ("drop", "same"), ("drop", "different"), ("gap", "different"),
    }  # fmt: skip
    assert set(there["scope"]) == {"overall"}
    assert len(there) == 2 * 3
    assert (there["simultaneous_low"] <= there["ci_low"]).all()
    assert (there["simultaneous_high"] >= there["ci_high"]).all()
    assert (
        (there["simultaneous_high"] - there["simultaneous_low"])
        .gt(there["ci_high"] - there["ci_low"])
        .all()
    )


def test_the_odds_margin_is_there_where_it_is_asked_for():
    conditions = ["unaltered", "different"]
    own, (correct,), n = answers(5, models=1, conditions=conditions)
    _, plain = rows_of(correct, n, own, conditions)
    assert not any("margin_odds" in row for row in plain)
    _, asked = rows_of(correct, n, own, conditions, replace(CONFIG, margin_odds=1.5))
    (drop,) = [row for row in asked if row["scope"] == "overall"]
    assert drop["margin_odds"] == 1.5
    # The same by hand: the second accuracy against both that the first one's odds would give.
    drawn = Resampling(own, len(NAMES), CONFIG.draws, CONFIG.seed)
    some = Tallies(correct, n, own, n[..., 0].astype(int), np.arange(len(own)).astype(str))
    point, draws = drawn_accuracies(some, drawn)
    first, second = point.overall[0]
    moved = influence(some, len(NAMES))[..., 0]
    sides = []
    for odds, side in ((first / (1 - first) / 1.5, 1), (first / (1 - first) * 1.5, -1)):
        bound = odds / (1 + odds)
        slope = bound * (1 - bound) / (first * (1 - first))
        sd = (draws.overall[:, 1] - slope * draws.overall[:, 0]).std()
        free = effective_freedom(moved[1] - slope * moved[0], own)
        sides.append(stats.t.sf(side * (second - bound) / sd, free))
    assert drop["p_equivalence_odds"] == pytest.approx(max(sides))


def test_near_the_ceiling_two_points_are_small_and_their_odds_are_not():
    own, n = np.repeat([0, 1, 2], 10), np.full((2, 30, 1), 500.0)
    correct = np.stack([np.full((30, 1), 496.0), np.tile([[489.0], [488], [490]], (10, 1))])
    margins = replace(CONFIG, margin=0.02, margin_odds=1.25)
    _, rows = rows_of(correct, n, own, ["unaltered", "different"], margins)
    (drop,) = [row for row in rows if row["scope"] == "overall"]
    assert drop["p_equivalence"] < 0.001
    assert drop["p_equivalence_odds"] > 0.99
    # Where every answer is right, no change of odds can be excluded.
    _, rows = rows_of(n.copy(), n, own, ["unaltered", "different"], margins)
    (drop,) = [row for row in rows if row["scope"] == "overall"]
    assert drop["p_equivalence_odds"] == 1
    # Where no answer differs and some are wrong, p is how likely that would be at the margin.
    correct[1] = correct[0]
    _, rows = rows_of(correct, n, own, ["unaltered", "different"], margins)
    (drop,) = [row for row in rows if row["scope"] == "overall"]
    lower = 0.992 / 0.008 / 1.25
    upper = 0.992 / 0.008 * 1.25
    off = min(0.992 - lower / (1 + lower), upper / (1 + upper) - 0.992)
    assert drop["p_equivalence_odds"] == pytest.approx((1 - off) ** 15_000)
