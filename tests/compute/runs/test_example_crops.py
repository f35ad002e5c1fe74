"""Crops to look at: pixels survive the file, outlines go around the mask, cells are chosen well."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagecodecs import png_decode
from skimage.measure import points_in_poly

from compute.backgrounds.harmonise import measure
from compute.runs import example_crops
from compute.runs.example_crops import _choose, outline, pixels_as_png
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore
from tests.compute.synthetic_cells import SIDE, disc


def decoded(found):
    return np.stack(
        [
            offset + gain * png_decode(image).astype(np.float64)
            for image, offset, gain in zip(
                found["images"], found["offset"], found["gain"], strict=True
            )
        ]
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([np.uint8, np.uint16]))
def test_an_integer_image_comes_back_exactly(seed, dtype):
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    image = rng.integers(0, rng.integers(1, top + 1), (2, 8, 8), endpoint=True).astype(dtype)
    image[0, 0, 0] = top
    found = pixels_as_png(image.astype(np.float32), np.dtype(dtype))
    assert np.array_equal(decoded(found), image)
    assert all(png_decode(item).dtype == np.uint16 for item in found["images"])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1e-3, 1, 1e4]))
def test_a_float_image_comes_back_within_half_a_level(seed, extent):
    rng = np.random.default_rng(seed)
    image = (rng.normal(0, extent, (3, 8, 8))).astype(np.float32)
    found = pixels_as_png(image, np.dtype(np.float32))
    away = np.abs(decoded(found) - image)
    for c in range(3):
        level = np.ptp(image[c].astype(np.float64)) / (2**16 - 1)
        assert away[c].max() <= level / 2 * (1 + 1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_the_cells_own_integers_come_back_exactly_beside_a_moved_background(seed, below):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60_000, (1, 8, 8)).astype(np.float32)
    image[0, 4:] += rng.random((4, 8)).astype(np.float32)
    if below:
        image[0, 7] = -rng.uniform(0.1, 500, 8)
    back = decoded(pixels_as_png(image, np.dtype(np.uint16)))
    assert np.array_equal(back[0, :4], image[0, :4])
    assert np.abs(back - image).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_image_comes_back(dtype, value):
    image = np.full((1, 4, 4), value, np.float32)
    assert np.array_equal(decoded(pixels_as_png(image, np.dtype(dtype))), image)


def test_values_beyond_sixteen_bits_are_scaled_not_wrapped():
    image = np.linspace(-70_000, 90_000, 64, dtype=np.float32).reshape(1, 8, 8)
    found = pixels_as_png(image, np.dtype(np.uint16))
    assert np.abs(decoded(found) - image).max() <= 160_000 / (2**16 - 1) / 2 * (1 + 1e-6)


# Outlines


def inside(contours):
    """Pixels whose centre lies in an odd number of contours."""
    centres = np.argwhere(np.ones((SIDE, SIDE), bool))[:, ::-1]  # x, y
    odd = np.zeros(len(centres), bool)
    for contour in contours:
        odd ^= points_in_poly(centres, np.reshape(contour, (-1, 2)))
    return odd.reshape(SIDE, SIDE)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_outlines_enclose_the_mask_exactly(seed):
    rng = np.random.default_rng(seed)
    mask = disc(*rng.uniform(4, 28, 2), rng.uniform(2, 10))
    mask |= disc(*rng.uniform(0, 32, 2), 4)
    mask &= ~disc(*rng.uniform(8, 24, 2), 2)
    contours = outline(mask)
    assert np.array_equal(inside(contours), mask)
    for contour in contours:
        assert contour[:2] == contour[-2:], "closed"
        assert len(contour) % 2 == 0


def test_an_outline_is_x_then_y_at_half_a_pixel_from_the_mask():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[5:8, 20:30] = True
    points = np.reshape(outline(mask)[0], (-1, 2))
    assert points.min(0).tolist() == [19.5, 4.5]
    assert points.max(0).tolist() == [29.5, 7.5]


def test_a_mask_at_the_border_has_a_closed_outline():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[0:3, 0:3] = True
    (contour,) = outline(mask)
    assert contour[:2] == contour[-2:]
    assert min(contour) == -0.5


def test_an_empty_mask_has_no_outline():
    assert outline(np.zeros((SIDE, SIDE), bool)) == []


# Choice


def chosen(per_protein, seed=0, n=60):
    rng = np.random.default_rng(5)
    protein = np.array([f"p{i % 3}" for i in range(n)])
    moved = rng.random(n)
    rows = rng.permutation(np.repeat(np.arange(n), 4))
    trials = pd.DataFrame({"cell": rows, "protein": protein[rows], "moved": moved[rows]})
    return _choose(trials, per_protein, seed), protein, moved


@pytest.mark.parametrize("per_protein", [1, 2, 5, 100])
def test_half_of_the_cells_are_the_most_moved_and_half_are_drawn(per_protein):
    found, protein, moved = chosen(per_protein)
    for name in np.unique(protein):
        here = [i for i in found if protein[i] == name]
        everyone = np.flatnonzero(protein == name)
        half = (per_protein + 1) // 2
        assert len(here) == min(len(everyone), half + min(per_protein // 2, max(0, 20 - half)))
        assert set(everyone[np.argsort(-moved[everyone])][:half]) <= set(here)


def test_the_drawn_cells_depend_on_the_seed_alone():
    assert np.array_equal(chosen(6, 1)[0], chosen(6, 1)[0])
    assert not np.array_equal(chosen(6, 1)[0], chosen(6, 2)[0])


def test_no_examples_asked_for_gives_none():
    assert len(chosen(0)[0]) == 0


# The table


@pytest.mark.parametrize("together", [1, 400])
def test_the_table_does_not_depend_on_how_many_trials_are_read_together(
    run, store, tmp_path, monkeypatch, together
):
    opened, finished = CropStore(store), RunDirectory(run)
    arrays = opened.arrays()
    scales = measure("protein", opened.cells, opened.windows, arrays, 0)
    monkeypatch.setattr(example_crops, "TRIALS_TOGETHER", together)
    monkeypatch.setattr(RunDirectory, "summary", lambda self, table: tmp_path / f"{table}.parquet")
    models = [model["name"] for model in finished.meta["models"]]
    arguments = (finished, opened.cells, opened.windows, arrays, scales, "remove", "glow")
    seed = finished.meta["configuration"]["plan"]["seed"]
    example_crops.write_examples(*arguments, 1, models, seed)
    found = pq.read_table(tmp_path / "examples.parquet")
    assert found.equals(pq.read_table(run / "examples.parquet"))
    assert len(found) > 100


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(4, 16))
def test_pixels_come_back_to_a_level_of_their_range(seed, bits):
    rng = np.random.default_rng(seed)
    image = rng.uniform(-50, 60_000, (2, 9, 7)).astype(np.float32)
    found = pixels_as_png(image, np.dtype(np.float32), bits)
    for channel, png, offset, gain in zip(
        image, found["images"], found["offset"], found["gain"], strict=True
    ):
        assert png_decode(png).dtype.itemsize == (1 if bits <= 8 else 2)
        back = offset + gain * png_decode(png).astype(np.float64)
        assert np.abs(back - channel).max() <= np.ptp(channel) / (2**bits - 1) * 0.51
