"""Published weights: TensorFlow's own forward pass is met; what does not fit is named."""

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from compute.errors import InputError, UsageError
from compute.models.card_files import load_card
from compute.models.embedder import load_model
from compute.models.networks import NETWORKS
from compute.models.published.convert import convert
from compute.models.published.tensorflow_files import TABLE_END, read_checkpoint, tensorflow_files
from compute.models.published.weight_maps import LAYOUTS, from_published
from compute.models.weights import load_weights, read_weights, weights_of

TOLERANCE = 1e-4
"""Largest error over an output's largest magnitude that counts as rounding."""

INPUTS = ("input", "target_marker")
WIDTH, CLASSES = 0.1, 7
CHECKPOINTS = {"pifia": "pifia-1", "paired_cell": "paired_cell.h5", "deeploc": "model.ckpt-5000"}

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow is not installed (pip install 'bystander[convert]')",
)


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, **options,
    )  # fmt: skip


def bystander(*arguments):
    return python("-c", "from compute.cli.main import main; main()", *arguments)


@pytest.fixture(scope="session", params=LAYOUTS)
def written(request, tmp_path_factory):
    """A checkpoint by TensorFlow, and what it computes."""
    name = request.param
    folder = tmp_path_factory.mktemp(f"tensorflow-{name}")
    script = Path(__file__).with_name("tensorflow_networks.py")
    done = python(script, name, WIDTH, CLASSES, folder)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        return name, folder, dict(file)


def worst_errors(path, expected):
    """Largest error of each output, as share of its largest magnitude."""
    card = load_card(path)
    network = NETWORKS[card.source].build(card.width, len(card.classes)).eval()
    load_weights(network, read_weights(path.parent / card.weights), card.name)
    tensors = {
        key: torch.from_numpy(expected[key]).permute(0, 3, 1, 2)
        for key in INPUTS
        if key in expected
    }
    wanted = [key for key in expected if key not in INPUTS]
    with torch.inference_mode():
        found = network.features(tensors["input"], wanted, tensors.get("target_marker"))
    errors = {}
    for key in wanted:
        values = found[key].permute(0, 2, 3, 1) if found[key].ndim == 4 else found[key]
        assert values.shape == expected[key].shape
        errors[key] = np.abs(values.numpy() - expected[key]).max() / np.abs(expected[key]).max()
    return errors


