"""Five channels at 128 pixels and classes called like compounds, from the store to every page."""

import re

import imagecodecs
import numpy as np
import pytest

from compute.backgrounds.config import PlanConfig
from compute.models.training.train import train
from compute.runs.check_model import check_model
from compute.runs.config import RunConfig
from compute.runs.describe import check
from compute.runs.estimate import estimate
from compute.runs.run import run as run_models
from compute.statistics.config import BootstrapConfig
from dashboard.figures.accuracy import comparable
from dashboard.figures.request import Filters
from dashboard.queries import examples
from dashboard.queries.filters import CropFilter
from dashboard.render import images, strips
from dashboard.report.write import write_report
from dashboard.theme import channel_inks
from dashboard.views import PAGES
from tests.dashboard.opening import opened
from tests.dashboard.render.test_images import pictures
from tests.dashboard.views.test_pages import fine, text_of
from tests.screen import COMPOUNDS, PAINTING, draw_store
from tests.screen_network import registered

pytestmark = pytest.mark.long

CLASSES = COMPOUNDS[6:10]
ALL = {"channel": list(PAINTING)}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run of a network that reads all channels, and of one that reads windows of two."""
    folder = tmp_path_factory.mktemp("screen")
    store = draw_store(folder / "store", classes=CLASSES, cells=2)
    few = {"width": 0.02, "epochs": 1, "batch_size": 2, "device": "cpu"}
    config = RunConfig(
        plan=PlanConfig(backgrounds=3, folds=2),
        bootstrap=BootstrapConfig(200, 200, exchanges=8),
        examples=1,
    )
    with registered() as name:
        whole = train(name, store, folder / "w", **few)
        cut = train("deeploc", store, folder / "w", channels=["DNA", "Mito"], **few)
        assert "all 5 channels and whole crops of 128 × 128" in check_model(whole, store).reads
        cards = [str(whole), str(cut)]
        planned = estimate(store, cards, config, device="cpu")
        said = []
        run_models(store, folder / "run", cards, config, device="cpu", jobs=1, notice=said.append)
    reading, head = (line for line in said if "deeploc" in line)
    assert reading == f"{planned.reads[1]}."
    assert "trained on this store, which flatters its own answer" in head
    assert all("flatters" in line for line in said if "screen" in line)
    return folder / "run"


def test_the_run_is_whole_and_says_what_each_model_reads(done):
    assert check(done).complete
    reads = [model["reads"] for model in opened(done).meta["models"]]
    assert "all 5 channels" in reads[0]
    assert "5 windows of 60 × 60 pixels of crops of 128 × 128" in reads[1]


def test_crops_are_the_sum_of_their_channels_light(done):
    run = opened(done)
    asked = CropFilter("refit", tuple(run.models), ("unaltered",))
    cells = tuple(int(c) for c in examples.cells(run, asked, "gene", 1, 2)[0]["cell"])
    shown = (0, 2, 4)
    request = strips.Request(cells, ("unaltered",), tuple(run.models), "refit", shown)
    found = pictures(strips.table(run, request))
    assert [picture.shape for picture in found] == [(128, 128, 3)] * len(cells)
    table = examples.images(run, cells[:1], ("unaltered",)).iloc[0]
    twin = np.zeros((128, 128, 3))
    for channel, (ink, _) in zip(shown, channel_inks(shown), strict=True):
        plane = imagecodecs.png_decode(table["images"][channel]).astype(float)
        low, high = np.percentile(plane, [images.LOW, images.HIGH])
        colour = np.array([int(ink[i : i + 2], 16) for i in (1, 3, 5)])
        twin += np.clip((plane - low) / (high - low), 0, 1)[..., None] * colour
    assert np.abs(found[0] - twin.clip(0, 255)).max() <= 1.01
    small = strips.table(run, strips.Request(cells, ("unaltered",), (), "refit", shown, side=64))
    assert pictures(small)[0].shape == (64, 64, 3)
    assert re.search(r'width="64" height="64"', small)


def test_every_page_opens_with_all_channels(app, done):
    for page in PAGES:
        test = app(done, view=page.name, **(ALL if page.name == "crops" else {}))
        fine(test)
        if page.name == "crops":
            said = text_of(test)
            for channel, (_, colour) in zip(PAINTING, channel_inks(range(5)), strict=True):
                assert f"{channel} ({colour})" in said
            assert "light adds up" in said
        if page.name == "methods":
            assert "windows of 60" in str([item.value.to_string() for item in test.table])


def test_an_address_may_join_channels_with_a_plus(app, done):
    said = text_of(app(done, view="crops", channel="ER + Mito"))
    assert "ER (magenta)" in said
    assert "Mito (orange)" in said
    assert "DNA (" not in said


def test_the_papers_numbers_do_not_stand_beside_compounds(done, run):
    assert not comparable(Filters.usual(opened(done)))
    assert comparable(Filters.usual(run))


@pytest.mark.parametrize("ending", ["html", "pdf", "pptx"])
def test_reports_are_written(done, tmp_path, ending):
    report = write_report(done, tmp_path / f"screen.{ending}")
    assert (tmp_path / f"screen.{ending}").stat().st_size > 10_000
    assert len(report.titles) > 3
