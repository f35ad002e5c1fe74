"""Masks that are grown or shrunk: what is the cell's own stays its own under every condition."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.backgrounds.compose import compose
from compute.backgrounds.config import MOST_SHIFT, PASTE
from compute.backgrounds.glow import HALO
from compute.backgrounds.harmonise import measure
from compute.embedding.config import EmbedConfig
from compute.errors import UsageError
from compute.images.dilation import to_masks
from compute.schema import CONDITIONS, Condition, TrialFlag
from tests.compute.backgrounds.test_compose import CELLS, WINDOWS, M, N, all_trials, lit, near
from tests.compute.images.test_moved import naive
from tests.compute.synthetic_cells import crop_arrays, disc, pack

ARRAYS = crop_arrays(N, M)
TRIALS = all_trials(repeats=1)
SCALES = measure("protein", CELLS, WINDOWS, ARRAYS, 0)
WIDTH = ARRAYS.images.shape[-1]


def shifted(shift):
    return replace(ARRAYS, mask_shift=shift)


def outlines(shift):
    return [to_masks(w, WIDTH) for w in shifted(shift).outlines(np.arange(N))]


@pytest.mark.parametrize("paste", PASTE)
def test_no_shift_changes_no_bit(paste):
    plain, moved = (compose(TRIALS, a, SCALES, paste=paste) for a in (ARRAYS, shifted(0)))
    for name in ("images", "flags", "neighbour_fraction", "neighbour_distance", "unaltered"):
        assert np.array_equal(getattr(plain, name), getattr(moved, name), equal_nan=name[0] == "n")


@pytest.mark.parametrize("shift", [-8, -3, -1, 1, 2, 8])
def test_masks_are_moved_as_scipy_does_and_neighbours_lose_what_the_cell_gains(shift):
    stored, every = (ARRAYS.unpack(bits) for bits in (ARRAYS.masks, ARRAYS.foregrounds))
    mask, foreground = outlines(shift)
    assert np.array_equal(mask, naive(stored, shift))
    assert np.array_equal(foreground & ~mask, every & ~stored & ~mask), "the lost rim is no cell"


@settings(max_examples=12)
@given(st.integers(-MOST_SHIFT, MOST_SHIFT), st.sampled_from(PASTE))
def test_pixels_inside_the_moved_mask_are_the_cells_own_under_every_condition(shift, paste):
    mask, _ = outlines(shift)
    found = compose(TRIALS, shifted(shift), SCALES, paste=paste)
    for i, trial in enumerate(TRIALS.itertuples()):
        if CONDITIONS[Condition(trial.condition)].keeps_cell:
            own = ARRAYS.images[trial.cell][:, mask[trial.cell]].astype(np.float32)
            assert np.array_equal(found.images[i][:, mask[trial.cell]], own), trial.condition
        if trial.condition == "masked":
            assert not found.images[i][:, ~mask[trial.cell]].any()


def test_the_cells_own_pixels_grow_with_the_shift():
    kept = [
        compose(TRIALS[TRIALS["condition"] == "masked"], shifted(s), SCALES).images != 0
        for s in (-4, -1, 0, 2, 5)
    ]
    for smaller, larger in pairwise(kept):
        assert not (smaller & ~larger).any()
        assert (larger & ~smaller).any()


def test_the_donors_own_cell_is_removed_along_the_same_moved_mask():
    """With a hard edge its rim stays where the mask was shrunk beyond the halo, else not."""
    swapped = TRIALS[TRIALS["condition"].isin(["same", "different"])]
    plain = measure("none", CELLS, WINDOWS, ARRAYS, 0)
    shown = {}
    for shift in (-6, -2, 0, 2):
        mask, _ = outlines(shift)
        images = compose(swapped, shifted(shift), plain, paste="hard").images
        outside = ~mask[swapped["cell"]][:, None]
        shown[shift] = int(((images >= 40_000) & outside).sum())
    assert shown[-6] > 0
    assert shown[-2] == shown[0] == shown[2] == 0, "a halo of 4 pixels is removed with the mask"


@pytest.mark.parametrize("shift", [-3, 3])
def test_with_glow_sham_still_undoes_itself(shift):
    arrays = replace(lit(ARRAYS), mask_shift=shift)
    shams = TRIALS[TRIALS["condition"] == "sham"]
    found = compose(shams, arrays, measure("protein", CELLS, WINDOWS, arrays, 0))
    for image, cell in zip(found.images, shams["cell"], strict=True):
        changed = np.abs(image - arrays.images[cell]).max(0) > 1e-3
        mask = outlines(shift)[0][cell]
        assert not (changed & ~near(mask, HALO)).any(), "only in the hole that was filled"
        assert not (changed & mask).any()


def test_masks_that_vanish_or_reach_the_border_are_flagged_trial_by_trial():
    thin = disc(15.5, 15.5, 2)
    wide = disc(15.5, 15.5, 13)
    masks = np.where(np.arange(N)[:, None, None] % 2 == 0, thin, wide)
    arrays = replace(ARRAYS, masks=pack(masks), foregrounds=pack(masks))
    flags = {s: compose(TRIALS, replace(arrays, mask_shift=s), SCALES).flags for s in (-4, 0, 4)}
    even = TRIALS["cell"].to_numpy() % 2 == 0
    assert np.array_equal(flags[-4] & TrialFlag.EMPTY_MASK > 0, even)
    assert np.array_equal(flags[4] & TrialFlag.TOUCHES_BORDER > 0, ~even)
    assert not (flags[0] & (TrialFlag.EMPTY_MASK | TrialFlag.TOUCHES_BORDER)).any()


@pytest.mark.parametrize("shift", [-9, 9, 40])
def test_a_shift_beyond_reason_is_refused(shift):
    with pytest.raises(UsageError, match=rf"mask_shift is {shift} pixels; .* -8 and 8"):
        EmbedConfig(mask_shift=shift)


def crowded(per_class=8, seed=0):
    """Cells of three classes that look alike, whose neighbours are as bright as their class."""
    rng = np.random.default_rng(seed)
    classes = np.repeat([0, 1, 2], per_class)
    cell = disc(15.5, 15.5, 6)
    beside = disc(15.5, 15.5, 12) & ~disc(15.5, 15.5, 7)
    light = 1000 * (1 + classes) * rng.uniform(0.8, 1.2, len(classes))
    images = rng.normal(500, 20, (len(classes), 1, *cell.shape))
    images += 3000 * cell + light[:, None, None, None] * beside
    several = len(classes), *cell.shape
    masks, every = (np.broadcast_to(m, several) for m in (cell, cell | beside))
    arrays = replace(
        ARRAYS, images=images.astype(np.float32), masks=pack(masks), foregrounds=pack(every)
    )
    return arrays, classes


def test_a_larger_mask_lowers_the_gap_of_a_model_that_sums_the_background_and_of_no_other():
    """The controls: one reads all pixels outside the cell, the other only those well inside."""
    arrays, classes = crowded()
    cells = pd.DataFrame({"protein": classes.astype(str), "field": classes.astype(str)})
    scales = measure("none", cells, WINDOWS, arrays, 0)
    number = np.arange(len(classes))
    donors = {
        "same": [np.flatnonzero((classes == classes[i]) & (number != i)) for i in number],
        "different": [np.flatnonzero(classes != classes[i]) for i in number],
    }
    trials = pd.DataFrame(
        [(i, c, int(d), 0, 7) for c, of in donors.items() for i in number for d in of[i]],
        columns=["cell", "condition", "donor", "repeat", "seed"],
    )
    regions = {"outside": ~disc(15.5, 15.5, 6.5), "inside": disc(15.5, 15.5, 3)}
    for name, region in regions.items():
        learned = (arrays.images * region).sum((1, 2, 3))
        middle = np.array([learned[classes == k].mean() for k in range(3)])
        gaps, moved = [], set()
        for shift in (-2, 0, 2, 5, 8):
            made = compose(trials, replace(arrays, mask_shift=shift), scales, paste="hard").images
            summed = (made * region).sum((1, 2, 3))
            answer = np.abs(summed[:, None] - middle).argmin(1)
            right = answer == classes[trials["cell"]]
            same = (trials["condition"] == "same").to_numpy()
            gaps.append(right[same].mean() - right[~same].mean())
            moved.add(summed.tobytes())
        if name == "inside":
            assert len(moved) == 1
            assert len(set(gaps)) == 1
        else:
            assert gaps[1] > 0.8
            assert gaps[-1] < 0.2
            assert min(gaps[:3]) > gaps[3] > gaps[4]
