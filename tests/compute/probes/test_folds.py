"""Who is held out with whom: whole proteins, or cells dealt out within their class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.errors import UsageError
from compute.probes.folds import SCHEMES, deal

K = 4


def population(seed, proteins=13, n=80):
    """Cells in random order, every protein of one class; class −1 for some."""
    rng = np.random.default_rng(seed)
    of_protein = np.append(np.arange(K), rng.integers(-1, K, proteins - K))
    code = np.append(np.arange(proteins), rng.integers(0, proteins, n - proteins))
    rng.shuffle(code)
    members = (rng.random(n) < 0.8) & (of_protein[code] >= 0)
    return of_protein[code], np.array([f"p{c}" for c in code]), members


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(0, 5))
def test_grouped_folds_never_split_a_protein(seed, wanted, lot):
    classes, protein, members = population(seed)
    folds = deal("grouped", wanted, classes, protein, members, K, lot)
    for name in np.unique(protein):
        assert len(set(folds.rank[protein == name])) == 1, "cells outside pair tests too"


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(SCHEMES), st.integers(0, 2**32), st.integers(2, 6), st.integers(0, 5))
def test_ranks_number_the_units_of_each_class(scheme, seed, wanted, lot):
    classes, protein, members = population(seed)
    folds = deal(scheme, wanted, classes, protein, members, K, lot)
    units = protein if scheme == "grouped" else np.arange(len(classes))
    for k in range(K):
        here = members & (classes == k)
        assert folds.sizes[k] == len(set(units[here]))
        assert set(folds.rank[here]) == set(range(folds.sizes[k]))
        outside = (classes == k) & ~np.isin(units, units[here])
        assert (folds.rank[outside] == -1).all(), "what no fold has seen is in none"
    assert (folds.rank[classes < 0] == -1).all()
    assert folds.testable().tolist() == [k for k in range(K) if folds.sizes[k] >= 2]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(SCHEMES), st.integers(0, 2**32), st.integers(2, 6))
def test_the_number_of_folds_respects_the_fewest_units(scheme, seed, wanted):
    classes, protein, members = population(seed)
    folds = deal(scheme, wanted, classes, protein, members, K, 0)
    for a in range(K):
        for b in range(a + 1, K):
            number = folds.number(a, b)
            assert number == min(wanted, folds.sizes[a], folds.sizes[b])
            for k in (a, b):
                if number:
                    fold = folds.rank[members & (classes == k)] % number
                    assert set(fold) == set(range(number)), "every fold has both classes"


def test_the_papers_scheme_is_stratified_and_splits_proteins():
    classes = np.repeat([0, 1], [30, 20])
    protein = np.repeat(["a", "b", "c", "d", "e"], 10)
    folds = deal("paper", 5, classes, protein, np.ones(50, bool), 2, 0)
    fold = folds.rank % folds.number(0, 1)
    for k, each in ((0, 6), (1, 4)):
        assert np.bincount(fold[classes == k]).tolist() == [each] * 5
    assert all(len(set(fold[protein == name])) > 1 for name in "abcde")


def test_the_seed_shuffles_the_deal():
    classes, protein, members = population(3, proteins=30, n=120)
    for scheme in SCHEMES:
        one, same, other = (
            deal(scheme, 5, classes, protein, members, K, seed).rank for seed in (1, 1, 2)
        )
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)
        assert not np.array_equal(one[classes == 0], np.sort(one[classes == 0]))


def test_bad_values_are_refused():
    given_ = (np.zeros(2, int), np.array(["a", "b"]), np.ones(2, bool), 1, 0)
    with pytest.raises(UsageError, match=r"'group'.*Did you mean 'grouped'.*paper"):
        deal("group", 5, *given_)
    with pytest.raises(UsageError, match="folds is 1; it must be at least 2"):
        deal("paper", 1, *given_)
