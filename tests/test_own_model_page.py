"""docs/own-model.md, followed from its top to its end: every card and every command as written.

Networks are drawn here and lie under the names that the page uses, in the place of what a reader
would download. What stands in a fence and is neither written, run nor excused fails the test.
"""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from compute.cli.main import app
from compute.errors import BystanderError
from compute.models.card import make_card
from compute.models.card_files import load_card
from compute.models.loaders.subcell import SubCell
from compute.models.loaders.weights_file import listing_digest
from compute.models.networks import NETWORKS
from compute.models.sources import others
from compute.models.weights import weights_of, write_weights
from compute.storage.atomic_files import sha256
from tests.screen import draw_store

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "own-model.md").read_text("utf-8")
MOST_LINES = 10
"""Lines of a card at most."""

PARTLY = {
    "source": "factory:module:function", "name": "part", "trained_on": "nothing",
    "simulated": True, "channels": ["GFP"], "scaling": "none",
}  # fmt: skip
"""The rest of a card of which the page shows a part."""

UNRUN = "not run by Bystander's tests"
"""What the page must say before a program that no test here can run."""

ARCHITECTURE = "vit_small_patch16_224"

SUBCELL = {
    "encoder.embeddings.patch_embeddings.projection.weight": (64, 2, 16, 16),
    "encoder.embeddings.position_embeddings": (1, 1601, 64),
    "encoder.encoder.layer.0.intermediate.dense.weight": (32, 64),
    "pool_model.attention_v.1.weight": (8, 64),
    "pool_model.attention.weight": (2, 8),
    "classifiers.0.0.weight": (16, 128),
    "classifiers.0.3.weight": (8, 16),
    "classifiers.0.6.weight": (31, 8),
}
"""Shapes from which SubCell is built, of a small one."""

HUBCONF = """
from torch import nn

def dino_vits16(pretrained=True):
    assert not pretrained
    return nn.Sequential(nn.Conv2d(3, 8, 7, 2), nn.ReLU(), nn.Conv2d(8, 16, 5, 2))
"""


@dataclass(frozen=True)
class Fence:
    """A fenced block of the page: its language, its text, and what stands before it."""

    language: str
    text: str
    before: str


