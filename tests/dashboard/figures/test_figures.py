"""Figures: a key in an address, what it refuses, and that pages and addresses show the same."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import BystanderError, UsageError
from compute.shipped import DEMO_RUN
from dashboard.charts.compare import leader
from dashboard.charts.differences import _difference_title
from dashboard.figures import accuracy, compare, crops, keys, parameters, proteins, registry
from dashboard.figures.figure import SHARED, Figure
from dashboard.figures.keys import FigureKey
from dashboard.figures.request import Filters, Request
from dashboard.queries import accuracy as queries
from dashboard.queries import examples
from dashboard.queries.comparable_runs import directly
from dashboard.queries.open_runs import Run
from dashboard.theme import model_title
from dashboard.verdicts import Verdict
from tests.dashboard.opening import opened

names = st.text(max_size=20)


@pytest.fixture(scope="module")
def demo() -> Run:
    return opened(DEMO_RUN)


@given(st.lists(st.tuples(names, st.dictionaries(names, names, max_size=3)), max_size=5))
def test_keys_survive_an_address(parts):
    written = [FigureKey(name, tuple(values.items())) for name, values in parts if name.strip()]
    unique = tuple(dict.fromkeys(written))
    assert keys.read(keys.write(unique)) == (unique, False)


@given(st.text(max_size=300))
def test_any_text_is_read(text):
    found, cut = keys.read(text)
    assert not cut
    assert keys.read(keys.write(found))[0] == found


def test_a_long_list_is_cut_and_that_is_said():
    found, cut = keys.read("x" * 100_000)
    assert cut
    assert len(keys.write(found)) <= keys.LONGEST
    found, cut = keys.read(",".join(f"a{i}" for i in range(60)))
    assert cut
    assert len(found) == keys.MOST
    with pytest.raises(UsageError, match="longer than"):
        keys.read_strictly("a," * 4000)


@given(st.lists(names.filter(bool), max_size=4, unique=True))
def test_lists_of_names_survive(parts):
    assert keys.split(keys.joined(parts)) == tuple(parts)


def own_values(run: Run, entry: Figure[Any]) -> dict[str, str]:
    """Return what an entry must be given."""
    genes = run.query("SELECT min(protein) AS low, max(protein) AS high FROM {cells}", ("cells",))
    value = {
        parameters.PROTEIN: genes["low"].item(),
        parameters.PROTEINS: keys.joined((genes["low"].item(), genes["high"].item())),
        parameters.ENTRY: keys.joined((run.key, "pifia")),
    }
    found = {name: value[entry.parameters[name]] for name in entry.needed}
    if "second" in found:
        found["second"] = keys.joined((run.key, "deeploc"))
    return found


def explained(error: BystanderError, run: Run, entry: Figure[Any]) -> bool:
    nothing = "nothing to show" in error.remedy
    return nothing or any(not run.has(table) for table in entry.tables)


def test_a_key_holds_the_filters_that_are_not_the_usual(run):
    usual = Filters.usual(run)
    frozen = replace(usual, protocol="frozen")
    assert accuracy.GAP.key(frozen).text == "gap:protocol=frozen"
    assert accuracy.GAP.key(usual).text == "gap"
    assert proteins.CURVE.key(usual, threshold=0.25).get("threshold") == "0.25"
    with pytest.raises(KeyError, match="condition"):
        accuracy.GAP.key(frozen, condition="masked")


def test_a_second_figure_of_the_same_name_is_an_error():
    with pytest.raises(ValueError, match="Two figures are called 'gap'"):
        registry.registered((accuracy.GAP, accuracy.ACCURACY, replace(accuracy.GAP, title="Other")))


@pytest.mark.parametrize("name", registry.FIGURES)
def test_an_entry_names_what_it_takes(name):
    entry = registry.FIGURES[name]
    assert re.fullmatch("[a-z_]+", name)
    assert set(entry.filters) <= set(SHARED)
    assert not set(entry.parameters) & set(SHARED)
    assert entry.tables
    assert entry.title


@pytest.mark.parametrize("name", registry.KEPT)
def test_every_figure_is_made_or_says_what_is_missing(run, demo, name):
    entry = registry.KEPT[name]
    made = 0
    for one in (run, demo):
        key = FigureKey(name, tuple(own_values(one, entry).items()))
        try:
            slide = registry.slide(key, one, directly)
        except BystanderError as error:
            if not explained(error, one, entry):
                raise
            continue
        made += 1
        assert not slide.empty
        assert slide.title
        assert re.search(
            r"n = |[0-9,]+ cell answers|cells? of|\d+ proteins", f"{slide.caption} {slide.lines}"
        )
    assert made or entry.absent or name in ("backgrounds", "reliability")


FROZEN = {"protocol": "frozen", "models": ("pifia", "deeploc")}


@pytest.mark.parametrize("changed", [{}, FROZEN], ids=["usual", "frozen"])
@pytest.mark.parametrize("name", registry.KEPT)
def test_what_a_page_shows_and_keeps_is_what_an_address_shows(
    run: Run, demo: Run, name: str, changed: Mapping[str, Any]
):
    entry = registry.KEPT[name]
    # What is added to runs may not have been added to this one, whose networks have one layer each.
    if name == "depth" or (entry.added and not demo.has(entry.tables[0])):
        demo = run
    filters = replace(Filters.usual(demo), **changed)
    known: dict[tuple[object, ...], Any] = {}

    def once(run: Run, query: Callable[..., Any], *values: object) -> Any:
        """Ask once: of two answers as frequent as each other, DuckDB's mode() takes either."""
        key = (query, *values)
        if key not in known:
            known[key] = query(run, *values)
        return known[key]

    asked = entry.asked(filters, once, **own_values(demo, entry))
    found = entry.checked(asked.key, demo, once)
    assert found.values == asked.values
    for followed in entry.filters:
        assert getattr(found, followed) == getattr(asked, followed)
    page, address = entry.slide(asked), entry.slide(found)
    assert entry.absent or entry.added or not page.empty
    assert page == address
    assert page.chart == address.chart


