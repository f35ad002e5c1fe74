"""The most extreme cells of a flag are those that its words name."""

import numpy as np
import pytest

from compute.images.cell_quality import flag_cells
from compute.images.worst_cells import MEASURES
from compute.schema import CELL_FLAGS, WORST_FIRST, CellFlag

SIDE = 64


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    return np.hypot(columns - x, rows - y) < radius


def worst(flag, masks, foregrounds=None, images=None):
    masks = np.stack(masks)
    foregrounds = masks if foregrounds is None else np.stack(foregrounds)
    images = np.zeros((len(masks), 1, SIDE, SIDE)) if images is None else np.stack(images)
    return MEASURES[flag](images, masks, foregrounds)


def test_every_flag_has_a_measure_and_words():
    assert set(MEASURES) == set(WORST_FIRST) == set(CELL_FLAGS)


def test_farther_smaller_and_longer_are_worse():
    at = [disc(32 + shift, 32, 9) for shift in (12, 14, 18)]
    assert (np.diff(worst(CellFlag.OFF_CENTRE, at)) > 0).all()
    small = [disc(32, 32, radius) for radius in (3.4, 2.5, 1.2)]
    assert (np.diff(worst(CellFlag.EMPTY_MASK, small)) > 0).all()
    cut = [disc(32, 32, radius) for radius in (34, 36, 40)]
    assert (np.diff(worst(CellFlag.TOUCHES_BORDER, cut)) > 0).all()
    crowd = [disc(32, 32, 43), disc(32, 32, 45)]
    assert (np.diff(worst(CellFlag.LITTLE_MEDIUM, [at[0]] * 2, crowd)) > 0).all()


def test_a_fainter_cell_is_worse_and_one_of_which_nothing_can_be_said_is_last():
    mask, rng = disc(32, 32, 10), np.random.default_rng(0)
    noise = rng.normal(100, 5, (1, SIDE, SIDE))
    images = [noise + bright * mask for bright in (40, 4, 0)]
    bad = worst(CellFlag.OFF_CELL, [mask] * 3, images=images)
    assert (np.diff(bad) > 0).all()
    alone = worst(CellFlag.OFF_CELL, [np.ones_like(mask)], images=[noise])
    assert alone[0] <= bad.min()


@pytest.mark.parametrize("seed", range(5))
def test_a_flagged_cell_is_worse_than_one_without_the_flag(seed):
    """In crops of 64 pixels limits do not depend on the cell, so flags cut the measure in two."""
    rng = np.random.default_rng(seed)
    masks = [disc(*rng.uniform(15, 50, 2), rng.uniform(1, 14)) for _ in range(60)]
    masks += [disc(32, 32, rng.uniform(20, 46)) for _ in range(20)]
    foregrounds = [mask | disc(*rng.uniform(0, 64, 2), rng.uniform(1, 60)) for mask in masks]
    flags = flag_cells(np.stack(masks), np.stack(foregrounds))
    for flag in (CellFlag.EMPTY_MASK, CellFlag.TOUCHES_BORDER, CellFlag.LITTLE_MEDIUM):
        bad, has = worst(flag, masks, foregrounds), (flags & flag) != 0
        assert has.any()
        assert bad[has].min() > bad[~has].max()
