"""A run's findings under one setting, beside its own: rows of the table `sensitivity`.

Layer: reads two finished runs of the same trials, made under two settings; writes nothing.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.probes.cells import Cells
from compute.runs.config import RunConfig
from compute.runs.provenance import moved_masks
from compute.runs.variants import Setting
from compute.schema import ANSWERING, CONDITIONS, Aggregation, Condition, Probe, Protocol
from compute.statistics.bootstrap import Resampling
from compute.statistics.donors import DonorInfluence, DonorSums, side_by_side
from compute.statistics.effect_rows import pair_tallies
from compute.statistics.effects import Tallies
from compute.statistics.resampling_units import add
from compute.statistics.setting_differences import (
    ACCURACY,
    FINDINGS,
    difference_rows,
    differences,
)
from compute.storage.run_directory import RunDirectory

KEYS = ["model", "probe", "protocol", "quantity", "condition"]
"""Columns that say which finding a row is about."""


@dataclass(frozen=True)
class Compared:
    """The run that others are compared with.

    Parameters
    ----------
    run
        The run.
    cells
        What its probes know of cells.
    config
        Its settings, with the conditions that are looked at.
    """

    run: RunDirectory
    cells: Cells
    config: RunConfig

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions that are looked at."""
        return self.config.plan.conditions


def setting_rows(setting: Setting, run: RunDirectory, base: Compared) -> pd.DataFrame:
    """Return the rows of the table `sensitivity` of one setting.

    Parameters
    ----------
    setting
        The setting.
    run
        The run that shows it; the finished run itself where it is its own.
    base
        The finished run.

    Returns
    -------
    DataFrame
        Columns of `compute.schema.SENSITIVITY`, and others; `difference` and its interval are not
        there for the run's own setting.
    """
    back = {name: model for model, name in setting.models.items()}
    parts = []
    for name, quantity in (("accuracy", None), ("effects", "effect")):
        table = run.read(name).to_pandas()
        table["quantity"] = ACCURACY if quantity is None else table[quantity]
        parts.append(table)
    table = pd.concat(parts, ignore_index=True)
    table = table[
        (table["aggregation"] == Aggregation.ALL)
        & (table["scope"] == "overall")
        & table["quantity"].isin([ACCURACY, *map(str, FINDINGS)])
        & table["condition"].isin(base.conditions)
        & table["probe"].isin(map(str, ANSWERING))
        & table["model"].isin(back)
    ]
    table = table.assign(model=table["model"].map(back))
    counts = moved_masks(run)
    table = table.assign(
        choice=str(setting.choice), setting=setting.name, is_base=setting.is_base,
        shift=pd.array([setting.shift] * len(table), "Int32"),
        n_empty=counts["cells_with_empty_mask"], n_border=counts["cells_at_the_border"],
    )  # fmt: skip
    if setting.is_base:
        return table
    own = setting_rows(
        replace(setting, run="", models={m: m for m in setting.models}), base.run, base
    )
    before = own.set_index(KEYS)["estimate"].rename("before")
    table = table.join(before, on=KEYS)
    table["difference"] = table["estimate"] - table["before"]
    ends = pd.DataFrame(
        [row for model in setting.models for row in _intervals(setting, model, run, base)],
        columns=[*KEYS, "difference_low", "difference_high"],
    )
    return table.merge(ends, on=KEYS, how="left")


def _intervals(
    setting: Setting, model: str, run: RunDirectory, base: Compared
) -> list[dict[str, Any]]:
    """Return the intervals of the differences of one model's findings from the run's own."""
    other, found = setting.models[model], []
    resampling = base.config.bootstrap
    for protocol in Protocol:
        for probe, given in (
            (Probe.PAIR, _pair_differences(model, other, protocol, run, base)),
            (Probe.MULTICLASS, _multiclass_differences(model, other, protocol, run, base)),
        ):
            if given is None:
                continue
            tallies, tested, donors = given
            # What donors do to pair tests is not kept in a finished run.
            borrowed = [c for c in tested if CONDITIONS[Condition(c)].donors != "none"]
            names = list(base.cells.names)
            draws = Resampling(tallies.classes, len(names), resampling.draws, resampling.seed)
            unknown = borrowed if probe is Probe.PAIR else ()
            key = {"model": model, "probe": str(probe), "protocol": str(protocol)}
            rows = difference_rows(tallies, tested, names, draws, donors, unknown)
            found += [{**key, **row} for row in rows]
    return [{k: v for k, v in row.items() if k != "difference"} for row in found]


