"""What a check of a model finds out before a run, and what it refuses."""

import numpy as np
import pytest
import torch

from compute.errors import InputError
from compute.models import embedder
from compute.models.networks import NETWORKS
from compute.runs.check_model import CROPS, check_model
from compute.store.reader import CropStore
from dashboard.render.inputs_picture import write_inputs


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_said_is_so(cards, store, network):
    found = check_model(cards[network], store)
    opened = CropStore(store)
    images = opened.arrays(first=200).images[np.flatnonzero(opened.usable)[:CROPS]]
    for name, (low, high) in found.raw.items():
        channel = images[:, opened.channels.index(name)]
        assert (low, high) == (channel.min(), channel.max())
    assert found.cells == CROPS
    assert found.dimension == embedder.load_model(cards[network]).dimension
    spec = NETWORKS[network]
    assert found.given == (1, len(spec.channels), spec.input_size, spec.input_size)
    assert found.columns == list(spec.channels)
    assert 0 < found.sham < 1
    assert found.repeated == 0
    assert found.together < 1e-4
    assert found.crops_per_second > 0
    said = "\n".join(found.lines())
    assert f"{CROPS} cells give {found.dimension} numbers each, all finite" in said
    assert "as imaged" in said
    assert "pasted back on its own background" in said


def test_dead_numbers_are_counted(cards, store, monkeypatch):
    before = check_model(cards["pifia"], store).dead
    real = embedder.Embedder.forward

    def half(self, *args, **more):
        return real(self, *args, **more).index_fill(1, torch.arange(10), 3.0)

    monkeypatch.setattr(embedder.Embedder, "forward", half)
    found = check_model(cards["pifia"], store)
    assert 10 <= found.dead <= before + 10
    assert f"{found.dead} of {found.dimension} numbers are the same" in "\n".join(found.lines())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: torch.zeros_like(x), "gives the same numbers for any crop"),
        (lambda x: x * (len(x) == 2), "gives every cell the same vector"),
        (lambda x: x + torch.rand_like(x), "answers the same crop differently"),
        (lambda x: x - x.mean(0) * (len(x) > 2), "answers a crop differently among others"),
    ],
)
def test_models_that_cannot_be_tested_are_refused(cards, store, monkeypatch, change, message):
    real = embedder.Embedder.forward
    monkeypatch.setattr(
        embedder.Embedder, "forward", lambda self, *args, **more: change(real(self, *args, **more))
    )
    with pytest.raises(InputError, match=message):
        check_model(cards["pifia"], store)


def test_the_picture_shows_what_the_network_gets(cards, store, tmp_path):
    found = check_model(cards["deeploc"], store)
    assert found.inputs.shape == (CROPS, 1, 2, 60, 60)
    path = write_inputs(found.inputs, found.columns, tmp_path / "inputs.png", "What it gets")
    assert path.read_bytes().startswith(b"\x89PNG")
