"""Where the results and weights that come with Bystander lie. No torch."""

from pathlib import Path


def _data_folder() -> Path:
    """Find `data/` beside the packages (a checkout) or inside them (an installed wheel)."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "data"
    return beside if beside.is_dir() else package / "data"


DEMO_RUN = _data_folder() / "demo"
"""The finished demo run, of simulated cells, that `bystander dashboard` opens by itself."""

WEIGHTS = _data_folder() / "weights"
"""Model cards and safetensors of the demo's three networks."""
