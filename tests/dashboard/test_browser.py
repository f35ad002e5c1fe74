"""Every page in a real Chromium: two sizes, light and dark; no console errors, nothing that
axe-core calls serious; links that hold, downloads, and what one keyboard can do.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from dashboard import views
from dashboard.queries.open_runs import connect, open_library
from tests.dashboard.browsing import (
    PATIENCE,
    SIZES,
    THEMES,
    address_of,
    at,
    has_no_failure,
    is_accessible,
    listen,
    opened,
    photograph,
    settle,
    visit,
)
from tests.dashboard.opening import DEMO

Shot = Callable[[str], Path | None]
pytestmark = [pytest.mark.browser, pytest.mark.long]

NAMES = tuple(page.name for page in views.PAGES)
CHOSEN: dict[str, tuple[str, dict[str, str]]] = {
    "accuracy": ("accuracy", {"calibration": "true"}),
    "protein": ("proteins", {"protein": "GENE"}),
    "crops": ("crops", {"outline": "true", "cell": "CELL"}),
    "crops_two_channels": ("crops", {"channel": "GFP + RFP"}),
}
"""Selections with which a page shows more."""

PAGES = {**{name: ("" if name == NAMES[0] else name, {}) for name in NAMES}, **CHOSEN}


@pytest.fixture(scope="module")
def gene() -> str:
    """A protein that the demo has."""
    run = open_library([DEMO], connect([DEMO])).runs[0]
    return str(run.query("SELECT min(protein) AS p FROM {examples}", ("examples",))["p"].item())


@pytest.fixture(scope="module")
def cell() -> str:
    """A cell of the demo that has stored images."""
    run = open_library([DEMO], connect([DEMO])).runs[0]
    return str(run.query("SELECT min(cell) AS c FROM {examples}", ("examples",))["c"].item())


def check(page: Any, complaints: list[str], shot: Path | None) -> None:
    has_no_failure(page)
    is_accessible(page)
    photograph(page, shot)
    assert not complaints


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_page_of_the_demo(
    browser: Any, address: str, gene: str, cell: str, shot: Shot, name: str, size: str, theme: str
) -> None:
    path, selections = PAGES[name]
    known = {"GENE": gene, "CELL": cell}
    url = at(address, path, **{k: known.get(v, v) for k, v in selections.items()})
    with opened(browser, url, size, theme) as (page, complaints):
        if name != "present":
            assert page.get_by_text("simulated", exact=False).count() > 0
        check(page, complaints, shot(f"{name}_{size}_{theme}"))


@pytest.mark.parametrize(("size", "theme"), [("wide", "light"), ("phone", "dark")])
@pytest.mark.parametrize("name", NAMES)
def test_page_of_the_published_results(
    browser: Any, paper_address: str, shot: Shot, name: str, size: str, theme: str
) -> None:
    with opened(browser, at(paper_address, PAGES[name][0]), size, theme) as (page, complaints):
        said = page.locator('[data-testid="stMain"]').inner_text()
        for wrong in ("simulated", "? × ?", "None numbers", "imaged cells", "95% interval "):
            assert wrong.lower() not in said.lower()
        check(page, complaints, shot(f"paper_{name}_{size}_{theme}"))


def test_every_table_of_answers_is_drawn(browser: Any, address: str, shot: Shot) -> None:
    url = at(address, "accuracy", run="One", calibration="true")
    with opened(browser, url) as (page, complaints):
        for name in ("flips", "rescaling_and_context", "backgrounds_drop", "calibration"):
            assert page.locator(f".st-key-chart_{name}_0").count() == 1
        assert page.get_by_text("Not in this run").count() == 0
        check(page, complaints, shot("accuracy_every_table"))


def test_a_selection_is_kept_in_the_address_and_survives_a_reload(
    browser: Any, address: str
) -> None:
    with opened(browser, at(address, "accuracy")) as (page, complaints):
        page.get_by_role("radio", name="Masked").click()
        settle(page)
        assert address_of(page)["condition"] == "Masked"
        page.reload()
        settle(page)
        assert page.get_by_role("radio", name="Masked").get_attribute("aria-checked") == "true"
        assert not complaints


def test_names_written_by_hand_are_kept_in_the_address(browser: Any, address: str) -> None:
    url = at(address, "accuracy", run="one", condition="masked", flip="lost")
    with opened(browser, url) as (page, _):
        found = address_of(page)
        assert (found["run"], found["condition"], found["flip"]) == ("One", "Masked", "lost")


def test_shared_filters_follow_to_other_pages(browser: Any, address: str) -> None:
    url = at(address, "accuracy", protocol="Fitted once, then frozen")
    with opened(browser, url) as (page, _):
        page.get_by_role("link", name="Proteins").click()
        page.wait_for_url(re.compile("proteins"))
        settle(page)
        assert address_of(page)["protocol"] == "Fitted once, then frozen"


def test_a_gene_in_lower_case_is_understood_and_an_unknown_one_is_said(
    browser: Any, address: str, gene: str
) -> None:
    with opened(browser, at(address, "proteins", protein=gene.lower())) as (page, _):
        assert page.get_by_role("heading", name=gene, exact=True).count() == 1
        visit(page, at(address, "proteins", protein="<script>alert(1)</script>"))
        assert page.get_by_text("which this run does not have").count() == 1
        assert page.locator("script", has_text="alert(1)").count() == 0
        visit(page, at(address, "proteins", protein=f"{gene}X"))
        page.get_by_role("button", name=f"Show {gene}").click()
        settle(page)
        assert page.get_by_role("heading", name=gene, exact=True).count() == 1


def test_captions_can_be_read(browser: Any, address: str) -> None:
    for theme, wanted in (("light", "rgb(91, 100, 114)"), ("dark", "rgb(163, 172, 186)")):
        with opened(browser, address, theme=theme) as (page, _):
            page.wait_for_function(
                """(wanted) => {
                  let item = document.querySelector('[data-testid="stCaptionContainer"] p');
                  const colour = getComputedStyle(item).color;
                  let opacity = 1;
                  for (; item; item = item.parentElement)
                    opacity *= getComputedStyle(item).opacity;
                  return colour === wanted && opacity === 1;
                }""",
                arg=wanted,
                timeout=PATIENCE,
            )


@pytest.mark.parametrize(("kind", "start"), [("SVG", b"<?xml"), ("PDF", b"%PDF"), ("PNG", b"\x89")])
def test_a_chart_is_saved(browser: Any, address: str, kind: str, start: bytes) -> None:
    with opened(browser, address) as (page, _):
        page.get_by_role("button", name="Download").first.click()
        with page.expect_download() as waiting:
            page.get_by_role("button", name=kind, exact=True).click()
        assert Path(waiting.value.path()).read_bytes().startswith(start)


def test_the_keyboard_reaches_what_a_mouse_does(browser: Any, address: str) -> None:
    """Choosing in a chart is done by lists as well; the crops' table scrolls with arrow keys."""
    with opened(browser, at(address, "accuracy", run="One")) as (page, complaints):
        box = page.get_by_role("combobox", name="Crops of one class")
        box.focus()
        page.keyboard.type("actin")
        page.keyboard.press("Enter")
        settle(page)
        assert address_of(page)["class"] == "actin"
        assert page.locator(".crops.pairs img").count() > 0
        assert not complaints
    with opened(browser, at(address, "crops", size="Large"), "wide") as (page, _):
        table = page.locator(".crops.wide")
        table.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        expect(table).to_be_focused()
        page.wait_for_function("document.querySelector('.crops.wide').scrollLeft > 0")


