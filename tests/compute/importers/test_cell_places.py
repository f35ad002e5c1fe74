"""Which row is about which label: naive twins, and rows that do not fit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.errors import InputError
from compute.importers.cell_places import check_hits, rows_of_labels, unplaced, values_at
from compute.importers.cell_rows import attribute_columns, cell_rows, whole_numbers
from compute.importers.field_record import CellRows
from compute.importers.masks import Understood
from compute.importers.tiff import CropRejected
from tests.compute.importers.drawn_plate import draw

FIELD = draw()[0]


def marked(*, renumbered=False):
    names = np.array(FIELD.numbers)
    labels = np.where(FIELD.labels > 0, np.searchsorted(names, FIELD.labels) + 1, 0)
    return Understood(labels.astype(np.int32), names, frozenset(), renumbered)


def rows(order, *, centres=True, numbers=True, kind=None):
    order = np.asarray(order)
    kinds = tuple({"localization": str(n)} for n in range(99))
    return CellRows(
        FIELD.centres[order] if centres else None,
        np.array(FIELD.numbers)[order] if numbers else None,
        kinds,
        (order if kind is None else np.asarray(kind)).astype(np.int32),
    )


@given(st.permutations(range(18)), st.booleans(), st.booleans(), st.integers(6, 18))
@settings(max_examples=40)
def test_rows_in_any_order_go_to_their_labels(order, centres, numbers, most):
    order = order[:most]
    if not (centres or numbers):
        centres = True
    found = rows_of_labels(rows(order, centres=centres, numbers=numbers), marked(), 1)
    assert found == {label: place for place, label in enumerate(order)}


@given(
    st.lists(st.tuples(st.floats(-50, 300), st.floats(-50, 300)), min_size=1, max_size=20),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_values_at_centres(places, scale):
    image = np.arange(1, 1 + 152 * 184).reshape(152, 184)
    found = values_at(image, np.array(places), scale)
    for (x, y), value in zip(places, found, strict=True):
        column, row = np.floor((x + 0.5) * scale), np.floor((y + 0.5) * scale)
        inside = 0 <= row < 152 and 0 <= column < 184
        assert value == (image[int(row), int(column)] if inside else 0)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e300])
def test_places_that_are_nowhere(odd):
    assert values_at(np.ones((5, 5), int), np.array([[odd, 1.0], [1.0, 1.0]])).tolist() == [0, 1]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=25))
def test_the_second_centre_at_a_place_is_of_no_use(places):
    centres = np.array(places) / 3
    wanted, kept = set(), []
    for row, centre in enumerate(centres):
        if any(np.hypot(*(centre - centres[other])) < 1 for other in kept):
            wanted.add(row)
        else:
            kept.append(row)
    assert set(unplaced(centres)) == wanted


def test_contradictions_and_numbers_of_others():
    twice = rows([0, 1, 2, 0], kind=[0, 1, 2, 5])
    assert rows_of_labels(twice, marked(), 1) == {1: 1, 2: 2}
    wrong = CellRows(FIELD.centres, np.roll(FIELD.numbers, 1), ({},), np.zeros(18, np.int32))
    with pytest.raises(CropRejected, match="numbers and places"):
        rows_of_labels(wrong, marked(), 1)
    with pytest.raises(CropRejected, match="labels without"):
        rows_of_labels(rows(range(18), centres=False), marked(renumbered=True), 1)
    found = rows_of_labels(rows(range(18)), marked(renumbered=True), 1)
    assert found == {n: n for n in range(18)}
    with pytest.raises(CropRejected, match="would if x and y were exchanged"):
        check_hits(np.zeros(9, bool), np.ones(9, bool), "cells")
    check_hits(np.zeros(3, bool), np.ones(3, bool), "too few to tell")


def test_what_rows_share_is_said_of_the_field():
    frame = pd.DataFrame({"gene": ["A", "A"], "class": ["n", "n"], "rep": ["1", "2"]})
    columns, notes = attribute_columns(list(frame), None, None, "t.csv")
    assert columns == {"protein": "gene", "localization": "class", "replicate": "rep"}
    assert len(notes) == 3
    made, known = cell_rows(frame, columns, None, np.array([1, 2]))
    assert known == {"protein": "A", "localization": "n"}
    assert [dict(kind)["replicate"] for kind in made.kinds] == ["1", "2"]
    made, known = cell_rows(frame, columns, None, np.array([1, 2]), ("protein",))
    assert known == {"protein": "A"}
    assert all(kind["localization"] == "n" and kind["protein"] == "A" for kind in made.kinds)
    with pytest.raises(InputError, match=r"no column 'x' \(--class-column\)"):
        attribute_columns(list(frame), None, "x", "t.csv")


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1.5, 1e300, -1e18])
def test_numbers_of_labels_are_whole(odd):
    assert whole_numbers(np.array([3.0, -1.0]), "t").tolist() == [3, -1]
    with pytest.raises(InputError, match="is no number of a label"):
        whole_numbers(np.array([3.0, odd]), "t")
