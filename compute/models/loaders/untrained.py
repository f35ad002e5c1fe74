"""Builds architectures with drawn weights, from any source that can draw them.

Layer: a found card in, a network out. The same seed gives the same weights with the same PyTorch,
whatever was drawn before.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from compute.models.card import ModelCard
from compute.models.card_files import FoundModel
from compute.models.loaders.network import Network
from compute.models.sources import SOURCES, architecture, split_source


def load(found: FoundModel, device: torch.device) -> Network:
    """Build a card's architecture with weights that its seed decides.

    Raises
    ------
    UsageError
        The architecture does not exist, or a library that it needs is not installed.
    InputError
        It cannot be built as the card says.
    """
    kind, name = split_source(architecture(found.card.source))
    module, function = SOURCES[kind].draw.split(":")
    draw: Callable[[FoundModel, str, torch.device], Network]
    draw = getattr(import_module(module), function)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(found.card.seed)
        return draw(found, name, device)


def built_for(card: ModelCard) -> Any:
    """Say what a card's layer decides, as the loader of its architecture does."""
    kind, _ = split_source(architecture(card.source))
    decides = getattr(import_module(SOURCES[kind].draw.split(":")[0]), "built_for", None)
    return decides(card) if decides else ""
