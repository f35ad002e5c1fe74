"""Medium: where it is, and that holes are filled from it, the same way in any batch."""

import time

import numpy as np
import pytest

from compute.errors import InputError
from compute.hashing import mix
from compute.images.cell_quality import LEAST_MEDIUM
from compute.images.fill_holes import FAR, MARGIN, fill_batch, medium_mask, windows_from_crops

SIZE = 32


def disk(y, x, radius, size=SIZE):
    rows, columns = np.ogrid[:size, :size]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


@pytest.fixture
def crops():
    rng = np.random.default_rng(5)
    n = 37
    images = rng.random((n, 2, SIZE, SIZE), dtype=np.float32)
    # Channels that go together, so that a pixel taken apart shows.
    images[:, 1] = 2 * images[:, 0] + 1
    holes = np.stack([disk(16, 16, 3 + i % 5) for i in range(n)])
    foregrounds = holes | np.stack([disk(4, 4 + i % 9, 6) for i in range(n)])
    foregrounds[3] = True  # no medium at all
    foregrounds[5] = ~disk(30, 30, 5)  # hardly any
    holes[7] = False
    return images, holes, foregrounds, rng.integers(0, 2**62, n)


def naive_medium(foreground, margin):
    medium = np.zeros_like(foreground)
    height, width = foreground.shape
    for y in range(height):
        for x in range(width):
            near = foreground[
                max(0, y - margin) : y + margin + 1, max(0, x - margin) : x + margin + 1
            ]
            medium[y, x] = not near.any()
    return medium


def naive_fill(image, hole, foreground, seed):
    """The same, one pixel at a time."""
    for margin in (FAR, MARGIN):
        places = np.flatnonzero(naive_medium(foreground, margin) & ~hole)
        if len(places) >= LEAST_MEDIUM * hole.size:
            break
    little = len(places) < LEAST_MEDIUM * hole.size and hole.any()
    flat = image.reshape(len(image), -1)
    if little:
        bright = sum(channel / channel.std() for channel in flat.astype(float))
        order = [p for p in np.argsort(bright, kind="stable") if not hole.flat[p]]
        places = np.sort(order[: round(hole.size / 20)])
    filled = flat.copy()
    for pixel in np.flatnonzero(hole):
        draw = int(mix(mix(seed) + np.uint64(pixel))) >> 32
        filled[:, pixel] = flat[:, places[draw * len(places) >> 32]]
    return filled.reshape(image.shape), little


@pytest.mark.parametrize("margin", range(8))
def test_medium_mask_is_the_naive_one(margin):
    foreground = np.random.default_rng(margin).random((3, 20, 25)) > 0.98
    expected = np.stack([naive_medium(each, margin) for each in foreground])
    assert np.array_equal(medium_mask(foreground, margin), expected)
    assert np.array_equal(medium_mask(foreground[0], margin), expected[0])


def test_fill_batch_is_the_naive_one(crops):
    filled, little = fill_batch(*crops)
    for i, (image, hole, foreground, seed) in enumerate(zip(*crops, strict=True)):
        expected, scarce = naive_fill(image, hole, foreground, seed)
        assert np.array_equal(filled[i], expected), i
        assert little[i] == scarce
    assert little[3]
    assert little[5]
    assert little.sum() == 2


@pytest.mark.parametrize("width", [1, 63, 64, 65, 130])
def test_crops_of_any_width_are_filled_as_the_naive_one_does(width):
    rng = np.random.default_rng(width)
    images = rng.random((3, 2, 20, width), dtype=np.float32)
    holes = rng.random((3, 20, width)) < 0.1
    # None, some and much of the crop is near cells.
    foregrounds = rng.random(holes.shape) < np.array([0, 0.002, 0.2])[:, None, None]
    seeds = rng.integers(0, 2**62, 3)
    filled, little = fill_batch(images, holes, foregrounds, seeds)
    for i, (image, hole, foreground, seed) in enumerate(
        zip(images, holes, foregrounds, seeds, strict=True)
    ):
        expected, scarce = naive_fill(image, hole, foreground, seed)
        assert np.array_equal(filled[i], expected)
        assert little[i] == scarce


