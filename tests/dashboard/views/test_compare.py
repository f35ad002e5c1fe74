"""What runs have in common, the leaderboard, disagreements; the page and the command line."""

import csv
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from compute.cli.main import app as command_line
from compute.errors import BystanderError, UsageError
from compute.schema import LOCALIZATIONS, PROBES, Probe
from compute.shipped import DEMO_RUN
from dashboard.bench.synthetic_run import make_run
from dashboard.charts import compare as charts
from dashboard.queries import compare
from dashboard.queries.agreement import agreement, drops_by_probe
from dashboard.queries.comparable_runs import Entry, comparison, directly
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.open_runs import connect, open_library
from dashboard.queries.restricted import restricted
from tests.dashboard.opening import SMALL, opened
from tests.dashboard.views.test_pages import fine, text_of

USUAL = ("refit", "pair", "all")
FEW = replace(SMALL, proteins=15, mixed=1, cells=4, examples=1)


def opened_together(*paths):
    library = open_library(list(paths), connect([path.resolve() for path in paths]))
    assert not library.broken
    return library.runs


@pytest.fixture(scope="module")
def demo():
    return opened(DEMO_RUN)


def test_one_run_compares_its_models(run):
    found = comparison(directly, [run])
    assert [entry.title for entry in found.entries] == ["PIFiA", "Paired Cell", "DeepLoc"]
    assert found.choices[0] == USUAL
    assert not found.notes
    assert not found.left_out


def test_what_runs_have_not_in_common_is_said(made):
    some = LOCALIZATIONS[:4]
    one = made(replace(FEW, name="one"))
    two = made(
        replace(FEW, name="two", localizations=some, conditions=("unaltered", "same", "different"))
    )
    found = comparison(directly, opened_together(one, two))
    assert found.localizations == some
    assert found.conditions == ("unaltered", "same", "different")
    assert found.classes
    assert {choice[1] for choice in found.choices} == {"pair"}
    said = " ".join(found.notes)
    assert "4 localizations in common" in said
    assert "Only one has" in said
    assert "PIFiA · two" in [entry.title for entry in found.entries]


def test_how_folds_donors_and_composites_were_made_is_compared(made):
    one = made(replace(FEW, name="one", proteins=30))
    two = made(replace(FEW, name="two", proteins=30, donor_seen=0.5))
    found = comparison(directly, opened_together(one, two))
    said = "Different settings, folds that donors come from: one: fold; two: any."
    assert said in found.notes
    assert not [note for note in found.notes if "how folds are made" in note]
    board = compare.leaderboard(directly, found, USUAL, "different").set_index("run")
    assert board["donor_seen"].to_dict() == {"one": 0, "two": 0.5}
    caption = charts.leaderboard(board.reset_index(), "different", "").caption
    assert "In 50% of the tested crops" in caption


def test_runs_without_labels_are_left_out_with_the_reason(made, run_path):
    bare = made(replace(FEW, name="bare", labels=False))
    unfinished = made(replace(FEW, name="begun", complete=False))
    found = comparison(directly, opened_together(run_path, bare, unfinished))
    assert {entry.run.title for entry in found.entries} == {"synthetic"}
    assert "bare: no accuracy was computed" in " ".join(found.left_out)
    assert "begun" in " ".join(found.left_out)


def test_other_stores_are_not_called_the_same_cells(demo, run_path):
    found = comparison(directly, opened_together(DEMO_RUN, run_path))
    assert any(note.startswith("Not the same cells") for note in found.notes)
    same = comparison(directly, opened_together(run_path, run_path.parent / run_path.name))
    assert len(same.entries) == 3


def naive(tallies: pd.DataFrame, classes: tuple[str, ...]) -> float:
    """Mean over pairs of the share of right answers on both classes, by plain loops."""
    found = []
    for i, a in enumerate(classes):
        for b in classes[i + 1 :]:
            right = answers = 0
            for row in tallies.itertuples():
                if (row.localization, row.other) in ((a, b), (b, a)):
                    right += row.correct
                    answers += row.n
            found.append(right / answers)
    return float(np.mean(found))


def test_restricted_accuracy_is_that_of_a_plain_loop(demo):
    classes = ("actin", "ER", "nucleus", "vacuole")
    chosen = AccuracyFilter(*USUAL, ("pifia",), ("unaltered", "different"))
    found = restricted(demo, chosen, classes)
    tallies = demo.query(
        "SELECT * FROM {pair_tallies} WHERE model = 'pifia' AND protocol = 'refit'",
        ("pair_tallies",),
    )
    overall = found[(found["scope"] == "overall")].set_index(["effect", "condition"])["estimate"]
    both = {c: naive(tallies[tallies["condition"] == c], classes) for c in chosen.conditions}
    for condition, value in both.items():
        assert overall["accuracy", condition] == pytest.approx(value, abs=1e-12)
    drop = both["unaltered"] - both["different"]
    assert overall["drop", "different"] == pytest.approx(drop, abs=1e-12)


