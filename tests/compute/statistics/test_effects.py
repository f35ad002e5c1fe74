"""Accuracies and their uncertainty against naive loops; tests against exact enumeration."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.statistics.bootstrap import Resampling, resample
from compute.statistics.effects import (
    Tallies,
    accuracies,
    common,
    contrasts,
    contributions,
    drawn_accuracies,
    holm,
    sign_flip_test,
)


def tallies(seed, probe="pair", conditions=3, units=14, k=4, gaps=True):
    """Random answers of units of k classes out of k + 1, some units and pairs without any."""
    rng = np.random.default_rng(seed)
    classes = np.append(np.arange(k), rng.integers(0, k, units - k))
    width = k + 1 if probe == "pair" else 1
    n = rng.integers(1, 9, (conditions, units, width))
    if gaps:
        n[rng.random(n.shape) < 0.2] = 0
        n[-1][classes == 0] = 0
    if probe == "pair":
        n[:, np.arange(units), classes] = 0
        n[:, :, k] = 0
    correct = rng.binomial(n, 0.7)
    cells = n.max(2)
    names = np.arange(units).astype(str)
    return Tallies(correct.astype(float), n.astype(float), classes, cells, names)


def naive_pair(t, weights, m, k):
    """Every pair's share of right answers, one unit at a time."""
    found = {}
    for a, b in itertools.combinations(range(k), 2):
        right, answers = np.zeros(2), np.zeros(2)
        for u, weight in enumerate(weights):
            for side, (own, other) in enumerate(((a, b), (b, a))):
                if t.classes[u] == own:
                    right[side] += weight * t.correct[m, u, other]
                    answers[side] += weight * t.n[m, u, other]
        if (answers > 0).all():
            found[a, b] = right.sum() / answers.sum()
    return found


def naive_accuracies(t, weights, k):
    overall = np.full((len(weights), len(t.n)), np.nan)
    by_class = np.full((*overall.shape, k), np.nan)
    for w, m in np.ndindex(*overall.shape):
        if t.n.shape[2] > 1:
            pairs = naive_pair(t, weights[w], m, k)
            every = list(pairs.values())
            own = {a: [v for pair, v in pairs.items() if a in pair] for a in range(k)}
        else:
            own = {}
            for a in range(k):
                here = t.classes == a
                answers = (weights[w] * t.n[m, :, 0])[here].sum()
                right = (weights[w] * t.correct[m, :, 0])[here].sum()
                own[a] = [right / answers] if answers > 0 else []
            every = [v for some in own.values() for v in some]
        overall[w, m] = np.mean(every) if every else np.nan
        for a, some in own.items():
            by_class[w, m, a] = np.mean(some) if some else np.nan
    return overall, by_class


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["pair", "multiclass"]))
def test_accuracies_equal_the_naive_twin(seed, probe):
    t = tallies(seed, probe)
    drawn = resample(t.classes, 3, seed)
    weights = np.concatenate([np.ones((1, len(t.classes))), drawn])
    found = accuracies(t, weights, 5)
    overall, by_class = naive_accuracies(t, weights, 5)
    assert np.allclose(found.overall, overall, equal_nan=True)
    assert np.allclose(found.by_class, by_class, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["pair", "multiclass"]))
def test_contributions_sum_to_the_overall_accuracy(seed, probe):
    t = tallies(seed, probe)
    overall = accuracies(t, np.ones((1, len(t.classes))), 5).overall[0]
    share = contributions(t, 5)
    assert share.shape == t.n.shape[:2]
    assert np.allclose(share.sum(1), np.nan_to_num(overall))
    assert (share >= 0).all()


@pytest.mark.parametrize("probe", ["pair", "multiclass"])
def test_a_contribution_is_what_the_units_right_answers_add(probe):
    t = tallies(5, probe)
    share = contributions(t, 5)
    one = np.ones((1, len(t.classes)))
    for u in range(len(t.classes)):
        without = t.correct.copy()
        without[:, u] = 0
        less = accuracies(Tallies(without, t.n, t.classes, t.n_cells, t.protein), one, 5).overall[0]
        more = accuracies(t, one, 5).overall[0]
        assert np.allclose(share[:, u], np.nan_to_num(more - less))


@pytest.mark.parametrize("probe", ["pair", "multiclass"])
def test_drawn_accuracies_are_those_of_the_drawn_weights(probe):
    t = tallies(3, probe)
    point, draws = drawn_accuracies(t, Resampling(t.classes, 5, 450, 7))
    weights = resample(t.classes, 450, 7)
    expected = accuracies(t, weights, 5)
    assert np.allclose(draws.overall, expected.overall, equal_nan=True)
    assert np.allclose(draws.by_class, expected.by_class, equal_nan=True)
    whole = accuracies(t, np.ones((1, len(t.classes))), 5)
    assert np.allclose(point.overall, whole.overall, equal_nan=True)
    assert np.allclose(point.by_class, whole.by_class, equal_nan=True)


