"""The second headline in words and as a chart: whose proteins, how many, how sure."""

import pandas as pd
import pytest

from compute.paper.table_1 import MIXED_PROTEINS
from compute.statistics.bootstrap import wilson
from dashboard.charts import mixed_proteins
from dashboard.queries import proteins
from dashboard.queries.headline import counted


def rows(*shares, condition="masked", population="mixed"):
    """One row a model: shifted proteins of 40."""
    found = []
    for model, shifted in zip(("deeploc", "pifia")[: len(shares)], shares, strict=True):
        low, high = wilson((shifted or 0) / 40, 40)
        found.append(
            {
                "model": model, "condition": condition, "population": population,
                "estimate": None if shifted is None else shifted / 40, "ci_low": low,
                "ci_high": high, "shifted": shifted, "kl_25": 0.1, "kl_50": 0.2, "kl_75": 0.5,
                "n_cells": 400, "n_proteins": 40,
            }
        )  # fmt: skip
    return counted(pd.DataFrame(found), "estimate", "ci_low", ("model", "population"))


def test_the_sentence_has_share_interval_and_population_of_every_model():
    text = mixed_proteins.finding(rows(4, 20))
    first, second = text.index("PIFiA 50.0% of 40 proteins"), text.index("DeepLoc 10.0%")
    assert first < second, "the largest first"
    assert "95% interval 4 to 23" in text
    assert f"{MIXED_PROTEINS:,} proteins" in text


def test_the_papers_number_stands_beside_masked_alone():
    assert mixed_proteins.finding(rows(4, 20, condition="different")) == ""
    assert "paper" not in mixed_proteins.shares(rows(4, 20)).title


@pytest.mark.parametrize(
    ("shares", "said"),
    [((None, None), "cannot be said"), ((None, 4), "Not computed for DeepLoc")],
)
def test_a_run_without_p_values_says_so(shares, said):
    text = mixed_proteins.finding(rows(*shares))
    assert said in text
    assert "nan" not in text.lower()


def test_nothing_is_said_without_mixed_proteins():
    assert mixed_proteins.finding(rows(4, population="several_labels")) == ""
    assert mixed_proteins.finding(rows(4).iloc[:0]) == ""


def test_the_chart_draws_every_share_with_its_interval():
    both = pd.concat(
        [
            rows(4, 20),
            rows(2, 8, condition="different"),
            rows(3, 3, population="varying"),
            rows(1, 17, population="several_labels"),
        ]
    )
    chart = mixed_proteins.shares(both)
    (panel,) = chart.panels
    drawn = {layer.name: (layer.y, layer.low) for layer in panel.layers}
    assert sorted(drawn["DeepLoc"][0]) == [0.05, 0.1]
    assert all(low < y for y, low in zip(*drawn["DeepLoc"], strict=True))
    assert "3 of whose cells no one class" not in chart.caption
    assert "DeepLoc 40 (40 with several labels, 40 of whose cells" in chart.caption
    assert "50%" in chart.title
    assert mixed_proteins.shares(rows(None, None)).panels == ()


def test_the_query_gives_the_runs_own_rows(run):
    found = proteins.mixed(run, "frozen", ("deeploc",))
    assert set(found["model"]) == {"deeploc"}
    table = run.query("SELECT * FROM {mixed_shifts}", ("mixed_shifts",))
    mine = table[(table["protocol"] == "frozen") & (table["model"] == "deeploc")]
    assert len(found) == len(mine) > 0
    assert (found["estimate"] == found["shifted"] / found["n_proteins"]).all()
