"""Growing and shrinking masks against scipy, and what holds for every mask."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn_arrays
from scipy import ndimage

from compute.images.dilation import moved, to_masks, to_words

MASKS = st.tuples(st.integers(1, 12), st.integers(1, 140)).flatmap(
    lambda shape: drawn_arrays(bool, (2, *shape))
)


def naive(masks, pixels):
    """Move each mask with scipy; beyond the image lies neither mask nor outside."""
    if pixels == 0:
        return masks
    if pixels > 0:
        return np.array([ndimage.binary_dilation(m, iterations=pixels) for m in masks])
    return np.array([ndimage.binary_erosion(m, iterations=-pixels, border_value=1) for m in masks])


def move(masks, pixels):
    return to_masks(moved(to_words(masks), pixels, masks.shape[-1]), masks.shape[-1])


@given(MASKS, st.integers(-8, 8))
def test_masks_are_moved_as_scipy_moves_them(masks, pixels):
    assert np.array_equal(move(masks, pixels), naive(masks, pixels))


@given(MASKS, st.integers(-8, 7))
def test_a_larger_shift_never_loses_a_pixel(masks, pixels):
    assert not (move(masks, pixels) & ~move(masks, pixels + 1)).any()


@given(MASKS, st.integers(0, 8))
def test_what_was_shrunk_and_grown_again_lies_within_the_mask(masks, pixels):
    assert not (move(move(masks, -pixels), pixels) & ~masks).any()
    assert not (masks & ~move(move(masks, pixels), -pixels)).any()
