"""The probe stage: the same files however it is cut, interrupted or asked; second readings."""

import shutil

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from compute.probes import stage
from compute.probes.solvers import Fitting, Solver
from compute.probes.stage import how_fitted, probe
from compute.probes.tables import read_donor_influence
from compute.runs import stages
from compute.runs.prepare import prepare
from compute.schema import (
    COMPOSED,
    CONDITIONS,
    FITTED,
    STEP_CONDITIONS,
    Condition,
    Protocol,
    Reading,
)
from compute.storage.paths import SECOND, SECOND_PREDICTIONS
from compute.storage.run_directory import begin
from compute.store.reader import CropStore
from tests.compute.summarised_run import BIG, EMBED, MODELS, make, place, read_plain
from tests.compute.synthetic_cells import CLASSES


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
    probe(made.run, made.plan, made.cells, MODELS, embed=EMBED, exchanges=12)
    after = contents(made.run)
    assert set(after) == set(before)
    for name, table in before.items():
        assert after[name].equals(table), name


def test_second_readings_of_the_same_vectors_give_the_same_answers(made, tmp_path):
    """What is read again as it was read before is answered as it was before, by both probes."""
    shutil.copytree(made.run.path, tmp_path / "run")
    run, model = type(made.run)(tmp_path / "run"), next(iter(MODELS))
    for reading in Reading:
        shutil.rmtree(run.folder(SECOND_PREDICTIONS[reading]))
        for first, second in zip(
            run.parts("embeddings", model), run.parts(SECOND[reading], model), strict=True
        ):
            trials = pq.read_table(second, columns=["trial"], partitioning=None)["trial"]
            table = pq.read_table(first, partitioning=None)
            kept = table.filter(pc.is_in(table["trial"], trials.combine_chunks()))
            run.write(second, kept, kept.schema)
    shutil.rmtree(run.path / "work" / "step_tallies")
    probe(run, made.plan, made.cells, {model: MODELS[model]}, embed=EMBED, exchanges=12)
    for (condition, _, _), view in EMBED.step_views(COMPOSED).items():
        if view.reading is None:
            continue
        tallies = run.pairs("step_tallies", model, view.name)
        assert read_plain(tallies).equals(read_plain(run.pairs("tallies", model, condition)))
        for protocol in FITTED:
            path = run.part(SECOND_PREDICTIONS[view.reading], place(condition), model)
            found = read_plain(path).query("protocol == @protocol")
            first = made.predictions(model, condition, protocol)
            first = first[first["trial"].isin(found["trial"])]
            assert found["trial"].tolist() == first["trial"].tolist() != []
            one, two = (np.stack(frame["probabilities"]) for frame in (found, first))
            assert np.allclose(one, two, atol=1e-6)
    for condition in set(COMPOSED) - set(STEP_CONDITIONS):
        if CONDITIONS[condition].rescaled:
            path = run.part(SECOND_PREDICTIONS[Reading.SCALED], place(condition), model)
            assert set(read_plain(path)["protocol"]) == {"frozen"}


def test_donors_move_every_view_as_one_alone_and_views_together_by_their_products(made):
    """Influences in pair tests of several views of the same trials, against a loop over answers."""
    model = next(iter(MODELS))
    path = made.run.pairs("step_donors", model, Condition.DIFFERENT)
    units = made.cells.donor_units.classes
    table = pq.read_table(path, partitioning=None)
    found = read_donor_influence(table, Protocol.REFIT, units, CLASSES)
    assert found.moved.shape[2] == 4
    own = pq.read_table(made.run.pairs("donors", model, Condition.DIFFERENT), partitioning=None)
    alone = read_donor_influence(own, Protocol.REFIT, units, CLASSES)
    assert np.allclose(found.moved[..., 0], alone.moved[..., 0])
    assert np.allclose(found.within[:, 0, 0], alone.within[:, 0, 0])
    assert np.allclose(found.within, found.within.swapaxes(1, 2))
    for scope in found.within:
        assert np.linalg.eigvalsh(scope).min() > -1e-12, "sums of products of the same answers"


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
