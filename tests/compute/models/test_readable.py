"""What models can read of a store: refused together, with ways out; what is cut is said."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from compute.errors import InputError, UsageError
from compute.models.card_files import load_card
from compute.models.embedder import load_model
from compute.models.networks import NETWORKS, network_spec
from compute.models.readable import corners, require_readable, require_trainable
from compute.models.recipe import WINDOWS
from compute.models.training.train import train
from compute.runs.check_model import check_model
from compute.runs.config import RunConfig
from compute.runs.estimate import estimate
from compute.runs.pipeline import run_store
from compute.store.reader import CropStore
from tests.screen import draw_store


@pytest.fixture(scope="module")
def painting(tmp_path_factory):
    """A store of five channels and 128 pixels."""
    folder = tmp_path_factory.mktemp("painting") / "store"
    return CropStore(draw_store(folder, size=128, classes=("a", "b"), cells=2))


@pytest.fixture
def card(cards):
    return load_card(cards["deeploc"])


def test_a_model_of_the_stores_channels_and_size_is_read_whole_or_cut(card, painting):
    fits = replace(card, channels=("Mito", "DNA"), size=128)
    [reading] = require_readable([fits], painting)
    twin = np.zeros((128, 128), bool)
    for row, column in WINDOWS["five"]:
        top, left = int(row * 68), int(column * 68)
        twin[top : top + 60, left : left + 60] = True
    assert reading.share == twin.mean()
    assert reading.remarkable
    assert "Mito, DNA of 5 channels" in str(reading)
    assert f"5 windows of 60 × 60 pixels of crops of 128 × 128, {twin.mean():.0%}" in str(reading)
    central = replace(fits, windows="centre")
    assert "the central 60 × 60 pixels" in str(require_readable([central], painting)[0])


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("network", NETWORKS)
def test_windows_lie_inside_the_crop(cards, network, windows):
    side = network_spec(network).input_size
    wide = replace(load_card(cards[network]), windows=windows, size=side + 33)
    for top, left in corners(wide):
        assert 0 <= min(top, left) <= max(top, left) <= 33


def test_what_lies_in_no_window_changes_nothing(cards):
    """The share that is said is what the network really sees."""
    wide = replace(load_card(cards["pifia"]), size=100)
    model = load_model(wide, folder=cards["pifia"].parent)
    [(top, left)] = corners(wide)
    seen = torch.zeros(100, 100, dtype=torch.bool)
    seen[top : top + 64, left : left + 64] = True
    generator = torch.Generator().manual_seed(0)
    scaled = torch.rand(2, 1, 100, 100, generator=generator)
    other = torch.where(seen, scaled, torch.rand(2, 1, 100, 100, generator=generator))
    assert torch.equal(model.forward(scaled), model.forward(other))


def test_all_models_that_cannot_read_are_named_at_once(cards, card, painting):
    small = replace(card, name="small", channels=("DNA", "ER"), size=64)
    odd = replace(card, name="odd", channels=("dna", "ER"), size=128)
    fits = replace(card, name="fits", channels=("DNA", "ER"), size=128)
    with pytest.raises(UsageError) as caught:
        require_readable([load_card(cards["pifia"]), small, odd, fits], painting)
    said = caught.value.problem
    assert "3 of 4 models cannot read" in said
    assert "crops of 128 × 128 pixels in channels DNA, ER, RNA, AGP, Mito" in said
    assert "pifia needs channel GFP, which the store lacks; reads crops of 64 × 64" in said
    assert "small reads crops of 64 × 64" in said
    assert "odd needs channels dna, ER, of which the store lacks dna (dna may be its DNA)" in said
    assert "fits" not in said
    assert "size = 128" in caught.value.remedy
    assert "--channels" in caught.value.remedy


def test_crops_smaller_than_the_network_are_refused(card, tmp_path):
    tiny = CropStore(draw_store(tmp_path / "store", ("GFP", "RFP"), 32, ("a", "b"), cells=2))
    with pytest.raises(UsageError, match="needs crops of 60 × 60 pixels or more"):
        require_readable([card], tiny)


def test_crops_that_a_scaling_leaves_as_they_are_are_said(card, tmp_path):
    for dtype, expected in (("float32", True), ("uint16", False)):
        path = draw_store(tmp_path / dtype, ("GFP", "RFP"), 64, ("a", "b"), cells=2, dtype=dtype)
        [reading] = require_readable([card], CropStore(path))
        assert reading.unstretched is expected
        assert ("span 1 or less" in str(reading)) is expected
    same = replace(card, scaling="paired_cell")
    assert not require_readable([same], CropStore(path))[0].unstretched


def test_plan_run_and_check_refuse_before_anything_is_done(cards, painting, tmp_path):
    card = str(cards["deeploc"])
    for refused in (
        lambda: estimate(painting.path, [card]),
        lambda: run_store(painting.path, tmp_path / "run", [card], RunConfig()),
        lambda: check_model(card, painting.path),
    ):
        with pytest.raises(UsageError, match="1 of 1 models cannot read"):
            refused()
    assert not (tmp_path / "run").exists()


def test_a_network_is_trained_on_the_channels_that_are_named(painting, tmp_path):
    spec = network_spec("deeploc")
    with pytest.raises(UsageError, match="needs channels GFP, RFP, which the store lacks"):
        require_trainable(spec, spec.channels, painting)
    with pytest.raises(UsageError, match=r"reads 2 different channels.*1 were given"):
        require_trainable(spec, ["DNA"], painting)
    with pytest.raises(UsageError, match="Give 2 of DNA, ER"):
        require_trainable(spec, ["DNA", "DNA"], painting)
    tiny = CropStore(draw_store(tmp_path / "tiny", ("A", "B"), 32, ("a", "b"), cells=2))
    with pytest.raises(InputError, match="crops of 32 pixels"):
        require_trainable(spec, ["A", "B"], tiny)
    said = []
    path = train(
        "deeploc", painting.path, tmp_path, channels=["Mito", "ER"], epochs=1, width=0.02,
        batch_size=2, device="cpu", say=said.append,
    )  # fmt: skip
    card = load_card(path)
    assert card.channels == ("Mito", "ER")
    assert "Mito, ER of 5 channels" in said[0]
    assert "--channels Mito,ER" in card.created_by
    checked = check_model(path, painting.path)
    assert checked.cells == 8
    assert list(checked.lines())[1] == said[0].removesuffix(".")
