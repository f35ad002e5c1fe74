"""Training: who is left out and counted, what is learnt, what survives an interruption."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from compute.errors import (
    BusyError,
    BystanderError,
    ChangedError,
    DiskError,
    InputError,
    UsageError,
)
from compute.models.embedder import load_model
from compute.models.networks import NETWORKS
from compute.models.scaling import SCALINGS
from compute.models.training.crops import Changes, Pixels, rearranged
from compute.models.training.objectives import OBJECTIVES, partners
from compute.models.training.select_cells import hold_out, select_cells
from compute.models.training.train import train
from compute.models.weights import read_weights
from compute.storage.locks import lock
from compute.store.reader import CropStore
from compute.store.writer import CropStoreWriter

PLACES = ("nucleus", "cytoplasm", "vacuole")
SIDE = 64
FAST = {"width": 0.03, "epochs": 2, "batch_size": 8, "seed": 3}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Networks this small lose more by threads waiting for each other than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def paint(place, rng):
    """Draw a cell whose protein fills the middle, the whole cell, or a ring."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    distance = np.hypot(rows + rng.normal(0, 2), columns + rng.normal(0, 2))
    where = {"nucleus": distance < 6, "cytoplasm": distance < 18}.get(
        place, (distance > 12) & (distance < 18)
    )
    noise = rng.normal(500, 30, (2, SIDE, SIDE))
    return noise + np.stack([where * 4000.0, (distance < 18) * 2500.0]), distance < 18


