"""Real files from end to end: every source imported, run, checked.

The shared data hold few proteins, so these are tests of mechanics: where a source has one strain
only, or its proteins' classes are made up, nothing that a run says of them is a finding.
"""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from compute.backgrounds.compose import compose
from compute.backgrounds.harmonise import measure
from compute.cli.main import app
from compute.schema import COMPOSED
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore

NETWORKS = ("pifia", "paired_cell", "deeploc")

PLACES = {
    "AAC1": "mitochondrion",
    "AAC3": "mitochondrion",
    "AAH1": "cytoplasm",
    "AAR2": "cytoplasm",
}
"""Genes of the paired-cell crops; AAH1 and AAR2 are in the nucleus too."""


def call(*arguments) -> str:
    """Call the command line in this process."""
    done = CliRunner().invoke(app, [str(word) for word in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def table_of(places, path):
    """Write a localization table."""
    pd.DataFrame(places.items(), columns=["protein", "localization"]).to_csv(path, index=False)
    return path


def run_and_check(store, out, *options, models=NETWORKS):
    """Run the shipped models, check the run, and return its header file."""
    call("run", store, "--out", out, "--models", ",".join(models), "--draws", 200, *options)
    assert "agree" in call("check", out)
    run = RunDirectory(out)
    seams = run.meta["counts"]["trials_with_seam"]
    flagged = sum(
        int((pd.read_parquet(file, columns=["flags"])["flags"] & 8 > 0).sum())
        for file in run.parts("trials")
    )
    assert seams == flagged
    assert not run.meta["simulated"]
    accuracy = pd.read_parquet(out / "accuracy.parquet")
    assert set(accuracy["model"]) == set(models)
    assert accuracy["estimate"].dropna().between(0, 1).all()
    return run


def trials_of(run):
    return pd.concat(pd.read_parquet(file) for file in run.parts("trials"))


@pytest.mark.long
def test_paired_cell_crops(shared, tmp_path):
    table = table_of(PLACES, tmp_path / "table.csv")
    call("import", "paired-cell", shared / "paired_cell_yeast", tmp_path / "store",
         "--localizations", table, "--train-share", 0.7)  # fmt: skip
    store = CropStore(tmp_path / "store")
    assert len(store.cells) == len(list((shared / "paired_cell_yeast").glob("*/*_gfp.tif")))
    assert store.usable.mean() >= 0.85
    run = run_and_check(tmp_path / "store", tmp_path / "run", "--split", "test", "--examples", 1)
    tested = store.cells[(store.cells["split"] == "test") & store.usable]
    trials = trials_of(run)
    assert set(trials["cell"]) == set(tested["cell"])
    assert set(trials["condition"]) == set(map(str, COMPOSED))


TILE = 320
"""Side of the pieces that fields are cut into, pixels."""

TILES = {
    "nucleus": ("P1", "P2"),
    "ER": ("P3", "P4"),
    "cytoplasm": ("P5", "P6"),
}
"""Made-up classes and proteins of the pieces."""


def cut_fields(source: Path, out: Path) -> pd.DataFrame:
    """Cut four pieces of each of the two fields, as fields of their own; returns their table."""
    out.mkdir()
    pairs = [(place, protein) for place, proteins in TILES.items() for protein in proteins]
    rows = []
    for labels in sorted(source.glob("*_labeled.tiff")):
        field = labels.name.removesuffix("_labeled.tiff")
        for i, (y, x) in enumerate([(0, 0), (0, TILE), (TILE, 0), (TILE, TILE)]):
            name = f"{field}x{i}"
            for file in source.glob(f"{field}[-_]*.tiff"):
                piece = tifffile.imread(file)[y : y + TILE, x : x + TILE]
                tifffile.imwrite(out / file.name.replace(field, name), piece)
            place, protein = pairs[len(rows) % len(pairs)]
            rows.append({"field": name, "protein": protein, "localization": place})
    return pd.DataFrame(rows)


@pytest.mark.long
def test_whole_fields(shared, tmp_path):
    """Both fields are of one strain: pieces of them stand for six proteins at three places."""
    whole = call("import", "fields", shared / "cyclenet_fields", tmp_path / "whole")
    for said in ("536 stored, 525 usable", "proteins: 1\n", "windows: 16 without cells"):
        assert said in whole
    call("check", tmp_path / "whole")
    table = cut_fields(shared / "cyclenet_fields", tmp_path / "pieces")
    table.to_csv(tmp_path / "table.csv", index=False)
    call("import", "fields", tmp_path / "pieces", tmp_path / "store", "--table",
         tmp_path / "table.csv", "--windows", 2)  # fmt: skip
    store = CropStore(tmp_path / "store")
    assert set(store.cells["protein"]) == set(table["protein"])
    run = run_and_check(
        tmp_path / "store", tmp_path / "run", "--grid-cells", 12, "--folds", 2, "--examples", 1,
    )  # fmt: skip
    trials = trials_of(run)
    assert set(trials["condition"]) == set(map(str, COMPOSED))
    pairwise = run.read("pairwise").to_pandas()
    assert {"different", "cell_free", "conflicting"} <= set(pairwise["condition"])
    # Real windows, not filled ones, are what cell-free backgrounds come from.
    donors = set(trials.loc[trials["condition"] == "cell_free", "donor"])
    assert donors
    assert donors <= set(store.windows.loc[~store.windows["filled"], "window"])


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory):
    """A few real crops of each gene, with the masks that their import found."""
    folder = tmp_path_factory.mktemp("real")
    for gene in PLACES:
        (folder / "few" / gene).mkdir(parents=True)
        for gfp in sorted((shared / "paired_cell_yeast" / gene).glob("*_gfp.tif"))[:20]:
            for name in (gfp.name, gfp.name.replace("_gfp", "_rfp")):
                shutil.copy(gfp.with_name(name), folder / "few" / gene)
    call("import", "paired-cell", folder / "few", folder / "store")
    store = CropStore(folder / "store")
    arrays, rows = store.arrays(), np.flatnonzero(store.usable)
    proteins = store.cells["protein"].to_numpy()[rows]
    return proteins, np.asarray(arrays.images)[rows], arrays.unpack(arrays.masks[rows])


def as_pifia(real, folder):
    """Write crops as PIFiA's files: ch1 GFP, ch3 the cytosol, a mask of 0 and 255."""
    for number, (gene, image, mask) in enumerate(zip(*real, strict=True)):
        (folder / gene).mkdir(parents=True, exist_ok=True)
        marked = np.where(mask, 255, 0).astype(np.uint8)
        for name, values in (("ch1", image[0]), ("ch3", image[1]), ("mask", marked)):
            tifffile.imwrite(folder / gene / f"{gene}_{name}_{number}.tiff", values)
    return folder


def as_chong_files(real, folder):
    """Write crops under the Chong names that PIFiA's code reads."""
    for number, (gene, image, mask) in enumerate(zip(*real, strict=True)):
        (folder / gene).mkdir(parents=True, exist_ok=True)
        marked = np.where(mask, 255, 0).astype(np.uint8)
        for name, values in (("gfp", image[0]), ("rfp", image[1]), ("mask", marked)):
            tifffile.imwrite(folder / gene / f"{gene}_{number}_{name}.tif", values)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("write", [as_pifia, as_chong_files])
def test_pifia_layouts(real, tmp_path, write):
    source = write(real, tmp_path / "source")
    table = table_of(PLACES, tmp_path / "table.csv")
    call("import", "pifia", source, tmp_path / "store", "--localizations", table)
    store = CropStore(tmp_path / "store")
    proteins, images, masks = real
    assert list(store.cells["protein"]) == list(proteins)
    arrays = store.arrays()
    assert np.array_equal(arrays.images, images)
    assert np.array_equal(arrays.unpack(arrays.masks), masks)
    run = run_and_check(tmp_path / "store", tmp_path / "run", "--examples", 1, models=["pifia"])
    assert set(trials_of(run)["condition"]) == set(map(str, COMPOSED))


@pytest.mark.long
def test_chong_layout(real, tmp_path):
    proteins, images, masks = real
    names = ["MITOCHONDRIA", "CYTOPLASM", "DEAD"]
    classes = [
        names.index("MITOCHONDRIA" if p.startswith("AAC") else "CYTOPLASM") for p in proteins
    ]
    classes[5] = names.index("DEAD")
    order = np.random.default_rng(0).permutation(len(images))
    with h5py.File(tmp_path / "Chong_test_set.hdf5", "w") as file:
        file["data1"] = images[order].reshape(len(images), -1)
        file["Index1"] = np.eye(len(names))[np.asarray(classes)[order]]
        file["Index1_columns"] = np.array([name.encode() for name in names])
    call("import", "chong", tmp_path / "Chong_test_set.hdf5", tmp_path / "store", "--parts", 2)
    store = CropStore(tmp_path / "store")
    arrays = store.arrays()
    assert np.array_equal(arrays.images, images[order])
    assert (~store.usable).sum() >= 1
    # Found in the marker here as in the paired-cell import: the same pixels, the same masks.
    assert np.array_equal(arrays.unpack(arrays.masks), masks[order])
    run = run_and_check(tmp_path / "store", tmp_path / "run", "--examples", 1, models=["deeploc"])
    dead = np.flatnonzero(order == 5)
    assert not set(dead) & set(trials_of(run)["cell"])


def test_the_papers_swap_example(shared, tmp_path):
    """The published centre cell, of which the rest is black, on the published donor."""
    folder = shared / "paper_example"
    cell = tifffile.imread(folder / "foreground_example.tiff")
    donor = tifffile.imread(folder / "background_example.tiff")
    tifffile.imwrite(tmp_path / "mask.tif", (cell > 0).astype(np.uint8))
    pd.DataFrame(
        {
            "GFP": [folder / "foreground_example.tiff", folder / "background_example.tiff"],
            "mask": [tmp_path / "mask.tif", None],
            "protein": ["A", "B"],
            "localization": ["ER", "nucleus"],
        }
    ).to_csv(tmp_path / "table.csv", index=False)
    call("import", "manifest", tmp_path / "table.csv", tmp_path / "store", "--channels", "GFP",
         "--marker", "GFP", "--no-surroundings")  # fmt: skip
    store = CropStore(tmp_path / "store")
    assert store.cells["protein"].tolist() == ["A", "B"]
    arrays = store.arrays()
    assert np.array_equal(arrays.images[[0]][0, 0], cell)
    assert np.array_equal(arrays.unpack(arrays.masks[[0]])[0], cell > 0)
    trials = pd.DataFrame(
        {"cell": [0], "condition": ["different"], "donor": [1], "repeat": [0], "seed": [1]}
    )
    scales = measure("none", store.cells, store.windows, arrays, 0)
    composed = compose(trials, arrays, scales, donor_centre="paper", paste="hard")
    expected = np.where(cell > 0, cell, donor)
    assert np.array_equal(composed.images[0, 0], expected.astype(np.float32))
    # Where the published donor shows its own cell beside ours, ours takes it away.
    removed = compose(trials, arrays, scales).images[0, 0]
    assert np.array_equal(removed[cell > 0], cell[cell > 0].astype(np.float32))
    assert not np.array_equal(removed, composed.images[0, 0])


@pytest.mark.long
def test_real_crops_import_train_and_run(shared, tmp_path):
    table, store, weights = tmp_path / "table.csv", tmp_path / "store", tmp_path / "weights"
    table_of(PLACES, table)
    source = shared / "paired_cell_yeast"
    call("import", "paired-cell", source, store, "--localizations", table, "--train-share", 0.5)
    cells = CropStore(store).cells
    assert (cells.groupby("field")["split"].nunique() == 1).all()

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
    accuracy = pd.read_parquet(run / "accuracy.parquet")
    assert set(accuracy["model"]) == set(NETWORKS)
    resampled = accuracy.loc[accuracy["aggregation"] == "all", "unit"]
    assert set(resampled) == {"cell"}  # two proteins a class are too few to resample
