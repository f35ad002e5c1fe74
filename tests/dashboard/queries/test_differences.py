"""Differences of models from one run, and across runs on the same trials."""

import shutil
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from typer.testing import CliRunner

from compute.cli.main import app as command_line
from compute.errors import BystanderError, UsageError
from compute.schema import Probe
from compute.shipped import DEMO_RUN
from dashboard import differences
from dashboard.charts.differences import differences as draw
from dashboard.queries.comparable_runs import Entry, directly
from dashboard.queries.differences import check_same_trials, of_pairs
from dashboard.queries.open_runs import connect, open_library
from tests.dashboard.opening import SMALL
from tests.dashboard.queries.test_queries import table
from tests.seals import change_header, header


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """The shipped demo twice, as two runs on the same trials."""
    folders = []
    for name in ("first", "second"):
        folder = tmp_path_factory.mktemp("twins") / name
        shutil.copytree(DEMO_RUN, folder)
        change_header(folder, {"name": name})
        folders.append(folder)
    return open_library(folders, connect([f.resolve() for f in folders])).runs


def test_a_runs_own_table_is_read_whichever_way_round(run):
    twin = table(run, "model_differences").query("protocol == 'refit' and probe == 'pair'")
    for one, other in combinations(run.models, 2):
        there, back = (
            of_pairs(directly, [pair], "refit", "pair").table
            for pair in (
                (Entry(run, one, True), Entry(run, other, True)),
                (Entry(run, other, True), Entry(run, one, True)),
            )
        )
        rows = twin[(twin["model"] == one) & (twin["other"] == other)]
        assert len(there) == len(rows) > 0
        assert np.allclose(sorted(there["estimate"]), sorted(rows["estimate"]))
        assert np.allclose(there["estimate"], -back["estimate"])
        assert np.allclose(there["ci_low"], -back["ci_high"])
        assert there["p_value"].equals(back["p_value"])


@pytest.mark.parametrize("probe", ["pair", "multiclass"])
def test_across_runs_it_is_the_difference_that_one_run_has(twins, probe):
    first, second = twins
    one, other = "pifia", "deeploc"
    found = of_pairs(
        directly, [(Entry(first, one, False), Entry(second, other, False))], "frozen", probe
    )
    assert found.notes
    accuracy, effects = table(first, "accuracy"), table(first, "effects")
    keys = f"probe == '{probe}' and protocol == 'frozen' and aggregation == 'all' "
    keys += "and scope == 'overall'"
    of = {
        ("accuracy", row.model, row.condition): row.estimate
        for row in accuracy.query(keys).itertuples()
    } | {
        (row.effect, row.model, row.condition): row.estimate
        for row in effects.query(keys).itertuples()
    }
    assert len(found.table) == sum(key[0] != "net" and key[1] == one for key in of)
    for row in found.table.itertuples():
        assert (row.model, row.other) == ("PIFiA · first", "DeepLoc · second")
        expected = of[row.quantity, one, row.condition] - of[row.quantity, other, row.condition]
        assert row.estimate == pytest.approx(expected, abs=1e-9)
        assert row.ci_low <= row.estimate <= row.ci_high
        assert (row.p_holm >= row.p_value) != (row.condition in ("sham", "background_only"))
    if not first.has("model_differences"):
        return  # the demo was made before
    inside = of_pairs(directly, [(Entry(first, one, True), Entry(first, other, True))], "frozen",
                      probe).table  # fmt: skip
    both = found.table.merge(inside, on=["quantity", "condition"], suffixes=("", "_inside"))
    assert len(both) == len(found.table)
    half, wanted = (both[f"ci_high{e}"] - both[f"ci_low{e}"] for e in ("", "_inside"))
    windows = both["condition"] == "cell_free"
    if probe == Probe.MULTICLASS:  # whose donors are known: sketches differ by chance
        assert np.allclose(half[~windows], wanted[~windows], rtol=0.06)
    assert (half <= wanted * 1.06).all()


def test_one_model_twice_does_not_differ(twins):
    first, second = twins
    pair = Entry(first, "pifia", False), Entry(second, "pifia", False)
    for probe in ("pair", "multiclass"):
        found = of_pairs(directly, [pair], "refit", probe).table
        assert (found[["estimate", "ci_low", "ci_high"]].abs() < 1e-12).all(axis=None)
        assert (found["p_value"] == 1).all()


def test_runs_on_other_trials_are_refused(twins, made, tmp_path):
    folder = tmp_path / "third"
    shutil.copytree(twins[0].path, folder)
    settings = header(folder)["configuration"]
    settings["plan"]["seed"] = 7
    settings["embed"]["paste"] = "hard"
    change_header(folder, {"configuration": settings, "name": "third"})
    with pytest.raises(UsageError, match=r"seed \(0 and 7\), paste \(glow and hard\)"):
        differences([twins[0].path, folder])
    other = made(replace(SMALL, seed=5, name="other"))
    library = open_library([twins[0].path, other], connect([twins[0].path, other.resolve()]))
    with pytest.raises(UsageError, match="the crop store"):
        check_same_trials(*library.runs)
    check_same_trials(*twins)


def test_where_there_is_one_model_there_is_nothing_to_compare(made):
    with pytest.raises(BystanderError, match="no two models"):
        differences(made(replace(SMALL, models=("pifia",))))


def test_the_command_prints_them(run_path):
    made = CliRunner().invoke(command_line, ["compare", str(run_path), "--differences"])
    assert made.exit_code == 0, made.output
    lines = [line for line in made.output.splitlines() if " − " in line and "(" in line]
    assert len(lines) == 3
    assert "PIFiA − Paired Cell" in lines[0]
    rows = CliRunner().invoke(command_line, ["compare", str(run_path), "--differences", "--csv"])
    assert rows.output.startswith("model,other,quantity,condition,estimate,ci_low,ci_high")
    wrong = CliRunner().invoke(
        command_line, ["compare", str(run_path), "--differences", "--condition", "samee"]
    )
    assert isinstance(wrong.exception, UsageError)


def test_the_chart_says_who_loses_more(run):
    first, second = Entry(run, "pifia", True), Entry(run, "deeploc", True)
    found = of_pairs(directly, [(first, second)], "frozen", "multiclass").table
    found.loc[:, ["estimate", "ci_low", "ci_high", "p_holm"]] = 0.0, -0.01, 0.01, 1.0
    chart = draw(found, "PIFiA", "DeepLoc", "", "")
    assert chart.title == "PIFiA and DeepLoc: no difference between their drops is told from zero"
    assert [panel.title for panel in chart.panels] == ["Accuracy", "Drop", "Background gap"]
    worst = (found["quantity"] == "drop") & (found["condition"] == "different")
    found.loc[worst, ["estimate", "ci_low", "ci_high", "p_holm"]] = -0.05, -0.08, -0.02, 0.001
    title = draw(found, "PIFiA", "DeepLoc", "", "").title
    assert title == "DeepLoc loses 5.0 points more than PIFiA on the background of another class"
    found.loc[worst, "p_holm"] = 0.2
    assert "told from zero" in draw(found, "PIFiA", "DeepLoc", "", "").title, "Holm counts, too"
