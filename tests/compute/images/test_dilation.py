"""Growing masks: against every pair of pixels looked at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.images.dilation import diamond, grow_square, to_masks, to_words
from compute.store.reader import CropArrays


def naive(mask, reach, distance):
    inside = np.argwhere(mask)
    found = np.zeros_like(mask)
    for place in np.ndindex(*mask.shape):
        if len(inside):
            found[place] = distance(np.abs(inside - place)).min() <= reach
    return found


def grow_diamond(masks, pixels):
    return to_masks(diamond(to_words(masks), pixels), masks.shape[-1])


@pytest.mark.parametrize(
    ("grow", "distance"),
    [(grow_square, lambda steps: steps.max(1)), (grow_diamond, lambda steps: steps.sum(1))],
    ids=["square", "diamond"],
)
@given(
    shape=st.tuples(st.integers(1, 12), st.sampled_from([1, 7, 63, 64, 65, 130])),
    reach=st.integers(0, 14),
    seed=st.integers(0, 99),
)
def test_growing_is_the_naive_one(grow, distance, shape, reach, seed):
    mask = np.random.default_rng(seed).random(shape) < 0.02
    before = mask.copy()
    expected = naive(mask, reach, distance)
    assert np.array_equal(grow(mask, reach), expected)
    several = np.stack([mask, ~mask, np.zeros_like(mask)])
    assert np.array_equal(grow(several, reach)[0], expected)
    assert np.array_equal(mask, before)
    assert not grow(several, reach)[2].any()


def test_a_reach_beyond_a_word():
    mask = np.zeros((3, 300), bool)
    mask[1, 100] = True
    assert np.flatnonzero(grow_square(mask, 150)[0]).tolist() == list(range(251))


@given(
    side=st.sampled_from([1, 7, 8, 20, 24, 63, 64, 65, 72, 128, 130]),
    count=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_words_hold_the_masks_that_a_store_packs(side, count, seed):
    masks = np.random.default_rng(seed).random((count, side, side)) < 0.3
    packed = np.packbits(masks.reshape(count, side * side), axis=1)
    nothing = np.zeros((count, 1, side, side), np.uint8)
    arrays = CropArrays(nothing, packed, packed, nothing)
    words = arrays.words(packed)
    assert words.shape == (count, side, -(-side // 64))
    assert np.array_equal(words, to_words(masks))
    assert np.array_equal(to_masks(words, side), masks)
    # The first pixel is the highest bit.
    assert np.array_equal(words[:, :, 0] >> np.uint64(63), masks[:, :, 0])