@pytest.mark.long
@needs_tensorflow
def test_features_equal_those_of_tensorflow(written, tmp_path):
    name, folder, expected = written
    done = bystander("convert", name, folder / CHECKPOINTS[name], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "at width 0.1" in done.stdout
    assert ("Ignored" in done.stdout) == (name != "paired_cell")
    card = load_card(tmp_path / f"{name}.toml")
    assert len(card.classes) == (0 if name == "paired_cell" else CLASSES)
    spec = NETWORKS[card.source]
    units = spec.layers[card.layer].dimension(card.width)
    assert load_model(tmp_path / f"{name}.toml").dimension == units
    errors = worst_errors(tmp_path / f"{name}.toml", expected)
    print(name, {key: f"{error:.1e}" for key, error in errors.items()})
    assert len(errors) >= 6
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.long
@needs_tensorflow
@pytest.mark.parametrize("written", ["deeploc"], indirect=True)
def test_the_older_format_of_one_file_gives_the_same(written, tmp_path):
    _, folder, expected = written
    done = bystander("convert", "deeploc", folder / "old-5000", tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(worst_errors(tmp_path / "deeploc.toml", expected).values()) < TOLERANCE


@pytest.mark.long
@needs_tensorflow
@pytest.mark.parametrize("written", ["pifia"], indirect=True)
def test_a_damaged_data_file_is_named(written, tmp_path):
    _, folder, _ = written
    for file in folder.glob("pifia-1.*"):
        shutil.copy(file, tmp_path)
    data = tmp_path / "pifia-1.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:20_000])
    done = bystander("convert", "pifia", tmp_path / "pifia-1", tmp_path / "out")
    assert done.returncode == 1
    assert str(tmp_path / "pifia-1.index") in done.stderr
    assert "cut off or damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.long
@needs_tensorflow
@pytest.mark.parametrize("written", ["pifia"], indirect=True)
def test_another_architecture_is_refused(written, tmp_path):
    _, folder, _ = written
    done = bystander("convert", "deeploc", folder / "pifia-1", tmp_path / "out")
    assert done.returncode == 1
    assert "missing conv_1/weights/Variable" in done.stderr
    assert not (tmp_path / "out").exists()


def variables_of(name, width, classes, seed=0):
    """Random variables under their published names, in the published layout."""
    tensors = weights_of(NETWORKS[name].build(width, classes))
    rng = np.random.default_rng(seed)
    return {
        move.source: rng.random(move.shape(tuple(tensors[move.target].shape)), np.float32)
        for move in LAYOUTS[name].moves
    }


def write_keras(path, variables, below=""):
    """Lay variables out as Keras does: `layer/variable` in a group named by the layer."""
    with h5py.File(path, "w") as file:
        group = file.require_group(below) if below else file
        group.attrs["layer_names"] = sorted({key.split("/")[0].encode() for key in variables})
        for key, array in variables.items():
            group[f"{key.split('/')[0]}/{key}"] = array
        if below:
            file["optimizer_weights/Adam/iterations:0"] = np.zeros(())
    return path


@pytest.fixture
def keras_file(tmp_path):
    return write_keras(tmp_path / "weights.h5", variables_of("paired_cell", 0.05, 0))


@pytest.mark.parametrize("below", ["", "model_weights"])
def test_keras_weights_convert_without_tensorflow(tmp_path, below):
    variables = variables_of("paired_cell", 0.05, 0)
    file = write_keras(tmp_path / "weights.h5", variables, below)
    said = []
    path = convert("paired_cell", file, tmp_path / "out", license="GPL-2.0", say=said.append)
    card = load_card(path)
    assert (card.width, card.classes, card.license) == (0.05, (), "GPL-2.0")
    assert "weights.h5 (sha256 " in card.notes
    found = read_weights(path.parent / card.weights)
    for key, tensor in from_published("paired_cell", variables).tensors.items():
        assert torch.equal(found[key], tensor)
    assert said[0] == "Paired Cell Inpainting at width 0.05: 60 variables"
    assert said[1:] == (["Ignored, as they are no weights (1): optimizer_weights"] if below else [])
    assert load_model(path)(torch.rand(2, 2, 64, 64)).shape == (2, load_model(path).dimension)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("width", [0.02, 0.1, 0.3, 1 / 3, 0.5, 1.0])
def test_widths_that_round_unevenly_are_found(name, width):
    converted = from_published(name, variables_of(name, width, 3 if NETWORKS[name].classes else 0))
    network = NETWORKS[name].build(converted.width, converted.classes)
    load_weights(network, converted.tensors, name)
    assert converted.width == pytest.approx(width, rel=0.05)


def test_class_names_are_read_or_numbered(tmp_path, monkeypatch):
    variables = variables_of("deeploc", 0.05, 3)
    read = read_checkpoint(
        "keras", write_keras(tmp_path / "any.h5", variables_of("paired_cell", 0.05, 0))
    )
    altered = replace(read, variables=variables)
    monkeypatch.setattr("compute.models.published.convert.read_checkpoint", lambda *_: altered)
    assert load_card(convert("deeploc", "x", tmp_path / "a")).classes == (
        "class 1",
        "class 2",
        "class 3",
    )
    names = tmp_path / "names.txt"
    names.write_text("actin\nER\n\nnucleus\n")
    card = load_card(convert("deeploc", "x", tmp_path / "b", classes=names))
    assert card.classes == ("actin", "ER", "nucleus")
    for text, named in (("actin\nER\n", "2 names"), ("a\nb\na\n", "names a twice")):
        names.write_text(text)
        with pytest.raises(InputError, match=named):
            convert("deeploc", "x", tmp_path / "c", classes=names)
    with pytest.raises(InputError, match="cannot be read"):
        convert("deeploc", "x", tmp_path / "c", classes=tmp_path / "none.txt")
    with pytest.raises(InputError, match="name = 'a/b'"):
        convert("deeploc", "x", tmp_path / "c", name="a/b")
    assert not (tmp_path / "c").exists()


def test_a_network_without_classes_takes_no_names(keras_file, tmp_path):
    with pytest.raises(UsageError, match="has no classes"):
        convert("paired_cell", keras_file, tmp_path / "out", classes=tmp_path / "names.txt")


def test_a_card_that_is_there_stays_unless_told(keras_file, tmp_path):
    convert("paired_cell", keras_file, tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        convert("paired_cell", keras_file, tmp_path)
    convert("paired_cell", keras_file, tmp_path, overwrite=True)


def test_a_missing_shard_is_named_before_tensorflow_is_needed(shared, tmp_path):
    folder = shared / "published_checkpoints"
    for given in (
        "pifia_weights_i0",
        "pifia_weights_i0.index",
        "pifia_weights_i0.data-00000-of-00002",
    ):
        with pytest.raises(InputError) as error:
            convert("pifia", folder / given, tmp_path / "out")
        assert str(folder / "pifia_weights_i0.data-00001-of-00002") in str(error.value)
        assert "has 2 data files" in str(error.value)
    assert not (tmp_path / "out").exists()


SHARD = "model.data-00000-of-00001"


def tables(folder, *names, index=True):
    """Files that look like a TensorFlow checkpoint from outside."""
    for name in names:
        (folder / name).write_bytes(b"data")
    if index:
        (folder / "model.index").write_bytes(b"entries" + TABLE_END)
    return folder


def test_shards_are_told_by_their_names(tmp_path):
    whole = [f"model.data-{i:05d}-of-00003" for i in range(3)]
    tables(tmp_path, *whole, "model.data-00000-of-00009", "model-2.data-00000-of-00001")
    for given in (tmp_path, tmp_path / "model", tmp_path / "model.index", tmp_path / whole[1]):
        prefix, files = tensorflow_files(given)
        assert prefix == tmp_path / "model"
        assert [file.name for file in files] == ["model.index", *whole]
    (tmp_path / whole[0]).unlink()
    (tmp_path / whole[2]).unlink()
    with pytest.raises(InputError, match=f"Missing .*{whole[0]}, .*{whole[2]}: .* 3 data files"):
        tensorflow_files(tmp_path)


@pytest.mark.parametrize(
    ("make", "given", "named"),
    [
        (lambda f: tables(f), "model", "00000-of-… is missing"),
        (lambda f: tables(f, SHARD, index=False), "model", "model.index is missing"),
        (lambda f: None, "model", "There is no TensorFlow checkpoint"),
        (lambda f: None, ".", "holds 0 checkpoints"),
        (lambda f: tables(f, "other.index"), ".", "holds 2 checkpoints"),
        (lambda f: (f / "model.index").write_bytes(TABLE_END[:-1]), "model", "cut off"),
        (lambda f: (f / "model.index").write_bytes(b""), "model", "cut off"),
        (lambda f: (f / "model.pkl").write_bytes(b"cos"), "model.pkl", "Such files can run"),
        (lambda f: (f / "model").write_bytes(b"\x80\x04K\x01."), "model", "a pickle"),
        (lambda f: np.savez(f / "model.npz", a=1), "model.npz", "a zip archive, such as .npz"),
        (lambda f: write_keras(f / "model.h5", {"a/b": 1}), "model.h5", "HDF5, as Keras"),
    ],
)
def test_what_is_no_tensorflow_checkpoint_is_refused(tmp_path, make, given, named):
    make(tmp_path)
    with pytest.raises(InputError) as error:
        read_checkpoint("tensorflow", tmp_path / given)
    assert named in str(error.value)


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def no_layers(path):
    with h5py.File(path, "w") as file:
        file["a"] = np.zeros(2)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (truncated, "cut off or damaged"),
        (no_layers, "it has no list of layers (attribute layer_names); it holds a"),
        (lambda p: p.write_bytes(b"\x80\x04K\x01."), "a pickle"),
        (lambda p: p.write_bytes(b"PK\x03\x04"), "a zip archive"),
        (lambda p: p.write_bytes(b"hello"), "no HDF5 file"),
        (lambda p: p.unlink(), "There is no file"),
        (lambda p: write_keras(p, {"d/k:0": np.zeros(2)}), "missing conv1_1/kernel:0"),
    ],
)
def test_what_are_no_keras_weights_is_refused(keras_file, tmp_path, change, named):
    change(keras_file)
    with pytest.raises(InputError) as error:
        convert("paired_cell", keras_file, tmp_path / "out")
    assert named in str(error.value)
    assert not (tmp_path / "out").exists()


def foreign_virtual(group, name, other):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(other, "a", shape=(3,))
    group.create_virtual_dataset(name, layout)


@pytest.mark.parametrize(
    "add",
    [
        lambda group, name, other: group.update({name: h5py.ExternalLink(other, "a")}),
        lambda group, name, other: group.update({name: h5py.SoftLink("/y_gfp/y_gfp/kernel:0")}),
        foreign_virtual,
        lambda group, name, other: group.create_dataset(
            name, (3,), "f8", external=[(other, 0, 24)]
        ),
        lambda group, name, other: group.create_dataset(name, (10**13,), "u1", chunks=(1000,)),
        lambda group, name, other: group.create_dataset(name, (10**9,), "u1", chunks=(1000,)),
    ],
    ids=["external link", "soft link", "virtual", "external", "10 TB", "more than is stored"],
)
@pytest.mark.parametrize("below", ["", "model_weights"])
def test_a_keras_file_that_does_not_hold_what_it_says_is_refused(tmp_path, add, below):
    other = str(tmp_path / "secret.h5")
    with h5py.File(other, "w") as file:
        file["a"] = np.zeros(3)
    path = write_keras(tmp_path / "weights.h5", variables_of("paired_cell", 0.05, 0), below)
    with h5py.File(path, "a") as file:
        add(file[f"{below}/y_gfp"], "extra:0", other)
    with pytest.raises(InputError, match=r"y_gfp/extra:0 (leads|does not hold|claims)"):
        read_checkpoint("keras", path)


def test_a_keras_model_that_lies_behind_a_link_is_refused(tmp_path):
    write_keras(tmp_path / "other.h5", variables_of("paired_cell", 0.05, 0))
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
    with pytest.raises(InputError, match="model_weights"):
        read_checkpoint("keras", tmp_path / "weights.h5")


def test_missing_left_over_and_misshapen_variables_are_named(keras_file, tmp_path):
    with h5py.File(keras_file, "a") as file:
        del file["conv6_1/conv6_1/bias:0"]
        file["conv99/conv99/kernel:0"] = np.zeros((3, 3))
    with pytest.raises(InputError) as error:
        convert("paired_cell", keras_file, tmp_path / "out")
    assert "missing conv6_1/bias:0; no place for conv99/kernel:0" in str(error.value)
    with h5py.File(keras_file, "a") as file:
        del file["conv99"]
        file["conv6_1/conv6_1/bias:0"] = np.zeros(99, np.float32)
    with pytest.raises(InputError, match=r"at width 0.05.*conv6_1/bias:0 is 99, not 13"):
        convert("paired_cell", keras_file, tmp_path / "out")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(keras_file, tmp_path, value):
    with h5py.File(keras_file, "a") as file:
        file["conv3_1/conv3_1/bias:0"][1] = value
    with pytest.raises(InputError, match="conv3_1/bias:0 holds values that are no finite numbers"):
        convert("paired_cell", keras_file, tmp_path / "out")


def test_without_tensorflow_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    tables(tmp_path, "model.data-00000-of-00001")
    with pytest.raises(UsageError, match=r"bystander\[convert\]"):
        convert("pifia", tmp_path / "model", tmp_path / "out")


def test_the_command_line_converts_and_refuses(keras_file, tmp_path):
    done = bystander("convert", "paired_cell", keras_file, tmp_path / "out", "--name", "pci")
    assert done.returncode == 0, done.stderr
    assert load_card(tmp_path / "out" / "pci.toml").created_by.startswith("bystander convert")
    assert bystander("convert", "paired_sell", keras_file, tmp_path).returncode == 2
    done = bystander("convert", "pifia", keras_file, tmp_path)
    assert done.returncode == 1
    assert "is HDF5, as Keras writes it" in done.stderr