def test_crops_on_a_phone_need_no_scrolling_sideways(browser: Any, address: str) -> None:
    with opened(browser, at(address, "crops"), "phone") as (page, _):
        inside = page.evaluate(
            """() => [...document.querySelectorAll('.crops.wide .pic')].every(
                 item => item.getBoundingClientRect().right <= innerWidth + 1)"""
        )
        assert inside
        first = page.locator(".crops.wide tbody tr").first
        assert first.get_by_text("Different class").is_visible()


def test_pixels_are_not_smoothed(browser: Any, address: str) -> None:
    with opened(browser, at(address, "crops")) as (page, _):
        style = page.evaluate(
            "getComputedStyle(document.querySelector('.crops .pic img')).imageRendering"
        )
        assert style == "pixelated"


def test_going_back_undoes_a_selection(browser: Any, address: str) -> None:
    with opened(browser, at(address, "accuracy", run="One")) as (page, complaints):
        page.get_by_role("radio", name="Masked").click()
        settle(page)
        page.get_by_role("radio", name="Cell-free").click()
        settle(page)
        page.go_back()
        settle(page)
        assert address_of(page)["condition"] == "Masked"
        assert page.get_by_role("radio", name="Masked").get_attribute("aria-checked") == "true"
        assert not complaints


def test_a_run_deleted_while_open_is_explained(browser: Any, tmp_path: Path) -> None:
    import shutil

    from dashboard.bench.synthetic_config import SyntheticConfig
    from dashboard.bench.synthetic_run import make_run
    from dashboard.server.launch import launch

    plan = SyntheticConfig(cells=4, models=("pifia",))
    path = make_run(tmp_path / "gone", plan)
    server = launch([path], open_browser=False, wait=False)
    try:
        page = browser.new_page()
        complaints = listen(page)
        visit(page, server.address)
        shutil.rmtree(path)
        page.get_by_role("link", name="Accuracy").first.click()
        page.get_by_role("heading", name="No run to show").wait_for()
        has_no_failure(page)
        assert not complaints
        page.close()
    finally:
        server.stop()
