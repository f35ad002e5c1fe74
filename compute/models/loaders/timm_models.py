"""Loads architectures of the timm library, with weights from a safetensors file, or drawn.

Layer: a found card in, a network out. timm itself never loads the weights: it would adapt the first
layer to another number of channels without a word.
"""

from collections.abc import Sequence
from typing import Any

import torch

from compute.errors import UsageError
from compute.models.card_files import FoundModel
from compute.models.loaders.extras import import_extra
from compute.models.loaders.network import OUTPUT, HookedModule, ready, told
from compute.models.loaders.weights_file import checked_file
from compute.models.sources import split_source
from compute.models.weights import load_weights, read_weights

FEATURES, EMBEDDING = "features", "embedding"
"""Layers beside those of dotted names: the last map or tokens, and what the classifier gets."""


def load(found: FoundModel, device: torch.device) -> HookedModule:
    """Build an architecture of timm and give it its weights, all of them and no others.

    Raises
    ------
    UsageError
        timm is not installed, or has no such architecture.
    InputError
        The weights are missing or damaged, are not those that the card names, or do not fit.
    """
    path = checked_file(found)
    tensors = read_weights(path, foreign=True)
    module = build(found, split_source(found.card.source)[1], _classes(tensors, found))
    load_weights(module, tensors, str(path))
    return wrap(module, device)


def draw(found: FoundModel, name: str, device: torch.device) -> HookedModule:
    """Build the architecture of this name as a card has it, with weights as timm draws them."""
    return wrap(build(found, name, len(found.card.classes)), device)


def build(found: FoundModel, name: str, classes: int) -> Any:
    """Make an architecture with drawn weights, for the card's inputs and `classes` outputs."""
    timm = import_extra("timm", "timm", f"model {found.name!r}")
    card = found.card
    place, colon, rest = name.partition(":")
    if colon:
        address = f"huggingface.co/{rest}" if place in ("hf-hub", "hf_hub") else "its address"
        raise UsageError(
            f"Model {card.name!r}: {name!r} is a place, and nothing is loaded from the network.",
            f"Fetch model.safetensors from {address}, name it as `weights`, and write source = "
            '"timm:…" with the architecture that config.json beside it says.',
        )
    if not timm.is_model(name.partition(".")[0]):
        near = timm.list_models(f"*{name.partition('_')[0]}*")[:8]
        raise UsageError(
            f"timm {timm.__version__} has no architecture {name!r}.",
            f"Some that it has: {', '.join(near or timm.list_models()[:8])}.",
        )
    sized = {"img_size": card.window} if card.window and _takes_size(timm, name) else {}
    with told(f"Model {card.name!r}: timm's {name}", "Check `inputs` and `input_size`."):
        return timm.create_model(
            name, pretrained=False, in_chans=card.network_inputs, num_classes=classes, **sized
        )


def wrap(module: Any, device: torch.device) -> HookedModule:
    """Make a module of timm a network, with the names of its usual outputs."""
    module = ready(module, device)

    def together(images: torch.Tensor, names: Sequence[str]) -> dict[str, Any]:
        features = module.forward_features(images)
        heads = {EMBEDDING: True, OUTPUT: False}
        found = {
            name: module.forward_head(features, pre_logits=heads[name])
            for name in names
            if name in heads
        }
        return {FEATURES: features, **found}

    return HookedModule(
        module,
        int(getattr(module, "num_prefix_tokens", 0)),
        {
            FEATURES: module.forward_features,
            EMBEDDING: lambda images: module.forward_head(
                module.forward_features(images), pre_logits=True
            ),
        },
        together=together,
    )


def _classes(tensors: dict[str, torch.Tensor], found: FoundModel) -> int:
    """Return the classifier's outputs in a weights file; 0 where it has none."""
    if found.card.classes:
        return len(found.card.classes)
    for key in ("head.fc.bias", "head.bias", "classifier.bias", "fc.bias", "head.fc.fc2.bias"):
        if key in tensors:
            return len(tensors[key])
    return 0


def _takes_size(timm: Any, name: str) -> bool:
    """Tell whether an architecture is made for one size of input, as transformers are."""
    default = timm.get_pretrained_cfg(name.partition(".")[0], allow_unregistered=True)
    return bool(default is not None and default.fixed_input_size)


__all__ = ["EMBEDDING", "FEATURES", "OUTPUT", "build", "draw", "load", "wrap"]
