"""Python code that a card names: run only where it is trusted, from the folder that was meant."""

import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from compute.errors import ChangedError, InputError, UsageError
from compute.models.card import make_card
from compute.models.card_files import FoundModel
from compute.models.embedder import load_model
from compute.models.source_code import code_hash, module_file
from compute.models.weights import weights_of, write_weights
from compute.storage.atomic_files import sha256
from compute.storage.run_directory import begin

CODE = """
from torch import nn
from blocks import channels

class Net(nn.Sequential):
    def __init__(self, width=channels):
        super().__init__(nn.Conv2d(2, width, 3), nn.BatchNorm2d(width), nn.ReLU())

def make():
    return Net()
"""


def write(folder, code=CODE, module="model", function="make", trusted=True, **card):
    (folder / f"{module.partition('.')[0]}.py").write_text(code)
    (folder / "blocks.py").write_text("channels = 8\n")
    made = make_card(
        f"factory:{module}:{function}", name="m", trained_on="nothing", simulated=True,
        **{"channels": ["a", "b"], "size": 20, "scaling": "min_max", **card},
    )  # fmt: skip
    return FoundModel(made, folder, trusted)


def crops(n=3):
    return torch.rand((n, 2, 20, 20), generator=torch.Generator().manual_seed(1)) * 900


def net():
    return nn.Sequential(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU())


def scaled(images):
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return (images - low) / (high - low)


def test_it_answers_as_the_module_does(tmp_path):
    torch.manual_seed(5)
    own = net()
    with torch.no_grad():
        own(torch.rand(4, 2, 20, 20) * 3)  # Statistics of its own.
    own.eval()
    digest = write_weights(tmp_path / "m.safetensors", weights_of(own))
    found = write(tmp_path, weights="m.safetensors", sha256=digest)
    with torch.inference_mode():
        expected = own(scaled(crops())).mean((2, 3))
        inner = own[0](scaled(crops())).amax((2, 3))
    assert torch.allclose(load_model(found)(crops()), expected, atol=1e-5)
    other = replace(found, card=replace(found.card, layer="0", pooling="max"))
    assert torch.allclose(load_model(other)(crops()), inner, atol=1e-5)


