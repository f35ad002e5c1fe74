"""Every pair test of a run against the paper's plain loop, on the same embeddings and cores."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from compute.bench.table import Row
from compute.preparation import RunConfig, prepare
from compute.probing import gather_grid
from compute.rundir import RunDirectory
from compute.schema import Condition
from compute.solver_comparison import compare_solvers
from compute.store import CropStore

LEAST_SPEED = 10.0
MOST_MEAN, MOST_WORST = 0.003, 0.02
"""Of the design: times the plain loop, and differences of accuracies from it."""


def pair_rows(
    store: Path, run_path: Path, config: RunConfig, jobs: int, repeats: int
) -> Iterator[Row]:
    """Measure `different`, which has the most tests, for every model of a finished run.

    Parameters
    ----------
    store
        The run's store.
    run_path
        A finished run that kept its embeddings.
    config
        What it was run with.
    jobs
        Cores of both loops.
    repeats
        Of which the median counts.
    """
    plan, cells = prepare(CropStore(store), config)
    run = RunDirectory(run_path)
    pairs = list(combinations(cells.folds.testable().tolist(), 2))
    shared = plan.backgrounds.tolist()
    choice = {pair: [k for k in shared if k not in pair] for pair in pairs}
    for model in run.meta["models"]:
        name = model["name"]
        crops, _ = gather_grid(run, cells, name, [Condition.DIFFERENT])[Condition.DIFFERENT]
        table = compare_solvers(crops, pairs, choice, cells.folds, jobs, repeats)
        plain = table.iloc[-1] if table.iloc[-1]["ratio"] == 1 else table.iloc[0]
        fast = table[table["ratio"] != 1].iloc[0]
        size = len(crops.cell) // max(len(pairs[0] and cells.folds.testable()) * len(shared), 1)
        far = f"mean |difference| {fast['mean_abs_difference']:.5f}, worst {fast['worst']:.4f}"
        yield Row(
            f"plain loop over all pair tests: {name}",
            f"{fast['ratio']:.1f}×",
            f"≥ {LEAST_SPEED:g}×",
            bool(
                fast["ratio"] >= LEAST_SPEED
                and fast["mean_abs_difference"] <= MOST_MEAN
                and fast["worst"] <= MOST_WORST
            ),
            f"{fast['fits']:,} fits of {model['dimension']} numbers, about {size} cells a class, "
            f"{jobs} cores: {plain['seconds']:.1f} s → {fast['seconds']:.1f} s; {far}; "
            f"{fast['unsolved']} left to the reference; median of {repeats}",
        )
