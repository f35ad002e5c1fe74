"""Where the results and weights that come with Bystander are. No torch."""

from pathlib import Path


def _data_folder() -> Path:
    """Return `data/`, which is beside the packages (a checkout) or in `compute` (a wheel)."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "data"
    return beside if beside.is_dir() else package / "data"


DEMO_RUN = _data_folder() / "demo"
"""The finished demo run, of simulated cells, that `bystander dashboard` opens by itself."""

COMPARED_RUN = _data_folder() / "compared"
"""A finished run on the same cells: the demo's networks beside baselines, and with a remedy."""

WEIGHTS = _data_folder() / "weights"
"""Folder of the model cards and safetensors of the demo's three networks."""
