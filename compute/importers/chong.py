"""Imports the labelled single cells of Chong and others as DeepLoc distributes them, in HDF5.

What is in it
    ``Chong_train_set.hdf5``, ``Chong_valid_set.hdf5`` and ``Chong_test_set.hdf5``: in each,
    ``data1`` (and ``data2``, …), N×8192 numbers: a cell's GFP crop, then its RFP crop (a marker in
    the cytosol), 64×64 each, row by row; ``Index1``, …, N×19, one-hot over the class names in
    ``Index1_columns`` (a data set or an attribute). Of the 19, 15 are those of
    `compute.schema.LOCALIZATIONS`; bud tip and spindle are kept without a label; *dead* and
    *ghost* are kept, flagged `NOT_A_CELL`, and left out of trials. There are no masks: cells are
    found in RFP.
What is not there
    Neither the protein nor the image of a cell (``Info1`` holds CellProfiler's measurements). But
    `same` backgrounds need another protein of the class, and intervals are over proteins. So each
    class of a file is divided, in the file's order, into a few parts (`PARTS`) that stand for
    proteins and for fields, called ``ACTIN 1``, …: what is said per protein is then per part.
Publication
    Chong and others, "Yeast proteome dynamics from single cell imaging and automated analysis",
    Cell 161: 1413, 2015, doi:10.1016/j.cell.2015.04.051; Kraus and others, "Automated analysis of
    high-content microscopy data with deep learning", Molecular Systems Biology 13: 924, 2017,
    doi:10.15252/msb.20177551.
Licence
    BSD-3-Clause (code); the data come without a statement.
Address
    https://github.com/okraus/DeepLoc
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import h5py
import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError, UsageError
from compute.importers.chunks import Chunk, ImportSpec
from compute.importers.class_names import ClassNames, Meaning, class_set
from compute.importers.config import PARTS
from compute.importers.hdf5 import BROKEN, own_dataset
from compute.importers.localization_table import names_identity, read_class_names
from compute.importers.part_builder import Crop, PartBuilder
from compute.importers.run_import import (
    CropOptions,
    ImportReport,
    Listing,
    chunk_size,
    refuse_early,
    run_import,
)
from compute.importers.text_table import printable
from compute.importers.tiff import CropRejected, check_crop
from compute.schema import CellFlag
from compute.storage.regular_files import refuse_special
from compute.store.part import StoreFormat

CHANNELS = ("GFP", "RFP")
MARKER = CHANNELS.index("RFP")

SIZE = 64
"""Side of a crop, pixels."""

SPLITS = {"train": "train", "valid": "validation", "test": "test"}
"""A word in a file's name → the split of its cells."""

ROWS_AT_ONCE = 256
"""Rows of a data set that are read at a time."""

_DATA = re.compile(r"data(\d+)")

_OUTSIDE = "outside: "
"""Begins the name of a count of cells whose class is none of the localizations."""


@dataclass(frozen=True)
class _DataSet:
    """A data set of one file with its classes; its rows are numbered in the file from `first`."""

    number: str
    rows: int
    first: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    """A file whose data sets have been checked."""

    path: Path
    split: str | None
    data_sets: tuple[_DataSet, ...]

    @property
    def rows(self) -> int:
        """Number of cells in the file."""
        return sum(data_set.rows for data_set in self.data_sets)


@dataclass(frozen=True)
class _Span:
    """Rows of one file that belong to the same part, `number`, of every class."""

    file: _File
    start: int
    stop: int
    number: int


@dataclass(frozen=True)
class _Reader:
    """Reads rows of the files; `meanings` has what each class name stands for."""

    meanings: dict[str, Meaning]

    def read(self, items: Sequence[_Span], builder: PartBuilder) -> None:
        """Add the cells that can be taken; count and reject the others."""
        counts = builder.part.counts
        for span in items:
            for where, pixels, classes in _rows(span):
                builder.part.found += 1
                try:
                    if len(classes) != 1:
                        raise CropRejected(f"{len(classes)} classes in the index; 1 expected")
                    meaning = self.meanings[classes[0]]
                    stand_in = f"{classes[0]} {span.number}"
                    crop = Crop(
                        _image(pixels),
                        stand_in,
                        stand_in,
                        labels=[meaning.localization] if meaning.localization else None,
                        split=span.file.split,
                        flags=int(meaning.flags),
                    )
                    builder.add(crop)
                except CropRejected as rejected:
                    builder.part.reject(rejected.reason, where)
                    continue
                if meaning.localization is None and not meaning.flags:
                    counts[f"{_OUTSIDE}{classes[0]}"] += 1
                counts["not a cell"] += bool(meaning.flags & CellFlag.NOT_A_CELL)


