"""The demo: simulated cells, three small networks, all backgrounds, in a few minutes on a laptop.

Layer: joins `compute.simulation` and `compute.runs.pipeline`. The shipped weights were trained by
`make weights` on the same simulated proteins in other fields (another seed); the demo evaluates on
none of those.
"""

from pathlib import Path
from typing import Any

from compute.backgrounds.plan import PlanConfig
from compute.embedding.config import EmbedConfig
from compute.models.card import builtin_cards
from compute.runs.config import RunConfig
from compute.runs.pipeline import run_store
from compute.simulation.simulate import simulate
from compute.statistics.bootstrap import BootstrapConfig
from compute.storage.atomic_files import Progress, silent
from compute.storage.paths import StorePaths

EVALUATION: dict[str, Any] = {
    "proteins_per_class": 6,
    "mixed_proteins": 12,
    "cells_per_protein": 10,
    "fields_per_protein": 2,
    "replicates": 2,
    "seed": 20,
}
"""`bystander simulate` options of the store that the demo evaluates on."""

CONFIG = RunConfig(
    plan=PlanConfig(backgrounds=6),
    embed=EmbedConfig(),
    bootstrap=BootstrapConfig(),
    examples=1,
    keep_embeddings=False,
)
"""Settings of the demo's run."""


def make_demo(out: Path, progress: Progress = silent) -> Path:
    """Simulate the demo's store and run the shipped models on it, or go on where it stopped.

    Parameters
    ----------
    out
        Folder in which `store` and `run` are made.
    progress
        Called with the stage's name, what is done and what there is in all; silent by default.

    Returns
    -------
    Path
        Folder of the finished run.
    """
    store, run = out / "store", out / "run"
    if not StorePaths(store).header.is_file():
        simulate(store, **EVALUATION, progress=progress)
    run_store(store, run, list(builtin_cards()), CONFIG, name="demo", progress=progress)
    return run
