"""Pieces of neighbours: a naive twin, and what holds for any crop."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compute.images.pieces import SPECK, neighbour_pieces


@st.composite
def crops(draw):
    """A centre cell, every cell, and which cell each pixel is of."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    labels = draw(arrays.arrays(np.int32, shape, elements=st.integers(0, 3), fill=st.just(0)))
    return labels == 1, labels > 0, labels


def naive(mask, foreground, labels, speck):
    """Pieces as sets of pixels, found by walking, in their order."""
    left = {tuple(p) for p in np.argwhere(foreground & ~mask).tolist()}
    found = []
    while left:
        piece, waiting = set(), [min(left)]
        while waiting:
            y, x = waiting.pop()
            if (y, x) not in left:
                continue
            left.remove((y, x))
            piece.add((y, x))
            around = [(y + v, x + u) for v in (-1, 0, 1) for u in (-1, 0, 1)]
            waiting += [p for p in around if p in left and labels[p] == labels[y, x]]
        found.append(piece)
    cell = np.argwhere(mask)

    def away(piece):
        steps = [np.abs(cell - p).sum(1).min() for p in map(np.array, piece)] if len(cell) else [0]
        return min(steps), min(piece)

    found.sort(key=away)
    large = [piece for piece in found if len(piece) >= speck]
    specks = set().union(*(piece for piece in found if len(piece) < speck))
    return large + ([specks] if specks else [])


@settings(max_examples=60)
@given(crops(), st.booleans(), st.integers(1, 6))
def test_pieces_are_those_that_one_finds_by_walking(crop, known, speck):
    mask, foreground, labels = crop
    found = neighbour_pieces(mask, foreground, labels if known else None, speck)
    kinds = labels if known else foreground.astype(int)
    expected = naive(mask, foreground, kinds, speck)
    pieces = [set(map(tuple, np.argwhere(found == k).tolist())) for k in range(1, found.max() + 1)]
    assert pieces == expected


@settings(max_examples=60)
@given(crops(), st.integers(1, 20))
def test_pieces_are_disjoint_and_areas_add_up(crop, speck):
    mask, foreground, _ = crop
    found = neighbour_pieces(mask, foreground, speck=speck)
    assert np.array_equal(found > 0, foreground & ~mask)
    areas = np.bincount(found.ravel(), minlength=2)
    assert areas[1:].sum() == (foreground & ~mask).sum()
    assert (areas[1:-1] >= speck).all()


def test_touching_neighbours_are_one_piece_unless_labels_tell_them_apart():
    labels = np.zeros((10, 20), np.int32)
    labels[2:8, 0:4] = 1
    labels[2:8, 8:12], labels[2:8, 12:16] = 2, 3
    mask, foreground = labels == 1, labels > 0
    assert neighbour_pieces(mask, foreground).max() == 1
    apart = neighbour_pieces(mask, foreground, labels)
    assert [int(apart[4, x]) for x in (9, 13)] == [1, 2]


def test_specks_are_the_last_piece_together():
    mask, foreground = np.zeros((2, 20, 20), bool)
    mask[8:12, 8:12] = foreground[8:12, 8:12] = True
    foreground[8, 12] = foreground[0, 0] = True
    foreground[15:19, 15:19] = True
    found = neighbour_pieces(mask, foreground)
    assert SPECK == 16
    assert (found[16, 16], found[8, 12], found[0, 0]) == (1, 2, 2)


def test_without_neighbours_there_is_no_piece():
    mask = np.zeros((8, 8), bool)
    mask[2:5, 2:5] = True
    assert not neighbour_pieces(mask, mask).any()
