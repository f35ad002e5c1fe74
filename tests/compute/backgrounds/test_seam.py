"""The seam: means over rings as one would take them by hand, and what is far."""

import numpy as np
import pytest

from compute.backgrounds.seam import SEAM_LIMIT, far_at_the_seam, ring_means

CELLS, TRIALS, CHANNELS, SIDE = 3, 8, 2, 9


def drawn(dtype, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60_000, (CELLS + 4, CHANNELS, SIDE, SIDE)).astype(dtype)
    ring = rng.random((CELLS, SIDE, SIDE)) < 0.2
    centre = rng.integers(0, CELLS, TRIALS)
    background = rng.integers(0, len(pixels), TRIALS)
    return pixels, ring, centre, background


def naive_mean(image, ring):
    return np.array([channel[ring].astype(float).sum() / max(ring.sum(), 1) for channel in image])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_ring_means_are_the_naive_ones(dtype):
    pixels, ring, centre, background = drawn(dtype)
    ring[1] = False
    flat, rings = pixels.reshape(*pixels.shape[:2], -1), ring.reshape(CELLS, -1)
    found = ring_means(flat, rings, centre, background)
    for t in range(TRIALS):
        assert np.allclose(found[t], naive_mean(pixels[background[t]], ring[centre[t]]), rtol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_far_is_the_naive_one(seed):
    pixels, ring, centre, background = drawn(np.uint16, seed)
    pixels[CELLS:] = pixels[CELLS:] // 2 + 15_000 + 6_000 * (seed % 4)
    rng = np.random.default_rng(seed)
    factor = rng.uniform(0.5, 1.5, (TRIALS, CHANNELS)).astype(np.float32)
    offset = rng.uniform(-9000, 9000, (TRIALS, CHANNELS)).astype(np.float32)
    found = far_at_the_seam(pixels, ring, centre, background, factor, offset)
    for t in range(TRIALS):
        own = pixels[centre[t]]
        extent = [np.subtract(*np.percentile(channel, (99.5, 1))) for channel in own]
        level = naive_mean(pixels[background[t]], ring[centre[t]]) * factor[t] + offset[t]
        difference = np.abs(level - naive_mean(own, ring[centre[t]]))
        assert found[t] == (difference > SEAM_LIMIT * np.array(extent)).any()


def test_one_far_channel_is_enough_and_no_ring_is_near():
    pixels = np.zeros((2, CHANNELS, SIDE, SIDE), np.uint16)
    pixels[0, :, 0, 0] = 100
    pixels[1, 1] = 5000
    one, zero = np.ones((1, CHANNELS), np.float32), np.zeros((1, CHANNELS), np.float32)
    ring, nought = np.zeros((1, SIDE, SIDE), bool), np.zeros(1, np.int64)
    assert not far_at_the_seam(pixels, ring, nought, nought + 1, one, zero + 9).any()
    ring[0, 4, 4] = True
    assert far_at_the_seam(pixels, ring, nought, nought + 1, one, zero).all()
    assert not far_at_the_seam(pixels, ring, nought, nought, one, zero).any()
