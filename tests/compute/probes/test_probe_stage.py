"""The probe stage: the same files however it is cut, interrupted or asked; second readings."""

import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from compute import schema
from compute.probes import stage
from compute.probes.solvers import Fitting, Solver
from compute.probes.stage import how_fitted, probe
from compute.runs import stages
from compute.runs.prepare import prepare
from compute.schema import Condition
from compute.storage.paths import LOCKED, LOCKED_PREDICTIONS
from compute.storage.run_directory import begin
from compute.store.reader import CropStore
from tests.compute.summarised_run import BIG, MODELS, make, place, read_plain


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("probing") / "run", BIG)


def contents(run):
    """Every table that the stage writes, by path."""
    files = [*run.path.glob("predictions/**/*.parquet"), *run.path.glob("work/*/*.parquet")]
    return {str(f.relative_to(run.path)): pq.read_table(f, partitioning=None) for f in files}


def test_lost_files_and_smaller_passes_give_the_same_tables(made, monkeypatch):
    before = contents(made.run)
    model = next(iter(MODELS))
    for name in before:
        if "same" in name or name.endswith(f"model={model}/part-00002.parquet"):
            (made.run.path / name).unlink()
    monkeypatch.setattr(stage, "GATHERED", 1)
    probe(made.run, made.plan, made.cells, MODELS)
    after = contents(made.run)
    assert set(after) == set(before)
    for name, table in before.items():
        assert after[name].equals(table), name


def test_second_readings_are_answered_by_the_frozen_probe(made):
    model, dimension = next(iter(MODELS.items()))
    shutil.rmtree(made.run.part(LOCKED_PREDICTIONS, 0, model).parents[1])
    parts = made.run.parts("embeddings", model)
    for number, (trials, file) in enumerate(zip(made.run.parts("trials"), parts, strict=True)):
        plan = pq.read_table(trials).to_pandas()
        chosen = (plan["repeat"] == 0) & ~plan["condition"].isin(["unaltered", "sham"])
        table = pq.read_table(file, partitioning=None).filter(chosen.to_numpy())
        expected = schema.embeddings_schema(dimension)
        made.run.write(made.run.part(LOCKED, number, model), table.cast(expected), expected)
    probe(made.run, made.plan, made.cells, MODELS)
    for condition in (Condition.SAME, Condition.DIFFERENT, Condition.MASKED):
        # Read from the first reading's embeddings, so the answers must be the first reading's.
        found = read_plain(made.run.part(LOCKED_PREDICTIONS, place(condition), model))
        first = made.predictions(model, condition, "frozen")
        first = first[first["trial"].isin(found["trial"])].reset_index(drop=True)
        assert len(found) == found["cell"].nunique() == len(first) > 0
        assert found["trial"].tolist() == first["trial"].tolist()
        assert set(found["protocol"]) == {"frozen"}
        assert np.allclose(
            np.stack(found["probabilities"]), np.stack(first["probabilities"]), atol=1e-6
        )
    for condition in (Condition.UNALTERED, Condition.SHAM):
        assert not made.run.part(LOCKED_PREDICTIONS, place(condition), model).exists()
    assert not made.run.parts("work/locked_predictions", list(MODELS)[1])


def pairwise(run):
    """Read every pair accuracy that the stage wrote."""
    keys = ["model", "condition", "protocol", "localization_a", "localization_b", "background"]
    files = sorted(run.path.glob("work/pairwise/*.parquet"))
    return pd.concat(map(read_plain, files)).set_index(keys).sort_index()


def test_batches_give_the_shared_solvers_accuracies_and_say_that_they_did(made, tmp_path):
    assert how_fitted(made.run) == {"solvers": ["shared"], "fits_left_to_the_reference": 0}
    shared = pairwise(made.run)
    shutil.copytree(made.run.path, tmp_path / "run")
    other = type(made.run)(tmp_path / "run")
    for folder in ("work", "predictions"):
        shutil.rmtree(other.path / folder)
    probe(other, made.plan, made.cells, MODELS, Fitting(Solver.BATCHED, 2))
    assert how_fitted(other) == {"solvers": ["batched"], "fits_left_to_the_reference": 0}
    batched = pairwise(other)
    assert batched.index.equals(shared.index)
    assert batched["n"].equals(shared["n"])
    far = (batched["accuracy"] - shared["accuracy"]).abs()
    assert far.mean() <= 0.003
    assert far.max() <= 0.02
    # The multi-class probe is not theirs.
    for name, table in contents(made.run).items():
        if name.startswith("predictions"):
            assert contents(other)[name].equals(table)


def test_a_run_gone_on_with_on_another_device_names_both_solvers(made, tmp_path):
    shutil.copytree(made.run.path, tmp_path / "run")
    other = type(made.run)(tmp_path / "run")
    for file in other.path.glob("work/pairwise/*-masked.parquet"):
        file.unlink()
    probe(other, made.plan, made.cells, MODELS, Fitting(Solver.BATCHED))
    assert how_fitted(other)["solvers"] == ["batched", "shared"]


@pytest.mark.parametrize(("device", "solver"), [("cuda:1", "batched"), ("cpu", "shared")])
def test_a_worker_fits_on_the_device_it_was_given(
    store, config, tmp_path, monkeypatch, device, solver
):
    asked, told = [], []
    monkeypatch.setattr(
        stages, "choose_device", lambda name: asked.append(name) or torch.device(device)
    )
    monkeypatch.setattr(stages, "probe", lambda *args: told.append(args[4]))
    opened = CropStore(store)
    plan, cells = prepare(opened, config)
    with begin(tmp_path / "run", {}, {}) as run:
        stage = stages.probe_stage(
            run, opened, plan, cells, {"one": 6}, Fitting(), config, "auto"
        )  # fmt: skip
        assert list(stage.there().work(["one"])) == ["one"]
    assert asked == ["auto"]
    assert (told[0].solver, told[0].device) == (Solver(solver), device)
