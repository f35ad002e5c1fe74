"""Time per million rows of import, plan, probe and effects.

Layer: makes a plan, reads a finished run, imports into a folder; returns rows of the table.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from compute.amounts import duration, size
from compute.backgrounds.config import PlanConfig
from compute.backgrounds.plan import Plan
from compute.bench.import_cost import measure_import
from compute.bench.table import Row
from compute.embedding.worker import SHARD_CELLS
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore

MILLION = 1_000_000


def plan_row(store_path: Path) -> Row:
    """Time making every trial of a store's plan."""
    store = CropStore(store_path)
    started = time.perf_counter()
    plan = Plan(store.cells, store.usable, store.windows, store.localizations, PlanConfig())
    for start, stop in plan.shards(SHARD_CELLS):
        plan.trials(start, stop)
    seconds = time.perf_counter() - started
    return Row(
        "plan, per million trials",
        duration(seconds / plan.count * MILLION),
        note=f"{plan.count:,} trials of {len(store.cells):,} cells in {seconds:.1f} s",
    )


def stage_rows(run_path: Path) -> Iterator[Row]:
    """Read from a finished run what its probe and effects stages took."""
    run = RunDirectory(run_path)
    trials = run.meta["counts"]["trials"]
    answers = trials * len(run.meta["models"]) * len(run.meta["protocols"])
    for stage, rows, of_what in (
        ("probe", trials * len(run.meta["models"]), "embeddings"),
        ("effects", answers, "predictions"),
    ):
        seconds = run.meta["timings"][stage]
        yield Row(
            f"{stage}, per million {of_what}",
            duration(seconds / rows * MILLION),
            note=f"{rows:,} {of_what} in {seconds:.1f} s",
        )


def import_rows(folder: Path, crops: int, jobs: int) -> Iterator[Row]:
    """Time imports of simulated crops in the layouts of PIFiA and of DeepLoc's data.

    Parameters
    ----------
    folder
        Folder for the sources and stores.
    crops
        Number of crops in each source.
    jobs
        Number of processes that read.

    Yields
    ------
    Row
        One for each layout.
    """
    for kind in ("pifia", "chong"):
        cost = measure_import(kind, crops, folder, jobs)
        peak = f", {size(cost.peak)} in all processes" if cost.peak else ""
        yield Row(
            f"import {kind}, per million crops",
            duration(cost.seconds_per_million),
            note=f"{crops:,} crops, {jobs} processes, {cost.seconds:.1f} s "
            f"({cost.cpu_seconds:.1f} s of processor){peak}",
        )
