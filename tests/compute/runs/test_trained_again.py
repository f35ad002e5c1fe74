"""Weights of one network from several seeds are told from models that differ otherwise."""

from dataclasses import replace

import pytest

from compute.errors import UsageError
from compute.models.card import list_models
from compute.runs.training_seeds import trained_again

PIFIA = list_models()["pifia"]
DEEPLOC = list_models()["deeploc"]
FIRST, SECOND = (replace(PIFIA, name=f"pifia-{seed}", sha256=f"{seed:064x}") for seed in (1, 2))


def test_models_are_found_by_the_network_that_their_cards_name():
    assert trained_again([FIRST, DEEPLOC, SECOND], ["pifia"]) == {"pifia": ["pifia-1", "pifia-2"]}
    assert trained_again([FIRST, DEEPLOC], []) == {}


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ([FIRST, DEEPLOC], "1 models of this network; its models are pifia-1"),
        ([DEEPLOC], "0 models of this network"),
        ([FIRST, replace(SECOND, sha256=FIRST.sha256)], "have the same weights"),
        ([FIRST, replace(SECOND, width=0.5)], "width is 0.25 and 0.5"),
        ([FIRST, replace(SECOND, pooling="mean")], "pooling is 'max' and 'mean'"),
    ],
)
def test_what_are_not_seeds_of_one_network_is_refused(cards, words):
    with pytest.raises(UsageError, match=words):
        trained_again(cards, ["pifia"])
