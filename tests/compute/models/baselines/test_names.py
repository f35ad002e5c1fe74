"""Baselines by name: which card each name makes, and which names are refused."""

from dataclasses import replace

import pytest

from compute.errors import InputError, UsageError
from compute.models.baselines.names import MEASURED, is_baseline, split_untrained
from compute.models.card import make_card
from compute.models.card_files import (
    builtin_cards,
    card_text,
    find_model,
    load_card,
    resolve_models,
    save_card,
)
from compute.models.networks import NETWORKS, network_spec
from compute.models.sources import SOURCES, others, spelled
from compute.runs.describe import describe_models
from compute.runs.training_seeds import trained_again


@pytest.mark.parametrize("name", NETWORKS)
def test_an_untrained_network_is_the_shipped_one_but_for_its_weights(name):
    card, shipped = find_model(f"untrained:{name}").card, load_card(builtin_cards()[name])
    for field in ("width", "channels", "size", "scaling", "layer", "pooling", "windows", "classes"):
        assert getattr(card, field) == getattr(shipped, field)
    assert (card.weights, card.sha256, card.simulated) == ("", "", False)
    assert card.hash != shipped.hash


def test_without_a_shipped_card_it_is_as_published(tmp_path, monkeypatch):
    monkeypatch.setattr("compute.models.card_files.WEIGHTS", tmp_path)
    card, spec = find_model("untrained:deeploc").card, network_spec("deeploc")
    assert (card.width, card.layer, card.windows) == (1, spec.default_layer, spec.default_windows)


def test_names_and_seeds_go_into_the_run():
    names = ("untrained:deeploc", "untrained:deeploc#1", "untrained:timm:resnet18#12", *MEASURED)
    found = resolve_models(names)
    assert [model.name for model in found] == [
        "untrained-deeploc", "untrained-deeploc-1", "untrained-resnet18-12",
        "handcrafted", "handcrafted-centre", "density",
    ]  # fmt: skip
    assert [model.card.seed for model in found[:3]] == [0, 1, 12]
    assert len({model.card.hash for model in found}) == len(found)
    with pytest.raises(UsageError, match="Two models are named 'untrained-deeploc'"):
        resolve_models(["untrained:deeploc", "untrained:deeploc#0"])


def test_seeds_are_one_network_drawn_several_times():
    cards = [find_model(f"untrained:deeploc#{seed}").card for seed in (0, 1, 2)]
    found = trained_again(cards, ["untrained:deeploc"])
    assert found == {"untrained:deeploc": [card.name for card in cards]}
    with pytest.raises(UsageError, match="the same weights"):
        trained_again([cards[0], replace(cards[0], name="again")], ["untrained:deeploc"])


def test_of_a_cards_path_it_has_that_cards_recipe(cards, tmp_path):
    found = find_model(f"untrained:{cards['pifia']}#2")
    card = load_card(cards["pifia"])
    assert found.name == "untrained-pifia-2"
    assert (found.card.width, found.card.layer) == (card.width, card.layer)
    path = tmp_path / "two#1.toml"
    save_card(replace(card, name="two", layers=("conv8", "d2")), path)
    assert [m.name for m in resolve_models([f"untrained:{path}"])] == [
        "untrained-two.conv8", "untrained-two.d2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("untrained:", "is not the name of an untrained network.*untrained:deeploc#3"),
        ("untrained:deeploc#", "is not the name of an untrained network"),
        ("untrained:deeploc#one", "is not the name of an untrained network"),
        ("untrained:deeploc#-1", "is not the name of an untrained network"),
        ("untrained:deplok", r"Unknown network 'deplok'. Did you mean 'deeploc'.*timm:"),
        ("untrained:handcrafted", "Unknown network 'handcrafted'"),
        ("untrained:timm:", "says nothing of its name"),
        ("untrained:untrained:deeploc", "cannot be built without its weights.*deeploc.*timm:"),
        ("handcrafted-center", r"Unknown model .* Did you mean 'handcrafted-centre'"),
        ("untraine:deeploc", r"Unknown model 'untraine:deeploc'.*untrained:NAME"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(UsageError, match=f"(?s){message}"):
        find_model(name)


def test_cards_of_sources_that_cannot_draw_are_refused(tmp_path):
    path = tmp_path / "mine.toml"
    save_card(replace(find_model("density").card, name="mine"), path)
    with pytest.raises(UsageError, match="cannot be built without its weights"):
        find_model(f"untrained:{path}")
    # What draws weights runs no foreign code, so that nothing needs to be trusted.
    assert not [kind for kind, source in SOURCES.items() if source.draw and source.runs]


def test_seeds_are_told_from_paths():
    assert split_untrained("untrained:a#b/my#2.toml") == ("a#b/my#2.toml", 0)
    assert split_untrained("untrained:my#2.toml#7") == ("my#2.toml", 7)
    assert not is_baseline("handcrafted.toml")


@pytest.mark.parametrize("name", MEASURED)
def test_cards_of_measured_baselines_survive_a_file(tmp_path, name):
    card = find_model(name).card
    path = tmp_path / "card.toml"
    save_card(card, path)
    assert load_card(path) == card
    assert path.read_text("utf-8") == card_text(card)
    path.write_text(f'source = "{name}"\nname = "short"\n', "utf-8")
    assert load_card(path) == replace(card, name="short")
    for change in ('scaling = "min_max"', "input_size = 32", "pixel_size = 0.2"):
        path.write_text(f'source = "{name}"\nname = "short"\n{change}\n', "utf-8")
        with pytest.raises(InputError, match="it reads crops as they are"):
            load_card(path)


def test_channels_are_those_of_the_store():
    for name in ("handcrafted", "untrained:timm:resnet18"):
        card = find_model(name).card
        assert card.channels == ()
        assert card.bound(64, 0, ["DNA", "ER"]).channels == ("DNA", "ER")
    assert find_model("density").card.bound(64, 0, ["DNA", "ER"]).channels == ()
    some = make_card("handcrafted", name="one", channels=["ER"])
    assert some.bound(64, 0, ["DNA", "ER"]).channels == ("ER",)
    with pytest.raises(InputError, match=r"channels = \[\] is not allowed"):
        make_card("timm:resnet18", name="x", weights="x.safetensors", sha256="0" * 64,
                  trained_on="", simulated=False, channels=[])  # fmt: skip


def test_they_are_listed():
    rows = {row.name: row for row in describe_models()}
    assert {name for name, row in rows.items() if row.group == "shipped"} == set(builtin_cards())
    baselines = {name for name, row in rows.items() if row.group == "baseline"}
    assert baselines == {"untrained:NAME", *MEASURED}
    sources = {name for name, row in rows.items() if row.group == "source"}
    assert sources == {spelled(kind) for kind in others()} - baselines
    assert "needs --trust" in rows["command"].about
