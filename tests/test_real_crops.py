"""Real crops from end to end: import, train on half of the fields, run on the rest."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from compute.cli import app
from compute.rundir import RunDirectory
from compute.store import CropStore

NETWORKS = ("pifia", "paired_cell", "deeploc")

TABLE = """protein,localization
AAC1,mitochondrion
AAC3,mitochondrion
AAH1,cytoplasm
AAR2,cytoplasm
"""


def call(*arguments) -> str:
    """Call the command line in this process."""
    done = CliRunner().invoke(app, [str(word) for word in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.long
def test_real_crops_import_train_and_run(shared, tmp_path):
    table, store, weights = tmp_path / "table.csv", tmp_path / "store", tmp_path / "weights"
    table.write_text(TABLE)
    source = shared / "paired_cell_yeast"
    call("import", "paired-cell", source, store, "--localizations", table, "--train-share", 0.5)
    cells = CropStore(store).cells
    assert len(cells) == len(list(source.glob("*/*_gfp.tif")))
    assert (cells.groupby("field")["split"].nunique() == 1).all()
    assert CropStore(store).usable.mean() >= 0.85

    for network in NETWORKS:
        call("train", network, store, "--out", weights, "--split", "train", "--epochs", 2,
             "--width", 0.1)  # fmt: skip
    models = ",".join(str(weights / f"{network}.toml") for network in NETWORKS)
    run = tmp_path / "run"
    call("run", store, "--out", run, "--models", models, "--split", "test", "--examples", 2)
    meta = RunDirectory(run).meta
    assert not meta["simulated"]
    tested = cells[(cells["split"] == "test") & CropStore(store).usable]
    assert meta["counts"]["cells_in_trials"] == len(tested)
    trials = pd.concat(pd.read_parquet(file) for file in run.glob("trials/*.parquet"))
    assert set(trials["cell"]) == set(tested["cell"])
    donors = trials.loc[trials["condition"].isin(["same", "different"]), "donor"]
    assert set(donors) <= set(tested["cell"])
    assert max(meta["checks"]["sham_max_difference"].values()) <= 1e-5
    accuracy = pd.read_parquet(run / "accuracy.parquet")
    assert set(accuracy["model"]) == set(NETWORKS)
    resampled = accuracy.loc[accuracy["aggregation"] == "all", "unit"]
    assert set(resampled) == {"cell"}  # two proteins a class are too few to resample
