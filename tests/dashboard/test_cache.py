"""What is kept is keyed on what it depends on, and belongs to no one session."""

from dataclasses import replace

import pytest

from dashboard import cache
from dashboard.charts import accuracy as drawings
from dashboard.charts import plotly
from dashboard.charts import proteins as shifts
from dashboard.charts.description import Bars, Chart
from dashboard.queries import accuracy, proteins
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.open_runs import Run, connect, copied_tables, open_library
from tests.dashboard.opening import SMALL, opened
from tests.dashboard.synthetic_run import write_run

PLAN = replace(SMALL, proteins_per_class=1, mixed=1, cells=4, examples=False)
CHOSEN = AccuracyFilter(models=PLAN.models, conditions=("unaltered", "different"))
ROWS = cache.rows(accuracy.overall, CHOSEN)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return opened(write_run(tmp_path_factory.mktemp("kept") / "run", PLAN))


def by_condition(run: Run, rows: cache.Rows = ROWS, **given: object) -> Chart:
    return cache.draw(run, drawings.by_condition, rows, "Said.", **given)


def test_a_chart_is_drawn_once_and_again_for_another_question(run, monkeypatch):
    asked: list[str] = []
    query = Run.query
    monkeypatch.setattr(Run, "query", lambda self, *a: asked.append(a[0]) or query(self, *a))
    first = by_condition(run)
    assert first == drawings.by_condition(accuracy.overall(run, CHOSEN), "Said.")
    count = len(asked)
    assert by_condition(run) == first
    assert len(asked) == count
    assert by_condition(run, chance=0.5) != first
    one = cache.rows(accuracy.overall, replace(CHOSEN, models=PLAN.models[:1]))
    assert by_condition(run, one) != first


def test_a_replaced_run_of_the_same_name_shows_its_own_numbers(tmp_path):
    path = write_run(tmp_path / "run", PLAN)
    before = by_condition(opened(path))
    write_run(path, replace(PLAN, models=PLAN.models[1:]))
    run = opened(path)
    after = by_condition(run)
    assert after != before
    assert after == drawings.by_condition(accuracy.overall(run, CHOSEN), "Said.")


def test_rows_keep_what_is_named_and_are_told_apart_by_it(run):
    gene = proteins.names(run)["protein"].iloc[0]
    whole = cache.rows(proteins.distributions, gene, "refit")
    part = cache.rows(proteins.distributions, gene, "refit", model=PLAN.models[:1])
    assert repr(whole) != repr(part)
    table = part.of(run)
    assert set(table["model"]) == {PLAN.models[0]}
    everything = whole.of(run)
    assert len(table) == (everything["model"] == PLAN.models[0]).sum()
    drawn = [cache.draw(run, shifts.before_and_after, r, gene, "different") for r in (whole, part)]
    assert [len(chart.panels) for chart in drawn] == [len(PLAN.models), 1]


def test_what_a_session_changes_no_other_sees(run):
    table = ROWS.of(run)
    table["estimate"] = 0.0
    assert not (ROWS.of(run)["estimate"] == 0).all()
    figure = plotly.figures(by_condition(run), dark=False)[0]
    figure.to_dict()["data"].clear()
    assert figure.to_dict()["data"]


def test_a_distribution_and_its_title_are_the_table(run):
    for gene in proteins.names(run)["protein"]:
        table = proteins.distributions(run, gene, "refit")
        chart = shifts.before_and_after(table, gene, "different")
        wide = table.pivot(
            index=["model", "localization"], columns="condition", values="proportion"
        )
        moved = (wide["different"] - wide["unaltered"]).abs().groupby("model").sum() / 2
        assert f"{moved.max():.0%} of its distribution" in chart.title
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
