"""Presets: cards of published models, run on their architectures with weights made here.

Where an architecture is the publishers' code alone, a stand-in with the same interface is in its
place; so these tests say that recipes are as published, not what the published weights answer.
"""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from compute.cli.main import app
from compute.errors import InputError, UsageError
from compute.models.card_files import FoundModel, load_card
from compute.models.embedder import load_model
from compute.models.loaders.torch_hub import code_digest
from compute.models.new_card import new_card
from compute.models.presets.preset import TESTED_ON
from compute.models.presets.registry import PRESETS
from compute.models.published.catalogue import SOURCES
from compute.models.sources import IMAGENET, split_source
from compute.models.weights import weights_of, write_weights
from compute.runs.check_model import check_model
from compute.runs.describe import describe_models
from tests.screen import PAINTING, draw_store

pytestmark = pytest.mark.usefixtures("torchvision")

ATLAS = ("MT", "ER", "DNA", "protein")
SIDE = 48
"""Pixels of the stores' crops."""

HUBCONF = '''
import torch

class Network(torch.nn.Module):
    """Answers with a vector, as dinov2's models do with the class token."""

    def __init__(self, in_chans, width):
        super().__init__()
        self.patches = torch.nn.Conv2d(in_chans, width, 8, stride=8)

    def forward(self, images):
        return torch.tanh(self.patches(images)).mean((2, 3))

def cell_dino_hpa_vitl16(*, pretrained=True, in_channels=4, **kwargs):
    assert not pretrained
    return Network(in_channels, 20)

def cell_dino_cp_vits8(*, pretrained=True, in_channels=5, **kwargs):
    assert not pretrained
    return Network(in_channels, 12)
'''

OPENPHENOM = '''
import torch

class Backbone(torch.nn.Module):
    """Tokens of one class and of every channel's patches, made by the same weights."""

    def __init__(self):
        super().__init__()
        self.proj = torch.nn.Conv2d(1, 24, 16, stride=16)

    def forward_features(self, images):
        tokens = [torch.tanh(self.proj(images[:, i : i + 1])) for i in range(images.shape[1])]
        tokens = torch.stack(tokens, 2).flatten(2).transpose(1, 2)
        return torch.cat([torch.full_like(tokens[:, :1], 9.0), tokens], 1)

class MAEModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Module()
        self.encoder.vit_backbone = Backbone()

    @classmethod
    def from_pretrained(cls, folder):
        import os
        assert os.path.isfile(os.path.join(folder, "huggingface_mae.py"))
        return cls()
'''

