"""A whole run: what it writes, that it is repeatable, that it survives being killed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from compute.errors import BystanderError, ChangedError, InputError
from compute.runs.config import RunConfig
from compute.runs.describe import check_path
from compute.runs.pipeline import run_store
from compute.schema import ADDED_TABLES
from compute.storage.paths import RUN_TABLES
from compute.storage.run_directory import RunDirectory
from tests.seals import change_header

RUN_ARGUMENTS = [
    "--backgrounds=3",
    "--draws=200",
    "--exchanges=8",
    "--folds=2",
    "--examples=1",
    "--jobs=1",
]


def digests(run: Path) -> dict[str, str]:
    """Hash every table of a run, byte for byte."""
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.rglob("*.parquet"))
    }


def test_a_run_has_every_table_and_passes_its_check(run):
    lines = list(check_path(run))
    assert lines[-1] == "Tables, counts and references agree."
    for name, pattern in RUN_TABLES.items():
        assert list(run.glob(pattern)) or name in ADDED_TABLES, f"no table {name}"
    assert not (run / "work").exists()
    assert not list(run.rglob("*.tmp"))


def test_predictions_cover_every_trial_and_protocol_once(run):
    trials = pd.concat(pd.read_parquet(f) for f in sorted(run.glob("trials/*.parquet")))
    for model in ("pifia", "paired_cell", "deeploc"):
        parts = sorted(run.glob(f"predictions/model={model}/*.parquet"))
        found = pd.concat(pq.read_table(f, partitioning=None).to_pandas() for f in parts)
        assert not found.duplicated(["trial", "protocol"]).any()
        assert set(found["trial"]) == set(trials["trial"])
        sums = np.stack(found["probabilities"]).sum(1)
        assert np.allclose(sums, 1, atol=1e-5)
        for part in parts:
            protein = pq.read_table(part, partitioning=None).column("protein").to_pylist()
            assert protein == sorted(protein)


def test_a_run_holds_folds_and_counts_the_donors_that_probes_have_seen(run):
    cells = pd.read_parquet(run / "cells.parquet")
    assert (cells.groupby("protein")["fold"].nunique() == 1).all()
    assert set(cells["fold"]) == {0, 1}
    trials = pd.concat(pd.read_parquet(f) for f in sorted(run.glob("trials/*.parquet")))
    seen = int(trials["donor_seen"].sum())
    assert RunDirectory(run).meta["counts"]["trials_with_seen_donor"] == seen
    assert trials["donor_seen"].notna().equals(trials["donor"].notna())


def test_a_run_says_how_its_pair_tests_were_fitted(run):
    found = RunDirectory(run).meta["checks"]["pair_tests"]
    assert found["solvers"] == ["shared"]
    assert found["fits_left_to_the_reference"] <= 3, "of thousands: the rest is solved by paths"


def test_a_net_drop_is_the_drop_less_that_of_sham(run):
    effects = pd.read_parquet(run / "effects.parquet").query("aggregation == 'all'")
    keys = ["model", "protocol", "probe", "scope", "localization", "condition"]
    table = effects.fillna({"localization": ""}).pivot(
        index=keys, columns="effect", values="estimate"
    )
    drop = table["drop"].unstack("condition")
    net = table["net"].unstack("condition")
    assert net["sham"].isna().all()
    for condition in ("masked", "alone", "same"):
        both = net[condition].notna()
        assert both.any()
        expected = drop[condition] - drop["sham"]
        assert np.allclose(net[condition][both], expected[both])


def test_every_rejection_is_counted(run, store):
    meta = RunDirectory(run).meta
    flagged = sum(item["count"] for item in meta["rejections"] if item["stage"] == "masks")
    assert meta["counts"]["cells"] == meta["counts"]["cells_in_trials"] + flagged


def test_the_same_seed_gives_the_same_bytes(run, store, cards, config, tmp_path):
    models = [str(card) for card in cards.values()]
    again, worked = run_store(store, tmp_path / "again", models, config, jobs=2)
    assert worked
    assert digests(again.path) == digests(run)
    assert again.meta["fingerprint"] == RunDirectory(run).meta["fingerprint"]


def test_a_finished_run_does_nothing(run, store, cards, config):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    before.pop(run / ".lock", None)
    _, worked = run_store(store, run, [str(card) for card in cards.values()], config)
    assert not worked
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_configuration_is_refused_and_named(run, store, cards, config):
    with pytest.raises(ChangedError, match="models"):
        run_store(store, run, [str(cards["pifia"])], config)


@pytest.mark.parametrize("what", ["store", "model", "option", "version"])
def test_what_changed_since_a_run_was_begun_is_named(
    what, run, store, cards, config, tmp_path, monkeypatch
):
    from dataclasses import replace

    from compute.storage import run_directory

    models, said = [str(card) for card in cards.values()], ""
    if what == "store":
        shutil.copytree(store, tmp_path / "store")
        meta = json.loads((store / "store.json").read_text())
        store, said = tmp_path / "store", f"store was {meta['fingerprint']!r}, now 'other'"
        change_header(store, {"fingerprint": "other"}, "store.json")
    elif what == "model":
        text = cards["pifia"].read_text()
        assert 'pooling = "max"' in text
        for path in cards["pifia"].parent.iterdir():
            shutil.copy(path, tmp_path)
        (tmp_path / "pifia.toml").write_text(text.replace('pooling = "max"', 'pooling = "mean"'))
        models[models.index(str(cards["pifia"]))] = str(tmp_path / "pifia.toml")
        said = "models.pifia was"
    elif what == "option":
        config = replace(config, plan=replace(config.plan, folds=3))
        said = "configuration.plan.folds was 2, now 3"
    else:
        monkeypatch.setattr(run_directory, "__version__", "99")
        said = "version was"
    with pytest.raises(ChangedError) as caught:
        run_store(store, run, models, config)
    assert said in caught.value.problem
    assert caught.value.problem.count(", now ") == 1, "nothing else is said to have changed"
    assert "--fresh" in caught.value.remedy


def test_a_class_with_one_protein_is_reported(store, cards, config, tmp_path):
    """Unlabel all but one protein of a class: it has no donor and no pair test, both reported."""
    from compute.store.reader import CropStore
    from compute.store.writer import CropStoreWriter

    source = CropStore(store)
    cells, arrays = source.cells.copy(), source.arrays()
    keep = cells["labels"].str.len() == 1
    actin = cells["localization"] == "actin"
    lone = cells.loc[actin, "protein"].iloc[0]
    rows = np.flatnonzero(keep & (~actin | (cells["protein"] == lone)))
    path = tmp_path / "store"
    with CropStoreWriter(
        path, channels=["GFP", "RFP"], size=64, dtype="uint16",
        source={"kind": "test", "simulated": True},
    ) as writer:  # fmt: skip
        writer.add(
            arrays.images[rows], arrays.unpack(arrays.masks[rows]),
            arrays.unpack(arrays.foregrounds[rows]), cells.iloc[rows].drop(columns="labels"),
        )  # fmt: skip
        for number, window in source.windows.dropna(subset="localization").iterrows():
            writer.add_windows(
                arrays.windows[[number]], field=window["field"], protein=window["protein"],
                localization=window["localization"],
            )  # fmt: skip
    done, _ = run_store(path, tmp_path / "run", [str(cards["pifia"])], config, jobs=1)
    reasons = {item["reason"]: item["count"] for item in done.meta["rejections"]}
    usable = int((CropStore(path).usable & (CropStore(path).cells["protein"] == lone)).sum())
    assert reasons["same: no other protein of the same localization"] == usable
    assert any(text.startswith("actin: only one of its proteins") for text in reasons)
    pairwise = done.read("pairwise").to_pandas()
    assert "actin" not in {*pairwise["localization_a"], *pairwise["localization_b"]}


def test_a_store_without_labels_is_refused(cards, config, tmp_path):
    from compute.store.writer import CropStoreWriter

    rng = np.random.default_rng(0)
    masks = np.zeros((4, 64, 64), bool)
    masks[:, 20:44, 20:44] = True
    with CropStoreWriter(
        tmp_path / "store", channels=["GFP", "RFP"], size=64, dtype="uint16",
        source={"kind": "test", "simulated": False},
    ) as writer:  # fmt: skip
        writer.add(
            rng.integers(0, 99, (4, 2, 64, 64)), masks, masks,
            pd.DataFrame({"protein": list("abcd"), "field": list("abcd")}),
        )  # fmt: skip
    with pytest.raises(InputError, match="fewer than two classes"):
        run_store(tmp_path / "store", tmp_path / "run", [str(cards["pifia"])], config)


def start(store: Path, out: Path, models: list[str]) -> subprocess.Popen[bytes]:
    """Start a run in a process of its own."""
    command = [sys.executable, "-c", "from compute.cli.main import main; main()", "run", str(store)]
    command += ["--out", str(out), "--models", ",".join(models), *RUN_ARGUMENTS]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


def test_a_busy_run_directory_names_the_process(store, cards, tmp_path):
    from compute.storage.locks import lock

    with lock(tmp_path / "run", "run"):
        process = start(store, tmp_path / "run", [str(cards["pifia"])])
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"process {os.getpid()}" in errors.decode()


def test_a_full_disk_keeps_what_is_done_and_says_what_to_do(
    store, cards, config, tmp_path, monkeypatch
):
    import errno

    from compute.storage import atomic_files

    replace, calls = os.replace, []

    def full(source, target):
        calls.append(target)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(atomic_files.os, "replace", full)
    with pytest.raises(BystanderError, match=r"disk is full.*same command"):
        run_store(store, tmp_path / "run", [str(cards["pifia"])], config, jobs=1)
    assert not list((tmp_path / "run").rglob("*.tmp"))
    monkeypatch.setattr(atomic_files.os, "replace", replace)
    done, _ = run_store(store, tmp_path / "run", [str(cards["pifia"])], config, jobs=1)
    assert done.complete


def test_a_run_has_the_probes_that_it_was_asked_for_with_tests_and_seen_donors(run):
    wanted = ["pair", "multiclass", "knn", "retrieval", "multilabel"]
    assert RunDirectory(run).meta["configuration"]["probes"] == wanted
    accuracy, effects = (pd.read_parquet(run / f"{name}.parquet") for name in
                         ("accuracy", "effects"))  # fmt: skip
    for table in (accuracy, effects):
        assert set(table["probe"]) == set(wanted)
    every = accuracy[accuracy["aggregation"] == "all"].groupby("probe")
    assert every["model"].nunique().eq(3).all()
    assert every["estimate"].min().ge(0).all()
    assert every["estimate"].max().le(1).all()
    overall = effects.query("scope == 'overall' and aggregation == 'all'")
    adjusted = overall[["p_holm", "p_equivalence_holm"]]
    controls = overall["condition"].isin(["sham", "background_only"])
    assert adjusted[~controls].notna().all(axis=None)
    assert adjusted[controls].isna().all(axis=None), "controls are in no family"
    cells = accuracy.query("scope == 'overall' and condition == 'unaltered'")
    most = cells.groupby("probe")["n_cells"].max()
    assert most["multilabel"] > most["knn"] == most["retrieval"] == most["pair"]
    swapped = accuracy.query("condition == 'different' and scope == 'overall'")
    shares = swapped.groupby("probe")["donor_seen"].first()
    assert shares.notna().all()
    assert (shares[["knn", "retrieval", "multilabel"]] == shares["pair"]).all()


def test_probes_are_checked_and_the_usual_ones_always_there():
    assert RunConfig(probes=("network",)).probes == ("pair", "multiclass", "network")
    with pytest.raises(BystanderError, match="knn") as problem:
        RunConfig(probes=("kmn",))
    assert "kmn" in str(problem.value)


def test_a_finished_run_is_renamed_by_the_same_command(run, store, cards, config, tmp_path):
    folder, models = shutil.copytree(run, tmp_path / "run"), [str(card) for card in cards.values()]
    before = (folder / "checksums.sha256").read_bytes()
    renamed, worked = run_store(store, folder, models, config, jobs=1, name="For the lab meeting")
    assert not worked
    assert RunDirectory(folder).meta["name"] == "For the lab meeting"
    assert renamed.meta["fingerprint"] == RunDirectory(run).meta["fingerprint"]
    assert (folder / "checksums.sha256").read_bytes() == before
    run_store(store, folder, models, config, jobs=1)
    assert RunDirectory(folder).meta["name"] == "For the lab meeting"
