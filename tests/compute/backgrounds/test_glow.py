"""Glow: measured, taken away and drawn as one would pixel by pixel."""

import numpy as np
import pytest

from compute.backgrounds.glow import (
    DECAY,
    GLOW,
    HALO,
    LEAST_SEEN,
    NEAREST,
    STEEPS,
    glow_by_distance,
    layers_of,
    medium_light,
    neighbours_of,
    take_glow_away,
)
from compute.images.dilation import to_words
from compute.images.distance import UNREACHED, steps_from

CROPS, CHANNELS, SIDE = 6, 2, 40


def scene(seed=0, dtype=np.float32):
    """Crops of noise, distances from a cell at the centre and from a neighbour; one has none."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(400, 30, (CROPS, CHANNELS, SIDE, SIDE)).astype(dtype)
    masks = np.zeros((2, CROPS, SIDE, SIDE), bool)
    for i in range(CROPS):
        masks[0, i, 14 : 24 + i % 3, 15 : 25 - i % 2] = True
        masks[1, i, : 4 + 2 * i] = True
    masks[1, 0] = False
    masks[1] &= ~masks[0]
    steps, other = (steps_from(each).reshape(CROPS, -1) for each in masks)
    return pixels.reshape(CROPS, CHANNELS, -1), steps, other


def naive_glow(pixels, level, steps, other):
    """One crop and channel: means by distance; what is not seen comes from its inner side."""
    mean = {}
    for k in range(1, GLOW + 1):
        values = [v for v, s, o in zip(pixels, steps, other, strict=True) if s == k and o > HALO]
        if len(values) >= LEAST_SEEN:
            mean[k] = max(float(np.mean(np.asarray(values, float))) - level, 0.0)
    glow = np.zeros(GLOW + 2)
    if not mean:
        return glow
    first = min(mean)
    for k in range(1, GLOW + 1):
        glow[k] = mean[first] if k <= first else mean.get(k, glow[k - 1] * DECAY)
    return glow


@pytest.mark.parametrize("seed", range(5))
def test_glow_by_distance_is_the_naive_one(seed):
    pixels, steps, other = scene(seed)
    other[3] = 0  # another cell everywhere: nothing is seen
    other[4] = np.where(steps[4] > 5, other[4], 0)  # nothing near
    other[5] = np.where((steps[5] < 3) | (steps[5] > 6), other[5], 0)  # nothing between
    level = np.full((CROPS, CHANNELS), 395, np.float32)
    found = glow_by_distance(pixels, level, steps, other)
    for i in range(CROPS):
        for c in range(CHANNELS):
            expected = naive_glow(pixels[i, c], 395, steps[i], other[i])
            assert np.allclose(found[i, c], expected, rtol=1e-4, atol=1e-3)
    assert not found[3].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_glow_is_taken_from_where_neighbours_are_near_and_theirs_put_into_the_hole(dtype):
    pixels, steps, other = scene(dtype=dtype)
    rng = np.random.default_rng(1)
    own, others = rng.uniform(0, 60, (2, CROPS, CHANNELS, GLOW + 2)).astype(np.float32)
    others[..., GLOW + 1] = own[..., GLOW + 1] = own[..., 0] = 0
    before, whole = pixels.copy(), np.issubdtype(dtype, np.integer)
    top = float(np.iinfo(dtype).max) if whole else 0.0
    take_glow_away(pixels, top, steps, other, own, others)
    for i, c, p in np.ndindex(*pixels.shape):
        k, j = min(steps[i, p], GLOW + 1), min(other[i, p], GLOW + 1)
        expected = float(before[i, c, p])
        if k == 0 or (k <= HALO < j):
            expected += others[i, c, j]
        elif j <= HALO:
            expected -= own[i, c, k]
        expected = np.clip(expected, 0, top) if whole else expected
        assert abs(float(pixels[i, c, p]) - expected) <= (0.5001 if whole else 1e-4)
    assert (pixels != before).any()


def test_layers_are_the_naive_ones():
    _, steps, other = scene()
    rng = np.random.default_rng(2)
    cell = rng.integers(0, CROPS, 9)
    shown = rng.permuted(np.tile(other, (2, 1))[:9], axis=1)
    found = layers_of(cell, steps, other, shown)
    for t, p in np.ndindex(*found.shape):
        away, beside, near = steps[cell[t], p], other[cell[t], p], int(shown[t, p])
        if away == 0 or (away <= GLOW and beside > HALO and near > HALO):
            assert found[t, p] == 0
        else:
            assert found[t, p] == np.clip(near - NEAREST, 0, STEEPS - 1) + 1


def test_neighbours_are_counted_outside_the_pasted_cell():
    _, steps, other = scene()
    cell = np.array([1, 2, 0, 4, 5])
    shown = other[[4, 5, 0, 2, 2]]
    fraction, distance = neighbours_of(cell, steps, shown, 12)
    for t, u in enumerate(cell):
        visible = (shown[t] == 0) & (steps[u] > 0)
        assert fraction[t] == pytest.approx(visible.mean())
        nearest = steps[u][visible].min(initial=UNREACHED)
        assert distance[t] == nearest if nearest <= 12 else np.isnan(distance[t])
    assert np.isnan(distance).any()
    assert (distance[~np.isnan(distance)] <= 12).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_mediums_level_and_noise_are_mean_and_standard_deviation(dtype):
    rng = np.random.default_rng(0)
    images = rng.uniform(100, 200, (3, CHANNELS, SIDE, SIDE)).astype(dtype)
    medium = rng.random((3, SIDE, SIDE)) < np.array([0.5, 0.01, 0])[:, None, None]
    level, noise, known = medium_light(images, to_words(medium))
    for i in range(2):
        inside = images[i][:, medium[i]].astype(float)
        assert np.allclose(level[i], inside.mean(1), rtol=1e-5)
        assert np.allclose(noise[i], inside.std(1), rtol=1e-4)
    assert known.tolist() == [True, False, False]
    assert not level[2].any()
