"""Embeddings of trials, gathered for the probes.

Layer: reads `trials` and embeddings of a run; writes nothing. Embeddings are read shard by shard.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute.backgrounds.plan import Plan
from compute.embedding.tables import second_readings
from compute.probes.cells import Cells
from compute.probes.pair_tests import Crops
from compute.schema import CONDITIONS, Condition, Reading
from compute.storage.paths import SECOND
from compute.storage.run_directory import RunDirectory

GATHERED = 1 << 29
"""Bytes of the grid's embeddings that one pass over the shards gathers at most (512 MB); a pass
gathers one condition at least."""


def groups(
    plan: Plan, count: int, dimension: int, conditions: Sequence[Condition], most: int = GATHERED
) -> Iterator[list[Condition]]:
    """Cut conditions into groups whose embeddings fit into `most` bytes together.

    Parameters
    ----------
    plan
        Says how many trials a cell has.
    count
        Cells whose embeddings are gathered.
    dimension
        Length of an embedding.
    conditions
        The conditions, in their order.
    most
        By default `GATHERED`.
    """
    per_condition = count * plan.config.repeats * 4 * dimension
    group: list[Condition] = []
    size = 0
    for condition in conditions:
        each = per_condition * (len(plan.backgrounds) if CONDITIONS[condition].grid else 1)
        if group and size + each > most:
            yield group
            group, size = [], 0
        group.append(condition)
        size += each
    yield group


def has_donors(condition: Condition) -> bool:
    """Tell whether a condition's backgrounds come from donors."""
    return CONDITIONS[condition].donors != "none"


def shards(
    run: RunDirectory, table: str, model: str
) -> Iterator[tuple[pd.DataFrame, NDArray[np.float32]]]:
    """Read embeddings a shard at a time.

    Yields
    ------
    trials : pandas.DataFrame
        Columns `trial`, `cell`, `condition`, `donor`, `donor_localization` and `repeat`, n rows.
    vectors : ndarray
        Their embeddings, shape (n, D).
    """
    for trials, vectors, _ in shards_with_own(run, table, model, own=False):
        yield trials, vectors


def shards_with_own(
    run: RunDirectory, table: str, model: str, *, own: bool = True
) -> Iterator[tuple[pd.DataFrame, NDArray[np.float32], NDArray[np.float32] | None]]:
    """Read embeddings and the model's own answers a shard at a time.

    Yields
    ------
    trials, vectors
        As `shards` does.
    said : ndarray or None
        Probabilities that the model's own head gives the store's K classes, shape (n, K); None
        where it was not asked, or with `own` False.
    """
    columns = ["trial", "cell", "condition", "donor", "donor_localization", "repeat"]
    for trials_file, file in zip(run.parts("trials"), run.parts(table, model), strict=True):
        there = pq.read_schema(file).names
        wanted = ["trial", "embedding", *(["own"] if own and "own" in there else [])]
        found = pq.read_table(file, columns=wanted, partitioning=None)
        trials = pq.read_table(trials_file, columns=columns, partitioning=None)
        if len(found) < len(trials):
            trials = trials.filter(pc.is_in(trials["trial"], found["trial"].combine_chunks()))
        arrays = [
            np.asarray(found.column(name).combine_chunks().flatten()).reshape(len(found), -1)
            for name in wanted[1:]
        ]
        yield trials.to_pandas(), arrays[0], arrays[1] if len(arrays) > 1 else None


def gather_grid(
    run: RunDirectory,
    cells: Cells,
    model: str,
    conditions: Sequence[Condition],
    reading: Reading | None = None,
    *,
    once: bool = False,
    chosen: NDArray[np.bool_] | None = None,
) -> dict[Condition, tuple[Crops, NDArray[np.bool_]]]:
    """Gather the embeddings of cells that stand in pair tests, in one pass over the shards.

    Parameters
    ----------
    run
        The run; all `trials` and `embeddings` are there.
    cells
        Labels and folds of the store's cells.
    model
        Name of the model.
    conditions
        The conditions to gather.
    reading
        The second reading whose embeddings are gathered; by default None, for those of all trials.
    once
        Whether only trials that are read again are gathered, also of the first reading; False by
        default.
    chosen
        The cells, shape (N,); by default those that stand in pair tests.

    Returns
    -------
    dict
        For each condition its crops, n of them, and which are of repeat 0, shape (n,).
    """
    tested = cells.tested if chosen is None else chosen
    table = "embeddings" if reading is None else SECOND[reading]
    gathered: dict[Condition, list[tuple[NDArray[Any], ...]]] = {c: [] for c in conditions}
    for trials, vectors in shards(run, table, model):
        cell, first = trials["cell"].to_numpy(), trials["repeat"].to_numpy() == 0
        behind = pd.Categorical(trials["donor_localization"], categories=list(cells.names)).codes
        number = trials["donor"].fillna(-1).to_numpy(np.int64)
        again = np.ones(len(trials), bool)
        if once and reading is None:
            again = np.isin(np.arange(len(trials)), second_readings(trials, conditions))
        for condition in conditions:
            here = again & tested[cell] & (trials["condition"] == str(condition)).to_numpy()
            if here.any() or not gathered[condition]:
                donor = cells.donor_units.of(CONDITIONS[condition].donors, number[here])
                gathered[condition].append(
                    (vectors[here], cell[here], behind[here], donor, first[here])
                )
    found = {}
    for condition in conditions:
        # Arrays of each shard were kept, not its frames, which take more than the embeddings.
        vectors, cell, behind, donor, first = map(
            np.concatenate, zip(*gathered.pop(condition), strict=True)
        )
        grid = CONDITIONS[condition].grid
        background = behind.astype(np.int64) if grid else np.full(len(cell), -1)
        known = donor if has_donors(condition) else None
        found[condition] = (Crops(vectors, cell, cells.classes[cell], background, known), first)
    return found
