"""Architectures: parity with the published implementations, names, shapes, widths, layouts."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from compute.errors import BystanderError, InputError, UsageError
from compute.models.networks import NETWORKS, network_spec, register
from compute.models.networks.blocks import ConvNormReLU, channels_last, fold
from compute.models.published.weight_maps import LAYOUTS, from_published
from compute.models.weights import load_weights, weights_of

TOLERANCE = 1e-4
"""Largest error over an output's largest magnitude that counts as rounding."""

SHARED = Path(os.environ.get("BYSTANDER_SHARED", Path(__file__).parents[4] / "shared"))
INPUTS = ("input", "target_marker")


def reference(name):
    """Find `data/reference_networks/<name>`, below the shared folder or its `data` folder."""
    for folder in (SHARED / "data", SHARED):
        if (folder / "reference_networks" / name).is_file():
            return folder / "reference_networks" / name
    return pytest.skip(f"no reference_networks/{name} below {SHARED} (set BYSTANDER_SHARED)")


def published_variables(network):
    """Draw the weights by the recipe in the reference's README."""
    variables = {}
    with reference(f"{network}_variables.csv").open() as file:
        for row in csv.DictReader(file):
            shape = tuple(map(int, row["shape"].split("x")))
            rng = np.random.default_rng(1000 + int(row["index"]))
            if any(word in row["key"].lower() for word in ("variance", "squeeze_1", "gamma")):
                values = 0.5 + rng.random(shape)
            elif len(shape) == 1:
                values = 0.1 * rng.standard_normal(shape)
            else:
                values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
            variables[row["key"]] = values.astype(np.float32)
    return variables


def small(network, width=0.05, seed=0):
    torch.manual_seed(seed)
    spec = network_spec(network)
    return spec.build(width, 3 if spec.classes else 0).eval()


def inputs_for(network, n=2):
    spec = network_spec(network)
    images = torch.rand(n, len(spec.channels), spec.input_size, spec.input_size)
    return images, torch.rand(n, 1, spec.input_size, spec.input_size)


@pytest.fixture(scope="module", params=LAYOUTS)
def published(request):
    """Every output of a network with the reference weights, and the reference."""
    name = request.param
    converted = from_published(name, published_variables(name))
    network = NETWORKS[name].build(converted.width, converted.classes)
    load_weights(network, converted.tensors, name)
    channels_last(network.eval())
    with np.load(reference(f"{name}.npz"), allow_pickle=False) as file:
        expected = dict(file)
    tensors = {
        key: torch.from_numpy(expected[key]).permute(0, 3, 1, 2)
        for key in INPUTS
        if key in expected
    }
    wanted = {key.removesuffix("_max") for key in expected if key not in INPUTS}
    with torch.inference_mode():
        found = network.features(tensors["input"], wanted, tensors.get("target_marker"))
        folded = fold(network).features(
            tensors["input"], wanted - {"conv8_linear"}, tensors.get("target_marker")
        )
    return name, converted, expected, found, folded


def worst_error(found, expected, key):
    values = found[key.removesuffix("_max")]
    if key.endswith("_max"):
        values = values.amax((2, 3))
    elif values.ndim == 4:
        values = values.permute(0, 2, 3, 1)
    assert values.shape == expected[key].shape
    return np.abs(values.numpy() - expected[key]).max() / np.abs(expected[key]).max()


def test_equals_the_published_network(published):
    _, _, expected, found, _ = published
    errors = {key: worst_error(found, expected, key) for key in expected if key not in INPUTS}
    assert len(errors) >= 4
    assert max(errors.values()) < TOLERANCE, errors


def test_folded_network_equals_the_published_one(published):
    _, _, expected, _, folded = published
    keys = [key for key in expected if key not in INPUTS and key.removesuffix("_max") in folded]
    assert max(worst_error(folded, expected, key) for key in keys) < TOLERANCE


def test_published_shapes_tell_width_and_classes(published):
    name, converted, *_ = published
    assert converted.width == 1
    assert converted.classes == {"pifia": 20, "paired_cell": 0, "deeploc": 19}[name]
    assert converted.ignored == ()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("width", [0.001, 0.25, 1.0])
def test_layers_have_the_registered_shapes(name, width):
    spec = NETWORKS[name]
    assert spec.default_layer in spec.layers
    images, _ = inputs_for(name)
    with torch.inference_mode():
        network = spec.build(width, 3 if spec.classes else 0).eval()
        found = network.features(images, spec.layers)
    for layer, shape in spec.layers.items():
        expected = (2, shape.dimension(width), *([shape.side] * 2 if shape.side else []))
        assert found[layer].shape == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_stops_after_the_deepest_layer(name):
    """Blocks after the embedding are replaced by one that refuses to run."""
    spec, network = network_spec(name), small(name)
    calls = []
    for key, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, key=key: calls.append(key))
    images, marker = inputs_for(name)
    network.forward_to(images, spec.default_layer)
    to_layer = len(calls)
    calls.clear()
    network(images, marker)
    assert 0 < to_layer < len(calls)
    assert network.features(images, ()) == {}


