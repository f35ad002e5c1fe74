"""Distances between distributions against scipy; the null is uniform, the floor its naive twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.spatial.distance import jensenshannon

from compute.statistics import shifts
from compute.statistics.shifts import (
    Null,
    benjamini_hochberg,
    jensen_shannon,
    kullback_leibler,
    needs_finer,
    noise_floor,
    p_value,
    shift,
    total_variation,
)

weights = arrays(np.float64, (2, 5), elements=st.sampled_from([0, 0, 0.01, 0.3, 1, 7])).filter(
    lambda w: (w.sum(1) > 0).all()
)


def pair(w):
    return w / w.sum(1, keepdims=True)


@given(weights)
def test_distances_equal_scipy_and_stay_in_bounds(w):
    p, q = pair(w)
    jsd, tv, kl = jensen_shannon(p, q), total_variation(p, q), kullback_leibler(p, q)
    assert jsd == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)
    assert tv == pytest.approx(sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2)
    clipped = [np.clip(one, 1e-10, 1) for one in (p, q)]
    assert kl == pytest.approx(sum(a * np.log(a / b) for a, b in zip(*clipped, strict=True)))
    if (q[p > 0] > 0).all():
        assert kl == pytest.approx(stats.entropy(p, q), abs=1e-7), "in nats"
    assert 0 <= jsd <= 1
    assert 0 <= tv <= 1 + 1e-12
    assert kl >= -1e-8
    # Lin 1991, and Topsøe 2000: how the two bound each other.
    assert tv**2 / 2 / np.log(2) <= jsd + 1e-9
    assert jsd <= tv + 1e-9


@given(weights)
def test_symmetry_and_identity(w):
    p, q = pair(w)
    assert jensen_shannon(p, q) == pytest.approx(jensen_shannon(q, p), abs=1e-12)
    assert total_variation(p, q) == pytest.approx(total_variation(q, p))
    for distance in (jensen_shannon, total_variation, kullback_leibler):
        assert distance(p, p) == pytest.approx(0, abs=1e-12)


def test_distributions_without_overlap_are_at_distance_one():
    p, q = np.eye(2)
    assert jensen_shannon(p, q) == 1
    assert total_variation(p, q) == 1


def test_the_divergence_is_of_unaltered_from_changed():
    before, after = np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])
    expected = stats.entropy(before[0], after[0])
    assert shift(before, after, 0, Null(after - before)).kl == pytest.approx(expected)
    assert expected != pytest.approx(stats.entropy(after[0], before[0]))


def test_rows_are_compared_one_by_one():
    p, q = np.random.default_rng(0).dirichlet(np.ones(4), (2, 6))
    for distance in (jensen_shannon, total_variation, kullback_leibler):
        assert np.allclose(distance(p, q), [distance(a, b) for a, b in zip(p, q, strict=True)])


def naive_p_value(before, after):
    """Exchange every subset of cells' labels."""
    n, beyond = len(before), 0
    tv = total_variation(before.mean(0), after.mean(0))
    for pattern in range(2**n):
        p, q = before.copy(), after.copy()
        for i in range(n):
            if pattern >> i & 1:
                p[i], q[i] = after[i], before[i]
        beyond += total_variation(p.mean(0), q.mean(0)) >= tv - 1e-12
    return beyond / 2**n


@pytest.mark.parametrize("seed", range(5))
def test_a_shift_equals_the_naive_twin_over_every_exchange(seed):
    rng = np.random.default_rng(seed)
    before, after = rng.dirichlet(np.ones(4), (2, 8))
    after = 0.7 * after + 0.3 * np.eye(4)[seed % 4]
    found = shift(before, after, seed, Null(after - before))
    assert found.tv == pytest.approx(total_variation(before.mean(0), after.mean(0)))
    assert found.jsd == pytest.approx(jensenshannon(before.mean(0), after.mean(0), base=2) ** 2)
    expected = naive_p_value(before, after)
    assert found.p_value == pytest.approx(expected, abs=4 * np.sqrt(expected / shifts.DRAWS) + 1e-3)


