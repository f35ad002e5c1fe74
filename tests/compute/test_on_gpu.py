"""What a GPU computes is what the CPU does: composing, networks, runs, training, full memory."""

import numpy as np
import pandas as pd
import pytest
import torch

from compute.backgrounds.config import PlanConfig
from compute.backgrounds.harmonise import measure
from compute.backgrounds.plan import Plan
from compute.embedding.config import EmbedConfig
from compute.embedding.worker import ShardWorker
from compute.models.embedder import load_model
from compute.models.training.train import train
from compute.models.weights import read_weights
from compute.runs.pipeline import run_store
from compute.storage.run_directory import RunDirectory, begin
from compute.store.reader import CropStore

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

NAMES = ("pifia", "paired_cell", "deeploc")


def embedded(path, store, cards, device, config):
    """Embed a whole store on a device; return embeddings by model, and the worker."""
    opened = CropStore(store)
    plan = Plan(
        opened.cells, opened.usable, opened.windows, opened.localizations, PlanConfig(backgrounds=2)
    )
    arrays = opened.arrays()
    scales = measure("protein", opened.cells, opened.windows, arrays, 0)
    models = [load_model(cards[name], torch.device(device)) for name in NAMES]
    with begin(path, {}, {}) as run:
        worker = ShardWorker(run, opened, plan, arrays, scales, models, config)
        assert list(worker.work(worker.missing()))
        tables = {name: run.read("embeddings", name).to_pandas() for name in NAMES}
    return {
        name: np.stack(table.sort_values("trial")["embedding"]) for name, table in tables.items()
    }, worker


def away(found, expected):
    """Return the largest relative distance of an embedding from what it should be."""
    length = np.linalg.norm(expected, axis=1)
    return float((np.linalg.norm(found - expected, axis=1) / np.maximum(length, 1e-30)).max())


@pytest.fixture(scope="module")
def on_cpu(store, cards, tmp_path_factory):
    path = tmp_path_factory.mktemp("cpu") / "run"
    return embedded(path, store, cards, "cpu", EmbedConfig(second_readings=False))[0]


@pytest.mark.parametrize("paste", ["glow", "hard"])
def test_embeddings_of_composites_are_the_cpus(store, cards, tmp_path, paste):
    config = EmbedConfig(second_readings=False, paste=paste)
    here, _ = embedded(tmp_path / "cpu", store, cards, "cpu", config)
    there, _ = embedded(tmp_path / "gpu", store, cards, "cuda", config)
    for name in NAMES:
        assert away(there[name], here[name]) < 1e-3, name


@pytest.mark.parametrize(
    ("config", "most"),
    [
        (EmbedConfig(second_readings=False, precision="bfloat16"), 0.1),
        (EmbedConfig(second_readings=False, compiled=True), 1e-3),
    ],
)
def test_other_ways_to_compute_stay_near(store, cards, on_cpu, tmp_path, config, most):
    there, _ = embedded(tmp_path / "gpu", store, cards, "cuda", config)
    for name in NAMES:
        assert away(there[name], on_cpu[name]) < most, name


def test_where_memory_runs_out_batches_get_smaller(store, cards, on_cpu, tmp_path):
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    used = torch.cuda.memory_reserved()
    room = used + 200 * 2**20
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        config = EmbedConfig(second_readings=False, batch_size=4096)
        there, worker = embedded(tmp_path / "gpu", store, cards, "cuda", config)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert worker.batch_size < 4096
    for name in NAMES:
        assert away(there[name], on_cpu[name]) < 1e-3, name


def test_a_run_finds_what_it_finds_on_the_cpu(store, cards, config, tmp_path):
    tables = {}
    for device in ("cpu", "cuda"):
        path = tmp_path / device
        run_store(store, path, [str(card) for card in cards.values()], config, device=device)
        run = RunDirectory(path)
        tables[device] = run.read("accuracy").to_pandas()
        assert run.meta["checks"]
    keys = [name for name in tables["cpu"] if not pd.api.types.is_float_dtype(tables["cpu"][name])]
    assert tables["cpu"][keys].equals(tables["cuda"][keys])
    # Random networks are unsure of many cells; a few answers may turn by rounding.
    difference = (tables["cpu"]["estimate"] - tables["cuda"]["estimate"]).abs()
    assert difference.mean() < 0.005
    assert difference.max() < 0.1


@pytest.mark.parametrize("model", NAMES)
def test_training_goes_as_on_the_cpu(store, tmp_path, model):
    found = {}
    for device in ("cpu", "cuda"):
        card = train(
            model, store, tmp_path / device, width=0.1, epochs=1, device=device, batch_size=32
        )
        found[device] = read_weights(card.with_suffix(".safetensors"))
    for name, tensor in found["cpu"].items():
        moved = (found["cuda"][name] - tensor).abs().max()
        assert moved < 0.05 * max(1.0, float(tensor.abs().max())), name
