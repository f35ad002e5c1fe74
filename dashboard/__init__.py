"""The dashboard: reads run directories with DuckDB and shows them; never imports torch.

For scripts it has `open_runs`, `compare`, `differences`, `draw`, `write_mosaic`,
`write_explanation`, `write_report`, `launch` and `measure_dashboard`, each loaded when it is asked
for. `PUBLIC` lists them; the other public names are in `compute`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

PUBLIC = {
    "compare": "dashboard.queries.ranking",
    "differences": "dashboard.queries.differences",
    "draw": "dashboard.report.write",
    "launch": "dashboard.server.launch",
    "measure_dashboard": "dashboard.bench.whole",
    "open_runs": "dashboard.queries.open_runs",
    "write_explanation": "dashboard.render.explanation",
    "write_mosaic": "dashboard.render.mosaic_picture",
    "write_report": "dashboard.report.write",
}
"""Every public name, with the module that defines it."""

__all__ = ["PUBLIC", *PUBLIC]

if TYPE_CHECKING:
    from dashboard.bench.whole import measure_dashboard as measure_dashboard
    from dashboard.queries.differences import differences as differences
    from dashboard.queries.open_runs import open_runs as open_runs
    from dashboard.queries.ranking import compare as compare
    from dashboard.render.explanation import write_explanation as write_explanation
    from dashboard.render.mosaic_picture import write_mosaic as write_mosaic
    from dashboard.report.write import draw as draw
    from dashboard.report.write import write_report as write_report
    from dashboard.server.launch import launch as launch


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(PUBLIC[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List what is here, the public names included."""
    return sorted({*globals(), *PUBLIC})
