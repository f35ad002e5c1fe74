"""Programs of torch.export: as exported, trusted, and never unpickled."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_networks import (
    CLASSES,
    TwoOutputs,
    found_file,
    images,
    own_shares,
    tiny_vit,
    with_own,
)
from torch import nn

from compute.errors import InputError, UsageError
from compute.models.embedder import load_model
from compute.models.loaders.exported import load, without_pickles


def save(module, example, path, batch="n", most=None, **options):
    """Export a module, with a batch of any length unless it is to be fixed."""
    examples = example if isinstance(example, tuple) else (example,)
    shapes = tuple({0: torch.export.Dim(batch, max=most)} for _ in examples) if batch else None
    program = torch.export.export(module.eval(), examples, dynamic_shapes=shapes)
    torch.export.save(program, path, **options)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A file of `TwoOutputs`, for any number of 2×16×16 images."""
    return save(TwoOutputs(), images(3), tmp_path_factory.mktemp("exported") / "two.pt2")


@pytest.fixture(scope="module")
def expected():
    with torch.inference_mode():
        return TwoOutputs()(images())


@pytest.mark.parametrize("layer", ["output", "map", "vector"])
def test_it_computes_what_was_exported(exported, expected, layer):
    model = load_model(found_file(exported, "exported", layer=layer))
    assert torch.allclose(model(images()), expected["map"].mean((2, 3)), atol=1e-5)
    assert isinstance(model.module, nn.Module)
    assert model.rounding(images(), "float32") is None


@pytest.mark.parametrize(("batch", "most"), [("n", None), ("", None), ("n", 3)])
def test_two_outputs_are_embedding_and_head_in_one_pass(tmp_path, expected, batch, most):
    path = save(TwoOutputs(), images(2), tmp_path / "m.pt2", batch, most)
    card = {"layer": "map", "head": "vector", "classes": list(CLASSES)}
    model = load_model(with_own(found_file(path, "exported", **card)))
    passes = []
    model.module.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
    both = model.with_own(images())
    assert passes == ([5] if (batch, most) == ("n", None) else [most or 2] * (2 if most else 3))
    assert torch.allclose(both[:, :6], expected["map"].mean((2, 3)), atol=1e-5)
    assert torch.allclose(both[:, 6:], own_shares(expected["vector"]), atol=1e-5)


@pytest.mark.parametrize(
    ("head", "classes", "message"),
    [
        ("map", CLASSES, r"an array of 2×6×7×7 for 2 crops, and the card names 6 classes"),
        ("vector", CLASSES[:5], r"an array of 2×6 for 2 crops, and the card names 5 classes"),
    ],
)
def test_an_output_that_is_no_head_is_refused(exported, head, classes, message):
    found = with_own(found_file(exported, "exported", head=head, classes=list(classes)))
    own = replace(found.own, head=tuple(classes), places=found.own.places[: len(classes)])
    with pytest.raises(InputError, match=message):
        load_model(replace(found, own=own))


def test_a_head_that_the_program_lacks_is_refused(exported):
    found = with_own(found_file(exported, "exported", head="klassen", classes=list(CLASSES)))
    with pytest.raises(UsageError, match=r"Unknown output of this program 'klassen'"):
        load_model(found)


def test_autocast_reaches_the_program(exported):
    model = load_model(found_file(exported, "exported"))
    exact, rounded = model(images()), model(images(), precision="bfloat16")
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, rtol=0.05, atol=0.05)


@pytest.mark.usefixtures("torchvision")
@pytest.mark.long
def test_a_transformer_of_timm(tmp_path):
    module = tiny_vit()
    path = save(module, images(3, 3, 32), tmp_path / "vit.pt2")
    model = load_model(found_file(path, "exported", 32, "abc"))
    with torch.inference_mode():
        assert torch.allclose(model(images(5, 3, 32)), module(images(5, 3, 32)), atol=1e-4)