def import_chong(
    source: Path | str,
    out: Path | str,
    *,
    parts: int = PARTS,
    class_names: Path | str | None = None,
    **options: Unpack[CropOptions],
) -> ImportReport:
    """Write a crop store from DeepLoc's HDF5 files.

    Parameters
    ----------
    source
        One file, or a folder of them (``.h5``, ``.hdf5``). Cells of a file with *train*, *valid*
        or *test* in its name get the split ``train``, ``validation`` or ``test``.
    out
        Folder of the store to make.
    parts
        Parts of each class of a file that stand for proteins, 1 to 1000; 5 by default.
    class_names
        Table of what the class names stand for (`compute.importers.class_names`), before the
        built-in names.
    **options
        Those of every importer: `compute.importers.run_import.run_import`. Progress counts
        ``"cells"``.

    Returns
    -------
    ImportReport
        What was stored, what was rejected and why.

    Raises
    ------
    InputError
        There is no such file, it is not HDF5, it has no ``data`` or no ``Index``, their shapes are
        others, or a class name is unknown.
    UsageError
        `parts` is out of range.
    BystanderError
        See `compute.importers.run_import.run_import`.

    Examples
    --------
    >>> from compute import import_chong
    >>> report = import_chong("Chong_test_set.hdf5", "store")  # doctest: +SKIP
    >>> report.stored, report.rejected  # doctest: +SKIP
    (1200, 3)
    """
    source, out = Path(source), Path(out)
    refuse_early(out, options.get("overwrite", False))
    if not 1 <= parts <= 1000:
        raise UsageError(f"parts is {parts}; it must lie between 1 and 1000.")
    files = [_open(path) for path in _paths(source)]
    meanings = _meanings(files, read_class_names(class_names))
    classes = class_set(m.localization for m in meanings.values() if m.localization is not None)
    store_format = StoreFormat(CHANNELS, SIZE, "float32", classes)
    listing = Listing(
        lambda: _spans(files, parts, chunk_size(store_format)),
        "cells",
        sum(file.rows for file in files),
        {
            "source": printable(source.resolve()),
            "files": [_version(file.path) for file in files],
            "parts": parts,
            "class_names": names_identity(class_names),
        },
        [
            "The source names neither proteins nor images: each class of a file is dealt into "
            f"{parts} parts that stand for both, so what is said per protein is per part."
        ],
        _notes,
    )
    return run_import(
        out,
        ImportSpec("chong", store_format, _Reader(meanings), MARKER, interleaved=True),
        listing,
        **options,
    )


