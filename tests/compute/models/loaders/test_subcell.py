"""SubCell's network is the library's transformer with attention pooling, by the published keys.

So are its classifiers: linear layers numbered 0, 3 and 6, as they were trained, with dropouts.
"""

import re
from dataclasses import replace

import pytest
import torch

from compute.errors import InputError
from compute.models.card import make_card
from compute.models.card_files import FoundModel
from compute.models.embedder import load_model
from compute.models.own_answer import own_answer
from compute.models.presets.registry import PRESETS
from compute.models.presets.subcell import CLASSES
from compute.models.weights import write_weights
from compute.schema import LOCALIZATIONS

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

STANDS = {
    "Cytosol": "cytoplasm", "Endoplasmic reticulum": "ER", "Endosomes": "endosome",
    "Golgi apparatus": "Golgi", "Mitochondria": "mitochondrion", "Nucleoli": "nucleolus",
    "Nuclear membrane": "nuclear periphery", "Nucleoplasm": "nucleus",
    "Peroxisomes": "peroxisome", "Plasma membrane": "cell periphery",
}  # fmt: skip
"""Which of its classes stand for one of ours, by name."""


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


def classifier_weights(seed, sizes=(HEADS * WIDTH, 20, 12, 31), numbers=(0, 3, 6)):
    """Draw a classifier's weights by the published keys."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for number, reads, gives in zip(numbers, sizes[:-1], sizes[1:], strict=True):
        tensors[f"{number}.weight"] = 0.3 * torch.randn((gives, reads), generator=generator)
        tensors[f"{number}.bias"] = torch.randn(gives, generator=generator)
    return tensors


def classified(pooled, classifiers):
    """Answer one crop at a time as published: each classifier's sigmoids, averaged."""
    rows = []
    for vector in pooled:
        said = []
        for tensors in classifiers:
            numbers = sorted({int(key.partition(".")[0]) for key in tensors})
            value = vector
            for number in numbers:
                value = tensors[f"{number}.weight"] @ value + tensors[f"{number}.bias"]
                if number != numbers[-1]:
                    value = value.clamp(min=0)
            said.append(1 / (1 + torch.exp(-value)))
        rows.append(sum(said) / len(said))
    return torch.stack(rows)


def write(folder, channels=4, size=32, leave=(), classifiers=(), **card):
    """Write weights by the published keys; return the model as found, and the library's."""
    model, pool = transformer(channels), pooling_weights()
    tensors = {published_key(key): tensor for key, tensor in model.state_dict().items()}
    tensors |= {f"pool_model.{key}": tensor for key, tensor in pool.items()}
    for n, said in enumerate(classifiers):
        tensors |= {f"classifiers.{n}.{key}": tensor for key, tensor in said.items()}
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


def asked(found, names=LOCALIZATIONS):
    """Return the model bound to a store's classes, and how it answers with them."""
    own = own_answer(found.card, names, dict)
    return replace(found, own=own), own


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize("layer", ["embedding", "tokens", "encoder.layernorm"])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_its_classifiers_answer_in_the_same_pass(tmp_path, seeds, layer):
    drawn = [classifier_weights(seed) for seed in seeds]
    plain, model, pool = write(tmp_path, classifiers=drawn, classes=list(CLASSES), layer=layer)
    found, own = asked(plain)
    images = crops(4, 32)
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    with torch.inference_mode():
        tokens = model(
            pixel_values=(images - low) / (high - low), interpolate_pos_encoding=True
        ).last_hidden_state
    sigmoids = classified(pooled(tokens, pool), drawn)
    loaded, passes = load_model(found), []
    loaded.module.encoder.register_forward_hook(lambda *_: passes.append(1))
    both = loaded.with_own(images)
    assert len(passes) == 1
    assert torch.allclose(both[:, : loaded.dimension], load_model(plain)(images), atol=1e-5)
    answers = both[:, loaded.dimension :].numpy()
    for row, said in zip(answers, sigmoids.tolist(), strict=True):
        kept = dict.fromkeys(LOCALIZATIONS, 0.0)
        for place, value in zip(own.places, said, strict=True):
            if place >= 0:
                kept[LOCALIZATIONS[place]] += value
        shares = [value / sum(kept.values()) for value in kept.values()]
        assert row[:-1] == pytest.approx(shares, abs=1e-4)
        assert row[-1] == pytest.approx(1 - sum(kept.values()) / sum(said), abs=1e-4)


def test_its_classes_are_yeasts_by_name(tmp_path):
    assert len(set(CLASSES)) == len(CLASSES) == 31
    for preset in PRESETS.values():
        assert (preset.fields.get("classes") == CLASSES) == (preset.family == "subcell")
    _, own = asked(write(tmp_path, classes=list(CLASSES))[0])
    assert (own.layer, own.gives) == ("probabilities", "probabilities")
    assert dict(zip(own.head, own.places, strict=True)) == {
        name: LOCALIZATIONS.index(STANDS[name]) if name in STANDS else -1 for name in CLASSES
    }


def test_layers_go_by_their_order_whatever_their_numbers(tmp_path):
    answers = []
    for numbers in ((0, 3, 6), (0, 2, 4), (2, 9, 10)):
        folder = tmp_path / str(numbers[1])
        folder.mkdir()
        drawn = [classifier_weights(0, numbers=numbers)]
        found, _ = asked(write(folder, classifiers=drawn, classes=list(CLASSES))[0])
        answers.append(load_model(found).with_own(crops(4, 32)))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_without_classifiers_it_is_said_how_to_go_on(tmp_path):
    plain, _, _ = write(tmp_path, classes=list(CLASSES))
    assert load_model(plain).dimension == HEADS * WIDTH
    with pytest.raises(InputError, match=r'no classifiers, and the card names 31.*head = "none"'):
        load_model(asked(plain)[0])
    quiet, _, _ = write(tmp_path, classes=list(CLASSES), head="none")
    assert asked(quiet)[1] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (HEADS * WIDTH, 20, 12, 30)}, r"classifier 1 goes 256 → 20, 20 → 12, 12 → 30;"),
        ({"sizes": (WIDTH, 20, 12, 31)}, r"from the embedding's 256 to the card's 31 classes"),
        ({"leave": ("classifiers.1.3.bias",)}, r"missing classifiers\.1\.3\.bias"),
        ({"leave": ("classifiers.1.6.weight",)}, r"no place for classifiers\.1\.6\.bias"),
        ({"leave": ("classifiers.1.3.weight", "classifiers.1.3.bias")}, r"256 → 20, 12 → 31;"),
        ({"more": {"1.running_mean": torch.zeros(20)}}, r"no place for .*1\.1\.running_mean"),
    ],
)
def test_classifiers_of_another_kind_are_refused(tmp_path, change, message):
    change = dict(change)
    second = classifier_weights(1, **{k: change.pop(k) for k in ("sizes",) if k in change})
    second |= change.pop("more", {})
    drawn = [classifier_weights(0), second]
    plain, _, _ = write(tmp_path, classifiers=drawn, classes=list(CLASSES), **change)
    with pytest.raises(InputError, match=message):
        load_model(asked(plain)[0])
