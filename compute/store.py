"""The crop store, for reading: cells, their pixels and masks, windows without cells. No torch.

A store is a folder: `store.json`, `cells.parquet`, `crops-*.parquet`, `windows-*.parquet` and,
for simulated cells, `truth.parquet`. `compute.crops.writer` makes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.errors import InputError, unknown_value
from compute.files import read_json, sha256, writing

CROP_ROW_GROUP = 256
"""Crops per Parquet row group: what is decoded at a time."""


@dataclass(frozen=True)
class CropArrays:
    """Pixels of a whole store, in memory or memory-mapped; row i is cell row i.

    Parameters
    ----------
    images
        Shape (N, C, H, W), the store's dtype.
    masks, foregrounds
        Packed bits, shape (N, ceil(H·W / 8)), uint8.
    windows
        Windows without cells, shape (M, C, H, W), the store's dtype.
    """

    images: NDArray[Any]
    masks: NDArray[np.uint8]
    foregrounds: NDArray[np.uint8]
    windows: NDArray[Any]

    def unpack(self, packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Turn packed mask rows into booleans of shape (n, H, W)."""
        height, width = self.images.shape[2:]
        bits = np.unpackbits(packed, axis=1, count=height * width)
        return bits.reshape(-1, height, width).astype(bool)


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
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.meta = read_json(self.path / "store.json", "crop store")
        self.channels: list[str] = self.meta["channels"]
        self.size: int = self.meta["size"]
        self.dtype = np.dtype(self.meta["dtype"])
        self.localizations: list[str] = self.meta["localizations"]
        self.simulated: bool = self.meta["source"].get("simulated", False)
        self.fingerprint: str = self.meta["fingerprint"]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The `cells` table, one row per cell, in the order of the pixels."""
        return self._read("cells.parquet", schema.cells_schema()).to_pandas()

    @cached_property
    def windows(self) -> pd.DataFrame:
        """The `windows` table without its pixels, in their order."""
        full = schema.windows_schema(len(self.channels), self.size, self.dtype.itemsize)
        names = [name for name in full.names if name != "image"]
        files = self._files("windows")
        tables = [pq.read_table(file, columns=names) for file in files]
        small = pa.schema([full.field(name) for name in names])
        table = pa.concat_tables(tables) if tables else small.empty_table()
        return schema.check_table(table, small, f"{self.path}: windows").to_pandas()

    @property
    def truth(self) -> pd.DataFrame | None:
        """True proportions per cell and localization (simulated cells), else nothing."""
        if not (self.path / "truth.parquet").is_file():
            return None
        return self._read("truth.parquet", schema.truth_schema()).to_pandas()

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which cells can stand in trials: none of the `UNUSABLE` flags, shape (N,)."""
        return np.asarray((self.cells["flags"] & int(schema.UNUSABLE)) == 0)

    def fields_of(self, split: str) -> list[str]:
        """Return the fields of a split.

        Raises
        ------
        UsageError
            No cell is of that split; names those there are.
        """
        inside = self.cells["split"] == split
        if not inside.any():
            raise unknown_value("split", split, sorted(set(self.cells["split"].dropna())))
        return sorted(set(self.cells["field"][inside]))

    def arrays(self, cache: Path | None = None) -> CropArrays:
        """Return every pixel of the store.

        Parameters
        ----------
        cache
            A folder for uncompressed, memory-mapped copies, made at first use and used again
            while the store is the same; without it everything is read into memory.

        Returns
        -------
        CropArrays
            Rows in the order of `cells` and `windows`.
        """
        pixels = (len(self.channels), self.size, self.size)
        bits = ((self.size * self.size + 7) // 8,)
        n, m = len(self.cells), len(self.windows)
        wanted = {
            "images": ("crops", "image", (n, *pixels), self.dtype),
            "masks": ("crops", "mask", (n, *bits), np.dtype(np.uint8)),
            "foregrounds": ("crops", "foreground", (n, *bits), np.dtype(np.uint8)),
            "windows": ("windows", "image", (m, *pixels), self.dtype),
        }
        return CropArrays(
            **{name: self._array(name, *spec, cache) for name, spec in wanted.items()}
        )

    def _array(
        self,
        name: str,
        table: str,
        column: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        cache: Path | None,
    ) -> NDArray[Any]:
        if cache is None or shape[0] == 0:
            array = np.empty(shape, dtype)
            self._fill(array, table, column)
            return array
        path = cache / f"{self.fingerprint}-{name}.npy"
        if not path.is_file():
            with writing(path) as temporary:
                array = np.lib.format.open_memmap(temporary, "w+", dtype, shape)
                self._fill(array, table, column)
                array.flush()
                del array
        return np.load(path, mmap_mode="r", allow_pickle=False)

    def _fill(self, array: NDArray[Any], table: str, column: str) -> None:
        start = 0
        for file in self._files(table):
            for batch in self._batches(file, column):
                flat = batch.column(0)
                raw = np.frombuffer(flat.buffers()[1], np.uint8)
                step = array[0].nbytes
                raw = raw[flat.offset * step : (flat.offset + len(flat)) * step]
                array[start : start + len(flat)] = raw.view(array.dtype).reshape(
                    len(flat), *array.shape[1:]
                )
                start += len(flat)
        if start != len(array):
            raise InputError(
                f"{self.path}: {start} rows of {table} pixels for {len(array)} rows of metadata.",
                "Make the store anew.",
            )

    def _batches(self, file: Path, column: str) -> Iterator[pa.RecordBatch]:
        try:
            yield from pq.ParquetFile(file).iter_batches(CROP_ROW_GROUP, columns=[column])
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{file} cannot be read: {error}.", "Make the store anew.") from error

    def _files(self, table: str) -> list[Path]:
        return [self.path / item["file"] for item in self.meta["files"] if item["table"] == table]

    def _read(self, name: str, expected: pa.Schema) -> pa.Table:
        path = self.path / name
        try:
            table = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path} cannot be read: {error}.", "Make the store anew.") from error
        return schema.check_table(table, expected, str(path))

    def check(self) -> None:
        """Compare every file's hash with `store.json`.

        Raises
        ------
        InputError
            A file is missing or was altered; names it.
        """
        for item in self.meta["files"]:
            path = self.path / item["file"]
            if not path.is_file():
                raise InputError(f"{path} is missing.", "Make the store anew.")
            if sha256(path) != item["sha256"]:
                raise InputError(
                    f"{path} was altered after it was written.", "Make the store anew."
                )