def _spans(files: Sequence[_File], parts: int, most: int) -> Iterator[Chunk]:
    """Yield a chunk per part, and several of at most `most` rows of a long one."""
    done = 0
    for order, file in enumerate(files):
        # The first row of each part: the least of which row * parts // rows is the part.
        ends = [-(-file.rows * part // parts) for part in range(parts + 1)]
        for part in range(parts):
            for start in range(ends[part], ends[part + 1], most):
                stop = min(start + most, ends[part + 1])
                done += stop - start
                yield Chunk([_Span(file, start, stop, order * parts + part + 1)], done)


def _version(path: Path) -> str:
    """Return what differs between versions of a file, without reading its gigabytes."""
    stat = path.stat()
    return f"{path.name}, {stat.st_size} bytes, {stat.st_mtime_ns}"


def _paths(source: Path) -> list[Path]:
    """List the files to read."""
    if source.is_dir():
        paths = sorted(p for p in source.iterdir() if p.suffix.lower() in (".h5", ".hdf5"))
        if not paths:
            raise InputError(f"{source}: no .h5 or .hdf5 file in it.", "Give a file.")
        return paths
    if not source.is_file():
        raise InputError(f"{source}: no such file.", "Check the path.")
    return [source]


def _open(path: Path) -> _File:
    """Check a file's data sets, without reading pixels."""
    refuse_special(path)
    try:
        with h5py.File(path, "r") as file:
            numbers = sorted(
                (match[1] for name in file if (match := _DATA.fullmatch(name))), key=int
            )
            if not numbers:
                raise InputError(
                    f"{path}: no data set called data1; it has {', '.join(file) or 'none'}.",
                    "Give one of DeepLoc's Chong files.",
                )
            data_sets: list[_DataSet] = []
            for number in numbers:
                rows, columns = _check(path, file, number)
                data_sets.append(_DataSet(number, rows, sum(b.rows for b in data_sets), columns))
    except BROKEN as error:
        raise InputError(f"{path} cannot be read as HDF5: {error}.", "Fetch it anew.") from error
    split = next((split for word, split in SPLITS.items() if word in path.stem.lower()), None)
    return _File(path, split, tuple(data_sets))


def _check(path: Path, file: h5py.File, number: str) -> tuple[int, tuple[str, ...]]:
    """Check one data set with its index; return its number of rows and its class names."""
    data, index = _dataset(path, file, f"data{number}"), _dataset(path, file, f"Index{number}")
    width = len(CHANNELS) * SIZE * SIZE
    if data.ndim != 2 or data.shape[1] != width or data.dtype.kind not in "uif":
        raise InputError(
            f"{path}: data{number} is {'×'.join(map(str, data.shape))} of {data.dtype}.",
            f"Expected rows of {width} numbers: {' and '.join(CHANNELS)}, {SIZE}×{SIZE} each.",
        )
    columns = _columns(path, file, index, number)
    if index.shape != (len(data), len(columns)) or index.dtype.kind not in "uifb":
        raise InputError(
            f"{path}: Index{number} is {'×'.join(map(str, index.shape))} of {index.dtype}.",
            f"Expected {len(data)} rows (as data{number}) of {len(columns)} classes.",
        )
    return len(data), columns


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    return own_dataset(
        path, file, name, "Every data<n> needs its Index<n>, one-hot over the classes."
    )


def _columns(path: Path, file: h5py.File, index: h5py.Dataset, number: str) -> tuple[str, ...]:
    """Read the class names, from a data set or an attribute."""
    name = f"Index{number}_columns"
    for other in (name, "Index1_columns"):
        if other in file:
            values: Any = _dataset(path, file, other)[()]
            break
        if other in file.attrs or other in index.attrs:
            values = file.attrs[other] if other in file.attrs else index.attrs[other]
            break
    else:
        raise InputError(f"{path}: no {name}.", "It must hold the names of the index's columns.")
    names = np.atleast_1d(np.asarray(values)).ravel().tolist()
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in names]
    if not all(isinstance(text, str) and text for text in texts) or len(set(texts)) < len(texts):
        raise InputError(f"{path}: {name} does not hold different names.", "Fetch it anew.")
    return tuple(texts)


def _meanings(files: list[_File], known: ClassNames) -> dict[str, Meaning]:
    """Return what every class name of every file stands for."""
    found: dict[str, Meaning] = {}
    for file in files:
        names = {name for data_set in file.data_sets for name in data_set.columns}
        found |= known.check(sorted(names), str(file.path))
    return found


def _rows(span: _Span) -> Iterator[tuple[str, NDArray[Any], list[str]]]:
    """Yield every cell of a span: its place in words, its pixels as a row, its classes."""
    name = span.file.path.name
    with h5py.File(span.file.path, "r") as opened:
        for data_set in span.file.data_sets:
            data, index = opened[f"data{data_set.number}"], opened[f"Index{data_set.number}"]
            first, last = (
                min(max(row - data_set.first, 0), data_set.rows) for row in (span.start, span.stop)
            )
            for start in range(first, last, ROWS_AT_ONCE):
                stop = min(start + ROWS_AT_ONCE, last)
                try:
                    pixels, chosen = data[start:stop], index[start:stop] > 0.5
                except BROKEN as error:
                    place = f"{name}, rows {start} on of data{data_set.number}"
                    raise InputError(f"{place}: {error}.", "Fetch the file anew.") from error
                for i, (values, hot) in enumerate(zip(pixels, chosen, strict=True)):
                    classes = [data_set.columns[c] for c in np.flatnonzero(hot)]
                    yield f"{name}, data{data_set.number} row {start + i}", values, classes


def _image(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return a row as checked pixels, float32, shape (2, 64, 64)."""
    with np.errstate(over="ignore"):
        image = values.reshape(len(CHANNELS), SIZE, SIZE).astype(np.float32)
    check_crop(image, SIZE)
    return image


def _notes(counts: Counter[str]) -> list[str]:
    notes = []
    if counts["not a cell"]:
        notes.append(
            f"{counts['not a cell']} crops are dead cells or ghosts: kept, but left out of trials."
        )
    outside = {
        key.removeprefix(_OUTSIDE): n for key, n in counts.items() if key.startswith(_OUTSIDE)
    }
    if outside:
        names = ", ".join(f"{count} {name}" for name, count in sorted(outside.items()))
        notes.append(f"Left without a label, as outside the localizations: {names}.")
    return notes
