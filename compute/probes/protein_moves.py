"""How proteins' mean answers move when conditions are exchanged among a probe's training cells.

Layer: sums what `compute.probes.exchange` says of crops by protein, and reads and writes the table
`exchanges` below a run's `work` folder. Only the protein at hand lies in memory.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.errors import InputError
from compute.probes.exchange import Exchanged

ROWS = 4096
"""Rows of the table that are decoded at a time."""


class ProteinMoves:
    """Sums the moves of a condition's trials by protein, and hands on what is finished.

    A protein's move is the mean over its cells of the mean over their trials; half of it is taken
    at the condition's trials, half at the unaltered crops of the same cells, because the two are
    exchangeable where backgrounds do nothing.

    Parameters
    ----------
    exchanged
        How each crop's probabilities move.
    protein
        Protein of each cell of the store, shape (N,).
    write
        Takes tables with the columns of `compute.schema.exchanges_schema`.
    """

    def __init__(
        self,
        exchanged: Exchanged,
        protein: NDArray[np.object_],
        write: Callable[[pa.Table], None],
    ) -> None:
        self._exchanged, self._protein, self._write = exchanged, protein, write
        self._name: str | None = None
        self._sum: NDArray[np.float64] | None = None
        self._cells = 0

    def add(
        self,
        unaltered: tuple[NDArray[np.float32], NDArray[np.int64]],
        altered: tuple[NDArray[np.float32], NDArray[np.int64]],
    ) -> None:
        """Add the crops of some cells, all trials of each; cells lie by protein.

        Parameters
        ----------
        unaltered, altered
            Embeddings, shape (n, D), and rows of their cells, shape (n,): of the unaltered crops,
            and of the condition's trials.
        """
        trials = pd.Index(altered[1])
        cells, place = np.unique(altered[1], return_index=True)
        cells = cells[np.argsort(place)]
        there = np.flatnonzero(np.isin(unaltered[1], cells))
        vectors = np.concatenate([unaltered[0][there], altered[0]])
        of = np.concatenate([unaltered[1][there], altered[1]])
        many = pd.Series(1, index=trials).groupby(level=0).sum()
        weight = np.concatenate(
            [np.full(len(there), 0.5), 0.5 / many.reindex(trials).to_numpy(float)]
        )
        moved = self._exchanged(vectors, of) * weight[:, None, None]
        owner = self._protein[of]
        for name in dict.fromkeys(self._protein[cells]):
            if name != self._name:
                self.finish()
                self._name, self._sum, self._cells = name, None, 0
            part = moved[owner == name].sum(0, dtype=np.float64)
            self._sum = part if self._sum is None else self._sum + part
            self._cells += int((self._protein[cells] == name).sum())

    def finish(self) -> None:
        """Hand on the protein at hand, if there is one."""
        if self._name is None or self._sum is None:
            return
        change = (self._sum / self._cells).astype(np.float32)
        self._write(exchanges_table(self._name, change))
        self._name = self._sum = None


def exchanges_table(protein: str, change: NDArray[np.float32]) -> pa.Table:
    """Make rows of `exchanges` of one protein's changes, shape (exchanges, classes)."""
    count, classes = change.shape
    return pa.table(
        [
            pa.repeat(protein, count),
            pa.array(np.arange(count), pa.int32()),
            pa.FixedSizeListArray.from_arrays(pa.array(change.ravel()), classes),
        ],
        schema=schema.exchanges_schema(classes),
    )


class ReadMoves:
    """Reads the table `exchanges`, protein after protein in the order in which they lie.

    Parameters
    ----------
    path
        The file. Where there is none, or it has no rows, no protein has moves.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        there = path.is_file() and pq.read_metadata(path).num_rows > 0
        self._found = _proteins(path) if there else None
        self._next: tuple[str, NDArray[np.float64]] | None = None

    def of(self, protein: str) -> NDArray[np.float64] | None:
        """Return a protein's changes, shape (exchanges, classes); None where none has any.

        Raises
        ------
        InputError
            The protein is not there, or was asked for out of order.
        """
        if self._found is None:
            return None
        while self._next is None or self._next[0] < protein:
            self._next = next(self._found, None)
            if self._next is None:
                break
        if self._next is None or self._next[0] != protein:
            raise InputError(
                f"{self._path} has no rows of protein {protein}, or not in order.",
                "Run again with --fresh.",
            )
        return self._next[1]


def _proteins(path: Path) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield each protein's name and changes."""
    name = ""
    kept: list[NDArray[np.float64]] = []
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(ROWS):
            names = batch.column("protein").to_numpy(zero_copy_only=False)
            flat = batch.column("change").flatten().to_numpy(zero_copy_only=False)
            change = flat.reshape(len(names), -1).astype(np.float64)
            starts = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
            for a, b in zip(starts, np.append(starts[1:], len(names)), strict=True):
                if names[a] != name and kept:
                    yield name, np.concatenate(kept)
                    kept = []
                name = names[a]
                kept.append(change[a:b])
    if kept:
        yield name, np.concatenate(kept)
