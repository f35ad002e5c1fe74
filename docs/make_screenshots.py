"""Make the README's screenshots: the demo in a real browser (`make screenshots`).

Needs Chromium and the packages of the ``dev`` extra.
"""

import io
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from compute.shipped import DEMO_RUN
from dashboard.queries.open_runs import connect, open_library
from dashboard.server.launch import launch

OUT = Path(__file__).resolve().parent / "screenshots"
LARGEST = 250_000
"""Bytes of one picture."""


@dataclass(frozen=True)
class Shot:
    """One picture.

    Parameters
    ----------
    name
        Of the file.
    path
        Page with its selections; ``GENE`` stands for a protein that shifts.
    theme
        ``light`` or ``dark``.
    scroll
        Heading to start from; the top where empty.
    """

    name: str
    path: str
    theme: str = "light"
    scroll: str = ""


SHOTS = (
    Shot("overview", ""),
    Shot("protein", "proteins?protein=GENE", scroll="Find a protein"),
    Shot("crops", "crops?outline=true", "dark", "Channels"),
)


def main() -> None:
    """Write every picture, and say how large it is."""
    chromium = os.environ.get("BYSTANDER_CHROMIUM") or shutil.which("chromium")
    if not chromium:
        sys.exit("No Chromium on this machine; install it (apt-get install chromium).")
    OUT.mkdir(exist_ok=True)
    gene = telling_gene()
    server = launch([DEMO_RUN], open_browser=False, wait=False)
    try:
        with sync_playwright() as playwright:
            chrome = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for shot in SHOTS:
                size = take(chrome, server.address, shot, gene)
                print(f"{shot.name}.png: {size / 1000:.0f} kB")
            chrome.close()
    finally:
        server.stop()


def telling_gene() -> str:
    """Return the protein with images whose localizations shift most under `different`."""
    run = open_library([DEMO_RUN], connect([DEMO_RUN])).runs[0]
    found = run.query(
        """SELECT protein FROM {shifts} WHERE condition = 'different' AND protocol = 'frozen'
             AND protein IN (SELECT protein FROM {examples})
           GROUP BY protein ORDER BY avg(tv) DESC, protein LIMIT 1""",
        ("shifts", "examples"),
    )
    return str(found["protein"].item())


def take(chrome: Any, address: str, shot: Shot, gene: str) -> int:
    """Write one picture and return its size in bytes."""
    page = chrome.new_page(viewport={"width": 1440, "height": 900}, color_scheme=shot.theme)
    page.goto(f"{address}/{shot.path.replace('GENE', gene)}")
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_selector("h1")
    page.wait_for_timeout(3000)
    if shot.scroll:
        place = page.get_by_test_id("stMain").get_by_text(shot.scroll, exact=True).first
        place.evaluate("item => item.scrollIntoView({block: 'start'})")
        page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    page.close()
    path = OUT / f"{shot.name}.png"
    picture.save(path, optimize=True)
    if path.stat().st_size > LARGEST:  # fewer colours, where needed
        picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    if size > LARGEST:
        sys.exit(f"{path} has {size:,} bytes, more than {LARGEST:,}.")
    return size


if __name__ == "__main__":
    main()
