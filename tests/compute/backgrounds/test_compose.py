"""Synthetic crops: the centre cell never changes, the donor's never shows, trials are alone."""

import numpy as np
import pandas as pd
import pytest
import torch

from compute.backgrounds import compose_compiled
from compute.backgrounds.compose import (
    BACKGROUNDS,
    DONOR_CENTRE,
    HALO,
    combine,
    compose,
    gather,
    join_on_device,
)
from compute.backgrounds.harmonise import HARMONISE, measure
from compute.errors import UsageError
from compute.schema import COMPOSED, Condition, TrialFlag
from compute.store.reader import CropArrays
from tests.compute.synthetic_cells import SIDE, crop_arrays, disc, medium_of, pack

N, M = 12, 3
CELLS = pd.DataFrame(
    {"protein": [f"p{i // 3}" for i in range(N)], "field": [f"f{i // 2}" for i in range(N)]}
)
WINDOWS = pd.DataFrame({"protein": ["p0", "p2", "w"], "field": ["f0", "f4", "w"]})


def all_trials(n=N, m=M, repeats=2, seed=0):
    """Every cell under every condition, with donors other than itself."""
    rng = np.random.default_rng(seed)
    rows = []
    for cell in range(n):
        for condition in COMPOSED:
            for repeat in range(repeats):
                donor = -1
                if condition in (Condition.SAME, Condition.DIFFERENT):
                    donor = (cell + 1 + int(rng.integers(n - 1))) % n
                elif condition is Condition.CELL_FREE:
                    donor = int(rng.integers(m))
                rows.append((cell, str(condition), donor, repeat, int(rng.integers(2**62))))
    return pd.DataFrame(rows, columns=["cell", "condition", "donor", "repeat", "seed"])


@pytest.fixture(scope="module")
def arrays():
    return crop_arrays(N, M)


@pytest.fixture(scope="module")
def masks(arrays):
    return arrays.unpack(arrays.masks)


@pytest.fixture(scope="module")
def neighbours(arrays, masks):
    return arrays.unpack(arrays.foregrounds) & ~masks


@pytest.fixture(params=HARMONISE)
def scales(request, arrays):
    return measure(request.param, CELLS, WINDOWS, arrays, 0)


@pytest.fixture(scope="module")
def plain(arrays):
    return measure("none", CELLS, WINDOWS, arrays, 0)


def of(trials, composed, condition):
    """Pair the trials of a condition with their crops and flags."""
    for i, trial in enumerate(trials.itertuples()):
        if trial.condition == condition:
            yield trial, composed.images[i], int(composed.flags[i])


def near(mask, distance):
    """Pixels within a city-block distance of a mask, by looking at every pair."""
    inside = np.argwhere(mask)
    found = np.zeros_like(mask)
    for y, x in np.ndindex(*mask.shape):
        if len(inside):
            found[y, x] = np.abs(inside - [y, x]).sum(1).min() <= distance
    return found


def test_every_composed_condition_has_a_background():
    assert set(BACKGROUNDS) == set(COMPOSED)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.uint8])
def test_sham_equals_unaltered_whatever_the_scale(dtype):
    arrays = crop_arrays(N, M)
    pixels = (
        (arrays.images / 257).astype(dtype) if dtype is np.uint8 else arrays.images.astype(dtype)
    )
    arrays = CropArrays(pixels, arrays.masks, arrays.foregrounds, arrays.windows.astype(dtype))
    for by in HARMONISE:
        trials = all_trials()
        found = compose(trials, arrays, measure(by, CELLS, WINDOWS, arrays, 0))
        for (own, image, _), (trial, sham, flags) in zip(
            of(trials, found, "unaltered"), of(trials, found, "sham"), strict=True
        ):
            assert own.cell == trial.cell
            assert np.array_equal(image, pixels[trial.cell].astype(np.float32))
            assert np.abs(sham - image).max() <= 1e-6 * np.abs(image).max()
            assert not flags & (TrialFlag.SEAM | TrialFlag.DONOR_VISIBLE)