def test_the_explaining_figure_keeps_the_order_of_every_chart(demo):
    slide = registry.slide(FigureKey("swap"), demo, directly)
    titles = [picture.title for picture in slide.pictures]
    assert titles == ["Unaltered", "Same class", "Different class", "Masked"]
    assert set(crops.BACKGROUNDS) <= set(demo.conditions)


@pytest.mark.parametrize("protocol", ["refit", "frozen"])
def test_the_explaining_cell_is_right_first_and_then_follows_its_background(demo, protocol):
    asked = crops.SWAP.asked(Filters.usual(demo, protocol), directly)
    slide = crops.SWAP.slide(asked)
    by_title = {picture.title: picture for picture in slide.pictures}
    followers = examples.followers(
        demo, crops.chosen_cell(asked), protocol, asked.models, crops.shown(asked)
    )
    said = {
        title: {one.model: one.verdict for one in by_title[title].said}
        for title in ("Unaltered", "Different class")
    }
    assert "deeploc" in followers, "the headline's model"
    for model in followers:
        assert said["Unaltered"][model_title(model)] == Verdict.RIGHT
        assert said["Different class"][model_title(model)] == Verdict.FOLLOWS
    answers = demo.query(
        """SELECT count(DISTINCT model) AS n FROM {example_answers} AS a WHERE drawn = 1
           AND condition = 'different' AND protocol = $protocol
           AND EXISTS (SELECT 1 FROM {example_answers} AS b WHERE b.cell = a.cell AND b.drawn = 1
                       AND b.model = 'deeploc' AND b.condition = 'different'
                       AND b.protocol = a.protocol)
           AND EXISTS (SELECT 1 FROM {example_answers} AS b WHERE b.cell = a.cell AND b.changes = 0
                       AND b.model = 'deeploc' AND b.condition = 'same'
                       AND b.protocol = a.protocol)
           GROUP BY cell""",
        ("example_answers",),
        {"protocol": protocol},
    )
    assert len(followers) == answers["n"].max(), "of those that keep their answer under `same`"
    assert "right about it on its own background and, on another class's" in slide.caption


def test_a_cell_that_only_breaks_is_said_to_be_no_follower(demo):
    filters = replace(Filters.usual(demo), conditions=("unaltered", "masked"))
    slide = crops.SWAP.slide(crops.SWAP.asked(filters, directly))
    assert "of no stored cell is the answer right at first and then" in slide.caption
    assert any(one.changed for picture in slide.pictures for one in picture.said)


def test_two_models_are_named_with_their_runs_where_several_runs_are_compared(run, demo):
    runs = {one.key: one for one in (run, demo)}
    ends = {"first": keys.joined((demo.key, "pifia")), "second": keys.joined((demo.key, "deeploc"))}
    for named, title in ((None, "PIFiA and DeepLoc"), (keys.joined(runs), f"PIFiA · {demo.key} ")):
        asked = compare.SHIFT_PAIRS.asked(
            Filters.usual(demo), directly, runs, condition="masked", runs=named, **ends
        )
        slide = registry.slide(asked.key, demo, directly, runs)
        assert slide.title.startswith(title)
        assert slide == compare.SHIFT_PAIRS.slide(asked)


@pytest.mark.parametrize("entry", [proteins.LISTED, proteins.NEIGHBOURS], ids=lambda e: e.name)
def test_a_figure_of_a_page_alone_is_no_name_in_an_address(demo, entry):
    asked = entry.asked(Filters.usual(demo), directly, **own_values(demo, entry))
    assert "n = " in entry.drawn(asked).caption
    assert entry.checked(asked.key, demo, directly).values == asked.values
    with pytest.raises(UsageError, match=f"Unknown figure '{entry.name}'"):
        registry.slide(asked.key, demo, directly)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("histogrm", "histogram"),
        ("by_class:condition=maskd", "masked"),
        ("by_class:conditon=masked", "condition"),
        ("grid:model=pifa", "pifia"),
        ("curve:threshold=lots", "must be a number"),
        ("curve:threshold=7", "from 0 to 1"),
        ("protein", "needs a protein"),
        ("protein:protein=NOPE", "Unknown protein"),
        ("swap:cell=99999999", "Unknown cell"),
        ("leaderboard:runs=other", "Unknown run"),
        ("gap:protocol=frzen", "frozen"),
        ("gap:models=pifia%2Bdeplc", "deeploc"),
    ],
)
def test_an_unknown_name_or_value_is_said_with_the_nearest(run, text, said):
    (key,), _ = keys.read(text)
    with pytest.raises(UsageError) as caught:
        registry.slide(key, run, directly)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 700


