"""What lies where in composites: whose neighbours show, under every condition."""

import numpy as np
import pytest
import torch

from compute.backgrounds.compose import compose, gather
from compute.backgrounds.config import PASTE
from compute.backgrounds.harmonise import measure
from compute.backgrounds.scene import Scene
from compute.schema import CONDITIONS, Condition
from tests.compute.backgrounds.test_compose import CELLS, WINDOWS, M, N, all_trials
from tests.compute.synthetic_cells import crop_arrays

NOBODY = (Condition.ALONE, Condition.MASKED, Condition.CELL_FREE)
"""Conditions under which the cell's own neighbours show."""


@pytest.fixture(scope="module")
def arrays():
    return crop_arrays(N, M)


@pytest.fixture(scope="module")
def plain(arrays):
    return measure("none", CELLS, WINDOWS, arrays, 0)


@pytest.mark.parametrize("paste", PASTE)
@pytest.mark.parametrize("centre", ["remove", "paper"])
def test_neighbours_are_those_that_the_background_shows(arrays, plain, paste, centre):
    trials = all_trials()
    scene = compose(trials, arrays, plain, centre, paste, with_scene=True).scene
    masks, cells = arrays.unpack(arrays.masks), arrays.unpack(arrays.foregrounds)
    assert scene.mask.dtype == scene.neighbours.dtype == torch.bool
    shown = 0
    for i, trial in enumerate(trials.itertuples()):
        mask = masks[trial.cell]
        expected = np.zeros_like(mask)
        if CONDITIONS[Condition(trial.condition)].donors == "cell":
            left = cells[trial.donor]
            expected = (left if centre == "paper" else left & ~masks[trial.donor]) & ~mask
        elif trial.condition not in NOBODY:
            expected = cells[trial.cell] & ~mask
        assert np.array_equal(scene.mask[i], mask)
        assert np.array_equal(scene.neighbours[i], expected), trial.condition
        shown += expected.any()
    assert shown > len(trials) / 3


def test_pixels_of_neighbours_are_bright_where_the_scene_says(arrays, plain):
    """Whatever code says where neighbours are, the composite's own pixels say it too."""
    trials = all_trials()
    found = compose(trials, arrays, plain, "paper", "hard", with_scene=True)
    # Neighbours have 20,000 and more, cells 40,000; medium, windows and fills 400 at most.
    bright = (found.images > 10_000).all(1)
    kept = ["unaltered", "sham", "alone", "same_protein", "same", "different", "cell_free"]
    kept = trials["condition"].isin(kept).to_numpy()
    outside = ~found.scene.mask.numpy()
    assert np.array_equal((bright & outside)[kept], found.scene.neighbours.numpy()[kept])


def test_second_readings_have_the_donors_cell_among_the_neighbours(arrays, plain):
    trials = all_trials(conditions=(Condition.SAME,))
    both = [
        compose(trials.assign(other_centre=other), arrays, plain, with_scene=True).scene
        for other in (False, True)
    ]
    more = both[1].neighbours & ~both[0].neighbours
    assert not (both[0].neighbours & ~both[1].neighbours).any()
    donors = arrays.unpack(arrays.masks)[trials["donor"].to_numpy()]
    assert np.array_equal(more.numpy(), donors & ~both[0].mask.numpy())


def test_a_moved_mask_takes_from_neighbours(plain, arrays):
    from dataclasses import replace

    trials = all_trials(conditions=(Condition.UNALTERED,))
    for shift in (-2, 3):
        shifted = replace(arrays, mask_shift=shift)
        scene = compose(trials, shifted, plain, with_scene=True).scene
        own = arrays.unpack(arrays.masks)[trials["cell"].to_numpy()]
        assert not (scene.mask & scene.neighbours).any()
        # What a mask loses belongs to no cell.
        assert not (scene.neighbours.numpy() & own).any()


def test_nobody_pays_who_did_not_ask(arrays, plain):
    trials = all_trials()
    inputs = gather(trials, arrays, plain)
    assert inputs.scene is None
    assert inputs.moved(lambda t: t).scene is None
    asked = gather(trials, arrays, plain, with_scene=True)
    assert torch.equal(asked.layers, inputs.layers)
    copied = asked.moved(torch.clone)
    assert torch.equal(copied.scene.neighbours, asked.scene.neighbours)
    assert len(copied) == len(copied.scene) == len(trials)


def test_scenes_can_be_taken_apart():
    mask = torch.arange(12).reshape(3, 2, 2) % 3 == 0
    scene = Scene(mask, ~mask)
    for rows in (slice(1, 3), torch.tensor([1, 2])):
        assert torch.equal(scene.at(rows).mask, mask[1:])
        assert torch.equal(scene.at(rows).neighbours, ~mask[1:])
