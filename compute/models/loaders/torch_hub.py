"""Loads a model of a folder made for torch.hub: `hubconf.py` and the code that it needs.

Layer: a found card in, a network out. What `torch.hub.load` does with a local folder is done here
without it, for it leaves the folder's modules behind, where another folder's are then missed.
"""

from pathlib import Path

import torch

from compute.errors import InputError, UsageError
from compute.models.card_files import FoundModel
from compute.models.loaders.foreign_code import as_network, made_by
from compute.models.loaders.network import Network
from compute.models.loaders.weights_file import listing_digest
from compute.models.sources import split_source

HUBCONF = "hubconf"
"""Module that names a folder's models."""


def load(found: FoundModel, device: torch.device) -> Network:
    """Call an entry of a folder, and give what it returns the card's weights.

    Raises
    ------
    UsageError
        There is no such entry, or weights but no module to give them to.
    InputError
        The folder is missing, or its code is not that which the card says; the entry fails or
        returns no model; the weights are missing or damaged, are not those that the card names, or
        do not fit.
    """
    card = found.card
    name, _, entry = split_source(card.source)[1].rpartition("#")
    if not name or not entry.isidentifier():
        raise UsageError(
            f"Model {card.name!r}: source = {card.source!r} names no folder and entry.",
            'Write source = "torchhub:FOLDER#ENTRY"; the folder has a hubconf.py.',
        )
    folder = found.place / name
    if not (folder / f"{HUBCONF}.py").is_file():
        raise InputError(
            f"Model {card.name!r}: {folder} has no {HUBCONF}.py.",
            "Name a folder beside the card that was made for torch.hub.",
        )
    digest = code_digest(folder)
    if card.revision != digest:
        said = f"revision = {card.revision!r}" if card.revision else "no revision"
        raise InputError(
            f"Model {card.name!r}: the code in {folder} is {digest}, the card says {said}.",
            f'If this is the code that you trust, write revision = "{digest}".',
        )
    made = made_by(f"Model {card.name!r}", folder, HUBCONF, entry, card.seed)
    return as_network(made, found, device)


def code_digest(folder: Path) -> str:
    """Return one SHA-256 for all `.py` files in a folder, those in folders within it included.

    It is that of ``find . -name '*.py'``, the names without ``./`` and sorted as bytes, given to
    ``sha256sum``; see `compute.models.loaders.weights_file.listing_digest`.
    """
    return listing_digest(folder, (path for path in folder.rglob("*.py") if path.is_file()))
