"""A pretrained network gives the same embeddings by six ways, and stands on Compare by each."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import zarr

from compute.backgrounds.config import PlanConfig
from compute.embedding.config import EmbedConfig
from compute.models.embedder import load_model
from compute.runs.config import RunConfig
from compute.runs.export_trials import export_trials
from compute.runs.import_answers import import_answers
from compute.runs.pipeline import run_store
from compute.statistics.config import BootstrapConfig
from tests.compute.models.pretrained import write_cards

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
    folder = tmp_path_factory.mktemp("six")
    crops = export_trials(store, folder / "crops", config=CONFIG)
    pixels = zarr.open_group(crops / "crops.ome.zarr", mode="r")["0"][:]
    model = load_model_for(store, cards["timm"])
    parts = [model(torch.from_numpy(pixels[n : n + 32])).numpy() for n in range(0, len(pixels), 32)]
    keys = pq.read_table(crops / "trials.parquet", columns=["key"]).to_pandas()
    keys.assign(embedding=list(np.concatenate(parts))).to_parquet(folder / "answers.parquet")
    table = import_answers(
        folder / "answers.parquet", crops, folder / "models", name="table", trained_on="ImageNet"
    )
    models = [*cards.values(), table]
    done, _ = run_store(store, folder / "run", models, CONFIG, trusted=True)
    return done


def load_model_for(store, card):
    """Load a model for the crops of a store."""
    from compute.models.readable import bind
    from compute.store.reader import CropStore

    [found], _ = bind([card], CropStore(store), trusted=True)
    return load_model(found)


def test_six_ways_give_the_same_embeddings(run):
    names = ["timm", "onnx", "exported", "factory", "command", "table"]
    largest = dict.fromkeys(names[1:], 0.0)
    for number in range(len(run.parts("trials"))):
        found = {
            name: np.stack(
                pq.read_table(run.part("embeddings", number, name)).to_pandas()["embedding"]
            )
            for name in names
        }
        assert found["timm"].shape[1] == 1280
        for name in names[1:]:
            away = np.abs(found[name] - found["timm"]).max()
            largest[name] = max(largest[name], float(away))
    assert max(largest.values()) <= 1e-4, largest


def test_each_has_a_row_on_compare(run):
    from dashboard import compare

    table = compare([run.path]).table
    names = {"timm", "onnx", "exported", "factory", "command", "table"}
    assert set(table["model"]) == names
    assert len(table) == len(names)
    for column in ("accuracy", "drop", "gap"):
        assert np.ptp(table[column]) <= 0.02  # answers at a boundary may go either way
