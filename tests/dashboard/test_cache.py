"""What is kept is keyed on what it depends on, and belongs to no one session."""

import shutil
from dataclasses import replace

import pytest

from dashboard import cache
from dashboard.bench.synthetic_run import make_run
from dashboard.charts import accuracy as drawings
from dashboard.charts import plotly
from dashboard.charts import proteins as shifts
from dashboard.charts.description import Bars, Chart
from dashboard.figures.accuracy import ACCURACY
from dashboard.figures.figure import Figure
from dashboard.figures.proteins import DISTRIBUTION, HISTOGRAM
from dashboard.figures.request import Filters
from dashboard.queries import accuracy, proteins
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.open_runs import Run, connect, copied_tables, open_library
from dashboard.wording import FEW
from tests.dashboard.opening import SMALL, opened

PLAN = replace(SMALL, proteins=15, mixed=1, cells=4, examples=0)
CHOSEN = AccuracyFilter(models=PLAN.models, conditions=PLAN.conditions)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return opened(make_run(tmp_path_factory.mktemp("kept") / "run", PLAN))


def kept(entry: Figure[Chart], filters: Filters, **values: str) -> Chart:
    return cache.chart(entry, entry.asked(filters, cache.ask, **values))


def test_a_chart_is_drawn_once_and_again_for_another_question(run, monkeypatch):
    asked: list[str] = []
    query = Run.query
    monkeypatch.setattr(Run, "query", lambda self, *a: asked.append(a[0]) or query(self, *a))
    usual = Filters.usual(run)
    first = kept(ACCURACY, usual)
    table = accuracy.overall(run, CHOSEN)
    assert first == drawings.by_condition(table, CHOSEN.sentence(), chance=0.5)
    count = len(asked)
    assert kept(ACCURACY, usual) == first
    assert len(asked) == count
    others = [
        kept(ACCURACY, usual, published="yes"),
        kept(ACCURACY, replace(usual, models=PLAN.models[:1])),
        kept(ACCURACY, replace(usual, conditions=("unaltered", "different"))),
        kept(ACCURACY, replace(usual, protocol="frozen")),
    ]
    assert all(chart != first for chart in others)


def test_a_replaced_run_of_the_same_name_shows_its_own_numbers(tmp_path):
    path = make_run(tmp_path / "run", PLAN)
    before = kept(ACCURACY, Filters.usual(opened(path)))
    shutil.rmtree(path)
    make_run(path, replace(PLAN, models=PLAN.models[1:]))
    run = opened(path)
    after = kept(ACCURACY, Filters.usual(run))
    assert after != before
    chosen = replace(CHOSEN, models=tuple(Filters.usual(run).models))
    table = accuracy.overall(run, chosen)
    assert after == drawings.by_condition(table, CHOSEN.sentence(), chance=0.5)


def test_a_figure_keeps_to_the_models_that_are_shown(run):
    gene = proteins.names(run)["protein"].iloc[0]
    usual = Filters.usual(run)
    some = replace(usual, models=PLAN.models[:1])
    values = {"protein": gene, "condition": "different"}
    asked = DISTRIBUTION.asked(some, cache.ask, **values)
    table = DISTRIBUTION.query(asked)
    assert set(table["model"]) == {PLAN.models[0]}
    everything = DISTRIBUTION.query(DISTRIBUTION.asked(usual, cache.ask, **values))
    assert len(table) == (everything["model"] == PLAN.models[0]).sum()
    drawn = [kept(DISTRIBUTION, filters, **values) for filters in (usual, some)]
    assert [len(chart.panels) for chart in drawn] == [len(PLAN.models), 1]


def test_what_a_figure_does_not_follow_draws_it_not_anew(run, monkeypatch):
    usual = Filters.usual(run)
    values = {"model": PLAN.models[0], "condition": "different"}
    first = kept(HISTOGRAM, usual, **values)
    monkeypatch.setattr(Run, "query", lambda *a: pytest.fail("asked again"))
    assert kept(HISTOGRAM, replace(usual, probe="multiclass"), **values) == first


def test_what_a_session_changes_no_other_sees(run):
    asked = ACCURACY.asked(Filters.usual(run), cache.ask)
    table = ACCURACY.query(asked)
    table["estimate"] = 0.0
    assert not (ACCURACY.query(asked)["estimate"] == 0).all()
    figure = plotly.figures(cache.chart(ACCURACY, asked), dark=False)[0]
    figure.to_dict()["data"].clear()
    assert figure.to_dict()["data"]


def test_a_distribution_and_its_title_are_the_table(tmp_path):
    """A title of fewer cells than tell anything says how many there are."""
    for cells in (FEW, FEW - 1):
        path = make_run(tmp_path / str(cells), replace(PLAN, cells=cells))
        run = opened(path)
        for gene in proteins.names(run)["protein"]:
            table = proteins.distributions(run, gene, "refit")
            chart = shifts.before_and_after(table, gene, "different")
            wide = table.pivot(
                index=["model", "localization"], columns="condition", values="mean_probability"
            )
            moved = (wide["different"] - wide["unaltered"]).abs().groupby("model").sum() / 2
            if cells < FEW:
                assert chart.title == f"Where the models put {gene}: {cells} cells"
            else:
                assert f"a total variation of {moved.max():.2f}" in chart.title
            for panel in chart.panels:
                before, after = (layer for layer in panel.layers if isinstance(layer, Bars))
                assert len(before.lengths) == len(after.lengths) == len(panel.y.categories)
                assert 0.9 < sum(after.lengths) < 1 + 1e-9


def test_copies_that_are_known_need_no_look(run):
    connection = connect([run.path])
    assert copied_tables(connection) == {}
    for token, copied in ((run.token, {"trials"}), ("another", set())):
        known = {token: frozenset({"trials"})}
        assert open_library([run.path], connection, known).runs[0].copied == copied
