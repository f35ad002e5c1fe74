"""What a card asks for is estimated before it is asked of the machine."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from compute import memory
from compute.errors import InputError
from compute.models import footprint
from compute.models.card import make_card
from compute.models.card_files import FoundModel
from compute.models.embedder import load_model
from compute.models.footprint import counted, crop_bytes, largest_step, own_network
from compute.models.networks import NETWORKS, network_spec
from compute.models.sources import built_in

CPU = torch.device("cpu")


def card_of(source, **card):
    said = {"name": "m", "trained_on": "nothing", "simulated": True, **card}
    return make_card(source, **said)


def untrained(name, **card):
    return card_of(f"untrained:{name}", channels=list(network_spec(name).channels), **card)


@pytest.fixture
def free(monkeypatch):
    """Have the machine say that this many bytes are free."""

    def say(count):
        monkeypatch.setattr(footprint, "free_memory", lambda device: count)

    return say


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("width", [0.1, 0.25])
def test_own_networks_take_what_was_estimated(name, width):
    """The naive twin: the network is built, and its layers are counted one by one."""
    card = untrained(name, width=width)
    weights, step = own_network(card, 3)
    spec = built_in(card.source)
    network = spec.build(width, int(spec.classes)).eval()
    assert weights == sum(t.numel() * t.element_size() for t in network.state_dict().values())
    largest = 0

    def look(layer, given, result):
        nonlocal largest
        largest = max(largest, 4 * (result.numel() + sum(t.numel() for t in given)))

    for layer in network.modules():
        if not list(layer.children()):
            layer.register_forward_hook(look)
    with torch.inference_mode():
        network.forward_to(torch.rand(3, card.network_inputs, card.window, card.window), card.layer)
    assert step == largest > 0


def test_a_width_of_16_is_refused_before_anything_is_built(free):
    free(8 * 10**9)
    card = untrained("deeploc", width=16)
    with pytest.raises(InputError, match=r"width = 16 in its card asks for \d+\.\d GB") as refused:
        load_model(FoundModel(card))
    assert "8.0 GB are free" in str(refused.value)
    assert "Write a smaller `width`" in str(refused.value)
    free(None)  # A machine that does not say lets everything through.
    assert load_model(FoundModel(replace(card, width=0.05))).dimension > 0


def test_nothing_is_allocated_by_the_estimate():
    """In a process of its own, whose peak shows what was held."""
    code = """
import resource
from compute.models.card import make_card
from compute.models.footprint import own_network
card = make_card("untrained:deeploc", name="m", channels=["GFP", "RFP"], width=0.1)
own_network(card, 32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
weights, step = own_network(make_card("untrained:deeploc", name="m", channels=["GFP", "RFP"],
    width=16), 32)
assert weights + step > 5e9, (weights, step)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50_000  # kB


def test_a_side_of_100_000_is_no_card():
    with pytest.raises(InputError, match=r"size = 100000 is not allowed.*4096"):
        untrained("deeploc", size=100_000)
    with pytest.raises(InputError, match="input_size = 100000 is not allowed"):
        card_of("onnx", weights="m.onnx", sha256="0" * 64, channels=["a"], scaling="min_max",
                input_size=100_000)  # fmt: skip


def test_crops_at_the_networks_side_are_counted(free):
    card = card_of(
        "onnx", weights="m.onnx", sha256="0" * 64, channels=["a", "b"], scaling="min_max", size=64,
        input_size=4096, fit="resize", channel_use="each_joined",
    )  # fmt: skip
    assert crop_bytes(card) == 4 * (2 * 2 * 64**2 + 2 * 64**2 + 2 * 3 * 4096**2)
    free(10 * 10**9)
    with pytest.raises(InputError, match=r"input_size = 4096 in its card asks for 12\.9 GB"):
        load_model(FoundModel(card))  # before the file is looked for


LONG = """
import torch

def make():
    return lambda images: images.mean((1, 2, 3))[:, None].expand(-1, 10**7)
"""


def test_an_answer_of_ten_million_numbers_is_refused_after_two_crops(tmp_path, free):
    (tmp_path / "long.py").write_text(LONG)
    card = card_of("factory:long:make", channels=["a"], scaling="min_max", size=16)
    free(50 * 10**9)
    with pytest.raises(InputError, match=r"layer = 'output'.*81\.9 GB.*10,000,000 numbers each"):
        load_model(FoundModel(card, tmp_path, trusted=True))


WIDE = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(1, 4, 1), nn.Upsample(scale_factor=8), nn.AvgPool2d(8))
"""


def test_a_foreign_module_is_measured_on_two_crops(tmp_path, free):
    (tmp_path / "wide.py").write_text(WIDE)
    card = card_of("factory:wide:make", channels=["a"], scaling="min_max", size=16)
    step = 32 * 4 * 4 * (16**2 + 128**2)  # before and after enlarging, 32 crops of 4 channels
    found = FoundModel(card, tmp_path, trusted=True)
    free(step)
    assert load_model(found).dimension == 4
    free(step - 1)
    with pytest.raises(InputError, match=r"size = 16 in its card.*the largest layer of 32 crops"):
        load_model(found)


def test_layers_are_no_longer_watched_afterwards():
    module = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    with counted(module) as layers:
        module(torch.rand(2, 3))
    module(torch.rand(2, 3))
    assert [(one.weights, one.given, one.result) for one in layers] == [
        (4 * 20, 4 * 6, 4 * 10), (0, 4 * 10, 4 * 10)
    ]  # fmt: skip
    assert largest_step(layers) == 80
    assert largest_step([]) == 0


def test_free_memory_is_what_linux_and_the_container_say(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:    500 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.free_bytes() == 512_000
    (tmp_path / "memory.max").write_text("300000\n")
    (tmp_path / "memory.current").write_text("100000\n")
    assert memory.free_bytes() == 200_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes() == 512_000
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "none")
    assert memory.free_bytes() is None or memory.free_bytes() > 10**8
