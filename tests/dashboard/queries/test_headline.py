"""Zeros around a cell are evidence about neighbours only where medium there costs something too."""

import pandas as pd
import pytest

from dashboard import wording
from dashboard.bench.synthetic_config import SyntheticConfig
from dashboard.charts import answers as changes
from dashboard.charts import calibration, mixed_proteins
from dashboard.charts import proteins as shifts
from dashboard.queries import accuracy, answers, proteins
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.headline import counted
from tests.dashboard.opening import DEMO, opened


def drops(**of):
    """A drop of each condition, with an interval of two points on either side; 90% unaltered."""
    rows = [
        {"model": "deeploc", "condition": name, "estimate": 0.9 - drop, "drop_estimate": drop,
         "drop_low": drop - 0.02, "drop_high": drop + 0.02, "drop_unit": "protein",
         "n_cells": 100, "n_proteins": 20}
        for name, drop in of.items()
    ]  # fmt: skip
    return counted(pd.DataFrame(rows), "drop_estimate", "drop_low")


@pytest.mark.parametrize(
    ("of", "head", "counts"),
    [
        ({"masked": 0.44, "different": 0.1}, "masked", 0.44),
        ({"masked": 0.44, "alone": 0.0, "different": 0.1}, "different", 0.1),
        ({"masked": 0.44, "cell_free": 0.0, "different": 0.1}, "different", 0.1),
        ({"masked": 0.44, "alone": 0.3, "different": 0.1}, "masked", 0.3),
        ({"masked": 0.44, "alone": 0.05, "different": 0.1}, "different", 0.1),
        ({"masked": 0.44, "alone": 0.0, "cell_free": 0.3}, "cell_free", 0.3),
        ({"masked": 0.2, "alone": 0.3}, "masked", 0.2),
        ({"masked": 0.44, "alone": 0.021}, "masked", 0.021),
    ],
)
def test_masked_counts_for_no_more_than_the_mildest_removal(of, head, counts):
    row = wording.worst(drops(**of))
    assert (row.condition, row.counted) == (head, pytest.approx(counts))


def test_zeros_that_a_network_does_not_know_are_said_and_head_nothing():
    table = drops(masked=0.44, alone=0.0, different=0.1)
    assert "loses 10.0 points of accuracy on the background of another" in (
        wording.drop_finding(table)
    )
    assert "another class: by 10.0 points" in wording.short_finding(table)
    said = wording.zeros_finding(table)
    for part in ("what a network makes of zeros", "44.0 points", "alone: 0.0 points", "100 cells"):
        assert part in said
    only = drops(masked=0.44, alone=0.0)
    assert wording.worst(only) is None
    assert "No drop is evidence about neighbours" in wording.drop_finding(only)
    assert "only zeros around the cell" in wording.short_finding(only)
    assert wording.zeros_finding(drops(masked=0.44, different=0.1)) == ""


def test_what_medium_costs_stands_beside_a_drop_under_masked():
    said = wording.drop_finding(drops(masked=0.44, alone=0.3))
    assert "set to zero (30.0 points with medium there)" in said


def test_a_removal_counts_whether_it_is_shown_or_not(made):
    conditions = ("unaltered", "different", "masked", "alone")
    run = opened(made(SyntheticConfig(models=("pifia",), conditions=conditions, examples=0)))
    every = accuracy.overall(run, AccuracyFilter(models=("pifia",), conditions=conditions))
    some = accuracy.overall(run, AccuracyFilter(models=("pifia",), conditions=conditions[:3]))
    assert set(every["condition"]) - set(some["condition"]) == {"alone"}
    alone = every.set_index("condition").loc["alone", "drop_estimate"]
    assert some.set_index("condition").loc["masked", "mild_value"] == pytest.approx(alone)


def test_shifts_under_zeros_are_no_shifts_for_neighbours():
    rows = [
        {"model": "deeploc", "condition": name, "population": "mixed", "shifted": shifted, "n": 40,
         "n_proteins": 40, "share": shifted / 40, "estimate": shifted / 40, "ci_low": 0.01,
         "ci_high": 0.99, "kl_25": 0.1, "kl_50": 0.2, "kl_75": 0.3}
        for name, shifted in (("masked", 36), ("alone", 0), ("different", 10))
    ]  # fmt: skip
    table = counted(pd.DataFrame(rows), "share")
    chart = shifts.shares(table.drop(columns="estimate"), 0.2)
    assert chart.title.startswith("10 of 40 proteins (25%) shift substantially for DeepLoc on the")
    assert "DeepLoc 90%, alone 0%" in chart.caption
    mixed = mixed_proteins.shares(table)
    assert "25% shift" in mixed.title
    assert "DeepLoc 90%, alone 0%" in mixed.caption
    assert "makes of zeros, not of neighbours" in mixed_proteins.finding(table)


def test_queries_of_shifts_know_what_counts(run):
    for table in (
        proteins.shares(run, "frozen", ("pifia",), 0.2),
        proteins.mixed(run, "frozen", ("pifia",)),
    ):
        assert {"counted", "mild", "mild_value"} <= set(table)
        assert table.loc[table["condition"] == "sham", "counted"].isna().all()


def test_other_titles_of_the_demo_do_not_take_zeros_for_neighbours():
    demo = opened(DEMO)
    chosen = AccuracyFilter("frozen", models=tuple(demo.models), conditions=tuple(demo.conditions))
    titles = [
        changes.flips_title(answers.flips(demo, chosen)),
        changes.rescaling_title(answers.rescaling(demo, chosen.models, chosen.conditions)),
        calibration.error_title(answers.calibration(demo, chosen)),
    ]
    for title in titles:
        assert "on the background of another class" in title
