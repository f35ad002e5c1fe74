"""A model's own answer: how its head's classes become a store's, and that one pass will do."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from compute.errors import BystanderError, InputError, UsageError
from compute.models.card import make_card
from compute.models.card_files import FoundModel, load_card, save_card
from compute.models.embedder import Embedder, load_model
from compute.models.loaders.foreign_code import Answering
from compute.models.loaders.network import HookedModule, in_one_pass
from compute.models.networks import network_spec
from compute.models.own_answer import (
    BY_NAME,
    BY_PROTEIN,
    BY_TABLE,
    GIVES,
    OwnAnswer,
    head_words,
    own_answer,
)
from compute.models.weights import weights_of, write_weights

STORE = ("ER", "Golgi", "nucleus", "spindle pole")
SAID = {"name": "m", "trained_on": "nothing", "simulated": True, "channels": ["GFP"]}


def card(classes, source="factory:make:net", **values):
    return make_card(source, **{**SAID, "scaling": "none", "classes": list(classes), **values})


def find(classes, names=STORE, proteins=None, store="", **values):
    head = {} if "head" in values else {"head": "output"}
    return own_answer(card(classes, **head, **values), names, lambda: proteins or {}, store)


def naive(outputs, own):
    """Answer one crop at a time, one class at a time."""
    rows = []
    for row in outputs:
        if own.gives == "logits":
            total = sum(math.exp(v - max(row)) for v in row)
            p = [math.exp(v - max(row)) / total for v in row]
        elif own.gives == "sigmoids":
            p = [1 / (1 + math.exp(-v)) for v in row]
        else:
            p = list(row)
        found, kept = [0.0] * len(own.names), 0.0
        for value, place in zip(p, own.places, strict=True):
            if place >= 0:
                found[place] += value
                kept += value
        rows.append([*(value / kept for value in found), 1 - kept / sum(p)])
    return np.array(rows)


@pytest.mark.parametrize("gives", list(GIVES))
@given(
    outputs=arrays.arrays(np.float64, (4, 5), elements=st.floats(0.01, 6)),
    places=st.lists(st.integers(-1, 3), min_size=5, max_size=5).filter(lambda p: max(p) >= 0),
)
def test_probabilities_are_summed_and_shared_out_again(gives, outputs, places):
    own = OwnAnswer("output", gives, tuple("vwxyz"), tuple(places), STORE, BY_TABLE)
    found = own.of(torch.from_numpy(outputs)).numpy()
    assert found.dtype == np.float32
    assert np.allclose(found, naive(outputs, own), atol=1e-5)
    assert np.allclose(found[:, :-1].sum(1), 1, atol=1e-5)


def test_a_head_that_is_sure_of_what_is_left_out_still_answers():
    own = OwnAnswer("output", "logits", ("a", "b", "c"), (0, 1, -1), STORE, BY_TABLE)
    found = own.of(torch.tensor([[0.0, 2.0, 400.0]]))[0]
    assert found[1] == pytest.approx(math.exp(2) / (1 + math.exp(2)), abs=1e-6)
    assert found[-1] == pytest.approx(1)
    nothing = replace(own, gives="probabilities").of(torch.tensor([[0.0, 0.0, 1.0]]))[0]
    assert nothing.tolist() == [0.5, 0.5, 0, 0, 1]


def test_outputs_that_do_not_fit_are_refused():
    own = OwnAnswer("output", "probabilities", ("a", "b"), (0, 1), STORE, BY_TABLE)
    with pytest.raises(InputError, match=r"'output' gives an array of 2×3 .* names 2 classes"):
        own.of(torch.zeros(2, 3))
    with pytest.raises(InputError, match=r"a probability of -0\.5") as error:
        own.of(torch.tensor([[1.5, -0.5]]))
    assert "head_gives" in error.value.remedy


def test_classes_are_found_by_name_and_by_names_for_the_same_place():
    own = find(["Endoplasmic Reticulum", "golgi", "nucleus", "spindle", "Actin"])
    assert (own.by, own.places) == (BY_NAME, (0, 1, 2, -1, -1))
    assert own.named == ("ER", "Golgi", "nucleus")
    assert own.lacking == ("spindle pole",)
    assert str(own) == (
        "has a head of 5 classes, of which 3 stand for 3 of the store's 4 (by name); left out: "
        "spindle, Actin; it cannot answer spindle pole"
    )


def test_a_name_for_two_of_the_stores_classes_is_left_out():
    own = find(["nuclei", "ER", "Golgi"], ("Nucleus", "nuclear", "ER", "Golgi"))
    assert own.places == (-1, 2, 3)


def test_proteins_stand_for_their_localization():
    """Where no class is one of the store's; those that the store does not know are left out."""
    proteins = {"Sec61": "ER", "Sed5": "Golgi", "Nop1": "nucleus"}
    own = find(["Sed5", "Sec61", "Abp1"], proteins=proteins)
    assert (own.by, own.places) == (BY_PROTEIN, (1, 0, -1))
    assert "flatters" in str(own)
    assert find(["SIM2-1", "SIM2-2"], proteins=proteins) is None
    assert "not two are classes or proteins" in head_words(card(["x"], head="output"), None)


