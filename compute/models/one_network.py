"""Models of a run that are one network, read at several layers: loaded once, run once, in order.

Layer: found cards in, loaded models out. Such models differ in layer, pooling and head only, so
crops are scaled once for all of them, and the network runs once.
"""

import json
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from hashlib import sha256 as new_sha256
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from compute.errors import BystanderError
from compute.models.card import ModelCard, plain_layer
from compute.models.card_files import Model, find_model
from compute.models.embedder import Embedder, load_model, with_own_together
from compute.models.loaders.behaviour import trial_crops
from compute.models.loaders.network import Network, SceneReader, SeveralAtOnce, in_one_pass
from compute.models.own_answer import NO_HEAD

SAME = 1e-6
"""Relative distance at most of an embedding from a pass for all layers to that from its own."""

_READ_ONLY = (
    "name", "layer", "layers", "pooling", "head", "head_gives", "own_classes", "notes", "license",
    "publication", "created_by", "trained_on",
)  # fmt: skip
"""Fields of a card that change neither its network nor what goes into it."""


@dataclass(frozen=True)
class Place:
    """Where a model reads its network.

    Parameters
    ----------
    name
        The network's name: what the names of its models begin with.
    hash
        SHA-256 of the network and of what goes into it, whichever layer is read.
    layer, pooling
        The layer that the model reads, and how its map becomes a vector.
    depth
        The layer's number among those that are read, from 0, in the order in which the network
        computes them; in that of the cards where it cannot tell.
    layers
        How many of its layers are read.
    """

    name: str
    hash: str
    layer: str
    pooling: str
    depth: int
    layers: int


def network_hash(card: ModelCard) -> str:
    """Return the SHA-256 of a card's network and of what goes into it; see `Place.hash`."""
    kept = {
        f.name: getattr(card, f.name)
        for f in fields(card)
        if f.name not in _READ_ONLY and (f.default is MISSING or getattr(card, f.name) != f.default)
    }
    return new_sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def load_models(models: Sequence[Model], device: torch.device | str) -> list[Embedder]:
    """Load the models of a run, each network once for all the layers that are read.

    Parameters
    ----------
    models
        Models as `load_model` takes them; a run's are found and bound to a store.
    device
        Where they are to compute.

    Returns
    -------
    list of Embedder
        In order.

    Raises
    ------
    BystanderError
        As `compute.models.embedder.load_model` does.
    """
    found = [find_model(model) for model in models]
    networks: dict[tuple[Any, ...], dict[str, Network]] = {}
    loaded: dict[int, Embedder] = {}
    # A network may be built with its head where that is asked, so those without one come after.
    for number in sorted(range(len(found)), key=lambda k: found[k].card.head == NO_HEAD):
        model, card = found[number], found[number].card
        key = (network_hash(card), model.folder, model.trusted, _built_for(card))
        there = networks.setdefault(key, {})
        known = there.get(card.head)
        if known is None and card.head == NO_HEAD:
            known = next(iter(there.values()), None)
        loaded[number] = embedder = load_model(model, device, network=known)
        if not isinstance(embedder.network, SceneReader) and embedder.answers is None:
            there[card.head] = embedder.network
    return [loaded[number] for number in range(len(found))]


def passes(models: Sequence[Embedder]) -> list[list[Embedder]]:
    """Say which models are asked in one pass of their network, as tried on two crops.

    Parameters
    ----------
    models
        Models as `load_models` returns them.

    Returns
    -------
    list of list of Embedder
        Each model once; those of one network together, where it gives all that they read in one
        pass and the embeddings are those of passes of their own.
    """
    by_network: dict[int, list[Embedder]] = {}
    for model in models:
        by_network.setdefault(id(model.network), []).append(model)
    found = []
    for some in by_network.values():
        found += [some] if len(some) > 1 and in_one(some) else [[model] for model in some]
    return found


def in_one(models: Sequence[Embedder]) -> bool:
    """Tell whether some models of one network can be asked in one pass, as tried on two crops."""
    first = models[0]
    if not isinstance(first.network, SeveralAtOnce):
        return False
    crops = trial_crops(len(first.card.channels), first.card.size).to(first.device)
    scene = first.whole(crops) if any(model.needs_scene for model in models) else None
    try:
        together = with_own_together(models, crops, scene=scene)
    except BystanderError:
        return False
    return all(
        _close(found, model.with_own(crops, scene=scene))
        for model, found in zip(models, together, strict=True)
    )


def places(models: Sequence[Embedder]) -> dict[str, Place]:
    """Say which models of a run are one network, and where in it each reads.

    Parameters
    ----------
    models
        All models of a run.

    Returns
    -------
    dict
        By model, of those whose network is read at two layers or more.
    """
    by_hash: dict[str, list[Embedder]] = {}
    for model in models:
        if not isinstance(model.network, SceneReader) and model.answers is None:
            by_hash.setdefault(network_hash(model.card), []).append(model)
    found = {}
    for key, some in by_hash.items():
        layers = _in_order(some)
        if len(layers) < 2:
            continue
        name = _common_name([model.card for model in some])
        for model in some:
            layer, pooling = model.card.layer, model.card.pooling
            found[model.name] = Place(name, key, layer, pooling, layers.index(layer), len(layers))
    return found


def _in_order(models: Sequence[Embedder]) -> list[str]:
    """Return the layers that models of one network read, in the order in which it gives them."""
    asked = list(dict.fromkeys(model.card.layer for model in models))
    first = models[0]
    network = first.network
    if len(asked) < 2 or isinstance(network, SceneReader) or not isinstance(network, SeveralAtOnce):
        return asked
    crops = trial_crops(len(first.card.channels), first.card.size).to(first.device)
    given = next(iter(first.inputs(first.scale(crops))))[0][0]
    try:
        with torch.inference_mode():
            return list(in_one_pass(network, given, asked))
    except BystanderError:
        return asked


def _common_name(cards: Sequence[ModelCard]) -> str:
    """Return what a network is called: its card, or what its cards' names have in common."""
    of_one = {card.name.removesuffix(f".{plain_layer(card.layer)}") for card in cards}
    if len(of_one) == 1:
        return of_one.pop()
    names = [card.name for card in cards]
    # What the first and the last in order begin with alike, all between them begin with, too.
    first, last = min(names), max(names)
    alike = next((k for k, letter in enumerate(first) if last[k : k + 1] != letter), len(first))
    return first[:alike].rstrip("._- ") or names[0]


def _built_for(card: ModelCard) -> str:
    """Return what of a card's layer decides how its network is built, in words of its loader."""
    module = import_module(card.kind.loader.partition(":")[0])
    decides = getattr(module, "built_for", None)
    return str(decides(card)) if decides else ""


def _close(one: Tensor, other: Tensor) -> bool:
    """Tell whether two embeddings of some crops differ by rounding at most."""
    away = torch.linalg.vector_norm(one - other, dim=1)
    return bool((away <= SAME * torch.linalg.vector_norm(other, dim=1).clamp(min=1e-30)).all())