@pytest.mark.parametrize("donor_centre", DONOR_CENTRE)
def test_the_centre_cells_pixels_are_never_changed(arrays, masks, scales, donor_centre):
    trials = all_trials()
    found = compose(trials, arrays, scales, donor_centre)
    for i, trial in enumerate(trials.itertuples()):
        own = arrays.images[trial.cell][:, masks[trial.cell]].astype(np.float32)
        kept = found.images[i][:, masks[trial.cell]]
        if trial.condition == "background_only":
            assert not (kept >= 40_000).any(), "no pixel of the centre cell survives"
        else:
            assert np.array_equal(kept, own), trial.condition


def test_masked_is_zero_outside_the_mask(arrays, masks, scales):
    trials = all_trials()
    for trial, image, _ in of(trials, compose(trials, arrays, scales), "masked"):
        assert (image[:, ~masks[trial.cell]] == 0).all()


def test_background_only_keeps_neighbours_and_fills_the_cell_and_its_halo_with_medium(
    arrays, masks, neighbours, plain
):
    trials = all_trials()
    for trial, image, _ in of(trials, compose(trials, arrays, plain), "background_only"):
        hole = near(masks[trial.cell], HALO) & ~neighbours[trial.cell]
        assert np.array_equal(image[:, ~hole], arrays.images[trial.cell][:, ~hole])
        assert set(map(tuple, image[:, hole].T.astype(int).tolist())) <= medium_of(
            arrays, trial.cell
        )


@pytest.mark.parametrize("condition", ["same", "different"])
def test_the_donors_centre_is_replaced_by_its_medium_and_its_neighbours_stay(
    arrays, masks, neighbours, plain, condition
):
    trials, shown = all_trials(), 0
    found = compose(trials, arrays, plain)
    for trial, image, flags in of(trials, found, condition):
        outside = ~masks[trial.cell]
        hole = near(masks[trial.donor], HALO) & ~neighbours[trial.donor]
        donor = arrays.images[trial.donor]
        markers = image[:, outside] >= 40_000
        assert not markers.any(), "the donor's own cell shows"
        stay = outside & ~hole
        assert np.array_equal(image[:, stay], donor[:, stay].astype(np.float32))
        filled = image[:, outside & hole].T.astype(int).tolist()
        assert set(map(tuple, filled)) <= medium_of(arrays, trial.donor)
        assert not flags & TrialFlag.DONOR_VISIBLE
        shown += (neighbours[trial.donor] & outside).sum()
    assert shown > 1000, "neighbours of donors are there to be seen"


def test_as_in_the_paper_the_donors_centre_stays_and_is_flagged_where_it_shows(
    arrays, masks, plain
):
    trials = all_trials()
    found = compose(trials, arrays, plain, "paper")
    flagged = []
    for condition in ("same", "different"):
        for trial, image, flags in of(trials, found, condition):
            outside = ~masks[trial.cell]
            donor = arrays.images[trial.donor].astype(np.float32)
            assert np.array_equal(image[:, outside], donor[:, outside])
            shows = bool((image[:, outside] >= 40_000).any())
            assert bool(flags & TrialFlag.DONOR_VISIBLE) == shows
            flagged.append(shows)
    assert 0 < sum(flagged) < len(flagged), "both cases are there"


def test_cell_free_is_the_window_outside_the_mask(arrays, masks, plain):
    trials = all_trials()
    for trial, image, _ in of(trials, compose(trials, arrays, plain), "cell_free"):
        outside = ~masks[trial.cell]
        window = arrays.windows[trial.donor].astype(np.float32)
        assert np.array_equal(image[:, outside], window[:, outside])


