"""Loads SubCell: a vision transformer whose tokens are pooled by gated attention, then classified.

Layer: a found card in, a network out. Parts are named as in the published files, so that these are
read as they are; how wide and deep the network is follows from the tensors' shapes. No foreign code
runs. Its classifiers are published as files of their own; here they stand in the encoder's file, so
that one hash is of all, as `classifiers.0.` and so on before the published keys.

Source
------
`model_config.yaml` and `vit_model.py` of github.com/CellProfiling/SubCellPortable (commit 676f0e1)
say the architecture; the test compares the transformer with that of Hugging Face's library.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention

from compute.errors import InputError
from compute.models.card_files import FoundModel
from compute.models.loaders.network import OUTPUT, HookedModule, ready
from compute.models.loaders.weights_file import checked_file
from compute.models.weights import load_weights, read_weights, refusal

EMBEDDING, TOKENS, PROBABILITIES = "embedding", "tokens", "probabilities"
"""Layers beside those of dotted names: what attention pools, the last tokens, and what the
classifiers say of each class."""

CLASSIFIERS = "classifiers"
"""First part of the keys of classifiers."""

HEAD = 64
"""Width of a head of the transformer's attention: 768 numbers in 12 heads."""

EPSILON = 1e-12
"""`layer_norm_eps` in `model_config.yaml`."""

_PATCHES = "encoder.embeddings.patch_embeddings.projection.weight"
_PLACES = "encoder.embeddings.position_embeddings"
_INNER = "encoder.encoder.layer.0.intermediate.dense.weight"
_GATE = "pool_model.attention_v.1.weight"
_SCORES = "pool_model.attention.weight"
_LAYER = re.compile(rf"{CLASSIFIERS}\.(\d+)\.(\d+)\.weight")


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


class _Classifier(nn.ModuleDict):
    """Linear layers by their published numbers, with ReLU between two of them.

    Dropouts and activations have numbers too where it was trained, but no weights. So the numbers
    are 0, 3 and 6, or 0, 2 and 4: only their order counts.
    """

    def forward(self, pooled: Tensor) -> Tensor:
        """Return N×classes numbers of N×D embeddings."""
        for place, layer in enumerate(self.values()):
            pooled = layer(pooled.relu() if place else pooled)
        return pooled


def _classifiers(tensors: Mapping[str, Tensor]) -> nn.ModuleList:
    """Build the classifiers that there are weights of, in order."""
    found: dict[int, dict[int, nn.Module]] = {}
    for key, tensor in tensors.items():
        named = _LAYER.fullmatch(key)
        if named and tensor.ndim == 2:
            given, inputs = tensor.shape
            found.setdefault(int(named[1]), {})[int(named[2])] = nn.Linear(inputs, given)
    # One whose number does not follow the others' has no place, and `load_weights` says so.
    return nn.ModuleList(
        _Classifier({str(n): layer for n, layer in sorted(found[k].items())}) for k in sorted(found)
    )


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
        self.dimension = width * len(tensors[_SCORES])
        self.classifiers = _classifiers(tensors)

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings, N×D, of N×I×h×w images."""
        pooled: Tensor = self.pool_model(self.encoder(images))
        return pooled

    def probabilities(self, pooled: Tensor) -> Tensor:
        """Return the mean over classifiers of each class's sigmoid, N×classes, of embeddings."""
        said = [classifier(pooled).float().sigmoid() for classifier in self.classifiers]
        return torch.stack(said).mean(0)

    def together(self, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the embedding and the tokens in one pass, and the probabilities if named."""
        tokens = self.encoder(images)
        pooled = self.pool_model(tokens)
        found = {OUTPUT: pooled, EMBEDDING: pooled, TOKENS: tokens}
        if PROBABILITIES in names:
            found[PROBABILITIES] = self.probabilities(pooled)
        return found


def load(found: FoundModel, device: torch.device) -> HookedModule:
    """Build SubCell after its weights, and give it all of them and no others.

    Raises
    ------
    InputError
        The weights are missing or damaged, are not those that the card names, or are not SubCell's;
        or they read another number of channels than the card gives. Or its own answer is asked, and
        classifiers are missing or of other sizes.
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
    layers = {EMBEDDING: module.forward, TOKENS: module.encoder.forward}
    if len(module.classifiers):
        layers[PROBABILITIES] = lambda images: module.probabilities(module(images))
    if found.own is not None and found.own.layer == PROBABILITIES:
        _check_classifiers(module, len(card.classes), f"Model {card.name!r}: {path}")
    return HookedModule(ready(module, device), 1, layers, together=module.together)


def _check_classifiers(module: SubCell, classes: int, what: str) -> None:
    """Refuse a network that cannot say what its card says it does.

    Raises
    ------
    InputError
        It has no classifiers, or one reads, hands on or gives another number of values.
    """
    if not len(module.classifiers):
        raise InputError(
            f"{what} has no classifiers, and the card names {classes} classes.",
            f'Add them to the file under keys that begin with "{CLASSIFIERS}.0." (the page of your '
            'own model says how), or write head = "none" in the card.',
        )
    for number, classifier in enumerate(module.classifiers):
        sizes = [(each.in_features, each.out_features) for each in classifier.children()]
        reads, gives = [a for a, _ in sizes], [b for _, b in sizes]
        if [module.dimension, *gives] != [*reads, classes]:
            raise InputError(
                f"{what}: classifier {number} goes "
                f"{', '.join(f'{a} → {b}' for a, b in sizes)}; it should go from the embedding's "
                f"{module.dimension} to the card's {classes} classes.",
                "Take the classifiers that were published with this encoder, and name all of their "
                "classes, in order, as `classes`.",
            )
