"""Degrees of freedom: influence against the change that a weight makes; known cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.statistics.bootstrap import effective_freedom, freedom
from compute.statistics.effects import Tallies, accuracies, influence


def tallies(seed, pair):
    rng = np.random.default_rng(seed)
    classes = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 4, 4])
    k = 5 if pair else 1
    n = rng.integers(1, 9, (2, len(classes), k)).astype(float)
    if pair:
        n[:, np.arange(len(classes)), classes] = 0
        n[:, :, 3] = 0
        n[1][classes == 2, 4] = 0  # a test that one side of a pair lacks
    correct = rng.binomial(n.astype(int), 0.7).astype(float)
    return Tallies(correct, n, classes, n.max(-1).astype(int), np.arange(len(classes)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_influence_is_the_slope_of_each_accuracy_in_a_units_weight(seed, pair):
    t, step = tallies(seed, pair), 1e-6
    found = influence(t, 5)
    assert found.shape == (2, 11, 6)
    for u in range(11):
        weights = np.ones((2, 11))
        weights[0, u] += step
        weights[1, u] -= step
        moved = accuracies(t, weights, 5)
        overall = (moved.overall[0] - moved.overall[1]) / (2 * step)
        by_class = (moved.by_class[0] - moved.by_class[1]) / (2 * step)
        assert np.allclose(found[:, u, 0], overall, atol=1e-6)
        assert np.allclose(found[:, u, 1:], np.nan_to_num(by_class), atol=1e-6)


def test_one_class_has_its_units_less_one():
    moved = np.random.default_rng(0).normal(size=7)
    assert effective_freedom(moved, np.zeros(7, int)) == pytest.approx(6)


def test_classes_of_equal_spread_add_up_and_a_dominant_one_rules():
    moved = np.tile([-1.0, 0, 1, 0], 3)
    classes = np.repeat(np.arange(3), 4)
    assert effective_freedom(moved, classes) == pytest.approx(9)
    moved[4:] *= 1e-6
    assert effective_freedom(moved, classes) == pytest.approx(3)


@given(st.integers(0, 2**32))
def test_freedom_lies_between_the_smallest_class_and_all(seed):
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(4), rng.integers(2, 9, 4))
    moved = rng.normal(size=len(classes)) * rng.exponential(1, 4)[classes]
    found = effective_freedom(moved, classes)
    least = np.bincount(classes).min() - 1
    assert least - 1e-9 <= found <= len(classes) - 4 + 1e-9


def test_without_any_spread_units_are_counted():
    classes = np.array([0, 0, 0, 1, 1])
    assert effective_freedom(np.zeros(5), classes) == freedom(classes) == 3
    assert effective_freedom(np.ones(1), np.zeros(1, int)) == freedom(np.zeros(1, int))
