"""Loads SubCell: a vision transformer whose tokens are pooled by gated attention.

Layer: a found card in, a network out. Parts are named as in the published file, so that it is read
as it is; how wide and deep the network is follows from the tensors' shapes. No foreign code runs.

Source
------
`model_config.yaml` and `vit_model.py` of github.com/CellProfiling/SubCellPortable say the
architecture; the test compares the transformer with that of Hugging Face's library.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention

from compute.errors import InputError
from compute.models.card_files import FoundModel
from compute.models.loaders.network import HookedModule, ready
from compute.models.loaders.weights_file import checked_file
from compute.models.weights import load_weights, read_weights, refusal

EMBEDDING, TOKENS = "embedding", "tokens"
"""Layers beside those of dotted names: what attention pools, and the last tokens."""

HEAD = 64
"""Width of a head of the transformer's attention: 768 numbers in 12 heads."""

EPSILON = 1e-12
"""`layer_norm_eps` in `model_config.yaml`."""

_PATCHES = "encoder.embeddings.patch_embeddings.projection.weight"
_PLACES = "encoder.embeddings.position_embeddings"
_INNER = "encoder.encoder.layer.0.intermediate.dense.weight"
_GATE = "pool_model.attention_v.1.weight"
_SCORES = "pool_model.attention.weight"


class _Block(nn.Module):
    """One layer of the transformer."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {
                "attention": nn.ModuleDict(
                    {name: nn.Linear(width, width) for name in ("query", "key", "value")}
                ),
                "output": nn.ModuleDict({"dense": nn.Linear(width, width)}),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = nn.ModuleDict({"dense": nn.Linear(inner, width)})
        self.layernorm_before = nn.LayerNorm(width, EPSILON)
        self.layernorm_after = nn.LayerNorm(width, EPSILON)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return N×T×K tokens."""
        given = self.layernorm_before(tokens)
        parts = self.attention["attention"]
        query, key, value = (
            parts[name](given).unflatten(2, (-1, HEAD)).transpose(1, 2)  # type: ignore[index]
            for name in ("query", "key", "value")
        )
        seen = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.attention["output"]["dense"](seen)  # type: ignore[index]
        inner = gelu(self.intermediate["dense"](self.layernorm_after(tokens)))
        done: Tensor = tokens + self.output["dense"](inner)
        return done


class _Embeddings(nn.Module):
    """Patches and the class token, with their places."""

    def __init__(self, inputs: int, width: int, patch: int, places: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, places, width))
        self.patch_embeddings = nn.ModuleDict(
            {"projection": nn.Conv2d(inputs, width, patch, stride=patch)}
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return N×T×K tokens of N×I×h×w images."""
        patches = self.patch_embeddings["projection"](images)
        rows, columns = patches.shape[2:]
        first, places = self.position_embeddings[:, :1], self.position_embeddings[:, 1:]
        side = round(places.shape[1] ** 0.5)
        if (rows, columns) != (side, side):
            square = places.transpose(1, 2).unflatten(2, (side, side))
            places = interpolate(square, (rows, columns), mode="bicubic").flatten(2).transpose(1, 2)
        start = (self.cls_token + first).expand(len(images), -1, -1)
        return torch.cat([start, patches.flatten(2).transpose(1, 2) + places], dim=1)


class _Encoder(nn.Module):
    """The transformer."""

    def __init__(self, embeddings: _Embeddings, width: int, inner: int, depth: int) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.encoder = nn.ModuleDict(
            {"layer": nn.Sequential(*(_Block(width, inner) for _ in range(depth)))}
        )
        self.layernorm = nn.LayerNorm(width, EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """Return N×T×K tokens of N×I×h×w images."""
        tokens: Tensor = self.layernorm(self.encoder["layer"](self.embeddings(images)))
        return tokens


class _Pooling(nn.Module):
    """Gated attention: each head's weighted mean of all tokens, the class token's included."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        # The first of each is a dropout where it was trained.
        self.attention_v = nn.Sequential(nn.Identity(), nn.Linear(width, inner), nn.Tanh())
        self.attention_u = nn.Sequential(nn.Identity(), nn.Linear(width, inner), nn.GELU())
        self.attention = nn.Linear(inner, heads)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return N×(heads·K) of N×T×K tokens."""
        scores = self.attention(self.attention_v(tokens) * self.attention_u(tokens))
        return (scores.softmax(1).transpose(1, 2) @ tokens).flatten(1)


class SubCell(nn.Module):
    """SubCell's network of the size that its weights have.

    Parameters
    ----------
    tensors
        Weights by the published keys.

    Raises
    ------
    KeyError
        One that decides the size is missing.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        width, inputs, patch = tensors[_PATCHES].shape[:3]
        depth = len({key.split(".")[3] for key in tensors if key.startswith("encoder.encoder.")})
        embeddings = _Embeddings(inputs, width, patch, tensors[_PLACES].shape[1])
        self.inputs = inputs
        self.encoder = _Encoder(embeddings, width, len(tensors[_INNER]), depth)
        self.pool_model = _Pooling(width, len(tensors[_GATE]), len(tensors[_SCORES]))

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings, N×D, of N×I×h×w images."""
        pooled: Tensor = self.pool_model(self.encoder(images))
        return pooled


def load(found: FoundModel, device: torch.device) -> HookedModule:
    """Build SubCell after its weights, and give it all of them and no others.

    Raises
    ------
    InputError
        The weights are missing or damaged, are not those that the card names, or are not SubCell's;
        or they read another number of channels than the card gives.
    """
    card, path = found.card, checked_file(found)
    tensors = read_weights(path, foreign=True)
    lacking = [k for k in (_PATCHES, _PLACES, _INNER, _GATE, _SCORES) if k not in tensors]
    if lacking:
        raise refusal(str(path), [f"missing {key}" for key in lacking])
    module = SubCell(tensors)
    if module.inputs != card.network_inputs:
        raise InputError(
            f"Model {card.name!r}: {path} is of a SubCell that reads {module.inputs} channels, its "
            f"card gives it {card.network_inputs}.",
            "Write as many `channels`, or download the weights for these.",
        )
    load_weights(module, tensors, str(path))
    return HookedModule(
        ready(module, device), 1, {EMBEDDING: module.forward, TOKENS: module.encoder.forward}
    )
