"""The first look of Overview: whose answers, the one number, and the cell before and after."""

from dataclasses import replace

import pandas as pd
import pytest

from compute.shipped import COMPARED_RUN, DEMO_RUN
from compute.storage.run_directory import RunDirectory
from dashboard import wording
from dashboard.figures import accuracy as figures
from dashboard.figures import crops, first_look
from dashboard.figures.request import Filters
from dashboard.queries.comparable_runs import directly
from dashboard.queries.open_runs import Run
from dashboard.theme import model_title
from dashboard.verdicts import Verdict
from tests.dashboard.opening import opened


@pytest.fixture(scope="module")
def demo() -> Run:
    return opened(DEMO_RUN)


def first(run, **changed):
    return first_look.as_used(replace(Filters.usual(run), **changed), directly)


def number(filters):
    asked = figures.FINDING.asked(filters, directly)
    return first_look.number(asked, figures.FINDING.query(asked))


def test_the_first_look_is_of_all_classes_by_a_frozen_probe_on_every_background(demo):
    found = first(demo, conditions=("unaltered", "masked"), models=("deeploc", "pifia"))
    assert (found.protocol, found.probe, found.aggregation) == ("frozen", "multiclass", "all")
    assert set(found.conditions) == set(demo.conditions)
    assert found.models == ("deeploc", "pifia")


def test_baselines_are_left_out_unless_nothing_else_is_asked_for(demo):
    models = [
        {**one, **({"baseline": "a guess"} if one["name"] == "pifia" else {})}
        for one in demo.meta["models"]
    ]
    run = replace(demo, meta={**demo.meta, "models": models})
    assert first(run).models == ("paired_cell", "deeploc")
    assert first(run, models=("pifia",)).models == ("pifia",)
    assert first(run, models=()).models == ()


def test_own_answers_stay_own_and_what_a_run_lacks_is_not_asked_for(demo):
    asked = replace(Filters.usual(demo), protocol="own", probe="multiclass")
    columns = ["protocol", "probe", "aggregation", "rows"]
    for rows, protocol, probe in (
        ([("own", "multiclass", "all", 9)], "own", "multiclass"),
        ([("refit", "pair", "published", 9)], "own", "multiclass"),
    ):
        found = first_look.as_used(
            asked, lambda run, query, rows=rows: pd.DataFrame(rows, columns=columns)
        )
        assert (found.protocol, found.probe) == (protocol, probe)
    usual = Filters.usual(demo)
    pairs = pd.DataFrame([("refit", "pair", "all", 9)], columns=columns)
    assert first_look.as_used(usual, lambda run, query: pairs) == usual


def test_the_number_is_the_largest_drop_and_the_neighbours_alone_are_the_same_models(demo):
    said = number(first(demo))
    stored = RunDirectory(DEMO_RUN).read("effects").to_pandas()
    # Of zeros around the cell no more counts than of medium there, which is little in the demo.
    drops = stored.query(
        "effect == 'drop' and protocol == 'frozen' and probe == 'multiclass' "
        "and scope == 'overall' and condition in ('same', 'different', 'cell_free')"
    )
    top = drops.sort_values("estimate").iloc[-1]
    assert (said.headline.model, said.headline.condition) == (top["model"], top["condition"])
    assert said.headline.number == f"{100 * top['estimate']:.1f}"
    low, high = (100 * top[f"simultaneous_{end}"] for end in ("low", "high"))
    assert f"between {low:.1f} and {high:.1f} points" in said.headline.sure
    shares = RunDirectory(DEMO_RUN).read("accuracy").to_pandas().query(
        "protocol == 'frozen' and probe == 'multiclass' and scope == 'overall' "
        "and model == @top.model"
    ).set_index("condition")["estimate"]  # fmt: skip
    assert said.alone.startswith(
        f"The neighbours alone give {100 * shares['background_only']:.1f}%"
    )
    assert f"from {100 * shares['unaltered']:.1f}%" in said.headline.said
    assert f"to {100 * shares[top['condition']]:.1f}%" in said.headline.said


def test_the_number_is_that_of_the_finding(demo):
    for filters in (first(demo), first(demo, models=("pifia",)), Filters.usual(demo)):
        asked = figures.FINDING.asked(filters, directly)
        one = number(filters).headline
        assert f"{one.number} points" in figures.FINDING.drawn(asked).lines[0]
        assert model_title(one.model) in figures.FINDING.drawn(asked).lines[0]


def test_no_model_that_is_at_chance_has_a_number(demo):
    asked = figures.FINDING.asked(first(demo), directly)
    table = figures.FINDING.query(asked)
    assert first_look.number(asked, table).headline is not None
    known = ~((table["condition"] == "unaltered") & (table["model"] == "deeploc"))
    found = first_look.number(asked, table.assign(ci_low=table["ci_low"].where(known, 0.0)))
    assert found.headline is None
    assert "Nothing can be concluded" in found.instead
    assert "DeepLoc" in found.instead
    assert "PIFiA" not in found.instead


def test_without_a_drop_a_sentence_stands_in_the_numbers_place(demo):
    found = number(replace(first(demo), conditions=("unaltered",)))
    assert found.headline is None
    assert found.instead.startswith("No drop could be computed")
    assert not found.alone


def rows(drop, low, high, condition="different", **more):
    given = {
        "model": "deeploc", "condition": condition, "estimate": 0.6, "ci_low": 0.5, "ci_high": 0.7,
        "unit": "protein", "n_cells": 900, "n_proteins": 90, "drop_estimate": drop,
        "drop_low": low, "drop_high": high, "drop_unit": "protein", "counted": drop, "mild": None,
        "mild_value": None, "together": 1, **more,
    }  # fmt: skip
    return pd.DataFrame([given])


