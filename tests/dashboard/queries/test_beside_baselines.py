"""What is said of models beside baselines, against the run's own tables read with plain loops."""

from dataclasses import replace

import pandas as pd
import pytest

from compute.shipped import COMPARED_RUN
from dashboard.queries.beside_baselines import beside_baselines
from dashboard.queries.comparable_runs import comparison, directly
from dashboard.queries.open_runs import connect, open_library
from tests.dashboard.opening import SMALL, opened

FROZEN = ("frozen", "multiclass", "all")
MODELS = ("deeploc", "pifia", "density", "handcrafted")
BASELINES = MODELS[2:]
FEW = replace(SMALL, proteins=45, mixed=1, cells=6, models=MODELS, baselines=BASELINES)


def expected_sides(path, model, baselines):
    """Read from the tables which baselines lose more or less than a model, or neither."""
    table = pd.read_parquet(path / "model_differences.parquet")
    sides = {}
    for row in table.to_dict("records"):
        kind = (row["protocol"], row["probe"], row["quantity"], row["condition"], row["scope"])
        if kind != (*FROZEN[:2], "drop", "different", "overall"):
            continue
        pair = (row["model"], row["other"])
        if model not in pair or not set(pair) & set(baselines):
            continue
        other = pair[1 - pair.index(model)]
        sign = 1 if pair[0] == model else -1
        if row["p_holm"] > 0.05:
            sides[other] = "not told apart from"
        else:
            sides[other] = "more than" if sign * row["estimate"] > 0 else "less than"
    return sides


def drops(path):
    table = pd.read_parquet(path / "effects.parquet")
    rows = table[
        (table["effect"] == "drop") & (table["condition"] == "different")
        & (table["scope"] == "overall") & (table["protocol"] == FROZEN[0])
        & (table["probe"] == FROZEN[1])
    ]  # fmt: skip
    return {r.model: f"{100 * r.estimate:.1f}".replace("-", "−") for r in rows.itertuples()}


def check_sentences(path, said, words, titles):
    networks = [name for name in titles if name not in words]
    assert len(said) == len(networks)
    for sentence, model in zip(said, networks, strict=True):
        start = f"{titles[model]} loses {drops(path)[model]} points: "
        assert sentence.startswith(start)
        sides = expected_sides(path, model, words)
        assert set(sides) == set(words)
        parts = sentence.removeprefix(start).removesuffix(".").split("; ")
        for name, side in sides.items():
            [part] = [part for part in parts if part.startswith(side)]
            assert f"{words[name]} ({drops(path)[name]})" in part


def test_every_model_is_set_beside_every_baseline(made):
    path = made(FEW)
    said = beside_baselines(directly, comparison(directly, [opened(path)]), FROZEN, "different")
    titles = {"pifia": "PIFiA", "deeploc": "DeepLoc"}
    words = {name: f"what {name} sees" for name in BASELINES}
    check_sentences(path, said, words, titles)


@pytest.mark.parametrize(
    "change",
    [{"baselines": ()}, {"models": BASELINES}, {"without": ("model_differences",)}],
    ids=str,
)
def test_nothing_is_said_where_nothing_was_tested(made, change):
    found = comparison(directly, [opened(made(replace(FEW, **change)))])
    assert beside_baselines(directly, found, FROZEN, "different") == []


def test_baselines_of_another_run_are_not_compared(made):
    paths = [made(replace(FEW, models=MODELS[:2], baselines=(), name="one")),
             made(replace(FEW, models=BASELINES, name="two"))]  # fmt: skip
    library = open_library(paths, connect([path.resolve() for path in paths]))
    found = comparison(directly, library.runs)
    assert beside_baselines(directly, found, FROZEN, "different") == []


def test_the_average_of_the_paper_has_no_tested_differences(made):
    found = comparison(directly, [opened(made(FEW))])
    assert beside_baselines(directly, found, ("refit", "pair", "published"), "different") == []


def test_the_shipped_networks_stand_beside_baselines():
    run = opened(COMPARED_RUN)
    found = comparison(directly, [run])
    said = beside_baselines(directly, found, FROZEN, "different")
    words = {name: run.baseline(name) for name in run.models if run.baseline(name)}
    assert set(words) == {"handcrafted", "handcrafted-centre", "density", "untrained-deeploc"}
    titles = {entry.model: entry.title for entry in found.entries}
    check_sentences(COMPARED_RUN, said, words, titles)
    assert len(said) == 6


def test_a_model_that_two_runs_asked_alike_is_shown_once(made):
    one, two = (
        made(replace(FEW, models=MODELS[:2], baselines=(), name="one")),
        made(replace(FEW, name="two")),
    )
    library = open_library([one, two], connect([path.resolve() for path in (one, two)]))
    found = comparison(directly, library.runs)
    assert [(e.model, e.run.title) for e in found.entries].count(("deeploc", "two")) == 1
    assert {e.run.title for e in found.entries} == {"two"}, "the run with more models keeps them"
    assert "Asked in the same way in several of these runs, and shown once: PIFiA and DeepLoc." in (
        found.notes
    )
    other = made(replace(FEW, models=MODELS[:2], baselines=(), name="other", repeats=3))
    library = open_library([other, two], connect([path.resolve() for path in (other, two)]))
    found = comparison(directly, library.runs)
    assert len(found.entries) == 6, "on other trials they are asked otherwise"
