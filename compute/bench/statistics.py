"""Whether intervals hold the truth and tests keep their level: every simulation, as one table.

Layer: joins `intervals`, `remedy_intervals`, `false_claims`, `false_shifts` and `claims`; writes a
CSV file where one is asked for.
Data sets whose truth is known (`simulated_answers`, `simulated_donors`, `simulated_shifts`,
`simulated_probes`, `simulated_embeddings`) go to the very functions that write a run's tables;
`bystander bench statistics` prints what `docs/method.md` shows.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from compute.bench import claims, false_claims, false_shifts, intervals, remedy_intervals
from compute.bench.judging import Finding, SimulationConfig
from compute.bench.table import Row

SIMULATIONS: dict[str, Callable[[SimulationConfig], Iterator[Finding]]] = {
    "accuracies, drops and gaps": intervals.accuracy,
    "shared donors": intervals.donor,
    "cells resampled": intervals.cell,
    "cells and donors resampled": intervals.donor_cell,
    "flips and calibration": intervals.answer,
    "flips with shared donors": intervals.donor_flips,
    "parts of a drop": intervals.part,
    "backgrounds": intervals.background,
    "sign flips": false_claims.sign_flips,
    "tests with shared donors": false_claims.donors,
    "equivalence": false_claims.equivalence,
    "shifts": false_shifts.shifts,
    "shifts by refitted probes": false_shifts.refits,
    "variation of proteins": false_shifts.variation,
    "share of mixed proteins": false_shifts.shares,
    "all drops at once": claims.simultaneous,
    "differences of models": claims.differences,
    "equivalence of odds": claims.odds,
    "seeds of training": claims.seeds,
    "remedies": remedy_intervals.remedies,
}
"""Every simulation by name."""


def measure_statistics(
    config: SimulationConfig | None = None,
    *,
    names: Iterable[str] = tuple(SIMULATIONS),
    workers: int = 1,
    out: Path | str | None = None,
) -> Iterator[Row]:
    """Check on simulated data that intervals hold the truth and tests keep their level.

    Parameters
    ----------
    config
        How many data sets, and of which seed; `SimulationConfig()` by default.
    names
        Keys of `SIMULATIONS`; all by default.
    workers
        Simulations at a time, each in a process of its own; by default 1, in this process.
    out
        CSV file that gets the findings too, a row each; none by default.

    Yields
    ------
    Row
        One for each finding.

    Examples
    --------
    >>> from compute import measure_statistics
    >>> rows = list(measure_statistics(names=["sign flips"]))  # doctest: +SKIP
    """
    config = SimulationConfig() if config is None else config
    found = []
    for findings in _simulate(config, list(names), workers):
        for finding in findings:
            found.append({**asdict(finding), "met": finding.met})
            yield as_row(finding)
    if out is not None:
        pd.DataFrame(found).round(4).to_csv(out, index=False)


def _simulate(
    config: SimulationConfig, names: list[str], workers: int
) -> Iterator[Iterable[Finding]]:
    """Yield what each simulation finds, in the order of `names`."""
    if workers == 1:
        yield from (SIMULATIONS[name](config) for name in names)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(_findings, repeat(config), names)


def _findings(config: SimulationConfig, name: str) -> list[Finding]:
    """Return what one simulation finds."""
    return list(SIMULATIONS[name](config))


def as_row(finding: Finding) -> Row:
    """Turn a finding into a row of the table, in percent with its standard error."""
    least, most = finding.least, finding.most
    limit = "" if most is None else f"≤ {most:.0%}"
    if least is not None:
        limit = f"≥ {least:.0%}" if most is None else f"{least:.0%} to {most:.0%}"
    return Row(
        finding.estimator,
        f"{finding.share:.1%} ± {finding.error:.1%}",
        limit,
        finding.met if limit else None,
        f"{finding.counted}; {finding.setting}; {finding.data_sets:,} data sets",
    )
