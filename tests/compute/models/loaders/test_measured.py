"""Baselines that measure: through the same door as every model."""

import numpy as np
import pytest
import torch

from compute.backgrounds.scene import Scene
from compute.errors import InputError
from compute.models.baselines.crowd import NAMES, measure_crowd
from compute.models.baselines.features import feature_names, measure_crops
from compute.models.baselines.names import MEASURED
from compute.models.card_files import find_model
from compute.models.embedder import load_model
from compute.models.readable import bind
from compute.runs.check_model import check_model
from compute.store.reader import CropStore

CHANNELS = ("GFP", "RFP")


def loaded(name, channels=CHANNELS):
    return load_model(find_model(name).bound(40, 0, channels))


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :40]
    mask = np.stack([(y - 20) ** 2 + (x - 18) ** 2 < r**2 for r in (8, 10, 12)])
    neighbours = rng.random((3, 1, 40)).repeat(40, 1) > 0.7
    return Scene(torch.from_numpy(mask), torch.from_numpy(neighbours & ~mask))


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.random.default_rng(1).gamma(2, 400, (3, 2, 40, 40))).float()


def test_each_is_what_its_function_measures(images, scene):
    mask, neighbours = scene.mask.numpy(), scene.neighbours.numpy()
    expected = {
        "handcrafted": measure_crops(images.numpy()),
        "handcrafted-centre": measure_crops(images.numpy(), mask),
        "density": measure_crowd(mask, neighbours),
    }
    assert set(expected) == set(MEASURED)
    for name, value in expected.items():
        model = loaded(name)
        given = images if model.card.channels else images[:, :0]
        assert np.array_equal(model(given, scene=scene).numpy(), value)
        assert model.dimension == value.shape[1]
        # Raw crops have no scale, and measuring no precision.
        locked = model(given, reference=given.flip(0), precision="bfloat16", scene=scene)
        assert np.array_equal(locked.numpy(), value)


def test_dimensions_are_named():
    assert loaded("handcrafted").dimension == len(feature_names(CHANNELS, False))
    assert loaded("handcrafted-centre").dimension == len(feature_names(CHANNELS, True))
    assert loaded("density").dimension == len(NAMES)


def test_density_depends_on_nothing_but_neighbours(images, scene):
    model = loaded("density")
    assert model.card.channels == ()
    assert torch.equal(model(images[:, :0], scene=scene), model(images.flip(0)[:, :0], scene=scene))
    moved = Scene(scene.mask, scene.neighbours.flip(1) & ~scene.mask)
    assert torch.equal(
        model(images[:, :0], scene=scene)[:, 0] > 0, model(images[:, :0], scene=moved)[:, 0] > 0
    )
    none = Scene(scene.mask, torch.zeros_like(scene.mask))
    assert not model(images[:, :0], scene=none).any()


@pytest.mark.parametrize("name", MEASURED)
def test_without_a_scene_they_are_refused(images, name):
    model = loaded(name)
    assert model.needs_scene
    assert model.module is None
    with pytest.raises(InputError, match="must be told where centre cells and neighbours are"):
        model(images if model.card.channels else images[:, :0])


@pytest.mark.parametrize("name", MEASURED)
def test_they_read_any_store(store, name):
    found = check_model(name, store)
    assert found.spread > 0
    assert found.dimension == {"handcrafted": 99, "handcrafted-centre": 103, "density": 7}[name]


def test_what_each_sees_is_said(store):
    _, reads = bind(list(MEASURED), CropStore(store))
    whole, centre, density = map(str, reads)
    assert whole == "handcrafted reads all 2 channels and whole crops of 64 × 64 pixels"
    assert centre.endswith("only what lies inside the centre cell's mask")
    assert density.startswith("density reads no channel")