def test_restricted_to_all_classes_changes_nothing(demo):
    chosen = AccuracyFilter(*USUAL, ("deeploc",), ("unaltered", "same", "different"))
    found = restricted(demo, chosen, tuple(demo.localizations))
    stored = compare._stored(demo, chosen)
    stored = stored[stored["effect"] != "net"]  # which needs sham, and is not compared
    keys = ["effect", "condition", "scope", "localization"]
    both = found.merge(stored, on=keys, suffixes=("", "_stored"))
    assert len(both) == len(stored)
    for name in ("estimate", "n_cells", "n_proteins"):
        np.testing.assert_allclose(both[name], both[f"{name}_stored"], atol=1e-12)
    inside = (both["ci_low"] <= both["estimate"]) & (both["estimate"] <= both["ci_high"])
    assert inside.all()


def test_restricted_takes_pair_tests_where_there_are_no_tallies(made):
    run = opened(made(replace(SMALL, examples=0, without=("pair_tallies",))))
    chosen = AccuracyFilter(*USUAL, ("pifia",), ("unaltered", "masked"))
    classes = LOCALIZATIONS[:3]
    found = restricted(run, chosen, classes).set_index(["effect", "scope", "condition"])
    pairs = run.query(
        """SELECT avg(accuracy) AS a FROM {pairwise} WHERE model = 'pifia' AND protocol = 'refit'
           AND condition = 'masked' AND localization_a IN $c AND localization_b IN $c""",
        ("pairwise",),
        {"c": list(classes)},
    )["a"].item()
    assert found.loc[("accuracy", "overall", "masked"), "estimate"].item() == pytest.approx(pairs)
    assert restricted(run, AccuracyFilter("refit", "multiclass"), classes).empty


@pytest.mark.parametrize("sort", compare.SORTS)
def test_the_leaderboard_is_in_its_order(run, sort):
    found = comparison(directly, [run])
    table = compare.leaderboard(directly, found, USUAL, "different", sort)
    column, ascending = compare.SORTS[sort]
    assert (
        table[column].is_monotonic_increasing
        if ascending
        else (table[column].is_monotonic_decreasing)
    )
    assert table["rank"].tolist() == [1, 2, 3]
    stored = run.query(
        """SELECT model, estimate FROM {effects} WHERE effect = 'drop' AND scope = 'overall'
           AND condition = 'different' AND protocol = 'refit' AND probe = 'pair'
           AND aggregation = 'all'""",
        ("effects",),
    ).set_index("model")["estimate"]
    for row in table.itertuples():
        assert row.drop == pytest.approx(stored[row.model])


def test_a_number_that_is_missing_has_no_rank(made):
    path = made(replace(FEW, conditions=("unaltered", "masked")))
    found = comparison(directly, [opened(path)])
    table = compare.leaderboard(directly, found, USUAL, "masked", "smallest gap")
    assert table["rank"].isna().all()
    assert table["gap"].isna().all()
    assert table["drop"].notna().all()


def test_reversals_are_those_of_a_plain_comparison(demo):
    found = comparison(directly, [demo])
    first, second = (Entry(demo, model, True) for model in ("paired_cell", "deeploc"))
    table = compare.class_pairs(directly, found, first, second, USUAL, "different")
    board = compare.leaderboard(directly, found, USUAL, "different").set_index("model")["drop"]
    whole = board["paired_cell"] - board["deeploc"]
    assert len(table) == 15
    for row in table.itertuples():
        assert row.reverses == ((row.first - row.second) * whole < 0)
        assert row.apart == (row.first_low > row.second_high or row.second_low > row.first_high)
    assert table["reverses"].any()
    assert not table["reverses"].all()
    assert table["reverses"].is_monotonic_decreasing


def test_shift_pairs_say_who_is_shifted(run):
    first, second = (Entry(run, model, True) for model in ("pifia", "deeploc"))
    table = compare.shift_pairs(directly, first, second, "refit", "different", 0.3)
    stored = run.query(
        "SELECT * FROM {shifts} WHERE protocol = 'refit' AND condition = 'different'", ("shifts",)
    ).set_index(["model", "protein"])
    assert (
        len(table)
        == run.query("SELECT count(DISTINCT protein) n FROM {cells}", ("cells",))["n"].item()
    )
    for row in table.itertuples():
        shifted = [
            stored.loc[(model, row.protein), "tv"] >= 0.3
            and stored.loc[(model, row.protein), "q_value"] <= 0.05
            for model in ("pifia", "deeploc")
        ]
        expected = {(1, 1): "both", (1, 0): "first only", (0, 1): "second only"}
        assert row.said == expected.get(tuple(map(int, shifted)), "neither")
    differ = table["said"].isin(["first only", "second only"])
    assert differ.is_monotonic_decreasing


def answered(*words):
    return CliRunner().invoke(command_line, ["compare", *map(str, words)])


