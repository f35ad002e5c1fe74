"""Architectures of timm: loaded whole or refused, never adapted in silence."""

from dataclasses import replace

import pytest
import torch

from compute.errors import InputError, UsageError
from compute.models.card import make_card
from compute.models.card_files import FoundModel
from compute.models.embedder import load_model
from compute.models.weights import weights_of, write_weights

pytestmark = pytest.mark.usefixtures("torchvision")
NAME = "vit_tiny_patch16_224"


def write(folder, name=NAME, inputs=3, classes=4, side=32, **card):
    """Write drawn weights of an architecture; return it as found, and the module itself."""
    import timm

    torch.manual_seed(0)
    sized = {"img_size": side} if name.startswith("vit") else {}
    module = timm.create_model(name, in_chans=inputs, num_classes=classes, **sized).eval()
    digest = write_weights(folder / "m.safetensors", weights_of(module))
    made = make_card(
        f"timm:{name}", name="m", weights="m.safetensors", sha256=digest, trained_on="nothing",
        simulated=True, **{"channels": ["GFP"], "size": 64, "input_size": side, **card},
    )  # fmt: skip
    return FoundModel(made, folder), module


def crops(channels=1, n=3):
    return torch.rand((n, channels, 64, 64), generator=torch.Generator().manual_seed(1)) * 900


