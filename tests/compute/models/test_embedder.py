"""Cards and embedders: what is refused, what survives a round trip, what is computed."""

import re
import subprocess
import sys
from dataclasses import fields, replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from compute.errors import InputError, UsageError
from compute.models.card import ModelCard, make_card, select_channels
from compute.models.card_files import builtin_cards, card_text, load_card, resolve_models, save_card
from compute.models.embedder import Embedder, load_model
from compute.models.networks import NETWORKS
from compute.models.recipe import WINDOWS
from compute.models.scaling import SCALINGS
from compute.models.weights import read_weights, weights_of, write_weights
from compute.storage.atomic_files import sha256

WIDTH = 0.05


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Networks this small lose more by threads waiting for each other than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_model(folder, network, dtype="float32", **more):
    """Write a model with drawn weights; returns its card's path and its network."""
    torch.manual_seed(1)
    spec = NETWORKS[network]
    classes = ["a", "b", "c"] if spec.classes else []
    built = spec.build(WIDTH, len(classes)).eval()
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    digest = write_weights(folder / f"{network}.safetensors", weights_of(built), dtype)
    card = make_card(
        network,
        **{
            "name": network,
            "weights": f"{network}.safetensors",
            "sha256": digest,
            "trained_on": "nothing",
            "simulated": True,
            "width": WIDTH,
            "classes": classes,
            **more,
        },
    )
    path = folder / f"{card.name}.toml"
    save_card(card, path)
    return path, built


def crops(card, n=3):
    generator = torch.Generator().manual_seed(2)
    shape = (n, len(card.channels), card.size, card.size)
    return torch.rand(shape, generator=generator) * 5000 + 100


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def pifia(tmp_path):
    return write_model(tmp_path, "pifia")[0]


