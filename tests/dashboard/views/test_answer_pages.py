"""Queries about changed answers against their naive twins, and the filters behind a selection."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from compute.schema import COMPOSED, CONDITIONS, PROBES
from compute.statistics.truth import Verdict, verdict
from dashboard.queries import accuracy, answers, examples, proteins
from dashboard.queries.filters import AccuracyFilter, CropFilter, ShiftFilter
from tests.dashboard.queries.test_queries import MODELS, table

EVERY = AccuracyFilter("frozen", "pair", "all", MODELS, ("unaltered", "same", "different"))


def test_flips_keep_protocol_models_and_conditions(run):
    found = answers.flips(run, EVERY)
    twin = table(run, "flips").query(
        "protocol == 'frozen' and scope == 'overall' and condition in ('same', 'different')"
    )
    assert len(found) == len(twin) == 3 * 2 * 3
    key = ["model", "condition", "direction"]
    assert found.set_index(key)["estimate"].to_dict() == twin.set_index(key)["estimate"].to_dict()


def test_backgrounds_are_those_of_one_model_and_condition(run):
    found = answers.backgrounds(run, "refit", "deeploc", "different")
    twin = table(run, "backgrounds").query(
        "protocol == 'refit' and model == 'deeploc' and condition == 'different'"
    )
    key = ["localization", "background"]
    assert found.set_index(key)["drop_estimate"].to_dict() == twin.set_index(key)["drop"].to_dict()
    with_donors = [
        str(c) for c, spec in CONDITIONS.items() if spec.donors != "none" and spec.composed
    ]
    assert answers.background_conditions(run, "refit") == sorted(with_donors)


def test_rescaling_and_context_add_up(run):
    found = answers.rescaling(run, MODELS[:1], ("different", "masked"))
    wide = found.pivot(index=["model", "condition"], columns="part", values="estimate")
    assert len(wide) == 2
    np.testing.assert_allclose(wide["total"], wide["rescaling"] + wide["context"])


def test_calibration_tells_fitted_temperatures_apart(run):
    found = answers.calibration(run, EVERY)
    assert set(found["measure"]) == {"ece", "brier"}
    assert (found["temperature"][~found["fitted"]] == 1).all()
    kept = answers.expected_error(found)
    twin = table(run, "calibration").query(
        "protocol == 'frozen' and measure == 'ece' and temperature == 1"
    )
    twin = twin[twin["condition"].isin(EVERY.conditions)]
    assert sorted(kept["estimate"]) == pytest.approx(sorted(twin["estimate"]))


def test_reliability_counts_every_trial_once(run):
    found = answers.reliability(run, "refit", ("pifia",), ("unaltered", "different"))
    twin = table(run, "reliability").query(
        "protocol == 'refit' and model == 'pifia' and temperature == 1 "
        "and condition in ('unaltered', 'different')"
    )
    assert found["n"].sum() == twin["n"].sum()
    assert found.groupby("condition")["bin"].is_monotonic_increasing.all()


def test_equivalence_is_read(run):
    chosen = replace(EVERY, protocol="refit")
    found = accuracy.equivalence(run, chosen)
    assert {"same", "different"} <= set(found["condition"])
    assert set(found["probe"]) == set(PROBES), "whichever probe is chosen"
    assert (found["margin"] == 0.02).all()
    assert found["margin_odds"].isna().all()
    twin = table(run, "effects").query(
        "protocol == 'refit' and aggregation == 'all' and effect == 'drop' and scope == 'overall'"
    )
    twin = twin[twin["condition"].isin(chosen.conditions)]
    assert len(found) == len(twin)


def test_neighbours_count_answers_that_are_the_backgrounds_class(run):
    protein = proteins.names(run)["protein"].iloc[2]
    found = proteins.neighbours(run, protein, "frozen", "different")
    cells = table(run, "cells").query("protein == @protein")
    own = set(np.concatenate(cells["labels"].to_list()))
    trials = table(run, "trials").set_index("trial")["donor_localization"]
    p = table(run, "predictions").query("protein == @protein and protocol == 'frozen'")
    p = p.assign(behind=p["trial"].map(trials))
    first = p[p["condition"] == "unaltered"].set_index(["model", "cell"])["predicted"]
    p = p[p["condition"] == "different"]
    assert not set(found["background"]) & own
    assert len(found) == len(p[~p["behind"].isin(own)].groupby(["model", "behind"]))
    for row in found.itertuples():
        some = p[(p["model"] == row.model) & (p["behind"] == row.background)]
        assert (row.trials, row.taken) == (len(some), (some["predicted"] == row.background).sum())
        before = [first[row.model, cell] == row.background for cell in some["cell"]]
        assert row.before == pytest.approx(np.mean(before))


def test_a_list_of_proteins_narrows_the_tables(run):
    genes = tuple(proteins.names(run)["protein"].iloc[[4, 1]])
    found = proteins.listed(run, "refit", "different", MODELS, genes)
    assert set(found["protein"]) == set(genes)
    assert len(found) == 2 * 3
    chosen = ShiftFilter("refit", "pifia", "different", proteins=genes)
    assert set(proteins.shifts(run, chosen)["protein"]) == set(genes)
    assert "2 chosen" in chosen.sentence()


def test_truth_of_a_simulated_protein(run):
    protein = proteins.names(run)["protein"].iloc[0]
    found = proteins.truth(run, protein, "refit")
    twin = table(run, "truth").query("protein == @protein and protocol == 'refit'")
    assert len(found) == len(twin) > 0


def said(run) -> dict:
    return {
        (row.cell, row.condition, item["model"]): item["predicted"]
        for row in table(run, "examples").itertuples()
        for item in row.predictions
        if item["protocol"] == "refit"
    }


@pytest.mark.parametrize("direction", ["lost", "gained", "moved"])
def test_cells_behind_a_flip(run, direction):
    chosen = CropFilter("refit", ("pifia",), ("different",), direction=direction)
    found, total = examples.cells(run, chosen, "gene", 1, 1000)
    e = table(run, "examples").query("condition == 'different'")
    answer, twin = said(run), set()
    for row in e.itertuples():
        before = answer[row.cell, "unaltered", "pifia"]
        after = answer[row.cell, "different", "pifia"]
        if row.localization is None or pd.isna(row.localization):
            continue
        was, right = before == row.localization, after == row.localization
        kind = "lost" if was and not right else "gained" if right and not was else ""
        if not was and not right and before != after:
            kind = "moved"
        if kind == direction:
            twin.add(row.cell)
    assert set(found["cell"]) == twin
    assert total == len(twin)


def test_cells_behind_a_square(run):
    e = table(run, "examples").query("condition == 'different'").dropna(subset=["localization"])
    row = e.iloc[0]
    chosen = CropFilter(
        "refit",
        ("pifia",),
        ("different",),
        localization=row["localization"],
        background=row["donor_localization"],
    )
    found, _ = examples.cells(run, chosen, "most changed", 1, 1000)
    has = e["labels"].map(lambda labels: row["localization"] in labels)
    behind = e["donor_localization"] == row["donor_localization"]
    assert set(found["cell"]) == set(e[has & behind]["cell"])
    assert f"on {row['donor_localization']} backgrounds" in chosen.clause().words


def test_every_trial_of_a_cell_with_its_donor(run):
    cell = int(table(run, "examples")["cell"].iloc[0])
    found = examples.answers(run, cell)
    trials = table(run, "trials").query("cell == @cell")
    protein_of = table(run, "cells").set_index("cell")["protein"]
    assert set(found["trial"]) == set(trials["trial"])
    assert len(found) == len(trials) * len(MODELS) * 2
    donors = found[found["condition"] == "different"].drop_duplicates("trial")
    for row in donors.itertuples():
        assert row.donor_protein == protein_of[row.donor]
    assert found[found["condition"] == "cell_free"]["donor_protein"].isna().all()
    assert found[found["stored"]]["trial"].nunique() == len(COMPOSED)
    assert examples.stored(run, cell)
    assert not examples.stored(run, 10**9)


def test_filters_refuse_an_unknown_direction():
    with pytest.raises(ValueError, match="sideways"):
        CropFilter("refit", (), (), direction="sideways")


@pytest.mark.parametrize("threshold", [0.0, 0.15, 0.4])
def test_verdicts_count_shifted_proteins_by_when_they_were_wrong(run, threshold):
    found = proteins.verdicts(run, "frozen", MODELS, threshold)
    key = ["model", "condition", "protocol", "protein"]
    both = table(run, "truth").merge(table(run, "shifts"), on=key)
    assert len(found) == len(both[["model", "condition"]].drop_duplicates())
    for row in found.itertuples():
        here = both.query("model == @row.model and condition == @row.condition")
        here = here[here["protocol"] == "frozen"]
        called = here[(here["tv"] >= threshold) & (here["q_value"] <= 0.05)]
        twin = pd.Series(verdict(called["tv_before"], called["tv_after"], threshold)).value_counts()
        assert row.n == len(here)
        assert row.shifted == len(called)
        for when in Verdict:
            assert getattr(row, when) == twin.get(str(when), 0)
        assert row.closer == (here["tv_after"] < here["tv_before"]).sum()
        assert row.tv_before == pytest.approx(here["tv_before"].median())
