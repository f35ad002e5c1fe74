"""Which models of a run are one network, trained from several seeds."""

from collections.abc import Sequence
from itertools import combinations

from compute.errors import UsageError
from compute.models.card import ModelCard

_THE_SAME = (
    "width", "channels", "size", "scaling", "layer", "pooling", "windows", "classes",
)  # fmt: skip
"""What is the same in the cards of one network that was trained several times."""


def trained_again(cards: Sequence[ModelCard], networks: Sequence[str]) -> dict[str, list[str]]:
    """Find the models of each network that was trained from several seeds.

    Parameters
    ----------
    cards
        Of all models of a run.
    networks
        Names that cards have under `source`.

    Returns
    -------
    dict
        Names of the models, by network.

    Raises
    ------
    UsageError
        The run has fewer than two models of a network, or two that differ in more than weights, or
        not in these.
    """
    found = {}
    for network in dict.fromkeys(networks):
        mine = [card for card in cards if card.source == network]
        if len(mine) < 2:
            there = ", ".join(f"{card.name} ({card.source})" for card in cards)
            raise UsageError(
                f"--seeds-of {network}: the run has {len(mine)} models of this network; "
                f"its models are {there}.",
                "Give the cards of two or more models of it (--models a.toml,b.toml), "
                "better of five: a spread between seeds cannot be seen in fewer.",
            )
        for one, other in combinations(mine, 2):
            _check(network, one, other)
        found[network] = [card.name for card in mine]
    return found


def _check(network: str, one: ModelCard, other: ModelCard) -> None:
    """Refuse two models that are not one network from two seeds."""
    if (one.sha256, one.seed) == (other.sha256, other.seed):
        raise UsageError(
            f"--seeds-of {network}: {one.name} and {other.name} have the same weights.",
            "Give weights that were trained from different seeds (bystander train --seed).",
        )
    for name in _THE_SAME:
        values = getattr(one, name), getattr(other, name)
        if values[0] != values[1]:
            raise UsageError(
                f"--seeds-of {network}: {one.name} and {other.name} differ in more than their "
                f"seed: {name} is {values[0]!r} and {values[1]!r}.",
                "Leave one of them out, or leave out --seeds-of: then each stands for itself.",
            )
