"""Cells put on prepared backgrounds: the very crops that a run composes, on any device."""

import numpy as np
import pandas as pd
import pytest
import torch

from compute.backgrounds.compose import compose
from compute.backgrounds.config import PASTE
from compute.backgrounds.glow import layers_of
from compute.backgrounds.harmonise import measure
from compute.backgrounds.prepared import DONOR, MEDIUM, OWN, PreparedCells, bytes_needed, prepare
from compute.errors import UsageError
from compute.hashing import Stream, mix
from compute.images.distance import UNREACHED
from tests.compute.synthetic_cells import cells_table, crop_arrays

CELLS = cells_table()
N = len(CELLS)
ROWS = np.arange(N)
NOTHING = np.full(N, -1)


@pytest.fixture
def arrays():
    return crop_arrays(N)


def composed(arrays, condition, donor, seeds, paste):
    """Compose the same crops as a run does."""
    trials = pd.DataFrame({"cell": ROWS, "condition": condition, "donor": donor, "seed": seeds})
    scales = measure("protein", CELLS, CELLS.iloc[:0], arrays, 5)
    return compose(trials, arrays, scales, paste=paste).images


@pytest.mark.parametrize("paste", PASTE)
def test_prepared_crops_are_those_that_a_run_composes(arrays, paste):
    cells = prepare(ROWS, CELLS, arrays, (MEDIUM, DONOR), paste=paste, seed=5)
    fill = (mix(5, Stream.TRAINING_FILL, ROWS) >> np.uint64(1)).astype(np.int64)
    donor = np.random.default_rng(1).permutation(N)
    alone = cells.put(ROWS, np.full(N, MEDIUM), NOTHING).numpy()
    assert np.array_equal(alone, composed(arrays, "alone", NOTHING, fill, paste))
    swapped = cells.put(ROWS, np.full(N, DONOR), donor).numpy()
    assert np.array_equal(swapped, composed(arrays, "different", donor, fill[donor], paste))
    assert not np.array_equal(swapped, alone)
    own = cells.put(ROWS, np.full(N, OWN), NOTHING)
    assert np.array_equal(own.numpy(), arrays.images.astype(np.float32))
    assert torch.equal(own, cells.own(ROWS))
    masks = arrays.unpack(arrays.masks)
    assert np.array_equal(cells.masks(ROWS).numpy(), masks)


def test_a_batch_may_mix_backgrounds(arrays):
    cells = prepare(ROWS, CELLS, arrays, (MEDIUM, DONOR))
    rng = np.random.default_rng(2)
    rows, donor = rng.integers(0, N, (2, 30))
    behind = rng.integers(0, 3, 30)
    found = cells.put(rows, behind, donor)
    for i in range(30):
        one = cells.put(rows[[i]], behind[[i]], donor[[i]])
        assert torch.equal(found[i], one[0])


@pytest.mark.parametrize("paste", PASTE)
def test_all_together_joins_as_crop_by_crop(arrays, paste, monkeypatch):
    """What other devices do, step by step on all crops, is what a CPU does."""
    cells = prepare(ROWS, CELLS, arrays, (MEDIUM, DONOR), paste=paste)
    behind = ROWS % 3
    expected = cells.put(ROWS, behind, ROWS[::-1])
    from compute.backgrounds import compose_compiled
    from compute.backgrounds.compose import join_on_device

    monkeypatch.setattr(compose_compiled, "join", join_on_device)
    torch.testing.assert_close(cells.put(ROWS, behind, ROWS[::-1]), expected, rtol=1e-6, atol=0.02)


def test_layers_are_those_of_the_compiled_twin(arrays):
    cells = prepare(ROWS, CELLS, arrays, (DONOR,))
    flat = [x.flatten(1).numpy() for x in (cells.steps, cells.other)]
    donor = np.random.default_rng(3).permutation(N)
    number, behind = map(torch.from_numpy, (donor, np.full(N, DONOR)))
    found = cells._layers(torch.from_numpy(ROWS), number, cells.steps, behind)
    assert np.array_equal(found.flatten(1).numpy(), layers_of(ROWS, *flat, flat[1][donor]))
    behind = torch.full((N,), MEDIUM)
    found = cells._layers(torch.from_numpy(ROWS), number, cells.steps, behind)
    far = np.full_like(flat[1], UNREACHED)
    assert np.array_equal(found.flatten(1).numpy(), layers_of(ROWS, *flat, far))


def test_nothing_of_other_cells_is_read(arrays):
    """Cells that are not asked for may hold anything."""
    some = np.flatnonzero(ROWS % 2 == 0)
    before = prepare(some, CELLS, arrays, (MEDIUM, DONOR))
    arrays.images[1::2] = 7
    after = prepare(some, CELLS, arrays, (MEDIUM, DONOR))
    assert torch.equal(before.pixels, after.pixels)
    assert np.array_equal(before.scales.low, after.scales.low)
    assert before.steps.shape == (len(some), *arrays.images.shape[2:])
    tensors = (before.pixels, before.steps, before.other, before.glow)
    kept = sum(t.numel() * t.element_size() for t in tensors)
    assert kept == len(some) * bytes_needed(arrays, (MEDIUM, DONOR))


def test_unknown_ways_are_refused(arrays):
    with pytest.raises(UsageError, match="Unknown paste 'soft'"):
        prepare(ROWS, CELLS, arrays, (DONOR,), paste="soft")
    assert isinstance(prepare(ROWS[:2], CELLS, arrays, (DONOR,)), PreparedCells)
