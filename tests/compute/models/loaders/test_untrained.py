"""Networks with drawn weights: the seed decides them, and nothing else."""

import numpy as np
import pytest
import torch

from compute.errors import UsageError
from compute.models.card_files import find_model
from compute.models.embedder import load_model
from compute.models.networks import NETWORKS
from compute.models.scaling import SCALINGS
from compute.models.weights import weights_of
from compute.runs.check_model import check_model


def crops(channels, n=4, side=64):
    generator = torch.Generator().manual_seed(3)
    smooth = torch.nn.functional.avg_pool2d(
        torch.rand((n, channels, side + 8, side + 8), generator=generator), 9, 1
    )
    return (smooth - smooth.amin()) * 20_000 + 100 * torch.rand(
        (n, channels, side, side), generator=generator
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_the_seed_decides_the_weights(name):
    one = load_model(find_model(f"untrained:{name}"))
    torch.rand(7)  # What was drawn before does not matter, nor is it changed.
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    again, other = (load_model(find_model(f"untrained:{name}{end}")) for end in ("", "#1"))
    assert torch.equal(torch.rand(1), expected)
    images = crops(len(one.card.channels))
    assert torch.equal(one(images), again(images))
    assert not torch.allclose(one(images), other(images), rtol=0.1)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_network_before_training_but_for_one_factor(name):
    """Normalisations with mean 0 and variance 1 give the same numbers, only smaller ones."""
    model = load_model(find_model(f"untrained:{name}"))
    card = model.card
    torch.manual_seed(card.seed)
    plain = NETWORKS[name].build(card.width, len(card.classes)).eval()
    scaled = SCALINGS[card.scaling](crops(len(card.channels)))
    side = NETWORKS[name].input_size
    window = scaled[:, :, :side, :side].contiguous()
    with torch.inference_mode():
        before = plain.forward_to(window, card.layer)
        after = model.network.forward_to(window, card.layer)
    ratio = (after.square().mean() / before.square().mean()).sqrt()
    assert ratio > 2
    assert torch.allclose(after, before * ratio, rtol=0.02, atol=float(after.max()) * 1e-3)
    # Paired Cell Inpainting's layer is taken before its normalisation.
    assert 0.1 < float(after.square().mean() / window.square().mean()) < 5


@pytest.mark.parametrize("name", NETWORKS)
def test_embeddings_tell_crops_apart(store, name):
    found = check_model(f"untrained:{name}", store)
    assert found.model == f"untrained-{name}"
    assert found.spread > 1e-3


def test_its_recipe_is_the_cards(cards):
    trained = load_model(find_model(cards["pifia"]))
    drawn = load_model(find_model(f"untrained:{cards['pifia']}"))
    assert drawn.dimension == trained.dimension
    shapes = [
        {key: t.shape for key, t in weights_of(model.module).items()} for model in (trained, drawn)
    ]
    assert shapes[0] == shapes[1]
    images = crops(1)
    assert not torch.allclose(drawn(images), trained(images), rtol=0.1)


@pytest.mark.usefixtures("torchvision")
def test_architectures_of_timm_read_every_channel_of_a_store(store):
    found = check_model("untrained:timm:resnet10t", store)
    assert found.dimension == 512
    assert "a pass for each channel" in found.reads
    bound = [
        find_model(f"untrained:timm:resnet10t#{seed}").bound(64, 0, ("GFP", "RFP"))
        for seed in (0, 0, 1)
    ]
    one, again, other = (load_model(each)(crops(2)).numpy() for each in bound)
    assert np.array_equal(one, again)
    assert not np.allclose(one, other, rtol=0.1)
    with pytest.raises(UsageError, match="has no architecture 'resnet_of_mine'"):
        check_model("untrained:timm:resnet_of_mine", store)


def test_a_card_without_channels_needs_a_store():
    from dataclasses import replace

    found = find_model("untrained:timm:resnet10t")
    with pytest.raises(UsageError, match="does not say the side of its crops"):
        load_model(found)
    with pytest.raises(UsageError, match="does not say its channels"):
        load_model(replace(found, card=replace(found.card, size=64)))
