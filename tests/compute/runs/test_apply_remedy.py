"""A remedy in use: what the file has of every cell, against the work folder's own embeddings."""

import numpy as np
import pandas as pd
import pytest
import torch

from compute.errors import UsageError
from compute.models.card_files import find_model
from compute.models.embedder import load_model
from compute.models.recipe import pool
from compute.remedies.config import RemedyConfig
from compute.runs.apply_remedy import apply_remedy
from compute.schema import LOCALIZATIONS
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore

FEW = RemedyConfig(donors=2, backgrounds=2, strengths=(1.0,), directions=(1,))


@pytest.fixture(scope="module")
def cured(run, store, cards, tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("cured"), {}

    def write(remedy, ending=".parquet"):
        path = folder / f"{remedy}{ending}"
        if path not in made:
            # What is embedded for one remedy serves all.
            work = folder / "work"
            card = str(cards["pifia"])
            made[path] = apply_remedy(store, run, path, card, remedy, FEW, work=work, keep=True)
        return path

    return write


def stacked(frame, column):
    return np.stack(frame[column])


@pytest.mark.long
def test_without_a_remedy_the_file_has_the_runs_own_answers(cured, run):
    frame = pd.read_parquet(cured("none"))
    there = RunDirectory(run)
    predictions = there.read("predictions", "pifia").to_pandas()
    mine = predictions.query("condition == 'unaltered' and protocol == 'frozen'")
    mine = mine.set_index("cell").loc[frame["cell"]]
    assert len(frame) == predictions["cell"].nunique()
    assert frame["predicted"].tolist() == mine["predicted"].tolist()
    expected = np.stack(mine["probabilities"])
    assert np.allclose(stacked(frame, "probabilities"), expected, atol=2e-3)
    cells = there.read("cells").to_pandas().set_index("cell").loc[frame["cell"]]
    for column in ("protein", "field", "fold"):
        assert frame[column].tolist() == cells[column].tolist()


@pytest.mark.long
def test_nothing_is_left_behind(cured, run, store, cards, tmp_path):
    path, work = tmp_path / "cured.parquet", tmp_path / "work"
    card = str(cards["pifia"])
    count = apply_remedy(store, run, path, card, "none", FEW, work=work)
    assert sorted(tmp_path.iterdir()) == [path]
    assert count == len(pd.read_parquet(path))
    assert path.read_bytes() == cured("none").read_bytes()


@pytest.mark.long
def test_pooling_over_the_middle_is_that_of_the_network(cured, store, cards):
    frame = pd.read_parquet(cured("centred")).set_index("cell")
    opened, model = CropStore(store), load_model(find_model(str(cards["pifia"])))
    some = frame.index[:6]
    names = [opened.channels.index(name) for name in model.card.channels]
    crops = opened.arrays().images[some.to_numpy()][:, names].astype(np.float32)
    with torch.inference_mode():
        maps = model.network.forward_to(model.scale(torch.from_numpy(crops)), model.card.layer)
    assert np.allclose(np.stack(frame.loc[some, "embedding"]), pool(maps, "both_in_middle"),
                       atol=1e-4)  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("remedy", ["cleaned", "averaged", "centred", "balanced"])
def test_every_remedy_answers_every_cell(cured, remedy):
    frame, plain = (pd.read_parquet(cured(name)) for name in (remedy, "none"))
    assert frame["cell"].is_monotonic_increasing
    assert frame["cell"].tolist() == plain["cell"].tolist()
    probabilities = stacked(frame, "probabilities")
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert frame["predicted"].tolist() == [LOCALIZATIONS[k] for k in probabilities.argmax(1)]
    same = np.array_equal(stacked(frame, "embedding"), stacked(plain, "embedding"))
    assert same == (remedy == "balanced")


@pytest.mark.long
def test_an_anndata_file_has_the_same(cured):
    anndata = pytest.importorskip("anndata")
    frame = pd.read_parquet(cured("cleaned"))
    found = anndata.read_h5ad(cured("cleaned", ".h5ad"))
    assert np.array_equal(found.X, stacked(frame, "embedding"))
    assert np.array_equal(found.obsm["probabilities"], stacked(frame, "probabilities"))
    assert found.obs_names.tolist() == frame["cell"].astype(str).tolist()
    assert found.obs["predicted"].astype(str).tolist() == frame["predicted"].tolist()
    assert found.uns["remedy"] == "cleaned"
    assert list(found.uns["classes"]) == list(LOCALIZATIONS)


def test_what_cannot_be_written_is_refused_before_anything_is_computed(run, store, tmp_path):
    for name, remedy, said in (
        ("cured.csv", "centred", "ends in neither .parquet nor .h5ad"),
        ("cured.parquet", "centered", "centered"),
    ):
        with pytest.raises(UsageError, match=said):
            apply_remedy(store, run, tmp_path / name, "pifia", remedy)
    assert not list(tmp_path.iterdir())