def test_a_table_decides_alone():
    table = {"Nuclear": "nucleus", "Nucleoplasm": "nucleus", "Vesicle": "Golgi"}
    own = find(["ER", "Nuclear", "Nucleoplasm", "Vesicle"], own_classes=table)
    assert (own.by, own.places) == (BY_TABLE, (-1, 2, 2, 1))


def test_a_store_that_a_model_was_trained_on_is_said():
    said = {**SAID, "trained_on": "cells (store 92f12904e3e5e666)"}
    made = make_card(
        "factory:make:net", **said, scaling="none", classes=["ER", "Golgi"], head="output"
    )
    own = own_answer(made, STORE, dict, "92f12904e3e5e666")
    assert own.trained_here
    assert "it was trained on this store" in str(own)
    assert not own_answer(made, STORE, dict, "0123456789abcdef").trained_here


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"own_classes": {"Nuclei": "nucleus"}}, "class of the head in own_classes 'Nuclei'"),
        ({"own_classes": (("ER", "ER"), ("ER", "Golgi"))}, "says 'ER' twice"),
        ({"own_classes": {"ER": 3}}, "is not a table of names"),
        ({"head_gives": "scores"}, "kind of a head's answers 'scores'"),
        ({"classes": [], "head": "output"}, "head is said, and no classes are"),
        ({"classes": [], "own_classes": {"ER": "ER"}}, "own_classes is said, and no classes are"),
    ],
)
def test_cards_that_cannot_be_are_refused(values, said):
    with pytest.raises(BystanderError, match=said) as error:
        card(**{"classes": ["ER", "Nuclear"], **values})
    assert error.value.remedy


def test_tables_that_do_not_fit_the_store_are_refused():
    with pytest.raises(InputError, match="'Nuclear' stands for 'Nucleus', which is no class") as e:
        find(["ER", "Nuclear"], own_classes={"ER": "ER", "Nuclear": "Nucleus"})
    assert "Correct own_classes" in e.value.remedy
    with pytest.raises(InputError, match="leads to ER alone"):
        find(["ER", "Nuclear"], own_classes={"ER": "ER", "Nuclear": "ER"})


def test_a_table_survives_its_card(tmp_path):
    made = card(["A, 1", 'B "x"'], own_classes={"A, 1": "ER", 'B "x"': "Golgi"}, head="output")
    save_card(made, tmp_path / "m.toml")
    assert load_card(tmp_path / "m.toml") == made
    assert made.hash == card(["A, 1", 'B "x"']).hash, "embeddings are the same"


def test_only_the_first_of_several_layers_is_asked():
    cards = card(["ER", "Golgi"], layers=["a", "b"], head="output").each_layer()
    assert [own_answer(one, STORE, dict) is not None for one in cards] == [True, False]


