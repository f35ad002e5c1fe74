"""What tests in a real browser share: opening pages, waiting, listening for errors, axe."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

PATIENCE = 120_000
"""Milliseconds that a page may take on a busy machine; how long says nothing about it."""

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
PROBE = re.compile(r"/\w+/_stcore/(health|host-config)$")
"""Opened below a page's name, Streamlit's client first asks for its server there, and is told 404;
then it asks at the root. It does so in every app with several pages, and these two are allowed."""

SERIOUS = ("serious", "critical")


@contextmanager
def opened(
    browser: Any, url: str, size: str = "wide", theme: str = "light", **context: Any
) -> Iterator[tuple[Any, list[str]]]:
    """Open an address in a new window; gives the page and the list of its console's errors."""
    width, height = SIZES[size]
    window = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, **context
    )
    window.set_default_timeout(PATIENCE)
    page = window.new_page()
    complaints = listen(page)
    visit(page, url)
    try:
        yield page, complaints
    finally:
        window.close()


def visit(page: Any, url: str) -> None:
    """Go to an address and wait until it is drawn."""
    page.goto(url)
    settle(page)


def settle(page: Any) -> None:
    """Wait until the script has run and nothing is being drawn."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_selector("h1")
    page.wait_for_function(
        """() => !document.querySelector('[data-stale="true"]')
              && !document.getAnimations().some(one =>
                   one instanceof CSSTransition && one.playState === 'running')
              && [...document.querySelectorAll('[data-testid="stPlotlyChart"]')]
                   .every(chart => chart.querySelector('.main-svg'))""",
        timeout=PATIENCE,
    )
    page.wait_for_timeout(300)


def listen(page: Any) -> list[str]:
    """Collect what the console reports as errors."""
    found: list[str] = []

    def heard(message: Any) -> None:
        if message.type == "error" and not PROBE.search(message.location.get("url", "")):
            found.append(f"{message.text} {message.location}")

    page.on("console", heard)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def choose_first(page: Any, box: Any) -> None:
    """Take the first entry of a select box; scrolling to the box may close its list again."""
    box.scroll_into_view_if_needed()
    settle(page)
    box.click()
    page.wait_for_timeout(300)
    if box.get_attribute("aria-expanded") != "true":
        box.press("ArrowDown")
    page.get_by_role("option").first.click()


def has_no_failure(page: Any) -> None:
    """Check that nothing on the page is an error, and that it is no wider than its window."""
    assert page.locator('[data-testid="stException"]').count() == 0
    failed = page.locator('[data-testid="stAlertContentError"]')
    assert failed.count() == 0, failed.first.inner_text()
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def is_accessible(page: Any) -> None:
    """Check that axe-core finds nothing serious."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [
        (item["id"], item["help"], [node["html"][:200] for node in item["nodes"][:3]])
        for item in found
        if item["impact"] in SERIOUS
    ]
    assert not serious, serious


def photograph(page: Any, path: Path | None) -> None:
    """Save the whole page as a picture, where pictures are wanted."""
    if path is None:
        return
    width = page.viewport_size["width"]
    full = page.evaluate("document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
    page.set_viewport_size({"width": width, "height": min(full + 60, 9000)})
    settle(page)
    page.screenshot(path=path)


def address_of(page: Any) -> dict[str, str]:
    """Return the selections that the address holds."""
    return {key: values[0] for key, values in parse_qs(urlparse(page.url).query).items()}


def wait_for_address(page: Any, key: str, holds: Callable[[str], bool] = bool) -> str:
    """Wait until the address has a selection, and return it."""
    page.wait_for_function(
        "key => new URL(location.href).searchParams.has(key)", arg=key, timeout=PATIENCE
    )
    settle(page)
    value = address_of(page)[key]
    assert holds(value), value
    return value


def at(address: str, name: str, **selections: str) -> str:
    """Return the address of a page with selections."""
    return f"{address}/{name}" + (f"?{urlencode(selections)}" if selections else "")
