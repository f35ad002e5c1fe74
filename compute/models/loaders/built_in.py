"""Loads networks that come with Bystander: weights from a safetensors file.

Layer: a found card in, a network out.
"""

import torch

from compute.models.card_files import FoundModel
from compute.models.loaders.weights_file import checked_file
from compute.models.networks import network_spec
from compute.models.networks.blocks import LayeredNetwork, channels_last, fold
from compute.models.weights import load_weights, read_weights


def load(found: FoundModel, device: torch.device) -> LayeredNetwork:
    """Build the network of a card and give it its weights, as float32.

    Raises
    ------
    InputError
        The weights are missing or damaged, are not those that the card names, or do not fit.
    """
    card = found.card
    path = checked_file(found)
    spec = network_spec(card.source)
    network = spec.build(card.width, len(card.classes))
    load_weights(network, read_weights(path), str(path))
    if not spec.layers[card.layer].linear:
        fold(network)
    return channels_last(network.eval().to(device))
