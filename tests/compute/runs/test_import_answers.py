"""Answers of another program: matched by key, refused by name, and equal to those computed here."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from compute.backgrounds.config import PlanConfig
from compute.embedding.config import EmbedConfig
from compute.errors import InputError, UsageError
from compute.models.card_files import load_card
from compute.models.embedder import load_model
from compute.runs import import_answers as module
from compute.runs.config import RunConfig
from compute.runs.estimate import estimate, report
from compute.runs.export_trials import export_trials
from compute.runs.import_answers import import_answers
from compute.runs.pipeline import run_store
from compute.statistics.config import BootstrapConfig

CONFIG = RunConfig(
    plan=PlanConfig(("unaltered", "same", "different", "masked"), backgrounds=2, folds=2, seed=5),
    embed=EmbedConfig(second_readings=False),
    bootstrap=BootstrapConfig(draws=100, exchanges=0),
    probes=(),
    examples=0,
)


@pytest.fixture(scope="module")
def crops(store, tmp_path_factory):
    return export_trials(store, tmp_path_factory.mktemp("export") / "crops", config=CONFIG)


@pytest.fixture(scope="module")
def keys(crops):
    return pq.read_table(crops / "trials.parquet").to_pandas()


@pytest.fixture(scope="module")
def theirs(crops, cards):
    """What a program would answer: here the embeddings of one of our own networks."""
    pixels = zarr.open_group(crops / "crops.ome.zarr", mode="r")["0"][:]
    model = load_model(cards["deeploc"])
    import torch

    parts = [model(torch.from_numpy(pixels[n : n + 64])).numpy() for n in range(0, len(pixels), 64)]
    return np.concatenate(parts)


@pytest.fixture
def table(keys, theirs):
    """Key and answer of every crop, in another order."""
    order = np.random.default_rng(0).permutation(len(keys))
    return pd.DataFrame({"key": keys["key"].to_numpy()[order], "embedding": list(theirs[order])})


def bring(frame, crops, folder, **more):
    path = folder / "answers.parquet"
    frame.to_parquet(path)
    return import_answers(
        path, crops, folder / "models", **{"name": "theirs", "trained_on": "a screen", **more}
    )


def test_a_run_of_answers_equals_a_run_of_the_model(store, crops, table, cards, tmp_path):
    card = bring(table, crops, tmp_path)
    assert load_card(card).source == "answers"
    run, _ = run_store(store, tmp_path / "run", [card, cards["deeploc"]], CONFIG)
    for number in range(len(run.parts("trials"))):
        both = [
            pq.read_table(run.part("embeddings", number, name)).to_pandas()
            for name in ("theirs", "deeploc")
        ]
        assert both[0]["trial"].tolist() == both[1]["trial"].tolist()
        for one, other in zip(both[0]["embedding"], both[1]["embedding"], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)
    accuracy = pq.read_table(run.summary("accuracy")).to_pandas()
    by_model = dict(list(accuracy.groupby("model", observed=True)))
    np.testing.assert_allclose(
        by_model["theirs"]["estimate"], by_model["deeploc"]["estimate"], atol=0.02
    )


def test_every_format_gives_the_same_file(crops, keys, theirs, table, tmp_path):
    import anndata

    (tmp_path / "lists").mkdir()
    lists = bring(table, crops, tmp_path / "lists")
    wide = pd.DataFrame(theirs, columns=[f"f{n}" for n in range(theirs.shape[1])])
    (tmp_path / "wide").mkdir()
    # A program may have joined its answers to the export's own table, which has numbers, too.
    columns = bring(keys.join(wide), crops, tmp_path / "wide")
    np.save(tmp_path / "array.npy", theirs)
    array = import_answers(
        tmp_path / "array.npy", crops, tmp_path / "array", name="theirs", trained_on="a screen",
        ids=crops / "trials.parquet",
    )  # fmt: skip
    names = [pd.DataFrame(index=pd.Index(list(n), dtype=object)) for n in (keys["key"], wide)]
    held = anndata.AnnData(theirs, *names)
    held.write_h5ad(tmp_path / "theirs.h5ad")
    named = import_answers(
        tmp_path / "theirs.h5ad", crops, tmp_path / "anndata", name="theirs", trained_on="a screen"
    )
    tables = [pa.ipc.open_file(str(c.with_suffix(".arrow"))).read_all() for c in
              (lists, columns, array, named)]  # fmt: skip
    assert all(each.equals(tables[0]) for each in tables)
    assert np.array_equal(tables[0]["trial"].to_numpy(), np.sort(keys["trial"]))


def test_probabilities_keep_the_names_of_their_classes(crops, keys, tmp_path):
    rng = np.random.default_rng(1)
    share = rng.dirichlet([1, 1, 1], len(keys)).astype(np.float32)
    frame = pd.DataFrame(share, columns=["ER", "Golgi", "nucleus"]).assign(key=keys["key"])
    card = load_card(bring(frame, crops, tmp_path, classes=True))
    assert card.classes == ("ER", "Golgi", "nucleus")
    with pytest.raises(InputError, match="are no probabilities"):
        bring(frame.assign(ER=frame["ER"] * 2), crops, tmp_path, classes=True, overwrite=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[5:], r"5 crops of the export have no answer \(.* and 2 more\)"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "1 crops have several answers"),
        (lambda t: t.assign(key=["f" * 16, *t["key"][1:]]), "1 answers are of no crop .*f{16}"),
        (lambda t: t.assign(key=[None, *t["key"][1:]]), "1 keys are empty"),
        (lambda t: t.drop(columns="key"), "has no column 'key'; it has embedding"),
        (lambda t: t.drop(columns="embedding"), "which columns are the answer"),
        (lambda t: t.assign(embedding=t["embedding"] * np.nan), "numbers are not finite"),
        (lambda t: t.assign(embedding=[t["embedding"][0]] * len(t)), "every crop has the same"),
        (
            lambda t: t.assign(embedding=[t["embedding"][0][:3], *t["embedding"][1:]]),
            "answers are lists of 3, 26 numbers",
        ),
        (lambda t: t.assign(embedding=[["a"]] * len(t)), "answers are lists of string"),
        (lambda t: t.assign(other=t["embedding"]), "Lists: embedding, other"),
    ],
)
def test_wrong_tables_are_refused_by_name(crops, table, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        bring(change(table), crops, tmp_path)
    assert not (tmp_path / "models").exists()


def test_wrong_files_are_refused_by_name(crops, table, theirs, tmp_path):
    more = {"name": "theirs", "trained_on": "a screen"}
    with pytest.raises(InputError, match="There is no file"):
        import_answers(tmp_path / "no.parquet", crops, tmp_path, **more)
    (tmp_path / "text.parquet").write_text("key,embedding")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        import_answers(tmp_path / "text.parquet", crops, tmp_path, **more)
    (tmp_path / "answers.csv").write_text("key,a\n")
    with pytest.raises(UsageError, match=r"Unknown format of answers '\.csv'"):
        import_answers(tmp_path / "answers.csv", crops, tmp_path, **more)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read as an array of numbers"):
        import_answers(
            tmp_path / "objects.npy", crops, tmp_path, ids=crops / "trials.parquet", **more
        )
    np.save(tmp_path / "array.npy", theirs[:-1])
    with pytest.raises(UsageError, match="needs --ids"):
        import_answers(tmp_path / "array.npy", crops, tmp_path, **more)
    with pytest.raises(InputError, match="Give one for each"):
        import_answers(
            tmp_path / "array.npy", crops, tmp_path, ids=crops / "trials.parquet", **more
        )
    with pytest.raises(InputError, match=r"export\.json"):
        bring(table, tmp_path, tmp_path)


@pytest.mark.parametrize("kind", ["lists", "columns"])
def test_more_than_fits_in_memory_is_refused_before_it_is_read(
    crops, keys, theirs, table, tmp_path, monkeypatch, kind
):
    wide = pd.DataFrame(theirs, columns=[f"f{n}" for n in range(theirs.shape[1])])
    frame = table if kind == "lists" else keys[["key"]].join(wide)
    monkeypatch.setattr(module, "LARGEST", 4 * theirs.size)
    bring(frame, crops, tmp_path)
    monkeypatch.setattr(module, "LARGEST", 4 * theirs.size - 1)
    with pytest.raises(InputError, match=f"has {theirs.size:,} numbers"):
        bring(frame, crops, tmp_path, overwrite=True)


def test_an_altered_export_is_refused(store, table, tmp_path):
    crops = export_trials(store, tmp_path / "crops", config=CONFIG)
    rows = pq.read_table(crops / "trials.parquet")
    pq.write_table(rows.slice(1), crops / "trials.parquet")
    with pytest.raises(InputError, match="is not as it was written"):
        bring(table, crops, tmp_path)


def test_answers_to_other_crops_are_refused_before_a_run(store, crops, table, cards, tmp_path):
    from dataclasses import replace

    card = bring(table, crops, tmp_path)
    other = replace(CONFIG, plan=replace(CONFIG.plan, seed=6))
    for tried in (
        lambda config: run_store(store, tmp_path / "run", [card], config),
        lambda config: estimate(store, [card], config),
    ):
        with pytest.raises(UsageError, match=r"'theirs' holds answers to other crops"):
            tried(other)
        with pytest.raises(UsageError, match="look at a crop again in another scale"):
            tried(replace(CONFIG, embed=EmbedConfig()))
    assert not (tmp_path / "run").exists()
    lines = list(report(estimate(store, [card, cards["pifia"]], CONFIG)))
    assert "theirs: answers are looked up, not computed" in lines


def test_an_export_with_second_readings_is_refused(store, tmp_path):
    from dataclasses import replace

    config = replace(CONFIG, embed=EmbedConfig(), plan=PlanConfig(backgrounds=2, folds=2, seed=5))
    crops = export_trials(store, tmp_path / "crops", config=config)
    rows = pq.read_table(crops / "trials.parquet").to_pandas()
    assert (rows["reading"] == "centre").any()
    answers = np.random.default_rng(0).normal(size=(len(rows), 4)).astype(np.float32)
    with pytest.raises(UsageError, match="--no-second-readings"):
        bring(pd.DataFrame({"key": rows["key"], "embedding": list(answers)}), crops, tmp_path)


def test_an_altered_table_of_answers_is_refused(crops, table, tmp_path):
    card = bring(table, crops, tmp_path)
    path = card.with_suffix(".arrow")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="is not the file that the card"):
        load_model(card)


def test_a_card_is_not_overwritten_unasked(crops, table, tmp_path):
    card = bring(table, crops, tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        bring(table, crops, tmp_path)
    assert bring(table, crops, tmp_path, overwrite=True) == card
    facts = json.loads(
        pa.ipc.open_file(str(card.with_suffix(".arrow"))).schema.metadata[b"bystander"]
    )
    assert facts["table"] == "answers.parquet"