class Counting(nn.Module):
    """A body and a head; counts how often the body runs."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.body, self.head, self.runs = nn.Conv2d(1, 4, 3), nn.Linear(4, classes), 0

    def forward(self, images):
        self.runs += 1
        return self.head(self.body(images).amax((2, 3)))


def test_a_module_answers_and_embeds_in_one_pass():
    torch.manual_seed(0)
    module = Counting().eval()
    own = OwnAnswer("output", "logits", ("a", "b", "c"), (0, 1, -1), ("x", "y"), BY_TABLE)
    made = card(["a", "b", "c"], layer="body", pooling="max", head="output", size=8)
    embedder = Embedder(made, HookedModule(module, 0), own=own)
    crops = torch.rand(6, 1, 8, 8)
    found = embedder.with_own(crops)
    assert module.runs == 1
    assert embedder.width == 4 + 3
    assert torch.equal(found[:, :4], embedder(crops)), "the same embedding"
    expected = naive(module(crops).detach().numpy(), own)
    assert np.allclose(found[:, 4:], expected, atol=1e-6)


def test_what_cannot_be_had_in_one_pass_is_refused():
    hooked = HookedModule(Counting().eval(), 0, {"twice": lambda images: images * 2})
    with pytest.raises(InputError, match="cannot be had in one pass"):
        in_one_pass(hooked, torch.rand(1, 1, 8, 8), ("twice", "output"))
    with pytest.raises(InputError, match="one activation at a time") as error:
        in_one_pass(Answering(lambda images: images), torch.rand(1, 1, 8, 8), ("body", "output"))
    assert "forward_several" in error.value.remedy


def write_deeploc(folder: Path, classes, **values) -> Path:
    """Write a small DeepLoc with drawn weights and these classes; return its card."""
    torch.manual_seed(7)
    network = network_spec("deeploc").build(0.1, len(classes))
    digest = write_weights(folder / "deeploc.safetensors", weights_of(network))
    made = make_card(
        "deeploc", name="deeploc", weights="deeploc.safetensors", sha256=digest, width=0.1,
        trained_on="nothing: random weights", simulated=True, classes=list(classes), **values,
    )  # fmt: skip
    save_card(made, folder / "deeploc.toml")
    return folder / "deeploc.toml"


def test_deeploc_averages_probabilities_over_its_windows(tmp_path):
    path = write_deeploc(tmp_path, ["ER", "Golgi", "nucleus"])
    made = load_card(path)
    own = own_answer(made, STORE, dict)
    model = load_model(FoundModel(made, tmp_path, own=own))
    crops = torch.rand(3, 2, 64, 64) * 100
    found = model.with_own(crops)
    assert torch.allclose(found[:, : model.dimension], model(crops), atol=1e-6)
    with torch.inference_mode():
        windows = [part for [part], _ in model.inputs(model.scale(crops))]
        expected = np.mean(
            [naive(model.network(part).double().numpy(), own) for part in windows], 0
        )
    assert len(windows) == 5
    assert np.allclose(found[:, model.dimension :], expected, atol=1e-5)


@pytest.mark.long
def test_a_compiled_model_embeds_and_answers_in_one_graph(tmp_path, monkeypatch):
    made = load_card(write_deeploc(tmp_path, ["ER", "Golgi", "nucleus"], windows="centre"))
    found = FoundModel(made, tmp_path, own=own_answer(made, STORE, dict))
    graphs, ran = [], []

    def backend(graph, _):
        graphs.append(graph)

        def compute(*tensors):
            ran.append(graph)
            return graph(*tensors)

        return compute

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    plain, compiled = load_model(found), load_model(found)
    compiled.compile()
    assert graphs == []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        crops = 100 * torch.rand((3, 2, 64, 64), generator=generator)
        assert torch.allclose(compiled.with_own(crops), plain.with_own(crops), atol=1e-6)
    [both] = graphs
    assert ran == [both] * 3
    assert torch.allclose(compiled(crops), plain(crops), atol=1e-6)
    _, alone = graphs
    assert ran == [both] * 3 + [alone]
    assert len(alone.graph.nodes) < len(both.graph.nodes), "no layer after the embedding's"


def test_a_head_of_other_outputs_than_the_card_says_is_refused():
    made = card(["a", "b"], layer="body", pooling="max", head="output", size=8)
    own = OwnAnswer("output", "logits", ("a", "b"), (0, 1), ("x", "y"), BY_TABLE)
    with pytest.raises(InputError, match="gives an array of 2×3 for 2 crops"):
        Embedder(made, HookedModule(Counting().eval(), 0), own=own).check_head()
    missing = replace(own, layer="classifier")
    with pytest.raises(UsageError, match="layer of this network 'classifier'"):
        Embedder(made, HookedModule(Counting().eval(), 0), own=missing).check_head()