@pytest.mark.parametrize("name", NETWORKS)
def test_layer_names_match_what_is_computed(name):
    network = small(name)
    names = [layer for layer, _ in network.activations(*inputs_for(name))]
    assert tuple(names) == network.layers
    assert network.output == names[-1]
    with pytest.raises(UsageError, match="conv99"):
        network.forward_to(inputs_for(name)[0], "conv99")


@pytest.mark.parametrize("name", NETWORKS)
def test_activations_are_not_overwritten_later(name):
    network = small(name)
    images, marker = inputs_for(name)
    with torch.inference_mode():
        together = network.features(images, network.layers, marker)
        for layer in network.layers:
            alone = network.forward_to(images, layer, marker)
            assert torch.equal(alone, together[layer]), layer


def test_painting_needs_a_marker():
    network = small("paired_cell")
    with pytest.raises(UsageError, match="marker channel of a second cell for prediction"):
        network(inputs_for("paired_cell")[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_changes_nothing_but_rounding(name):
    spec = NETWORKS[name]
    network = small(name, 0.1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    images, _ = inputs_for(name)
    with torch.inference_mode():
        before = network.forward_to(images, spec.default_layer)
        after = fold(network).forward_to(images, spec.default_layer)
    assert torch.allclose(before, after, atol=1e-5, rtol=1e-4)
    assert not any(
        isinstance(module.norm, torch.nn.BatchNorm2d)
        for module in network.modules()
        if isinstance(module, ConvNormReLU)
    )


def test_a_second_network_of_the_same_name_is_refused():
    with pytest.raises(BystanderError, match="'pifia' is registered already"):
        register("pifia", NETWORKS["deeploc"])
    with pytest.raises(UsageError, match=r"Unknown network 'pifla'.*'pifia'"):
        network_spec("pifla")


@pytest.mark.parametrize(("name", "classes"), [("pifia", 0), ("deeploc", 0), ("paired_cell", 4)])
def test_impossible_heads_are_refused(name, classes):
    with pytest.raises(UsageError, match="classes"):
        NETWORKS[name].build(0.05, classes)


def drawn_variables(name, width):
    """Published variables of any width, without the shared data."""
    spec = NETWORKS[name]
    tensors = weights_of(spec.build(width, 3 if spec.classes else 0))
    rng = np.random.default_rng(0)
    return {
        move.source: rng.random(move.shape(tuple(tensors[move.target].shape)), np.float32)
        for move in LAYOUTS[name].moves
    }


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("width", [0.125, 0.25])
def test_every_weight_is_converted_once(name, width):
    converted = from_published(name, drawn_variables(name, width))
    assert converted.width == width
    network = NETWORKS[name].build(width, converted.classes)
    assert sorted(converted.tensors) == sorted(weights_of(network))
    load_weights(network, converted.tensors, name)
    for key, tensor in weights_of(network).items():
        assert torch.equal(tensor, converted.tensors[key])


@pytest.mark.parametrize("name", LAYOUTS)
def test_missing_extra_and_misshapen_variables_are_named(name):
    variables = drawn_variables(name, 0.125)
    first, last = LAYOUTS[name].moves[1].source, LAYOUTS[name].moves[-1].source
    with pytest.raises(InputError) as missing:
        from_published(name, {k: v for k, v in variables.items() if k != first})
    assert f"missing {first}" in str(missing.value)
    with pytest.raises(InputError, match="no place for stray/kernel"):
        from_published(name, {**variables, "stray/kernel": np.zeros(3, np.float32)})
    with pytest.raises(InputError) as misshapen:
        from_published(name, {**variables, last: np.zeros(7, np.float32)})
    assert f"{last} is 7, not" in str(misshapen.value)


def test_a_network_without_published_weights_is_told(monkeypatch):
    monkeypatch.delitem(LAYOUTS, "deeploc")
    with pytest.raises(UsageError, match=r"published weights 'deeploc'.*pifia, paired_cell"):
        from_published("deeploc", {})


def test_optimiser_state_is_ignored_and_listed():
    state = {
        "beta1_power": np.zeros((), np.float32),
        "conv_1/weights/Variable/Adam": np.zeros((3, 3, 2, 8), np.float32),
    }
    converted = from_published("deeploc", {**drawn_variables("deeploc", 0.125), **state})
    assert set(converted.ignored) == set(state)


def test_loading_names_what_does_not_fit():
    network = small("pifia")
    weights = weights_of(network)
    wrong = {k: v for k, v in weights.items() if k != "d2.bias"}
    wrong["d3.bias"] = torch.zeros(99)
    wrong["d4.bias"] = torch.zeros(1)
    with pytest.raises(InputError) as error:
        load_weights(network, wrong, "pifia.safetensors")
    for part in ("missing d2.bias", "no place for d4.bias", "d3.bias is 99, not 3"):
        assert part in str(error.value)
