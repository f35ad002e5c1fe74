"""Every query against its naive twin in pandas, and what filters may and may not do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compute.errors import InputError
from compute.schema import CONDITIONS, UNUSABLE
from dashboard.bench.synthetic_config import SyntheticConfig
from dashboard.bench.synthetic_run import make_run
from dashboard.queries import accuracy, examples, proteins, provenance
from dashboard.queries.comparable_runs import SETTINGS
from dashboard.queries.filters import (
    AccuracyFilter,
    CropFilter,
    PairFilter,
    ShiftFilter,
    contains,
    listed,
)
from dashboard.queries.open_runs import MissingTableError, Run, connect, open_library
from tests.dashboard.opening import SMALL, opened

MODELS = ("pifia", "paired_cell", "deeploc")


def table(run: Run, name: str) -> pd.DataFrame:
    frames = []
    for file in run.files(name):
        frame = pq.read_table(file, partitioning=None).to_pandas()
        if "model=" in file:
            frame["model"] = Path(file).parent.name.removeprefix("model=")
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="session")
def chosen(run: Run) -> AccuracyFilter:
    return AccuracyFilter("frozen", "pair", "all", MODELS[:2], tuple(run.conditions))


def narrowed(frame: pd.DataFrame, chosen: AccuracyFilter) -> pd.DataFrame:
    keep = (frame["protocol"] == chosen.protocol) & (frame["probe"] == chosen.probe)
    keep &= (frame["aggregation"] == chosen.aggregation) & frame["model"].isin(chosen.models)
    return frame[keep]


def test_overall_joins_each_accuracy_with_its_drop(run, chosen):
    found = accuracy.overall(run, chosen)
    a = narrowed(table(run, "accuracy"), chosen).query("scope == 'overall'")
    e = narrowed(table(run, "effects"), chosen).query("scope == 'overall' and effect == 'drop'")
    twin = a.merge(e, on=["model", "condition"], how="left", suffixes=("", "_e"))
    twin = twin.sort_values(["model", "condition"], ignore_index=True)
    assert len(found) == 2 * len(run.conditions)
    np.testing.assert_allclose(found["estimate"], twin["estimate"])
    np.testing.assert_allclose(found["drop_estimate"], twin["estimate_e"])
    assert found["condition"].tolist() == twin["condition"].tolist()


def test_overall_joins_each_accuracy_with_its_net_drop(run, chosen):
    found = accuracy.overall(run, chosen).set_index(["model", "condition"])
    e = narrowed(table(run, "effects"), chosen).query("scope == 'overall' and effect == 'net'")
    twin = e.set_index(["model", "condition"])
    for mine, theirs in (("estimate", "estimate"), ("low", "ci_low"), ("high", "ci_high")):
        there = found[f"net_{mine}"].dropna()
        assert there.to_dict() == pytest.approx(twin[theirs].to_dict())
    assert found["net_estimate"].isna().groupby("condition").all()[["unaltered", "sham"]].all()
    drop = found["drop_estimate"]
    for (model, condition), net in found["net_estimate"].dropna().items():
        assert net == pytest.approx(drop[model, condition] - drop[model, "sham"])


def test_donors_seen_are_those_of_conditions_with_donors(made, run, chosen):
    assert (accuracy.donors_seen(run, chosen)["donor_seen"] == 0).all()
    config = SyntheticConfig(donor_seen=0.93, models=("pifia",), examples=0)
    other = opened(made(config))
    found = accuracy.donors_seen(other, replace(chosen, models=("pifia",)))
    seen = found.set_index("condition")["donor_seen"].to_dict()
    donors = {str(c) for c, spec in CONDITIONS.items() if spec.donors != "none"}
    assert seen == dict.fromkeys(donors, 0.93) | {"same_protein": 0.0}
    assert (accuracy.gaps(other, replace(chosen, models=("pifia",)))["donor_seen"] == 0.93).all()


def test_how_folds_and_donors_were_made_is_said_where_it_is_known(run):
    said = " ".join(provenance.folds_and_donors(run.meta))
    assert said.startswith("2 folds at most. A fold holds out whole proteins")
    assert "centre cell's own fold" in said
    assert "its own glow" in said
    assert "removed" in said
    paper = {
        "plan": {"folds": 5, "fold_scheme": "paper", "donors": "any"},
        "embed": {"paste": "hard", "donor_centre": "paper"},
    }
    other = provenance.folds_and_donors({"configuration": paper})
    assert len(other) == 5
    assert not {*other} & {*provenance.folds_and_donors(run.meta)}
    for meta in ({}, {"configuration": None}, {"configuration": {"plan": {"donors": "new"}}}):
        assert provenance.folds_and_donors(meta) == []
    assert {place for place, _ in provenance.MADE} <= {*SETTINGS}


def test_gaps_are_largest_first(run, chosen):
    found = accuracy.gaps(run, chosen)
    twin = narrowed(table(run, "effects"), chosen).query("effect == 'gap' and scope == 'overall'")
    assert sorted(found["estimate"]) == pytest.approx(sorted(twin["estimate"]))
    assert found["estimate"].is_monotonic_decreasing


def test_by_class_sets_a_condition_beside_unaltered(run, chosen):
    found = accuracy.by_class(run, chosen, "masked")
    a = narrowed(table(run, "accuracy"), chosen).query("scope == 'localization'")
    before = a[a["condition"] == "unaltered"].set_index(["model", "localization"])["estimate"]
    after = a[a["condition"] == "masked"].set_index(["model", "localization"])["estimate"]
    keys = list(zip(found["model"], found["localization"], strict=True))
    assert len(found) == 2 * 15
    np.testing.assert_allclose(found["before"], before.loc[keys])
    np.testing.assert_allclose(found["after"], after.loc[keys])


def test_background_grid_averages_every_pair_that_holds_the_class(run):
    found = accuracy.background_grid(run, "refit", "deeploc", "different")
    p = table(run, "pairwise").query(
        "protocol == 'refit' and model == 'deeploc' and condition == 'different'"
    )
    for row in found.sample(20, random_state=1).itertuples():
        held = p[
            ((p["localization_a"] == row.localization) | (p["localization_b"] == row.localization))
            & (p["background"] == row.background)
        ]
        assert row.accuracy == pytest.approx(held["accuracy"].mean())
        assert (row.pairs, row.n) == (len(held), held["n"].sum())


def test_pairs_average_backgrounds_and_find_the_worst(run):
    found = accuracy.pairs(run, PairFilter("refit", "pifia", "different", "NUCL"))
    p = table(run, "pairwise").query("protocol == 'refit' and model == 'pifia'")
    assert len(found)
    for row in found.head(10).itertuples():
        pair = p[(p["localization_a"] == row.localization_a)]
        pair = pair[pair["localization_b"] == row.localization_b]
        under = pair[pair["condition"] == "different"]
        assert row.accuracy == pytest.approx(under["accuracy"].mean())
        assert row.worst_background == under.loc[under["accuracy"].idxmin(), "background"]
        assert "nucl" in (row.localization_a + row.localization_b).lower()
    assert found["drop_estimate"].is_monotonic_decreasing


def test_protocols_side_by_side(run, chosen):
    found = accuracy.protocols(run, chosen)
    e = table(run, "effects").query("effect == 'drop' and scope == 'overall'")
    e = e[(e["probe"] == "pair") & (e["aggregation"] == "all")]
    key = e.set_index(["model", "condition", "protocol"])["estimate"]
    for row in found.itertuples():
        assert row.refit == key[row.model, row.condition, "refit"]
        assert row.frozen == key[row.model, row.condition, "frozen"]


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.35])
def test_shifts_histogram_curve_and_shares_agree_with_pandas(run, threshold):
    chosen = ShiftFilter("refit", "deeploc", "different", threshold=threshold)
    s = table(run, "shifts").query(
        "protocol == 'refit' and model == 'deeploc' and condition == 'different'"
    )
    substantial = (s["tv"] >= threshold) & (s["q_value"] <= 0.05)
    found = proteins.shifts(run, chosen)
    assert found["substantial"].sum() == substantial.sum()
    assert found["tv"].is_monotonic_decreasing
    bins = proteins.histogram(run, chosen)
    counts, _ = np.histogram(s["tv"] + 1e-9, bins=np.linspace(0, 1, 21))
    assert (bins["significant"] + bins["other"]).tolist() == counts.tolist()
    assert bins["significant"].sum() == (s["q_value"] <= 0.05).sum()
    shares = proteins.shares(run, "refit", MODELS, threshold)
    row = shares[(shares["model"] == "deeploc") & (shares["condition"] == "different")]
    assert row["share"].item() == pytest.approx(substantial.mean())
    curve = proteins.curve(run, "refit", "different", ("deeploc",))
    at = curve[np.isclose(curve["threshold"], 0.2)]
    assert at["shifted"].item() == ((s["tv"] >= 0.2) & (s["q_value"] <= 0.05)).sum()


def test_search_takes_gene_or_orf_and_nothing_else(run):
    names = proteins.names(run)
    chosen = ShiftFilter("refit", "pifia", "same")
    gene, orf = names["protein"].iloc[0], names["orf"].iloc[0]
    for text in (gene.lower(), orf[1:-1], orf):
        found = proteins.shifts(run, replace(chosen, search=text))
        assert gene in found["protein"].tolist()
        twin = names["protein"].str.contains(text, case=False, regex=False)
        twin |= names["orf"].str.contains(text, case=False, regex=False)
        assert len(found) == twin.sum()
    for text in ("%", "_", "' OR true --", "!", "a" * 10_000):
        assert proteins.shifts(run, replace(chosen, search=text)).empty
    assert proteins.find(run, gene)["protein"].iloc[0] == gene


def test_moves_of_single_cells(run):
    protein = proteins.names(run)["protein"].iloc[3]
    found = proteins.moves(run, protein, "frozen", "different")
    p = table(run, "predictions").query("protein == @protein and protocol == 'frozen'")
    for row in found.itertuples():
        own = p[(p["model"] == row.model) & (p["cell"] == row.cell)]
        before = own[own["condition"] == "unaltered"].iloc[0]
        after = own[own["condition"] == "different"]
        slot = int(np.argmax(before["probabilities"]))
        assert row.class_before == before["predicted"]
        assert row.before == pytest.approx(before["probabilities"][slot])
        assert row.after == pytest.approx(np.mean([x[slot] for x in after["probabilities"]]))
        assert row.flipped == pytest.approx((after["predicted"] != row.class_before).mean())


def test_one_protein_in_every_table(run):
    protein = proteins.names(run)["protein"].iloc[5]
    d = proteins.distributions(run, protein, "refit")
    assert d.groupby(["model", "condition"])["proportion"].sum().to_numpy() == pytest.approx(1)
    own = proteins.protein_shifts(run, protein, "refit")
    s = table(run, "shifts").query("protocol == 'refit'")
    for row in own.itertuples():
        rest = s[(s["model"] == row.model) & (s["condition"] == row.condition)]
        assert row.rank == 1 + (rest["tv"] > row.tv).sum()
        assert row.of == len(rest)


def test_cells_count_changed_answers(run):
    conditions = ("unaltered", "same", "different")
    chosen = CropFilter("refit", MODELS, conditions)
    found, total = examples.cells(run, chosen, "most changed", 1, 1000)
    e = table(run, "examples")
    assert total == len(found) == e["cell"].nunique()
    said = {
        (row.cell, row.condition, item["model"]): item["predicted"]
        for row in e.itertuples()
        for item in row.predictions
        if item["protocol"] == "refit"
    }
    for row in found.itertuples():
        twin = sum(
            said[row.cell, c, m] != said[row.cell, "unaltered", m]
            for c in conditions[1:]
            for m in MODELS
        )
        assert row.changes == twin
    only, _ = examples.cells(run, replace(chosen, changed=True), "gene", 1, 1000)
    assert set(only["cell"]) == set(found.query("changes > 0")["cell"])
    clean, _ = examples.cells(run, replace(chosen, flags="clean"), "class", 1, 1000)
    flagged, _ = examples.cells(run, replace(chosen, flags="flagged"), "class", 1, 1000)
    assert len(clean) + len(flagged) == total
    assert (clean["flags"] == 0).all()


def test_pages_of_cells_do_not_overlap(run):
    chosen = CropFilter("refit", MODELS, tuple(run.conditions))
    pages = [examples.cells(run, chosen, "gene", page, 7)[0] for page in (1, 2, 3)]
    cells = pd.concat(pages)["cell"]
    assert cells.is_unique
    assert len(cells) == min(21, examples.cells(run, chosen, "gene", 1, 1)[1])


def test_contents_and_flags_count_what_is_there(run):
    found = provenance.contents(run).set_index("table")["rows"]
    for name in ("cells", "predictions", "shifts"):
        assert found[name] == len(table(run, name))
    flags = provenance.flags(run).query("of == 'cells' and flag == 'touches border'")
    assert flags["count"].item() == (table(run, "cells")["flags"] & 4 > 0).sum()


@pytest.mark.parametrize("name", ["cells", "predictions", "accuracy"])
def test_tables_leave_as_parquet_and_csv(run, name, tmp_path):
    path = tmp_path / "taken.parquet"
    path.write_bytes(provenance.as_parquet(run, name))
    taken = pq.read_table(path)
    assert taken.num_rows == len(table(run, name))
    assert (name != "predictions") or "model" in taken.column_names
    assert provenance.as_csv(run, name).count(b"\n") >= taken.num_rows


def test_no_name_leaves_as_a_formula(run, monkeypatch):
    table = pa.table({"gene": ["=1+1"], "x": [-1.0]})
    monkeypatch.setattr(provenance, "_whole", lambda *_: table)
    assert provenance.as_csv(run, "cells") == b"gene,x\n'=1+1,-1.0\n"


def test_rejections_of_store_and_run_are_both_listed(run):
    found = provenance.rejections(run.meta)
    assert found["count"].tolist() == [2, 3]
    assert found["stage"].tolist() == ["import", "plan"]


def test_connection_reads_the_run_and_nothing_else(run, tmp_path):
    other = tmp_path / "secret.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(other)
    for sql in (
        f"SELECT * FROM read_parquet('{other}')",
        f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
        "SET enable_external_access = true",
        "ATTACH 'x.duckdb'",
    ):
        with pytest.raises(Exception, match=r"Permission|disabled|locked|Cannot"):
            run.connection.cursor().execute(sql)


def test_token_changes_with_a_file(tmp_path):
    path = make_run(tmp_path / "run", replace(SMALL, models=("pifia",), examples=0))
    before = opened(path).token
    assert opened(path).token == before
    (path / "accuracy.parquet").unlink()
    assert opened(path).token != before


def test_missing_and_damaged_tables_are_named(tmp_path):
    path = make_run(tmp_path / "run", replace(SMALL, models=("pifia",), examples=0))
    run = opened(path)
    with pytest.raises(MissingTableError, match="examples"):
        examples.sample(run)
    (path / "shifts.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="shifts"):
        proteins.shifts(opened(path), ShiftFilter("refit", "pifia", "same"))


def test_folders_that_cannot_be_shown_say_why(tmp_path, run_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "run.json").write_text('{"schema_version": 1}')
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    paths = [run_path, run_path, tmp_path / "old", tmp_path / "torn", tmp_path / "none"]
    library = open_library(paths, connect(paths))
    assert library.keys == ["synthetic"]
    assert ["version" in b.problem or "JSON" in b.problem for b in library.broken[:2]] == [True] * 2
    assert "Run again" in library.broken[0].remedy
    assert all(broken.remedy for broken in library.broken)


def test_two_runs_of_one_name_have_two_keys(tmp_path, run_path):
    second = make_run(tmp_path / "b", replace(SMALL, models=("pifia",), examples=0))
    library = open_library([run_path, second], connect([run_path, second]))
    assert library.keys == ["synthetic", "synthetic (2)"]


def test_filters_say_what_they_do_and_refuse_unknown_words():
    assert "“NUP”" in ShiftFilter("refit", "pifia", "same", search="NUP").sentence()
    assert "of nucleus" in CropFilter("refit", (), ("same",), localization="nucleus").sentence(1, 2)
    for wrong in (
        lambda: AccuracyFilter(protocol="x"),
        lambda: ShiftFilter("refit", "m", "nowhere"),
        lambda: ShiftFilter("refit", "m", "same", threshold=3),
        lambda: CropFilter("refit", (), (), flags="x"),
        lambda: PairFilter("refit", "m", "1; DROP"),
    ):
        with pytest.raises(ValueError, match=r"x|nowhere|threshold|flags|DROP"):
            wrong()
    assert contains("50%_!") == "%50!%!_!!%"
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_the_commonest_class_is_counted_as_one_would(run):
    cells = run.query("SELECT localization, flags FROM {cells}", ("cells",))
    usable = cells[(cells["flags"] & int(UNUSABLE)) == 0]["localization"].dropna()
    n = usable.value_counts().to_dict()
    assert accuracy.commonest(run, False) == pytest.approx(max(n.values()) / sum(n.values()))
    shares = [max(n[a], n[b]) / (n[a] + n[b]) for a in n for b in n if a < b]
    assert accuracy.commonest(run, True) == pytest.approx(sum(shares) / len(shares))
