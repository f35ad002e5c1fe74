"""The page Overview without a browser: what it shows first, and runs that lack parts of it."""

import re
from dataclasses import replace

import numpy as np
import pytest

from compute.shipped import DEMO_RUN
from dashboard.figures import crops
from dashboard.figures.slide import Crops, Picture, Said
from dashboard.theme import TEXT, Ink
from dashboard.verdicts import MARKS, Verdict
from dashboard.views import before_after
from tests.dashboard.opening import SMALL
from tests.dashboard.views.test_pages import fine, text_of

FEW = replace(SMALL, proteins=15, mixed=1, cells=4, examples=1)


def html_of(test) -> str:
    return "\n".join(str(part.proto) for part in test.get("html"))


def subheaders(test) -> list[str]:
    return [part.value for part in test.subheader]


def charts_of(test) -> list[str]:
    """Return the names of the charts, by their keys."""
    return [re.search(r"chart_([a-z_]+)_\d", c.proto.id)[1] for c in test.get("plotly_chart")]


@pytest.fixture
def demo(app):
    return app(DEMO_RUN)


def test_the_page_shows_first_and_tells_after(demo):
    fine(demo)
    shown = html_of(demo)
    places = [
        shown.index(part)
        for part in ("<b>Bystander</b>", "before-after", "The finding", "number small")
    ]
    assert places == sorted(places)
    assert "takes this cytoplasm cell for bud neck" in shown
    assert "Simulated cells." in shown
    for verdict in (Verdict.RIGHT, Verdict.FOLLOWS):
        assert f"color:{MARKS[verdict].ink.light}" in shown
    assert "The neighbours alone give 30.6%" in shown
    assert "17.8 <small>points</small>" in shown
    assert charts_of(demo) == ["steps_of_a_drop", "accuracy_by_condition"]
    said = subheaders(demo)
    parts = ("Of the 17.8 points", "What helps", "What a background swap is", "Where to go next")
    order = [next(i for i, text in enumerate(said) if part in text) for part in parts]
    assert order == sorted(order)
    expander = next(e for e in demo.expander if e.label == "How sure is that?")
    sure = " ".join(part.value for part in expander.markdown)
    assert "loses 17.8 points of accuracy" in sure, "of the number"
    assert "loses 9.0 points of accuracy" in sure, "and as the sidebar asks"
    for part in ("background gap", "Simultaneous", "robust", "mixed localization", "Tested"):
        assert part in sure
    assert not expander.proto.expanded


@pytest.mark.parametrize(
    ("change", "there", "absent"),
    [
        (
            {"examples": 0, "without": ("remedies",), "simulated": False},
            ["<small>points", "come with", "What a background swap is"],
            ["before-after", "What helps", "imulated cells"],
        ),
        (
            {"models": ("pifia",), "without": ("decomposition",)},
            ["<small>points", "PIFiA", "What helps", "The neighbours alone"],
            ["come with", "What helps the other models"],
        ),
        (
            {"conditions": ("unaltered", "same", "different")},
            ["<small>points", "What helps"],
            ["The neighbours alone", "come with"],
        ),
        (
            {"localizations": ("nucleus",), "mixed": 0},
            ["Of no stored cell", "What a background swap is"],
            ["before-after"],
        ),
    ],
    ids=str,
)
def test_what_a_run_lacks_leaves_no_hole(app, made, change, there, absent):
    test = app(made(replace(FEW, **change)))
    fine(test)
    said = text_of(test) + " ".join(part.label for part in test.expander)
    said += " ".join(str(c.proto.spec) for c in test.get("plotly_chart"))
    for part in there:
        assert part in said, part
    for part in absent:
        assert part not in said, part
    assert "cannot be shown" not in said
    both = {"What helps", "steps_of_a_drop"} <= {*subheaders(test), *charts_of(test)}
    assert len(test.columns) == (2 if both else 0), "beside each other, or one in the whole width"


def test_the_sidebar_may_ask_for_what_the_number_is_of(app):
    test = app(DEMO_RUN, protocol="Fitted once, then frozen", probe="All classes at once")
    fine(test)
    expander = next(e for e in test.expander if e.label == "How sure is that?")
    assert "As the sidebar" not in " ".join(part.value for part in expander.markdown)
    assert "measured as the sidebar says" not in text_of(test)


PICTURE = Picture("Unaltered", TEXT, "a cell", np.zeros((64, 64), np.uint8), ())


def drawn(name: str, size: int = 64) -> str:
    ink = Ink("#000000", "#ffffff")
    answers = [
        Said(name, "●", ink, f"{name} 90%", False, verdict)
        for verdict in (Verdict.RIGHT, Verdict.FOLLOWS)
    ]
    before, after = (
        replace(PICTURE, said=(one,), alt=name, size=(size, size), behind=behind)
        for one, behind in zip(answers, ("", f"{crops.ON}{name}"), strict=True)
    )
    return before_after.html(Crops(name, name, (before, after)), dark=False)


def test_names_are_escaped_in_the_slider_and_nothing_is_fetched():
    name = '<img src=x onerror="alert(1)">'
    found = drawn(name)
    assert name not in found
    assert found.count("&lt;img src=x") >= 6
    assert set(re.findall('src="([a-z]+):', found)) == {"data"}
    assert not re.search("https?:|url\\(", found)


@pytest.mark.parametrize(
    ("size", "width", "scaling"),
    [(64, 384, "pixelated"), (100, 300, "pixelated"), (500, 384, "auto"), (350, 350, "auto")],
)
def test_pictures_are_enlarged_by_whole_numbers_where_they_fit(size, width, scaling):
    found = drawn("A", size)
    assert f".stage {{ width: {width}px" in found
    assert f"image-rendering: {scaling} }}" in found