_Given = tuple[Tallies, list[str], DonorInfluence | None]


def _pair_differences(
    model: str, other: str, protocol: Protocol, run: RunDirectory, base: Compared
) -> _Given | None:
    """Subtract the answers in pair tests; None where there are none, or of other tests."""
    found = []
    for of, name in ((base.run, model), (run, other)):
        table = of.read("pair_tallies").to_pandas()
        looked_at = table["condition"].isin(base.conditions)
        mine = table[looked_at & (table["model"] == name) & (table["protocol"] == str(protocol))]
        found.append(pair_tallies(mine, base.conditions, list(base.cells.names)))
    (before, tested), (after, also) = found
    if before is None or after is None or tested != also:
        return None
    answers = differences(before, after)
    return None if answers is None else (answers, tested, None)


def _multiclass_differences(
    model: str, other: str, protocol: Protocol, run: RunDirectory, base: Compared
) -> _Given | None:
    """Subtract the multi-class probe's answers; None where there are none, or of other trials."""
    units, k = base.cells.units, len(base.cells.names)
    right, n = np.zeros((2, len(base.conditions), units.count, 1))
    influences: list[DonorInfluence | None] = []
    for m, condition in enumerate(base.conditions):
        before = _answers(base.run, model, condition, protocol, base)
        after = _answers(run, other, condition, protocol, base)
        if before is None or after is None or not np.array_equal(before.cell, after.cell):
            return None
        cell = before.cell
        changed = after.right.astype(float) - before.right
        _, position, many = np.unique(cell, return_inverse=True, return_counts=True)
        weight, unit = 1 / many[position], units.of[cell]
        add(right[m], unit, 0, weight * changed)
        add(n[m], unit, 0, weight)
        spec = CONDITIONS[Condition(condition)]
        if spec.donors == "none":
            influences.append(None)
            continue
        donor_units = base.cells.donor_units
        sums = DonorSums.empty(donor_units.classes, k, 1)
        donor = donor_units.of(spec.donors, _donors(base.run, condition, before.trial))
        sums.add(unit, base.cells.classes[cell], donor, weight, changed[:, None])
        influences.append(sums.influence())
    answered = (n > 0).any((0, 2))
    tallies = Tallies(
        right[:, answered], n[:, answered], units.classes[answered],
        n[:, answered, 0].round().astype(np.int64), units.protein[answered],
    )  # fmt: skip
    return tallies, list(base.conditions), side_by_side(influences, k)


@dataclass(frozen=True)
class _Answers:
    """The multi-class probe's answers to n trials of tested cells, ordered by cell, then by trial.

    Parameters
    ----------
    cell, trial
        Numbers, shape (n,).
    right
        Whether the answer is the cell's class, shape (n,).
    """

    cell: NDArray[np.int64]
    trial: NDArray[np.int64]
    right: NDArray[np.bool_]


def _answers(
    run: RunDirectory, model: str, condition: str, protocol: Protocol, base: Compared
) -> _Answers | None:
    """Read the answers under one condition and protocol."""
    composed = [str(c) for c in schema.COMPOSED if c in run.meta["conditions"]]
    path = run.part("predictions", composed.index(condition), model)
    if not path.is_file():
        return None
    mine = pc.field("protocol") == str(protocol)
    columns = ["cell", "trial", "predicted"]
    table = pq.read_table(path, columns=columns, filters=mine, partitioning=None)
    if len(table) == 0:
        return None
    cell, trial = (table[name].to_numpy() for name in ("cell", "trial"))
    names = pa.array(base.cells.names)
    predicted = pc.index_in(table["predicted"], names).to_numpy()
    order = np.lexsort((trial, cell))
    order = order[base.cells.units.of[cell[order]] >= 0]
    if protocol is Protocol.OWN:
        named = np.isin(base.cells.names, run.answerable(model))
        order = order[named[base.cells.classes[cell[order]]]]
    right = predicted == base.cells.classes[cell]
    return _Answers(cell[order], trial[order], right[order])


def _donors(run: RunDirectory, condition: str, trial: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the donors of trials under a condition, shape of `trial`."""
    under = pc.field("condition") == condition
    parts = [
        pq.read_table(file, columns=["trial", "donor"], filters=under, partitioning=None)
        for file in run.parts("trials")
    ]
    table = pa.concat_tables(parts)
    number = table["trial"].to_numpy()
    donor = table["donor"].fill_null(-1).to_numpy()
    return np.asarray(donor[np.searchsorted(number, trial)], np.int64)