def test_it_needs_trust(exported):
    with pytest.raises(UsageError, match=r"PyTorch makes Python code of the program in two.pt2"):
        load_model(replace(found_file(exported, "exported"), trusted=False))


def test_a_fixed_or_limited_batch_is_filled_up(tmp_path, expected):
    for batch, most in [("", None), ("n", 3), ("n", None)]:
        path = save(TwoOutputs(), images(2), tmp_path / "m.pt2", batch, most)
        model = load_model(found_file(path, "exported"))
        for n in (1, 2, 5):
            assert torch.allclose(model(images(5)[:n]), expected["vector"][:n], atol=1e-5)


def test_other_shapes_and_inputs_are_refused_before_a_run(tmp_path, exported):
    found = found_file(exported, "exported", size=32)
    with pytest.raises(InputError, match=r"two.pt2 takes images of N×2×16×16 .* gives N×2×32×32"):
        load_model(found)

    class Both(nn.Module):
        def forward(self, one, other):
            return one + other

    path = save(Both(), (images(3), images(3)), tmp_path / "m.pt2")
    with pytest.raises(InputError, match="has 2 inputs: one, other"):
        load_model(found_file(path, "exported"))
    path = save(nn.Flatten(), images(3).long(), tmp_path / "m.pt2")
    with pytest.raises(InputError, match=r"takes images of torch.int64"):
        load_model(found_file(path, "exported"))
    with pytest.raises(UsageError, match=r"Unknown output of this program 'vektor'. Did you mean"):
        load_model(found_file(exported, "exported", layer="vektor"))


def test_tuples_are_numbered(tmp_path, expected):
    class Listed(TwoOutputs):
        def forward(self, given):
            found = super().forward(given)
            return found["map"], [found["vector"], found["vector"] * 2]

    path = save(Listed(), images(3), tmp_path / "m.pt2")
    for layer, times in [("0", 1), ("1.0", 1), ("1.1", 2), ("output", 1)]:
        model = load_model(found_file(path, "exported", layer=layer))
        assert torch.allclose(model(images()), times * expected["vector"], atol=1e-4)


def test_threads_get_the_same_answers_at_once(exported):
    network = load_model(found_file(exported, "exported")).network
    given = [images(7, seed=k) for k in range(16)]
    alone = [network.forward_to(each, "map") for each in given]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: network.forward_to(each, "map"), given))
    assert all(map(torch.equal, found, alone))


class Bomb:
    """When unpickled, makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.mark,)


def rewritten(path, to, change, add=()):
    """Copy an archive with some records changed: a function from inner name and bytes to bytes."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(to, "w") as other:
        root = archive.namelist()[0].partition("/")[0]
        for name in archive.namelist():
            other.writestr(name, change(name.partition("/")[2], archive.read(name)))
        for name, content in add:
            other.writestr(f"{root}/{name}", content)
    return found_file(to, "exported")


def bomb(tmp_path):
    """What `torch.load(weights_only=False)` would unpickle, and the file that it would make."""
    buffer = io.BytesIO()
    torch.save((Bomb(tmp_path / "exploded"),), buffer)
    return buffer.getvalue(), tmp_path / "exploded"


def test_pickled_examples_are_never_loaded(tmp_path, exported, expected):
    """`deserialize_torch_artifact` of PyTorch would run what is in these."""
    pickled, exploded = bomb(tmp_path)

    def change(name, content):
        return pickled if name == "data/sample_inputs/model.pt" else content

    found = rewritten(exported, tmp_path / "m.pt2", change)
    with zipfile.ZipFile(without_pickles(tmp_path / "m.pt2", "m")) as copy:
        [examples] = [name for name in copy.namelist() if name.endswith("sample_inputs/model.pt")]
        assert copy.read(examples) == b""
    model = load_model(found)
    assert torch.allclose(model(images()), expected["vector"], atol=1e-5)
    assert not exploded.exists()