def test_all_right_is_one_and_weights_count():
    t = tallies(0, gaps=False)
    right = Tallies(t.n, t.n, t.classes, t.n_cells, t.protein)
    assert (accuracies(right, np.ones((1, 14)), 5).overall == 1).all()
    doubled = accuracies(t, np.full((1, 14), 2.0), 5)
    assert np.allclose(doubled.overall, accuracies(t, np.ones((1, 14)), 5).overall)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["pair", "multiclass"]))
def test_common_keeps_the_tests_that_both_conditions_have(seed, probe):
    t = tallies(seed, probe)
    found = common(t, 2, 0)
    assert found.n.shape == (2, *t.n.shape[1:])
    for u in range(len(t.classes)):
        kept = [k for k in range(t.n.shape[2]) if t.n[2, u, k] > 0 and t.n[0, u, k] > 0]
        for row, m in ((0, 2), (1, 0)):
            for k in range(t.n.shape[2]):
                expected = (t.correct[m, u, k], t.n[m, u, k]) if k in kept else (0, 0)
                assert (found.correct[row, u, k], found.n[row, u, k]) == expected
            assert found.n_cells[row, u] == (t.n_cells[m, u] if kept else 0)


# Tests


def exact_p_value(differences):
    observed = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    return np.mean([s >= observed - 1e-12 for s in sums])


@pytest.mark.parametrize("seed", range(6))
def test_sign_flips_approach_the_exact_enumeration(seed):
    rng = np.random.default_rng(seed)
    differences = rng.normal(0.3 * (seed % 3), 1, 9)
    exact = exact_p_value(differences)
    found = sign_flip_test(differences, 20_000, seed)
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000) + 1e-3)


def test_sign_flips_are_two_sided_and_never_zero():
    differences = np.full(30, 0.1)
    assert sign_flip_test(differences, 999, 0) == 1 / 1000
    assert sign_flip_test(-differences, 999, 0) == 1 / 1000
    assert sign_flip_test(differences, 999, 0) == sign_flip_test(differences * 1e-9, 999, 0)


def test_no_difference_has_p_value_one():
    assert sign_flip_test(np.zeros(5), 100, 0) == 1
    assert sign_flip_test(np.array([1.0, -1.0]), 100, 0) == 1


def test_one_unit_alone_shows_nothing():
    assert sign_flip_test(np.array([0.7]), 5000, 0) == 1


def test_the_number_of_flips_is_kept_over_blocks():
    # With 40 equal units no pattern reaches the observed sum: only the number of flips is left.
    for flips in (100, 1999, 2000, 2001, 5000):
        assert sign_flip_test(np.ones(40), flips, 1) == 1 / (1 + flips)


def test_holm_equals_a_worked_example():
    # Four tests: 4 × 0.005, then 3 × 0.01, then 2 × 0.03, then what came before is kept.
    assert np.allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]).shape == (0,)
    assert holm([0.7, 0.9]).tolist() == [1, 1]


@given(st.lists(st.sampled_from([1e-4, 0.004, 0.01, 0.02, 0.03, 0.2, 1]), min_size=1, max_size=9))
def test_holm_equals_the_naive_twin(p):
    """Step down: refuse at α until the first that is not significant."""
    adjusted = holm(p)
    for alpha in (0.001, 0.0123, 0.05, 0.21):
        order, refused = np.argsort(p, kind="stable"), set()
        for step, i in enumerate(order):
            if p[i] * (len(p) - step) > alpha:
                break
            refused.add(int(i))
        assert set(np.flatnonzero(adjusted <= alpha)) == refused


def test_effects_compare_only_the_tests_that_both_conditions_have():
    """A condition tested on easy pairs alone must not look harmless, nor one on hard pairs bad."""
    k, classes = 3, np.array([0, 1, 2])
    correct, n = np.zeros((2, 3, k)), np.zeros((2, 3, k))
    for a, b, right in ((0, 1, 10), (0, 2, 2), (1, 2, 2)):
        for one, other in ((a, b), (b, a)):
            correct[0, one, other], n[0, one, other] = right, 10
    for one, other in ((0, 1), (1, 0)):  # the second condition knows the easy pair only
        correct[1, one, other], n[1, one, other] = 9, 10
    whole = Tallies(correct, n, classes, np.full((2, 3), 10), np.array(["p", "q", "r"]))
    apart = accuracies(whole, np.ones((1, 3)), k).overall[0]
    assert apart[0] < apart[1]
    together = common(whole, 0, 1)
    paired = accuracies(together, np.ones((1, 3)), k).overall[0]
    assert np.allclose(paired, [1.0, 0.9])
    assert together.n_cells.tolist() == [[10, 10, 0], [10, 10, 0]]
    assert np.allclose(contributions(together, k).sum(1), paired)


def test_the_list_of_effects_follows_from_the_conditions():
    assert contrasts(["unaltered", "same", "different"]) == [
        ("drop", "same", 0, 1),
        ("drop", "different", 0, 2),
        ("gap", "different", 1, 2),
    ]
    assert contrasts(["sham", "unaltered", "different"]) == [
        ("drop", "sham", 1, 0),
        ("drop", "different", 1, 2),
        ("net", "different", 0, 2),
    ]
    assert contrasts(["unaltered", "different"]) == [("drop", "different", 0, 1)]
    assert contrasts(["same", "different"]) == [("gap", "different", 0, 1)]