@pytest.mark.parametrize("by", ["protein", "field"])
def test_donors_are_brought_to_the_centre_cells_scale(arrays, masks, neighbours, by):
    scales, trials = measure(by, CELLS, WINDOWS, arrays, 0), all_trials()
    found = compose(trials, arrays, scales)
    for condition in ("same", "different", "cell_free"):
        groups = scales.of_window if condition == "cell_free" else scales.of_cell
        for trial, image, _ in of(trials, found, condition):
            source, target = groups[trial.donor], scales.of_cell[trial.cell]
            stay = ~masks[trial.cell]
            donor = (arrays.windows if condition == "cell_free" else arrays.images)[trial.donor]
            if condition != "cell_free":
                stay = stay & ~(near(masks[trial.donor], HALO) & ~neighbours[trial.donor])
            for c in range(2):
                gain = (scales.high[target, c] - scales.low[target, c]) / (
                    scales.high[source, c] - scales.low[source, c]
                )
                expected = (donor[c] - scales.low[source, c]) * gain + scales.low[target, c]
                expected = donor[c] if source == target else expected
                assert np.allclose(image[c][stay], expected[stay], rtol=1e-3, atol=2)


def test_a_trial_does_not_depend_on_the_others_of_its_batch(arrays, scales):
    trials = all_trials()
    whole = compose(trials, arrays, scales)
    order = np.random.default_rng(3).permutation(len(trials))
    mixed = compose(trials.iloc[order], arrays, scales)
    assert np.array_equal(mixed.images, whole.images[order])
    assert np.array_equal(mixed.flags, whole.flags[order])
    assert np.array_equal(mixed.unaltered[mixed.reference], whole.unaltered[whole.reference][order])
    for i in order[:40]:
        single = compose(trials.iloc[[i]], arrays, scales)
        assert np.array_equal(single.images[0], whole.images[i])
        assert single.flags[0] == whole.flags[i]


def test_another_seed_fills_with_other_medium(arrays, plain):
    trials = all_trials(repeats=1)
    one, two = (compose(trials.assign(seed=s), arrays, plain).images for s in (1, 2))
    changed = (one != two).any((1, 2, 3))
    assert (trials["condition"][changed].isin(["same", "different", "background_only"])).all()
    assert changed[trials["condition"] == "background_only"].all()


def test_the_reference_is_the_unaltered_crop_of_each_trials_cell(arrays, plain):
    trials = all_trials().sample(50, random_state=1)
    found = compose(trials, arrays, plain)
    expected = arrays.images[trials["cell"]].astype(np.float32)
    assert np.array_equal(found.unaltered[found.reference], expected)


def test_pixels_of_the_store_are_not_changed(arrays, plain):
    before = [
        getattr(arrays, name).copy() for name in ("images", "masks", "foregrounds", "windows")
    ]
    compose(all_trials(), arrays, plain)
    for name, kept in zip(("images", "masks", "foregrounds", "windows"), before, strict=True):
        assert np.array_equal(getattr(arrays, name), kept)


# Flags


def two_crops(level, mask):
    """Cell 0 in medium of 100 ± 10; cell 1, the donor, in medium of `level`; no neighbours."""
    rng = np.random.default_rng(0)
    images = rng.integers(90, 110, (2, 2, SIDE, SIDE))
    images[0][:, mask] = 1100
    centre = disc(16, 16, 5)
    images[1][:, ~centre] = level
    both = pack(np.stack([mask, centre]))
    windows = np.full((1, 2, SIDE, SIDE), level)
    return CropArrays(images.astype(np.uint16), both, both, windows.astype(np.uint16))


def flags_of(arrays, condition, donor=1):
    cells = pd.DataFrame({"protein": ["a", "b"], "field": ["a", "b"]})
    windows = pd.DataFrame({"protein": ["b"], "field": ["b"]})
    # The scale is cell 0's: range about 1000. Nothing is moved.
    scales = measure("field", cells, windows, arrays, 0)
    object.__setattr__(scales, "of_cell", np.zeros(2, np.int64))
    object.__setattr__(scales, "of_window", np.zeros(1, np.int64))
    trials = pd.DataFrame({"cell": [0], "condition": [condition], "donor": [donor], "seed": [1]})
    return TrialFlag(int(compose(trials, arrays, scales).flags[0]))