def test_only_holes_change_and_pixels_stay_whole(crops):
    images, holes, foregrounds, seeds = crops
    before = images.copy()
    filled, _ = fill_batch(images, holes, foregrounds, seeds)
    assert np.array_equal(images, before)
    outside = ~np.repeat(holes[:, None], 2, 1)
    assert np.array_equal(filled[outside], images[outside])
    assert np.array_equal(filled[:, 1], 2 * filled[:, 0] + 1)


def test_batch_composition_does_not_matter(crops):
    filled, little = fill_batch(*crops)
    order = np.random.default_rng(0).permutation(len(little))
    shuffled, scarce = fill_batch(*(part[order] for part in crops))
    assert np.array_equal(shuffled, filled[order])
    assert np.array_equal(scarce, little[order])
    for i in (0, 3, 36):
        one, _ = fill_batch(*(part[i : i + 1] for part in crops))
        assert np.array_equal(one[0], filled[i])


def test_seeds_matter_and_values_are_spread(crops):
    images, holes, foregrounds, seeds = crops
    filled, _ = fill_batch(images, holes, foregrounds, seeds)
    other, _ = fill_batch(images, holes, foregrounds, seeds + 1)
    assert not np.array_equal(filled, other)
    # Draws with replacement: most of a hole's values are different medium pixels.
    hole = filled[2, 0][holes[2]]
    assert len(np.unique(hole)) > 0.7 * len(hole)


def test_dtypes_and_strides_are_kept(crops):
    images, holes, foregrounds, seeds = crops
    small = (images * 80).astype(np.uint8)
    filled, _ = fill_batch(small, holes, foregrounds, seeds)
    assert filled.dtype == np.uint8
    turned = np.ascontiguousarray(small[:, ::-1])[:, ::-1]
    assert np.array_equal(fill_batch(turned, holes, foregrounds, seeds)[0], filled)


def test_a_hole_that_is_everything_stays_flagged(crops):
    images, _, _, seeds = crops
    everything = np.ones((2, SIZE, SIZE), bool)
    filled, little = fill_batch(images[:2], everything, everything, seeds[:2])
    assert np.array_equal(filled, images[:2])
    assert little.all()


def test_no_crops_and_wrong_shapes(crops):
    images, holes, foregrounds, seeds = crops
    filled, little = fill_batch(images[:0], holes[:0], foregrounds[:0], seeds[:0])
    assert filled.shape == (0, 2, SIZE, SIZE)
    assert little.shape == (0,)
    with pytest.raises(InputError, match="Expected"):
        fill_batch(images, holes[:4], foregrounds, seeds)


def test_windows_have_no_cells():
    rng = np.random.default_rng(1)
    images = rng.normal(10, 1, (4, 2, 64, 64)).astype(np.float32)
    cells = np.stack([disk(32, 30 + i, 9, 64) for i in range(4)])
    images += 100 * cells[:, None]
    windows, little = windows_from_crops(images, cells, np.arange(4))
    assert windows.max() < 20
    assert not little.any()


@pytest.mark.long
def test_speed():
    n = 256
    images = np.random.default_rng(0).random((n, 2, 64, 64), dtype=np.float32)
    holes = np.stack([disk(32, 32, 15, 64)] * n)
    foregrounds = holes | disk(5, 5, 18, 64)
    best = min(_timed(images, holes, foregrounds, np.arange(n)) for _ in range(5))
    # The target is 60 µs a crop; machines that others use at the same time get room.
    assert best / n < 400e-6


def _timed(*arguments):
    start = time.perf_counter()
    fill_batch(*arguments)
    return time.perf_counter() - start