CYTOSELF = '''
import torch

class CytoselfFull(torch.nn.Module):
    """Gives a map of 64 × 4 × 4, and keeps losses in itself as the published class does."""

    def __init__(self, emb_shapes, vq_args, num_class, input_shape, output_shape, fc_input_type,
                 fc_output_idx):
        super().__init__()
        assert (input_shape, emb_shapes[1], fc_output_idx) == ((2, 100, 100), (4, 4), [2])
        self.encoder = torch.nn.Conv2d(input_shape[0], vq_args["embedding_dim"], 25, stride=25)
        self.classifier = torch.nn.Linear(4, num_class)

    def forward(self, x, output_layer="decoder0"):
        assert output_layer == "vqvec2"
        self.vq_loss = {}
        return torch.tanh(self.encoder(x))
'''


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Stores of four and of five channels."""
    folder = tmp_path_factory.mktemp("stores")
    return {
        channels: draw_store(
            folder / str(len(channels)),
            channels,
            SIDE,
            ("a", "b"),
            cells=2,
            pixel_size=0.12,
            seed=3,
        )
        for channels in (ATLAS, PAINTING)
    }


def subcell(folder, preset, channels):
    from compute.models.loaders.subcell import SubCell

    tiny = {
        "encoder.embeddings.patch_embeddings.projection.weight": (64, len(channels), 16, 16),
        "encoder.embeddings.position_embeddings": (1, 5, 64),
        "encoder.encoder.layer.0.intermediate.dense.weight": (32, 64),
        "pool_model.attention_v.1.weight": (8, 64),
        "pool_model.attention.weight": (2, 8),
        "classifiers.0.0.weight": (16, 128),
        "classifiers.0.3.weight": (8, 16),
        "classifiers.0.6.weight": (31, 8),
    }
    module = SubCell({key: torch.zeros(shape) for key, shape in tiny.items()})
    return {"weights": drawn(module, folder / "subcell.safetensors")}, 128


def photographs(folder, preset, channels):
    import transformers

    kind = {
        "dinov2": "Dinov2WithRegistersModel" if "registers" in preset.name else "Dinov2Model",
        "dinov3": "DINOv3ViTModel",
    }[preset.family]
    made = getattr(transformers, kind)
    config = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 518 if preset.family == "dinov2" else 224,
        "patch_size": 14 if preset.family == "dinov2" else 16,
    }  # fmt: skip
    if kind != "Dinov2Model":
        config["num_register_tokens"] = 4
    if preset.family == "dinov3":
        config["intermediate_size"] = 64
    torch.manual_seed(0)
    made(made.config_class(**config)).save_pretrained(folder / "downloaded")
    return {"weights": folder / "downloaded" / "model.safetensors"}, 32 * len(channels)


def morphem(folder, preset, channels):
    import timm
    from timm.models.vision_transformer import VisionTransformer

    def vit_preset_test(pretrained=False, **kwargs):
        return VisionTransformer(
            img_size=224, patch_size=16, embed_dim=24, depth=2, num_heads=2,
            **{k: v for k, v in kwargs.items() if k in ("in_chans", "num_classes")},
        )  # fmt: skip

    if not timm.is_model("vit_preset_test"):
        vit_preset_test.__module__ = "timm.models.vision_transformer"
        timm.models.register_model(vit_preset_test)
    torch.manual_seed(0)
    module = vit_preset_test(in_chans=1, num_classes=0)
    write_weights(folder / "model.safetensors", weights_of(module))
    more = {"weights": folder / "model.safetensors", "source": "timm:vit_preset_test"}
    return more, 24 * len(channels)


def cell_dino(folder, preset, channels):
    (folder / "dinov2").mkdir()
    (folder / "dinov2" / "hubconf.py").write_text(HUBCONF)
    width = {"cell-dino-hpa": 20, "cell-dino-painting": 12}[preset.name]
    tensors = {
        "patches.weight": draw(width, len(channels), 8, 8), "patches.bias": draw(width),
    }  # fmt: skip
    write_weights(folder / "cell-dino.safetensors", tensors)
    return {"weights": folder / "cell-dino.safetensors"}, width


def openphenom(folder, preset, channels):
    (folder / "openphenom").mkdir()
    (folder / "openphenom" / "__init__.py").touch()
    (folder / "openphenom" / "huggingface_mae.py").write_text(OPENPHENOM)
    return {"revision": "0" * 40}, 24


def cytoself(folder, preset, channels):
    place = folder / "cytoself" / "trainer" / "autoencoder"
    place.mkdir(parents=True)
    for package in (place, place.parent, place.parent.parent):
        (package / "__init__.py").touch()
    (place / "cytoselffull.py").write_text(CYTOSELF)
    tensors = {
        "model.encoder.weight": draw(64, 2, 25, 25), "model.encoder.bias": draw(64),
        "model.classifier.weight": draw(1311, 4), "model.classifier.bias": draw(1311),
    }  # fmt: skip
    write_weights(folder / "cytoself.safetensors", tensors)
    return {"weights": folder / "cytoself.safetensors"}, 1024


MAKERS = {
    "subcell": subcell, "dinov2": photographs, "dinov3": photographs, "morphem": morphem,
    "cell-dino": cell_dino, "openphenom": openphenom, "cytoself": cytoself,
}  # fmt: skip


def draw(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return 0.1 * torch.randn(shape, generator=generator)


def drawn(module, path):
    """Write a module's weights, drawn."""
    write_weights(path, {key: draw(*tensor.shape) for key, tensor in weights_of(module).items()})
    return path


def channels_of(preset):
    """Return as many channels of a store as a preset expects, and the store's."""
    store = PAINTING if len(preset.expects) in (0, 5) else ATLAS
    return list(store[: len(preset.expects) or 3]), store


def made(folder, name, **more):
    """Write a preset's model and card; return the card, its channels, and its length."""
    preset = PRESETS[name]
    channels, _ = channels_of(preset)
    given, length = MAKERS[preset.family](folder, preset, channels)
    if preset.family == "subcell":
        more = {"input_size": 64, **more}  # of 640 as published, it would take long
    card = new_card(folder / "mine.toml", channels=channels, preset=name, **given, **more)
    return card, channels, length


def ready(card, **more):
    found = FoundModel(load_card(card), card.parent, trusted=True)
    return load_model(found.bound(SIDE, **more))


