"""Draws have the right spread, however they are cut; intervals hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from compute.errors import UsageError
from compute.statistics import bootstrap
from compute.statistics.bootstrap import (
    BootstrapConfig,
    Resampling,
    freedom,
    interval,
    mean,
    ratio,
    resample,
    share_interval,
    spread,
)


def test_one_unit_fewer_is_drawn_and_weighted_up():
    classes = np.array([2, 0, 2, 2, 0, 1])
    weights = resample(classes, 4000, 3)
    assert weights.shape == (4000, 6)
    for k, size in ((0, 2), (1, 1), (2, 3)):
        here = weights[:, classes == k]
        assert np.allclose(here.sum(1), size)
        counts = here * max(size - 1, 1) / size
        assert np.allclose(counts, counts.round())
    assert np.allclose(weights.mean(0), 1, atol=0.05)
    # Two of three units are drawn: both times the same one with probability 1/3.
    twice = (weights[:, classes == 2] == 3).any(1).mean()
    assert twice == pytest.approx(1 / 3, abs=0.03)
    assert (weights[:, classes == 1] == 1).all()
    assert np.array_equal(weights, resample(classes, 4000, 3))
    assert not np.array_equal(weights, resample(classes, 4000, 4))


@pytest.mark.parametrize("n", [2, 5, 200])
def test_the_draws_have_the_standard_error_of_the_mean(n):
    values = np.random.default_rng(n).normal(size=n)
    draws = resample(np.zeros(n, int), 8000, 0) @ values / n
    assert draws.std() == pytest.approx(values.std(ddof=1) / np.sqrt(n), rel=0.05)
    assert draws.mean() == pytest.approx(values.mean(), abs=0.1 / np.sqrt(n))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.sampled_from([1, 7, 64, 2**21]))
def test_sums_are_those_of_the_weights_however_they_are_cut(classes, block):
    classes = np.array(classes)
    values = np.random.default_rng(0).normal(size=(len(classes), 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "BLOCK", block)
        weights = resample(classes, 150, 5)
        kept = Resampling(classes, 5, 150, 5)
        found = kept.sums(values)
        patch.setattr(bootstrap, "KEPT", 0)
        again = kept.sums(values)
    assert np.array_equal(found, again)
    assert np.allclose(weights, resample(classes, 150, 5)), "the size of blocks is not seen"
    for k in range(5):
        here = classes == k
        assert np.allclose(found[:, k], weights[:, here] @ values[here])
        assert np.allclose(kept.totals(values)[0, k], values[here].sum(0))


def test_the_interval_is_students():
    draws = np.array([0.1, 0.3, 0.5, np.nan])
    low, high = interval(0.31, draws, 4)
    reach = stats.t.ppf(0.975, 4) * np.std(draws[:3])
    assert (low, high) == (pytest.approx(0.31 - reach), pytest.approx(0.31 + reach))
    assert interval(0.5, np.array([0.5, 0.5]), 4) == (0.5, 0.5)
    assert np.isnan(interval(0.5, np.array([0.5, np.nan]), 4)).all()
    assert np.isnan(interval(np.nan, draws, 4)).all()
    assert spread(draws) == np.std(draws[:3])


def naive_wilson(p, n, t):
    """Every share whose score test does not refuse p, on a fine grid."""
    grid = np.linspace(0, 1, 200_001)
    inside = (grid - p) ** 2 <= t**2 * grid * (1 - grid) / n
    return grid[inside].min(), grid[inside].max()


@pytest.mark.parametrize("p", [0.03, 0.5, 0.96])
def test_a_shares_interval_is_wilsons_with_the_answers_that_the_spread_implies(p):
    draws = np.array([p - 0.02, p + 0.02])
    found = share_interval(p, draws, 9)
    expected = naive_wilson(p, p * (1 - p) / 0.02**2, stats.t.ppf(0.975, 9))
    assert found == pytest.approx(expected, abs=1e-5)


def test_what_cells_alone_vary_counts_as_known():
    p, cells, draws = 0.1, 60, np.array([0.05, 0.15])
    variance, known = 0.05**2, 0.1 * 0.9 / 60
    free = 5 / (1 - known / variance) ** 2
    found = share_interval(p, draws, 5, cells)
    expected = naive_wilson(p, p * (1 - p) / variance, stats.t.ppf(0.975, free))
    assert found == pytest.approx(expected, abs=1e-5)
    low, high = share_interval(p, draws, 5)
    assert low < found[0] < found[1] < high


def test_a_share_never_varies_less_than_its_cells():
    found = share_interval(0.1, np.array([0.099, 0.101]), 5, 60)
    assert found == pytest.approx(naive_wilson(0.1, 60, stats.norm.ppf(0.975)), abs=1e-5)


def test_a_share_without_spread_is_as_uncertain_as_its_units_allow():
    low, high = share_interval(1.0, np.ones(100), 9)
    assert (low, high) == pytest.approx(naive_wilson(1, 10, stats.t.ppf(0.975, 9)), abs=1e-5)
    assert share_interval(0.0, np.zeros(100), 9) == pytest.approx((0, 1 - low))
    assert np.isnan(share_interval(np.nan, np.zeros(100), 9)).all()
    assert np.isnan(share_interval(0.2, np.full(5, np.nan), 9)).all()


@given(st.floats(0, 1), st.floats(0, 0.5), st.integers(1, 100), st.none() | st.integers(1, 10_000))
def test_a_shares_interval_lies_within_zero_and_one_around_it(p, sd, free, cells):
    low, high = share_interval(p, np.array([p - sd, p + sd]), free, cells)
    assert 0 <= low <= p + 1e-12
    assert p - 1e-12 <= high <= 1


def test_intervals_hold_the_truth():
    """Six proteins a class, each with its own difficulty: 95% of intervals hold the truth."""
    rng, held = np.random.default_rng(0), np.zeros(2)
    classes = np.repeat(np.arange(4), 6)
    free, trials = freedom(classes), 400
    assert free == 20
    drawn = Resampling(classes, 4, 400, 0)
    for _ in range(trials):
        cells = rng.binomial(10, rng.beta(7, 3, 24)) / 10
        sums, point = drawn.sums(cells[:, None]), drawn.totals(cells[:, None])
        draws, estimate = sums[..., 0].mean(1) / 6, point[0, :, 0].mean() / 6
        for i, make in enumerate((interval, share_interval)):
            low, high = make(estimate, draws, free)
            held[i] += low <= 0.7 <= high
    assert (held / trials >= 0.925).all(), held / trials
    assert (held / trials <= 0.98).all(), held / trials


def test_degrees_of_freedom_are_units_less_classes():
    assert freedom(np.array([0, 0, 1, 1, 1])) == 3
    assert freedom(np.array([0, 1])) == 0
    assert freedom(np.array([], int)) == 0


@pytest.mark.parametrize("make", [interval, share_interval])
def test_one_unit_a_class_has_no_interval(make):
    assert np.isnan(make(0.5, np.full(100, 0.5), 0)).all()


def test_ratios_and_means_leave_out_what_is_not_there():
    found = ratio(np.array([1.0, 2.0, 0.0]), np.array([2.0, 0.0, 4.0]))
    assert np.array_equal(found, [0.5, np.nan, 0], equal_nan=True)
    assert mean(found, 0) == 0.25
    assert np.isnan(mean(np.full((2, 3), np.nan), 1)).all()


@pytest.mark.parametrize("name", ["draws", "flips"])
def test_too_few_draws_are_refused(name):
    with pytest.raises(UsageError, match=f"{name} is 99; it must be at least 100"):
        BootstrapConfig(**{name: 99})


@pytest.mark.parametrize("margin", [0, -0.1, 1, float("nan")])
def test_a_margin_outside_zero_to_one_is_refused(margin):
    with pytest.raises(UsageError, match="must be above 0 and below 1"):
        BootstrapConfig(margin=margin)
