"""Synthetic crops: the centre cell never changes, the donor's never shows, trials are alone."""

import numpy as np
import pandas as pd
import pytest
import torch

from compute.backgrounds import compose_compiled
from compute.backgrounds.behind import BACKGROUNDS
from compute.backgrounds.compose import (
    combine,
    compose,
    gather,
    join_on_device,
)
from compute.backgrounds.config import DONOR_CENTRE, PASTE
from compute.backgrounds.glow import GLOW, HALO
from compute.backgrounds.harmonise import HARMONISE, measure
from compute.errors import UsageError
from compute.images.distance import steps_from
from compute.images.fill_holes import fill_batch
from compute.schema import COMPOSED, CONDITIONS, Condition, TrialFlag
from compute.store.reader import CropArrays
from tests.compute.synthetic_cells import SIDE, crop_arrays, disc, medium_of, pack

N, M = 12, 3
CELLS = pd.DataFrame(
    {"protein": [f"p{i // 3}" for i in range(N)], "field": [f"f{i // 2}" for i in range(N)]}
)
WINDOWS = pd.DataFrame({"protein": ["p0", "p2", "w"], "field": ["f0", "f4", "w"]})


def all_trials(n=N, m=M, repeats=2, seed=0, conditions=COMPOSED):
    """Every cell under every condition, with donors other than itself."""
    rng = np.random.default_rng(seed)
    rows = []
    for cell in range(n):
        for condition in conditions:
            for repeat in range(repeats):
                donor = -1
                if CONDITIONS[condition].donors == "cell":
                    donor = (cell + 1 + int(rng.integers(n - 1))) % n
                elif CONDITIONS[condition].donors == "window":
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


def recast(arrays, dtype):
    """The same crops in another dtype."""
    images, windows = (
        (pixels / 257).astype(dtype) if dtype is np.uint8 else pixels.astype(dtype)
        for pixels in (arrays.images, arrays.windows)
    )
    return CropArrays(images, arrays.masks, arrays.foregrounds, windows)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.uint8])
@pytest.mark.parametrize("by", HARMONISE)
@pytest.mark.parametrize("paste", PASTE)
def test_a_donor_that_is_the_cell_itself_and_left_whole_gives_the_unaltered_crop(dtype, by, paste):
    arrays = recast(crop_arrays(N, M), dtype)
    trials = all_trials()
    trials = trials[trials["condition"] == "same"].assign(donor=lambda rows: rows["cell"])
    found = compose(trials, arrays, measure(by, CELLS, WINDOWS, arrays, 0), "paper", paste)
    own = arrays.images[trials["cell"]].astype(np.float32)
    if paste == "glow":
        # The cell that shows is lit by the glow of the one on top of it, and by nothing else.
        light = found.images - own
        assert (light >= -1e-6 * own.max()).all()
    else:
        assert np.array_equal(found.images, own)
    assert not (found.flags & (TrialFlag.SEAM | TrialFlag.DONOR_VISIBLE)).any()