def test_p_values_are_uniform_when_nothing_shifts(monkeypatch):
    monkeypatch.setattr(shifts, "DRAWS", 400)
    rng = np.random.default_rng(1)
    p_values = []
    for number in range(400):
        own = rng.dirichlet(np.ones(5), 25)
        before, after = (0.6 * own + 0.4 * rng.dirichlet(np.ones(5), 25) for _ in range(2))
        p_values.append(shift(before, after, number, Null(after - before)).p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_p_values_are_small_when_all_cells_shift():
    rng = np.random.default_rng(2)
    before = rng.dirichlet(np.ones(5), 30)
    after = 0.5 * before + 0.5 * np.eye(5)[0]
    assert shift(before, after, 0, Null(after - before)).p_value == 1 / (1 + shifts.DRAWS)


def test_one_cell_alone_shows_nothing():
    before, after = np.random.default_rng(5).dirichlet(np.ones(4), (2, 1))
    assert shift(before, after, 0, Null(after - before)).p_value == 1, (
        "exchanged, it is as far: ties count"
    )


def test_without_a_null_there_is_no_p_value():
    before, after = np.random.default_rng(5).dirichlet(np.ones(4), (2, 6))
    found = shift(before, after, 0, None)
    assert np.isnan(found.p_value)
    assert found.tv == total_variation(before.mean(0), after.mean(0))


def test_what_probes_differ_by_is_added_to_the_null():
    """With cells that change by nothing, p is the chance that the probes alone move as far."""
    rng = np.random.default_rng(6)
    known = np.array([[0.02, -0.02, 0], [0, 0.01, -0.01]])
    probe = rng.standard_normal((200, 2)) @ known
    naive = shifts.STRETCH * np.abs(rng.standard_normal((100_000, 2)) @ known).sum(1) / 2
    before = np.tile([0.5, 0.3, 0.2], (9, 1))
    for tv in (0.01, 0.03, 0.05):
        found = p_value(Null(np.zeros_like(before), probe), tv, 0, 20_000)
        assert found == pytest.approx((naive >= tv).mean(), abs=0.03)
    same = shift(before, before + known.sum(0), 0, Null(np.zeros_like(before)))
    assert same.p_value == 1 / (1 + shifts.DRAWS), "which would be a finding without it"


def test_what_does_not_move_at_all_has_p_value_one():
    before = np.random.default_rng(3).dirichlet(np.ones(5), 30)
    assert shift(before, before, 0, Null(before - before)).p_value == 1
    assert shift(before, before[::-1], 0, Null(before[::-1] - before)).p_value == 1, (
        "the same cells, the same mean"
    )


def test_the_same_seed_gives_the_same_p_value():
    rng = np.random.default_rng(4)
    before, after = rng.dirichlet(np.ones(5), (2, 30))
    assert shift(before, after, 7, Null(after - before)) == shift(
        before, after, 7, Null(after - before)
    )
    several = {shift(before, after, seed, Null(after - before)).p_value for seed in range(5)}
    assert len(several) > 1


@pytest.mark.parametrize("n", [1, 3, 50])
def test_blocks_of_random_numbers_change_nothing(monkeypatch, n):
    rng = np.random.default_rng(n)
    before, after = rng.dirichlet(np.ones(5), (2, n))
    whole, floor = shift(before, after, 7, Null(after - before)), noise_floor(before, 7)
    monkeypatch.setattr(shifts, "BLOCK", 64)
    assert shift(before, after, 7, Null(after - before)) == whole
    assert np.array_equal(noise_floor(before, 7), floor, equal_nan=True)


def test_more_exchanges_go_on_where_the_first_ended():
    rng = np.random.default_rng(8)
    before, after = rng.dirichlet(np.ones(4), (2, 13))
    after = 0.7 * after + 0.3 * np.eye(4)[0]
    null, tv = Null(after - before), total_variation(before.mean(0), after.mean(0))
    coarse = shift(before, after, 3, null).p_value
    assert p_value(null, tv, 3, shifts.DRAWS) == coarse
    first = coarse * (1 + shifts.DRAWS)
    longer = p_value(null, tv, 3, 6 * shifts.DRAWS) * (1 + 6 * shifts.DRAWS)
    assert first < longer < 12 * first + 50
    assert longer / (6 * shifts.DRAWS) == pytest.approx(naive_p_value(before, after), abs=0.01)


@pytest.mark.parametrize(("shifted", "tested"), [(1, 100), (1, 101), (40, 4049), (41, 4049)])
def test_more_exchanges_are_made_where_the_least_p_value_could_not_be_called(shifted, tested):
    p = np.ones(tested)
    p[:shifted] = 1 / (1 + shifts.DRAWS)
    called = benjamini_hochberg(p)[0] <= 0.05
    assert needs_finer(shifted, tested) != called
    p[0] = 1 / (1 + shifts.FINER * tested)
    assert benjamini_hochberg(p)[0] <= 0.05


# Noise floor


@pytest.mark.parametrize("n", [2, 5, 40])
def test_the_noise_floor_equals_a_naive_loop_over_halves(n):
    before = np.random.default_rng(n).dirichlet(np.ones(4), n)
    rng, distances = np.random.default_rng(9), []
    for _ in range(4000):
        order = rng.permutation(n)
        one, two = before[order[: n // 2]], before[order[n // 2 : 2 * (n // 2)]]
        distances.append(np.abs(one.mean(0) - two.mean(0)).sum() / 2)
    error = 4 * np.std(distances) / np.sqrt(shifts.HALVES)
    assert noise_floor(before, 0) == pytest.approx(np.mean(distances), abs=error + 1e-9)


def test_the_noise_floor_falls_with_the_root_of_the_number_of_cells():
    rng = np.random.default_rng(0)
    few, many = (noise_floor(rng.dirichlet(np.ones(4), n), 0) for n in (40, 4000))
    assert few / many == pytest.approx(10, rel=0.4)


def test_one_cell_has_no_noise_floor_and_equal_cells_none_above_zero():
    assert np.isnan(noise_floor(np.ones((1, 4)) / 4, 0))
    assert noise_floor(np.ones((6, 4)) / 4, 0) == 0


# False discovery rate


def naive_benjamini_hochberg(p):
    n = len(p)
    ranks = [sum(other <= value for other in p) for value in p]
    steps = [min(1, value * n / rank) for value, rank in zip(p, ranks, strict=True)]
    return [
        min(step for step, other in zip(steps, p, strict=True) if other >= value) for value in p
    ]


@settings(max_examples=150)
@given(
    st.lists(
        st.sampled_from([1e-4, 0.001, 0.01, 0.02, 0.04, 0.05, 0.3, 0.9, 1.0]),
        min_size=1,
        max_size=12,
    )
)
def test_q_values_equal_the_naive_twin_and_scipy(p):
    found = benjamini_hochberg(np.array(p))
    assert np.allclose(found, naive_benjamini_hochberg(p))
    assert np.allclose(found, stats.false_discovery_control(p))
    assert (found >= np.array(p) - 1e-15).all()
