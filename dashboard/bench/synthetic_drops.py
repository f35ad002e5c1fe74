"""What the drops of a synthetic run are made of: steps, doses, worst cases. Pure arrays, no result.

They follow from the shares of right answers that the other tables rest on.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa

from compute.schema import (
    ANSWERING,
    CONDITIONS,
    STEPS,
    SUMMARY_TABLES,
    Condition,
    Dose,
    DropPart,
    Probe,
    StepSpec,
)
from dashboard.bench.synthetic_cells import Drawn, Floats
from dashboard.bench.synthetic_config import LEFT_LOSES, PROTOCOLS
from dashboard.bench.synthetic_tables import HALF, Rows, estimate, right_shares, scopes
from dashboard.bench.synthetic_trials import FARTHEST

Row = dict[str, Any]

RESCALED = 0.3
"""Share of every step that is rescaling."""

COMPARED = {str(each) for spec in STEPS.values() for each in (spec.before, spec.after)}
"""The conditions that steps lead from and to."""

POINTS = 21
"""Points of a smooth line."""

ALL_RIGHT = 0.75
"""Share of the right answers that are right on every background."""


def drops(drawn: Drawn) -> dict[str, Iterator[pa.Table]]:
    """Return `decomposition`, `dose` and `worst_case`; without labels they have no rows."""
    rows: dict[str, Rows] = {"decomposition": [], "dose": [], "worst_case": []}
    models = drawn.config.models if drawn.config.labels else ()
    for model, protocol, probe in product(models, PROTOCOLS, ANSWERING):
        key: Row = {"model": model, "protocol": protocol}
        shares = right_shares(drawn, model, protocol, str(probe))
        if {*shares} >= COMPARED:
            rows["decomposition"] += _steps(drawn, key | {"probe": str(probe)}, shares)
        if probe == Probe.PAIR:
            continue
        for condition, found in shares.items():
            spec = CONDITIONS[Condition(condition)]
            named = key | {"condition": condition}
            if spec.donors == "cell" and "unaltered" in shares:
                rows["dose"] += _doses(drawn, named, shares["unaltered"] - found)
            if spec.grid:
                rows["worst_case"] += _worst(drawn, named, found)
    return {
        name: iter([pa.Table.from_pylist(found, SUMMARY_TABLES[name])])
        for name, found in rows.items()
    }


def _steps(drawn: Drawn, key: Row, shares: dict[str, Floats]) -> Iterator[Row]:
    """Give the rows of every step; a step's parts add up to it, the steps to their sum."""

    def lost(spec: StepSpec) -> Floats:
        left = LEFT_LOSES * (int(spec.left_after) - int(spec.left_before))
        return shares[spec.before] - shares[spec.after] + left

    for step, spec in STEPS.items():
        for value, of in scopes(drawn, lost(spec)):
            parts = {
                DropPart.TOTAL: value,
                DropPart.RESCALING: RESCALED * value,
                DropPart.CONTEXT: value - RESCALED * value,
            }
            for part, number in parts.items():
                yield {**key, "step": str(step), "part": str(part), **estimate(number), **of}


def _doses(drawn: Drawn, key: Row, lost: Floats) -> Iterator[Row]:
    """Give the drop by quartile of each dose, and along a line."""
    (value, of), *_ = scopes(drawn, lost)
    of = {name: of[name] for name in ("unit", "n_cells", "n_proteins")}
    for measure in Dose:
        most = 1.0 if measure == Dose.SHARE else float(FARTHEST)
        quarters = [(n, (n - 0.5) / 4, (n - 1) / 4, n / 4) for n in range(1, 5)]
        line = [(None, x, max(0.0, x - 0.1), min(1.0, x + 0.1)) for x in np.linspace(0, 1, POINTS)]
        for quartile, middle, low, high in [*quarters, *line]:
            near = middle if measure == Dose.SHARE else 1 - middle
            at = {"dose": middle * most, "low": low * most, "high": high * most}
            found = {"measure": str(measure), "quartile": quartile, **at}
            yield {**key, **found, **estimate(value * (0.5 + near)), **of}


def _worst(drawn: Drawn, key: Row, right: Floats) -> Iterator[Row]:
    """Give the share of cells that are right on every background beside the mean."""
    behind = {"backgrounds": float(max(2, drawn.config.repeats))}
    for value, of in scopes(drawn, right):
        mean = {"mean": value, "mean_low": value - HALF, "mean_high": value + HALF}
        yield {**key, **of, **behind, **estimate(ALL_RIGHT * value), **mean}
