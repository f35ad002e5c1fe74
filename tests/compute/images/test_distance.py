"""Distances from masks: against every pair of pixels, and against masks grown step by step."""

import numpy as np
import pytest

from compute.images.dilation import diamond, to_masks, to_words
from compute.images.distance import UNREACHED, steps_from


def naive(mask):
    inside = np.argwhere(mask)
    found = np.full(mask.shape, UNREACHED)
    for y, x in np.ndindex(*mask.shape):
        if len(inside):
            found[y, x] = min(np.abs(inside - [y, x]).sum(1).min(), UNREACHED)
    return found


@pytest.mark.parametrize("seed", range(10))
def test_steps_are_those_of_the_nearest_pair(seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((3, 17, 23)) > rng.choice([0.9, 0.99, 1])
    found = steps_from(masks)
    assert found.dtype == np.uint8
    for mask, steps in zip(masks, found, strict=True):
        assert np.array_equal(steps, naive(mask))


def test_steps_are_those_in_which_a_mask_grows():
    masks = np.random.default_rng(3).random((4, 40, 64)) > 0.995
    found = steps_from(masks)
    for k in range(0, 41, 4):
        assert np.array_equal(to_masks(diamond(to_words(masks), k), 64), found <= k)


def test_what_is_too_far_or_without_a_mask_is_unreached():
    masks = np.zeros((2, 3, 400), bool)
    masks[0, 1, 0] = True
    found = steps_from(masks)
    assert found[0, 1, 254] == 254
    assert (found[0, :, 255:] == UNREACHED).all()
    assert (found[1] == UNREACHED).all()