def test_without_trust_nothing_runs(tmp_path):
    found = write(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')\n" + CODE, trusted=False)
    with pytest.raises(UsageError, match="the Python function that factory:model:make names"):
        load_model(found)
    assert not (tmp_path / "ran").exists()
    load_model(replace(found, trusted=True))
    assert (tmp_path / "ran").exists()


def test_drawn_weights_are_the_same_each_time_and_draw_nothing_from_others(tmp_path):
    found = write(tmp_path)
    state = torch.random.get_rng_state()
    first = load_model(found)(crops())
    assert torch.equal(state, torch.random.get_rng_state())
    torch.rand(7)
    assert torch.equal(load_model(found)(crops()), first)
    other = load_model(replace(found, card=replace(found.card, seed=1)))
    assert not torch.allclose(other(crops()), first)


def test_two_folders_with_modules_of_one_name_stay_apart(tmp_path):
    """The second would silently be the first where modules are left in `sys.modules`."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (write(folder) for folder in folders)
    (folders[1] / "blocks.py").write_text("channels = 5\n")
    before = list(sys.path)
    assert [load_model(found).dimension for found in (one, two, one)] == [8, 5, 8]
    assert sys.path == before
    assert not {"model", "blocks"} & set(sys.modules)
    assert not list(tmp_path.rglob("__pycache__"))


def test_code_in_the_current_folder_does_not_run(tmp_path, monkeypatch):
    here, beside = tmp_path / "here", tmp_path / "beside"
    here.mkdir()
    beside.mkdir()
    found = write(here)
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", ".")])
    with pytest.raises(InputError, match=r"import of 'model' failed with ModuleNotFoundError"):
        load_model(replace(found, folder=beside))
    assert load_model(found).dimension == 8


def test_modules_that_are_installed_are_found_but_not_hidden(tmp_path):
    found = write(tmp_path)
    card = replace(found.card, source="factory:torch.nn:Identity")
    assert load_model(replace(found, card=card)).dimension == 2
    (tmp_path / "json.py").write_text("def make(): pass\n")
    with pytest.raises(UsageError, match=r"module 'json', but another of that name is loaded"):
        load_model(replace(found, card=replace(found.card, source="factory:json:make")))


def test_objects_that_are_no_modules(tmp_path):
    code = """
class Layered:
    def forward_to(self, images, layer):
        return {"first": images, "second": images * 2}[layer]

def layered(): return Layered()
def function(): return lambda images: images.flatten(2).mean(2)
def pair(): return lambda images: (images, images)
"""
    found = write(tmp_path, code, function="layered", layer="second")
    mean = scaled(crops()).mean((2, 3))
    assert torch.allclose(load_model(found)(crops()), 2 * mean, atol=1e-6)
    card = replace(found.card, source="factory:model:function", layer="output")
    assert torch.allclose(load_model(replace(found, card=card))(crops()), mean, atol=1e-6)
    with pytest.raises(UsageError, match=r"Layer '0' cannot be had: the model is no torch"):
        load_model(replace(found, card=replace(card, layer="0")))
    with pytest.raises(InputError, match="answers with a tuple"):
        load_model(replace(found, card=replace(card, source="factory:model:pair")))
    weighted = replace(card, weights="w.safetensors", sha256="0" * 64)
    with pytest.raises(UsageError, match=r"returns no torch\.nn\.Module to give them to"):
        load_model(replace(found, card=weighted))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", r"returns nothing \(None\), not a model"),
        ("return Net(), 3", "returns a tuple, not a model"),
        ("return Net", "returns the class Net itself"),
        ("return Net().state_dict()", "returns a OrderedDict"),
        ("raise KeyError('width')", "model:make failed with KeyError: 'width'"),
        ("exit(0)", r"failed with RuntimeError: it calls exit\(0\)"),
        ("return nn.Conv2d(5, 8, 3)", r"given 2×20×20, failed with RuntimeError"),
        ("return nn.Sequential(Net(), nn.Flatten(0))", "gives an array of"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, body, said):
    found = write(tmp_path, CODE.replace("return Net()", body))
    with pytest.raises(InputError, match=said):
        load_model(found)


def test_what_the_source_and_the_module_lack_is_named(tmp_path):
    found = write(tmp_path)
    with pytest.raises(UsageError, match=r"model has no function 'build'"):
        load_model(replace(found, card=replace(found.card, source="factory:model:build")))
    for source in ("factory:model", "factory:model.py:", "factory:../model:make"):
        with pytest.raises(UsageError, match="names no Python function"):
            load_model(replace(found, card=replace(found.card, source=source)))
    (tmp_path / "model.py").write_text("import no_such_library\n")
    with pytest.raises(InputError, match=r"import of 'model' failed.*no_such_library"):
        load_model(found)
    (tmp_path / "model.py").write_text("raise SystemExit\n")
    with pytest.raises(InputError, match=r"it calls exit\(None\)"):
        load_model(found)


def test_weights_are_loaded_whole_or_not_at_all(tmp_path):
    tensors = weights_of(net())
    tensors["0.weight"] = torch.zeros(8, 3, 3, 3)
    tensors["extra"] = tensors.pop("1.bias")
    digest = write_weights(tmp_path / "m.safetensors", tensors)
    found = write(tmp_path, weights="m.safetensors", sha256=digest)
    with pytest.raises(InputError, match=r"missing 1\.bias; no place for extra; 0\.weight is 8×3"):
        load_model(found)
    with pytest.raises(InputError, match="is not the file that the card"):
        load_model(replace(found, card=replace(found.card, sha256="0" * 64)))


def test_weights_of_other_programs_may_have_counters_and_other_types(tmp_path):
    from hashlib import sha256

    from safetensors.torch import save_file

    own = net()
    path = tmp_path / "m.safetensors"
    tensors = own.state_dict()
    tensors["0.bias"] = tensors["0.bias"].bfloat16()
    save_file(tensors, path)
    digest = sha256(path.read_bytes()).hexdigest()
    found = write(tmp_path, weights="m.safetensors", sha256=digest)
    assert load_model(found).dimension == 8


def test_a_network_whose_answers_depend_on_the_batch_is_refused_by_name(tmp_path):
    code = CODE.replace("nn.BatchNorm2d(width)", "nn.BatchNorm2d(width, track_running_stats=False)")
    with pytest.raises(InputError, match=r"Model 'm' answers a crop differently when another"):
        load_model(write(tmp_path, code))
    code = CODE + "    \nNet.train = lambda self, mode=True: None\n"
    with pytest.raises(InputError, match=r"after eval\(\) itself, 0, 1, 2 is still in training"):
        load_model(write(tmp_path, code))


def test_threads_do_not_mix_what_a_module_keeps_in_itself(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    code = """
import time
from torch import nn

class Keeping(nn.Module):
    def forward(self, x):
        self.kept = x
        time.sleep(0.01)
        return self.kept.flatten(2).mean(2)

def make(): return Keeping()
"""
    model = load_model(write(tmp_path, code))
    images = [crops() + 100 * torch.rand(3, 2, 20, 20) for _ in range(12)]
    alone = [model(each) for each in images]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(model, images))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_run_knows_which_code_it_was_begun_with(tmp_path):
    model = tmp_path / "models"
    model.mkdir()
    found = write(model)
    bound = found.bound(20)
    assert bound.card.code == sha256(model / "model.py")
    assert "model" not in sys.modules  # it was read, not run
    assert load_model(bound).dimension == 8

    def header():
        return {"models": {"m": found.bound(20).card.hash}}

    with begin(tmp_path / "run", header(), {}):
        pass
    with begin(tmp_path / "run", header(), {}):
        pass
    (model / "model.py").write_text(CODE + "\n# another average\n")
    with (
        pytest.raises(ChangedError, match="begun with other settings: models"),
        begin(tmp_path / "run", header(), {}),
    ):
        pass
    with pytest.raises(InputError, match=r"the code of 'model' is [0-9a-f]{64}, the card says"):
        load_model(bound)
    # A card may say it itself.
    said = replace(found, card=replace(found.card, code=bound.card.code))
    assert said.bound(20).card.code == bound.card.code
    with pytest.raises(InputError, match="If this is the code that you trust"):
        load_model(said)
    with pytest.raises(InputError, match="code = '12' is not allowed"):
        replace(found.card, code="12")


def test_modules_in_packages_are_found_without_running_the_packages(tmp_path):
    (tmp_path / "pack" / "deep").mkdir(parents=True)
    for place in ("pack", "pack/deep"):
        (tmp_path / place / "__init__.py").write_text("raise RuntimeError('it ran')\n")
    (tmp_path / "pack" / "deep" / "net.py").write_text("x = 1\n")
    assert module_file("pack.deep.net", tmp_path) == tmp_path / "pack" / "deep" / "net.py"
    assert module_file("pack.deep", tmp_path) == tmp_path / "pack" / "deep" / "__init__.py"
    assert module_file("pack.other", tmp_path) is None
    assert module_file("pack.deep.net.further", tmp_path) is None
    assert module_file("json.decoder", tmp_path).name == "decoder.py"
    assert code_hash("sys:exit", tmp_path) == ""  # it has no file
