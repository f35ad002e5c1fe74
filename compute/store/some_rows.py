"""Reads some cells' pixels and masks from a store of any size, in flat memory. No torch.

Crops lie in blocks (row groups), which are decoded as a whole: rows of few blocks are read soon,
rows of all blocks take as long as the store.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute.errors import InputError
from compute.hashing import Stream, mix
from compute.store.reader import CROP_ROW_GROUP, CropArrays, CropStore

TOGETHER = 1 << 26
"""Bytes that are decoded together, about."""


def read_rows(
    store: CropStore, rows: NDArray[np.integer], *, images: bool = True
) -> Iterator[tuple[NDArray[np.int64], CropArrays]]:
    """Read some cells of a store, a few at a time.

    Parameters
    ----------
    store
        The store.
    rows
        Which cells, from 0; their order does not matter, and none is read twice.
    images
        Whether pixels are read too, as by default; else all of them are 0 and take no memory.

    Yields
    ------
    rows, arrays
        Ascending row numbers, shape (n,), and their pixels and masks; `windows` is empty.

    Raises
    ------
    InputError
        A file is missing or cannot be read, or holds fewer rows than `store.json` says.
    """
    wanted = np.unique(np.asarray(rows, np.int64))
    pixels = (len(store.channels), store.size, store.size)
    columns = ["mask", "foreground", *(["image"] if images else [])]
    row_bytes = int(np.prod(pixels)) * store.dtype.itemsize if images else store.size**2 // 4
    most = max(1, min(CROP_ROW_GROUP, TOGETHER // max(row_bytes, 1)))
    for found, batch in _batches(store, wanted, columns, most):
        count = len(found)
        planes = np.broadcast_to(np.zeros((), store.dtype), (count, *pixels))
        if images:
            planes = _bytes(batch, "image").view(store.dtype).reshape(count, *pixels)
        empty = np.empty((0, *pixels), store.dtype)
        yield found, CropArrays(planes, _bytes(batch, "mask"), _bytes(batch, "foreground"), empty)


def blocks(store: CropStore) -> NDArray[np.int64]:
    """Return the first row of every block of crops, ascending, shape (b,)."""
    starts, start = [], 0
    for item in _crop_files(store):
        starts.append(np.arange(start, start + item[1], CROP_ROW_GROUP))
        start += item[1]
    return np.concatenate(starts) if starts else np.zeros(0, np.int64)


def from_few_blocks(
    store: CropStore, rows: NDArray[np.int64], most: int, seed: int
) -> NDArray[np.int64]:
    """Draw rows from as few blocks as hold enough of them, or take all.

    Parameters
    ----------
    store
        The store.
    rows
        Rows to draw from, ascending.
    most
        How many are returned at most.
    seed
        Decides in which order blocks are taken.

    Returns
    -------
    ndarray
        Ascending, shape (min(most, n),).
    """
    if len(rows) <= most:
        return rows
    block = np.searchsorted(blocks(store), rows, side="right")
    order = np.lexsort((rows, block, mix(seed, Stream.SAMPLED_BLOCKS, block)))
    return np.sort(rows[order[:most]])


def _crop_files(store: CropStore) -> list[tuple[Path, int]]:
    files = [item for item in store.meta["files"] if item["table"] == "crops"]
    return [(store.path / item["file"], int(item["rows"])) for item in files]


def _batches(
    store: CropStore, rows: NDArray[np.int64], columns: list[str], most: int
) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
    """Yield the wanted rows of every batch that has some, with their numbers."""
    start, count = 0, 0
    for path, length in _crop_files(store):
        inside = rows[(rows >= start) & (rows < start + length)]
        if len(inside):
            try:
                for found, batch in _of_file(store.whole(path), inside - start, columns, most):
                    count += len(found)
                    yield found + start, batch
            except (pa.ArrowInvalid, OSError) as error:
                raise InputError(
                    f"{path} cannot be read: {error}.", "Make the store anew."
                ) from error
        start += length
    if count != len(rows):
        raise InputError(
            f"{store.path}: {len(rows) - count} of {len(rows)} cells have no pixels.",
            "Make the store anew.",
        )


def _of_file(
    path: Path, rows: NDArray[np.int64], columns: list[str], most: int
) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
    file, first = pq.ParquetFile(path, pre_buffer=False), 0
    for group in range(file.num_row_groups):
        length = file.metadata.row_group(group).num_rows
        at, first = first, first + length
        if not len(rows[(rows >= at) & (rows < first)]):
            continue
        for batch in file.iter_batches(most, row_groups=[group], columns=columns):
            wanted = rows[(rows >= at) & (rows < at + len(batch))]
            if len(wanted):
                yield wanted, batch.take(pa.array(wanted - at))
            at += len(batch)


def _bytes(batch: pa.RecordBatch, column: str) -> NDArray[np.uint8]:
    """View a column of fixed-size binary as bytes, shape (n, size)."""
    values = batch.column(column)
    width = values.type.byte_width
    raw = np.frombuffer(values.buffers()[1], np.uint8)
    raw = raw[values.offset * width : (values.offset + len(values)) * width]
    return raw.reshape(len(values), width)