def by_hand(module, images, card):
    """Scale, resize and standardise one channel, step by step."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    small = torch.nn.functional.interpolate(
        (images - low) / (high - low), size=(32, 32), mode="bilinear", antialias=True
    )
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (card.mean, card.deviation))
    with torch.inference_mode():
        return module.forward_features((small.expand(-1, 3, -1, -1) - mean) / deviation)


def test_tokens_are_those_of_the_library(tmp_path):
    found, module = write(tmp_path)
    tokens = by_hand(module, crops(), found.card)
    mean = load_model(found)
    assert torch.allclose(mean(crops()), tokens[:, 1:].mean(1), atol=1e-5)
    first = load_model(replace(found, card=replace(found.card, pooling="class_token")))
    assert torch.allclose(first(crops()), tokens[:, 0], atol=1e-5)


def test_every_kind_of_layer(tmp_path):
    found, module = write(tmp_path)
    given = by_hand(module, crops(), found.card)
    for layer, length in [("embedding", 192), ("output", 4), ("blocks.3", 192), ("head", 4)]:
        model = load_model(replace(found, card=replace(found.card, layer=layer)))
        assert model.dimension == length
        if layer == "output":
            with torch.inference_mode():
                assert torch.allclose(model(crops()), module.head(given[:, 0]), atol=1e-4)
    with pytest.raises(UsageError, match=r"Unknown layer of this network 'blocks.99'"):
        load_model(replace(found, card=replace(found.card, layer="blocks.99")))


def test_a_convolutional_network_gives_a_map(tmp_path):
    found, _module = write(tmp_path, "resnet18", side=64)
    assert load_model(found).dimension == 512
    inner = load_model(replace(found, card=replace(found.card, layer="layer2")))
    assert inner.dimension == 128


def test_a_first_layer_is_never_adapted(tmp_path):
    """timm would turn weights for three channels into weights for five without a word."""
    found, _ = write(tmp_path)
    card = replace(
        found.card, channels=("a", "b", "c", "d", "e"), channel_use="together", inputs=5,
        mean=(), deviation=(),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"patch_embed.proj.weight is 192×3×16×16, not 192×5×16"):
        load_model(replace(found, card=card))
    five, _ = write(
        tmp_path, inputs=5, channels=list("abcde"), channel_use="together", mean=[], deviation=[]
    )
    assert load_model(five)(crops(5)).shape == (3, 192)


@pytest.mark.parametrize(
    ("channels", "use", "length"),
    [
        (("a", "b", "c", "none", "none", "f"), "threes_joined", 384),
        (("a", "b", "c", "none", "none", "f"), "threes_averaged", 192),
        (("a", "b"), "each_joined", 384),
        (("a", "b"), "each_averaged", 192),
        (("a",), "repeated", 192),
        (("a", "b", "c"), "together", 192),
    ],
)
def test_every_way_of_channels(tmp_path, channels, use, length):
    found, module = write(tmp_path, channels=list(channels), channel_use=use)
    model = load_model(found)
    images = crops(len(channels))
    answer = model(images)
    assert answer.shape == (3, length) == (3, model.dimension)
    if use.startswith("each"):
        parts = [by_hand(module, images[:, [k]], found.card)[:, 1:].mean(1) for k in range(2)]
        expected = torch.cat(parts, 1) if use == "each_joined" else sum(parts) / 2
        assert torch.allclose(answer, expected, atol=1e-5)


def test_unknown_architectures_are_named(tmp_path):
    found, _ = write(tmp_path)
    with pytest.raises(UsageError, match="has no architecture 'vit_giant_of_mine'"):
        load_model(replace(found, card=replace(found.card, source="timm:vit_giant_of_mine")))


@pytest.mark.parametrize("place", ["hf-hub:timm/vit_tiny", "hf_hub:timm/vit_tiny"])
def test_nothing_is_loaded_from_the_network(tmp_path, place):
    found, _ = write(tmp_path)
    with pytest.raises(UsageError, match="nothing is loaded from the network") as caught:
        load_model(replace(found, card=replace(found.card, source=f"timm:{place}")))
    assert "model.safetensors from huggingface.co/timm/vit_tiny" in caught.value.remedy


def test_weights_as_others_write_them(tmp_path):
    """With counters of batches, which are whole numbers, and rounded to bfloat16."""
    from safetensors.torch import save_file

    from compute.storage.atomic_files import sha256

    found, module = write(tmp_path, "resnet18", side=64)
    path = tmp_path / "m.safetensors"
    tensors = module.state_dict()
    save_file({**tensors, "fc.bias": tensors["fc.bias"].bfloat16()}, path)
    theirs = replace(found, card=replace(found.card, sha256=sha256(path)))
    assert load_model(theirs)(crops()).shape == (3, 512)


def test_other_sizes_are_refused_before_a_run(tmp_path):
    found, _ = write(tmp_path)
    with pytest.raises(InputError, match=r"pos_embed is 1×5×192, not 1×17×192"):
        load_model(replace(found, card=replace(found.card, input_size=64)))


def test_threads_do_not_take_each_others_layers(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    found, _ = write(tmp_path)
    model = load_model(found)
    network = model.network
    images = torch.rand(2, 3, 32, 32)
    layers = ["blocks.0", "blocks.5", "blocks.11", "features", "output"] * 6
    alone = {layer: network.forward_to(images, layer) for layer in dict.fromkeys(layers)}
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda layer: network.forward_to(images, layer), layers))
    for layer, value in zip(layers, found, strict=True):
        assert torch.equal(value, alone[layer])


@pytest.mark.parametrize("layer", ["features", "embedding", "blocks.3"])
def test_a_classifier_answers_in_the_pass_that_embeds(tmp_path, layer):
    from compute.models.own_answer import BY_NAME, OwnAnswer

    found, _ = write(tmp_path, classes=3, layer=layer, channel_use="repeated")
    own = OwnAnswer("output", "logits", ("x", "y", "z"), (0, 1, 2), ("a", "b", "c"), BY_NAME)
    model = load_model(replace(found, own=own))
    runs = []
    model.module.blocks[0].register_forward_hook(lambda *_: runs.append(1))
    answer = model.with_own(crops())
    assert len(runs) == 1
    whole = load_model(replace(found, card=replace(found.card, layer="output")))
    assert torch.allclose(answer[:, : model.dimension], model(crops()), atol=1e-5)
    assert torch.allclose(answer[:, model.dimension : -1], whole(crops()).softmax(1), atol=1e-5)
