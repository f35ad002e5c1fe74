"""The runs that most tests look at, and opening one without a server."""

from pathlib import Path

from dashboard.queries.open_runs import Run, connect, open_library
from tests.dashboard.synthetic_run import Plan

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo"

SMALL = Plan(proteins_per_class=2, mixed=4, cells=6, example_cells=20)


def opened(path: Path) -> Run:
    """Open one run directory."""
    library = open_library([path], connect([path.resolve()]))
    assert not library.broken, library.broken
    return library.runs[0]
