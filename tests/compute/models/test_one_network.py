"""Several layers of one network: loaded once, run once, the same numbers, in its order."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from compute.backgrounds.scene import Scene
from compute.models.card import make_card
from compute.models.card_files import find_model, resolve_models
from compute.models.embedder import Embedder, load_model, with_own_together
from compute.models.loaders.foreign_code import Answering
from compute.models.loaders.network import HookedModule
from compute.models.networks import NETWORKS, network_spec
from compute.models.one_network import in_one, load_models, network_hash, passes, places
from compute.runs.check_model import check_model
from compute.runs.provenance import plain


class InPlace(nn.Module):
    """A network whose activations are changed by what comes after them, with a part used twice."""

    def __init__(self):
        super().__init__()
        self.late = nn.Conv2d(4, 3, 3, padding=1)
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.runs = []
        for name in ("first", "late"):
            self.get_submodule(name).register_forward_hook(
                lambda *_, name=name: self.runs.append(name)
            )

    def forward(self, images):
        return self.act(self.late(self.act(self.first(images)))).mean((2, 3))


def hooked(layers, poolings=("mean",), **values):
    """Models of one network in memory, with the network; poolings take turns."""
    torch.manual_seed(3)
    network = HookedModule(InPlace().eval())
    cards = [
        make_card(
            "factory:a:b", name=f"mine.{layer}", trained_on="t", simulated=True, channels=("GFP",),
            scaling="min_max", size=8, layer=layer, pooling=poolings[k % len(poolings)], **values,
        )
        for k, layer in enumerate(layers)
    ]  # fmt: skip
    return [Embedder(card, network) for card in cards], network.module


def crops(count=5, side=8, channels=1):
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1)) * 99


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_of_our_networks_in_one_pass_is_bit_identical(name, tmp_path):
    spec = network_spec(name)
    layers = [layer for layer, known in spec.layers.items() if not known.linear]
    path = tmp_path / "mine.toml"
    path.write_text(
        f'source = "untrained:{name}"\nname = "mine"\nwidth = 0.1\n'
        f"layers = {json.dumps(layers)}\nsize = {spec.crop_size}\n",
        encoding="utf-8",
    )
    found = [m.bound(spec.crop_size, 0.0, spec.channels) for m in resolve_models([path])]
    models = load_models(found, "cpu")
    assert len({id(model.network) for model in models}) == 1, "weights are held once"
    assert passes(models) == [models]
    images = crops(4, spec.crop_size, len(models[0].card.channels))
    apart = [load_model(model) for model in found]
    for alone, together in zip(apart, with_own_together(models, images), strict=True):
        assert torch.equal(alone.with_own(images), together)
    there = places(models)
    assert [there[f"mine.{layer}"].depth for layer in layers] == list(range(len(layers)))
    assert {place.name for place in there.values()} == {"mine"}


def test_what_follows_in_place_changes_nothing_and_nothing_runs_after_the_last_layer():
    models, module = hooked(["first", "act", "late", "output"], ("mean", "max"))
    alone = [model.with_own(crops()) for model in models]
    module.runs.clear()
    together = with_own_together(models, crops())
    assert module.runs == ["first", "late"], "one pass"
    assert all(map(torch.equal, alone, together))
    assert in_one(models)
    module.runs.clear()
    with_own_together(models[:2], crops())
    assert module.runs == ["first"], "nothing after the last layer that is wanted"


def test_layers_stand_in_the_order_in_which_they_are_computed():
    models, _ = hooked(["output", "late", "first"])
    there = places(models)
    assert [there[f"mine.{layer}"].depth for layer in ("first", "late", "output")] == [0, 1, 2]
    assert plain(vars(there["mine.late"])) == {
        "name": "mine", "hash": network_hash(models[0].card), "layer": "late", "pooling": "mean",
        "depth": 1, "layers": 3,
    }  # fmt: skip
    assert places(models[:1]) == {}, "one layer has no depth"


def test_two_poolings_of_one_layer_are_no_depth_and_share_a_pass():
    models, module = hooked(["late", "late"], ("mean", "max_in_mask"))
    assert places(models) == {}
    mask = torch.zeros(5, 8, 8, dtype=torch.bool)
    mask[:, 2:5, 3:6] = True
    scene = Scene(mask, ~mask)
    alone = [model.with_own(crops(), scene=scene) for model in models]
    module.runs.clear()
    found = with_own_together(models, crops(), scene=scene)
    assert module.runs == ["first", "late"]
    assert all(map(torch.equal, alone, found))
    assert not torch.equal(*found)


def test_a_network_that_gives_one_at_a_time_falls_back():
    models, _ = hooked(["first", "late"])
    answering = Answering(lambda images: images.mean((2, 3)))
    apart = [Embedder(replace(model.card, layer="output"), answering) for model in models]
    apart[1].card = replace(apart[1].card, layer="output", name="other")
    one = Embedder(models[0].card, answering)
    assert not in_one([one, apart[1]])
    assert passes([*models, one, apart[1]]) == [models, [one], [apart[1]]]


def test_a_network_that_answers_otherwise_in_one_pass_falls_back():
    class Wrong:
        def forward_to(self, images, layer):
            return images.mean((2, 3))

        def forward_several(self, images, layers):
            return {layer: images.mean((2, 3)) + 1 for layer in layers}

    models, _ = hooked(["first", "late"])
    assert not in_one([Embedder(model.card, Wrong()) for model in models])


def test_cards_that_differ_in_more_than_layers_are_other_networks(cards):
    card = find_model(cards["deeploc"]).card
    assert network_hash(replace(card, layer="fc_2", name="x")) == network_hash(card)
    for other in ({"scaling": "min_max"}, {"sha256": "0" * 64}, {"windows": "centre"}):
        assert network_hash(replace(card, **other)) != network_hash(card)


def test_a_convolutions_own_output_has_a_network_of_its_own(cards):
    linear = [n for n, layer in network_spec("pifia").layers.items() if layer.linear]
    card = find_model(cards["pifia"]).card
    found = [
        replace(find_model(cards["pifia"]), card=replace(card, layer=layer, name=layer))
        for layer in ("conv8", linear[0], "d2")
    ]
    folded, own, last = load_models(found, "cpu")
    assert folded.network is last.network is not own.network
    images = crops(3, card.size)
    assert torch.equal(own(images), load_model(found[1])(images))


def test_check_says_how_layers_are_computed(cards, store, tmp_path):
    text = cards["deeploc"].read_text(encoding="utf-8")
    text = text.replace('layer = "conv_5"\n', 'layers = ["conv_5", "fc_2"]\n')
    path = cards["deeploc"].with_name("layers.toml")
    path.write_text(text, encoding="utf-8")
    found = check_model(path, store)
    assert found.layers == "its 2 layers (conv_5, fc_2) come from one pass of the network"
    assert np.isfinite(found.crops_per_second)
    assert found.layers in list(found.lines())
    assert check_model(cards["deeploc"], store).layers == ""
