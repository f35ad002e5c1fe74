"""Intervals of many effects at once: between single ones and Bonferroni's, and true in 95%."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from compute.statistics.bootstrap import interval, resample
from compute.statistics.simultaneous import Drawn, simultaneous_intervals, single_level

UNITS = np.arange(20)


def drawn(rng, many, alike=0.0, added=0.0, freedom=19, draws=2000, units=UNITS):
    """Estimates whose draws go together by a share."""
    both = rng.standard_normal((draws, 1))
    each = rng.standard_normal((draws, many))
    values = 0.02 * (np.sqrt(alike) * both + np.sqrt(1 - alike) * each)
    return [Drawn(0.1, values[:, i], freedom, added, units) for i in range(many)]


@given(st.integers(0, 2**32), st.integers(1, 12), st.floats(0, 1), st.sampled_from([0, 1e-4, 1e-2]))
def test_they_are_at_least_as_long_as_single_ones_and_no_longer_than_bonferronis(
    seed, many, alike, added
):
    some = drawn(np.random.default_rng(seed), many, alike, added, draws=200)
    assert 0.05 / many * (1 - 1e-12) <= single_level(some, 0) <= 0.05 * (1 + 1e-12)
    for each, (low, high) in zip(some, simultaneous_intervals(some, 0), strict=True):
        single = interval(each.estimate, each.draws, each.freedom, each.added)
        assert low <= single[0] + 1e-12
        assert high >= single[1] - 1e-12
        assert low + high == pytest.approx(2 * each.estimate)


def test_one_estimate_alone_has_its_own_interval():
    (one,) = drawn(np.random.default_rng(0), 1)
    (found,) = simultaneous_intervals([one], 0)
    assert found == pytest.approx(interval(0.1, one.draws, 19))


def test_the_same_estimate_many_times_needs_hardly_more():
    rng = np.random.default_rng(1)
    alike, unlike = (drawn(rng, 10, share, freedom=1e9) for share in (1.0, 0.0))
    assert single_level(alike, 0) > 0.045
    # Of ten independent ones (Šidák 1967).
    assert single_level(unlike, 0) == pytest.approx(1 - 0.95**0.1, rel=0.15)


def test_where_draws_are_not_joint_it_is_bonferronis():
    rng = np.random.default_rng(2)
    some = drawn(rng, 2, alike=1.0)
    some += drawn(rng, 2, alike=1.0, units=np.arange(21))
    assert single_level(some, 0) == pytest.approx(0.05 / 4)
    half = stats.t.ppf(1 - 0.05 / 8, 19) * some[0].draws.std()
    assert simultaneous_intervals(some, 0)[0] == pytest.approx([0.1 - half, 0.1 + half])


def test_estimates_without_spread_or_interval_do_not_count():
    rng = np.random.default_rng(3)
    (one,) = drawn(rng, 1)
    still = Drawn(0.0, np.zeros(2000), 19, 0.0, UNITS)
    unknown = Drawn(0.1, one.draws, 0, 0.0, UNITS)
    found = simultaneous_intervals([one, still, unknown], 0)
    assert found[0] == pytest.approx(interval(0.1, one.draws, 19))
    assert found[1] == pytest.approx([0, 0])
    assert np.isnan(found[2]).all()
    assert np.isnan(simultaneous_intervals([unknown], 0)).all()


def test_they_hold_all_means_of_correlated_measures_at_once_where_single_ones_do_not():
    """Nine measures of twelve units, in three groups that go together."""
    many, n, held, single = 9, 12, [], []
    classes = np.zeros(n, int)
    weights = resample(classes, 200, 0)
    for seed in range(300):
        rng = np.random.default_rng([7, seed])
        group = np.repeat(rng.standard_normal((n, 3)), 3, 1)
        values = group + 0.7 * rng.standard_normal((n, many))
        draws = weights @ values / n
        some = [
            Drawn(m, d, n - 1, 0.0, UNITS) for m, d in zip(values.mean(0), draws.T, strict=True)
        ]
        ends = simultaneous_intervals(some, seed)
        held.append(((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).all())
        alone = [interval(each.estimate, each.draws, n - 1) for each in some]
        largest = int(np.argmax(values.mean(0)))
        single.append(alone[largest][0] <= 0 <= alone[largest][1])
    assert np.mean(held) >= 0.92
    assert np.mean(single) < 0.9, "the largest one's own interval holds its truth too rarely"
