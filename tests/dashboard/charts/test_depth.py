"""Drop by depth: one line a network, in its order, and a title that says no more than is known."""

from dataclasses import replace

import pandas as pd
import pytest

from dashboard.charts import depth as charts
from dashboard.charts.description import Points
from dashboard.figures import accuracy as figures
from dashboard.figures import registry
from dashboard.figures.figure import Figure
from dashboard.figures.keys import FigureKey
from dashboard.figures.request import Filters
from dashboard.queries import accuracy as queries
from dashboard.queries import depth
from dashboard.queries.comparable_runs import directly
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.open_runs import Run
from dashboard.render.figures import render
from dashboard.theme import model_title


def table(estimates, half=0.01, network="deeploc", line=0, pooling="max"):
    """A network's layers; a half width of None leaves intervals out."""
    rows = []
    for k, value in enumerate(estimates):
        own = half[k] if isinstance(half, list) else half
        ends = (None, None) if own is None else (value - own, value + own)
        rows.append(
            {
                "network": network, "pooling": pooling, "line": line, "layer": f"layer_{k + 1}",
                "depth": k, "model": f"{network}.layer_{k + 1}", "estimate": value,
                "ci_low": ends[0], "ci_high": ends[1], "unit": "protein", "n_cells": 900,
                "n_proteins": 90,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            table([0.27, 0.2, 0.12]),
            "DeepLoc's drop falls from 27.0 to 12.0 points from layer_1 to layer_3",
        ),
        (
            table([0.05, 0.2]),
            "DeepLoc's drop rises from 5.0 to 20.0 points from layer_1 to layer_2",
        ),
        (
            table([0.101, 0.105]),
            "DeepLoc's drop is about the same at every layer: 10.1 to 10.5 points",
        ),
        (
            table([0.10, 0.20], half=0.08),
            "DeepLoc's drop is not seen to differ between layers: 10.0 to 20.0 points, with "
            "intervals that overlap",
        ),
        (
            table([0.27, 0.12], half=[0.01, None]),
            "DeepLoc's drop is 12.0 to 27.0 points between its layers; not all of them have an "
            "interval",
        ),
        (table([-0.0001, 0.0001]), "DeepLoc's drop is about the same at every layer: 0.0 points"),
    ],
    ids=["falls", "rises", "same", "overlap", "no interval", "nothing"],
)
def test_the_title_says_what_the_intervals_allow(found, said):
    assert charts.title(found, "drop") == said


def test_a_gap_is_called_a_gap_and_no_table_gives_the_name():
    assert charts.title(table([0.143, 0.011]), "gap").startswith("DeepLoc's background gap falls")
    assert charts.title(table([0.1])[:0], "drop") == charts.TITLE
    assert charts.by_depth(table([0.1])[:0], "drop", "different", "").empty


def test_the_network_whose_layers_are_told_apart_is_named_before_a_wider_spread():
    loose = table([0.4, 0.1], half=0.3, network="pifia", line=1)
    told = table([0.2, 0.1])
    both = pd.concat([told, loose])
    assert charts.title(both, "drop").startswith("DeepLoc's drop falls from 20.0 to 10.0")


def test_a_line_for_each_network_and_each_pooling():
    both = pd.concat(
        [table([0.3, 0.2]), table([0.1, 0.2], line=1, pooling="class_token"),
         table([0.1, 0.1, 0.1], network="mine", line=2)]
    )  # fmt: skip
    chart = charts.by_depth(both, "drop", "different", "Said.")
    assert [p.title for p in chart.panels] == ["DeepLoc (max)", "DeepLoc (class token)", "mine"]
    assert len({panel.y.range for panel in chart.panels}) == 1, "one scale"


def test_twelve_layers_and_a_missing_interval_are_drawn():
    found = table([0.3 - 0.02 * k for k in range(12)], half=[0.01] * 11 + [None])
    chart = charts.by_depth(found, "drop", "different", "Said.")
    (panel,) = chart.panels
    (line,) = [layer for layer in panel.layers if isinstance(layer, Points)]
    assert panel.x.categories == tuple(f"layer_{k + 1}" for k in range(12))
    assert line.line
    assert line.low[-1] is None
    assert "no interval" in line.hover[-1]
    assert b"layer_12" in render(chart, "svg")


def networks(run: Run, places: dict[str, dict]) -> Run:
    """The run, with its models read at these places."""
    models = [
        {**{k: v for k, v in model.items() if k != "network"},
         **({"network": places[model["name"]]} if model["name"] in places else {})}
        for model in run.meta["models"]
    ]  # fmt: skip
    return replace(run, meta={**run.meta, "models": models})


def place(depth_, of="a", layer="", pooling="max"):
    return {
        "name": of, "hash": of, "layer": layer or f"l{depth_}", "pooling": pooling,
        "depth": depth_, "layers": 2,
    }  # fmt: skip


def test_layers_come_in_the_networks_order_with_the_runs_numbers(run):
    chosen = AccuracyFilter(models=tuple(run.models), conditions=tuple(run.conditions))
    moved = networks(run, {name: place(2 - k) for k, name in enumerate(run.models)})
    found = depth.by_depth(moved, chosen, "drop", "different")
    assert found["model"].tolist() == run.models[::-1]
    assert found["depth"].tolist() == [0, 1, 2]
    overall = queries.overall(run, chosen)
    drops = overall[overall["condition"] == "different"].set_index("model")["drop_estimate"]
    assert found["estimate"].tolist() == [drops[name] for name in run.models[::-1]]
    gaps = queries.gaps(run, chosen).set_index("model")["estimate"]
    found = depth.by_depth(moved, chosen, "gap", "different")
    assert found["estimate"].tolist() == [gaps[name] for name in run.models[::-1]]


@pytest.mark.parametrize(
    "places",
    [
        {},
        {"pifia": place(0)},
        {"pifia": place(0), "deeploc": place(0, of="b")},
        {"pifia": place(0), "deeploc": place(1, pooling="mean")},
        {"pifia": place(0), "deeploc": place(0, pooling="max")},
    ],
    ids=["earlier run", "one layer", "two networks", "two poolings", "one layer twice"],
)
def test_one_layer_is_no_figure(run, places):
    chosen = AccuracyFilter(models=tuple(run.models), conditions=tuple(run.conditions))
    assert depth.by_depth(networks(run, places), chosen, "drop", "different").empty


def test_a_layer_that_is_not_chosen_is_left_out(run):
    chosen = AccuracyFilter(models=tuple(run.models[1:]), conditions=tuple(run.conditions))
    found = depth.by_depth(run, chosen, "drop", "different")
    assert found["depth"].tolist() == [0, 1]
    assert found["layer"].tolist() == ["layer_2", "layer_3"]


def test_page_address_and_slide_show_the_same(run):
    entry: Figure = registry.FIGURES["depth"]
    page = entry.asked(Filters.usual(run), directly)
    address = entry.checked(FigureKey("depth", (("finding", "gap"),)), run, directly)
    assert page.values["finding"] == "different"
    slide = entry.slide(address)
    assert "background gap" in slide.title
    assert slide.grid is not None
    assert len(slide.grid.rows) == len(run.models)
    assert entry in figures.PLAIN


def test_layers_of_built_in_networks_have_their_names():
    assert model_title("deeploc.fc_2") == "DeepLoc, fc_2"
    assert model_title("paired_cell.conv4_1", short=True) == "Paired Cell, conv4_1"
    for name in ("mine.fc_2", "deeploc.", "deeploc", "deeploc-2.fc"):
        assert ", " not in model_title(name)