@dataclass
class Reader:
    """Who follows the page in a folder with a store in it.

    Parameters
    ----------
    folder
        Where everything is written.
    names
        What Python blocks may use without saying where it comes from.
    ran
        Lines that were run, in order.
    """

    folder: Path
    names: dict[str, Any]
    ran: list[str] = field(default_factory=list)

    def follow(self, fence: Fence) -> None:
        """Do what a block says."""
        {"toml": self.card, "sh": self.shell, "python": self.python, "r": self.foreign}[
            fence.language
        ](fence)

    def card(self, fence: Fence) -> None:
        """Write a card, with the hash of its weights where the page has an ellipsis.

        A block without a source is a part of a card; it must do in one.
        """
        text = fence.text
        assert len(text.splitlines()) <= MOST_LINES, text
        said = tomllib.loads(text)
        if "source" not in said:
            make_card(**PARTLY, **said)
            return
        path = self.folder / f"{said['name']}.toml"
        assert not path.exists(), f"two cards are named {path.name}"
        if said.get("sha256") == "…":
            digest = self.names.pop("digest", None) or sha256(self.folder / said["weights"])
            text = text.replace('sha256 = "…"', f'sha256 = "{digest}"')
        path.write_text(text, "utf-8")
        if said.get("revision") == "…":
            refused = self.call(["models", "check", str(path), "store", "--trust"], fails=True)
            [revision] = re.findall(r'revision = "([0-9a-f]{64})"', refused)
            path.write_text(text.replace('revision = "…"', f'revision = "{revision}"'), "utf-8")
        assert load_card(path).name == said["name"]

    def shell(self, fence: Fence) -> None:
        """Run every line of a block."""
        lines = fence.text.splitlines()
        assert lines
        for line in lines:
            started, words = time.perf_counter(), line.split()
            if words[0] == "bystander":
                self.bystander(line)
            elif words[:2] == ["hf", "download"]:
                self.download(words[2:])
            else:
                done = subprocess.run(
                    ["bash", "-ec", line], cwd=self.folder, capture_output=True, text=True,
                    check=True, timeout=60,
                )  # fmt: skip
                self.names["digest"] = done.stdout.split()[0]
            self.ran.append(line)
            print(f"{time.perf_counter() - started:.1f} s: {line}")

    def bystander(self, line: str) -> None:
        """Run a verb in this process, and look at what it says or writes."""
        words = shlex.split(line)[1:]
        assert words[0] not in ("dashboard", "demo"), f"{line!r} would not end"
        said = self.call(words)
        given = dict(itertools.pairwise(words))
        if words[:2] == ["models", "check"]:
            assert "numbers each, all finite" in said, said
        if "--picture" in given:
            assert (self.folder / given["--picture"]).read_bytes().startswith(b"\x89PNG")
        if words[0] == "run":
            meta = json.loads((self.folder / given["--out"] / "run.json").read_text("utf-8"))
            expected = [
                load_card(name).name if name.endswith(".toml") else re.sub("[:#]", "-", name)
                for name in given["--models"].split(",")
            ]
            assert [model["name"] for model in meta["models"]] == expected

    def call(self, words: list[str], *, fails: bool = False) -> str:
        """Call the command line; it must succeed, or fail."""
        done = CliRunner().invoke(app, words)
        if fails:
            assert isinstance(done.exception, BystanderError), done.output
            return str(done.exception)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, f"{' '.join(words)}: {done.output}"
        return done.output

    def download(self, words: list[str]) -> None:
        """Make what `hf download` would fetch: a smaller model of that kind, with drawn weights."""
        import transformers

        repository, *files, option, folder = words
        assert (repository, option) == ("facebook/dinov2-small", "--local-dir")
        if not (self.folder / folder).exists():
            torch.manual_seed(0)
            config = transformers.Dinov2Config(
                hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=518,
                patch_size=14,
            )  # fmt: skip
            transformers.Dinov2Model(config).save_pretrained(self.folder / folder)
        assert sorted(path.name for path in (self.folder / folder).iterdir()) == sorted(files)

    def python(self, fence: Fence) -> None:
        """Run a block; one that is headed by a file's name has been written there (`prepare`)."""
        if not heading(fence):
            exec(compile(fence.text, "<own-model.md>", "exec"), self.names)

    def foreign(self, fence: Fence) -> None:
        """See to it that the page says that nobody runs this."""
        assert UNRUN in " ".join(fence.before.split()[-40:]), fence.text


def fences() -> list[Fence]:
    """Every fenced block of the page, in order."""
    found, last = [], 0
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        found.append(Fence(match[1], match[2], PAGE[last : match.start()]))
        last = match.end()
    assert PAGE.count("```") == 2 * len(found)
    return found


