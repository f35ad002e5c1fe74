"""What the effects stage knows of donors: how they move pair accuracies, and which were seen.

Layer: reads `trials` and the probe stage's work files.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute.embedding.config import StepEnd
from compute.probes.cells import Cells
from compute.probes.tables import read_donor_influence
from compute.schema import BESIDE, Condition, Probe, Protocol
from compute.statistics.donors import DonorInfluence, side_by_side
from compute.storage.run_directory import RunDirectory

Seen = Mapping[tuple[str, str, str | None], float]
"""Shares by probe, condition and localization of the cell, None for all."""


def pair_donors(
    run: RunDirectory, cells: Cells, model: str, protocol: Protocol, tested: Sequence[str]
) -> DonorInfluence | None:
    """Return how donors move a model's pair accuracies.

    Parameters
    ----------
    run
        The run; its probe stage is finished.
    cells
        Classes of the store's cells, and the units of donors.
    model, protocol
        The model and the protocol.
    tested
        The conditions, in the order of the columns that come out.

    Returns
    -------
    DonorInfluence or None
        With a column for each condition; None if none has donors.
    """
    found = []
    for condition in tested:
        path = run.pairs("donors", model, condition)
        known = path.is_file()
        table = pq.read_table(path, partitioning=None) if known else None
        found.append(
            None
            if table is None
            else read_donor_influence(table, protocol, cells.donor_units.classes, cells.names)
        )
    return side_by_side(found, len(cells.names))


def at_ends(
    influences: Mapping[Condition, DonorInfluence | None],
    ends: Sequence[StepEnd],
    view: Callable[[StepEnd], int],
    n_classes: int,
) -> DonorInfluence | None:
    """Return how donors move the accuracy at each end of steps.

    Parameters
    ----------
    influences
        By condition, on the accuracy in each of its views; None without donors.
    ends
        The ends.
    view
        Gives the place of an end's view among its condition's.
    n_classes
        Number of classes in the store.
    """
    there = [condition for condition, found in influences.items() if found is not None]
    joined = side_by_side([None, *(influences[c] for c in there)], n_classes)
    if joined is None:
        return None
    width = [1, *(found.moved.shape[2] for c in there if (found := influences[c]))]
    first = dict(zip(there, np.cumsum(width)[:-1], strict=True))
    return joined.columns([first[e[0]] + view(e) if e[0] in first else 0 for e in ends])


def donor_seen(run: RunDirectory, cells: Cells) -> Seen:
    """Return the share of tested trials whose donor's protein their probe was fitted on.

    Parameters
    ----------
    run
        The run; all `trials` are there.
    cells
        Classes of the store's cells, and which of them are tested in which probe.

    Returns
    -------
    Mapping
        Without conditions of which `trials` says nothing.
    """
    chosen = {Probe.PAIR: cells.tested, Probe.MULTICLASS: cells.units.of >= 0}
    counts: dict[tuple[Probe, str], NDArray[np.int64]] = {}
    for path in run.parts("trials"):
        table = pq.read_table(
            path, columns=["cell", "condition", "donor_seen"],
            filters=pc.field("donor_seen").is_valid(), partitioning=None,
        )  # fmt: skip
        cell, seen = table["cell"].to_numpy(), table["donor_seen"].to_numpy()
        names = table["condition"].to_numpy()
        for condition in np.unique(names.astype(str)):
            for probe, tested in chosen.items():
                mine = (names == condition) & tested[cell]
                found = [
                    np.bincount(cells.classes[cell[some]], minlength=len(cells.names))
                    for some in (mine & seen, mine)
                ]
                key = probe, str(condition)
                counts[key] = counts.get(key, np.zeros((), np.int64)) + np.stack(found)
    different = counts.get((Probe.PAIR, str(Condition.DIFFERENT)))
    if different is not None:  # whose trials are read
        counts[Probe.PAIR, str(Condition.CONFLICTING)] = different
    for probe in BESIDE:  # over the cells of pair tests; those of several labels are not counted
        counts |= {
            (probe, condition): some
            for (asked, condition), some in counts.items()
            if asked is Probe.PAIR and condition != Condition.CONFLICTING
        }
    shares: dict[tuple[str, str, str | None], float] = {}
    for (probe, condition), (some, every) in counts.items():
        if every.any():
            shares[str(probe), condition, None] = float(some.sum() / every.sum())
        for a in np.flatnonzero(every).tolist():
            shares[str(probe), condition, cells.names[a]] = float(some[a] / every[a])
    return shares


def with_donor_seen(rows: pd.DataFrame, seen: Seen) -> pd.DataFrame:
    """Add the column `donor_seen` to rows of `ACCURACY` or `EFFECTS`, in place, and return them.

    Under `own` no probe was fitted, and which proteins the model has seen is not known.
    """
    if len(rows):
        names = rows["localization"].astype(object).where(rows["localization"].notna(), None)
        keys = zip(rows["probe"], rows["condition"], names, strict=True)
        rows["donor_seen"] = [seen.get(key, np.nan) for key in keys]
        rows.loc[rows["protocol"] == str(Protocol.OWN), "donor_seen"] = np.nan
    return rows