def raw(channels, seed=5, side=SIDE):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(
        rng.gamma(1.5, 900, (2, channels, side, side)).astype(np.float32)
    )  # fmt: skip


def by_hand(name, crop, input_size):
    """Prepare one crop, C×H×W, as the publishers do: the inputs of each pass."""
    from torchvision.transforms import v2

    family = PRESETS[name].family
    crop = crop.double()

    def per_channel(function):
        return torch.stack([function(channel) for channel in crop])

    if family == "subcell":
        ready = (crop - crop.min()) / (crop.max() - crop.min())
    elif family in ("dinov2", "dinov3", "cytoself"):
        ready = per_channel(lambda c: (c - c.min()) / (c.max() - c.min()))
    else:
        ready = per_channel(lambda c: (c - c.mean()) / c.std(unbiased=False))
    ready = ready.float()
    if family in ("subcell", "cell-dino", "cytoself"):
        before = (input_size - SIDE) // 2
        whole = torch.empty(len(ready), input_size, input_size)
        for c, channel in enumerate(ready):
            whole[c] = channel.min()
            whole[c, before : before + SIDE, before : before + SIDE] = channel
        return [whole]
    how = "bicubic" if family == "dinov2" else "bilinear"
    ready = v2.Resize(
        (input_size, input_size), antialias=True, interpolation=v2.InterpolationMode(how)
    )(ready)
    if family == "openphenom":
        return [ready]
    if family == "morphem":
        return [channel[None] for channel in ready]
    tone = v2.Normalize(IMAGENET["mean"], IMAGENET["deviation"])
    return [tone(channel.expand(3, -1, -1)) for channel in ready]


@pytest.mark.parametrize("name", PRESETS)
def test_crops_are_prepared_as_published(tmp_path, name):
    card, channels, length = made(tmp_path, name)
    model = ready(card)
    images = raw(len(channels))
    [(passes, _)] = model.inputs(model.scale(images))
    for n, crop in enumerate(images):
        expected = by_hand(name, crop, model.card.input_size)
        assert len(passes) == len(expected)
        for found, wanted in zip(passes, expected, strict=True):
            assert found[n].shape == wanted.shape
            assert torch.allclose(found[n], wanted, atol=2e-4)
    assert model(images).shape == (2, length)


@pytest.mark.parametrize("name", PRESETS)
def test_the_order_of_channels_matters_where_it_should(tmp_path, name):
    card, channels, _ = made(tmp_path, name)
    model, images = ready(card), raw(len(channels))
    turned = images.roll(1, dims=1)
    same = torch.allclose(model(images), model(turned), atol=1e-5)
    assert same == (name == "openphenom")


@pytest.mark.parametrize("name", PRESETS)
def test_a_store_is_checked_with_it(tmp_path, name, stores):
    card, _, length = made(tmp_path, name)
    _, store = channels_of(PRESETS[name])
    checked = check_model(str(card), stores[store], device="cpu", trusted=True)
    assert checked.dimension == length
    assert checked.cells == 8
    assert checked.spread > 0
    needs = bool(load_card(card).kind.runs)
    if needs:
        with pytest.raises(UsageError, match="--trust"):
            check_model(str(card), stores[store], device="cpu")


@pytest.mark.parametrize("name", PRESETS)
def test_cards_say_where_facts_stand_and_are_read(tmp_path, name):
    card, channels, _ = made(tmp_path, name)
    text, preset = card.read_text(), PRESETS[name]
    read = load_card(card)
    assert (read.channels, read.publication) == (tuple(channels), preset.publication)
    assert (read.license, read.trained_on) == (preset.license, preset.trained_on)
    assert TESTED_ON in read.notes
    for _, where in preset.facts:
        assert where in text
    for line in (*preset.steps, *preset.unconfirmed, preset.page):
        assert line in text
    # Notes may be taken as they stand: what is said of the preset is no field.
    noted = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.M)
    values = tomllib.loads(noted)
    (tmp_path / "noted.toml").write_text(noted)
    assert load_card(tmp_path / "noted.toml") == read
    assert values["name"] == "mine"


def test_every_preset_says_what_a_reader_needs():
    rows = {row.name: row for row in describe_models() if row.group == "preset"}
    assert set(rows) == set(PRESETS)
    for name, preset in PRESETS.items():
        assert preset.facts
        assert preset.unconfirmed
        assert preset.page.startswith("https://")
        assert preset.steps
        entry = SOURCES[f"{preset.family}-weights"]
        assert not entry.files
        assert "--preset" in entry.then
        assert preset.reads in rows[name].reads


