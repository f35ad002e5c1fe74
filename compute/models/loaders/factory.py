"""Loads what a Python function returns: a module, or anything that answers images.

Layer: a found card in, a network out. Neither the card's folder nor the current one is searched by
Python otherwise; the card's folder is while the function is imported and called.
"""

import torch

from compute.errors import InputError, UsageError
from compute.models.card_files import FoundModel
from compute.models.loaders.foreign_code import as_network, made_by
from compute.models.loaders.network import Network
from compute.models.source_code import code_hash
from compute.models.sources import split_source


def load(found: FoundModel, device: torch.device) -> Network:
    """Call the card's function, and give what it returns the card's weights.

    Raises
    ------
    UsageError
        There is no such function, or weights but no module to give them to.
    InputError
        The function fails or returns no model; the weights are missing or damaged, are not those
        that the card names, or do not fit; or the code is not that whose hash the card has.
    """
    card = found.card
    module, _, function = split_source(card.source)[1].partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise UsageError(
            f"Model {card.name!r}: source = {card.source!r} names no Python function.",
            'Write source = "factory:package.module:function".',
        )
    digest = code_hash(f"{module}:{function}", found.place) if card.code else ""
    if digest != card.code:
        raise InputError(
            f"Model {card.name!r}: the code of {module!r} is {digest or 'not to be found'}, the "
            f"card says code = {card.code!r}.",
            f'If this is the code that you trust, write code = "{digest}", and begin a new run.',
        )
    made = made_by(f"Model {card.name!r}", found.place, module, function, card.seed)
    return as_network(made, found, device)
