"""Counter-based hashing: the same everywhere, well spread, sensitive to every part."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from compute.hashing import mix

WORD = 2**64
integers = st.integers(0, 2**63 - 1)


def naive(*parts):
    """SplitMix64's finaliser after every part, with Python's own integers."""
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) % WORD
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % WORD
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % WORD
        state ^= state >> 31
    return state


@given(st.lists(integers, min_size=1, max_size=5))
def test_equals_the_naive_twin(parts):
    assert int(mix(*parts)) == naive(*parts)


def test_the_first_number_is_that_of_splitmix64():
    # The published generator's first output for seed 0.
    assert int(mix(0)) == 0xE220A8397B1DCDAF


@given(st.lists(integers, min_size=1, max_size=20), integers)
def test_an_array_is_hashed_element_by_element(values, other):
    expected = [naive(other, value) for value in values]
    assert mix(other, np.array(values)).tolist() == expected


def test_parts_broadcast():
    rows, columns = np.arange(3)[:, None], np.arange(4)[None]
    found = mix(7, rows, columns)
    assert found.shape == (3, 4)
    assert found.dtype == np.uint64
    assert found.tolist() == [[naive(7, r, c) for c in range(4)] for r in range(3)]


def test_the_order_of_parts_matters():
    assert mix(1, 2) != mix(2, 1)
    assert mix(1, 0) != mix(1)


@pytest.mark.parametrize("modulus", [2, 3, 7, 15, 64])
def test_remainders_of_consecutive_numbers_are_even(modulus):
    rows, repeats = np.arange(400)[:, None], np.arange(50)[None]
    counts = np.bincount((mix(0, 105, 1, rows, repeats) % np.uint64(modulus)).ravel().astype(int))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_neighbouring_seeds_are_unrelated():
    first, second = (mix(seed, np.arange(20_000)).astype(float) for seed in (5, 6))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert len(np.unique(mix(np.arange(100_000)))) == 100_000
