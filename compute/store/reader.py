"""Reads crop stores: cells, their pixels and masks, windows without cells. No torch.

A store is a folder: `store.json`, `cells.parquet`, `crops-*.parquet`, `windows-*.parquet` and,
for simulated cells, `truth.parquet`. `compute.store.writer` makes it.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.errors import InputError, unknown_value
from compute.images.dilation import Words, bytes_to_words, moved, to_words
from compute.schema.headers import STORE_HEADER, STORE_NEEDS, check_header
from compute.storage.atomic_files import Progress, checksum_of, silent, writing
from compute.storage.checksums import as_written
from compute.storage.locks import one_at_a_time
from compute.storage.paths import StorePaths
from compute.storage.sealed_json import read_sealed

CROP_ROW_GROUP = 256
"""Crops per Parquet row group; so many are decoded at a time."""

ROWS = 8192
"""Rows of `cells` that are decoded at a time."""


class PixelFile:
    """An uncompressed array on disk (`.npy`) whose rows are read when they are asked for.

    Unlike a memory map it keeps nothing in memory, so a process that reads all of a store of any
    size stays as small as its batches. Threads may read at the same time.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        version = np.lib.format.read_magic(self._file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        self.shape, _, self.dtype = read_header(self._file)
        self._start = self._file.tell()
        self._turn = Lock()

    def __len__(self) -> int:
        """Count the rows."""
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Read rows in the order given, consecutive ones at once.

        Parameters
        ----------
        rows
            Row numbers ≥ 0, shape (n,), or a slice.

        Returns
        -------
        ndarray
            Shape (n, ...).

        Raises
        ------
        InputError
            The file is shorter than it was.
        IndexError
            There is no such row.
        """
        number = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        found = np.empty((len(number), *self.shape[1:]), self.dtype)
        self.read_into(found, number)
        return found

    def read_into(self, found: NDArray[Any], number: NDArray[np.integer[Any]]) -> None:
        """Read rows into an array that is there.

        Parameters
        ----------
        found
            Is overwritten: C-contiguous, of this dtype, shape (n, ...).
        number
            Row numbers ≥ 0, shape (n,).

        Raises
        ------
        InputError
            The file is shorter than it was.
        IndexError
            There is no such row.
        """
        if len(number) == 0:
            return
        if not 0 <= number.min() <= number.max() < len(self):
            raise IndexError(f"Rows {number.min()} to {number.max()} of {len(self)}.")
        target = memoryview(found.data).cast("B")
        step = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        edges = np.flatnonzero(np.diff(number) != 1) + 1
        for first, last in pairwise([0, *edges.tolist(), len(number)]):
            rest = target[first * step : last * step]
            at = self._start + int(number[first]) * step
            while rest:
                read = self._read_at(rest, at)
                if read == 0:
                    raise InputError(f"{self.path} was cut short.", "Delete it and run again.")
                rest, at = rest[read:], at + read

    def _read_at(self, target: memoryview, start: int) -> int:
        """Read bytes that begin at a place in the file; return how many were read."""
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [target], start)
        with self._turn:  # Windows: reading moves the file's only position
            self._file.seek(start)
            return self._file.readinto(target)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read everything."""
        return np.asarray(self[:], dtype)


Pixels = NDArray[Any] | PixelFile


@dataclass(frozen=True)
class CropArrays:
    """Pixels of a whole store, in memory or on disk; row i is of the cell in row i of `cells`.

    Parameters
    ----------
    images
        Shape (N, C, H, W), the store's dtype.
    masks, foregrounds
        Packed bits, shape (N, ceil(H·W / 8)), uint8.
    windows
        Windows without cells, shape (M, C, H, W), the store's dtype.
    mask_shift
        Pixels by which `outlines` grows the centre cells' masks (below 0: shrinks them), by default
        0. `masks` and `foregrounds` are always as stored.
    """

    images: Pixels
    masks: Pixels
    foregrounds: Pixels
    windows: Pixels
    mask_shift: int = 0

    def unpack(self, packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Turn packed mask rows into booleans of shape (n, H, W)."""
        height, width = self.images.shape[2:]
        bits = np.unpackbits(packed, axis=1, count=height * width)
        return bits.reshape(-1, height, width).view(bool)

    def outlines(self, rows: NDArray[np.int64]) -> tuple[Words, Words]:
        """Read the centre cells' masks, moved by `mask_shift`, and every cell of their crops.

        What a mask gains it takes from neighbours or medium; what it loses belongs to no cell.

        Parameters
        ----------
        rows
            Rows of the store, shape (n,).

        Returns
        -------
        mask, foreground
            Words of `compute.images.dilation`, shape (n, H, ⌈W/64⌉).
        """
        mask, foreground = self.words(self.masks[rows]), self.words(self.foregrounds[rows])
        if not self.mask_shift:
            return mask, foreground
        shifted = moved(mask, self.mask_shift, self.images.shape[-1])
        return shifted, (foreground & ~mask) | shifted

    def words(self, packed: NDArray[np.uint8]) -> Words:
        """Turn packed mask rows into words of `compute.images.dilation`, shape (n, H, ⌈W/64⌉)."""
        height, width = self.images.shape[2:]
        if width % 8:
            return to_words(self.unpack(packed))
        return bytes_to_words(packed.reshape(-1, height, width // 8))


class CropStore:
    """A finished crop store, opened for reading.

    Parameters
    ----------
    path
        The store's folder.

    Raises
    ------
    InputError
        No store there, another schema version, or a table that is not as `store.json` says.

    Examples
    --------
    >>> from compute import CropStore
    >>> store = CropStore("store")
    >>> store.channels
    ['GFP', 'RFP']
    >>> images = store.arrays(first=10).images
    >>> images.shape
    (10, 2, 64, 64)
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.paths = StorePaths(self.path)
        self.meta = read_sealed(self.paths.header, "crop store", schema.STORE_VERSION)
        again, header = "Make the store anew.", str(self.paths.header)
        check_header(self.meta, STORE_HEADER, header, again)
        if lacking := [name for name in STORE_NEEDS if name not in self.meta]:
            raise InputError(f"{header} has no {', '.join(lacking)}.", again)
        self.channels: list[str] = self.meta["channels"]
        self.size: int = self.meta["size"]
        self.dtype = np.dtype(self.meta["dtype"])
        self.localizations: list[str] = self.meta["localizations"]
        self.simulated: bool = self.meta["source"].get("simulated", False)
        self.pixel_size = float(self.meta["source"].get("pixel_size") or 0)
        """Micrometres a pixel; 0 where the source did not say it."""
        self.fingerprint: str = self.meta["fingerprint"]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The `cells` table, one row per cell, in the order of the pixels.

        Texts are categories in alphabetical order, and cells of the same `labels` share one list.
        """
        return _compact([self.whole(self.paths.cells)], schema.cells_schema())

    @cached_property
    def windows(self) -> pd.DataFrame:
        """The `windows` table without its pixels, in their order; texts as in `cells`."""
        full = schema.windows_schema(len(self.channels), self.size, self.dtype.itemsize)
        files = [self.whole(file) for file in self._files("windows")]
        return _compact(files, full, without=("image",))

    def cell_tables(self) -> Iterator[pa.Table]:
        """Yield the `cells` table as it is on disk, `ROWS` rows at a time."""
        for batch in self._batches(self.whole(self.paths.cells), schema.cells_schema().names, ROWS):
            yield pa.Table.from_batches([batch])

    @property
    def truth(self) -> pd.DataFrame | None:
        """True proportions per cell and localization of simulated cells; None for others."""
        if not self.paths.truth.is_file():
            return None
        return _compact([self.whole(self.paths.truth)], schema.truth_schema())

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which cells can be in trials: those without an `UNUSABLE` flag, booleans, shape (N,)."""
        return np.asarray((self.cells["flags"] & int(schema.UNUSABLE)) == 0)

    def fields_of(self, split: str) -> list[str]:
        """Return the names of the fields of a split, sorted.

        Raises
        ------
        UsageError
            No cell is of that split; names the splits that there are.
        """
        inside = self.cells["split"] == split
        if not inside.any():
            raise unknown_value("split", split, sorted(set(self.cells["split"].dropna())))
        return sorted(set(self.cells["field"][inside]))

    def arrays(
        self, cache: Path | None = None, first: int | None = None, mask_shift: int = 0
    ) -> CropArrays:
        """Return the pixels of the store.

        Parameters
        ----------
        cache
            A folder for uncompressed copies, which are made at first use and used again while the
            store is the same, by other processes too; None, the default, reads everything into
            memory.
        first
            Number of cells, and of windows, to read into memory, at most; None, the default, reads
            all.
        mask_shift
            As in `CropArrays`; 0 by default.

        Returns
        -------
        CropArrays
            Rows in the order of `cells` and `windows`.
        """
        pixels = (len(self.channels), self.size, self.size)
        bits = ((self.size * self.size + 7) // 8,)
        n, m = self.meta["counts"]["cells"], self.meta["counts"]["windows"]
        if first is not None:
            n, m, cache = min(n, first), min(m, first), None
        wanted = {
            "images": ("crops", "image", (n, *pixels), self.dtype),
            "masks": ("crops", "mask", (n, *bits), np.dtype(np.uint8)),
            "foregrounds": ("crops", "foreground", (n, *bits), np.dtype(np.uint8)),
            "windows": ("windows", "image", (m, *pixels), self.dtype),
        }
        return CropArrays(
            **{name: self._array(name, *s, cache, first is None) for name, s in wanted.items()},
            mask_shift=mask_shift,
        )

    def _array(
        self,
        name: str,
        table: str,
        column: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        cache: Path | None,
        whole: bool,
    ) -> Pixels:
        if cache is None or shape[0] == 0:
            array = np.empty(shape, dtype)
            start = 0
            for rows in self._decoded(table, column, shape, dtype, whole):
                array[start : start + len(rows)] = rows
                start += len(rows)
            return array
        path = cache / f"{self.fingerprint}-{name}.npy"
        if not path.is_file():
            with one_at_a_time(cache):
                if not path.is_file():
                    self._write_pixels(path, table, column, shape, dtype)
        return PixelFile(as_written(path, checksum_of(path), "Delete it and run again."))

    def _write_pixels(
        self, path: Path, table: str, column: str, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        with (
            writing(path, checksum=True) as temporary,
            temporary.open("wb") as file,
        ):
            header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for rows in self._decoded(table, column, shape, dtype):
                file.write(np.ascontiguousarray(rows).data)

    def _decoded(
        self,
        table: str,
        column: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        whole: bool = True,
    ) -> Iterator[NDArray[Any]]:
        """Decode a column of pixels, some rows at a time.

        Parameters
        ----------
        table, column
            Names of the table and of its column.
        shape, dtype
            Those of all rows that are wanted.
        whole
            Whether these are all the rows that there should be.

        Raises
        ------
        InputError
            There are fewer rows than wanted, or more than there should be.
        """
        count = 0
        for file in self._files(table):  # of the first crops only the first file is hashed
            for batch in self._batches(self.whole(file), [column], CROP_ROW_GROUP):
                flat = batch.column(0)
                step = dtype.itemsize * int(np.prod(shape[1:]))
                raw = np.frombuffer(flat.buffers()[1], np.uint8)
                raw = raw[flat.offset * step : (flat.offset + len(flat)) * step]
                rows = raw.view(dtype).reshape(len(flat), *shape[1:])
                yield rows[: shape[0] - count] if count < shape[0] else rows[:0]
                count += len(flat)
                if not whole and count >= shape[0]:
                    return
        if count != shape[0]:
            raise InputError(
                f"{self.path}: {count} rows of {table} pixels for {shape[0]} rows of metadata.",
                "Make the store anew.",
            )

    def _batches(self, file: Path, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        try:
            yield from pq.ParquetFile(file, pre_buffer=False).iter_batches(rows, columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{file} cannot be read: {error}.", "Make the store anew.") from error

    def _files(self, table: str) -> list[Path]:
        return [self.path / item["file"] for item in self.meta["files"] if item["table"] == table]

    def whole(self, file: Path) -> Path:
        """Return one of the store's files, once it is known to be as it was written.

        Every reader of a store asks here first.

        Raises
        ------
        InputError
            It is missing, or is not as `store.json` says.
        """
        expected = {item["file"]: item["sha256"] for item in self.meta["files"]}
        return as_written(file, expected.get(file.name), "Make the store anew.")

    def check(self, progress: Progress = silent) -> None:
        """Compare every file's hash with `store.json`.

        Parameters
        ----------
        progress
            Called with ``"check"``, files hashed and files in all; silent by default.

        Raises
        ------
        InputError
            A file is missing or was altered; names it.
        """
        files = self.meta["files"]
        for done, item in enumerate(files):
            progress("check", done, len(files))
            self.whole(self.path / item["file"])
        progress("check", len(files), len(files))


def _compact(
    files: Sequence[Path], expected: pa.Schema, without: Collection[str] = ()
) -> pd.DataFrame:
    """Read a table column by column into a frame that takes a few bytes per row.

    Raises
    ------
    InputError
        A file cannot be read, or is not as expected.
    """
    columns: dict[str, Any] = {}
    try:
        for file in files:
            schema.check_table(pq.read_schema(file).empty_table(), expected, str(file))
        for field in expected:
            if field.name in without:
                continue
            one = pa.schema([field])
            tables = [one.empty_table()]
            for file in files:
                table = pq.read_table(file, columns=one.names, partitioning=None, pre_buffer=False)
                tables.append(schema.check_table(table, one, str(file)))
            columns[field.name] = _column(pa.concat_tables(tables).column(0))
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{file} cannot be read: {error}.", "Make the store anew.") from error
    return pd.DataFrame(columns, copy=False)


def _column(values: pa.ChunkedArray) -> Any:
    """Convert a column to what a frame holds; texts become categories in alphabetical order."""
    if pa.types.is_list(values.type):
        return pd.Series(_shared(values), dtype=object)
    if not pa.types.is_string(values.type):
        return values.to_pandas()
    encoded = values.combine_chunks().dictionary_encode()
    names = np.array(encoded.dictionary.to_pylist(), dtype=object)
    order = np.argsort(names)
    rank = np.append(np.argsort(order), -1)
    code = rank[encoded.indices.fill_null(-1).to_numpy()]
    return pd.Categorical.from_codes(code, pd.Index(names[order], dtype=object))


def _shared(lists: pa.ChunkedArray) -> list[NDArray[Any] | None]:
    """Convert a column of lists to arrays, one object for all rows with the same list."""
    kept: dict[tuple[str, ...] | None, NDArray[Any] | None] = {None: None}
    found: list[NDArray[Any] | None] = []
    for start in range(0, len(lists), CROP_ROW_GROUP):
        for each in lists.slice(start, CROP_ROW_GROUP).to_pylist():
            key = None if each is None else tuple(each)
            if key not in kept:
                kept[key] = np.array(each, dtype=object)
            found.append(kept[key])
    return found
