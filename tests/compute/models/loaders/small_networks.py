"""Small networks that are exported by tests, and cards for the files."""

import torch
from torch import nn

from compute.models.card import make_card
from compute.models.card_files import FoundModel
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