def make_store(path, rows, channels=("GFP", "RFP"), size=SIDE):
    """Write a store with the given rows of the cells table and images of their places."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rows)
    drawn = [paint(place or "cytoplasm", rng) for place in frame["localization"]]
    images = np.stack([image for image, _ in drawn]).clip(0, 65535)
    masks = np.stack([mask for _, mask in drawn])
    margin = (SIDE - size) // 2
    cut = slice(margin, SIDE - margin)
    for i in np.flatnonzero(frame.get("empty", pd.Series(False, index=frame.index))):
        masks[i] = False
    with CropStoreWriter(
        path,
        channels=list(channels),
        size=size,
        dtype="uint16",
        source={"kind": "test", "simulated": True},
    ) as writer:
        writer.add(
            images[:, : len(channels), cut, cut].astype(np.uint16),
            masks[:, cut, cut],
            masks[:, cut, cut],
            frame.drop(columns="empty", errors="ignore"),
        )
    return path


def rows_of(fields=4, cells=4, proteins=2, **more):
    """List cells: each place has proteins, each protein fields, each field cells."""
    return [
        {"protein": f"{place}{p}", "localization": place, "field": f"{place}{p}f{f}", **more}
        for place in PLACES
        for p in range(proteins)
        for f in range(fields)
        for _ in range(cells)
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("stores") / "store", rows_of())


def select(path, objective, **more):
    opened = CropStore(path)
    return select_cells(
        opened.cells, opened.localizations, OBJECTIVES[objective], more.pop("seed", 0), **more
    )


def weights(path):
    return read_weights(path.with_suffix(".safetensors"))


def same(a, b):
    return sorted(a) == sorted(b) and all(torch.equal(a[key], b[key]) for key in a)


# What is used


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_fields_are_never_on_both_sides(store, objective):
    selection = select(store, objective)
    fields = [set(selection.field[r]) for r in (selection.training, selection.validation)]
    assert not fields[0] & fields[1]
    assert len(selection.training) + len(selection.validation) == len(CropStore(store).cells)
    assert selection.left_out == {}
    for rows in (selection.training, selection.validation):
        assert set(selection.target[rows]) == set(range(len(selection.classes))) or (
            objective == "paint"
        )


def test_classes_are_in_order(store):
    assert select(store, "localization").classes == ("cytoplasm", "nucleus", "vacuole")
    assert select(store, "protein").classes[:2] == ("cytoplasm0", "cytoplasm1")
    assert select(store, "paint").classes == ()


def test_everything_left_out_is_counted(tmp_path):
    rows = rows_of(fields=3, cells=3)
    rows[0]["empty"] = True
    rows += [{"protein": "x", "localization": None, "field": "x1"}] * 2
    rows += [
        {"protein": "y", "localization": "nucleus", "field": "y1", "labels": ["nucleus", "ER"]}
    ]
    rows += [{"protein": "z", "localization": "nucleus", "field": "z1", "split": "test"}]
    for row in rows:
        row.setdefault("labels", None)
        row.setdefault("empty", False)
    path = make_store(tmp_path / "store", rows)
    assert select(path, "localization").left_out == {
        "flagged as unusable": 1,
        "no single localization": 3,
        "of another split": 1,
    }
    assert select(path, "protein").left_out == {
        "flagged as unusable": 1,
        "of another split": 1,
        "only cell of its class": 1,
    }
    by_field = select(path, "protein", fields=["nucleus0f0", "nucleus1f0"])
    assert by_field.left_out["another field"] == len(rows) - 6
    with pytest.raises(UsageError, match="Unknown field 'nowhere'"):
        select(path, "protein", fields=["nowhere"])


def test_the_stores_own_split_is_used(tmp_path):
    rows = rows_of(fields=2, cells=2)
    for i, row in enumerate(rows):
        row["split"] = "validation" if i % 4 == 3 else "train" if i % 4 else None
    rows.append({**rows[0], "protein": "alone", "split": "validation"})
    selection = select(make_store(tmp_path / "store", rows), "protein")
    assert {rows[i]["split"] for i in selection.training} == {"train"}
    assert {rows[i]["split"] for i in selection.validation} == {"validation"}
    assert selection.left_out == {
        "of another split": 6,
        "validation cells of a class without training cells": 1,
    }


def test_where_nothing_is_left_to_learn_it_is_said_why(tmp_path):
    rows = [{**row, "split": "Training"} for row in rows_of(fields=2, cells=2)]
    with pytest.raises(InputError, match=f"Left out were {len(rows)} of another split"):
        select(make_store(tmp_path / "store", rows), "localization")


def test_a_protein_with_one_field_has_cells_held_out_and_says_so(tmp_path):
    selection = select(make_store(tmp_path / "store", rows_of(fields=1)), "protein")
    assert set(selection.target[selection.validation]) == set(range(6))
    assert set(selection.target[selection.training]) == set(range(6))
    assert "6 class(es) had no field to spare" in selection.notes[0]


def test_hold_out_keeps_every_class_on_both_sides():
    rng = np.random.default_rng(4)
    for trial in range(50):
        labels = rng.integers(0, 6, 200)
        field = rng.integers(0, rng.integers(1, 40), 200)
        out, within = hold_out(labels, field, 0.15, np.random.default_rng(trial))
        for label in np.unique(labels):
            assert out[labels == label].any()
            assert not out[labels == label].all()
        if within == 0:
            assert not set(field[out]) & set(field[~out])


def test_cells_alone_in_their_field_cannot_be_painted(tmp_path):
    rows = rows_of(fields=4, cells=3)
    rows += [{"protein": "p", "localization": "nucleus", "field": f"lonely{i}"} for i in range(5)]
    selection = select(make_store(tmp_path / "store", rows), "paint")
    assert selection.left_out == {"no second cell in its field": 5}


def test_partners_are_others_of_the_same_field():
    rng = np.random.default_rng(5)
    field = rng.integers(0, 8, 100)
    side = np.flatnonzero(rng.random(100) < 0.7)
    sizes = np.bincount(field[side], minlength=8)
    side = side[sizes[field[side]] > 1]
    chosen = np.stack([partners(side, side, field, rng) for _ in range(300)])
    assert (field[chosen] == field[side]).all()
    assert (chosen != side).all()
    assert set(chosen.ravel()) == set(side)
    for column, row in zip(chosen.T, side, strict=True):
        assert set(column) == set(side[field[side] == field[row]]) - {row}
    fixed = partners(side, side, field)
    assert (fixed == partners(side, side, field)).all()
    assert (field[fixed] == field[side]).all()
    assert (fixed != side).all()


# What the network sees


def test_symmetries_are_the_squares_eight():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    found = rearranged(image.expand(8, 1, 4, 4), Changes(np.arange(8), np.zeros((2, 8), int)), 4)
    assert len({tuple(one.flatten().tolist()) for one in found}) == 8
    assert torch.equal(found[0], image[0])
    assert torch.equal(found.flatten(1).sort().values[3], image.flatten())


def one_by_one(images, changes, side):
    """Turn, flip and cut one image after the other."""
    found = []
    for image, code, (top, left) in zip(images, changes.codes, changes.offsets.T, strict=True):
        turned = image.rot90(int(code) & 3, dims=(-2, -1))
        turned = turned.flip(-1) if code & 4 else turned
        found.append(turned[:, top : top + side, left : left + side])
    return torch.stack(found)


def test_images_are_turned_then_cut_where_asked():
    rng = np.random.default_rng(7)
    images = torch.rand(40, 2, 10, 10)
    changes = Changes(rng.integers(0, 8, 40), rng.integers(0, 5, (2, 40)))
    assert torch.equal(rearranged(images, changes, 6), one_by_one(images, changes, 6))


def test_crops_are_scaled_then_cut():
    raw = np.random.default_rng(6).integers(0, 60000, (4, 2, 64, 64), dtype=np.uint16)
    pixels = Pixels(raw, SCALINGS["deeploc"], 60, jitter=True, device=torch.device("cpu"))
    expected = SCALINGS["deeploc"](torch.from_numpy(raw[[2, 0]].astype(np.float32)))
    assert torch.equal(pixels.crops(np.array([2, 0])), expected[:, :, 2:62, 2:62])
    shifted = pixels.crops(np.array([2, 0]), np.random.default_rng(0))
    rng = np.random.default_rng(0)
    drawn = Changes(rng.integers(0, 8, 2), rng.integers(0, 4, (2, 2), endpoint=True))
    assert torch.equal(shifted, one_by_one(expected, drawn, 60))
    assert shifted.shape == (2, 2, 60, 60)
    assert shifted.is_contiguous(memory_format=torch.channels_last)


# Training itself


@pytest.mark.parametrize("network", NETWORKS)
def test_trained_models_load_and_embed(store, tmp_path, network):
    lines, steps = [], []
    path = train(
        network, store, tmp_path, **FAST, dtype="float16", say=lines.append,
        progress=lambda *step: steps.append(step),
    )  # fmt: skip
    model = load_model(path)
    assert model.card.simulated
    assert "simulated cells of 6 proteins" in model.card.trained_on
    assert f"bystander train {network} store" in model.card.created_by
    assert "left out: none" in model.card.notes
    images = torch.from_numpy(CropStore(store).arrays().images[:5].astype(np.float32))
    found = model(images[:, : len(model.card.channels)])
    assert found.shape == (5, model.dimension)
    assert torch.isfinite(found).all()
    history = json.loads((tmp_path / f"{network}.history.json").read_text())
    assert [row["epoch"] for row in history["epochs"]] == [1, 2]
    assert history["training_cells"] + history["validation_cells"] == 96
    assert len(lines) == 3
    assert steps[-1][1] == steps[-1][2] == len(steps)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{network}.history.json", f"{network}.safetensors", f"{network}.toml",
    ]  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS)
def test_one_seed_gives_one_model(store, tmp_path, network):
    first = weights(train(network, store, tmp_path / "a", **FAST))
    assert same(first, weights(train(network, store, tmp_path / "b", **FAST)))
    other = weights(train(network, store, tmp_path / "c", **{**FAST, "seed": 4}))
    assert not same(first, other)


@pytest.mark.parametrize("network", NETWORKS)
def test_an_interrupted_training_ends_as_if_it_had_not_been(store, tmp_path, network):
    options = {**FAST, "epochs": 3}
    whole = weights(train(network, store, tmp_path / "whole", **options))

    def stop(stage, done, total):
        if done == 2 * total // 3 + 2:
            raise KeyboardInterrupt

    out = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        train(network, store, out, **options, progress=stop)
    assert not (out / f"{network}.toml").exists()
    lines = []
    resumed = weights(train(network, store, out, **options, say=lines.append))
    assert "Going on after epoch 2." in lines
    assert same(whole, resumed)


@pytest.mark.parametrize("file", ["checkpoint", "weights"])
def test_a_full_disk_is_named(store, tmp_path, monkeypatch, file):
    whole = save_file

    def full(tensors, path, metadata=None):
        if (metadata is not None) == (file == "checkpoint"):
            Path(path).write_bytes(b"a part")
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        whole(tensors, path, metadata)

    monkeypatch.setattr("compute.models.weights.save_file", full)
    with pytest.raises(DiskError, match=r"The disk is full: .*safetensors"):
        train("deeploc", store, tmp_path / "out", **FAST)
    assert not list((tmp_path / "out").glob(".*.tmp"))


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of the size of files")
def test_a_file_that_the_system_cuts_off_is_named(tmp_path):
    code = (
        "import resource, sys, torch; from pathlib import Path\n"
        "from compute.errors import DiskError; from compute.models.weights import write_weights\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try: write_weights(Path(sys.argv[1]), {'a': torch.zeros(100_000)})\n"
        "except DiskError as error: print(error)"
    )
    command = [sys.executable, "-c", code, tmp_path / "w.safetensors"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
    assert "w.safetensors" in said
    assert "too large" in said
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_other_options_is_not_used(store, tmp_path):
    def stop(stage, done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("pifia", store, tmp_path, **FAST, progress=stop)
    changed = {**FAST, "learning_rate": 0.01}
    with pytest.raises(ChangedError, match="another learning_rate"):
        train("pifia", store, tmp_path, **changed)
    assert train("pifia", store, tmp_path, **changed, resume=False).is_file()


def test_a_damaged_checkpoint_is_named(store, tmp_path):
    folder = tmp_path / ".pifia.training"
    folder.mkdir()
    (folder / "checkpoint.safetensors").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"checkpoint\.safetensors cannot be read"):
        train("pifia", store, tmp_path, **FAST)


def test_two_trainings_do_not_share_a_folder(store, tmp_path):
    with lock(tmp_path / ".pifia.training", "training in"), pytest.raises(BusyError):
        train("pifia", store, tmp_path, **FAST)


def test_training_stops_when_it_no_longer_helps(store, tmp_path, monkeypatch):
    losses = iter([(1.0, 0.5), (0.5, 0.6), (0.7, 0.6), (0.6, 0.6), (0.1, 0.9)])
    monkeypatch.setattr("compute.models.training.train._validate", lambda *_: next(losses))
    options = {**FAST, "epochs": 9}
    path = train("deeploc", store, tmp_path / "early", **options, patience=2)
    history = json.loads(path.with_suffix(".history.json").read_text())
    assert [row["validation_loss"] for row in history["epochs"]] == [1.0, 0.5, 0.7, 0.6]
    assert "Epoch 2 of 4" in path.read_text()
    losses = iter([(1.0, 0.5), (0.5, 0.6)])
    best = weights(train("deeploc", store, tmp_path / "best", **FAST))
    assert same(best, weights(path))


def test_a_loss_that_is_not_finite_is_an_error(store, tmp_path, monkeypatch):
    monkeypatch.setattr("compute.models.training.train._validate", lambda *_: (float("nan"), 0.0))
    with pytest.raises(BystanderError, match="no longer finite"):
        train("pifia", store, tmp_path, **FAST)


def test_localizations_are_learnt(store, tmp_path):
    path = train("deeploc", store, tmp_path, width=0.1, epochs=12, batch_size=8, seed=1)
    history = json.loads((tmp_path / "deeploc.history.json").read_text())
    assert max(row["validation_score"] for row in history["epochs"]) > 0.8
    assert load_model(path).card.classes == ("cytoplasm", "nucleus", "vacuole")


@pytest.mark.parametrize("network", NETWORKS)
def test_bfloat16_trains_float32_weights(store, tmp_path, network):
    path = train(network, store, tmp_path, **FAST, precision="bfloat16")
    assert "--precision bfloat16" in load_model(path).card.created_by
    assert {tensor.dtype for tensor in weights(path).values()} == {torch.float32}


def test_stores_that_cannot_be_trained_on_say_why(tmp_path):
    gfp = make_store(tmp_path / "gfp", rows_of(fields=2), channels=["GFP"])
    assert train("pifia", gfp, tmp_path / "out", **FAST).is_file()
    with pytest.raises(UsageError, match="of which the store lacks RFP"):
        train("deeploc", gfp, tmp_path / "out", **FAST)
    small = make_store(tmp_path / "small", rows_of(fields=2), size=60)
    with pytest.raises(InputError, match="crops of 60 pixels"):
        train("pifia", small, tmp_path / "out", **FAST)
    card = load_model(train("deeploc", small, tmp_path / "out", **FAST)).card
    assert (card.size, card.windows) == (60, "centre")
    one = make_store(
        tmp_path / "one", [r for r in rows_of(proteins=1) if r["localization"] == "nucleus"]
    )
    with pytest.raises(InputError, match=r"1 localization\(s\) \(nucleus\)"):
        train("deeploc", one, tmp_path / "out", **FAST)
    with pytest.raises(InputError, match=r"1 protein\(s\)"):
        train("pifia", one, tmp_path / "out", **FAST)
    lonely = make_store(tmp_path / "lonely", rows_of(cells=1))
    with pytest.raises(InputError, match=r"0 cell\(s\) are left to train on.*24 no second cell"):
        train("paired_cell", lonely, tmp_path / "out", **FAST)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch_size": 1}, {"learning_rate": 0}, {"width": -1}, {"patience": 0}],
)
def test_options_out_of_range_are_refused(store, tmp_path, wrong):
    with pytest.raises(UsageError, match="out of range"):
        train("pifia", store, tmp_path, **{**FAST, **wrong})


def test_unknown_names_are_refused(store, tmp_path):
    with pytest.raises(UsageError, match="Unknown network 'pifla'"):
        train("pifla", store, tmp_path)
    with pytest.raises(UsageError, match="Unknown dtype 'int8'"):
        train("pifia", store, tmp_path, dtype="int8")
    with pytest.raises(InputError, match="plain name"):
        train("pifia", store, tmp_path, name="../up")
    with pytest.raises(UsageError, match="Unknown precision 'half'"):
        train("pifia", store, tmp_path, precision="half")
