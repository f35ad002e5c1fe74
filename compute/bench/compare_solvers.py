"""The solvers of pair tests side by side, on the same crops and cores.

Layer: pure arrays, no files.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from compute.backgrounds.folds import Folds
from compute.probes.pair_tests import Crops, pair_tests
from compute.probes.solvers import Fitting, Solver


def compare_solvers(
    crops: Crops,
    pairs: Sequence[tuple[int, int]],
    backgrounds: Mapping[tuple[int, int], Sequence[int]],
    folds: Folds,
    fast: Sequence[Fitting] = (Fitting(),),
    jobs: int = 1,
    repeats: int = 1,
) -> pd.DataFrame:
    """Do the same pair tests with fast solvers and with the reference.

    Some tests of every solver are done before the clock starts, so that neither compiling nor
    starting processes counts.

    Parameters
    ----------
    crops, pairs, backgrounds, folds
        As for `compute.probes.pair_tests.pair_tests`.
    fast
        Solvers to compare with the reference, each with its device, none twice; by default what
        runs use on CPUs.
    jobs
        Cores that every solver may use; 1 by default.
    repeats
        Rounds, in each of which every solver has its turn; seconds are medians. 1 by default.

    Returns
    -------
    DataFrame
        One row for each solver, the reference last: `solver`; `fits`, the number of SVMs;
        `seconds` and `cpu_seconds` (null with several jobs); `ratio` and `cpu_ratio`, the
        reference's seconds over the solver's; `mean_abs_difference` and `worst`, mean and largest
        absolute difference of accuracies from the reference's; `unsolved`, the number of fits
        that were left to the reference.

    Raises
    ------
    ValueError
        `repeats` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; it must be at least 1.")
    every = {
        way.solver: Fitting(way.solver, jobs, way.device)
        for way in (*fast, Fitting(Solver.REFERENCE))
    }
    seconds: dict[Solver, list[tuple[float, float]]] = {solver: [] for solver in every}
    accuracy, unsolved, fits = {}, {}, {}
    for turn in range(-1, repeats):
        for solver, way in every.items():
            chosen = pairs if turn >= 0 else pairs[: 2 * jobs]
            wall, cpu = time.perf_counter(), time.process_time()
            scores, _ = pair_tests(crops, chosen, backgrounds, folds, {}, way)
            spent = time.perf_counter() - wall, time.process_time() - cpu
            if turn < 0:
                continue
            if jobs > 1:
                spent = spent[0], np.nan  # other processes' seconds are not known here
            seconds[solver].append(spent)
            found = [score for name, score in scores if name == "refit"]
            accuracy[solver] = np.array([score.accuracy for score in found])
            unsolved[solver] = sum(score.unsolved for score in found)
            fits[solver] = folds.number * len(found)
    middle = {solver: np.median(np.array(some), axis=0) for solver, some in seconds.items()}
    rows = []
    for solver in every:
        far = np.abs(accuracy[solver] - accuracy[Solver.REFERENCE])
        ratio = middle[Solver.REFERENCE] / middle[solver]
        rows.append(
            {
                "solver": str(solver),
                "fits": fits[solver],
                "seconds": middle[solver][0],
                "cpu_seconds": middle[solver][1],
                "ratio": ratio[0],
                "cpu_ratio": ratio[1],
                "mean_abs_difference": float(far.mean()) if len(far) else np.nan,
                "worst": float(far.max()) if len(far) else np.nan,
                "unsolved": unsolved[solver],
            }
        )
    return pd.DataFrame(rows)
