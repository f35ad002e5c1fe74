"""Counter-based hashing: the same everywhere, well spread, sensitive to every part."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import compute
from compute.hashing import Stream, mix

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


def test_no_two_streams_share_a_number():
    assert len(Stream) == len(Stream.__members__)  # a name of a number that is taken is no member


def test_a_stream_is_its_number():
    for stream in Stream:
        assert mix(5, stream, np.arange(3)).tolist() == mix(5, int(stream), np.arange(3)).tolist()


def bare_numbers(source):
    """Lines where a bare number stands for a stream: in a call of `mix` or as a seed's part."""
    found = []
    for node in ast.walk(ast.parse(source)):
        name = getattr(getattr(node, "func", None), "id", getattr(node, "attr", None))
        if isinstance(node, ast.Call) and name == "mix":
            found += [a.lineno for a in node.args if isinstance(a, ast.Constant)]
        if isinstance(node, ast.keyword) and node.arg == "spawn_key":
            found += [a.lineno for a in ast.walk(node.value) if isinstance(a, ast.Constant)]
    return found


def test_no_bare_number_stands_for_a_stream():
    assert bare_numbers("a = mix(seed, 101, rows)\nb = SeedSequence(1, spawn_key=(0, n))") == [1, 2]
    for file in sorted(Path(compute.__file__).parent.rglob("*.py")):
        assert not bare_numbers(file.read_text("utf-8")), f"{file}: name it in hashing.Stream"
