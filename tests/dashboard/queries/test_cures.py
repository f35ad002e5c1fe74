"""What is said to help, against the table `remedies` read with plain loops."""

from dataclasses import replace

import pyarrow as pa
import pytest

from compute import schema
from compute.schema import REMEDIES_IN_WORDS, Remedy
from compute.storage.run_directory import RunDirectory
from dashboard.queries.cures import cures
from tests.dashboard.opening import SMALL, opened
from tests.dashboard.views.test_pages import fine, text_of

FEW = replace(SMALL, proteins=15, mixed=1, cells=4, models=("deeploc", "pifia"))


def rows_of(path, model):
    table = RunDirectory(path).read("remedies").to_pandas().query("model == @model and applies")
    keys = {("accuracy", "unaltered"), ("drop", "different")}
    kept = [tuple(pair) in keys for pair in table[["quantity", "condition"]].to_numpy()]
    found = {}
    for row in table[kept].to_dict("records"):
        found.setdefault(row["remedy"], {})[row["quantity"]] = row
    return found


def expected(path, model):
    rows, chosen = rows_of(path, model), []
    for mask in (False, True):
        best = None
        for name, row in rows.items():
            if REMEDIES_IN_WORDS[Remedy(name)].needs_mask != mask or name == "none":
                continue
            if row["drop"]["difference_high"] >= 0 or row["accuracy"]["difference"] < -0.01:
                continue
            if best is None or row["drop"]["estimate"] < rows[best]["drop"]["estimate"]:
                best = name
        worse = [rows[other]["drop"]["estimate"] for other in chosen]
        if best and all(rows[best]["drop"]["estimate"] < other for other in worse):
            chosen.append(best)
    return chosen


def changed(path, change):
    """Give a run another table of remedies."""
    run = RunDirectory(path)
    table = run.read("remedies").to_pandas()
    change(table)
    run.add("remedies", pa.Table.from_pandas(table, schema.REMEDIES, preserve_index=False))
    return path


def test_the_smallest_drop_that_costs_nothing_helps(made):
    path = made(FEW)
    found = cures(opened(path), ["pifia", "deeploc"])
    assert [(one.model, str(one.remedy)) for one in found] == [
        (model, name) for model in ("pifia", "deeploc") for name in expected(path, model)
    ]
    assert len(found) == 4, "one without a mask and one with, for each"
    for one in found:
        row, plain = (rows_of(path, one.model)[name] for name in (str(one.remedy), "none"))
        assert one.drop == row["drop"]["estimate"]
        assert one.accuracy_before == plain["accuracy"]["estimate"]
        alike = "different" in REMEDIES_IN_WORDS[one.remedy].replaces
        lost = "nothing, by construction," if alike else f"{100 * one.drop:.1f} points"
        said = f"loses {lost} instead of {100 * one.drop_before:.1f} points"
        assert said in one.sentence
        needs = REMEDIES_IN_WORDS[one.remedy].needs_mask
        assert ("no mask in use" in one.sentence) != needs


def test_a_remedy_that_costs_accuracy_or_is_not_told_apart_is_not_said_to_help(made):
    def dear(table):
        centred = table["remedy"] == "centred"
        table.loc[centred & (table["quantity"] == "accuracy"), "difference"] = -0.02

    def unsure(table):
        table.loc[table["quantity"] == "drop", "difference_high"] = 0.001

    first = cures(opened(changed(made(replace(FEW, name="dear")), dear)), ["deeploc"])
    assert str(first[0].remedy) == "balanced", "the next without a mask"
    assert cures(opened(changed(made(replace(FEW, name="unsure")), unsure)), ["deeploc"]) == []


def test_without_the_table_nothing_is_said(made):
    run = opened(made(replace(FEW, without=("remedies",))))
    assert cures(run, ["deeploc"]) == []
    assert cures(opened(made(FEW)), ["unknown"]) == []
    assert cures(opened(made(replace(FEW, labels=False))), ["deeploc"]) == []


@pytest.mark.parametrize("without", [(), ("remedies",)])
def test_overview_shows_the_cure_beside_the_finding(app, made, without):
    test = app(made(replace(FEW, without=without)))
    fine(test)
    said = text_of(test)
    assert ("What helps" in said) == (not without)
    assert ("pooling over the middle" in said) == (not without)
