"""The demo: simulated cells, three small networks, all backgrounds, in a few minutes on a laptop.

Beside it, if asked, the same networks with a remedy, and baselines.

Layer: joins `compute.simulation` and `compute.runs.pipeline`. The shipped weights were trained by
`make weights` on other simulated proteins (another proteome seed) in other fields (another seed).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from compute.backgrounds.config import PlanConfig
from compute.embedding.config import EmbedConfig
from compute.errors import ChangedError
from compute.models.card_files import FoundModel, builtin_cards, find_model
from compute.models.own_answer import NO_HEAD
from compute.runs.config import RunConfig
from compute.runs.pipeline import run_store
from compute.runs.remedy_crops import variant_of
from compute.schema import Condition, Remedy
from compute.simulation.simulate import simulate
from compute.statistics.bootstrap import BootstrapConfig
from compute.storage.atomic_files import Progress, silent
from compute.storage.paths import StorePaths
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore

EVALUATION: dict[str, Any] = {
    "proteins_per_class": 10,
    "mixed_proteins": 24,
    "varying_proteins": 6,
    "cells_per_protein": 9,
    "fields_per_protein": 2,
    "replicates": 2,
    "seed": 20,
    "proteome_seed": 1,
}
"""`bystander simulate` options of the store that the demo evaluates on."""

CONFIG = RunConfig(
    plan=PlanConfig(backgrounds=3),
    embed=EmbedConfig(),
    bootstrap=BootstrapConfig(),
    examples=1,
    example_bits=5,
    keep_embeddings=False,
    probability_bits=12,
)
"""Settings of the demo's run."""

COMPARED = replace(
    CONFIG,
    plan=replace(
        CONFIG.plan,
        conditions=(
            str(Condition.UNALTERED), str(Condition.SAME), str(Condition.DIFFERENT),
            str(Condition.BACKGROUND_ONLY),
        ),
    ),
    embed=replace(CONFIG.embed, second_readings=False),
    bootstrap=replace(CONFIG.bootstrap, exchanges=0),
    probes=(),
    examples=0,
    keep_predictions=False,
)  # fmt: skip
"""Settings of the run beside it: the same trials of fewer conditions, and no single crops."""

BASELINES = ("handcrafted", "handcrafted-centre", "density", "untrained:deeploc")
"""Baselines that the networks are compared with."""


def demo(
    out: Path | str = "bystander-demo",
    *,
    cells_per_protein: int | None = None,
    compared: bool = False,
    progress: Progress = silent,
) -> RunDirectory:
    """Simulate the demo's store and run the shipped models on it, or go on where it stopped.

    Parameters
    ----------
    out
        Folder for `store`, `run` and `compared`.
    cells_per_protein
        Crops of each of the 180 proteins; that of `EVALUATION`, 9, by default. With fewer it
        takes less time and intervals are wider.
    compared
        Whether the networks are then run beside baselines, and pooled over the middle of their
        maps, into `out`/compared. False by default, for it takes as long again.
    progress
        Called with the stage's name, what is done and what there is in all; silent by default.

    Returns
    -------
    RunDirectory
        The finished run.

    Raises
    ------
    ChangedError
        The store in `out` has another number of cells per protein.

    Examples
    --------
    >>> from compute import demo
    >>> run = demo("my-demo", cells_per_protein=2)  # doctest: +SKIP
    """
    cells = EVALUATION["cells_per_protein"] if cells_per_protein is None else cells_per_protein
    place = Path(out)
    store = place / "store"
    if not StorePaths(store).header.is_file():
        simulate(store, **{**EVALUATION, "cells_per_protein": cells}, progress=progress)
    _same_number(store, cells)
    run, _ = run_store(
        store, place / "run", list(builtin_cards()), CONFIG, name="demo", progress=progress
    )
    if compared:
        run_store(
            store, place / "compared", list(compared_models()), COMPARED,
            name="compared", progress=progress,
        )  # fmt: skip
    return run


def compared_models() -> Iterator[FoundModel | str]:
    """Yield the shipped networks, these pooled over the middle of their maps, and baselines.

    Examples
    --------
    >>> [model if isinstance(model, str) else model.name for model in compared_models()][-5:-2]
    ['pifia.middle', 'handcrafted', 'handcrafted-centre']
    """
    for name in builtin_cards():
        model = find_model(name)
        yield model
        centred = variant_of(model).others[Remedy.CENTRED]
        # Its head does not look at what is pooled.
        yield replace(centred, card=replace(centred.card, name=f"{name}.middle", head=NO_HEAD))
    yield from BASELINES


def _same_number(store: Path, cells_per_protein: int) -> None:
    """Refuse a store that was simulated with another number of cells."""
    there = CropStore(store).meta["source"].get("design", {}).get("cells_per_protein")
    if there != cells_per_protein:
        raise ChangedError(
            f"{store} has {there} cells per protein, not {cells_per_protein}.",
            "Give another --out, or the number that is there with --cells-per-protein.",
        )