def test_the_documentation_has_every_preset():
    text = (Path(__file__).parents[3] / "docs" / "own-model.md").read_text("utf-8")
    rows = {
        name: [cell.strip() for cell in line.split("|")[2:-1]]
        for line in text.splitlines()
        for name in re.findall(r"`([a-z0-9-]+)`", line.split("|")[1] if line[:2] == "| " else "")
        if name in PRESETS
    }
    assert set(rows) == set(PRESETS)
    for name, (_, pixel_size, given, *_) in rows.items():
        preset = PRESETS[name]
        assert (pixel_size == str(preset.pixel_size)) == bool(preset.pixel_size)
        assert str(preset.fields["input_size"]) in given


@pytest.mark.long
def test_the_architecture_that_stands_for_morphems_takes_one_input(tmp_path):
    import timm

    module = timm.create_model("vit_small_patch16_224", in_chans=1, num_classes=0)
    write_weights(tmp_path / "model.safetensors", weights_of(module))
    card = new_card(
        tmp_path / "mine.toml", preset="morphem", channels=["a", "b"],
        weights=tmp_path / "model.safetensors",
    )  # fmt: skip
    images = raw(2)
    tokens = [
        module.eval().forward_features(by_hand("morphem", crop, 224)[1][None])[0, 0]
        for crop in images
    ]
    found = ready(card)(images)
    assert found.shape == (2, 768)
    assert torch.allclose(found[:, 384:], torch.stack(tokens).detach(), atol=1e-3)


def test_subcell_comes_to_its_pixel_size(tmp_path):
    card, channels, _ = made(tmp_path, "subcell-all")
    model = ready(card, pixel_size=0.0800885 * 1.5)
    assert model.card.resampled_size == 72
    assert load_card(made_at(tmp_path / "whole", "subcell-all", input_size=640)).input_size == 640
    assert model(raw(len(channels))).shape == (2, 128)


def made_at(folder, name, **more):
    folder.mkdir()
    return made(folder, name, **more)[0]


def test_folders_are_hashed_and_code_is_dated(tmp_path):
    card, _, _ = made(tmp_path, "dinov2-small")
    assert load_card(card).source == "transformers:downloaded"
    (tmp_path / "downloaded" / "config.json").open("a").write(" ")
    with pytest.raises(InputError, match="is not the folder"):
        ready(card)
    folder = tmp_path / "hub"
    card = made_at(folder, "cell-dino-hpa")
    assert load_card(card).revision == code_digest(folder / "dinov2")


def test_helpers_of_ones_own_stay(tmp_path):
    (tmp_path / "cytoself_network.py").write_text("# mine")
    made(tmp_path, "cytoself")
    assert (tmp_path / "cytoself_network.py").read_text() == "# mine"


def test_what_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "a.toml"
    with pytest.raises(UsageError, match=r"(?s)needs its weights.*hf download facebook/dinov2"):
        new_card(path, preset="dinov2-small", channels=["GFP"])
    with pytest.raises(UsageError, match="expects 4 channels, not 1"):
        new_card(path, preset="subcell-all", channels=["GFP"])
    with pytest.raises(UsageError, match="at most 11 channels, not 12"):
        new_card(path, preset="openphenom", channels=[f"c{i}" for i in range(12)])
    with pytest.raises(UsageError, match="is of source"):
        new_card(path, "onnx", preset="dinov2-small", channels=["GFP"])
    with pytest.raises(UsageError, match=r"Did you mean 'dinov2-small'"):
        new_card(path, preset="dinov2-smal", channels=["GFP"])
    with pytest.raises(UsageError, match="Neither a source nor a preset"):
        new_card(path, channels=["GFP"])
    assert not path.exists()


def test_the_command_line_writes_and_lists_them(tmp_path):
    photographs(tmp_path, PRESETS["dinov2-small"], ["GFP"])
    done = CliRunner().invoke(
        app,
        [
            "models", "new", str(tmp_path / "mine.toml"), "--preset", "dinov2-small", "--channels",
            "GFP", "--weights", str(tmp_path / "downloaded" / "model.safetensors"),
        ],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    card = load_card(tmp_path / "mine.toml")
    assert card.license == "Apache-2.0"
    assert split_source(card.source) == ("transformers", "downloaded")
    listed = CliRunner().invoke(app, ["models"]).output
    for name in PRESETS:
        assert name in listed
