"""Remedies tried on a finished run: ordinary embeddings, one table, nothing left behind."""

import shutil

import numpy as np
import pytest

from compute import schema
from compute.errors import InputError, UsageError
from compute.models.card_files import FoundModel, load_card
from compute.remedies.config import RemedyConfig
from compute.runs.describe import check_path
from compute.runs.remedies import try_remedies
from compute.runs.remedy_crops import variant_of
from compute.schema import Remedy
from compute.storage.run_directory import RunDirectory
from tests.seals import change_header, header

FEW = RemedyConfig(donors=2, backgrounds=2, strengths=(1.0,), directions=(1,))


def copied(run, folder):
    shutil.copytree(run, folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def added(run, store, cards, tmp_path_factory):
    folder = copied(run, tmp_path_factory.mktemp("added"))
    try_remedies(store, folder, [str(cards["pifia"])], FEW)
    return RunDirectory(folder)


@pytest.mark.long
def test_no_remedy_has_the_runs_own_numbers(added):
    table = added.read("remedies").to_pandas()
    assert set(table["remedy"]) == set(map(str, Remedy))
    assert set(table["model"]) == {"pifia"}
    mine = table[table["remedy"] == "none"].set_index(["quantity", "condition"])
    for name, quantity in (("accuracy", None), ("effects", "effect")):
        rows = added.read(name).to_pandas()
        rows = rows[
            (rows["model"] == "pifia") & (rows["probe"] == "multiclass")
            & (rows["protocol"] == "frozen") & (rows["scope"] == "overall")
            & (rows["aggregation"] == "all")
        ]  # fmt: skip
        for row in rows.itertuples():
            key = ("accuracy" if quantity is None else row.effect, row.condition)
            if key not in mine.index:
                continue
            found = mine.loc[key]
            assert np.isclose(found["estimate"], row.estimate), key
            # Degrees of freedom of the donors' part count the donors of all conditions.
            assert np.allclose(
                [found["ci_low"], found["ci_high"]], [row.ci_low, row.ci_high], atol=2e-3
            )
            assert found["n_cells"] == row.n_cells
            if not np.isnan(row.donor_seen):
                assert np.isclose(found["donor_seen"], row.donor_seen)
    assert {("accuracy", "background_only"), ("gap", "different")} <= set(mine.index)
    worst = added.read("worst_case").to_pandas().query(
        "model == 'pifia' and protocol == 'frozen' and condition == 'different'"
        " and scope == 'overall'"
    )  # fmt: skip
    assert np.isclose(mine.loc[("worst_case", "different"), "estimate"], worst["estimate"].iloc[0])


@pytest.mark.long
def test_a_run_that_was_given_the_table_passes_its_check(added, tmp_path):
    lines = list(check_path(added.path))
    assert f"remedies: {added.read('remedies').num_rows}" in lines
    assert not added.path.with_name("run-remedies").exists()
    folder = copied(added.path, tmp_path)
    file = RunDirectory(folder).summary("remedies")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"remedies\.parquet \(altered\)"):
        list(check_path(folder))


@pytest.mark.long
def test_an_interrupted_call_goes_on_and_ends_in_the_same_table(added, run, store, cards, tmp_path):
    folder, work, seen = copied(run, tmp_path), tmp_path / "work", []

    def stop(stage, done, total):
        if stage == "embed" and RunDirectory(work).parts("trials"):
            raise KeyboardInterrupt

    card = [str(cards["pifia"])]
    with pytest.raises(KeyboardInterrupt):
        try_remedies(store, folder, card, FEW, work=work, progress=stop)
    assert not RunDirectory(folder).has("remedies")
    there = {file: file.stat().st_mtime_ns for file in RunDirectory(work).parts("trials")}
    assert there

    def watch(stage, done, total):
        seen.append(stage)
        if stage == "remedies" and done == 0:
            now = {file: file.stat().st_mtime_ns for file in RunDirectory(work).parts("trials")}
            assert there.items() <= now.items(), "what was done is left alone"

    found = try_remedies(store, folder, card, FEW, work=work, progress=watch)
    assert "remedies" in seen
    assert found.equals(added.read("remedies"))
    assert not work.exists()


def test_unfinished_runs_other_stores_and_other_models_are_refused(run, store, cards, tmp_path):
    folder, card = copied(run, tmp_path), [str(cards["pifia"])]
    meta = header(folder)

    def refused(text, models=card, **more):
        change_header(folder, {**meta, **more})
        with pytest.raises(UsageError, match=text):
            try_remedies(store, folder, models, FEW)

    refused("has other weights or settings", models=["pifia"])
    refused("was made from another store", store={**meta["store"], "fingerprint": "f" * 16})
    refused("is not finished", status="running")
    refused(r"lacks the condition\(s\) same, different", conditions=["unaltered", "masked"])
    with pytest.raises(UsageError, match="is a URL"):
        try_remedies("s3://bucket/store", folder, card, FEW)


def test_pooling_elsewhere_is_another_card_or_a_reason(cards):
    from dataclasses import replace

    card = load_card(cards["pifia"])
    others = variant_of(FoundModel(card)).others
    found = {(str(remedy), each.name, each.card.pooling) for remedy, each in others.items()}
    assert found == {
        ("pooled", "pifia.pooled", "max_in_mask"),
        ("centred", "pifia.centred", "both_in_middle"),
    }
    mean = variant_of(FoundModel(replace(card, pooling="mean"))).others[Remedy.POOLED]
    assert mean.card.pooling == "mean_in_mask"
    for values, reason in (
        ({"layer": "d2"}, "Its layer 'd2' gives vectors, no map that could be pooled."),
        ({"pooling": "max_in_mask"}, r"It is pooled inside the mask already (max_in_mask)."),
        ({"pooling": "mean_in_middle"}, r"It is pooled over the middle already (mean_in_middle)."),
    ):
        found = variant_of(FoundModel(replace(card, **values)))
        assert not found.others
        assert found.reasons == dict.fromkeys((Remedy.POOLED, Remedy.CENTRED), reason)


def test_the_table_is_listed_with_its_columns():
    assert "remedies" in schema.ADDED_TABLES
    assert not set(schema.ADDED_TABLES) & set(schema.SUMMARY_TABLES)
