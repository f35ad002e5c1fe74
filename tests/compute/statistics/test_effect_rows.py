"""Rows of accuracies and effects: counts, tests and their adjustment."""

import numpy as np
import pandas as pd
import pytest

from compute.statistics.bootstrap import BootstrapConfig, Resampling
from compute.statistics.effect_rows import adjust, effect_rows
from compute.statistics.effects import Tallies

NAMES = ["actin", "ER", "Golgi"]
CONFIG = BootstrapConfig(200, 200, 0, margin=0.1)


def rows_of(correct, n, classes, conditions):
    some = Tallies(correct, n, classes, n[..., 0].astype(int), np.arange(len(classes)).astype(str))
    drawn = Resampling(classes, len(NAMES), CONFIG.draws, CONFIG.seed)
    return effect_rows(some, conditions, NAMES, drawn, CONFIG)


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
            "p_value": [0.01, 0.02, np.nan, 0.03],
            "p_equivalence": [0.3, np.nan, 0.2, 0.04],
        }
    )
    found = adjust(frame)
    assert np.array_equal(found["p_holm"], [0.02, 0.02, np.nan, 0.03], equal_nan=True)
    assert np.array_equal(found["p_equivalence_holm"], [0.4, np.nan, 0.4, 0.04], equal_nan=True)
