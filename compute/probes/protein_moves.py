"""How proteins' mean answers move where backgrounds do nothing and each condition has a probe.

Layer: sums what `compute.probes.exchange` says of crops by protein, and reads and writes the table
`exchanges` below a run's `work` folder. Only the protein at hand lies in memory.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.errors import InputError
from compute.probes.exchange import Exchanged
from compute.statistics.shifts import Null

ROWS = 4096
"""Rows of the table that are decoded at a time."""

Crops = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Embeddings, shape (n, D), and rows of their cells in the store's `cells`, shape (n,)."""


class ProteinMoves:
    """Takes a condition's trials, and hands on how each protein moves.

    A cell's second answer minus its first is, exactly, how the mean of both probes changes from its
    unaltered crop to its trials, plus by how much the second probe exceeds the first on the mean of
    both. Where backgrounds do nothing the sign of the one is exchanged with the cell's crops, the
    other with the crops of the cells that the probes were fitted on.

    Parameters
    ----------
    exchanged
        Both probes, and how they would move.
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
        self._cells: list[NDArray[np.int64]] = []
        self._changes: list[NDArray[np.float32]] = []
        self._moved: list[NDArray[np.float64]] = []

    def add(self, unaltered: Crops, altered: Crops) -> None:
        """Add the crops of some cells, all trials of each.

        Parameters
        ----------
        unaltered
            The unaltered crops of these cells, and perhaps of more, one of each.
        altered
            The condition's trials, those of a cell together and cells by protein.
        """
        starts = np.flatnonzero(np.diff(altered[1], prepend=-1))
        cells = altered[1][starts]
        many = np.diff(np.append(starts, len(altered[1])))
        order = np.argsort(unaltered[1])
        place = order[np.searchsorted(unaltered[1], cells, sorter=order)]
        own = (unaltered[0][place], unaltered[1][place])

        def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
            shape = (-1, *([1] * (values.ndim - 1)))
            return np.asarray(np.add.reduceat(values, starts) / many.reshape(shape), np.float32)

        change = mean(self._exchanged.both(*altered)) - self._exchanged.both(*own)
        moved = (mean(self._exchanged(*altered)) + self._exchanged(*own)) / 2
        owner = self._protein[cells]
        for name in dict.fromkeys(owner):
            if name != self._name:
                self.finish()
                self._name = name
            rows = np.flatnonzero(owner == name)
            self._cells.append(cells[rows])
            self._changes.append(change[rows])
            self._moved.append(moved[rows].sum(0, dtype=np.float64))

    def finish(self) -> None:
        """Hand on the protein at hand, if there is one."""
        if self._name is not None:
            cells = np.concatenate(self._cells)
            probe = np.sum(self._moved, 0) / len(cells)
            self._write(exchanges_table(self._name, cells, np.concatenate(self._changes), probe))
        self._name = None
        for kept in (self._cells, self._changes, self._moved):
            kept.clear()


def exchanges_table(
    protein: str,
    cell: NDArray[np.int64],
    change: NDArray[np.float32],
    probe: NDArray[np.float64],
) -> pa.Table:
    """Make the rows of `exchanges` of one protein.

    Parameters
    ----------
    protein
        Its name.
    cell, change
        Rows of its n cells in the store's `cells`, shape (n,), and their changes, shape (n, K).
    probe
        The changes of R exchanges, shape (R, K).
    """
    n, (count, classes) = len(cell), probe.shape
    flat = np.concatenate([change, probe]).astype(np.float32).ravel()
    return pa.table(
        [
            pa.array([protein] * (n + count), pa.string()),
            pa.array([*cell.tolist(), *[None] * count], pa.int64()),
            pa.array([*[None] * n, *range(count)], pa.int32()),
            pa.FixedSizeListArray.from_arrays(pa.array(flat), classes),
        ],
        schema=schema.exchanges_schema(classes),
    )


class ReadMoves:
    """Reads the table `exchanges`, protein after protein in the order in which they lie.

    Parameters
    ----------
    path
        The file. Where there is none, or it has no rows, nothing is known of any protein.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        there = path.is_file() and pq.read_metadata(path).num_rows > 0
        self._found = _proteins(path) if there else None
        self._next: tuple[str, NDArray[np.int64], Null] | None = None

    def null(self, protein: str, cell: NDArray[np.int64]) -> Null | None:
        """Return a protein's null.

        Parameters
        ----------
        protein
            Its name.
        cell
            Its cells in the order of their answers, shape (n,).

        Returns
        -------
        Null or None
            None where nothing is known of any protein.

        Raises
        ------
        InputError
            The protein is not there, was asked for out of order, or has other cells.
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
        if not np.array_equal(self._next[1], cell):
            raise InputError(
                f"{self._path} has other cells of protein {protein} than its predictions.",
                "Run again with --fresh.",
            )
        return self._next[2]


def _proteins(path: Path) -> Iterator[tuple[str, NDArray[np.int64], Null]]:
    """Yield each protein's name, cells and null."""
    name = ""
    kept: list[pa.RecordBatch] = []
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(ROWS):
            names = batch.column("protein").to_numpy(zero_copy_only=False)
            starts = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
            for a, b in zip(starts, np.append(starts[1:], len(names)), strict=True):
                if names[a] != name and kept:
                    yield name, *_null(kept)
                    kept = []
                name = names[a]
                kept.append(batch.slice(a, b - a))
    if kept:
        yield name, *_null(kept)


def _null(batches: list[pa.RecordBatch]) -> tuple[NDArray[np.int64], Null]:
    """Part one protein's rows into those of cells and those of exchanges."""
    table = pa.Table.from_batches(batches)
    flat = table.column("change").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    change = flat.reshape(len(table), -1).astype(np.float64)
    cell = table.column("cell").to_numpy()
    of_cells = np.isfinite(cell.astype(np.float64))
    return cell[of_cells].astype(np.int64), Null(change[of_cells], change[~of_cells])
