"""Scalings against their naive twins, and what must hold for each of them."""

from functools import partial

import numpy as np
import pytest
import torch

from compute.errors import UsageError
from compute.models import scaling_compiled
from compute.models.networks import NETWORKS
from compute.models.scaling import SCALINGS, scaling_named


def naive_min_max(image, reference):
    out = np.empty_like(image)
    for c in range(len(image)):
        low, high = reference[c].min(), reference[c].max()
        out[c] = (image[c] - low) / (high - low if high > low else 1)
    return out


def naive_pifia(image, reference):
    unit = naive_min_max(reference, reference)
    deviation = max(unit.std(), 1 / np.sqrt(image.size))
    return (naive_min_max(image, reference) - unit.mean()) / deviation


def naive_deeploc(image, reference):
    out = np.empty_like(image)
    for c in range(len(image)):
        low, high = np.percentile(reference[c], [0.1, 99.9])
        out[c] = np.clip(image[c], low, high) - low
        if high - low > 1:
            out[c] /= high - low
    return out


def naive_min_max_all(image, reference):
    low, high = reference.min(), reference.max()
    return (image - low) / (high - low if high > low else 1)


def naive_z_score(image, reference):
    out = np.empty_like(image)
    for c in range(len(image)):
        out[c] = (image[c] - reference[c].mean()) / (reference[c].std() + 1e-7)
    return out


def naive_percentiles(image, reference, percentiles=(0.1, 99.9)):
    out = np.empty_like(image)
    for c in range(len(image)):
        low, high = np.percentile(reference[c], percentiles)
        out[c] = (np.clip(image[c], low, high) - low) / (high - low if high > low else 1)
    return out


NAIVE = {
    "pifia": naive_pifia,
    "paired_cell": naive_min_max,
    "deeploc": naive_deeploc,
    "min_max": naive_min_max,
    "min_max_all": naive_min_max_all,
    "z_score": naive_z_score,
    "percentiles": naive_percentiles,
    "range": lambda image, _: image,
    "none": lambda image, _: image,
}
FIXED = ("range", "none")
"""Scalings that are the same of all crops."""
WAYS = [(name, "any device") for name in SCALINGS]
WAYS += [(name, "compiled") for name in scaling_compiled.SCALERS]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}, {way[1]}")
def way(request):
    return request.param


@pytest.fixture
def name(way):
    return way[0]


@pytest.fixture
def scale(way):
    """Scale by the definition, or by what runs on a CPU."""
    name, how = way
    return SCALINGS[name] if how == "any device" else partial(scaling_compiled.scale, name)


@pytest.fixture
def by_crop(name):
    if name in FIXED:
        pytest.skip("the same of all crops")


def crops(seed, n=5, channels=2, side=64, top=60_000):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.gamma(1.5, top / 12, (n, channels, side, side)).astype(np.float32))


@pytest.mark.parametrize("side", [8, 40, 64])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("top", [60_000, 0.5])
def test_equals_the_naive_twin(name, scale, side, channels, locked, top):
    images = crops(1, channels=channels, side=side, top=top)
    reference = crops(2, channels=channels, side=side, top=top) if locked else None
    found = scale(images, reference)
    expected = np.stack(
        [
            NAIVE[name](image.astype(np.float64), other.astype(np.float64))
            for image, other in zip(
                images.numpy(), (images if reference is None else reference).numpy(), strict=True
            )
        ]
    )
    assert found.dtype == torch.float32
    assert found.shape == images.shape
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.usefixtures("by_crop")
def test_constant_images_stay_finite(scale):
    images = torch.full((2, 2, 64, 64), 321.0)
    assert torch.equal(scale(images), torch.zeros_like(images))
    assert torch.isfinite(scale(crops(3, n=2), images)).all()
    assert torch.isfinite(scale(images, crops(3, n=2))).all()


def test_a_reference_that_is_the_image_changes_nothing(scale):
    images = crops(4)
    assert torch.equal(scale(images), scale(images, images.clone()))


def test_crops_do_not_influence_each_other(scale):
    images = crops(5)
    whole = scale(images)
    for i in range(len(images)):
        alone = scale(images[i : i + 1])[0]
        assert torch.allclose(alone, whole[i], atol=1e-6)


@pytest.mark.usefixtures("by_crop")
def test_brightness_and_offset_of_the_camera_do_not_matter(scale):
    images = crops(6)
    assert torch.allclose(scale(images), scale(images * 2 + 500), atol=1e-3, rtol=1e-3)


@pytest.mark.usefixtures("by_crop")
def test_a_bright_neighbour_dims_the_cell_only_without_a_lock(scale):
    images = crops(7, n=1)
    brighter = images.clone()
    brighter[..., :12, :12] = images.max() * 4
    cell = (slice(None), slice(None), slice(24, 40), slice(24, 40))
    before = scale(images)[cell]
    locked = scale(brighter, images)[cell]
    assert torch.equal(before, locked)
    spread = scale(brighter)[cell].std()
    assert spread < 0.8 * before.std()


def test_images_are_left_alone(scale):
    images = crops(8)
    copy = images.clone()
    scale(images)
    assert torch.equal(images, copy)


def test_wrong_shapes_and_names_are_refused(name, scale):
    with pytest.raises(UsageError, match="cannot be scaled"):
        scale(crops(9), crops(9, n=1))
    with pytest.raises(UsageError, match="cannot be scaled"):
        scale(crops(9)[0])
    with pytest.raises(UsageError, match="Unknown scaling"):
        scaling_named(name + "x")


def test_scalings_of_published_networks_are_compiled_for_processors():
    assert {spec.scaling for spec in NETWORKS.values()} <= set(scaling_compiled.SCALERS)


@pytest.mark.parametrize("name", scaling_compiled.SCALERS)
def test_both_ways_of_scaling_agree(name):
    images, reference = crops(11), crops(12)
    for given in [(images,), (images, reference), (images[..., 3:], reference[..., 3:])]:
        compiled = scaling_compiled.scale(name, *given)
        assert torch.allclose(SCALINGS[name](*given), compiled, atol=2e-6)


@pytest.mark.parametrize("percentiles", [(0.0, 100.0), (1.0, 99.5), (25.0, 75.0)])
def test_percentiles_are_as_a_card_says(percentiles):
    images, reference = crops(13, side=20), crops(14, side=20)
    found = scaling_named("percentiles", percentiles=percentiles)(images, reference)
    pairs = zip(images.double().numpy(), reference.double().numpy(), strict=True)
    expected = np.stack([naive_percentiles(*pair, percentiles) for pair in pairs])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_a_range_is_as_a_card_says():
    images = torch.tensor([100.0, 300.0, 500.0, 900.0]).view(1, 1, 2, 2)
    found = scaling_named("range", value_range=(100.0, 500.0))(images)
    assert found.flatten().tolist() == [0, 0.5, 1, 2]
