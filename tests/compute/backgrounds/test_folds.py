"""Who is held out with whom: whole proteins, or cells dealt out within their class."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.backgrounds.config import SCHEMES
from compute.backgrounds.folds import PER_FOLD, deal, seen_by, too_few

K = 4
NAMES = ["actin", "ER", "Golgi", "nucleus"]


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
        assert len(set(folds.fold[protein == name])) == 1, "cells outside pair tests too"


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(SCHEMES), st.integers(0, 2**32), st.integers(2, 6), st.integers(0, 5))
def test_every_cell_has_a_fold_and_every_class_is_dealt_evenly(scheme, seed, wanted, lot):
    classes, protein, members = population(seed)
    folds = deal(scheme, wanted, classes, protein, members, K, lot)
    assert ((folds.fold >= 0) & (folds.fold < folds.number)).all()
    units = protein if scheme == "grouped" else np.arange(len(classes))
    for k in range(K):
        here = members & (classes == k)
        fold_of = dict(zip(units[here], folds.fold[here], strict=True))
        many = np.bincount(list(fold_of.values()), minlength=folds.number)
        assert folds.sizes[k] == len(fold_of)
        assert folds.fewest[k] == many.min()
        assert many.max() - many.min() <= 1
    assert folds.testable().tolist() == [k for k in range(K) if folds.sizes[k] >= 2]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(4, 40))
def test_every_fold_has_two_proteins_of_each_tested_class_where_there_are_enough(
    seed, wanted, proteins
):
    classes, protein, members = population(seed, proteins, 2 * proteins + 60)
    folds = deal("grouped", wanted, classes, protein, members, K, 0)
    tested = folds.testable()
    if len(tested) == 0:
        return
    least = folds.sizes[tested].min()
    assert folds.number == max(2, min(wanted, least // PER_FOLD))
    scarce = [NAMES[k] for k in tested if folds.sizes[k] < 2 * PER_FOLD]
    assert too_few(folds, NAMES) == scarce, "only a class with fewer than four proteins is"


def test_a_protein_of_two_classes_has_one_fold():
    protein = np.repeat([f"p{i}" for i in range(12)], 4)
    classes = np.repeat(np.arange(12) % 2, 4)
    classes[:2] = 1  # p0 has cells of either class
    folds = deal("grouped", 3, classes, protein, np.ones(48, bool), 2, seed=4)
    assert folds.sizes.tolist() == [6, 7]
    assert len(set(folds.fold[protein == "p0"])) == 1
    assert folds.fewest.tolist() == [2, 2]


def test_the_papers_scheme_is_stratified_and_splits_proteins():
    classes = np.repeat([0, 1], [30, 20])
    protein = np.repeat(["a", "b", "c", "d", "e"], 10)
    folds = deal("paper", 5, classes, protein, np.ones(50, bool), 2, 0)
    assert folds.number == 5
    for k, each in ((0, 6), (1, 4)):
        assert np.bincount(folds.fold[classes == k]).tolist() == [each] * 5
    assert all(len(set(folds.fold[protein == name])) > 1 for name in "abcde")


def test_the_seed_shuffles_the_deal():
    classes, protein, members = population(3, proteins=60, n=240)
    for scheme in SCHEMES:
        one, same, other = (
            deal(scheme, 5, classes, protein, members, K, seed).fold for seed in (1, 1, 2)
        )
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SCHEMES), st.integers(0, 2**32), st.integers(2, 4))
def test_what_a_probe_has_seen_is_found_by_looking_at_every_cell(scheme, seed, wanted):
    classes, protein, members = population(seed)
    folds = deal(scheme, wanted, classes, protein, members, K, 0)
    names, code = np.unique(protein, return_inverse=True)
    seen = seen_by(folds, code, members)
    assert seen.shape == (len(names), folds.number)
    for p, name in enumerate(names):
        for fold in range(folds.number):
            training = members & (protein == name) & (folds.fold != fold)
            assert seen[p, fold] == training.any()
