"""Contrast of masks, and surroundings that are gone, against plain loops and at their edges."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.images.contrast import GAP, LEAST_PIXELS, REACH, contrasts, without_surroundings

SIDE = 48


def disc(y, x, radius):
    rows, columns = np.ogrid[:SIDE, :SIDE]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def near(mask, pixels):
    found = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        found[
            max(y - pixels, 0) : y + pixels + 1, max(x - pixels, 0) : x + pixels + 1
        ] = True  # fmt: skip
    return found


def naive(image, mask, foreground):
    ring = near(mask, REACH) & ~near(mask, GAP) & ~near(foreground & ~mask, GAP)
    if mask.sum() < LEAST_PIXELS or ring.sum() < LEAST_PIXELS:
        return np.nan, np.nan
    middle = np.median(image[mask])
    darker = sum(1.0 if value < middle else 0.5 if value == middle else 0 for value in image[ring])
    cell, around = image[mask], image[ring]
    error = math.sqrt(cell.var() / cell.size + around.var() / around.size)
    return darker / ring.sum(), (cell.mean() - around.mean()) / max(error, 1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_contrasts_equal_the_naive_twin(seed):
    rng = np.random.default_rng(seed)
    masks = np.stack([disc(*rng.uniform(0, SIDE, 2), rng.uniform(0, 30)) for _ in range(3)])
    others = np.stack([disc(*rng.uniform(0, SIDE, 2), rng.uniform(0, 20)) for _ in range(3)])
    images = rng.integers(0, 9, (3, 2, SIDE, SIDE)).astype(rng.choice(["uint8", "float32"]))
    found = contrasts(images, masks, masks | others)
    wanted = [
        [naive(image.astype(float), mask, mask | other) for image in channels]
        for channels, mask, other in zip(images, masks, others, strict=True)
    ]
    assert np.allclose(np.stack(found, -1), wanted, equal_nan=True)


def test_contrast_is_1_on_a_cell_and_a_half_beside_it():
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (1, 1, SIDE, SIDE)) + 5 * disc(24, 24, 8)
    for mask, low, high in ((disc(24, 24, 8), 0.99, 1), (disc(40, 8, 6), 0.4, 0.6)):
        found, difference = contrasts(image, mask[None], mask[None])
        assert low <= found[0, 0] <= high
        assert (abs(difference[0, 0]) > 5) == (low > 0.9)
        dark, _ = contrasts(-image, mask[None], mask[None])
        assert dark[0, 0] == pytest.approx(1 - found[0, 0])


PAINTED = {
    "black": lambda image, outside, rng: np.where(outside, 0, image),
    "mean": lambda image, outside, rng: np.where(outside, image.mean(), image),
    "black beyond a soft edge": lambda image, outside, rng: np.where(~near(~outside, 6), 0, image),
    "with a hot pixel": lambda image, outside, rng: np.where(outside & (image < 130), 0, image),
}


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("name", PAINTED)
def test_surroundings_that_were_painted_over_are_gone(name, kind):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        mask = disc(24, 24, 8)
        image = 100 + rng.normal(0, 9, (SIDE, SIDE)) + 60 * mask
        painted = PAINTED[name](image, ~mask, rng)
        both = np.stack([image, painted])[None].astype(kind)
        assert without_surroundings(both, mask[None]).tolist() == [[False, True]]


def test_a_crop_without_a_mask_is_judged_by_its_edge():
    rng = np.random.default_rng(0)
    image = rng.integers(50, 90, (2, SIDE, SIDE))
    image[1, ~disc(24, 24, 15)] = 0
    none = np.zeros((1, SIDE, SIDE), bool)
    assert without_surroundings(image[None], none).tolist() == [[False, True]]


def test_a_neighbour_is_enough_of_a_surrounding():
    rng = np.random.default_rng(0)
    image = np.where(disc(24, 24, 8) | disc(8, 8, 6), rng.integers(50, 90, (SIDE, SIDE)), 0)
    assert not without_surroundings(image[None, None], disc(24, 24, 8)[None]).any()


def test_a_mask_that_fills_the_crop_says_nothing():
    image = np.zeros((1, 1, SIDE, SIDE))
    assert not without_surroundings(image, np.ones((1, SIDE, SIDE), bool)).any()