@pytest.mark.parametrize("network", NETWORKS)
def test_card_survives_a_round_trip(tmp_path, network):
    path, _ = write_model(
        tmp_path, network, notes='line one\nline "two" \\ \x7f µm', license="BSD-3-Clause"
    )
    card = load_card(path)
    assert isinstance(card, ModelCard)
    assert card.notes == 'line one\nline "two" \\ \x7f µm'
    assert card_text(card) == path.read_text()
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".tmp")] == []


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_every_layer_embeds_as_computed_by_hand(tmp_path, network, pooling):
    spec = NETWORKS[network]
    path, built = write_model(tmp_path, network, pooling=pooling)
    for layer in spec.layers:
        edit(path, f'layer = "{load_card(path).layer}"', f'layer = "{layer}"')
        model = load_model(path)
        images = crops(model.card)
        found = model(images)
        assert found.shape == (3, model.dimension)
        assert found.dtype == torch.float32
        scaled = SCALINGS[model.card.scaling](images)
        margin = model.card.size - spec.input_size
        expected = []
        for row, column in WINDOWS[model.card.windows]:
            top, left = int(row * margin), int(column * margin)
            window = scaled[
                :, :, top : top + spec.input_size, left : left + spec.input_size
            ].contiguous()
            with torch.inference_mode():
                activation = built.forward_to(window, layer)
            if activation.ndim == 4:
                flat = activation.flatten(2)
                activation = flat.amax(2) if pooling == "max" else flat.mean(2)
            expected.append(activation)
        assert torch.allclose(found, torch.stack(expected).mean(0), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("network", NETWORKS)
def test_locked_scale_is_used(tmp_path, network):
    model = load_model(write_model(tmp_path, network)[0])
    images = crops(model.card)
    altered = images.clone()
    altered[..., :8, :8] *= 10
    assert torch.equal(model(images), model(images, reference=images.clone()))
    assert not torch.allclose(model(altered), model(altered, reference=images))


def test_deeploc_averages_five_windows(tmp_path):
    path, _ = write_model(tmp_path, "deeploc")
    five = load_model(path)
    assert five.card.windows == "five"
    assert five.card.size == 64
    edit(path, '"five"', '"centre"')
    centre = load_model(path)
    images = crops(five.card)
    assert not torch.allclose(five(images), centre(images))
    # Only the outermost two pixels lie outside the centre window; its scale is locked here.
    changed = images.clone()
    changed[..., :2, :] = 0
    assert torch.equal(centre(images), centre(changed, reference=images))
    assert not torch.equal(five(images), five(changed, reference=images))


@pytest.mark.parametrize("network", NETWORKS)
def test_float16_weights_are_loaded_as_float32(tmp_path, network):
    path, _ = write_model(tmp_path, network, dtype="float16")
    card = load_card(path)
    stored = load_file(tmp_path / card.weights).values()
    assert {t.dtype for t in stored} == {torch.float16}
    tensors = read_weights(tmp_path / card.weights)
    assert {t.dtype for t in tensors.values()} == {torch.float32}
    embedded = load_model(path)(crops(card))
    path, _ = write_model(tmp_path, network)
    full = load_model(path)(crops(card))
    assert torch.allclose(embedded, full, atol=0.02 * float(full.abs().max()))


@pytest.mark.parametrize("network", NETWORKS)
def test_weights_that_are_all_zero_are_refused(tmp_path, network):
    path, built = write_model(tmp_path, network)
    zeros = {name: torch.zeros_like(value) for name, value in weights_of(built).items()}
    digest = write_weights(tmp_path / f"{network}.safetensors", zeros)
    path.write_text(re.sub(r'sha256 = "\w+"', f'sha256 = "{digest}"', path.read_text("utf-8")))
    with pytest.raises(InputError, match=rf"'{network}' gives the same numbers for any crop"):
        load_model(path)


def test_values_beyond_float16_stay_float32(tmp_path):
    big = {"big": torch.tensor([1e6]), "small": torch.tensor([0.5])}
    write_weights(tmp_path / "w.safetensors", big, "float16")
    assert torch.equal(read_weights(tmp_path / "w.safetensors")["big"], big["big"])
    with pytest.raises(UsageError, match="dtype"):
        write_weights(tmp_path / "w.safetensors", big, "bfloat16")


def test_hash_tells_models_apart(pifia):
    card = load_card(pifia)
    model = load_model(card, folder=pifia.parent)
    assert model.hash == card.hash
    assert len(card.hash) == 64
    assert model.name == "pifia"
    assert replace(card, notes="other", name="other").hash == card.hash
    for change in (
        {"layer": "d2"},
        {"pooling": "mean"},
        {"scaling": "deeploc"},
        {"sha256": "0" * 64},
        {"channels": ("Cit",)},
    ):
        assert replace(card, **change).hash != card.hash


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('source = "pifia"', 'source = "pifla"', r"Unknown source of a model 'pifla'.*'pifia'"),
        ('source = "pifia"', "source = 3", "source = 3 is not a name"),
        ('source = "pifia"', 'source = "timm"', "says nothing of its name"),
        ('source = "pifia"', 'network = "pifia"\nsource = "pifia"', "both source and network"),
        ('layer = "conv8"', 'layer = "conv8"\ninputs = 3', "inputs = 3 is not allowed"),
        ('layer = "conv8"', 'layer = "conv8"\nchannel_use = "each_joined"', "so PIFiA was"),
        ('layer = "conv8"', 'layer = "conv8"\nmean = [1.0, 2.0]', "1 numbers, one for each"),
        ('layer = "conv8"', 'layer = "conv8"\ndeviation = [0.0]', "deviation = .* is not allowed"),
        ('layer = "conv8"', 'layer = "conv8"\nvalue_range = [0, 1]', "pifia does not use it"),
        ('layer = "conv8"', 'layer = "conv8"\npixel_size = -1', "micrometres a pixel"),
        ('layer = "conv8"', 'layer = "conv9"', r"Unknown embedding layer of pifia 'conv9'"),
        ('pooling = "max"', 'pooling = "median"', r"Unknown pooling 'median'.*max, mean"),
        ('scaling = "pifia"', 'scaling = "nine"', "Unknown scaling 'nine'"),
        ('scaling = "pifia"', 'scaling = "range"', "value_range = .* two numbers"),
        ('scaling = "pifia"', 'scaling = "percentiles"\npercentiles = [9, 1]', "the lower first"),
        ('windows = "centre"', 'windows = "nine"', "Unknown window arrangement 'nine'"),
        ('windows = "centre"', 'windows = "five"', "size = 64 is not allowed"),
        ("size = 64", "size = 32", "size = 32 is not allowed"),
        ("size = 64", 'size = "64"', "size = '64' is not a whole number"),
        ("size = 64", "size = true", "size = True is not a whole number"),
        ("width = 0.05", "width = 0", "width = 0 is not allowed"),
        ("width = 0.05", "widht = 0.05", r"unknown entry 'widht'. Did you mean 'width'"),
        ("simulated = true", "simulated = 1", "simulated = 1 is not true or false"),
        ('simulated = true\n', "", "missing simulated"),
        ('channels = ["GFP"]', 'channels = ["GFP", "RFP"]', "1 different name"),
        ('channels = ["GFP"]', 'channels = [1]', "not a list of names"),
        ('classes = ["a", "b", "c"]', "classes = []", "classes = .* is not allowed"),
        ('classes = ["a", "b", "c"]', 'classes = ["a", "a"]', "different names, one per output"),
        ('"pifia.safetensors"', '"../pifia.safetensors"', "beside the card"),
        ('"pifia.safetensors"', '"pifia.pt"', "beside the card"),
        ('name = "pifia"', 'name = "../up"', "plain name"),
        ("size = 64", "size = = 64", "is not TOML"),
    ],
)  # fmt: skip
def test_wrong_cards_are_refused_by_name(pifia, old, new, message):
    edit(pifia, old, new)
    with pytest.raises(InputError, match=message) as error:
        load_card(pifia)
    assert str(pifia) in str(error.value)


