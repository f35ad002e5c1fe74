"""Which cells are looked at, and how explanations read."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.backgrounds.folds import Folds
from compute.explanations.ask import choose_cells, fill_seed
from compute.explanations.wording import cell_lines, change_in_points, summary_lines
from compute.probes.cells import Cells
from compute.schema import OCCLUSION_SUMMARY, OCCLUSIONS

ROW = {
    "model": "net", "cell": 3, "protein": "p", "localization": "actin", "kind": "centre",
    "piece": 1, "area": 90, "share": 0.1, "distance": 0, "centroid_distance": 0,
    "little_medium": False, "answer": "actin", "probability": 0.75, "fall": 0.5, "true_fall": 0.5,
    "answer_after": "ER", "changed": True,
}  # fmt: skip


def cells_of(classes, grid):
    many = len(classes)
    folds = Folds(np.zeros(many, np.int64), 2, np.full(3, 2), np.ones(3, np.int64))
    protein = np.array([f"p{i}" for i in range(many)], object)
    return Cells(np.array(classes, np.int64), protein, np.array(grid, bool), list("abc"), folds)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(-1, 2), st.booleans()), min_size=1, max_size=40),
    st.integers(1, 30), st.integers(0, 99),
)  # fmt: skip
def test_cells_are_of_all_classes_alike_and_depend_on_the_seed_alone(given_cells, most, seed):
    cells = cells_of(*zip(*given_cells, strict=True))
    chosen = choose_cells(cells, most, seed)
    able = np.flatnonzero(cells.tested)
    assert set(chosen) <= set(able)
    assert len(chosen) == min(most, len(able)) == len(set(chosen))
    assert (np.diff(chosen) > 0).all()
    there = np.bincount(cells.classes[able], minlength=3)
    taken = np.bincount(cells.classes[chosen], minlength=3)
    short = taken < there
    if short.any():
        assert taken.max() - taken[short].min() <= 1, "a class that has more gave as many"
    assert np.array_equal(chosen, choose_cells(cells, most, seed))


def test_seeds_differ_by_cell():
    seeds = [fill_seed(0, cell) for cell in range(100)]
    assert len(set(seeds)) == 100
    assert min(seeds) >= 0


def test_lines_of_one_cell_say_what_happens_and_that_there_is_no_neighbour():
    lines = list(cell_lines(pa.Table.from_pylist([ROW], OCCLUSIONS)))
    assert lines[0] == "net: cell 3 of p, of class actin; it answers actin (75.0%)"
    assert lines[2].split() == ["centre", "90", "0", "-50.0", "ER"]
    assert lines[3].strip() == "No neighbour is in its crop."
    near = {**ROW, "kind": "neighbour", "piece": 2, "distance": None, "changed": False}
    lines = list(cell_lines(pa.Table.from_pylist([near], OCCLUSIONS)))
    assert lines[2].split() == ["neighbour", "2", "90", "–", "-50.0", "the", "same"]
    assert len(lines) == 3


@pytest.mark.parametrize(("fall", "text"), [(0.0, "0.0"), (-1e-9, "0.0"), (0.123, "-12.3")])
def test_no_change_has_no_sign(fall, text):
    assert change_in_points(fall) == text


def test_the_summary_says_where_the_control_fails():
    row = {
        "model": "net", "quantity": "change", "kind": "nothing", "estimate": 2e-4, "ci_low": 0.0,
        "ci_high": 1e-3, "unit": "protein", "n_cells": 9, "n_proteins": 3, "n_pieces": 9,
    }  # fmt: skip
    lines = list(summary_lines(pa.Table.from_pylist([row], OCCLUSION_SUMMARY)))
    assert "Taking out nothing moves it by 2.0e-04" in lines[-1]