def lit(arrays, seed=0):
    """The same crops with the glow that cells have: their light over the medium falls by 0.6."""
    rng = np.random.default_rng(seed)
    masks = arrays.unpack(arrays.masks)
    neighbours = arrays.unpack(arrays.foregrounds) & ~masks
    images = rng.normal(500, 20, arrays.images.shape)
    for i, cells in enumerate(zip(masks, neighbours, strict=True)):
        for cell, light in zip(cells, (1500, 1600), strict=True):
            away = steps_from(cell[None])[0].astype(float)
            images[i] += np.where(cell, light, np.where(away < 20, 0.5 * light * 0.6**away, 0))
    return CropArrays(
        images.astype(np.float32), arrays.masks, arrays.foregrounds,
        rng.normal(700, 40, arrays.windows.shape).astype(np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("by", HARMONISE)
def test_sham_changes_noise_only_and_only_in_the_hole(by, masks):
    arrays, trials = lit(crop_arrays(N, M)), all_trials()
    found = compose(trials, arrays, measure(by, CELLS, WINDOWS, arrays, 0))
    for trial, sham, flags in of(trials, found, "sham"):
        own = arrays.images[trial.cell]
        changed = np.abs(sham - own).max(0) > 1e-3
        assert not (changed & ~near(masks[trial.cell], HALO)).any()
        assert not flags & (TrialFlag.SEAM | TrialFlag.DONOR_VISIBLE)


def test_cut_hard_sham_loses_the_glow_and_pasted_with_it_does_not(masks, neighbours):
    arrays, trials = lit(crop_arrays(N, M)), all_trials(repeats=1)
    scales = measure("protein", CELLS, WINDOWS, arrays, 0)
    for paste, low, high in (("glow", -25, 25), ("hard", -800, -60)):
        found = compose(trials, arrays, scales, paste=paste)
        for trial, sham, _ in of(trials, found, "sham"):
            away = steps_from(masks[trial.cell][None])[0]
            beside = steps_from(neighbours[trial.cell][None])[0]
            ring = (away > 0) & (away <= 2) & (beside > HALO)
            change = (sham - arrays.images[trial.cell])[:, ring].mean(1)
            assert ((change > low) & (change < high)).all(), (paste, change)


@pytest.mark.parametrize("donor_centre", DONOR_CENTRE)
@pytest.mark.parametrize("paste", PASTE)
def test_the_centre_cells_pixels_are_never_changed(arrays, masks, scales, donor_centre, paste):
    trials = all_trials()
    found = compose(trials, arrays, scales, donor_centre, paste)
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
    for trial, image, _ in of(
        trials, compose(trials, arrays, plain, paste="hard"), "background_only"
    ):
        hole = near(masks[trial.cell], HALO) & ~neighbours[trial.cell]
        assert np.array_equal(image[:, ~hole], arrays.images[trial.cell][:, ~hole])
        assert set(map(tuple, image[:, hole].T.astype(int).tolist())) <= medium_of(
            arrays, trial.cell
        )


@pytest.mark.parametrize("condition", ["same_protein", "same", "different"])
def test_the_donors_centre_is_replaced_by_its_medium_and_its_neighbours_stay(
    arrays, masks, neighbours, plain, condition
):
    trials, shown = all_trials(), 0
    found = compose(trials, arrays, plain, paste="hard")
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
    found = compose(trials, arrays, plain, "paper", "hard")
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
    for trial, image, _ in of(trials, compose(trials, arrays, plain, paste="hard"), "cell_free"):
        outside = ~masks[trial.cell]
        window = arrays.windows[trial.donor].astype(np.float32)
        assert np.array_equal(image[:, outside], window[:, outside])


@pytest.mark.parametrize("by", ["protein", "field"])
def test_donors_are_brought_to_the_centre_cells_scale(arrays, masks, neighbours, by):
    scales, trials = measure(by, CELLS, WINDOWS, arrays, 0), all_trials()
    found = compose(trials, arrays, scales, paste="hard")
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


@pytest.mark.parametrize("paste", PASTE)
def test_a_trial_does_not_depend_on_the_others_of_its_batch(arrays, scales, paste):
    trials = all_trials()
    whole = compose(trials, arrays, scales, paste=paste)
    order = np.random.default_rng(3).permutation(len(trials))
    mixed = compose(trials.iloc[order], arrays, scales, paste=paste)
    for name in ("images", "flags", "neighbour_fraction", "neighbour_distance"):
        assert np.array_equal(
            getattr(mixed, name), getattr(whole, name)[order], equal_nan=name[0] == "n"
        )
    assert np.array_equal(mixed.unaltered[mixed.reference], whole.unaltered[whole.reference][order])
    for i in order[:40]:
        single = compose(trials.iloc[[i]], arrays, scales, paste=paste)
        assert np.array_equal(single.images[0], whole.images[i])
        assert single.flags[0] == whole.flags[i]


FILLED = ("sham", "alone", "same_protein", "same", "different", "background_only")


def test_another_seed_fills_with_other_medium(arrays, plain):
    trials = all_trials(repeats=1)
    one, two = (compose(trials.assign(seed=s), arrays, plain, paste="hard").images for s in (1, 2))
    changed = (one != two).any((1, 2, 3))
    assert (trials["condition"][changed].isin(FILLED)).all()
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


# Glow


def test_hard_composites_are_those_of_before_the_glow(arrays, masks, neighbours, scales):
    """As it was: where(mask, cell, filled donor · factor + offset), in single precision."""
    trials = all_trials()
    found = compose(trials, arrays, scales, paste="hard")
    for trial, image, _ in of(trials, found, "different"):
        hole = near(masks[trial.donor], HALO) & ~neighbours[trial.donor]
        some = slice(trial.donor, trial.donor + 1)
        foreground = arrays.unpack(arrays.foregrounds[some])
        filled, _ = fill_batch(arrays.images[some], hole[None], foreground, np.array([trial.seed]))
        one = np.array([trial.cell])
        factor, offset = scales.factors(scales.of_cell[[trial.donor]], scales.of_cell[one])
        moved = filled[0].astype(np.float32) * factor[0][:, None, None] + offset[0][:, None, None]
        own = arrays.images[trial.cell].astype(np.float32)
        assert np.array_equal(image, np.where(masks[trial.cell], own, moved))


STORED = {
    "same": 181699620,
    "different": 182555531,
    "cell_free": 131381742,
    "masked": 123849259,
    "background_only": 58589966,
}
"""Sums over the pixels of one trial a cell, before composites could have a glow."""


def test_hard_composites_keep_their_stored_sums(arrays, plain):
    names = ["unaltered", "same", "different", "cell_free", "masked", "sham", "alone",
             "same_protein", "background_only"]  # fmt: skip
    trials = all_trials(repeats=1, conditions=[Condition(name) for name in names])
    found = compose(trials, arrays, plain, paste="hard")
    sums = {
        name: int(sum(image.astype(np.int64).sum() for _, image, _ in of(trials, found, name)))
        for name in STORED
    }
    assert sums == STORED


def pieces(trial, arrays, masks, neighbours):
    """Distances from the cell, its neighbours, the donor's neighbours, and the donor's cell."""
    at = (masks[trial.cell], neighbours[trial.cell], neighbours[trial.donor], masks[trial.donor])
    return [steps_from(mask[None])[0].astype(int) for mask in at]


@pytest.mark.parametrize("by", HARMONISE)
@pytest.mark.parametrize("condition", ["same", "same_protein", "different"])
def test_a_cell_takes_along_what_is_around_it_but_no_neighbour(masks, neighbours, by, condition):
    arrays, trials = lit(crop_arrays(N, M)), all_trials()
    found = compose(trials, arrays, measure(by, CELLS, WINDOWS, arrays, 0))
    kept = 0
    for trial, image, _ in of(trials, found, condition):
        away, beside, theirs, _ = pieces(trial, arrays, masks, neighbours)
        own = (away == 0) | ((away <= GLOW) & (beside > HALO) & (theirs > HALO))
        original = arrays.images[trial.cell]
        assert np.array_equal(image[:, own], original[:, own])
        assert (image != original)[:, ~own].mean() > 0.99
        kept += (own & (away > 0)).sum()
    assert kept > 1000


def test_mediums_level_and_noise_are_those_of_the_cells_own_crop(masks, neighbours):
    arrays = lit(crop_arrays(N, M))
    rng = np.random.default_rng(5)
    # Every crop has a medium of its own: twice the noise, another level.
    scale, level = rng.uniform(0.5, 2, (N, 1, 1, 1)), rng.uniform(-200, 200, (N, 2, 1, 1))
    images = ((arrays.images - 500) * scale + 500 + level).astype(np.float32)
    arrays = CropArrays(images, arrays.masks, arrays.foregrounds, arrays.windows)
    trials = all_trials()
    found = compose(trials, arrays, measure("protein", CELLS, WINDOWS, arrays, 0))
    for condition in ("different", "cell_free"):
        for trial, image, _ in of(trials, found, condition):
            away = steps_from(masks[trial.cell][None])[0].astype(int)
            medium = (away > GLOW) & (away < 255)
            if condition == "different":
                theirs, donors = pieces(trial, arrays, masks, neighbours)[2:]
                medium &= (theirs > 10) & (donors > 10)
            if medium.sum() < 40:
                continue
            expected = 500 + level[trial.cell, :, 0, 0]
            assert np.allclose(
                image[:, medium].mean(1), expected, atol=30 * scale[trial.cell, 0, 0]
            )
            spread = image[:, medium].std(1) / (20 * scale[trial.cell, 0, 0])
            assert ((spread > 0.6) & (spread < 1.5)).all()


def test_without_harmonising_the_donors_pixels_stay_as_they_are(arrays, masks, neighbours, plain):
    trials = all_trials()
    for trial, image, _ in of(trials, compose(trials, arrays, plain), "same"):
        away, _, theirs, donors = pieces(trial, arrays, masks, neighbours)
        plainly = (away > GLOW) & (theirs > HALO) & (donors > HALO)
        assert np.array_equal(image[:, plainly], arrays.images[trial.donor][:, plainly])


def test_alone_shows_no_cell_but_the_one_in_the_centre(masks, neighbours):
    arrays, trials = lit(crop_arrays(N, M)), all_trials()
    found = compose(trials, arrays, measure("protein", CELLS, WINDOWS, arrays, 0))
    for trial, image, flags in of(trials, found, "alone"):
        away = steps_from(masks[trial.cell][None])[0].astype(int)
        assert np.array_equal(image[:, away == 0], arrays.images[trial.cell][:, away == 0])
        there = neighbours[trial.cell] & (away > 3)
        assert (arrays.images[trial.cell][:, there] > 1500).all()
        assert (image[:, there] < 1000).all()
        assert not flags & TrialFlag.SEAM


def test_a_cell_without_a_free_ring_ends_at_its_mask(arrays, masks, plain):
    every = np.ones((N, SIDE, SIDE), bool)
    every[:, :3] = False  # medium, but far from the cells
    tight = CropArrays(arrays.images, arrays.masks, pack(every), arrays.windows)
    trials = all_trials()
    found = compose(trials, tight, plain)
    for trial, image, _ in of(trials, found, "cell_free"):
        outside = ~masks[trial.cell]
        window = arrays.windows[trial.donor].astype(np.float32)
        free = steps_from(~every[:1])[0] > 0
        assert np.array_equal(image[:, outside & free], window[:, outside & free])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("by", HARMONISE)
def test_crops_without_medium_and_constant_ones_stay_finite(arrays, masks, dtype, by):
    every = pack(np.ones((N, SIDE, SIDE), bool))
    flat = np.full_like(recast(arrays, dtype).images, 7)
    for images, foregrounds in (
        (recast(arrays, dtype).images, every), (flat, every), (flat, arrays.foregrounds),
    ):  # fmt: skip
        crops = CropArrays(images, arrays.masks, foregrounds, recast(arrays, dtype).windows)
        trials = all_trials()
        found = compose(trials, crops, measure(by, CELLS, WINDOWS, crops, 0))
        assert np.isfinite(found.images).all()
        for trial, image in zip(trials.itertuples(), found.images, strict=True):
            if trial.condition != "background_only":
                inside = masks[trial.cell]
                assert np.array_equal(image[:, inside], images[trial.cell][:, inside])


def test_the_donors_neighbours_are_counted_where_they_show(arrays, masks, neighbours, plain):
    trials = all_trials()
    for paste in PASTE:
        found = compose(trials, arrays, plain, paste=paste)
        for i, trial in enumerate(trials.itertuples()):
            share, distance = found.neighbour_fraction[i], found.neighbour_distance[i]
            if CONDITIONS[trial.condition].donors != "cell":
                assert np.isnan(share)
                assert np.isnan(distance)
                continue
            shown = neighbours[trial.donor] & ~masks[trial.cell]
            assert share == pytest.approx(shown.mean(), rel=1e-6)
            nearest = steps_from(masks[trial.cell][None])[0][shown].min()
            assert distance == nearest


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


DONOR_OF_TWO = {"same_protein": 1, "same": 1, "different": 1, "cell_free": 0}


def flags_of(arrays, condition, donor=1, paste="hard"):
    cells = pd.DataFrame({"protein": ["a", "b"], "field": ["a", "b"]})
    windows = pd.DataFrame({"protein": ["b"], "field": ["b"]})
    # The scale is cell 0's: range about 1000. Nothing is moved.
    scales = measure("field", cells, windows, arrays, 0)
    object.__setattr__(scales, "of_cell", np.zeros(2, np.int64))
    object.__setattr__(scales, "of_window", np.zeros(1, np.int64))
    trials = pd.DataFrame({"cell": [0], "condition": [condition], "donor": [donor], "seed": [1]})
    return TrialFlag(int(compose(trials, arrays, scales, paste=paste).flags[0]))


@pytest.mark.parametrize(("condition", "donor"), [("same", 1), ("different", 1), ("cell_free", 0)])
def test_a_background_far_from_the_cells_own_is_flagged_at_the_seam(condition, donor):
    mask = disc(16, 16, 7)
    for level, far in ((100, False), (500, False), (560, False), (640, True), (5000, True)):
        found = flags_of(two_crops(level, mask), condition, donor)
        assert bool(found & TrialFlag.SEAM) == far, level


@pytest.mark.parametrize("condition", ["unaltered", "masked", "sham", "alone", "background_only"])
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
        donor = DONOR_OF_TWO.get(condition, -1)
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
@pytest.mark.parametrize("paste", PASTE)
def test_processors_join_as_devices_do(arrays, scales, dtype, paste, monkeypatch):
    images, windows = ((pixels / 7).astype(dtype) for pixels in (arrays.images, arrays.windows))
    trials = all_trials()
    crops = CropArrays(images, arrays.masks, arrays.foregrounds, windows)
    inputs = gather(trials, crops, scales, paste=paste)
    rows = slice(1, len(trials) - 1)
    compiled = combine(inputs, rows)
    monkeypatch.setattr(compose_compiled, "join", join_on_device)
    assert compiled.dtype == torch.float32
    assert torch.equal(combine(inputs, rows), compiled)


def test_an_empty_mask_is_flagged_and_shows_the_background_alone():
    empty = np.zeros((SIDE, SIDE), bool)
    for condition in map(str, COMPOSED):
        donor = DONOR_OF_TWO.get(condition, -1)
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
        for condition in FILLED:
            for _, _, flags in of(trials, found, condition):
                assert bool(flags & TrialFlag.LITTLE_MEDIUM) == expected
        for condition in ("unaltered", "masked", "cell_free"):
            assert all(not f & TrialFlag.LITTLE_MEDIUM for _, _, f in of(trials, found, condition))


def test_an_unknown_donor_centre_lists_the_allowed_ones(arrays, plain):
    with pytest.raises(UsageError, match=r"'papre'.*Did you mean 'paper'.*remove, paper"):
        compose(all_trials(), arrays, plain, "papre")


def test_an_unknown_paste_lists_the_allowed_ones(arrays, plain):
    with pytest.raises(UsageError, match=r"'glowing'.*Did you mean 'glow'.*glow, hard"):
        compose(all_trials(), arrays, plain, paste="glowing")
