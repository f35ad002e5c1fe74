"""Weights of one network from several seeds are told from models that differ otherwise."""

from dataclasses import replace

import pytest
import torch

from compute.errors import UsageError
from compute.models.card_files import list_models, load_card, save_card
from compute.models.networks import network_spec
from compute.models.weights import weights_of, write_weights
from compute.runs.describe import check_path
from compute.runs.pipeline import run_store
from compute.runs.training_seeds import trained_again
from compute.storage.run_directory import RunDirectory

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


def test_a_run_of_two_seeds_has_their_mean(tmp_path, store, cards, config):
    first = load_card(cards["pifia"])
    torch.manual_seed(99)
    network = network_spec("pifia").build(first.width, len(first.classes))
    digest = write_weights(tmp_path / "again.safetensors", weights_of(network))
    again = replace(first, name="pifia-again", weights="again.safetensors", sha256=digest)
    save_card(again, tmp_path / "again.toml")
    both = [str(cards["pifia"]), str(tmp_path / "again.toml")]
    plan = replace(config.plan, conditions=("unaltered", "same", "different"))
    some = replace(config, plan=plan, probes=(), seeds_of=("pifia",))
    with pytest.raises(UsageError, match="1 models of this network"):
        run_store(store, tmp_path / "run", both[:1], some, jobs=1)
    run_store(store, tmp_path / "run", both, some, jobs=1)
    run = RunDirectory(tmp_path / "run")
    found = run.read("training_seeds").to_pandas()
    effects = run.read("effects").to_pandas()
    assert set(found["network"]) == {"pifia"}
    assert all(list(models) == ["pifia", "pifia-again"] for models in found["models"])
    own = effects[(effects["scope"] == "overall") & (effects["aggregation"] == "all")]
    own = own.set_index(["model", "effect", "condition", "protocol", "probe"])["estimate"]
    for row in found[found["quantity"] != "accuracy"].itertuples():
        key = row.quantity, row.condition, row.protocol, row.probe
        assert row.estimates == pytest.approx([own[model, *key] for model in row.models])
    assert any("training_seeds" in line for line in check_path(run.path))
