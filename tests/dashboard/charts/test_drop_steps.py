"""The waterfall of a drop: bars that join, intervals where bars end, titles that say no more."""

import pandas as pd
import pytest

from compute.schema import STEPS, DropPart, Step
from compute.shipped import DEMO_RUN
from compute.storage.run_directory import RunDirectory
from dashboard.charts import plotly
from dashboard.charts import steps as charts
from dashboard.charts.description import Bars, Points
from dashboard.queries import accuracy, answers
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.open_runs import Run
from dashboard.render.figures import render
from tests.dashboard.opening import opened

SENTENCE = "Accuracy, somehow."


def table(*values: float, model: str = "deeploc", half: float | None = 0.01) -> pd.DataFrame:
    """The steps pasting, strange image, neighbours' class and second cell of one model."""
    rows = []
    for step, value in zip(Step, (*values, sum(values)), strict=True):
        for part, share in ((DropPart.TOTAL, 1), (DropPart.RESCALING, 0.25)):
            ends = (None, None) if half is None else (share * value - half, share * value + half)
            rows.append((model, str(step), str(part), share * value, *ends, "protein", 900, 90))
    ends = ["ci_low", "ci_high", "unit", "n_cells", "n_proteins"]
    return pd.DataFrame(rows, columns=["model", "step", "part", "estimate", *ends])


def bars_of(chart, panel=0):
    return [layer for layer in chart.panels[panel].layers if isinstance(layer, Bars)]


@pytest.mark.parametrize("values", [(0.01, 0.02, 0.15, 0.1), (0.03, -0.05, 0.1, 0)])
def test_each_bar_begins_where_the_one_above_ends_and_the_last_is_their_sum(values):
    *steps, whole = bars_of(charts.waterfall(table(*values), SENTENCE))
    at = 0.0
    for bar, value in zip(steps, values[:3], strict=True):
        assert bar.base == (pytest.approx(at),)
        assert bar.low == (pytest.approx(at + value - 0.01),)
        at += value
        assert bar.base[0] + bar.lengths[0] == pytest.approx(at)
    assert (whole.base, whole.lengths) == ((), (pytest.approx(sum(values[:3])),))


def test_a_page_draws_intervals_around_the_ends_of_bars():
    chart = charts.waterfall(table(0.01, 0.02, 0.15, 0.1), SENTENCE)
    traces = plotly.figure(chart.panels[0], dark=False).to_dict()["data"]
    last = [one for one in traces if one["type"] == "bar"][2]
    assert last["base"] == [pytest.approx(3.0)]
    assert last["error_x"]["array"] == [pytest.approx(1.0)]
    assert last["error_x"]["arrayminus"] == [pytest.approx(1.0)]


def test_numbers_stand_beside_bars_with_their_sign_and_the_axis_holds_them():
    chart = charts.waterfall(table(0.03, -0.05, 0.1, 0), SENTENCE)
    numbers = next(
        layer for layer in chart.panels[0].layers if isinstance(layer, Points) and any(layer.text)
    )
    assert numbers.text == ("+3.0", "−5.0", "+10.0", "8.0")
    low, high = chart.panels[0].x.range
    assert low < -0.03, "the interval of the second step begins there"
    assert all(low < x < high for x in numbers.x)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (table(0.0, 0.01, 0.15, 0.1), "Of the 16.0 points that DeepLoc loses on the background of "
         "another class, 15.0 points come with the neighbours' class"),
        (table(0.0, 0.11, 0.02, 0.1), "11.0 points come with a strange image"),
        (table(0.0, 0.005, 0.005, 0.3), "No drop is large enough to be taken apart"),
        (table(0.0, 0.01, -0.15, 0.1), "No drop is large enough to be taken apart"),
        (table(0.1, 0.1, 0.1, 0).query("step != 'pasting'"), "No drop was taken apart"),
        (table(0.1, 0.1, 0.1, 0).head(0), "No drop was taken apart"),
    ],
)  # fmt: skip
def test_the_title_names_the_largest_step_of_a_drop_that_is_one(found, said):
    assert said in charts.waterfall(found, SENTENCE).title


def test_each_model_has_a_panel_on_one_axis_and_what_lacks_a_step_is_left_out():
    some = table(0.1, 0.1, 0.1, 0, model="pifia").query("step != 'neighbours'")
    both = pd.concat([table(0, 0, 0.2, 0.1), table(0, 0, 0.1, 0.1, model="my model"), some])
    chart = charts.waterfall(both, SENTENCE)
    assert [panel.title for panel in chart.panels] == ["DeepLoc", "my model"]
    assert "Less than" not in chart.caption
    assert len({panel.x.range for panel in chart.panels}) == 1
    assert "DeepLoc 10.0 points, my model 10.0 points" in chart.caption
    assert SENTENCE in chart.caption
    assert STEPS[Step.NEIGHBOURS].definition in chart.caption


def test_a_model_that_hardly_loses_is_named_but_not_drawn():
    both = pd.concat([table(0, 0, 0.2, 0.1), table(0, 0, 0.019, 0.1, model="pifia")])
    chart = charts.waterfall(both, SENTENCE)
    assert [panel.title for panel in chart.panels] == ["DeepLoc"]
    assert "Less than 2.0 points are lost by PIFiA." in chart.caption
    assert charts.waterfall(table(0, 0, 0.019, 0.1), SENTENCE).empty


def test_a_drop_without_intervals_is_drawn_into_files_too():
    chart = charts.waterfall(table(0.01, -0.02, 0.15, 0.1, half=None), SENTENCE)
    assert render(chart, "svg", "source")[:5] == b"<?xml"
    assert "error_x" in str(plotly.figure(chart.panels[0], dark=True).to_dict())


@pytest.fixture(scope="module")
def demo() -> Run:
    return opened(DEMO_RUN)


@pytest.mark.parametrize("probe", ["pair", "multiclass"])
@pytest.mark.parametrize("protocol", ["refit", "frozen"])
def test_the_steps_add_up_to_the_drop_that_is_told(demo, protocol, probe):
    chosen = AccuracyFilter(protocol, probe, "all", tuple(demo.models), tuple(demo.conditions))
    drops = accuracy.overall(demo, chosen).query("condition == 'different'")
    found = answers.steps(demo, chosen)
    for row in drops.itertuples():
        way = found[(found["model"] == row.model) & (found["part"] == "total")]
        added = way[way["step"].isin([str(step) for step in charts.WAY])]["estimate"].sum()
        assert added == pytest.approx(row.drop_estimate, abs=2e-6)


def test_the_query_gives_every_step_and_part_in_order(demo):
    stored = RunDirectory(DEMO_RUN).read("decomposition").to_pandas()
    wanted = stored.query(
        "protocol == 'frozen' and probe == 'multiclass' and scope == 'overall' "
        "and model == 'deeploc'"
    )
    found = answers.steps(demo, AccuracyFilter("frozen", "multiclass", "all", ("deeploc",)))
    assert [*zip(found["step"], found["part"], strict=True)] == [
        (str(step), str(part)) for step in Step for part in DropPart
    ]
    known = wanted.set_index(["step", "part"])["estimate"]
    assert all(known[row.step, row.part] == row.estimate for row in found.itertuples())
