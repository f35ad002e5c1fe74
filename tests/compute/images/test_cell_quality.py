"""Flags from masks, against a naive twin and at the edges of what is allowed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.images.cell_quality import (
    BORDER_LENGTH,
    LEAST_MEDIUM,
    OFF_CENTRE,
    SMALLEST_AREA,
    SMALLEST_SHARE,
    border_pixels,
    by_cell,
    flag_cells,
)
from compute.schema import CELL_FLAGS, UNUSABLE, CellFlag
from tests.compute.synthetic_cells import SIDE, disc


def naive_ring(mask):
    height, width = mask.shape
    return sum(
        bool(mask[y, x])
        for y, x in np.ndindex(height, width)
        if y in (0, height - 1) or x in (0, width - 1)
    )


def by_size(share, side, area):
    """At most a share of the side, but in large crops not more than the cell's radius."""
    limit = share * side
    radius = math.sqrt(area / math.pi)
    if side > 64 and limit > radius:
        limit = max(radius, share * 64)
    return limit


def naive_flags(mask, foreground):
    side, flags = len(mask), 0
    area = int(mask.sum())
    if area < min(SMALLEST_AREA, SMALLEST_SHARE * side * side):
        flags |= CellFlag.EMPTY_MASK
    else:
        y, x = (np.argwhere(mask) + 0.5).mean(0) - side / 2
        if np.sqrt(x**2 + y**2) > by_size(OFF_CENTRE, side, area):
            flags |= CellFlag.OFF_CENTRE
    if naive_ring(mask) > by_size(BORDER_LENGTH, side, area):
        flags |= CellFlag.TOUCHES_BORDER
    if (~foreground).sum() < LEAST_MEDIUM * side * side:
        flags |= CellFlag.LITTLE_MEDIUM
    return int(flags)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_flags_equal_the_naive_twin(seed):
    rng = np.random.default_rng(seed)
    masks = np.stack([disc(*rng.uniform(0, SIDE, 2), rng.uniform(0, 14)) for _ in range(6)])
    share = rng.choice([0.1, 0.9, 0.99, 1.0])
    foregrounds = masks | (rng.random(masks.shape) < share)
    expected = [naive_flags(m, f) for m, f in zip(masks, foregrounds, strict=True)]
    assert flag_cells(masks, foregrounds).tolist() == expected
    assert border_pixels(masks).tolist() == [naive_ring(m) for m in masks]


def one(mask, foreground=None):
    foreground = mask if foreground is None else foreground
    return CellFlag(int(flag_cells(mask[None], foreground[None])[0]))


def test_a_cell_in_the_middle_has_no_flag():
    assert one(disc(15.5, 15.5, 6)) == CellFlag.NONE


def test_debris_and_nothing_are_empty_and_not_off_centre():
    for mask in (np.zeros((SIDE, SIDE), bool), disc(2, 2, 1)):
        assert one(mask) == CellFlag.EMPTY_MASK


def test_the_smallest_cell_is_a_hundredth_of_the_crop():
    mask = np.zeros((64, 64), bool)
    mask.flat[64 * 31 + 12 : 64 * 31 + 52] = True  # 40 pixels of 4096
    assert one(mask) == CellFlag.EMPTY_MASK
    mask[32, 32] = True
    assert one(mask) == CellFlag.NONE


def test_exactly_a_hundredth_is_a_cell():
    mask = np.zeros((10, 10), bool)
    mask[5, 5] = True
    assert one(mask) == CellFlag.NONE


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_cell_away_from_the_middle_is_flagged_in_any_direction(axis, sign):
    for distance, off in ((5, False), (6, True)):  # a sixth of 32 is 5.33
        place = [15.5, 15.5]
        place[axis] += sign * distance
        assert one(disc(*place, 5)) == (CellFlag.OFF_CENTRE if off else CellFlag.NONE)


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_a_cell_cut_by_the_border_is_flagged(side):
    for length, flagged in ((4, False), (5, True)):  # an eighth of 32
        mask = disc(15.5, 15.5, 9)
        row = {"top": mask[0], "bottom": mask[-1], "left": mask[:, 0], "right": mask[:, -1]}[side]
        row[10 : 10 + length] = True
        assert bool(one(mask) & CellFlag.TOUCHES_BORDER) == flagged


def test_a_crop_without_medium_is_flagged_but_usable():
    foreground = np.ones((SIDE, SIDE), bool)
    found = one(disc(15.5, 15.5, 6), foreground)
    assert found == CellFlag.LITTLE_MEDIUM
    assert not found & UNUSABLE
    foreground.flat[:26] = False  # a fortieth of 1024 is 25.6
    assert one(disc(15.5, 15.5, 6), foreground) == CellFlag.NONE


def test_no_cells_give_no_flags():
    none = np.zeros((0, SIDE, SIDE), bool)
    assert flag_cells(none, none).shape == (0,)


def test_every_flag_is_explained():
    assert set(CELL_FLAGS) == set(CellFlag) - {CellFlag.NONE}
    assert set(CellFlag(UNUSABLE)) <= set(CELL_FLAGS)


@pytest.mark.parametrize("radius", [11.5, 13, 14.3])
def test_in_a_large_crop_the_cell_decides_not_the_crop(radius):
    """Cells of 400 to 650 pixels in 256×256 crops."""

    def found(y, x):
        rows, columns = np.ogrid[:256, :256]
        return one((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)

    assert found(127.5, 127.5) == CellFlag.NONE
    assert found(127.5, 127.5 + radius - 2) == CellFlag.NONE
    assert found(127.5, 127.5 + radius + 2) == CellFlag.OFF_CENTRE
    assert found(127.5, 0) & CellFlag.TOUCHES_BORDER


@given(st.integers(8, 300), st.floats(0, 200), st.floats(0, 1))
def test_limits_by_the_cell_are_never_larger_than_by_the_crop(side, radius, share):
    limit = float(by_cell(share, side, np.float64(radius)))
    assert limit <= share * side
    assert side > 64 or limit == share * side
    assert limit >= min(share * side, radius)