def write_subcell(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write what is published: an encoder with what it was trained with, and its classifier."""
    first = "classifiers.0."
    said = {k.removeprefix(first): t for k, t in tensors.items() if k.startswith(first)}
    rest = {k: t for k, t in tensors.items() if not k.startswith(first)}
    torch.save(rest | {"decoder.weight": torch.rand(3, 3)}, folder / "subcell-encoder.pth")
    torch.save(said, folder / "subcell-classifier.pth")


def heading(fence: Fence) -> str:
    """Return the file that a Python block belongs into, which its first line names."""
    match = re.match(r"# (\S+\.py)\n", fence.text)
    return match[1] if match else ""


def small(inputs: int) -> nn.Module:
    """Draw a network of two convolutions."""
    torch.manual_seed(inputs)
    return nn.Sequential(nn.Conv2d(inputs, 8, 5), nn.ReLU(), nn.Conv2d(8, 12, 5)).eval()


def narrow(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Build timm's ViT-S/16 with one narrow block: the page's would take minutes on two cores."""
    from timm.models.vision_transformer import VisionTransformer

    assert not pretrained
    known = {k: v for k, v in kwargs.items() if k in ("in_chans", "num_classes", "img_size")}
    return VisionTransformer(patch_size=16, embed_dim=24, depth=1, num_heads=2, **known)


def registered() -> dict[str, Any]:
    """Return timm's register of architectures."""
    from timm.models import _registry

    return _registry._model_entrypoints


def prepare(folder: Path) -> dict[str, Any]:
    """Make a store, and what a reader of the page has or downloads.

    Returns
    -------
    dict
        Names that the page's Python blocks use.
    """
    import timm

    draw_store(folder / "store", ("GFP", "RFP"), 64, ("a", "b"), cells=2, pixel_size=0.11, seed=4)
    for fence in fences():
        if heading(fence):
            path = folder / heading(fence)
            path.parent.mkdir(exist_ok=True)
            path.write_text(fence.text, "utf-8")
    torch.manual_seed(0)
    for name in ("mine", "vit-small"):
        module = timm.create_model(ARCHITECTURE, num_classes=3)
        write_weights(folder / f"{name}.safetensors", weights_of(module))
    subcell = SubCell({key: torch.zeros(shape) for key, shape in SUBCELL.items()})
    write_subcell(folder, weights_of(subcell))
    torch.save({"encoder.weight": torch.rand(4, 3)}, folder / "encoder.pth")
    (folder / "dino-repository").mkdir()
    (folder / "dino-repository" / "hubconf.py").write_text(HUBCONF)
    made: dict[str, Any] = {}
    exec(HUBCONF, made)
    write_weights(
        folder / "dino-vits16.safetensors", weights_of(made["dino_vits16"](pretrained=False))
    )
    exec((folder / "my_networks" / "small.py").read_text("utf-8"), made)
    write_weights(folder / "small.safetensors", weights_of(made["make"]()))
    return {
        "torch": torch,
        "model": small(2),
        "my_model": lambda crops: crops.mean((2, 3)),
    }


@pytest.fixture
def reader(torchvision, tmp_path, monkeypatch) -> Iterator[Reader]:
    for extra, package in (
        ("transformers", "transformers"), ("onnx", "onnxruntime"), ("onnx", "onnxscript"),
        ("zarr", "zarr"),
    ):  # fmt: skip
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (pip install 'bystander[{extra}]')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(registered(), ARCHITECTURE, narrow)
    # The page's own program is started as `python3`, which must have what this Python has.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return Reader(tmp_path, prepare(tmp_path))


@pytest.mark.long
def test_the_page_works_as_written(reader):
    for fence in fences():
        assert fence.language in {"sh", "toml", "python", "r"}, fence
        reader.follow(fence)
    everything = [line for f in fences() if f.language == "sh" for line in f.text.splitlines()]
    assert reader.ran == everything
    # Those in the middle of a sentence name a verb, or can be run as they stand.
    for line in sorted(set(re.findall(r"`(bystander [^`\n]+)`", PAGE)) - {"bystander run"}):
        reader.bystander(line)
    digest = listing_digest(
        reader.folder / "dinov2", [*(reader.folder / "dinov2").glob("[cm]*")]
    )  # The line of the page that hashes a folder gives what Bystander gives.
    assert load_card("dinov2-small.toml").sha256 == digest == load_card("dino.toml").sha256


def test_every_source_has_a_card_or_a_line():
    """Each source of the table at the top stands in a card or in a command of the page."""
    shown = [f.text for f in fences() if f.language in {"sh", "toml"}]
    table = PAGE.split("|---|---|---|---|\n")[1].split("\n\n")[0]
    rows = [re.findall(r"`([^`:]+)[^`]*`", row.split("|")[1]) for row in table.splitlines()]
    assert {kind for row in rows for kind in row} == {*NETWORKS, *others()}
    for kinds in rows:
        place = rf"(source = \"|[ ,])({'|'.join(map(re.escape, kinds))})\b"
        assert any(re.search(place, text) for text in shown), kinds
