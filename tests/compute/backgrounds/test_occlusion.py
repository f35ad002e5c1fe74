"""Pieces taken out of crops: as composing takes cells out, and nothing else is touched."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.backgrounds.compose import compose
from compute.backgrounds.glow import GLOW, HALO
from compute.backgrounds.harmonise import measure
from compute.backgrounds.occlusion import MOST_MEDIUM, medium_patch, occlude
from compute.images.distance import steps_from
from compute.images.fill_holes import fill_batch, medium_mask
from compute.schema import Piece
from tests.compute.synthetic_cells import SIDE, crop_arrays

N = 6
ARRAYS = crop_arrays(N)
MASKS, FOREGROUNDS = ARRAYS.unpack(ARRAYS.masks), ARRAYS.unpack(ARRAYS.foregrounds)


def of(row, seed=3, **more):
    return occlude(ARRAYS.images[row], MASKS[row], FOREGROUNDS[row], seed, **more)


@settings(max_examples=25)
@given(st.integers(0, N - 1), st.integers(0, 2**62), st.booleans())
def test_filling_touches_nothing_outside_the_piece_and_its_light(row, seed, glow):
    found, image = of(row, seed, glow=glow), ARRAYS.images[row].astype(np.float32)
    assert np.array_equal(found.images[0], image)
    for piece, kind, changed in zip(found.pieces[1:], found.kinds, found.images[1:], strict=True):
        steps = steps_from(piece[None])[0]
        touched = (changed != image).any(0)
        assert not touched[steps > (GLOW if glow else HALO)].any()
        if kind is not Piece.CENTRE:
            assert not touched[MASKS[row]].any(), "the cell keeps its own pixels"
        if not glow:
            assert not touched[FOREGROUNDS[row] & ~piece].any()
            medium = image[:, medium_mask(FOREGROUNDS[row])].T.tolist()
            assert set(map(tuple, changed[:, piece].T.tolist())) <= set(map(tuple, medium))
        if kind is Piece.NOTHING:
            assert not touched.any()


def test_pieces_cover_the_neighbours_once_and_the_scene_lacks_each():
    for row in range(N):
        found = of(row)
        near = [k for k, kind in enumerate(found.kinds) if kind is Piece.NEIGHBOUR]
        others = FOREGROUNDS[row] & ~MASKS[row]
        assert np.array_equal(found.pieces[1:][near].sum(0), others)
        assert found.areas[near].sum() == others.sum()
        assert np.array_equal(found.neighbours[0], others)
        for k in near:
            assert np.array_equal(found.neighbours[1 + k], others & ~found.pieces[1 + k])
        assert found.kinds[0] is Piece.NOTHING
        assert found.kinds[-1] is Piece.CENTRE
        assert np.array_equal(found.pieces[-1], MASKS[row])
        patch = found.pieces[1 + found.kinds.index(Piece.MEDIUM)]
        assert not (patch & ~medium_mask(FOREGROUNDS[row])).any()
        assert patch.sum() <= found.areas[near].max()


def test_distances_are_the_steps_to_the_cell():
    found = of(0)
    cell = np.argwhere(MASKS[0])
    for k, piece in enumerate(found.pieces[1:]):
        if piece.any():
            pixels = np.argwhere(piece)
            middle = np.array([round(v) for v in pixels.mean(0)])
            apart = np.abs(pixels[:, None] - cell).sum(2).min()
            assert found.distance[k] == apart
            assert found.centroid_distance[k] == np.abs(middle - cell).sum(1).min()
    assert found.distance[0] == -1


@pytest.mark.parametrize("paste", ["glow", "hard"])
def test_the_centre_is_taken_out_as_the_run_does_it(paste):
    scales = measure(
        "none", pd.DataFrame({"protein": ["p"] * N, "field": ["f"] * N}),
        pd.DataFrame({"protein": [], "field": []}), ARRAYS, 0,
    )  # fmt: skip
    trials = pd.DataFrame(
        {"cell": range(N), "condition": "background_only", "donor": -1, "seed": 11, "repeat": 0}
    )
    composed = compose(trials, ARRAYS, scales, paste=paste)
    for row in range(N):
        found = of(row, 11, glow=paste == "glow")
        assert np.array_equal(found.images[-1], composed.images[row])


def test_a_neighbour_is_filled_as_any_hole_is():
    found, row = of(1, 5, glow=False), 1
    k = 1 + found.kinds.index(Piece.NEIGHBOUR)
    piece, others = found.pieces[k], FOREGROUNDS[row] & ~found.pieces[k]
    hole = (steps_from(piece[None])[0] <= HALO) & ~others
    filled, _ = fill_batch(ARRAYS.images[[row]], hole[None], FOREGROUNDS[[row]], np.array([5]))
    assert np.array_equal(found.images[k], filled[0].astype(np.float32))


def test_without_neighbours_or_medium_these_kinds_are_missing():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10:20, 10:20] = True
    alone = occlude(ARRAYS.images[0], mask, mask, 0)
    assert alone.kinds == (Piece.NOTHING, Piece.MEDIUM, Piece.CENTRE)
    assert alone.areas.tolist() == [0, 100, 100]
    full = np.ones((SIDE, SIDE), bool)
    assert occlude(ARRAYS.images[0], mask, full, 0).kinds == (
        Piece.NOTHING, Piece.NEIGHBOUR, Piece.CENTRE,
    )  # fmt: skip
    assert occlude(ARRAYS.images[0], ~full, ~full, 0).kinds == (Piece.NOTHING,)


@settings(max_examples=25)
@given(st.integers(0, N - 1), st.integers(1, 2000), st.integers(0, 2**62))
def test_a_patch_of_medium_has_the_area_that_is_wanted(row, area, seed):
    patch = medium_patch(MASKS[row], FOREGROUNDS[row], area, seed)
    assert not (patch & FOREGROUNDS[row]).any()
    assert patch.sum() <= area
    assert patch.sum() == area or patch.sum() > 20, MOST_MEDIUM