def test_the_command_line_prints_the_same_numbers(run, run_path):
    table = compare.leaderboard(directly, comparison(directly, [run]), USUAL, "masked")
    done = answered(run_path, "--condition", "masked", "--csv")
    assert done.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["model"] for row in rows] == table["model"].tolist()
    assert [float(row["drop"]) for row in rows] == pytest.approx(table["drop"].tolist())
    assert {row["condition"] for row in rows} == {"masked"}
    plain = answered(run_path, "--condition", "masked", "--sort", "accuracy").stdout
    assert "Paired Cell" in plain
    assert "\x1b" not in plain
    assert f"{100 * table['drop'][0]:.1f} (" in plain


def test_numbers_that_are_missing_are_empty_in_the_csv(run_path):
    asked = ("--protocol", "frozen", "--probe", "multiclass", "--condition", "background_only")
    for words in (asked, ("--condition", "conflicting")):
        done = answered(run_path, *words, "--csv")
        assert done.exit_code == 0, done.exception
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert rows
        assert not {"nan", "<NA>", "None"} & {value for row in rows for value in row.values()}


def test_the_command_line_says_what_is_wrong(run_path, made, tmp_path):
    assert isinstance(answered(run_path, "--condition", "maskd").exception, UsageError)
    assert "masked" in str(answered(run_path, "--condition", "maskd").exception)
    assert isinstance(answered(run_path, "--sort", "fame").exception, UsageError)
    assert isinstance(answered(run_path, "--probe", "both").exception, UsageError)
    assert isinstance(answered(tmp_path / "none").exception, UsageError)
    bare = answered(made(replace(FEW, name="bare", labels=False)))
    assert isinstance(bare.exception, BystanderError)
    assert "no labelled cells" in str(bare.exception)


def test_the_page_shows_a_board_and_two_kinds_of_disagreement(app):
    test = app(DEMO_RUN, view="compare")
    fine(test)
    said = text_of(test)
    assert "loses least accuracy" in said
    assert "Where two disagree" in said
    assert len(test.get("plotly_chart")) == 8, "three of them differences of models"
    assert test.dataframe[0].value["entry"].iloc[0] in ("PIFiA", "Paired Cell", "DeepLoc")


def test_the_page_with_several_runs(app, tmp_path, run_path):
    other = make_run(tmp_path / "b", replace(FEW, name="Other", models=("deeploc",)))
    test = app(run_path, other, view="compare")
    fine(test)
    assert len(test.dataframe[0].value) == 4
    assert "DeepLoc · Other" in test.dataframe[0].value["entry"].tolist()
    assert "Same cells" in text_of(test)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": False},
        {"models": ()},
        {"models": ("pifia",)},
        {"conditions": ("unaltered",)},
        {"conditions": ("masked", "cell_free")},
        {"complete": False},
        {"odd_names": True},
        {"localizations": ("nucleus",), "mixed": 0},
    ],
    ids=str,
)
def test_unusual_runs_are_compared_or_explained(app, made, change):
    test = app(made(replace(FEW, **change)), view="compare")
    fine(test)


@pytest.mark.parametrize("key", ["runs", "condition", "measure", "sort", "first", "second"])
@pytest.mark.parametrize("value", ["'; DROP TABLE x; --", "<script>alert(1)</script>", "x" * 10**5])
def test_hand_edited_addresses_do_no_harm(app, run_path, key, value):
    test = app(run_path, view="compare", **{key: value})
    fine(test)
    assert "<script>alert" not in text_of(test)


@pytest.mark.parametrize(
    ("view", "probe"),
    [("", "multilabel"), ("accuracy", "retrieval"), ("accuracy", "knn"), ("compare", "multilabel")],
)
def test_pages_show_every_probe_in_the_words_of_its_measure(app, run_path, view, probe):
    page = app(run_path, view=view)
    if view == "compare":
        page.selectbox(key="measure").set_value("refit, several labels a cell").run()
    else:
        page.selectbox(key="probe").set_value(probe).run()
    fine(page)
    text = text_of(page).replace("\\", "")
    measure = PROBES[Probe(probe)].measure
    assert measure.lower() in text.lower()
    if view:
        assert "probes" in text.lower(), "whether probes agree is said"
    if view == "accuracy" and measure != "accuracy":
        assert "points of accuracy" not in text


def test_probes_of_a_run_agree_or_not_in_a_sentence(run):
    entries = [Entry(run, model, alone=True) for model in run.models]
    table = drops_by_probe(directly, entries, "refit", "different")
    assert list(dict.fromkeys(table["probe"])) == [str(probe) for probe in PROBES]
    assert (table.groupby("probe")["entry"].nunique() == len(entries)).all()
    # All models of the synthetic run lose the same, so none is less than another in any probe.
    assert agreement(table, "different").startswith("All 6 probes put the models in one order")


def test_the_command_line_ranks_by_another_probe(run_path):
    result = CliRunner().invoke(
        command_line, ["compare", str(run_path), "--probe", "retrieval"], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0, result.output
    assert "Mean average precision in retrieval" in result.output
    assert "Points of mean average precision" in result.output