def test_missing_files_are_named(pifia, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.toml cannot be read"):
        load_card(tmp_path / "nowhere.toml")
    (tmp_path / "pifia.safetensors").unlink()
    with pytest.raises(InputError, match=r"pifia\.safetensors are missing"):
        load_model(pifia)
    with pytest.raises(UsageError, match="not known"):
        load_model(load_card(pifia))


def test_other_weights_are_refused(pifia, tmp_path):
    path = tmp_path / "pifia.safetensors"
    tensors = read_weights(path)
    tensors["d3.bias"] += 1
    digest = write_weights(path, tensors)
    with pytest.raises(InputError, match=f"sha256 is {digest}"):
        load_model(pifia)
    path.write_bytes(b"\x80\x04pickled")
    with pytest.raises(InputError, match="is not the file that the card"):
        load_model(pifia)
    save_card(replace(load_card(pifia), sha256=sha256(path)), pifia)
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        load_model(pifia)


def test_an_old_card_that_says_network_is_read(pifia):
    card = load_card(pifia)
    edit(pifia, 'source = "pifia"', 'network = "pifia"')
    assert load_card(pifia) == card


def test_a_card_of_several_layers_is_a_model_for_each(pifia):
    edit(pifia, 'layer = "conv8"', 'layers = ["conv8", "d2"]')
    conv8, d2 = resolve_models([pifia])
    assert [conv8.name, d2.name] == ["pifia.conv8", "pifia.d2"]
    assert load_model(conv8).dimension == 13
    assert load_model(d2).dimension == 3
    assert conv8.card.hash != d2.card.hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("d2.bias"), "missing d2.bias"),
        (lambda t: t.update(stray=torch.zeros(1)), "no place for stray"),
        (lambda t: t.update({"d2.bias": torch.zeros(50)}), r"d2\.bias is 50, not 3"),
        (
            lambda t: t.update({"d2.bias": torch.zeros(3, dtype=torch.int64)}),
            "d2.bias is torch.int",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(pifia, tmp_path, change, message):
    path = tmp_path / "pifia.safetensors"
    tensors = read_weights(path)
    change(tensors)
    save_file(tensors, path)
    old = load_card(pifia)
    save_card(replace(old, sha256=sha256(path)), pifia)
    with pytest.raises(InputError, match=message):
        load_model(pifia)


def test_channels_are_selected_in_the_cards_order(tmp_path):
    card = load_card(write_model(tmp_path, "deeploc")[0])
    assert select_channels(card, ["RFP", "DAPI", "GFP"]) == [2, 0]
    with pytest.raises(UsageError, match=r"'RFP', which the store lacks: it has GFP, DAPI"):
        select_channels(card, ["GFP", "DAPI"])


def test_images_of_another_shape_are_refused(pifia):
    model = load_model(pifia)
    for shape in [(2, 2, 64, 64), (2, 1, 60, 60), (1, 64, 64)]:
        with pytest.raises(UsageError, match="reads crops of 1×64×64"):
            model(torch.zeros(shape))


def test_names_and_paths_resolve(pifia, tmp_path, monkeypatch):
    monkeypatch.setattr("compute.models.card_files.WEIGHTS", tmp_path)
    assert builtin_cards() == {"pifia": pifia}
    [found] = resolve_models(["pifia"])
    assert found.card == load_card(pifia)
    assert found.weights == tmp_path / "pifia.safetensors"
    assert resolve_models([str(pifia)]) == resolve_models([pifia]) == resolve_models([found])
    assert resolve_models([found]) == [found]
    [trusted] = resolve_models(["pifia"], trusted=True)
    assert (trusted.trusted, found.trusted) == (True, False)
    with pytest.raises(UsageError, match=r"Unknown model 'pifa'. Did you mean 'pifia'"):
        resolve_models(["pifa"])
    with pytest.raises(UsageError, match="Two models are named 'pifia'"):
        resolve_models(["pifia", str(pifia)])


def test_empty_batches_give_empty_embeddings(pifia):
    model = load_model(pifia)
    assert isinstance(model, Embedder)
    assert model(torch.zeros(0, 1, 64, 64)).shape == (0, model.dimension)


@pytest.mark.parametrize("name", builtin_cards() or [None])
def test_shipped_models_load(name):
    if name is None:
        pytest.skip("no weights are shipped in data/weights yet")
    model = load_model(builtin_cards()[name])
    assert model.name == name
    found = model(crops(model.card))
    assert torch.isfinite(found).all()
    assert found.std(dim=0).max() > 0


def test_cards_are_read_without_torch():
    code = "import compute.models.card, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_field_is_written():
    assert {f.name for f in fields(ModelCard)} >= {"sha256", "license", "created_by", "windows"}


# Precision


def test_scaling_then_the_network_is_the_whole_model(tmp_path):
    for network in NETWORKS:
        model = load_model(write_model(tmp_path, network)[0])
        images, other = crops(model.card), crops(model.card).flip(0)
        for reference in (None, other):
            scaled = model.scale(images, reference)
            assert torch.equal(model.forward(scaled), model(images, reference))


@pytest.mark.parametrize("network", list(NETWORKS))
def test_rounding_is_the_largest_relative_distance_from_float64(tmp_path, network):
    path, built = write_model(tmp_path, network)
    model = load_model(path)
    images = crops(model.card)
    with torch.inference_mode():
        exact = Embedder(model.card, built.double())
        best = exact.forward(model.scale(images).double())
        found = model(images, None, "bfloat16").double()
    expected = max(float((a - b).norm() / b.norm()) for a, b in zip(found, best, strict=True))
    assert model.rounding(images, "bfloat16") == pytest.approx(expected, rel=1e-3)
    assert model.rounding(images, "float32") < 1e-5 < expected < 0.1
    assert model(images).dtype == model(images, None, "bfloat16").dtype == torch.float32


def test_an_unknown_precision_lists_the_allowed_ones(tmp_path):
    model = load_model(write_model(tmp_path, "pifia")[0])
    with pytest.raises(UsageError, match=r"'float16'.*float32, bfloat16"):
        model(crops(model.card), None, "float16")
