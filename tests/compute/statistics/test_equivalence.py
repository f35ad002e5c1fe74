"""Equivalence is claimed when it can be, and seldom when it should not be."""

import itertools

import numpy as np
import pytest
from scipy import stats

from compute.statistics.bootstrap import Resampling, freedom, interval
from compute.statistics.equivalence import beyond_test, equivalence_test, with_odds

PROTEINS, CELLS, CLASSES = 6, 40, 5
UNITS = np.repeat(np.arange(CLASSES), PROTEINS)
DRAWN = Resampling(UNITS, CLASSES, 400, 0)


def drop(rng, effect):
    """Draw a drop of known size, of proteins that differ in it; its estimate and its draws."""
    gained = rng.uniform(0.02, 0.05, len(UNITS))
    lost = gained + effect + rng.uniform(-0.015, 0.015, len(UNITS))
    kinds = np.stack([lost, gained, 1 - lost - gained], 1)
    answers = rng.multinomial(CELLS, kinds)
    found = (answers[:, 0] - answers[:, 1]) / CELLS
    sums, point = DRAWN.sums(found[:, None]), DRAWN.totals(found[:, None])
    return point[0, :, 0].mean() / PROTEINS, sums[..., 0].mean(1) / PROTEINS


def p_value(rng, effect, margin):
    return equivalence_test(*drop(rng, effect), freedom(UNITS), margin, CELLS * len(UNITS))


def test_an_effect_at_the_margin_is_seldom_called_equivalent():
    rng = np.random.default_rng(1)
    p = np.array([p_value(rng, 0.03, 0.03) for _ in range(600)])
    assert (p <= 0.05).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 600)
    assert (p <= 0.05).mean() > 0.005, "the test is not merely deaf"


def test_an_effect_beyond_the_margin_is_hardly_ever_called_equivalent():
    rng = np.random.default_rng(2)
    assert np.mean([p_value(rng, 0.06, 0.03) <= 0.05 for _ in range(300)]) <= 0.01


def test_no_effect_is_called_equivalent_where_there_is_enough_to_tell():
    rng = np.random.default_rng(3)
    assert np.mean([p_value(rng, 0.0, 0.05) <= 0.05 for _ in range(200)]) > 0.9


def test_both_sides_count():
    draws = np.random.default_rng(0).normal(0.01, 0.004, 4000)
    ours = equivalence_test(0.01, draws, 30, 0.02, 100)
    assert ours == equivalence_test(-0.01, -draws, 30, 0.02, 100)
    sd = draws.std()
    naive = max(1 - stats.t.cdf((0.02 - 0.01) / sd, 30), 1 - stats.t.cdf((0.01 + 0.02) / sd, 30))
    assert ours == pytest.approx(naive)
    assert equivalence_test(0.02, draws, 30, 0.02, 100) == pytest.approx(0.5)
    assert equivalence_test(0.05, draws, 30, 0.02, 100) > 0.99


@pytest.mark.parametrize("margin", [0.001, 0.01, 0.02, 0.05])
def test_it_agrees_with_the_ninety_percent_interval(margin, monkeypatch):
    monkeypatch.setattr("compute.statistics.bootstrap.LEVEL", 0.9)
    rng = np.random.default_rng(4)
    for _ in range(50):
        estimate, draws = drop(rng, 0.01)
        low, high = interval(estimate, draws, 25)
        inside = -margin < low and high < margin
        assert (equivalence_test(estimate, draws, 25, margin, 100) < 0.05) == inside


def test_without_any_difference_the_number_of_cells_decides():
    none = np.zeros(100)
    assert equivalence_test(0, none, 10, 0.02, 148) > 0.05
    assert equivalence_test(0, none, 10, 0.02, 149) < 0.05
    assert equivalence_test(0.03, np.full(100, 0.03), 10, 0.02, 10_000) == 1


def test_one_unit_a_class_shows_nothing():
    assert equivalence_test(0, np.zeros(100), 0, 0.02, 1000) == 1


def test_without_draws_nothing_is_said():
    assert np.isnan(equivalence_test(0.0, np.full(100, np.nan), 10, 0.02, 100))
    assert np.isnan(equivalence_test(np.nan, np.zeros(100), 10, 0.02, 100))


# Odds


def test_odds_are_multiplied():
    for accuracy, factor in itertools.product((0.3, 0.6, 0.99), (0.5, 0.8, 1.25, 3.0)):
        value, slope = with_odds(accuracy, factor)
        assert value / (1 - value) == pytest.approx(factor * accuracy / (1 - accuracy))
        step = 1e-6
        change = with_odds(accuracy + step, factor)[0] - value
        assert change / step == pytest.approx(slope, rel=1e-4)
    assert with_odds(1.0, 0.8) == pytest.approx((1, 1.25))
    assert with_odds(0.0, 0.8) == pytest.approx((0, 0.8))


def test_one_side_is_one_of_the_two_of_the_test_in_points():
    draws = np.random.default_rng(0).normal(0, 0.004, 4000)
    for effect in (-0.015, 0.0, 0.012):
        sides = [beyond_test(0.02 + s * effect, draws, 30, 100, 1e-5) for s in (-1, 1)]
        both = equivalence_test(effect, effect + draws, 30, 0.02, 100, 1e-5)
        assert max(sides) == pytest.approx(both)


def test_without_differences_p_says_how_likely_that_would_be_at_the_margin():
    draws = np.random.default_rng(0).normal(0, 0.004, 4000)
    assert beyond_test(0.03, draws, 20, 200, same=True) == pytest.approx(0.97**200)
    assert beyond_test(0.03, np.zeros(100), 20, 200) == pytest.approx(0.97**200)
    assert beyond_test(0.0, np.zeros(100), 20, 200) == 1
    assert beyond_test(0.03, draws, 0, 200) == 1
    assert np.isnan(beyond_test(0.03, draws[:1], 20, 200))
