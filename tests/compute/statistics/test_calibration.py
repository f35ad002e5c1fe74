"""Calibrated answers look calibrated, others do not; the temperature that was applied is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from compute.statistics.bootstrap import Resampling
from compute.statistics.calibration import (
    BINS,
    COOLEST,
    HOTTEST,
    CalibrationSums,
    bins,
    calibration_rows,
    fit_temperature,
    heat,
    reliability_rows,
)
from compute.statistics.resampling_units import make_units


def calibrated(seed, n=6000, k=5, sharpness=2.0):
    """Draw probabilities, and right answers from those very probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, sharpness, (n, k))
    probabilities = softmax(logits, axis=1)
    own = (rng.random(n)[:, None] > probabilities.cumsum(1)).sum(1).clip(0, k - 1)
    return probabilities, own


def measured(probabilities, own, temperature=1.0, proteins=30):
    """Both measures, by name, of one trial per cell."""
    n = len(own)
    protein = (np.arange(n) % proteins).astype(np.int32)
    units = make_units(np.zeros(n, int), protein, np.array([0]), True, 1)
    sums = CalibrationSums.empty(temperature, units.count)
    for half in np.array_split(np.arange(n), 2):
        sums.add(probabilities[half], own[half], half, np.ones(len(half)), units.of[half])
    cells = np.bincount(units.of).astype(float)
    rows = calibration_rows(sums, cells, units, Resampling(units.classes, 1, 200, 0))
    return {row["measure"]: row for row in rows}, sums


def test_answers_drawn_from_their_probabilities_are_calibrated():
    found, _ = measured(*calibrated(0))
    assert found["ece"]["estimate"] < 0.02
    assert found["ece"]["n_cells"] == 6000
    assert found["ece"]["n_proteins"] == 30
    probabilities, _ = calibrated(0)
    expected = 1 - (probabilities**2).sum(1)  # the mean Brier score of calibrated answers
    assert found["brier"]["estimate"] == pytest.approx(expected.mean(), abs=0.02)


def test_the_error_that_chance_alone_shows_is_not_held_against_a_probe():
    lows = []
    for seed in range(40):
        found, _ = measured(*calibrated(seed, n=300))
        ece = found["ece"]
        assert 0 <= ece["ci_low"] <= ece["estimate"] <= ece["ci_high"]
        assert ece["estimate"] > 0.01
        lows.append(ece["ci_low"])
    assert np.mean(np.array(lows) < 0.01) > 0.9


def test_too_sure_answers_are_not_and_the_temperature_mends_them():
    probabilities, own = calibrated(1)
    sure = heat(probabilities, 0.4)
    before, _ = measured(sure, own)
    temperature = fit_temperature(sure, own)
    after, _ = measured(sure, own, temperature)
    assert temperature == pytest.approx(1 / 0.4, rel=0.06)
    assert before["ece"]["estimate"] > 0.1
    assert before["ece"]["ci_low"] > 0.05
    assert after["ece"]["estimate"] < 0.02
    assert after["brier"]["estimate"] < before["brier"]["estimate"]
    assert after["ece"]["temperature"] == temperature


@pytest.mark.parametrize("applied", [0.5, 1.0, 3.0])
def test_the_temperature_is_recovered(applied):
    probabilities, own = calibrated(2, n=20_000)
    found = fit_temperature(heat(probabilities, 1 / applied), own)
    assert found == pytest.approx(applied, rel=0.04)
    assert found != 1


def test_a_temperature_stays_in_its_range_and_is_never_one():
    probabilities = softmax(np.random.default_rng(0).normal(size=(50, 3)), axis=1)
    assert fit_temperature(probabilities, probabilities.argmax(1)) == pytest.approx(
        COOLEST, rel=0.01
    )
    assert fit_temperature(probabilities, probabilities.argmin(1)) == pytest.approx(
        HOTTEST, rel=0.01
    )
    none = fit_temperature(probabilities[:0], np.zeros(0, int))
    assert none != 1
    assert none == pytest.approx(1)


def test_impossible_answers_do_not_break_the_fit():
    probabilities = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0, 0.2, 0.8]])
    found = fit_temperature(probabilities, np.array([1, 0, 2]))
    assert COOLEST <= found <= HOTTEST * 1.001


@given(st.integers(0, 2**32), st.floats(0.05, 20))
def test_heat_keeps_the_order_and_the_sum(seed, temperature):
    probabilities = softmax(np.random.default_rng(seed).normal(0, 3, (4, 5)), axis=1)
    probabilities[0, 2] = 0
    probabilities /= probabilities.sum(1, keepdims=True)
    heated = heat(probabilities, temperature)
    assert np.allclose(heated.sum(1), 1)
    assert heated[0, 2] == 0
    assert (heated.argmax(1) == probabilities.argmax(1)).all()
    if temperature > 1:
        assert (heated.max(1) <= probabilities.max(1) + 1e-12).all()
    logits = np.log(np.maximum(probabilities[1:], 1e-300)) / temperature
    assert np.allclose(heated[1:], softmax(logits, axis=1))


def test_bins_have_their_upper_edge():
    assert bins(np.array([0.0, 1 / BINS, 1 / BINS + 1e-9, 0.5, 1.0])).tolist() == [0, 0, 1, 7, 14]


def test_the_diagram_counts_trials_and_cells():
    """Two cells: one of three trials, one of a single trial."""
    units = make_units(np.zeros(2, int), np.arange(2, dtype=np.int32), np.array([0]), True, 1)
    sums = CalibrationSums.empty(1.0, 2)
    probabilities = np.array([[0.9, 0.1], [0.92, 0.08], [0.4, 0.6], [0.05, 0.95]])
    position, weight = np.array([0, 0, 0, 1]), np.array([1 / 3, 1 / 3, 1 / 3, 1])
    sums.add(probabilities, np.zeros(4, int), position, weight, units.of[position])
    rows = reliability_rows(sums)
    assert len(rows) == BINS
    filled = {row["bin"]: row for row in rows if row["n"]}
    assert {b: (row["n"], row["n_cells"]) for b, row in filled.items()} == {
        8: (1, 1), 13: (2, 1), 14: (1, 1),
    }  # fmt: skip
    assert filled[13]["confidence"] == pytest.approx(0.91)
    assert filled[13]["accuracy"] == 1
    assert filled[14]["accuracy"] == 0
    assert np.isnan(rows[0]["confidence"])
    rows = calibration_rows(sums, np.ones(2), units, Resampling(units.classes, 1, 100, 0))
    ece = (0.6 / 3 + 2 * 0.09 / 3 + 0.95) / 2
    assert next(rows)["estimate"] == pytest.approx(ece)
    distances = [0.02, 2 * 0.08**2, 2 * 0.6**2, 2 * 0.95**2]
    assert next(rows)["estimate"] == pytest.approx((sum(distances[:3]) / 3 + distances[3]) / 2)