@pytest.mark.parametrize("record", ["data/weights/weight_0", "data/constants/tensor_0"])
def test_pickled_weights_are_refused(tmp_path, exported, record):
    pickled, exploded = bomb(tmp_path)
    config = record.replace("weight_0", "model_weights_config.json").replace(
        "tensor_0", "model_constants_config.json"
    )

    def change(name, content):
        if name == record:
            return pickled
        if name == config:
            said = json.loads(content)
            payload = {"path_name": record.rpartition("/")[2], "is_param": False,
                       "use_pickle": True, "tensor_meta": None}  # fmt: skip
            said["config"]["layers.0.weight"] = payload
            return json.dumps(said)
        return content

    add = [] if "weights" in record else [(record, pickled)]
    with pytest.raises(InputError, match=r"holds 'layers.0.weight', which PyTorch would unpickle"):
        load_model(rewritten(exported, tmp_path / "m.pt2", change, add))
    assert not exploded.exists()


@pytest.mark.parametrize(
    "record",
    [
        "data/weights/model.pt", "data/constants/model.pt", "data/constants/opaque_obj_0",
        "data/constants/custom_obj_0", "data/aotinductor/model/a.so", "models/other.json",
        "data/weights/../../x",
    ],
)  # fmt: skip
def test_whatever_else_an_archive_may_hold_is_refused(tmp_path, exported, record):
    add = [(record, pickle.dumps(1))]
    with pytest.raises(InputError, match=rf"holds '{record}', which PyTorch would unpickle or run"):
        load_model(rewritten(exported, tmp_path / "m.pt2", lambda _, content: content, add))


def test_files_of_its_author_do_no_harm(tmp_path, expected):
    path = save(TwoOutputs(), images(3), tmp_path / "m.pt2", extra_files={"notes.txt": "mine"})
    assert torch.allclose(
        load_model(found_file(path, "exported"))(images()), expected["vector"], atol=1e-5
    )


def test_weights_without_bytes_and_of_other_devices(tmp_path, exported):
    def change(name, content):
        if name.endswith("weights_config.json"):
            said = json.loads(content)
            said["config"]["layers.0.weight"]["tensor_meta"].update(values)
            return json.dumps(said)
        return b"" if name == "data/weights/weight_0" and "sizes" in values else content

    values = {"sizes": [{"as_int": 10**6}, {"as_int": 10**6}]}
    with pytest.raises(InputError, match=r"damaged: layers.0.weight has 1,000,000,000,000 element"):
        load_model(rewritten(exported, tmp_path / "m.pt2", change))
    values = {"device": {"type": "cuda", "index": 0}}
    with pytest.raises(InputError, match=r"was exported on 'cuda'.*Export it on the CPU"):
        load_model(rewritten(exported, tmp_path / "m.pt2", change))


def test_damaged_files(tmp_path, exported):
    path, whole = tmp_path / "m.pt2", exported.read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"m.pt2, read as a program .* failed with BadZipFile"):
            load_model(found_file(path, "exported"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "8.1")
    with pytest.raises(InputError, match=r"m.pt2 holds no program of torch.export"):
        load_model(found_file(path, "exported"))
    found = rewritten(exported, path, lambda n, c: b"{}" if n == "models/model.json" else c)
    with pytest.raises(InputError, match=r"m.pt2, loaded by PyTorch .* failed with"):
        load_model(found)
    with (
        zipfile.ZipFile(exported) as archive,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as other,
    ):
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
    with pytest.raises(InputError, match="is compressed, which PyTorch never does"):
        load_model(found_file(path, "exported"))


def test_it_moves_to_the_device_of_a_run(tmp_path):
    """Constants made while it runs too; no values are needed to see where they are."""

    class Made(nn.Module):
        def forward(self, given):
            return given.mean((2, 3)) * torch.arange(2, device=given.device)

    path = save(Made(), images(3), tmp_path / "m.pt2")
    network = load(found_file(path, "exported"), torch.device("meta"))
    assert network.forward_to(images().to("meta"), "output").device.type == "meta"
