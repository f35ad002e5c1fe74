"""How crops become a network's input: against naive twins, and what must hold of any."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.errors import InputError
from compute.models.card import make_card
from compute.models.embedder import Embedder
from compute.models.recipe import POOLINGS, pad_or_cut, passes, pool, resize
from compute.models.scaling import SCALINGS


class Same:
    """A network whose answer is its input."""

    def forward_to(self, images, layer):
        return images


def embedder(**card):
    made = make_card(
        "onnx", name="m", weights="m.onnx", sha256="0" * 64, trained_on="", simulated=True,
        **{"scaling": "min_max", "size": 10, **card},
    )  # fmt: skip
    return Embedder(made, Same())


def crops(channels, side=10, n=3, seed=0):
    return torch.from_numpy(
        np.random.default_rng(seed).gamma(2, 300, (n, channels, side, side)).astype(np.float32)
    )


@given(height=st.integers(1, 9), width=st.integers(1, 9), side=st.integers(1, 9))
@settings(deadline=None)
def test_padding_and_cutting_keep_the_middle(height, width, side):
    images = crops(2, side=9)[:, :, :height, :width]
    found = pad_or_cut(images, side)
    assert found.shape == (3, 2, side, side)
    twin = np.empty(found.shape, np.float32)
    for n in range(3):
        for c in range(2):
            image = images[n, c].numpy()
            image = image[(height - side) // 2 if height > side else 0 :][:side]
            image = image[:, (width - side) // 2 if width > side else 0 :][:, :side]
            twin[n, c] = image.min()
            top, left = (side - image.shape[0]) // 2, (side - image.shape[1]) // 2
            twin[n, c, top : top + image.shape[0], left : left + image.shape[1]] = image
    assert np.array_equal(found.numpy(), twin)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("locked", [False, True])
def test_a_channel_that_is_not_there_has_no_part_in_the_scale(scaling, locked):
    numbers = {"value_range": [100, 900]} if scaling == "range" else {}
    real = embedder(channels=["a", "b"], scaling=scaling, **numbers)
    more = embedder(channels=["a", "none", "b", "none"], scaling=scaling, **numbers)
    images = crops(2)
    wide = torch.zeros(3, 4, 10, 10)
    wide[:, [0, 2]] = images
    other = crops(2, seed=1) if locked else None
    wide_other = None if other is None else wide.index_copy(1, torch.tensor([0, 2]), other)
    scaled = more.scale(wide, wide_other)
    assert torch.equal(scaled[:, [0, 2]], real.scale(images, other))
    assert not scaled[:, [1, 3]].any()


def test_channels_reach_the_network_as_the_card_says():
    images = crops(6)
    assert [each.shape[1] for each in passes(images, "threes_joined", 3)] == [3, 3]
    each = passes(images, "each_joined", 3)
    assert len(each) == 6
    for k, one in enumerate(each):
        assert torch.equal(one, images[:, [k, k, k]])
    assert torch.equal(passes(images, "together", 6)[0], images)


def test_a_pixel_size_is_brought_about_before_cutting():
    model = embedder(channels=["a"], pixel_size=0.2, crop_pixel_size=0.1, input_size=4)
    [([found], _)] = model.inputs(crops(1))
    half = resize(crops(1), 5)
    assert torch.equal(found, half[:, :, :4, :4])
    wide = embedder(channels=["a"], pixel_size=0.05, crop_pixel_size=0.1, input_size=24, fit="pad")
    [([found], _)] = wide.inputs(crops(1))
    assert torch.equal(found[:, :, 2:22, 2:22], resize(crops(1), 20))


def test_mean_and_deviation_are_of_the_networks_inputs():
    mean, deviation = [0.1, 0.2, 0.3], [1.0, 2.0, 4.0]
    model = embedder(channels=["a"], channel_use="repeated", mean=mean, deviation=deviation)
    [([found], _)] = model.inputs(crops(1))
    for k in range(3):
        assert torch.allclose(found[:, k], (crops(1)[:, 0] - mean[k]) / deviation[k])


def test_pooling_inside_the_mask_equals_a_loop():
    values = torch.rand((4, 5, 3, 3), generator=torch.Generator().manual_seed(0))
    mask = torch.rand((4, 9, 9), generator=torch.Generator().manual_seed(1)) < 0.4
    mask[3] = False
    mean, highest = (pool(values, f"{name}_in_mask", mask=mask) for name in ("mean", "max"))
    tokens = torch.cat([torch.full((4, 2, 5), 99.0), values.flatten(2).movedim(1, 2)], dim=1)
    assert torch.allclose(pool(tokens, "mean_in_mask", 2, mask), mean)
    for n in range(4):
        share = mask[n].float().view(3, 3, 3, 3).mean((1, 3)).flatten()
        flat = values[n].flatten(1)
        weights = share / share.sum() if share.sum() > 0 else torch.full((9,), 1 / 9)
        assert torch.allclose(mean[n], (flat * weights).sum(1))
        inside = share >= min(0.5, float(share.max()))
        assert torch.allclose(highest[n], flat[:, inside].amax(1))


@pytest.mark.parametrize("pooling", [name for name, p in POOLINGS.items() if p.by_mask])
def test_what_lies_outside_the_mask_changes_nothing(pooling):
    values = torch.rand((2, 5, 4, 4))
    mask = torch.zeros(2, 8, 8)
    mask[:, 2:6, 2:6] = 1
    other = values.clone()
    other[:, :, 0] += 5
    assert torch.equal(pool(values, pooling, mask=mask), pool(other, pooling, mask=mask))


@pytest.mark.parametrize(("height", "width"), [(7, 7), (8, 8), (6, 10)])
def test_pooling_over_the_middle_equals_a_loop(height, width):
    values = torch.rand((3, 5, height, width), generator=torch.Generator().manual_seed(0))
    mean, highest, both = (pool(values, f"{name}_in_middle") for name in ("mean", "max", "both"))
    places = [
        (y, x)
        for y in range(height)
        for x in range(width)
        if ((y + 0.5) / height - 0.5) ** 2 + ((x + 0.5) / width - 0.5) ** 2 <= 0.25**2
    ]
    assert 0 < len(places) < height * width / 3
    some = torch.stack([values[:, :, y, x] for y, x in places], dim=2)
    assert torch.allclose(mean, some.mean(2))
    assert torch.equal(highest, some.amax(2))
    assert torch.equal(both, torch.cat([highest, mean], dim=1))
    away = values.clone()
    away[:, :, 0] += 5
    assert torch.equal(pool(away, "both_in_middle"), both)
    with pytest.raises(InputError, match="not in rows and columns"):
        pool(torch.rand(2, 6, 3), "mean_in_middle", 1)


def test_a_map_without_a_middle_is_pooled_whole():
    values = torch.rand((3, 5, 2, 2))
    assert torch.equal(pool(values, "max_in_middle"), pool(values, "max"))
    assert torch.allclose(pool(values, "mean_in_middle"), pool(values, "mean"))


def test_what_cannot_be_pooled_is_refused():
    with pytest.raises(InputError, match="no class token"):
        pool(torch.rand(2, 5, 3), "class_token")
    with pytest.raises(InputError, match="cannot be had from a layer that gives a map"):
        pool(torch.rand(2, 5, 3, 3), "class_token")
    with pytest.raises(InputError, match="not in rows and columns"):
        pool(torch.rand(2, 6, 3), "mean_in_mask", 1, torch.ones(2, 9, 9))
    with pytest.raises(InputError, match="5 dimensions"):
        pool(torch.rand(2, 2, 2, 2, 2), "mean")
    with pytest.raises(InputError, match="needs masks"):
        pool(torch.rand(2, 5, 3, 3), "mean_in_mask")


def test_a_mask_is_padded_with_nothing():
    model = embedder(channels=["a"], input_size=14, fit="pad", pooling="mean_in_mask")
    [(_, seen)] = model.inputs(crops(1), torch.ones(3, 10, 10))
    assert seen.sum() == 3 * 100
