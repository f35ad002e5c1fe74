"""Runs and servers for the tests of the dashboard."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.bench.synthetic_config import SyntheticConfig
from dashboard.bench.synthetic_run import make_run
from dashboard.queries.open_runs import Run
from dashboard.server.launch import RUNS_VARIABLE, launch
from tests.dashboard.opening import DEMO, SMALL, opened


@pytest.fixture(scope="session")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run with everything in it."""
    return make_run(tmp_path_factory.mktemp("runs") / "small", SMALL)


@pytest.fixture(scope="session")
def run(run_path: Path) -> Run:
    """The small run, opened."""
    return opened(run_path)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[SyntheticConfig], Path]:
    """Make runs that tests only read, each plan once."""
    known: dict[SyntheticConfig, Path] = {}

    def make(plan: SyntheticConfig) -> Path:
        if plan not in known:
            known[plan] = make_run(tmp_path_factory.mktemp("made") / "run", plan)
        return known[plan]

    return make


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make an `AppTest` of the whole app on some runs, at an address."""
    from streamlit.testing.v1 import AppTest

    script = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"

    def make(*runs: Path, view: str = "", **address: str | list[str]) -> AppTest:
        monkeypatch.setenv(RUNS_VARIABLE, json.dumps([str(path) for path in runs]))
        test = AppTest.from_file(str(script), default_timeout=180)
        if view:
            test.switch_page(f"views/{view}.py")
        for name, value in address.items():
            test.query_params[name] = value
        return test.run()

    return make


@pytest.fixture(scope="session")
def published(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The paper's results as a run; skipped where they are not at hand."""
    from compute.paper.run import write_published

    path = tmp_path_factory.mktemp("paper") / "published"
    write_published(shared / "published_results", path)
    return path


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard on the demo (first), and on two synthetic runs with every table."""
    folder = tmp_path_factory.mktemp("browser")
    one = make_run(folder / "one", SyntheticConfig(proteins=90, mixed=10, cells=10, name="One"))
    small = SyntheticConfig(seed=3, name="Imaged", simulated=False)
    server = launch([DEMO, one, make_run(folder / "two", small)], open_browser=False, wait=False)
    yield server.address
    server.stop()


@pytest.fixture(scope="session")
def paper_address(published: Path) -> Iterator[str]:
    """A dashboard on the published results alone."""
    server = launch([published], open_browser=False, wait=False)
    yield server.address
    server.stop()


@pytest.fixture
def shot() -> Callable[[str], Path | None]:
    """Where a screenshot goes: below ``BYSTANDER_SCREENSHOTS``, or nowhere."""
    folder = os.environ.get("BYSTANDER_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
    return lambda name: Path(folder) / f"{name}.png" if folder else None


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, or a skip that says there is none."""
    chromium = os.environ.get("BYSTANDER_CHROMIUM") or shutil.which("chromium")
    if not chromium:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    sync = pytest.importorskip("playwright.sync_api")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    arguments += ["--disable-component-update", "--disable-sync", "--no-first-run"]
    with sync.sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield chrome
        chrome.close()