@pytest.mark.parametrize(
    ("table", "said", "sure"),
    [
        (rows(0.2, 0.1, 0.3), "of accuracy are lost by DeepLoc on the background of another class: "
         "from 80.0% on crops as imaged to 60.0%", "likely between 10.0 and 30.0 points"),
        (rows(0.2, -0.1, 0.5), "may be chance", "between −10.0 and 50.0 points"),
        (rows(0.01, 0.005, 0.015), "hardly depends on the background", "between 0.5 and 1.5"),
        (rows(0.2, None, None), "are lost", "No interval was computed (n = 900 cells"),
        (rows(0.2, 0.15, 0.25, together=6, simultaneous_low=0.1, simultaneous_high=0.3), "are lost",
         "between 10.0 and 30.0 points (95% interval, made longer because the largest of 6 drops"),
        (rows(0.2, 0.1, 0.3, "masked", mild="alone", mild_value=0.1), "(10.0 points with medium "
         "there)", "likely"),
    ],
)  # fmt: skip
def test_what_is_said_beside_the_number(table, said, sure):
    one = wording.headline(table)
    assert said in one.said
    assert sure in one.sure


def test_the_neighbours_alone_are_said_only_where_they_were_shown_alone():
    table = rows(0.2, 0.1, 0.3, "background_only")
    assert wording.neighbours_alone(table, "deeploc", "by chance 6.7%").endswith(
        "(95% interval 50.0 to 70.0; by chance 6.7%)."
    )
    assert wording.neighbours_alone(table, "pifia") == ""
    assert wording.neighbours_alone(rows(0.2, 0.1, 0.3), "deeploc") == ""


def said_of(path, protocol, model):
    """Return what a model said of every stored crop, by cell and condition, read with loops."""
    table = (
        RunDirectory(path)
        .read("examples")
        .select(["cell", "condition", "localization", "donor_localization", "predictions"])
    )
    found = {}
    for crop in table.to_pylist():
        for one in crop["predictions"]:
            if (one["protocol"], one["model"]) == (protocol, model):
                named = (one["predicted"], crop["localization"], crop["donor_localization"])
                found.setdefault(crop["cell"], {})[crop["condition"]] = named
    return found


def test_the_cell_is_right_before_steady_on_its_own_class_and_the_backgrounds_class_after(demo):
    filters = first(demo)
    asked = crops.BEFORE_AFTER.asked(filters, directly)
    cell = crops.chosen_cell(asked)
    drawn = crops.BEFORE_AFTER.drawn(asked)
    assert [one.verdict for p in drawn.pictures for one in p.said] == [
        Verdict.RIGHT,
        Verdict.FOLLOWS,
    ]
    said = said_of(DEMO_RUN, "frozen", "deeploc")
    follow = [
        number
        for number, crop in said.items()
        if crop["unaltered"][0] == crop["unaltered"][1]
        and crop["different"][0] == crop["different"][2] != crop["different"][1]
    ]
    assert cell in follow
    assert said[cell]["same"][0] == said[cell]["unaltered"][0]
    assert f"with {len(follow)} of the {len(said)} cells" in drawn.caption
    assert {one.model for p in drawn.pictures for one in p.said} == {"DeepLoc"}
    right, behind = said[cell]["unaltered"][1], said[cell]["different"][2]
    assert f"background of {behind} cells, DeepLoc takes this {right} cell" in drawn.title


def test_a_cell_that_does_not_follow_is_not_shown_as_if_it_did(demo):
    asked = crops.BEFORE_AFTER.asked(first(demo), directly)
    said = said_of(DEMO_RUN, "frozen", "deeploc")
    firm = min(n for n, crop in said.items() if crop["different"][0] == crop["unaltered"][0])
    others = ("deeploc",)
    one = replace(asked, models=others, values={"cell": str(firm)})
    drawn = crops.BEFORE_AFTER.drawn(one)
    assert (drawn.title, drawn.pictures) == (crops.NO_FOLLOWER, ())


def test_without_another_classs_background_or_a_model_no_cell_follows(demo):
    for change in ({"conditions": ("unaltered", "same", "masked")}, {"models": ()}):
        asked = crops.BEFORE_AFTER.asked(replace(first(demo), **change), directly)
        drawn = crops.BEFORE_AFTER.drawn(asked)
        assert (drawn.title, drawn.pictures) == (crops.NO_FOLLOWER, ())


def test_a_cell_without_a_class_has_no_right_answer_to_lose(demo, monkeypatch):
    asked = crops.BEFORE_AFTER.asked(replace(first(demo), models=()), directly)
    monkeypatch.setattr(crops, "right_classes", lambda fact: ())
    assert crops.BEFORE_AFTER.drawn(asked).title == crops.NO_CLASS


def test_pictures_without_answers_are_not_said_to_be_followers_of_nothing(demo):
    asked = crops.BEFORE_AFTER.asked(first(demo), directly)
    table = crops.BEFORE_AFTER.query(asked)
    drawn = crops.BEFORE_AFTER.chart(asked, table.assign(predictions=None))
    assert (drawn.title, drawn.pictures) == (crops.NO_ANSWERS, ())


def test_a_run_without_pictures_has_nothing_to_show():
    run = opened(COMPARED_RUN)
    drawn = crops.BEFORE_AFTER.drawn(crops.BEFORE_AFTER.asked(first(run), directly))
    assert not drawn.pictures
