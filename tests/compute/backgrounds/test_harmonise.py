"""Common intensity scales: against a naive twin, and what must hold for every choice."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.backgrounds import harmonise
from compute.backgrounds.harmonise import HARMONISE, PERCENTILES, Scales, measure, measure_once
from compute.errors import UsageError
from compute.store.reader import CropArrays
from tests.compute.synthetic_cells import SIDE, crop_arrays, pack

PROTEINS = ["b", "a", "b", "c", "a", "b"]
FIELDS = ["b1", "a1", "b2", "c1", "a1", "b1"]


@pytest.fixture(scope="module")
def tables():
    cells = pd.DataFrame({"protein": PROTEINS, "field": FIELDS})
    windows = pd.DataFrame({"protein": ["c", "z", "a"], "field": ["c1", "z1", "a9"]})
    return cells, windows


def pixels(arrays, cells, windows, by, group):
    """Collect a group's pixels per channel: its cells' crops, or its windows if it has no cell."""
    table, images = (
        (cells, arrays.images) if (cells[by] == group).any() else (windows, arrays.windows)
    )
    rows = [i for i, name in enumerate(table[by]) if name == group]
    return [np.concatenate([images[i][c].ravel() for i in rows]) for c in range(images.shape[1])]


@pytest.mark.parametrize("by", ["protein", "field"])
def test_scales_equal_the_naive_twin(tables, by):
    cells, windows = tables
    arrays = crop_arrays(len(cells), len(windows), seed=4)
    scales = measure(by, cells, windows, arrays, seed=0)
    for table, groups in ((cells, scales.of_cell), (windows, scales.of_window)):
        assert len(groups) == len(table)
        for name, group in zip(table[by], groups, strict=True):
            for c, values in enumerate(pixels(arrays, cells, windows, by, name)):
                low, high = np.percentile(values, PERCENTILES)
                assert scales.low[group, c] == pytest.approx(low, rel=1e-5)
                assert scales.high[group, c] == pytest.approx(high, rel=1e-5)
    assert len(set(scales.of_cell)) == cells[by].nunique()


def naive_move(image, low, high, source, target):
    """Move one crop channel by channel; a scale without extent counts as 1."""
    if source == target:
        return image.astype(np.float64)
    moved = np.empty(image.shape)
    for c in range(len(image)):
        wide = high[target][c] - low[target][c]
        own = high[source][c] - low[source][c]
        own, wide = own if own > 0 else 1.0, wide if wide > 0 else 1.0
        moved[c] = (image[c] - low[source][c]) * (wide / own) + low[target][c]
    return moved


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 5))
def test_moving_equals_the_naive_twin(seed, channels, groups):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 500, (groups, channels)).astype(np.float32)
    high = low + rng.choice([0, 1, 300, 5000], (groups, channels)).astype(np.float32)
    none = np.zeros(0, np.int64)
    images = rng.uniform(0, 6000, (7, channels, 4, 4)).astype(np.float32)
    source, target = rng.integers(0, groups, (2, 7))
    found = Scales(low, high, none, none).move(images, source, target)
    assert found.dtype == np.float32
    for i in range(7):
        expected = naive_move(images[i], low, high, source[i], target[i])
        assert np.allclose(found[i], expected, rtol=1e-4, atol=1)


@pytest.mark.parametrize("by", HARMONISE)
def test_moving_to_the_same_group_changes_nothing(tables, by):
    cells, windows = tables
    arrays = crop_arrays(len(cells), len(windows))
    scales = measure(by, cells, windows, arrays, 0)
    images = np.random.default_rng(1).uniform(0, 1, (6, 2, SIDE, SIDE)).astype(np.float32)
    assert np.array_equal(scales.move(images, scales.of_cell, scales.of_cell), images)


def test_a_moved_group_has_the_targets_percentiles(tables):
    cells, windows = tables
    arrays = crop_arrays(len(cells), len(windows), seed=2)
    scales = measure("protein", cells, windows, arrays, 0)
    rows = np.flatnonzero(cells["protein"] == "b")
    target = np.full(len(rows), scales.of_cell[1])
    moved = scales.move(arrays.images[rows].astype(np.float32), scales.of_cell[rows], target)
    for c in range(2):
        low, high = np.percentile(moved[:, c], PERCENTILES)
        assert low == pytest.approx(scales.low[target[0], c], rel=1e-3)
        assert high == pytest.approx(scales.high[target[0], c], rel=1e-3)


def test_none_moves_nothing_and_still_knows_the_intensity_range(tables):
    cells, windows = tables
    arrays = crop_arrays(len(cells), len(windows))
    scales = measure("none", cells, windows, arrays, 0)
    images = arrays.images.astype(np.float32)
    shuffled = np.random.default_rng(0).permutation(len(cells))
    moved = scales.move(images, scales.of_cell[shuffled], scales.of_cell)
    assert np.array_equal(moved, images)
    plain = arrays.windows.astype(np.float32)
    assert np.array_equal(scales.move(plain, scales.of_window, scales.of_cell[:3]), plain)
    # The seam flag is in units of this range: it has to be that of the images.
    assert (scales.range(scales.of_cell) > 1000).all()


@pytest.mark.parametrize("by", HARMONISE)
def test_constant_images_stay_finite(tables, by):
    cells, windows = tables
    mask = pack(np.zeros((6, SIDE, SIDE), bool))
    flat = np.arange(6, dtype=np.uint16)[:, None, None, None] * np.ones(
        (1, 2, SIDE, SIDE), np.uint16
    )
    arrays = CropArrays(flat, mask, mask, flat[:3])
    scales = measure(by, cells, windows, arrays, 0)
    moved = scales.move(flat.astype(np.float32), scales.of_cell, scales.of_cell[::-1])
    assert np.isfinite(moved).all()
    assert (scales.range(scales.of_cell) > 0).all()


def test_large_groups_are_sampled_by_seed(tables, monkeypatch):
    monkeypatch.setattr(harmonise, "CROPS_PER_GROUP", 2)
    cells, windows = tables
    mask = pack(np.zeros((6, SIDE, SIDE), bool))
    flat = np.arange(6)[:, None, None, None] * np.ones((1, 2, SIDE, SIDE))
    arrays = CropArrays(flat, mask, mask, flat[:3])

    def sampled(seed):
        scales = measure("protein", cells, windows, arrays, seed)
        return scales.low.tobytes() + scales.high.tobytes()

    assert sampled(7) == sampled(7)
    several = {sampled(seed) for seed in range(40)}
    assert len(several) == 3, "three ways to take 2 of protein b's 3 crops"


def test_an_unknown_choice_lists_the_allowed_ones(tables):
    with pytest.raises(UsageError, match=r"'proteins'.*Did you mean 'protein'.*field, none"):
        measure("proteins", *tables, crop_arrays(6, 3), 0)


@pytest.mark.parametrize("by", HARMONISE)
def test_what_was_measured_once_is_read_again(tables, by, tmp_path, monkeypatch):
    arrays = crop_arrays(6, 3)
    expected = measure(by, *tables, arrays, 5)
    first = measure_once(by, *tables, arrays, 5, tmp_path / "store")
    monkeypatch.setattr(harmonise, "_ends", None)  # measuring again would fail
    again = measure_once(by, *tables, arrays, 5, tmp_path / "store")
    for scales in (first, again):
        for name in ("low", "high", "of_cell", "of_window"):
            assert np.array_equal(getattr(scales, name), getattr(expected, name))
    with pytest.raises(TypeError):
        measure_once(by, *tables, arrays, 6, tmp_path / "store")
    with pytest.raises(TypeError):
        measure_once(by, *tables, arrays, 5, tmp_path / "other")
