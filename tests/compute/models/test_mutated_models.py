"""Cards and weights with bytes that nobody wrote: refused in words, or a model as good as any."""

import random
import re

import pytest
import torch

from compute.errors import BystanderError
from compute.models.embedder import load_model
from compute.models.loaders.behaviour import trial_crops
from compute.storage.atomic_files import sha256
from tests.compute.models.test_embedder import write_model
from tests.mutated import mutated

FEW, MANY = 40, 300
SEEDS = [
    pytest.param(range(FEW), id="few"),
    pytest.param(range(FEW, MANY), id="many", marks=pytest.mark.long),
]


def load(path) -> str:
    """Load a model and embed two crops; how it was refused, or ``"fine"``."""
    said = ""
    try:
        model = load_model(path)
        vectors = model(trial_crops(len(model.card.channels), model.card.size))
    except BystanderError as error:
        said = str(error)
    if said:
        assert str(path.parent) in said or "odel" in said
        assert len(said) < 4000
        return "refused"
    assert bool(torch.isfinite(vectors).all())
    return "fine"


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("network", ["pifia", "deeploc"])
def test_mutated_cards(tmp_path, network, seeds):
    path, _ = write_model(tmp_path, network)
    whole, told = path.read_bytes(), {"refused": 0, "fine": 0}
    for seed in seeds:
        path.write_bytes(mutated(whole, random.Random(f"card {network} {seed}"), len(whole)))
        told[load(path)] += 1
    print(f"{network}: {told}")
    assert told["refused"] > len(seeds) / 4


@pytest.mark.parametrize("seeds", SEEDS)
def test_mutated_weights_that_the_card_names(tmp_path, seeds):
    path, _ = write_model(tmp_path, "pifia")
    weights = tmp_path / "pifia.safetensors"
    whole, card, told = weights.read_bytes(), path.read_text("utf-8"), {"refused": 0, "fine": 0}
    header = 8 + int.from_bytes(whole[:8], "little")
    for seed in seeds:
        draw = random.Random(f"weights {seed}")
        weights.write_bytes(mutated(whole, draw, draw.choice([8, header, len(whole)])))
        path.write_text(re.sub(r'sha256 = "\w+"', f'sha256 = "{sha256(weights)}"', card))
        told[load(path)] += 1
    print(f"weights: {told}")
    assert told["refused"] > len(seeds) / 4
