"""The demo: simulated cells, three small networks, all backgrounds, in a few minutes on a laptop.

The shipped weights were trained by `make weights`: on the same simulated proteins in other fields
(another seed), none of which the demo evaluates on.
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


def make_demo(out: Path, progress: Progress = silent) -> Path:
    """Simulate the demo's store and run the shipped models on it, or go on where it stopped.

    Parameters
    ----------
    out
        Folder for `store` and `run`.
    progress
        Called with the stage's name, units done and units in all.

    Returns
    -------
    Path
        The finished run.
    """
    store, run = out / "store", out / "run"
    if not (store / "store.json").is_file():
        simulate(store, **EVALUATION, progress=progress)
    run_store(store, run, list(builtin_cards()), CONFIG, name="demo", progress=progress)
    return run
