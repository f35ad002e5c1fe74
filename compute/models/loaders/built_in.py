"""Loads networks that come with Bystander: weights from a safetensors file, or drawn.

Layer: a found card in, a network out.
"""

import torch

from compute.models.card import ModelCard
from compute.models.card_files import FoundModel
from compute.models.loaders.weights_file import checked_file
from compute.models.networks import NetworkSpec, network_spec
from compute.models.networks.blocks import LayeredNetwork, channels_last, fold, keep_scale
from compute.models.sources import built_in
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
    return _ready(network, spec, card.layer, device)


def draw(found: FoundModel, name: str, device: torch.device) -> LayeredNetwork:
    """Build the network of this name as a card has it, with weights as training begins with them.

    Statistics of its normalisations are what the weights imply (`blocks.keep_scale`): those of data
    would be something that it knows of crops.
    """
    spec, card = network_spec(name), found.card
    # A network of classes needs one at least; without names nobody reads it.
    network = keep_scale(spec.build(card.width, len(card.classes) or int(spec.classes)))
    return _ready(network, spec, card.layer, device)


def built_for(card: ModelCard) -> str:
    """Say what a card's layer decides: a convolution's own output is lost where it is folded."""
    spec = built_in(card.source)
    return "folded" if spec is None or not spec.layers[card.layer].linear else "as it is"


def _ready(
    network: LayeredNetwork, spec: NetworkSpec, layer: str, device: torch.device
) -> LayeredNetwork:
    """Make a network that has its weights quick to answer from a layer."""
    if not spec.layers[layer].linear:
        fold(network)
    return channels_last(network.eval().to(device))
