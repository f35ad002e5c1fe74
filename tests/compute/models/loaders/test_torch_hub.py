"""Folders made for torch.hub: the code that the card knows, and weights that it names."""

import re
import subprocess
from dataclasses import replace

import pytest
import torch

from compute.errors import InputError, UsageError
from compute.models.card import make_card
from compute.models.card_files import FoundModel
from compute.models.embedder import load_model
from compute.models.loaders.torch_hub import code_digest
from compute.models.weights import weights_of, write_weights

HUBCONF = """
dependencies = ["torch"]
from parts.net import Net

def small(pretrained=True, **kwargs):
    if pretrained:
        raise RuntimeError("would fetch weights")
    return Net(4)

def wide():
    return Net(9)

def _helper(): pass
"""
NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, width):
        super().__init__(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Conv2d(width, 6, 3))
"""


def write(folder, entry="small", trusted=True, **card):
    hub = folder / "hub"
    (hub / "parts").mkdir(parents=True, exist_ok=True)
    (hub / "hubconf.py").write_text(HUBCONF)
    (hub / "parts" / "__init__.py").touch()
    (hub / "parts" / "net.py").write_text(NET)
    made = make_card(
        f"torchhub:hub#{entry}", name="m", trained_on="nothing", simulated=True,
        revision=code_digest(hub),
        **{"channels": ["a"], "size": 20, "scaling": "min_max", **card},
    )  # fmt: skip
    return FoundModel(made, folder, trusted)


def crops():
    return torch.rand((3, 1, 20, 20), generator=torch.Generator().manual_seed(1)) * 900


def test_it_is_what_torch_hub_loads(tmp_path):
    found = write(tmp_path)
    torch.manual_seed(4)
    module = torch.hub.load(str(tmp_path / "hub"), "small", source="local", pretrained=False).eval()
    digest = write_weights(tmp_path / "w.safetensors", weights_of(module))
    card = replace(found.card, weights="w.safetensors", sha256=digest)
    images = crops()
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    with torch.inference_mode():
        expected = module((images - low) / (high - low)).mean((2, 3))
    assert torch.allclose(load_model(replace(found, card=card))(images), expected, atol=1e-5)


def test_without_trust_nothing_runs(tmp_path):
    with pytest.raises(
        UsageError, match=r"runs foreign code: hubconf\.py of the folder that torch"
    ):
        load_model(write(tmp_path, trusted=False))


def test_code_that_changed_is_refused_with_its_digest(tmp_path):
    found = write(tmp_path)
    assert load_model(found).dimension == 6
    unknown = replace(found, card=replace(found.card, revision=""))
    with pytest.raises(InputError, match=r"the card says no revision") as caught:
        load_model(unknown)
    assert found.card.revision in caught.value.remedy
    (tmp_path / "hub" / "parts" / "net.py").write_text(NET + "# changed\n")
    with pytest.raises(InputError, match=rf"the card says revision = '{found.card.revision}'"):
        load_model(found)


def test_the_digest_is_that_of_the_list_that_sha256sum_prints(tmp_path):
    write(tmp_path)
    (tmp_path / "hub" / "notes.txt").write_text("no code")
    listed = subprocess.run(
        "find . -name '*.py' | sed 's|^./||' | LC_ALL=C sort | xargs sha256sum | sha256sum",
        shell=True, cwd=tmp_path / "hub", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert listed.stdout.split()[0] == code_digest(tmp_path / "hub")
    before = code_digest(tmp_path / "hub")
    (tmp_path / "hub" / "parts" / "net.py").rename(tmp_path / "hub" / "net.py")
    assert code_digest(tmp_path / "hub") != before


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("torchhub:hub", UsageError, "names no folder and entry"),
        ("torchhub:hub#", UsageError, "names no folder and entry"),
        ("torchhub:none#small", InputError, r"none has no hubconf\.py"),
        ("torchhub:hub#huge", UsageError, "hubconf has no function 'huge'"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, source, error, said):
    found = write(tmp_path)
    with pytest.raises(error, match=said):
        load_model(replace(found, card=replace(found.card, source=source)))


def test_weights_of_another_entry_are_refused(tmp_path):
    found = write(tmp_path)
    wide = load_model(write(tmp_path, "wide")).module
    digest = write_weights(tmp_path / "w.safetensors", weights_of(wide))
    card = replace(found.card, weights="w.safetensors", sha256=digest)
    with pytest.raises(InputError, match=re.escape("0.bias is 9, not 4")):
        load_model(replace(found, card=card))
