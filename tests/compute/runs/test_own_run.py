"""A run of a model with a head, end to end: its own answers; a resumed run has the same."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from compute.backgrounds.config import PlanConfig
from compute.embedding.config import EmbedConfig
from compute.errors import ChangedError, InputError
from compute.models.card_files import load_card, save_card
from compute.models.embedder import load_model
from compute.models.readable import bind
from compute.runs.describe import check_path
from compute.runs.pipeline import run_store
from compute.schema import LOCALIZATIONS
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore
from tests.compute.models.test_own_answer import write_deeploc
from tests.compute.runs.test_pipeline import digests

pytestmark = pytest.mark.long

HEAD = ("plasma membrane", *LOCALIZATIONS[3:], "spindle", "dead")
"""Classes of a made head: those of the store but three, one by another name, and two besides."""


@pytest.fixture(scope="module")
def settings(config):
    return replace(
        config,
        plan=PlanConfig(conditions=("unaltered", "masked"), folds=2, grid_cells=4),
        embed=EmbedConfig(batch_size=32),
        probes=(),
        examples=0,
        keep_embeddings=True,
        bootstrap=replace(config.bootstrap, exchanges=0),
    )


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    return write_deeploc(tmp_path_factory.mktemp("card"), HEAD)


@pytest.fixture(scope="module")
def run(tmp_path_factory, store, card, settings):
    said = []
    path = tmp_path_factory.mktemp("own") / "run"
    run_store(store, path, [str(card)], settings, jobs=1, notice=said.append)
    assert any("cannot answer actin, bud neck" in line for line in said), said
    return path


def table(run, name):
    return pd.read_parquet(run / f"{name}.parquet")


def test_a_run_has_own_answers_that_its_check_counts(run):
    assert list(check_path(run))[-1] == "Tables, counts and references agree."
    meta = RunDirectory(run).meta
    assert meta["protocols"] == ["refit", "frozen", "own"]
    [model] = meta["models"]
    assert model["own"]["head_classes"] == len(HEAD)
    assert model["own"]["mapped"] == 13
    assert model["own"]["classes"] == list(LOCALIZATIONS[2:])
    assert "left out: spindle, dead" in model["head"]
    assert 0 < meta["checks"]["own_left_out"]["deeploc"] < 1
    accuracy = table(run, "accuracy").query("protocol == 'own'")
    assert set(accuracy["condition"]) == {"unaltered", "masked"}
    assert not {"actin", "bud neck"} & set(accuracy["localization"].dropna())


def test_own_answers_are_those_of_the_network_asked_alone(run, store, card):
    opened = CropStore(store)
    [found], _ = bind([card], opened)
    model = load_model(found)
    rows = pq.read_table(run / "predictions/model=deeploc/part-00000.parquet", partitioning=None)
    rows = rows.to_pandas().query("protocol == 'own'").head(12)
    assert set(rows["condition"]) == {"unaltered"}
    images = torch.from_numpy(opened.arrays().images[rows["cell"].to_numpy()].astype(np.float32))
    own = model.with_own(images)[:, model.dimension : -1]
    # The network's own words, one window after the other, without the model's code.
    windows = [part for [part], _ in model.inputs(model.scale(images))]
    with torch.inference_mode():
        p = torch.stack([model.network(part).softmax(1) for part in windows])
    kept = p[..., : len(HEAD) - 2]
    expected = (kept / kept.sum(-1, keepdim=True)).mean(0)
    assert torch.allclose(own[:, 2:], expected, atol=1e-5)
    assert np.allclose(np.stack(rows["probabilities"]), own, atol=1e-5)


def test_a_resumed_run_has_the_same_bytes(run, store, card, settings, tmp_path):
    def stop(stage, done, total):
        if stage == "probe":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_store(store, tmp_path / "run", [str(card)], settings, jobs=1, progress=stop)
    parts = sorted((tmp_path / "run" / "embeddings/model=deeploc").glob("*.parquet"))
    parts[1].unlink()
    run_store(store, tmp_path / "run", [str(card)], settings, jobs=1)
    assert digests(tmp_path / "run") == digests(run)


def test_another_table_of_classes_is_another_run(run, store, card, settings, tmp_path):
    for path in card.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    made = replace(load_card(card), own_classes=(("ER", "ER"), ("Golgi", "Golgi")))
    save_card(made, tmp_path / "deeploc.toml")
    with pytest.raises(ChangedError, match=r"own\.deeploc"):
        run_store(store, run, [str(tmp_path / "deeploc.toml")], settings)
    save_card(replace(made, own_classes=(("ER", "cortex"),)), tmp_path / "deeploc.toml")
    with pytest.raises(InputError, match="stands for 'cortex', which is no class of the store"):
        run_store(store, tmp_path / "new", [str(tmp_path / "deeploc.toml")], settings)
