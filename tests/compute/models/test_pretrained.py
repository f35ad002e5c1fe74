"""A pretrained network gives the same embeddings by six ways, and stands on Compare by each."""

import shutil

import numpy as np
import pandas as pd
import pytest

from compute.backgrounds.config import PlanConfig
from compute.embedding.config import EmbedConfig
from compute.importers.paired_cell import import_paired_cell
from compute.runs.config import RunConfig
from compute.statistics.config import BootstrapConfig
from compute.store.reader import CropStore
from tests.compute.models.pretrained import WAYS, apart, run_six_ways, write_cards

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("torchvision")]

SIDE = 64
CONFIG = RunConfig(
    plan=PlanConfig(("unaltered", "same", "different"), backgrounds=2, folds=2, seed=5, repeats=1),
    embed=EmbedConfig(second_readings=False),
    bootstrap=BootstrapConfig(draws=100, exchanges=0),
    probes=(),
    examples=0,
)


@pytest.fixture(scope="module")
def cards(torchvision, tmp_path_factory):
    return write_cards(tmp_path_factory.mktemp("lite"), SIDE, ["GFP", "RFP"])


@pytest.fixture(scope="module")
def run(store, cards, tmp_path_factory):
    """A run of all six ways; the table is what the network of timm answers to exported crops."""
    return run_six_ways(store, cards, tmp_path_factory.mktemp("six"), CONFIG)


def test_six_ways_give_the_same_embeddings(run):
    largest = apart(run)
    assert max(largest.values()) <= 1e-4, largest


def test_each_has_a_row_on_compare(run):
    from dashboard import compare

    table = compare([run.path]).table
    assert set(table["model"]) == set(WAYS)
    assert len(table) == len(WAYS)
    for column in ("accuracy", "drop", "gap"):
        assert np.ptp(table[column]) <= 0.02  # answers at a boundary may go either way


REAL = {"AAC1": "mitochondrion", "AAC3": "mitochondrion", "AAH1": "cytoplasm", "AAR2": "cytoplasm"}
"""Genes of the real crops, and where their proteins are."""

EACH = 8
"""Cells taken of each gene; docs/own-model.md has the figures of a whole split."""


def test_real_crops_by_six_ways(shared, cards, tmp_path):
    """Mechanics on real pixels: four proteins of two classes bear no finding."""
    source = shared / "paired_cell_yeast"
    if not source.is_dir():
        pytest.skip(f"the real crops are not at {source}")
    for gene in REAL:
        (tmp_path / "images" / gene).mkdir(parents=True)
        files = sorted((source / gene).glob("*_gfp.tif"))
        for file in files[:: max(1, len(files) // EACH)][:EACH]:
            for path in file.parent.glob(file.name.replace("_gfp.tif", "_*.tif")):
                shutil.copy2(path, tmp_path / "images" / gene)
    pd.DataFrame(REAL.items(), columns=["protein", "localization"]).to_csv(
        tmp_path / "table.csv", index=False
    )
    import_paired_cell(
        tmp_path / "images", tmp_path / "store", localizations=tmp_path / "table.csv"
    )
    cells = CropStore(tmp_path / "store").cells
    assert cells["protein"].value_counts().to_dict() == dict.fromkeys(REAL, EACH)
    run = run_six_ways(tmp_path / "store", cards, tmp_path, CONFIG)
    assert not run.meta["simulated"]
    largest = apart(run)
    assert max(largest.values()) <= 1e-4, largest
