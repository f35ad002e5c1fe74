"""The runs that most tests look at, and opening one without a server."""

import socket
from pathlib import Path

from dashboard.bench.synthetic_config import SyntheticConfig
from dashboard.queries.open_runs import Run, connect, open_library

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo"

SMALL = SyntheticConfig()


def opened(path: Path) -> Run:
    """Open one run directory."""
    library = open_library([path], connect([path.resolve()]))
    assert not library.broken, library.broken
    return library.runs[0]


def free_port() -> int:
    """Return a port of this machine that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
