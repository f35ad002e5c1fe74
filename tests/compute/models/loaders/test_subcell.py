"""SubCell's network is the library's transformer with attention pooling, by the published keys."""

import re

import pytest
import torch

from compute.errors import InputError
from compute.models.card import make_card
from compute.models.card_files import FoundModel
from compute.models.embedder import load_model
from compute.models.weights import write_weights

WIDTH, INNER, HEADS = 128, 24, 2
RENAMED = {
    r"^layers\.": "encoder.layer.",
    r"attention\.(q|k|v)_proj": lambda found: (
        "attention.attention." + {"q": "query", "k": "key", "v": "value"}[found[1]]
    ),
    r"attention\.o_proj": "attention.output.dense",
    r"mlp\.fc1": "intermediate.dense",
    r"mlp\.fc2": "output.dense",
}
"""From the keys of transformers 5 to those of the published files."""


def published_key(key):
    for pattern, name in RENAMED.items():
        key = re.sub(pattern, name, key)
    return "encoder." + key


def transformer(channels):
    """Return the library's transformer with drawn weights, places too."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(channels)
    config = ViTConfig(
        hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96,
        image_size=32, patch_size=16, num_channels=channels,
    )  # fmt: skip
    model = ViTModel(config, add_pooling_layer=False).eval()
    for weight in model.parameters():
        weight.data = 0.2 * torch.randn(weight.shape)
    return model


def pooling_weights():
    generator = torch.Generator().manual_seed(9)

    def draw(*shape):
        return 0.3 * torch.randn(shape, generator=generator)

    pool = {"attention.weight": draw(HEADS, INNER), "attention.bias": draw(HEADS)}
    for gate in ("attention_v.1", "attention_u.1"):
        pool |= {f"{gate}.weight": draw(INNER, WIDTH), f"{gate}.bias": draw(INNER)}
    return pool


def pooled(tokens, pool):
    """Pool tokens as published, one head at a time."""

    def linear(name):
        return tokens @ pool[f"{name}.weight"].T + pool[f"{name}.bias"]

    gate = torch.tanh(linear("attention_v.1")) * torch.nn.functional.gelu(linear("attention_u.1"))
    scores = gate @ pool["attention.weight"].T + pool["attention.bias"]
    heads = [
        (torch.exp(scores[:, :, h]) / torch.exp(scores[:, :, h]).sum(1, keepdim=True))[..., None]
        for h in range(HEADS)
    ]
    return torch.cat([(weight * tokens).sum(1) for weight in heads], dim=1)


def write(folder, channels=4, size=32, leave=(), **card):
    """Write weights by the published keys; return the model as found, and the library's."""
    model, pool = transformer(channels), pooling_weights()
    tensors = {published_key(key): tensor for key, tensor in model.state_dict().items()}
    tensors |= {f"pool_model.{key}": tensor for key, tensor in pool.items()}
    tensors = {key: tensor for key, tensor in tensors.items() if key not in leave}
    digest = write_weights(folder / "subcell.safetensors", tensors)
    made = make_card(
        "subcell", name="m", weights="subcell.safetensors", sha256=digest, trained_on="nothing",
        simulated=True, **{"channels": list("rybg"[:channels]), "size": size, **card},
    )  # fmt: skip
    return FoundModel(made, folder), model, pool


def crops(channels, size):
    generator = torch.Generator().manual_seed(1)
    return torch.rand((3, channels, size, size), generator=generator) * 900


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize(("channels", "size"), [(4, 32), (2, 48)])
def test_it_is_the_librarys_transformer_and_published_pooling(tmp_path, channels, size):
    found, model, pool = write(tmp_path, channels, size)
    images = crops(channels, size)
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    with torch.inference_mode():
        tokens = model(
            pixel_values=(images - low) / (high - low), interpolate_pos_encoding=True
        ).last_hidden_state
    assert torch.allclose(load_model(found)(images), pooled(tokens, pool), atol=1e-4)
    for pooling, expected in (("class_token", tokens[:, 0]), ("mean", tokens[:, 1:].mean(1))):
        (tmp_path / pooling).mkdir()
        found, _, _ = write(tmp_path / pooling, channels, size, layer="tokens", pooling=pooling)
        assert torch.allclose(load_model(found)(images), expected, atol=1e-4), pooling


@pytest.mark.usefixtures("torchvision")
def test_what_is_not_subcell_is_refused(tmp_path):
    found, _, _ = write(tmp_path, leave=("pool_model.attention.weight",))
    with pytest.raises(InputError, match=r"missing pool_model\.attention\.weight"):
        load_model(found)
    found, _, _ = write(tmp_path, leave=("encoder.layernorm.bias",))
    with pytest.raises(InputError, match=r"missing encoder\.layernorm\.bias"):
        load_model(found)
    found, _, _ = write(tmp_path, channels=2, **{"inputs": 2})
    card = make_card(
        "subcell", name="m", weights="subcell.safetensors", sha256=found.card.sha256,
        trained_on="nothing", simulated=True, channels=list("ryb"), size=32,
    )  # fmt: skip
    with pytest.raises(InputError, match="reads 2 channels, its card gives it 3"):
        load_model(FoundModel(card, tmp_path))
