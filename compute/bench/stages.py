"""Time per million rows of import, plan, probe and effects.

Layer: makes a plan, reads a finished run, imports into a folder; returns rows of the table.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from compute.amounts import duration, size
from compute.backgrounds.config import PlanConfig
from compute.backgrounds.plan import Plan
from compute.bench.import_cost import measure_import
from compute.bench.table import Row
from compute.embedding.worker import SHARD_CELLS
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore

MILLION = 1_000_000

IMPORTS = {"pifia": ("masks given", 2), "chong": ("segmented", 6)}
"""Kind of source → what it stands for, and the most milliseconds of one core that a crop may take:
a screen of 3 million crops then takes under 2 core-hours with masks, 5 without."""


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


def import_rows(folder: Path, sizes: tuple[int, int], jobs: int, repeats: int) -> Iterator[Row]:
    """Measure imports of simulated crops in the layouts of PIFiA and of DeepLoc's data.

    Parameters
    ----------
    folder
        Folder for the sources and stores.
    sizes
        Number of crops in a small source and in a large one. What starting takes is in both, so
        their difference is what crops cost.
    jobs
        Number of processes that read, for the time by the clock.
    repeats
        Rounds, of which the median counts.

    Yields
    ------
    Row
        Two for each layout: processor time a crop, and time by the clock.
    """
    few, many = sizes
    for kind, (words, limit) in IMPORTS.items():
        costs = []
        for _ in range(repeats):
            small, large = (measure_import(kind, n, folder, 1).cpu_seconds for n in sizes)
            costs.append((large - small) / (many - few) * 1000)
        cost = median(costs)
        yield Row(
            f"import {kind}, {words}: one core, a crop",
            f"{cost:.2f} ms",
            f"≤ {limit} ms",
            cost <= limit,
            f"{many:,} crops less {few:,}, so without starting; processor time, "
            f"{min(costs):.2f} to {max(costs):.2f} in {repeats} rounds",
        )
        whole = measure_import(kind, many, folder, jobs)
        peak = f", {size(whole.peak)} in all processes" if whole.peak else ""
        yield Row(
            f"import {kind}, per million crops",
            duration(whole.seconds_per_million),
            note=f"{many:,} crops, {jobs} processes, {whole.seconds:.1f} s with starting "
            f"({whole.cpu_seconds:.1f} s of processor){peak}",
        )
