"""Small networks that are exported by tests, and cards for the files."""

import math
from dataclasses import replace

import torch
from torch import nn

from compute.models.card import make_card
from compute.models.card_files import FoundModel
from compute.models.own_answer import BY_TABLE, OwnAnswer
from compute.storage.atomic_files import sha256


class TwoOutputs(nn.Module):
    """A small network of drawn weights: a map N×6×h×w, and its mean N×6."""

    def __init__(self, channels=2):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2)
        )
        for weight in self.parameters():
            weight.data = torch.randn(weight.shape, generator=generator)

    def forward(self, images):
        found = self.layers(images)
        return {"map": found, "vector": found.mean((2, 3))}


CLASSES = ("a", "b", "c", "d", "e", "f")
"""Names of `TwoOutputs`' vector as classes."""

NAMES = ("x", "y", "z")
"""Classes of a store."""


def with_own(found, gives="logits", places=(0, 1, 2, 0, -1, 1)):
    """Have a found model's head answer with a store's classes `NAMES`."""
    return replace(found, own=OwnAnswer(found.card.head, gives, CLASSES, places, NAMES, BY_TABLE))


def own_shares(vectors, places=(0, 1, 2, 0, -1, 1)):
    """Answer as a head of logits does, N×4, one crop and one class at a time."""
    rows = []
    for vector in vectors:
        odds = [math.exp(float(value) - float(vector.max())) for value in vector]
        sums = [0.0] * len(NAMES)
        for place, value in zip(places, odds, strict=True):
            if place >= 0:
                sums[place] += value
        rows.append([*(each / sum(sums) for each in sums), 1 - sum(sums) / sum(odds)])
    return torch.tensor(rows)


def found_file(path, source, size=16, channels=("a", "b"), **card):
    """Return a model whose weights are a file; its crops are taken as they are."""
    made = make_card(
        source, name="m", weights=path.name, sha256=sha256(path), trained_on="nothing",
        simulated=True, **{"scaling": "none", "channels": list(channels), "size": size, **card},
    )  # fmt: skip
    return FoundModel(made, path.parent, trusted=True)


def images(n=5, channels=2, size=16, seed=1):
    return torch.rand((n, channels, size, size), generator=torch.Generator().manual_seed(seed))


def tiny_vit():
    """timm's smallest ViT, made smaller: two blocks, for 3×32×32 images."""
    import timm

    torch.manual_seed(0)
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=32, depth=2, embed_dim=48, num_heads=2, num_classes=4
    ).eval()
