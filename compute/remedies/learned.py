"""What remedies are fitted on: embeddings of a model's crops, gathered cell by cell.

Layer: reads `trials` and `embeddings` of a run, shard by shard; writes nothing. What is kept is of
the cells of pair tests, with a bounded number of crops each, so it does not grow with the store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.hashing import Stream, mix
from compute.probes.cells import Cells
from compute.probes.gather import shards
from compute.remedies.config import RemedyConfig
from compute.schema import Condition
from compute.storage.run_directory import RunDirectory

_SWAPPED = (str(Condition.SAME), str(Condition.DIFFERENT))


@dataclass(frozen=True)
class Swapped:
    """Crops of cells on other backgrounds, m of them.

    Parameters
    ----------
    features
        Embeddings, shape (m, D).
    place
        Place of each crop's cell among those that are learned from, ascending, shape (m,).
    different
        Whether its background is of another class, shape (m,).
    donor
        Row of its donor in the store's `cells`, shape (m,).
    """

    features: NDArray[np.float32]
    place: NDArray[np.int64]
    different: NDArray[np.bool_]
    donor: NDArray[np.int64]

    def take(self, chosen: NDArray[np.bool_]) -> "Swapped":
        """Choose crops by a mask, shape (m,)."""
        return Swapped(
            self.features[chosen], self.place[chosen], self.different[chosen], self.donor[chosen]
        )


@dataclass(frozen=True)
class Learned:
    """What is learned from: n cells.

    Parameters
    ----------
    cell, classes
        Row of each in the store's `cells`, and its class, shape (n,).
    unaltered
        Embeddings of their unaltered crops, shape (n, D).
    swapped
        Their crops on other backgrounds.
    alone, averaged
        Embeddings of their cleaned crops, and their means over random backgrounds, shape (n, D);
        of cells without any (on no background) those of the unaltered crop.
    """

    cell: NDArray[np.int64]
    classes: NDArray[np.int64]
    unaltered: NDArray[np.float32]
    swapped: Swapped
    alone: NDArray[np.float32]
    averaged: NDArray[np.float32]

    def take(self, chosen: NDArray[np.bool_]) -> "Learned":
        """Choose cells by a mask, shape (n,)."""
        number = np.cumsum(chosen) - 1
        some = self.swapped.take(chosen[self.swapped.place])
        return Learned(
            self.cell[chosen], self.classes[chosen], self.unaltered[chosen],
            Swapped(some.features, number[some.place], some.different, some.donor),
            self.alone[chosen], self.averaged[chosen],
        )  # fmt: skip


@dataclass(frozen=True)
class Means:
    """Embeddings of n cells, each averaged over some random backgrounds.

    Parameters
    ----------
    cell
        Rows in the store's `cells`, shape (n,).
    features
        Means, shape (n, D).
    donors
        Rows of the donors, −1 beyond those that a cell has, shape (n, K).
    """

    cell: NDArray[np.int64]
    features: NDArray[np.float32]
    donors: NDArray[np.int64]


def average(
    trials: pd.DataFrame,
    vectors: NDArray[np.float32],
    names: Sequence[str],
    backgrounds: int,
    seed: int,
) -> Means:
    """Average each cell's embeddings over random backgrounds.

    Every class is as likely to be behind a cell as any other, its own too; a class comes a second
    time only when all were there.

    Parameters
    ----------
    trials
        Whole cells: columns `cell`, `condition`, `donor`, `donor_localization` and `repeat`.
    vectors
        Their embeddings, shape (T, D).
    names
        Class names.
    backgrounds
        How many, K; a cell that has fewer is averaged over those.
    seed
        Any integer ≥ 0.
    """
    behind = pd.Categorical(trials["donor_localization"], categories=list(names)).codes
    rows = np.flatnonzero(trials["condition"].isin(_SWAPPED).to_numpy() & (behind >= 0))
    cell, behind = trials["cell"].to_numpy()[rows], behind[rows].astype(np.int64)
    repeat = trials["repeat"].to_numpy()[rows]
    turn = _number_within(cell, behind, repeat)
    rank = mix(seed, Stream.AVERAGED_BACKGROUNDS, cell, behind, turn)
    order = np.lexsort((rank, turn, cell))
    cell, rows = cell[order], rows[order]
    number = np.arange(len(cell)) - np.searchsorted(cell, cell)
    kept = number < backgrounds
    cell, rows, number = cell[kept], rows[kept], number[kept]
    starts = np.flatnonzero(number == 0)
    donors = np.full((len(starts), backgrounds), -1)
    if len(starts) == 0:
        return Means(cell, vectors[:0], donors)
    many = np.diff(np.append(starts, len(cell)))
    sums = np.add.reduceat(vectors[rows].astype(np.float64), starts)
    drawn = trials["donor"].to_numpy()[rows].astype(np.int64)
    donors[np.repeat(np.arange(len(starts)), many), number] = drawn
    return Means(cell[starts], (sums / many[:, None]).astype(np.float32), donors)


def learn(
    run: RunDirectory, cells: Cells, model: str, config: RemedyConfig, seed: int
) -> Learned | None:
    """Gather what the remedies of one model are fitted on.

    Parameters
    ----------
    run
        Has `trials` and the model's `embeddings`.
    cells
        Labels and folds of the store's cells.
    model
        Name of the model.
    config
        Says how many donors and backgrounds a cell has.
    seed
        Any integer ≥ 0.

    Returns
    -------
    Learned or None
        Of the cells of pair tests; None where there are none.
    """
    parts = [
        part
        for trials, vectors in shards(run, "embeddings", model)
        if (part := _of_shard(trials, vectors, cells, config, seed)) is not None
    ]
    if not parts:
        return None
    starts = np.cumsum([0, *(len(part.cell) for part in parts)])
    swapped = Swapped(
        np.concatenate([part.swapped.features for part in parts]),
        np.concatenate([p.swapped.place + s for p, s in zip(parts, starts[:-1], strict=True)]),
        np.concatenate([part.swapped.different for part in parts]),
        np.concatenate([part.swapped.donor for part in parts]),
    )

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Learned(
        joined("cell"), joined("classes"), joined("unaltered"), swapped, joined("alone"),
        joined("averaged"),
    )  # fmt: skip


def _of_shard(
    trials: pd.DataFrame,
    vectors: NDArray[np.float32],
    cells: Cells,
    config: RemedyConfig,
    seed: int,
) -> Learned | None:
    """Gather what one shard has; None where it has no cell of pair tests."""
    cell, condition = trials["cell"].to_numpy(), trials["condition"].to_numpy().astype(str)
    mine = cells.tested[cell]
    own = np.flatnonzero(mine & (condition == str(Condition.UNALTERED)))
    if len(own) == 0:
        return None
    order = own[np.argsort(cell[own])]
    known = cell[order]
    donor = trials["donor"].fillna(-1).to_numpy().astype(np.int64)
    found, at, kinds = [], [], []
    for kind in _SWAPPED:
        rows = np.flatnonzero(mine & (condition == kind))
        rows = rows[np.lexsort((trials["repeat"].to_numpy()[rows], cell[rows]))]
        number = np.arange(len(rows)) - np.searchsorted(cell[rows], cell[rows])
        rows = rows[number < config.donors]
        found.append(rows)
        at.append(np.searchsorted(known, cell[rows]))
        kinds.append(np.full(len(rows), kind == str(Condition.DIFFERENT)))
    rows, place, different = map(np.concatenate, (found, at, kinds))
    by_cell = np.argsort(place, kind="stable")
    swapped = Swapped(
        vectors[rows[by_cell]], place[by_cell], different[by_cell], donor[rows[by_cell]]
    )
    unaltered = vectors[order]
    alone, averaged = unaltered.copy(), unaltered.copy()
    rows = np.flatnonzero(mine & (condition == str(Condition.ALONE)))
    alone[np.searchsorted(known, cell[rows])] = vectors[rows]
    here = trials.assign(donor=donor)[mine]
    means = average(here, vectors[mine], cells.names, config.backgrounds, seed)
    averaged[np.searchsorted(known, means.cell)] = means.features
    return Learned(known, cells.classes[known], unaltered, swapped, alone, averaged)


def _number_within(
    cell: NDArray[np.int64], behind: NDArray[np.int64], repeat: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return each trial's number within its cell and background class, by repeat, from 0."""
    order = np.lexsort((repeat, behind, cell))
    key = np.stack([cell[order], behind[order]])
    begins = np.ones(len(order), bool)
    begins[1:] = (key[:, 1:] != key[:, :-1]).any(0)
    first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    found = np.empty(len(order), np.int64)
    found[order] = np.arange(len(order)) - first
    return found
