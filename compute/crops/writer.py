"""Writes crop stores in flat memory; every source of crops goes through here. No torch.

A store appears whole, by one rename, or not at all.
"""

import os
import shutil
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from compute import schema
from compute.crops.quality import flag_cells
from compute.errors import InputError, UsageError
from compute.files import disk_error, fingerprint, sha256, write_json, write_table
from compute.hashing import mix
from compute.store import CROP_ROW_GROUP

SHARD_ROWS = 4096
"""Crops per Parquet file (about 70 MB of 2×64×64 16-bit pixels)."""

DTYPES = ("uint8", "uint16", "float32")


class CropStoreWriter:
    """Writes a crop store in flat memory; the folder appears when the block ends well.

    Use as a context manager. Cells are numbered in the order in which they are added.

    Parameters
    ----------
    path
        Folder to make.
    channels
        Names of the channels in order, such as ``["GFP", "RFP"]``.
    size
        Side of a crop, pixels.
    dtype
        ``"uint8"``, ``"uint16"`` or ``"float32"``.
    source
        Where the crops come from: at least ``kind`` (text) and ``simulated`` (bool); anything
        else that JSON holds.
    localizations
        All class names, in the order that every table uses.
    train_share
        Share of every protein's fields that become split ``train``, 0 to 1; the others become
        ``test``. Cells that were given a split keep it. None leaves it empty.
    overwrite
        Replace a store that is there already.

    Raises
    ------
    UsageError
        Something is at `path` already, or a parameter is out of range.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        channels: Sequence[str],
        size: int,
        dtype: str,
        source: Mapping[str, Any],
        localizations: Sequence[str] = schema.LOCALIZATIONS,
        train_share: float | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        if train_share is not None and not 0 < train_share < 1:
            raise UsageError(f"train_share is {train_share}; it must lie between 0 and 1.")
        self._train_share = train_share
        if dtype not in DTYPES:
            raise UsageError(f"Unknown dtype {dtype!r}.", f"Allowed: {', '.join(DTYPES)}.")
        if size < 8 or not channels or len(set(channels)) != len(channels):
            raise UsageError(
                f"A store needs crops of at least 8 pixels (got {size}) and distinct channel "
                f"names (got {list(channels)}).",
            )
        if self.path.exists() and not overwrite:
            raise UsageError(
                f"{self.path} exists already.", "Give another folder, or --overwrite to replace it."
            )
        if (
            self.path.exists()
            and not (self.path / "store.json").is_file()
            and _not_empty(self.path)
        ):
            raise UsageError(
                f"{self.path} is not a crop store, so it is not replaced.", "Give another folder."
            )
        self.channels, self.size, self.dtype = list(channels), size, np.dtype(dtype)
        self.localizations = list(localizations)
        self.source = dict(source)
        self._rejected: Counter[str] = Counter()
        self._where: dict[str, list[str]] = {}
        self._cells: list[pa.Table] = []
        self._truth: list[pa.Table] = []
        self._files: list[dict[str, Any]] = []
        self._pending: dict[str, list[pa.Table]] = {"crops": [], "windows": []}
        self._count = {"cells": 0, "windows": 0}

    def __enter__(self) -> Self:
        """Make the temporary folder beside the final one."""
        self._folder = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            self._folder.mkdir(parents=True)
        except OSError as error:
            raise disk_error(error, self._folder) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the store, or remove what was begun."""
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def add(
        self,
        images: NDArray[Any],
        masks: NDArray[np.bool_],
        foregrounds: NDArray[np.bool_],
        cells: pd.DataFrame,
        truth: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """Add cells; area, neighbour fraction and quality flags are computed here.

        Parameters
        ----------
        images
            Shape (n, C, H, W), finite, cast to the store's dtype.
        masks, foregrounds
            Centre cell and every cell, shape (n, H, W).
        cells
            n rows with `protein` and `field`; optional `orf`, `localization`, `labels` (list),
            `replicate`, `split`. A `localization` given without `labels` is its only label.
            Optional `flags`: `compute.schema.CellFlag` bits that the source knows of (0 for
            none), added to those found here.
        truth
            Proportion of the protein at each of the store's localizations, shape
            (n, len(localizations)); simulated cells only.

        Raises
        ------
        InputError
            Shapes differ, a value is not finite, or a localization is not among the store's.
        """
        n = len(cells)
        pixels = (n, len(self.channels), self.size, self.size)
        if (
            images.shape != pixels
            or masks.shape != (n, *pixels[2:])
            or masks.shape != foregrounds.shape
        ):
            raise InputError(
                f"Crops of shape {images.shape} with masks {masks.shape} and foregrounds "
                f"{foregrounds.shape}; expected {pixels} and {(n, *pixels[2:])}."
            )
        if not np.isfinite(images).all():
            raise InputError("An image holds values that are not finite.", "Reject it before.")
        if n == 0:
            return
        foregrounds = foregrounds | masks
        frame = pd.DataFrame(index=range(n))
        frame["cell"] = np.arange(n) + self._count["cells"]
        for name in ("protein", "orf", "localization", "labels", "field", "replicate", "split"):
            given = cells[name].to_numpy() if name in cells else np.full(n, None, object)
            frame[name] = pd.Series(list(given), dtype=object)
        frame = frame.astype(object).where(frame.notna(), None)
        labels = [
            list(several) if several is not None else ([one] if one is not None else None)
            for several, one in zip(frame["labels"], frame["localization"], strict=True)
        ]
        frame["labels"] = pd.Series(labels, dtype=object)
        self._check_labels(frame)
        frame["mask_area"] = masks.sum((1, 2))
        frame["neighbour_fraction"] = (foregrounds & ~masks).mean((1, 2))
        given_flags = cells["flags"].to_numpy(np.int32) if "flags" in cells else np.int32(0)
        frame["flags"] = flag_cells(masks, foregrounds) | given_flags
        table = pa.table({name: list(frame[name]) for name in frame}, schema=schema.cells_schema())
        self._cells.append(table)
        crops = schema.crops_schema(len(self.channels), self.size, self.dtype.itemsize)
        values = images.astype(self.dtype, copy=False)
        self._push(
            "crops",
            pa.table(
                [
                    table.column("cell"),
                    _binary(values, crops.field("image").type),
                    _binary(np.packbits(masks.reshape(n, -1), axis=1), crops.field("mask").type),
                    _binary(
                        np.packbits(foregrounds.reshape(n, -1), axis=1),
                        crops.field("foreground").type,
                    ),
                ],
                schema=crops,
            ),
        )
        if truth is not None:
            row, column = np.nonzero(truth)
            self._truth.append(
                pa.table(
                    {
                        "cell": row + self._count["cells"],
                        "localization": [self.localizations[c] for c in column],
                        "proportion": np.asarray(truth)[row, column],
                    },
                    schema=schema.truth_schema(),
                )
            )
        self._count["cells"] += n

    def add_windows(
        self,
        images: NDArray[Any],
        *,
        field: str,
        protein: str,
        localization: str | None,
        replicate: str | None = None,
        filled: bool = False,
    ) -> None:
        """Add windows without cells of one field.

        Parameters
        ----------
        images
            Shape (n, C, H, W).
        field, protein, localization, replicate
            Where they come from.
        filled
            True where cells were replaced by medium, because no free window was there.
        """
        n = len(images)
        if n == 0:
            return
        windows = schema.windows_schema(len(self.channels), self.size, self.dtype.itemsize)
        self._push(
            "windows",
            pa.table(
                [
                    pa.array(np.arange(n) + self._count["windows"]),
                    pa.array([field] * n, pa.string()),
                    pa.array([protein] * n, pa.string()),
                    pa.array([localization] * n, pa.string()),
                    pa.array([replicate] * n, pa.string()),
                    pa.array([filled] * n),
                    _binary(images.astype(self.dtype, copy=False), windows.field("image").type),
                ],
                schema=windows,
            ),
        )
        self._count["windows"] += n

    def reject(self, reason: str, where: str) -> None:
        """Count something that could not be taken, with its place; the first 20 are kept."""
        self._rejected[reason] += 1
        places = self._where.setdefault(reason, [])
        if len(places) < 20:
            places.append(where)

    @property
    def rejections(self) -> list[dict[str, Any]]:
        """Everything rejected so far: `reason`, `count`, `examples`."""
        return [
            {"reason": reason, "count": count, "examples": self._where[reason]}
            for reason, count in sorted(self._rejected.items())
        ]

    def _check_labels(self, frame: pd.DataFrame) -> None:
        known = set(self.localizations)
        for labels, one, protein in zip(
            frame["labels"], frame["localization"], frame["protein"], strict=True
        ):
            for label in {*(labels or ()), *([one] if one is not None else ())} - known:
                raise InputError(
                    f"Protein {protein}: unknown localization {label!r}.",
                    f"This store's are: {', '.join(self.localizations)}.",
                )

    def _push(self, kind: str, table: pa.Table) -> None:
        self._pending[kind].append(table)
        while sum(map(len, self._pending[kind])) >= SHARD_ROWS:
            self._flush(kind, SHARD_ROWS)

    def _flush(self, kind: str, rows: int) -> None:
        pending = pa.concat_tables(self._pending[kind])
        self._pending[kind] = [pending.slice(rows)] if len(pending) > rows else []
        number = sum(item["table"] == kind for item in self._files)
        self._write(f"{kind}-{number:05d}.parquet", kind, pending.slice(0, rows), CROP_ROW_GROUP)

    def _write(self, name: str, kind: str, table: pa.Table, row_group: int) -> None:
        path = self._folder / name
        write_table(path, table.combine_chunks(), row_group)
        self._files.append(
            {"table": kind, "file": name, "rows": len(table), "sha256": sha256(path)}
        )

    def _finish(self) -> None:
        if self._count["cells"] == 0:
            raise InputError(
                f"No cell could be taken for {self.path}"
                + (f": {_summary(self.rejections)}." if self._rejected else "."),
                "Check the source.",
            )
        for kind, tables in self._pending.items():
            if sum(map(len, tables)):
                self._flush(kind, SHARD_ROWS)
        cells = pa.concat_tables(self._cells)
        if self._train_share is not None:
            cells = _deal_fields(cells, self._train_share)
        self._write("cells.parquet", "cells", cells, 50_000)
        if self._truth:
            self._write("truth.parquet", "truth", pa.concat_tables(self._truth), 50_000)
        flags = cells.column("flags").to_numpy()
        content = {
            "channels": self.channels,
            "size": self.size,
            "dtype": self.dtype.name,
            "localizations": self.localizations,
            "source": self.source,
            "files": self._files,
        }
        write_json(
            self._folder / "store.json",
            {
                "schema_version": schema.SCHEMA_VERSION,
                "fingerprint": fingerprint(content),
                **content,
                "counts": {
                    **self._count,
                    "usable": int(((flags & int(schema.UNUSABLE)) == 0).sum()),
                    "flags": {
                        flag.name: int(((flags & int(flag)) != 0).sum())
                        for flag in schema.CELL_FLAGS
                    },
                },
                "rejections": self.rejections,
            },
        )
        try:
            if self.path.exists():
                shutil.rmtree(self.path)
            os.replace(self._folder, self.path)
        except OSError as error:
            raise disk_error(error, self.path) from error


def _binary(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """View rows of an array as fixed-size binary without copying per row."""
    contiguous = np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(contiguous)])


def _not_empty(path: Path) -> bool:
    return not path.is_dir() or any(path.iterdir())


def _summary(rejections: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{item['count']} × {item['reason']}" for item in rejections)


def _deal_fields(cells: pa.Table, share: float) -> pa.Table:
    """Deal every protein's fields out to the splits ``train`` and ``test``, by hash."""
    frame = cells.select(["protein", "field", "split"]).to_pandas()
    pairs = frame[["protein", "field"]].drop_duplicates().reset_index(drop=True)
    lot = [zlib.crc32(name.encode()) for name in pairs["field"]]
    pairs["lot"] = mix(601, np.asarray(lot))
    pairs = pairs.sort_values(["protein", "lot"])
    rank = pairs.groupby("protein").cumcount()
    many = pairs.groupby("protein")["field"].transform("size")
    pairs["split"] = np.where(rank < np.rint(share * many), "train", "test")
    dealt = frame[["protein", "field"]].merge(pairs, on=["protein", "field"], how="left")["split"]
    split = frame["split"].where(frame["split"].notna(), dealt)
    place = cells.schema.get_field_index("split")
    return cells.set_column(place, "split", pa.array(list(split), pa.string()))
