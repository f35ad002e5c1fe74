"""Every page in a real Chromium: two sizes, light and dark, no console errors, links that hold."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from synthetic_run import Plan, write_run

from dashboard.launch import launch

pytestmark = [pytest.mark.browser, pytest.mark.long]

PAGES = {
    "overview": "",
    "accuracy": "accuracy",
    "proteins": "proteins",
    "protein": "proteins?protein={gene}",
    "crops": "crops?outline=true&size=Medium",
    "crops_two_channels": "crops?channel=GFP+%2B+RFP",
    "methods": "methods",
}
SIZES = {"wide": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
PROBE = re.compile(r"/\w+/_stcore/(health|host-config)$")
"""Opened below a page's name, Streamlit's client first asks for its server there, and is told 404;
then it asks at the root. It does so in every app with several pages."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard on two runs: a simulated one, and one that is not."""
    named = os.environ.get("BYSTANDER_BROWSER_RUN")
    folder = tmp_path_factory.mktemp("browser")
    first = Path(named) if named else write_run(folder / "one", Plan(example_cells=30))
    small = Plan(proteins_per_class=2, cells=6, seed=3, name="Imaged", simulated=False)
    second = write_run(folder / "two", small)
    server = launch([first, second], open_browser=False, wait=False)
    yield server.address
    server.stop()


@pytest.fixture(scope="module")
def gene(address: str, browser: Any) -> str:
    """A protein that the first run has."""
    page = browser.new_page()
    _open(page, f"{address}/proteins")
    page.get_by_role("combobox", name="Find a protein").click()
    text = page.get_by_role("option").first.inner_text()
    page.close()
    return text.split(" (")[0]


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go."""
    folder = Path(os.environ.get("BYSTANDER_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _open(page: Any, url: str) -> None:
    page.goto(url)
    settle(page)


def settle(page: Any) -> None:
    """Wait until the script has run and nothing is being drawn."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_selector("h1")
    page.wait_for_function(
        """() => !document.querySelector('[data-stale="true"]')
              && [...document.querySelectorAll('[data-testid="stPlotlyChart"]')]
                   .every(chart => chart.querySelector('.main-svg'))""",
        timeout=30_000,
    )
    page.wait_for_timeout(300)


def _complaints(page: Any) -> list[str]:
    found: list[str] = []

    def heard(message: Any) -> None:
        if message.type == "error" and not PROBE.search(message.location.get("url", "")):
            found.append(f"{message.text} {message.location}")

    page.on("console", heard)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_page_draws_without_errors(
    browser: Any, address: str, gene: str, shots: Path, name: str, size: str, theme: str
) -> None:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    page = context.new_page()
    complaints = _complaints(page)
    _open(page, f"{address}/{PAGES[name].format(gene=gene)}")
    assert page.locator('[data-testid="stException"]').count() == 0
    assert page.locator('[data-testid="stAlertContentError"]').count() == 0
    assert page.get_by_text("simulated", exact=False).count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    full = page.evaluate("document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
    page.set_viewport_size({"width": width, "height": min(full + 60, 9000)})
    settle(page)
    page.screenshot(path=shots / f"{name}_{size}_{theme}.png")
    context.close()
    assert not complaints


def test_a_selection_is_kept_in_the_address_and_survives_a_reload(
    browser: Any, address: str
) -> None:
    page = browser.new_page()
    complaints = _complaints(page)
    _open(page, f"{address}/accuracy")
    page.get_by_role("radio", name="Masked").click()
    settle(page)
    assert parse_qs(urlparse(page.url).query)["condition"] == ["Masked"]
    page.reload()
    settle(page)
    assert page.get_by_role("radio", name="Masked").get_attribute("aria-checked") == "true"
    assert not complaints
    page.close()


def test_shared_filters_follow_to_other_pages(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    _open(page, f"{address}/accuracy?protocol=Fitted+once%2C+then+frozen")
    page.get_by_role("link", name="Proteins").click()
    page.wait_for_url(re.compile("proteins"))
    settle(page)
    assert parse_qs(urlparse(page.url).query)["protocol"] == ["Fitted once, then frozen"]
    page.close()


def test_a_gene_in_lower_case_is_understood_and_an_unknown_one_is_said(
    browser: Any, address: str, gene: str
) -> None:
    page = browser.new_page()
    _open(page, f"{address}/proteins?protein={gene.lower()}")
    assert page.get_by_role("heading", name=gene, exact=True).count() == 1
    _open(page, f"{address}/proteins?protein=%3Cscript%3Ealert(1)%3C/script%3E")
    assert page.get_by_text("which this run does not have").count() == 1
    assert page.locator("script", has_text="alert(1)").count() == 0
    page.close()


def test_captions_can_be_read(browser: Any, address: str) -> None:
    for theme, wanted in (("light", "rgb(91, 100, 114)"), ("dark", "rgb(163, 172, 186)")):
        page = browser.new_page(color_scheme=theme)
        _open(page, address)
        page.wait_for_function(
            """(wanted) => {
              let item = document.querySelector('[data-testid="stCaptionContainer"] p');
              const colour = getComputedStyle(item).color;
              let opacity = 1;
              for (; item; item = item.parentElement) opacity *= getComputedStyle(item).opacity;
              return colour === wanted && opacity === 1;
            }""",
            arg=wanted,
            timeout=10_000,
        )
        page.close()


def test_a_chart_is_saved_as_svg(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    _open(page, address)
    page.get_by_role("button", name="Download").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="SVG").click()
    content = Path(waiting.value.path()).read_bytes()
    assert b"<svg" in content[:1000]
    page.close()


def test_choosing_a_row_opens_that_protein(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    complaints = _complaints(page)
    _open(page, f"{address}/proteins")
    table = page.locator('[data-testid="stDataFrame"]').first
    table.scroll_into_view_if_needed()
    table.click(position={"x": 18, "y": 52})
    page.wait_for_url(re.compile("protein="))
    settle(page)
    chosen = parse_qs(urlparse(page.url).query)["protein"][0].split(" (")[0]
    assert page.get_by_role("heading", name=chosen, exact=True).count() == 1
    assert not complaints
    page.close()