def test_models_that_read_nothing_are_named_before_their_drops():
    columns = ["model", "condition", "estimate", "ci_low", "ci_high", "unit"]
    rows = [
        ["pifia", "unaltered", 0.48, 0.37, 0.59, "cell"],
        ["deeploc", "unaltered", 0.8, 0.7, 0.9, "cell"],
        ["deeploc", "different", 0.5, 0.4, 0.6, "cell"],
    ]
    table = pd.DataFrame(rows, columns=columns)
    text = accuracy.chance_finding(table, 0.5)
    for part in ("PIFiA 48.0% (", "37.0 to 59.0", "by chance 50.0%"):
        assert part in text
    assert "DeepLoc" not in text
    assert accuracy.chance_finding(table, 0.3) == ""
    assert accuracy.chance_finding(table, None) == ""
    text = accuracy.chance_finding(table, 0.5, 0.75)
    for part in ("PIFiA 48.0% (", "DeepLoc 80.0% (", "commonest class gives 75.0%"):
        assert part in text
    assert accuracy.chance_finding(table, 0.3, 0.36) == ""
    assert [row.model for row in accuracy.at_chance(table, 0.5)] == ["pifia"]
    assert len(accuracy.at_chance(table, 0.5, 0.75)) == 2


def test_one_model_at_chance_does_not_stand_before_what_others_show(demo):
    """As a baseline that looks only at the crowd is meant to be."""
    usual = Filters.usual(demo)
    shown = {each.name: getattr(usual, each.name) for each in fields(Filters)}
    asked = Request(**shown, key=FigureKey("finding"), ask=directly)
    table = directly(demo, queries.overall, asked.accuracy)
    said = "Nothing can be concluded"
    assert not any(line.startswith(said) for line in accuracy._finding(asked, table).lines)
    table.loc[table["model"] == table["model"].iloc[0], "ci_low"] = 0.0
    lines = accuracy._finding(asked, table).lines
    assert not lines[0].startswith(said)
    assert sum(line.startswith(said) for line in lines) == 1
    table["ci_low"] = 0.0
    assert accuracy._finding(asked, table).lines[0].startswith(said)


def test_who_has_nothing_to_lose_does_not_lead():
    columns = ["entry", "accuracy", "accuracy_low", "drop", "drop_low", "drop_high"]
    rows = [
        ["density", 0.5, 0.47, -0.01, -0.03, 0.01],
        ["PIFiA", 0.8, 0.75, 0.02, 0.01, 0.03],
        ["DeepLoc", 0.9, 0.85, 0.2, 0.15, 0.25],
    ]
    table = pd.DataFrame(rows, columns=columns)
    title = leader(table, "different", 0.5)
    assert title.startswith("PIFiA loses least")
    assert "the next is DeepLoc" in title
    assert leader(table, "different").startswith("density loses least")
    assert "No model is above chance" in leader(table.head(1), "different", 0.5)


def test_yardsticks_do_not_lead_where_there_are_models():
    columns = ["entry", "accuracy", "accuracy_low", "drop", "drop_low", "drop_high", "baseline"]
    rows = [
        ["Centre features", 0.7, 0.65, 0.001, -0.01, 0.01, True],
        ["Density", 0.07, 0.06, -0.01, -0.03, 0.01, True],
        ["Crop features", 0.6, 0.55, 0.4, 0.3, 0.5, True],
        ["PIFiA", 0.8, 0.75, 0.02, 0.01, 0.03, False],
        ["DeepLoc", 0.9, 0.85, 0.2, 0.15, 0.25, False],
    ]
    table = pd.DataFrame(rows, columns=columns)
    title = leader(table, "different", 0.1)
    assert title.startswith("PIFiA loses least")
    assert "the next is DeepLoc" in title
    assert title.endswith("(the yardstick Centre features: 0.1 points)")
    assert "yardstick" not in leader(table[2:], "different", 0.1)
    assert leader(table[table["baseline"]], "different", 0.1).startswith("Centre features loses")


@pytest.mark.parametrize(
    ("masked", "different", "said"),
    [
        (0.3, 0.1, "A loses 10.0 points more than B"),
        (0.3, 0.0, "their drops differ only where all else is set to zero"),
        (0.0, 0.0, "no difference between their drops is told from zero"),
    ],
)
def test_zeros_head_no_difference(masked, different, said):
    rows = [
        {"quantity": "drop", "condition": name, "estimate": value, "ci_low": value - 0.02,
         "ci_high": value + 0.02, "p_holm": 0.001}
        for name, value in (("masked", masked), ("different", different))
    ]  # fmt: skip
    assert said in _difference_title(pd.DataFrame(rows), "A", "B")