@pytest.mark.parametrize(("condition", "donor"), [("same", 1), ("different", 1), ("cell_free", 0)])
def test_a_background_far_from_the_cells_own_is_flagged_at_the_seam(condition, donor):
    mask = disc(16, 16, 7)
    for level, far in ((100, False), (500, False), (560, False), (640, True), (5000, True)):
        found = flags_of(two_crops(level, mask), condition, donor)
        assert bool(found & TrialFlag.SEAM) == far, level


@pytest.mark.parametrize("condition", ["unaltered", "masked", "sham", "background_only"])
def test_conditions_without_a_donor_have_no_seam(condition):
    assert not flags_of(two_crops(5000, disc(16, 16, 7)), condition, -1) & TrialFlag.SEAM


@pytest.mark.parametrize("by", HARMONISE)
def test_alike_crops_have_no_seam_under_any_harmonisation(by):
    arrays = crop_arrays(N, M, seed=9)
    trials = all_trials()
    found = compose(trials, arrays, measure(by, CELLS, WINDOWS, arrays, 0))
    seams = (found.flags & int(TrialFlag.SEAM)) != 0
    assert seams.mean() < 0.05


def test_a_mask_at_the_border_is_flagged_under_every_condition():
    touching = disc(16, 16, 5)
    touching[0, 16] = True
    inner = disc(16, 16, 5)
    inner[1, 16] = True
    for condition in map(str, COMPOSED):
        donor = {"same": 1, "different": 1, "cell_free": 0}.get(condition, -1)
        for mask, flagged in ((touching, True), (inner, False)):
            found = flags_of(two_crops(100, mask), condition, donor)
            assert bool(found & TrialFlag.TOUCHES_BORDER) == flagged
            assert not found & TrialFlag.EMPTY_MASK


def test_wanted_channels_are_those_of_the_whole(arrays, scales):
    trials = all_trials()
    whole, one = (gather(trials, arrays, scales, channels=some) for some in (None, [1]))
    assert one.pixels.shape[1] == 1 < whole.pixels.shape[1]
    assert (one.flags == whole.flags).all()
    every = slice(0, len(trials))
    assert torch.equal(combine(one, every), combine(whole, every)[:, [1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_processors_join_as_devices_do(arrays, scales, dtype, monkeypatch):
    images, windows = ((pixels / 7).astype(dtype) for pixels in (arrays.images, arrays.windows))
    trials = all_trials()
    inputs = gather(trials, CropArrays(images, arrays.masks, arrays.foregrounds, windows), scales)
    rows = slice(1, len(trials) - 1)
    compiled = combine(inputs, rows)
    monkeypatch.setattr(compose_compiled, "join", join_on_device)
    assert compiled.dtype == torch.float32
    assert torch.equal(combine(inputs, rows), compiled)


def test_an_empty_mask_is_flagged_and_shows_the_background_alone():
    empty = np.zeros((SIDE, SIDE), bool)
    for condition in map(str, COMPOSED):
        donor = {"same": 1, "different": 1, "cell_free": 0}.get(condition, -1)
        found = flags_of(two_crops(100, empty), condition, donor)
        assert found & TrialFlag.EMPTY_MASK
        assert not found & TrialFlag.TOUCHES_BORDER


def test_a_hole_filled_from_little_medium_is_flagged(arrays, masks, plain):
    crowded = np.ones((N, SIDE, SIDE), bool)
    crowded[:, :2, :2] = False
    tight = CropArrays(arrays.images, arrays.masks, pack(crowded), arrays.windows)
    trials = all_trials()
    for source, expected in ((tight, True), (arrays, False)):
        found = compose(trials, source, plain)
        for condition in ("same", "different", "background_only"):
            for _, _, flags in of(trials, found, condition):
                assert bool(flags & TrialFlag.LITTLE_MEDIUM) == expected
        for condition in ("unaltered", "sham", "masked", "cell_free"):
            assert all(not f & TrialFlag.LITTLE_MEDIUM for _, _, f in of(trials, found, condition))


def test_an_unknown_donor_centre_lists_the_allowed_ones(arrays, plain):
    with pytest.raises(UsageError, match=r"'papre'.*Did you mean 'paper'.*remove, paper"):
        compose(all_trials(), arrays, plain, "papre")
