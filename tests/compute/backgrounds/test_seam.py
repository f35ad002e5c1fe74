"""The seam: means over rings as one would take them by hand, and what is far."""

import numpy as np
import pytest

from compute.backgrounds.seam import SEAM_LIMIT, far_at_the_seam, ring_change

CELLS, TRIALS, CHANNELS, PIXELS, SCALES = 3, 8, 2, 81, 5


def drawn(dtype, seed=0):
    """Arguments of `far_at_the_seam`: backgrounds that are near the cells' own, and far."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60_000, (CELLS + 4, CHANNELS, PIXELS)).astype(dtype)
    pixels[CELLS:] = pixels[CELLS:] // 2 + (15_000 + 6_000 * (seed % 4)) // (
        257 if dtype is np.uint8 else 1
    )
    ring = rng.random((CELLS, PIXELS)) < 0.2
    layers = rng.integers(0, SCALES + 1, (TRIALS, PIXELS)).astype(np.uint8)
    glow = rng.uniform(0, 500, (CELLS + 1, CHANNELS, PIXELS)).astype(np.float32)
    return (
        pixels, ring, layers, glow,
        rng.integers(0, CELLS, TRIALS), rng.integers(0, len(pixels), TRIALS),
        rng.integers(0, CELLS + 1, TRIALS),
        rng.uniform(0.5, 1.5, (TRIALS, CHANNELS, SCALES)).astype(np.float32),
        rng.uniform(-9000, 9000, (TRIALS, CHANNELS, SCALES)).astype(np.float32),
    )  # fmt: skip


def naive_change(pixels, ring, layers, glow, centre, background, lit, factor, offset, t):
    """Compose the trial, then compare: pixel by pixel."""
    change = []
    for c in range(CHANNELS):
        own = pixels[centre[t], c].astype(float)
        made = own.copy()
        for p in np.flatnonzero(layers[t]):
            k = layers[t, p] - 1
            value = float(pixels[background[t], c, p]) * factor[t, c, k] + offset[t, c, k]
            made[p] = value + glow[lit[t], c, p]
        inside = ring[centre[t]]
        change.append((made - own)[inside].sum() / max(inside.sum(), 1))
    return np.array(change)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_changes_at_the_ring_are_the_naive_ones(dtype):
    arguments = drawn(dtype)
    arguments[1][1] = False
    found = ring_change(*arguments)
    for t in range(TRIALS):
        assert np.allclose(found[t], naive_change(*arguments, t), rtol=1e-5, atol=1e-2)
    assert (found[arguments[4] == 1] == 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_far_is_the_naive_one(seed):
    arguments = drawn(np.uint16, seed)
    found = far_at_the_seam(*arguments)
    for t in range(TRIALS):
        own = arguments[0][arguments[4][t]]
        extent = np.array([np.subtract(*np.percentile(channel, (99.5, 1))) for channel in own])
        change = np.abs(naive_change(*arguments, t))
        assert found[t] == (change > SEAM_LIMIT * extent).any()


def test_one_far_channel_is_enough_and_no_ring_is_near():
    pixels = np.zeros((2, CHANNELS, PIXELS), np.uint16)
    pixels[0, :, 0] = 100
    pixels[1, 1] = 5000
    ring, nought = np.zeros((1, PIXELS), bool), np.zeros(1, np.int64)
    layers, dark = np.ones((1, PIXELS), np.uint8), np.zeros((2, CHANNELS, PIXELS), np.float32)
    one, zero = np.ones((1, CHANNELS, 1), np.float32), np.zeros((1, CHANNELS, 1), np.float32)
    rest = (layers, dark, nought)
    assert not far_at_the_seam(pixels, ring, *rest, nought + 1, nought + 1, one, zero + 9).any()
    ring[0, 4] = True
    assert far_at_the_seam(pixels, ring, *rest, nought + 1, nought + 1, one, zero).all()
    assert not far_at_the_seam(pixels, ring, *rest, nought, nought + 1, one, zero).any()
    kept = (np.zeros_like(layers), dark, nought)
    assert not far_at_the_seam(pixels, ring, *kept, nought + 1, nought + 1, one, zero).any()
