"""The page Present: what is shown, kept, moved, refused; its keys in a real browser."""

import re
from dataclasses import replace

import pytest

from compute.shipped import DEMO_RUN
from dashboard.figures import keys
from dashboard.figures.keys import FigureKey
from dashboard.report import html
from dashboard.state import kept_figures
from tests.dashboard.opening import SMALL
from tests.dashboard.views.test_pages import fine

FEW = replace(SMALL, proteins=15, mixed=1, cells=4, examples=1)


def slide_of(test) -> str:
    bodies = [item.proto.body for item in test.get("html")]
    found = next(body for body in bodies if 'class="slide"' in body)
    return re.sub(r"<style>.*?</style>", "", found, flags=re.DOTALL)


def heading(test) -> str:
    return re.search(r"<h1>(.*?)</h1>", slide_of(test), re.DOTALL)[1]


def button(test, key):
    return next(item for item in test.button if item.key == key)


def presented(app, keep):
    """Open an address with a list on the first page, and go from there to Present."""
    return app(DEMO_RUN, keep=keep).switch_page("views/present.py").run()


def test_moving_keeps_the_place_in_the_address(app):
    test = app(DEMO_RUN, view="present")
    fine(test)
    assert heading(test).startswith("Does the model answer")
    button(test, "go_on").click().run()
    fine(test)
    assert heading(test).startswith("Accuracy falls most")
    assert test.query_params["slide"] in ("2", ["2"])
    button(test, "key_end").click().run()
    assert "same cell" in heading(test)
    assert button(test, "go_on").disabled
    button(test, "key_home").click().run()
    assert heading(test).startswith("Does the model answer")
    assert button(test, "go_back").disabled


def test_a_kept_set_is_shown_in_its_order(app):
    kept = "gap:protocol=frozen,accuracy"
    test = presented(app, kept)
    assert "background gap" in heading(test)
    button(test, "go_on").click().run()
    assert heading(test).startswith("Accuracy")
    assert button(test, "go_on").disabled
    button(test, "leave").click().run()
    fine(test)
    button(test, "Later_0").click().run()
    found = keys.read(test.session_state[kept_figures.KEY])[0]
    assert [key.name for key in found] == ["accuracy", "gap"]
    assert found[1].get("protocol") == "frozen"
    button(test, "Let go_0").click().run()
    assert test.session_state[kept_figures.KEY] == "gap:protocol=frozen"
    fine(test)


def test_a_figure_is_kept_from_its_own_page_and_let_go(app):
    test = app(DEMO_RUN, view="compare")
    name = next(item.key for item in test.button if (item.key or "").startswith("keep_class_pairs"))
    button(test, name).click().run()
    fine(test)
    (key,) = keys.read(test.session_state[kept_figures.KEY])[0]
    assert key.name == "class_pairs"
    test.switch_page("views/present.py").run()
    assert "order" in heading(test)
    test.switch_page("views/compare.py").run()
    button(test, name).click().run()
    assert test.session_state[kept_figures.KEY] == ""


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ("histogrm", "Did you mean &#x27;histogram&#x27;"),
        ("by_class:condition=maskd", "Did you mean &#x27;masked&#x27;"),
        ("<script>alert(1)</script>", "Unknown figure"),
        ("protein:protein='; DROP TABLE x; --", "Unknown protein"),
        ("x" * 100_000, "Does the model answer"),
        ("../../etc/passwd", "Unknown figure"),
        ("💥:a=b:c", "Unknown figure"),
    ],
)
def test_hand_edited_lists_say_so(app, keep, said):
    test = presented(app, keep)
    fine(test)
    shown = slide_of(test)
    assert said in shown
    assert "<script" not in shown
    assert len(shown) < 60_000


@pytest.mark.parametrize("slide", ["999", "-4", "0", "lots", "1e9"])
def test_a_place_that_is_not_there_is_the_nearest(app, slide):
    test = app(DEMO_RUN, view="present", slide=slide)
    fine(test)
    assert heading(test)


@pytest.mark.parametrize(
    "change",
    [{"labels": False}, {"models": ()}, {"complete": False}, {"examples": 0}],
    ids=str,
)
def test_unusual_runs_are_presented_or_explained(app, made, change):
    test = app(made(replace(FEW, **change)), view="present")
    fine(test)
    assert heading(test)
    button(test, "leave").click().run()
    fine(test)


@pytest.mark.browser
@pytest.mark.long
def test_keys_move_and_nothing_else_is_on_the_screen(browser):
    from dashboard.server.launch import launch
    from tests.dashboard.test_browser import settle

    server = launch([DEMO_RUN], open_browser=False, wait=False)
    try:
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.goto(f"{server.address}/present?keep=finding,accuracy,gap,swap")
        settle(page)

        def shown(start: str) -> None:
            page.wait_for_function(
                "start => document.querySelector('.slide h1')?.textContent.startsWith(start)",
                arg=start,
            )

        titles = ["Does the model", "Accuracy", "The background", "The same cell"]
        shown(titles[0])
        for key, place in (
            ("ArrowRight", 1),
            ("Space", 2),
            ("End", 3),
            ("ArrowLeft", 2),
            ("Home", 0),
            ("PageDown", 1),
        ):
            page.keyboard.press(key)
            shown(titles[place])
            settle(page)
        assert not page.locator('[data-testid="stSidebar"]').is_visible()
        assert not page.locator('[data-testid="stHeader"]').is_visible()
        smallest = page.evaluate(
            """() => Math.min(...[...document.querySelectorAll('.slide h1, .slide p, .slide td')]
                  .map(item => parseFloat(getComputedStyle(item).fontSize)))"""
        )
        assert smallest >= 24
        page.keyboard.press("Escape")
        page.get_by_role("heading", name="Save them").wait_for()
        assert page.locator('[data-testid="stSidebar"]').is_visible()
        page.close()
    finally:
        server.stop()


@pytest.mark.browser
@pytest.mark.long
def test_the_report_needs_no_network(browser, tmp_path):
    from dashboard.queries.comparable_runs import directly
    from dashboard.report import deck
    from tests.dashboard.opening import opened

    figures = [FigureKey("accuracy"), FigureKey("swap")]
    target = tmp_path / "report.html"
    target.write_bytes(html.render(deck.make(opened(DEMO_RUN), figures, directly)))
    for width, height in ((1440, 900), (390, 844)):
        context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.goto(target.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("section").count() == 2
        assert page.locator("section img").first.evaluate("item => item.naturalWidth") == 64
        page.keyboard.press("p")
        page.keyboard.press("ArrowRight")
        assert page.locator("section.current h2").inner_text().startswith("The same cell")
        page.keyboard.press("Home")
        assert page.locator("section.current h2").inner_text().startswith("Accuracy")
        page.keyboard.press("Escape")
        assert page.locator("nav").is_visible()
        assert not said
        context.close()
