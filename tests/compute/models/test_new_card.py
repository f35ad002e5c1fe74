"""A card to begin with is read as it stands, and says everything that may be said."""

import re
from dataclasses import fields

import pytest
import torch

from compute.errors import InputError, UsageError
from compute.models.card import ModelCard
from compute.models.card_files import load_card
from compute.models.new_card import NOTES, SECTIONS, new_card
from compute.models.sources import SOURCES, spelled
from compute.models.weights import write_weights

RARE = {"width", "seed", "crop_pixel_size"}
"""Fields that a new card does not show: of our own networks, or filled in by Bystander."""


@pytest.fixture
def weights(tmp_path):
    def write(ending):
        path = tmp_path / f"w{ending}"
        write_weights(path, {"a": torch.zeros(3)})
        return path

    return write


def source_of(kind):
    return {
        "built-in": "pifia",
        "untrained": "untrained:pifia",
        "torchhub": "torchhub:folder#entry",
        "factory": "factory:package.module:function",
    }.get(kind) or spelled(kind).lower()


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_begins_with_a_card_that_is_read(kind, weights, tmp_path):
    files = SOURCES[kind].files
    more = {"weights": weights(files[0])} if files else {}
    if kind == "transformers":
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "config.json").write_text('{"model_type": "vit"}')
        more["weights"] = more["weights"].rename(folder / "model.safetensors")
    if kind == "built-in":
        more["classes"] = ["a", "b"]
    if kind == "command":
        more = {"command": ["Rscript", "embed.R"]}
    path = new_card(tmp_path / "mine.toml", source_of(kind), channels=["GFP"], **more)
    card = load_card(path)
    assert card.name == "mine"
    assert card.source == source_of(kind)
    # Every note may be taken as it stands: nothing changes then.
    text = path.read_text()
    noted = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.M)
    (tmp_path / "noted.toml").write_text(noted)
    assert load_card(tmp_path / "noted.toml") == card


def test_every_field_has_a_place():
    shown = [name for names in SECTIONS.values() for name in names]
    assert len(shown) == len(set(shown))
    assert set(shown) | RARE == {field.name for field in fields(ModelCard)}
    assert set(NOTES) <= set(shown)


def test_what_cannot_be_is_refused(weights, tmp_path):
    with pytest.raises(UsageError, match="needs its weights"):
        new_card(tmp_path / "a.toml", "timm:vit_tiny_patch16_224", channels=["GFP"])
    with pytest.raises(UsageError, match=r"does not end in \.toml"):
        new_card(tmp_path / "a", "pifia", channels=["GFP"], weights=weights(".safetensors"))
    elsewhere, file = tmp_path / "b" / "a.toml", weights(".safetensors")
    elsewhere.parent.mkdir()
    with pytest.raises(InputError, match="does not lie beside"):
        new_card(elsewhere, "pifia", channels=["GFP"], weights=file)
    with pytest.raises(InputError, match="are missing"):
        new_card(tmp_path / "a.toml", "pifia", channels=["GFP"], weights=tmp_path / "no")
    new_card(tmp_path / "a.toml", "pifia", channels=["GFP"], weights=weights(".safetensors"),
             classes=["x"])  # fmt: skip
    with pytest.raises(UsageError, match="is there already"):
        new_card(tmp_path / "a.toml", "pifia", channels=["GFP"])
    with pytest.raises(UsageError, match="Unknown source of a model 'tim:x'"):
        new_card(tmp_path / "b.toml", "tim:x", channels=["GFP"])
