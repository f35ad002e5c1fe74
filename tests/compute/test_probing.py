"""The probe stage: the same files however it is cut, interrupted or asked; second readings."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from summarised_run import BIG, MODELS, make, place, read_plain

from compute import probing, schema
from compute.probing import probe
from compute.rundir import LOCKED, LOCKED_PREDICTIONS
from compute.schema import Condition


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
    monkeypatch.setattr(probing, "GATHERED", 1)
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
