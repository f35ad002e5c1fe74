"""Cells in units, sums over them, and means by class, against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.statistics import resampling_units as module
from compute.statistics.bootstrap import Resampling, resample
from compute.statistics.resampling_units import add, make_units, means, scopes

NAMES = ["actin", "ER", "Golgi", "nucleus"]


def population(seed, cells=60, proteins=9):
    """Cells of proteins, mostly of one class each; some without a class."""
    rng = np.random.default_rng(seed)
    protein = rng.integers(0, proteins, cells).astype(np.int32)
    classes = np.where(rng.random(cells) < 0.1, rng.integers(-1, 4, cells), protein % 4)
    return classes, protein


@pytest.mark.parametrize("by_protein", [True, False])
@given(st.integers(0, 2**32))
def test_units_are_proteins_within_a_class_or_cells(by_protein, seed):
    classes, protein = population(seed)
    found = make_units(classes, protein, np.array([0, 1, 3]), by_protein, 4)
    assert found.kind == ("protein" if by_protein else "cell")
    assert found.count == len(found.classes) == len(found.protein) == found.of.max(initial=-1) + 1
    assert (np.diff(found.protein) >= 0).all()
    cells_of = {}
    for cell, unit in enumerate(found.of):
        assert (unit >= 0) == (classes[cell] in (0, 1, 3))
        if unit >= 0:
            assert (found.classes[unit], found.protein[unit]) == (classes[cell], protein[cell])
            cells_of.setdefault(int(unit), []).append(cell)
    pairs = {(classes[some[0]], protein[some[0]]) for some in cells_of.values()}
    if by_protein:
        assert len(cells_of) == len(pairs)
    else:
        assert all(len(some) == 1 for some in cells_of.values())


def test_a_proteins_many_cells_share_units_evenly(monkeypatch):
    monkeypatch.setattr(module, "MOST_PARTS", 7)
    protein = np.repeat([0, 1], [25, 4]).astype(np.int32)
    found = make_units(np.zeros(29, int), protein, np.array([0]), False, 1)
    assert found.count == 7 + 4
    assert sorted(np.bincount(found.of)) == sorted([4, 4, 4, 4, 3, 3, 3, 1, 1, 1, 1])


def test_choosing_units_leaves_the_cells_of_the_others_out():
    classes, protein = population(1)
    whole = make_units(classes, protein, np.arange(4), True, 4)
    chosen = np.arange(whole.count) % 3 != 1
    some = whole.take(chosen)
    assert some.count == chosen.sum()
    for before, after in zip(whole.of, some.of, strict=True):
        if before < 0 or not chosen[before]:
            assert after == -1
        else:
            assert some.protein[after] == whole.protein[before]
            assert some.classes[after] == whole.classes[before]


@given(st.integers(0, 2**32), st.integers(0, 40))
def test_adding_equals_a_loop(seed, n):
    rng = np.random.default_rng(seed)
    total, expected = np.ones((12, 3)), np.ones((12, 3))
    unit, column, values = rng.integers(2, 12, n), rng.integers(0, 3, n), rng.normal(size=n)
    add(total, unit, column, values)
    for u, c, v in zip(unit, column, values, strict=True):
        expected[u, c] += v
    assert np.allclose(total, expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_means_are_over_a_classs_cells_then_over_classes(seed, each):
    rng = np.random.default_rng(seed)
    units = make_units(*population(seed), np.array([0, 2, 3]), True, 4)
    n = rng.integers(0, 4, (units.count, 2) if each else units.count).astype(float)
    over = rng.random((units.count, 2)) * n.reshape(units.count, -1)
    found = means(over, n, Resampling(units.classes, 4, 40, 1))
    weights = np.concatenate([np.ones((1, units.count)), resample(units.classes, 40, 1)])
    values = [found.point, *found.draws]
    for w, value in zip(weights, values, strict=True):
        by_class = np.full((4, 2), np.nan)
        for k in range(4):
            for f in range(2):
                here = units.classes == k
                cells = (w * (n[:, f] if each else n))[here].sum()
                if cells > 0:
                    by_class[k, f] = (w * over[:, f])[here].sum() / cells
        assert np.allclose(value[1:], by_class, equal_nan=True)
        for f in range(2):
            there = by_class[np.isfinite(by_class[:, f]), f]
            expected = there.mean() if len(there) else np.nan
            assert np.allclose(value[0, f], expected, equal_nan=True)


def test_scopes_count_what_gave_answers():
    units = make_units(
        np.array([0, 0, 1, 1, 3]), np.array([0, 1, 2, 3, 4], np.int32), np.array([0, 1, 3]), True, 4
    )
    found = list(scopes(units, np.array([3.0, 2, 4, 0, 0]), NAMES))
    assert [scope.columns for scope in found] == [
        {"scope": "overall", "localization": None, "n_cells": 9, "n_proteins": 3},
        {"scope": "localization", "localization": "actin", "n_cells": 5, "n_proteins": 2},
        {"scope": "localization", "localization": "ER", "n_cells": 4, "n_proteins": 1},
    ]
    assert [(scope.index, scope.freedom) for scope in found] == [(0, 1), (1, 1), (2, 0)]
