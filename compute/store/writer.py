"""Writes crop stores in flat memory; every source of crops goes through here. No torch.

A store appears whole, by one rename, or not at all. Until then its files are in a folder beside
it, where `cells`, `truth` and hashes are staged, in several files each. With a header, that folder
outlives an interruption: the next writer with the same header resumes after the last commit.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import __version__, schema
from compute.errors import ChangedError, InputError, UsageError, unknown_value
from compute.storage.atomic_files import (
    disk_error,
    fingerprint,
    sha256,
    write_stream,
    write_table,
)
from compute.storage.atomic_folders import already_there, remove_left, take_place
from compute.storage.locks import LOCK_FILE, lock
from compute.storage.paths import StorePaths
from compute.storage.run_directory import differences
from compute.storage.sealed_json import read_sealed, write_sealed
from compute.store.part import Part, Rejections, StoreFormat
from compute.store.reader import CROP_ROW_GROUP
from compute.store.splits import ONE_FIELD, draw_splits, fill_splits

FILE_ROWS, FILE_BYTES = 4096, 2**28
"""Crops per Parquet file: 4096 (about 70 MB of 2×64×64 16-bit pixels), fewer of large ones."""

STAGED_ROWS = 50_000
"""Rows of `cells` and `truth` per staged file, and per row group of the finished tables."""

_STATE = "state.json"


class CropStoreWriter:
    """Writes a crop store in flat memory; the folder appears when its ``with`` block ends well.

    Cells are numbered in the order in which they are added.

    Parameters
    ----------
    path
        Folder to make.
    channels, size, dtype, localizations
        What all crops have in common (`compute.store.part.StoreFormat`).
    source
        Where the crops come from: at least ``kind`` (text) and ``simulated`` (bool), and anything
        else that JSON can hold.
    train_share
        Share of every protein's fields that become split ``train``, between 0 and 1; the others
        become ``test``. Cells that were given a split keep it. One row per field is held in memory.
        None, the default, leaves the splits that were not given empty.
    one_field
        What is dealt instead of fields for proteins that have one field only: ``cells`` (a row per
        such cell is held in memory) or ``proteins``; None, the default, leaves all cells of such
        a protein in one split, and says so in the notes of `source`.
    overwrite
        Replace a store that is there already; by default it is refused.
    header
        All that the store depends on, as JSON can hold it. With it, what was committed before an
        interruption is resumed if its header was the same; None, the default, keeps nothing.
    fresh
        Delete what was begun, instead of resuming it; False by default.

    Attributes
    ----------
    format
        What all crops have in common.
    source
        As given; it may be changed until the block ends.
    progress
        What was given to the last commit before an interruption; empty in a new store.

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
        one_field: str | None = None,
        overwrite: bool = False,
        header: Mapping[str, Any] | None = None,
        fresh: bool = False,
    ) -> None:
        self.path = Path(path)
        if train_share is not None and not 0 < train_share < 1:
            raise UsageError(f"train_share is {train_share}; it must lie between 0 and 1.")
        if one_field is not None and one_field not in ONE_FIELD:
            raise unknown_value("choice for proteins with one field", one_field, ONE_FIELD)
        if one_field is not None and train_share is None:
            raise UsageError("A choice for proteins with one field needs a share.", "Give both.")
        self._train_share, self._one_field = train_share, one_field
        self.format = StoreFormat(tuple(channels), size, dtype, tuple(localizations))
        crop = len(channels) * size**2 * np.dtype(dtype).itemsize
        self._file_rows = max(1, min(FILE_ROWS, FILE_BYTES // crop))
        refuse_to_replace(self.path, overwrite)
        self._overwrite = overwrite
        self.source = dict(source)
        self.progress: dict[str, Any] = {}
        self._header = header and {
            "schema_version": schema.STORE_VERSION,
            "version": __version__,
            **header,
        }
        self._fresh = fresh
        self._rejections = Rejections()
        self._files: list[dict[str, Any]] = []
        self._staged: Counter[str] = Counter()
        self._count = {"cells": 0, "windows": 0}
        self._pending: dict[str, list[pa.Table]] = {}

    def __enter__(self) -> Self:
        """Make the folder beside the final one, or open the one that was begun.

        Raises
        ------
        BusyError
            Another process is writing the same store.
        ChangedError
            It was begun with another header; names what changed.
        """
        ending = f"{os.getpid()}.tmp" if self._header is None else "import"
        self._work = self.path.with_name(f".{self.path.name}.{ending}")
        self._folder = self._work / "store"
        remove_left(self.path, "store", self._work)
        with ExitStack() as held:
            held.enter_context(lock(self._work, "store"))
            if self._header is not None and not self._fresh and (self._work / _STATE).is_file():
                self._resume()
            self._clean()
            self._held = held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the store, or remove what was begun and cannot be resumed."""
        done = False
        with self._held:
            try:
                if kind is None:
                    self._finish()
                    done = True
            finally:
                if done or not (self._work / _STATE).is_file() or self._count["cells"] == 0:
                    shutil.rmtree(self._work, ignore_errors=True)

    def add(
        self,
        images: NDArray[Any],
        masks: NDArray[np.bool_],
        foregrounds: NDArray[np.bool_],
        cells: pd.DataFrame,
        truth: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """Add cells; parameters and errors are those of `compute.store.part.Part.add`."""
        part = Part(self.format)
        part.add(images, masks, foregrounds, cells, truth)
        self.append(part)

    def add_windows(self, images: NDArray[Any], **where: Any) -> None:
        """Add windows; parameters are those of `compute.store.part.Part.add_windows`."""
        part = Part(self.format)
        part.add_windows(images, **where)
        self.append(part)

    def reject(self, reason: str, where: str) -> None:
        """Count something that could not be taken; the first places of each reason are kept."""
        self._rejections.add(reason, where)

    def append(self, part: Part) -> None:
        """Add a part of the store; its cells and windows are renumbered to follow those before."""
        starts = {
            "cell": pa.scalar(self._count["cells"]),
            "window": pa.scalar(self._count["windows"]),
        }
        for kind, tables in part.tables.items():
            for table in tables:
                name = table.schema.names[0]
                if name in starts:
                    numbers = pc.add(table.column(0), starts[name])
                    table = table.set_column(0, table.schema.field(0), numbers)
                self._push(kind, table)
        for name, rows in part.rows.items():
            self._count[name] += rows
        self._rejections.extend(part.rejections.listed())

    @property
    def rejections(self) -> list[dict[str, Any]]:
        """Everything that was rejected so far, as `compute.store.part.Rejections.listed`."""
        return self._rejections.listed()

    def commit(self, progress: Mapping[str, Any]) -> None:
        """Write all that was added so far, so that it outlives any interruption.

        Parameters
        ----------
        progress
            How far the source has been read, and whatever else is needed to resume there.
        """
        self._flush_all()
        write_sealed(
            self._work / _STATE,
            {
                "schema_version": schema.STORE_VERSION,
                "header": self._header,
                "files": self._files,
                "pieces": self._staged,
                "count": self._count,
                "rejections": self.rejections,
                "progress": progress,
            },
        )

    def staged(self, kind: str) -> Iterator[pa.Table]:
        """Read what was written of ``cells``, ``truth`` or ``digests``, file by file."""
        for number in range(self._staged[kind]):
            yield pq.read_table(self._staged_file(kind, number))

    def _resume(self) -> None:
        """Read the state of the last commit."""
        state = read_sealed(self._work / _STATE, "begun store", schema.STORE_VERSION)
        changed = differences(state["header"], self._header)
        if changed:
            raise ChangedError(
                f"{self.path} was begun otherwise: {'; '.join(changed)}.",
                "Give the same source and options to go on, or --fresh to begin anew.",
            )
        files = [self._folder / item["file"] for item in state["files"]]
        staged = [self._staged_file(k, i) for k, n in state["pieces"].items() for i in range(n)]
        # A store that was finished took its files along: there is nothing to resume.
        if not all(file.is_file() for file in (*files, *staged)):
            return
        self._files, self._staged = state["files"], Counter(state["pieces"])
        self._count, self.progress = state["count"], state["progress"]
        self._rejections = Rejections(state["rejections"])

    def _clean(self) -> None:
        """Make the folders, and delete files that are part of no commit."""
        known = {self._folder / item["file"] for item in self._files}
        known |= {self._staged_file(kind, i) for kind, n in self._staged.items() for i in range(n)}
        if known:
            known.add(self._work / _STATE)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for file in (*self._folder.iterdir(), *self._work.iterdir()):
                if file.is_file() and file not in known and not file.name.startswith(LOCK_FILE):
                    file.unlink()
        except OSError as error:
            raise disk_error(error, self._work) from error

    def _push(self, kind: str, table: pa.Table) -> None:
        pending = self._pending.setdefault(kind, [])
        pending.append(table)
        rows = self._file_rows if kind in ("crops", "windows") else STAGED_ROWS
        while sum(map(len, self._pending[kind])) >= rows:
            self._flush(kind, rows)

    def _flush_all(self) -> None:
        for kind in self._pending:
            rows = sum(map(len, self._pending[kind]))
            if rows:
                self._flush(kind, rows)

    def _flush(self, kind: str, rows: int) -> None:
        """Write the first rows that wait: crops and windows for good; the others are staged."""
        pending = pa.concat_tables(self._pending[kind])
        self._pending[kind] = [pending.slice(rows)] if len(pending) > rows else []
        table = pending.slice(0, rows).combine_chunks()
        if kind in ("crops", "windows"):
            number = sum(item["table"] == kind for item in self._files)
            path = StorePaths(self._folder).shard(kind, number)
            write_table(path, table, CROP_ROW_GROUP)
            self._record(kind, path, rows)
            return
        write_table(self._staged_file(kind, self._staged[kind]), table)
        self._staged[kind] += 1

    def _staged_file(self, kind: str, number: int) -> Path:
        return StorePaths(self._work).shard(kind, number)

    def _record(self, kind: str, path: Path, rows: int) -> None:
        self._files.append({"table": kind, "file": path.name, "rows": rows, "sha256": sha256(path)})

    def _finish(self) -> None:
        if self._count["cells"] == 0:
            why = f": {self._rejections}." if self.rejections else "."
            raise InputError(f"No cell could be taken for {self.path}{why}", "Check the source.")
        self._flush_all()
        flags: Counter[str] = Counter()
        cells = StorePaths(self._folder).cells
        staged = self.staged("cells")
        if self._train_share is not None:
            drawn = draw_splits(self.staged("cells"), self._train_share, self._one_field)
            staged = fill_splits(staged, drawn)
            if drawn.note:
                self.source["notes"] = [*self.source.get("notes", []), drawn.note]
        write_stream(cells, _counted(staged, flags), schema.cells_schema(), STAGED_ROWS)
        self._record("cells", cells, self._count["cells"])
        if self._staged["truth"]:
            truth = StorePaths(self._folder).truth
            write_stream(truth, self.staged("truth"), schema.truth_schema(), STAGED_ROWS)
            self._record("truth", truth, pq.read_metadata(truth).num_rows)
        content = {
            "channels": list(self.format.channels),
            "size": self.format.size,
            "dtype": self.format.dtype,
            "localizations": list(self.format.localizations),
            "source": self.source,
            "files": self._files,
        }
        write_sealed(
            StorePaths(self._folder).header,
            {
                "schema_version": schema.STORE_VERSION,
                "fingerprint": fingerprint(content),
                **content,
                "counts": {
                    **self._count,
                    "usable": flags["usable"],
                    "flags": {flag.name: flags[str(flag.name)] for flag in schema.CELL_FLAGS},
                },
                "rejections": self.rejections,
            },
        )
        take_place(self._folder, self.path, lambda: refuse_to_replace(self.path, self._overwrite))


def refuse_to_replace(path: Path, overwrite: bool) -> None:
    """Refuse a path where something is that may not be replaced.

    Parameters
    ----------
    path
        Folder of a store to make.
    overwrite
        Whether a store that is there may be replaced.

    Raises
    ------
    UsageError
        A store is there that may not be replaced, or what is there is no store.
    """
    if path.exists() and not overwrite:
        raise already_there(path)
    if path.exists() and not StorePaths(path).header.is_file() and _not_empty(path):
        raise UsageError(
            f"{path} is not a crop store, so it is not replaced.", "Give another folder."
        )


def _not_empty(path: Path) -> bool:
    return not path.is_dir() or any(path.iterdir())


def _counted(tables: Iterator[pa.Table], flags: Counter[str]) -> Iterator[pa.Table]:
    """Pass on `cells`; count their flags, and as ``usable`` the cells that can be in trials."""
    for table in tables:
        given = table.column("flags").to_numpy()
        flags["usable"] += int(((given & int(schema.UNUSABLE)) == 0).sum())
        for flag in schema.CELL_FLAGS:
            flags[str(flag.name)] += int(((given & int(flag)) != 0).sum())
        yield table
