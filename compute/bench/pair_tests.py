"""Every pair test of a run against the paper's plain loop, on the same embeddings and cores.

Layer: reads a finished run, returns rows of the table. Measured are the shared solver and, on CUDA,
the batched one, which runs there use. On a CPU no run uses the batched one, so it is measured only
where it is asked for.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from compute.bench.compare_solvers import compare_solvers
from compute.bench.table import Row
from compute.probes.gather import gather_grid
from compute.probes.solvers import Fitting, Solver
from compute.runs.config import RunConfig
from compute.runs.prepare import prepare
from compute.schema import Condition
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore

LEAST_SPEED = 10.0
"""Times that a solver must be faster than the plain loop: from the design."""

MOST_MEAN, MOST_WORST = 0.003, 0.02
"""Mean and largest difference from the plain loop's accuracies at most: from the design."""


def pair_rows(
    store: Path,
    run_path: Path,
    config: RunConfig,
    jobs: int,
    repeats: int,
    device: str = "cpu",
    fast: Sequence[Fitting] | None = None,
) -> Iterator[Row]:
    """Measure `different`, which has the most tests, for every model of a finished run.

    Parameters
    ----------
    store
        The crop store of the run.
    run_path
        A finished run that kept its embeddings.
    config
        The run's settings.
    jobs
        Cores that every solver may use.
    repeats
        Rounds, of which the median counts.
    device
        PyTorch's name of the run's device; ``"cpu"`` by default.
    fast
        Solvers to measure; by default the shared solver and the one that runs use on this device.

    Yields
    ------
    Row
        One for each model and solver.
    """
    if fast is None:
        fast = [*{way.solver: way for way in (Fitting(), Fitting.on(device))}.values()]
    plan, cells = prepare(CropStore(store), config)
    run = RunDirectory(run_path)
    pairs = list(combinations(cells.folds.testable().tolist(), 2))
    shared = plan.backgrounds.tolist()
    choice = {pair: [k for k in shared if k not in pair] for pair in pairs}
    for model in run.meta["models"]:
        name = model["name"]
        crops, _ = gather_grid(run, cells, name, [Condition.DIFFERENT])[Condition.DIFFERENT]
        table = compare_solvers(crops, pairs, choice, cells.folds, fast, jobs, repeats)
        found = {row["solver"]: row for row in table.to_dict("records")}
        size = len(crops.cell) // max(len(cells.folds.testable()) * len(shared), 1)
        about = f"fits of {model['dimension']} numbers, about {size} cells a class"
        for way in fast:
            yield _row(found, way, name, about, jobs, repeats)


def _row(
    found: Mapping[Hashable, Mapping[Hashable, Any]],
    way: Fitting,
    model: str,
    about: str,
    jobs: int,
    repeats: int,
) -> Row:
    """Compare one solver with the plain loop; `found` has what was measured of each, by name."""
    plain, quick = found[Solver.REFERENCE], found[way.solver]
    on = way.device if way.solver is Solver.BATCHED else f"{jobs} cores"
    far = f"mean |difference| {quick['mean_abs_difference']:.5f}, worst {quick['worst']:.4f}"
    return Row(
        f"plain loop over all pair tests, {way.solver} solver: {model}",
        f"{quick['ratio']:.1f}×",
        f"≥ {LEAST_SPEED:g}×",
        bool(
            quick["ratio"] >= LEAST_SPEED
            and quick["mean_abs_difference"] <= MOST_MEAN
            and quick["worst"] <= MOST_WORST
        ),
        f"{quick['fits']:,} {about}; plain loop, {jobs} cores, {plain['seconds']:.1f} s → {on}, "
        f"{quick['seconds']:.1f} s; {far}; {quick['unsolved']} left to the reference; "
        f"median of {repeats}",
    )
