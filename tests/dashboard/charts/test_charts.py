"""Charts say what their tables say; figures are real files; words match numbers."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pandas as pd
import pytest

from compute.paper.table_1 import TABLE_1
from dashboard import wording
from dashboard.bench.synthetic_config import SyntheticConfig
from dashboard.bench.synthetic_run import make_run
from dashboard.charts import accuracy as accuracies
from dashboard.charts import answers as changes
from dashboard.charts import calibration, compare, depth, plotly
from dashboard.charts import protein_lists as lists
from dashboard.charts import proteins as shifts
from dashboard.charts import sensitivity as settings
from dashboard.charts import training_seeds as seeds
from dashboard.charts.description import Axis, Bars, Chart, Panel, Points, Rule, pick, picked
from dashboard.queries import accuracy, answers, proteins
from dashboard.queries.depth import by_depth
from dashboard.queries.filters import AccuracyFilter, ShiftFilter
from dashboard.queries.headline import counted
from dashboard.queries.open_runs import MissingTableError, Run
from dashboard.render import figures
from dashboard.theme import CONDITION_INKS, Ink, model_title
from tests.dashboard.opening import DEMO, SMALL, opened

MODELS = ("pifia", "paired_cell", "deeploc")


def every_chart(run: Run) -> list[Chart]:
    chosen = AccuracyFilter(models=tuple(run.models), conditions=tuple(run.conditions))
    shift = ShiftFilter("refit", run.models[0], "different")
    gene = proteins.names(run)["protein"].iloc[0]
    shares = proteins.shares(run, "refit", chosen.models, 0.2)
    own = proteins.distributions(run, gene, "refit")
    grid = answers.backgrounds(run, "refit", run.models[0], "different")
    return [
        accuracies.by_condition(
            accuracy.overall(run, chosen), chosen.sentence(), published=True, chance=0.5
        ),
        accuracies.by_class(accuracy.by_class(run, chosen, "different"), "different", "Said."),
        accuracies.background_grid(
            accuracy.background_grid(run, "refit", run.models[0], "different"),
            run.models[0],
            "different",
        ),
        accuracies.protocols(accuracy.protocols(run, chosen)),
        settings.by_setting(
            accuracy.sensitivity(run, chosen, "gap", "different"), "gap", "different", "Said."
        ),
        seeds.by_seed(accuracy.training_seeds(run, chosen), "Said."),
        depth.by_depth(by_depth(run, chosen, "drop", "different"), "drop", "different", "Said."),
        changes.flips(answers.flips(run, chosen)),
        changes.rescaling(answers.rescaling(run, chosen.models, chosen.conditions)),
        changes.backgrounds(grid, run.models[0], "different"),
        changes.backgrounds(grid, run.models[0], "different", "attraction"),
        calibration.by_condition(answers.calibration(run, chosen)),
        calibration.reliability(
            answers.reliability(run, "refit", chosen.models, ("unaltered", "different")),
            "different",
        ),
        lists.listed(
            proteins.listed(run, "refit", "different", chosen.models, (gene,)), "different", 0.2
        ),
        lists.neighbours(
            proteins.neighbours(run, gene, "refit", "different").assign(taken=1, share=0.5),
            gene,
            "different",
        ),
        shifts.histogram(proteins.histogram(run, shift), shares, shift),
        shifts.curve(proteins.curve(run, "refit", "different", chosen.models), "different", 0.2),
        shifts.shares(shares, 0.2),
        shifts.before_and_after(own, gene, "different"),
        shifts.all_conditions(own, gene),
        shifts.moves(proteins.moves(run, gene, "refit", "different"), gene, "different"),
    ]


@pytest.fixture(scope="session")
def charts(run: Run) -> list[Chart]:
    return every_chart(run)


def test_every_chart_has_a_finding_and_its_n(charts):
    assert len({chart.name for chart in charts}) == len(charts)
    for chart in charts:
        assert chart.title
        assert not chart.empty
        assert "n = " in chart.caption or "in all" in chart.caption


@pytest.mark.parametrize("dark", [False, True])
def test_plotly_draws_every_panel_with_explicit_colours(charts, dark):
    for chart in charts:
        drawn = plotly.figures(chart, dark)
        assert len(drawn) == len(chart.panels)
        for figure in drawn:
            spec = json.loads(figure.to_json())
            assert spec["data"]
            assert spec["layout"]["font"]["color"] == ("#e8eaee" if dark else "#1b1f27")


def test_every_figure_is_saved_without_a_browser(charts):
    for chart in charts:
        picture = ElementTree.fromstring(figures.render(chart, "svg", "From here."))
        text = " ".join("".join(picture.itertext()).split())
        assert picture.tag.endswith("svg")
        assert chart.title.split()[0] in text
        assert "From here." in " ".join(text.split())
    assert figures.render(charts[0], "pdf").startswith(b"%PDF-")
    assert figures.render(charts[0], "png").startswith(b"\x89PNG")
    assert figures.render(charts[0], "svg") == figures.render(charts[0], "svg")


def test_an_unknown_format_is_refused(charts):
    with pytest.raises(ValueError, match="svg, pdf, png"):
        figures.render(charts[0], "gif")  # type: ignore[arg-type]


def test_accuracy_marks_are_the_table(run):
    chosen = AccuracyFilter(models=MODELS, conditions=tuple(run.conditions))
    table = accuracy.overall(run, chosen)
    chart = accuracies.by_condition(table, "Said.", published=True)
    drawn = [layer for layer in chart.panels[0].layers if isinstance(layer, Points)]
    filled = [layer for layer in drawn if not layer.open_]
    assert sorted(v for layer in filled for v in layer.y) == pytest.approx(
        sorted(table["estimate"])
    )
    assert sum(len(layer.y) for layer in drawn if layer.open_) == len(TABLE_1)
    assert "Gupta" in chart.caption


def test_lines_join_only_what_has_an_order(charts):
    drawn = {
        chart.name
        for chart in charts
        for panel in chart.panels
        for layer in panel.layers
        if isinstance(layer, Points) and layer.line
    }
    assert drawn == {"depth", "shift_curve", "reliability", "protein_moves"}


def test_a_condition_has_its_colour_in_every_chart(charts):
    by_name = {chart.name: chart for chart in charts}
    ink = CONDITION_INKS["different"]  # type: ignore[index]
    for name in ("accuracy_by_class", "shift_histogram", "protein_distributions"):
        layers = by_name[name].panels[0].layers
        assert ink in [getattr(layer, "ink", None) for layer in layers]


@pytest.mark.parametrize(
    "change",
    [
        {"models": ("pifia",)},
        {"models": ("mine <b>", "タンパク")},
        {"conditions": ("unaltered", "different")},
        {"localizations": ("nucleus", "vacuole", "ER")},
        {"odd_names": True},
    ],
)
def test_charts_of_small_and_odd_runs(tmp_path, change):
    small = replace(SMALL, proteins=15, mixed=1, examples=0, **change)
    for chart in every_chart(opened(make_run(tmp_path / "run", small))):
        plotly.figures(chart, False)
        figures.render(chart, "svg")


def test_names_from_data_are_not_markup():
    layer = Points("<b>x</b>", (0.0,), (1.0,), Ink("#000000", "#ffffff"), hover=("a<i>\nb",))
    chart = Chart("c", "t", "n = 1", (Panel(Axis("<s>"), Axis(), (layer,)),))
    spec = json.loads(plotly.figures(chart, False)[0].to_json())
    assert spec["data"][0]["hovertext"] == ["a&lt;i&gt;<br>b"]
    assert "$" in wording.plain_name("$x$")
    assert wording.plain_name("<b>*x*</b>") == r"\<b\>\*x\*\</b\>"


def overall(drop: float, low: float, high: float) -> pd.DataFrame:
    table = pd.DataFrame(
        [
            ["pifia", "unaltered", 0.9, None, None, None, 100, 20],
            ["pifia", "different", 0.9 - drop, drop, low, high, 100, 20],
            ["pifia", "background_only", 0.5, 0.4, 0.3, 0.5, 100, 20],
        ],
        columns=[
            *("model", "condition", "estimate", "drop_estimate", "drop_low", "drop_high"),
            *("n_cells", "n_proteins"),
        ],
    )
    return counted(table, "drop_estimate", "drop_low")


def test_the_finding_names_model_condition_points_interval_and_n():
    text = wording.drop_finding(overall(0.158, 0.131, 0.184))
    for part in (
        "PIFiA",
        "15.8 points",
        "13.1 to 18.4",
        "100 cells",
        "20 proteins",
        "another class",
    ):
        assert part in text
    assert "90.0% to 74.2%" in text


def test_a_conflicting_background_is_said_apart():
    table = overall(0.158, 0.131, 0.184)
    table.loc[2, "condition"] = "conflicting"
    assert "different" in wording.worst(table).condition
    assert "40.0 points" in wording.conflict_finding(table)
    assert wording.conflict_finding(table.iloc[:2]) == ""


def test_the_finding_says_when_nothing_falls():
    assert "includes zero" in wording.drop_finding(overall(0.004, -0.01, 0.02))
    assert "hardly" in wording.drop_finding(overall(0.01, 0.002, 0.02))
    assert "No drop" in wording.drop_finding(overall(0.1, 0, 0).iloc[:1])


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ([None, 0.0], ""),
        ([None, None], ""),
        ([None, 0.0, 0.93, 0.93], "In 93% of the tested crops"),
        ([0.851, 0.93], "In 85% to 93% of the tested crops"),
        ([0.001, 0.5], "In less than 1% to 50% of the tested crops"),
    ],
)
def test_donors_that_a_probe_knows_are_said(shares, said):
    text = wording.donors_seen(pd.DataFrame({"donor_seen": pd.array(shares, "Float64")}))
    assert text.startswith(said)
    assert bool(text) == bool(said)


def test_captions_say_what_donors_were_seen(made, run):
    chosen = AccuracyFilter("refit", "pair", "all", ("pifia",), tuple(run.conditions))
    config = SyntheticConfig(donor_seen=0.93, models=("pifia",), examples=0)
    for one, seen in ((opened(made(config)), True), (run, False)):
        captions = [
            accuracies.by_condition(accuracy.overall(one, chosen), "").caption,
            accuracies.by_class(accuracy.by_class(one, chosen, "same"), "same", "").caption,
            accuracies.protocols(accuracy.protocols(one, chosen)).caption,
            compare.gaps(accuracy.gaps(one, chosen), "").caption,
        ]
        assert ["protein that the probe was fitted on" in text for text in captions] == [seen] * 4


def test_a_mark_says_its_net_drop(run):
    chosen = AccuracyFilter("refit", "pair", "all", ("pifia",), ("unaltered", "different"))
    (panel,) = accuracies.by_condition(accuracy.overall(run, chosen), "").panels
    plain, other = next(layer for layer in panel.layers if isinstance(layer, Points)).hover
    assert "net of sham 14.5 points (95% interval 13.0 to 16.0)" in other
    assert "net of sham" not in plain


def test_a_drop_without_an_interval_is_not_called_small():
    table = overall(0.144, None, None)
    assert "falls most for PIFiA" in wording.short_finding(table)
    assert "no interval" in wording.drop_finding(table)
    assert "stays within" in wording.short_finding(overall(0.144, -0.01, 0.3))


def simultaneous(low, high, together=12):
    """A drop of 15.8 points, 13.1 to 18.4 by its own interval."""
    return overall(0.158, 0.131, 0.184).assign(
        simultaneous_low=low, simultaneous_high=high, together=together
    )


def test_the_largest_of_many_drops_has_the_interval_that_holds_them_all():
    table = simultaneous(0.119, 0.197)
    text = wording.drop_finding(table)
    assert "95% simultaneous interval over 12 drops: 11.9 to 19.7" in text
    assert "13.1" not in text
    assert "12 drops" in wording.simultaneous_note(table)
    below = simultaneous(-0.004, 0.32)
    assert "−0.4 to 32.0), an interval that includes zero" in wording.drop_finding(below).replace(
        "; n = 100 cells of 20 proteins", ""
    )
    assert "stays within" in wording.short_finding(below)


def test_one_drop_alone_has_its_own_interval():
    for table in (simultaneous(0.131, 0.184, 1), overall(0.158, 0.131, 0.184)):
        assert "(95% interval 13.1 to 18.4" in wording.drop_finding(table)
        assert wording.simultaneous_note(table) == ""
    assert wording.simultaneous_note(table.iloc[:1]) == ""


TESTED = ("margin_odds", "p_equivalence_odds_holm", "p_equivalence_holm")


def equivalent(*rows):
    """Tests of drops: model, condition, probe, p in points and, where there is one, in odds."""
    return pd.DataFrame(
        [
            {
                "model": model, "condition": condition, "probe": probe, "estimate": 0.012,
                "ci_low": 0.001, "ci_high": 0.023, "margin": 0.02, "p_equivalence_holm": p,
                "margin_odds": odds[0] if odds else None,
                "p_equivalence_odds_holm": odds[1] if odds else None,
                "n_cells": 100, "n_proteins": 20,
            }
            for model, condition, probe, p, *odds in rows
        ]
    ).astype(dict.fromkeys(TESTED, float))  # fmt: skip


def test_a_model_is_robust_where_every_probe_says_so():
    text = wording.equivalence_finding(
        equivalent(
            ("pifia", "masked", "pair", 0.01), ("pifia", "masked", "multiclass", 0.04),
            ("deeploc", "masked", "pair", 0.01), ("deeploc", "masked", "multiclass", 0.2),
            ("deeploc", "same", "pair", 0.3), ("deeploc", "same", "multiclass", 0.2),
        )
    )  # fmt: skip
    assert "Shown to be robust" in text
    assert "PIFiA under “masked” (1 of 3 pairs" in text
    assert "every probe of this run (pair tests, the multi-class probe)" in text
    assert "The probes disagree on DeepLoc under “masked”: pair tests say that it is robust" in text
    assert "the multi-class probe not: there it loses 1.2 points (95% interval 0.1 to 2.3)" in text
    assert "“same class”" not in text


def test_where_the_probes_disagree_on_all_no_model_is_robust():
    text = wording.equivalence_finding(
        equivalent(("pifia", "masked", "pair", 0.2), ("pifia", "masked", "multiclass", 0.01))
    )
    assert text.startswith("No model is shown to be robust")
    assert "the multi-class probe says that it is robust, pair tests not" in text


def test_only_the_disagreements_with_the_largest_drops_are_told():
    split = [
        (model, condition, probe, 0.01 if probe == "pair" else 0.3)
        for model in ("pifia", "deeploc")
        for condition in ("masked", "same")
        for probe in ("pair", "multiclass", "knn")
    ]
    rows = equivalent(*split)
    rows.loc[(rows["condition"] == "same") & (rows["probe"] == "knn"), "estimate"] = 0.05
    text = wording.equivalence_finding(rows)
    assert text.count("nearest neighbours not: there it loses 5.0 points") == 2
    assert "under “masked”" not in text
    assert text.endswith("; and on 2 other pairs.")


def test_a_probe_without_a_test_does_not_agree():
    rows = equivalent(("pifia", "masked", "pair", 0.01), ("pifia", "masked", "multiclass", None))
    assert wording.equivalence_finding(rows).startswith("No model is shown")
    lacking = equivalent(
        ("pifia", "masked", "pair", 0.01), ("pifia", "same", "pair", 0.5),
        ("pifia", "same", "multiclass", 0.5),
    )  # fmt: skip
    assert wording.equivalence_finding(lacking).startswith("No model is shown")
    none = equivalent(("pifia", "masked", "pair", None))
    assert wording.equivalence_finding(none) == ""


def test_the_margin_in_odds_has_to_be_kept_too():
    passed, failed = (
        wording.equivalence_finding(equivalent(("pifia", "masked", "pair", 0.01, 1.25, p)))
        for p in (0.03, 0.3)
    )
    assert "Shown to be robust" in passed
    assert "odds of a right answer that change by less than a factor 1.25" in passed
    assert failed.startswith("No model is shown")


def test_numbers_in_words():
    assert wording.points(-0.0501) == "−5.0 points"
    assert wording.points(-0.0001) == "0.0 points"
    assert wording.percent(None) == "–"
    assert wording.p_text(0.0004) == "p < 0.001"
    assert wording.count(1200, "cell") == "1,200 cells"
    assert wording.count(1, "class", "classes") == "1 class"


@pytest.mark.parametrize("values", [("a|b",), ("different", "my|model"), ("Golgi", "", "ER | x")])
def test_a_pick_gives_back_what_it_stands_for_whatever_the_names_hold(values):
    assert picked(pick(*values)) == values


def test_a_finding_under_other_settings_marks_the_runs_own_and_says_how_far_it_moves(run):
    chosen = AccuracyFilter(models=MODELS, conditions=tuple(run.conditions))
    table = accuracy.sensitivity(run, chosen, "drop", "different")
    chart = settings.by_setting(table, "drop", "different", "Said.")
    assert chart.title.startswith("Does the finding hang on the analyst's choices? ")
    assert len(chart.panels) == 3
    panel = chart.panels[0]
    assert panel.y.categories[:3] == ("Mask −2 pixels", "Mask as it is", "Mask +2 pixels")
    own, other = (layer for layer in panel.layers if isinstance(layer, Points))
    assert not own.open_
    assert other.open_
    assert len(own.y) + len(other.y) == len(panel.y.categories) == 12
    assert len(set(own.x)) == 1, "the run's own finding, once for each choice"
    drop = accuracy.overall(run, chosen).set_index(["model", "condition"])["drop_estimate"]
    assert own.x[0] == pytest.approx(drop["pifia", "different"])
    spread = table.groupby("model")["estimate"].agg(["min", "max"])
    assert wording.points(float(spread["max"].max())) in chart.title
    assert "3 cells with a mask that touches the border" in chart.caption


def test_a_run_without_other_settings_says_how_to_try_them(made):
    without = opened(made(replace(SMALL, without=("sensitivity",))))
    chosen = AccuracyFilter(models=MODELS, conditions=tuple(without.conditions))
    with pytest.raises(MissingTableError, match="`bystander sensitivity STORE RUN` adds it"):
        accuracy.sensitivity(without, chosen, "gap", "different")


def test_findings_over_seeds_show_every_seed_and_name_where_they_differ_most(run):
    chosen = AccuracyFilter(models=MODELS, conditions=tuple(run.conditions))
    table = accuracy.training_seeds(run, chosen)
    chart = seeds.by_seed(table, "Said.")
    (panel,) = chart.panels
    assert panel.y.categories[-1] == "Background gap"
    single, mean = (layer for layer in panel.layers if isinstance(layer, Points))
    assert len(mean.y) == len(panel.y.categories) == len(table)
    assert len(single.y) == 3 * len(table)
    most = table.loc[table["seed_sd"].idxmax(), "estimates"]
    assert wording.points(min(most)) in chart.title
    assert wording.points(max(most)) in chart.title
    effects = run.query(
        "SELECT model, condition, estimate FROM {effects} WHERE probe = $probe AND "
        "protocol = $protocol AND aggregation = 'all' AND scope = 'overall' AND effect = 'drop'",
        ("effects",),
        {"probe": chosen.probe, "protocol": chosen.protocol},
    ).set_index(["model", "condition"])["estimate"]
    for row in table[table["quantity"] == "drop"].itertuples():
        for model, value in zip(row.models, row.estimates, strict=True):
            assert value == pytest.approx(effects[model, row.condition], abs=0.02)
    assert seeds.title(table[:0]) == seeds.QUESTION
    alike = table.assign(estimates=[[0.03, 0.03]] * len(table))
    assert seeds.title(alike).endswith("is 3.0 points for every seed")


def test_differences_are_in_points_and_shares_in_percent_on_every_axis(charts):
    drawn = [panel for chart in charts for panel in chart.panels]
    said = {axis.heading: axis.unit for panel in drawn for axis in (panel.x, panel.y) if axis.unit}
    for heading, unit in said.items():
        different = any(word in heading.lower() for word in ("drop", "gap", "points", "error"))
        assert unit == ("points" if different else "%"), heading
        assert ("points" in heading.lower()) == (unit == "points")
    assert {"Accuracy", "Drop in accuracy, points", "Expected calibration error, points"} <= {*said}


def test_a_panel_in_points_draws_a_hundredfold_along_that_axis_alone():
    marks = Points(
        "m", (0.1, None), (0.0, 1.0), Ink("#000000", "#ffffff"), (0.05, None), (0.2, None),
        along_x=True,
    )  # fmt: skip
    bars = Bars(
        "b", (1.0,), (0.3,), Ink("#000000", "#ffffff"), horizontal=True, low=(0.2,), high=(0.4,)
    )
    axis = Axis("Drop", range=(-0.1, 0.5), unit="points")
    across = Panel(axis, Axis("", ("a", "b")), (marks, bars, Rule("x", 0.2), Rule("y", 1.0)))
    one, other, rule, still = across.in_points().layers
    assert (one.x, one.y, one.low) == ((pytest.approx(10.0), None), (0.0, 1.0), (5.0, None))
    assert (other.lengths, other.at, other.low) == ((30.0,), (1.0,), (20.0,))
    assert (rule.at, still.at) == (20.0, 1.0)
    spec = json.loads(plotly.figure(across, False).to_json())
    assert spec["layout"]["xaxis"]["range"] == [-10.0, 50.0]
    assert spec["layout"]["xaxis"]["title"]["text"] == "Drop, points"
    assert "tickformat" not in spec["layout"]["xaxis"]
    upright = Panel(Axis("", ("a",)), replace(axis, title="Gap"), (replace(marks, along_x=False),))
    (mark,) = upright.in_points().layers
    assert (mark.x, mark.y, mark.high) == ((0.1, None), (0.0, 100.0), (20.0, None))
    shares = Panel(Axis("", unit="%"), Axis(), (marks,))
    assert shares.in_points() == shares


def test_one_definition_of_a_shift_and_of_changed_answers_in_the_demo():
    demo = opened(DEMO)
    gene = proteins.names(demo)["protein"].iloc[0]
    stored = proteins.protein_shifts(demo, gene, "frozen")
    stored = stored[stored["condition"] == "different"]
    title = shifts.before_and_after(
        proteins.distributions(demo, gene, "frozen"), gene, "different"
    ).title
    assert title.endswith(f"by a total variation of {stored['tv'].max():.2f}")
    said = shifts.moves(proteins.moves(demo, gene, "frozen", "different"), gene, "different").title
    for row in wording.records(stored):
        assert f"{row.flipped_fraction:.0%} for {model_title(row.model, short=True)}" in said


def test_a_title_claims_nothing_of_very_few_cells(run):
    gene = proteins.names(run)["protein"].iloc[0]
    moved = proteins.moves(run, gene, "frozen", "different")
    one = moved[moved["cell"] == moved["cell"].iloc[0]]
    assert shifts.moves(one, gene, "different").title == f"Single cells of {gene}: 1 cell"
    own = proteins.distributions(run, gene, "frozen").assign(n_cells=1)
    few = shifts.before_and_after(own, gene, "different").title
    assert few == f"Where the models put {gene}: 1 cell"
    taken = pd.DataFrame(
        [["deeploc", "ER", 1, 1, 1.0, 0.0, 1], ["deeploc", "Golgi", 10, 2, 0.2, 0.0, 4]],
        columns=["model", "background", "trials", "taken", "share", "before", "n_cells"],
    )
    assert "DeepLoc takes G for its background's class in 3 of 11 trials; unaltered" in (
        lists.neighbours(taken, "G", "different").title
    )
    assert lists.neighbours(taken[:1], "G", "different").title == "Backgrounds of G: 1 trial"
    grid = answers.backgrounds(run, "frozen", "deeploc", "different").assign(n_cells=1)
    assert changes.backgrounds(grid, "deeploc", "different").title.startswith("Fewer than 5 cells")
    pairs = accuracy.background_grid(run, "frozen", "deeploc", "different").assign(n=1)
    assert accuracies.background_grid(pairs, "deeploc", "different").title.startswith("Fewer than")
    classes = accuracy.by_class(
        run, AccuracyFilter("frozen", "pair", models=("deeploc",)), "different"
    ).assign(n_cells=1)
    assert "most for" not in accuracies.by_class(classes, "different", "").title
