"""Reads tables of text that people make (CSV, Parquet, Excel), whole or row by row."""

import csv
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute.errors import InputError
from compute.importers.columns import match_columns, nearest
from compute.importers.excel import SUFFIXES, excel_rows
from compute.importers.wording import is_clean as is_clean
from compute.importers.wording import printable as printable
from compute.importers.wording import short_list as short_list
from compute.storage.atomic_files import disk_error

SEPARATOR = ";"
"""Between several values in one cell of a table."""

ROWS_AT_ONCE = 10_000
"""Rows that are read at a time."""

MOST_COLUMNS = 10_000
"""Columns of a table, at most; the widest that programs write for each cell have some thousands."""

BROKEN = (pa.ArrowException, OSError, ValueError, OverflowError)
"""What reading a damaged Parquet file raises: texts that are not UTF-8, dates that no one has."""

Row = tuple[str | None, ...]


@dataclass(frozen=True)
class Rows:
    """A table's rows, one by one.

    Parameters
    ----------
    columns
        Names of the columns, the documented ones where they are meant
        (`compute.importers.columns`).
    rows
        Rows with their numbers, as a person would count them.
    notes
        Sentences about columns that are called otherwise, or not used.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[int, Row]]
    notes: list[str]


def read_rows(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    said: list[str] | None = None,
) -> pd.DataFrame:
    """Read a table of text.

    Parameters
    ----------
    path
        ``.parquet``, a workbook of Excel (``.xlsx``), or anything else as CSV in UTF-8 (comma,
        semicolon or tab).
    required, optional
        Columns that must and that may be there.
    said
        Gets sentences about columns that are called otherwise, or not used; None drops them.

    Returns
    -------
    DataFrame
        The file's columns as trimmed `str`, None where empty. The index is the row as a person
        would count it: the line of a CSV file, the row of a sheet, the row from 1 of a Parquet
        file. Bytes that are not UTF-8 become surrogate escapes, which `is_clean` finds.

    Raises
    ------
    InputError
        There is no such file, it is no table, a line has more or fewer values than the header, a
        column is missing, or there are no rows.
    """
    table = stream_rows(path, required, optional)
    if said is not None:
        said += [f"{path}: {note}" for note in table.notes]
    numbers, values = [], []
    for number, row in table.rows:
        numbers.append(number)
        values.append(row)
    return pd.DataFrame(values, index=numbers, columns=list(table.columns), dtype=object)


def stream_rows(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    channels: Sequence[str] = (),
) -> Rows:
    """Read a table of text row by row.

    Parameters
    ----------
    path, required, optional
        See `read_rows`.
    channels
        Names of channels, whose columns may hold paths of images; none by default.

    Raises
    ------
    InputError
        See `read_rows`. What is wrong with a row is raised when it is reached, and a lack of rows
        at the end.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file.", "Check the path.")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        columns, rows = _parquet(path)
    elif suffix in SUFFIXES:
        columns, rows = _checked(path, *excel_rows(path, required), "row")
    else:
        columns, rows = _csv(path)
    names, notes = match_columns(columns, (*required, *optional), channels)
    missing = [name for name in required if name not in names.values()]
    if missing:
        raise InputError(
            f"{path}: missing column(s) {', '.join(missing)}; it has "
            f"{short_list([printable(c) for c in columns], 40) or 'none'}."
            f"{nearest(missing, columns)}",
            f"Needed: {', '.join(required)}.",
        )
    return Rows(tuple(names.get(name, name) for name in columns), _some(path, rows), notes)


class RowFile:
    """A table's rows in a temporary file that is mapped into memory, to be read in any order.

    Parameters
    ----------
    path, required, optional, channels
        See `stream_rows`.
    folder
        Where the temporary file lies. It has no name there and goes with the process, but on
        Windows, where a file that is mapped keeps its name, it stays as ``.rows.….tmp``.

    Attributes
    ----------
    columns, notes
        See `Rows`.

    Raises
    ------
    InputError
        See `read_rows`.
    DiskError
        The temporary file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        required: Sequence[str],
        folder: Path,
        optional: Sequence[str] = (),
        channels: Sequence[str] = (),
    ) -> None:
        table = stream_rows(path, required, optional, channels)
        self.columns, self.notes, rows = table.columns, table.notes, table.rows
        # Bytes, because text that is not UTF-8 must come out as it went in.
        names = [pa.field(printable(name), pa.binary()) for name in self.columns]
        layout = pa.schema([pa.field("", pa.int64()), *names])
        self._length = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder, prefix=".rows.", suffix=".tmp")
            os.close(handle)
            try:
                with pa.OSFile(name, "wb") as sink, pa.ipc.new_file(sink, layout) as writer:
                    while some := list(islice(rows, ROWS_AT_ONCE)):
                        self._length += len(some)
                        values = zip(*(row for _, row in some), strict=True)
                        coded = [[None if v is None else os.fsencode(v) for v in c] for c in values]
                        numbers = [number for number, _ in some]
                        writer.write_batch(pa.record_batch([numbers, *coded], schema=layout))
                self._batches = pa.ipc.open_file(pa.memory_map(name))
            finally:
                with suppress(PermissionError):
                    os.unlink(name)
        except OSError as error:
            raise disk_error(error, folder) from error

    def __len__(self) -> int:
        """Count the rows."""
        return self._length

    def rows(self, places: NDArray[np.int64] | None = None) -> Iterator[tuple[int, Row]]:
        """Yield rows with their numbers.

        Parameters
        ----------
        places
            Places of the rows, from 0, in the order wanted, shape (n,); None, the default, yields
            all.
        """
        if places is None:
            for number in range(self._batches.num_record_batches):
                yield from _decoded(self._batches.get_batch(number))
            return
        # Runs of rows from one batch, of which a table in good order has few.
        ends = np.flatnonzero(np.diff(places // ROWS_AT_ONCE)) + 1
        for run in np.split(places, ends) if len(places) else ():
            batch = self._batches.get_batch(int(run[0]) // ROWS_AT_ONCE)
            yield from _decoded(batch.take(pa.array(run % ROWS_AT_ONCE)))


def _decoded(batch: pa.RecordBatch) -> Iterator[tuple[int, Row]]:
    numbers, *columns = (column.to_pylist() for column in batch.columns)
    texts = ([None if v is None else os.fsdecode(v) for v in column] for column in columns)
    return zip(numbers, zip(*texts, strict=True), strict=True)


def _some(path: Path, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    there = False
    for row in rows:
        there = True
        yield row
    if not there:
        raise InputError(f"{path} has no rows.", "Check that it was written to its end.")


def _csv(path: Path) -> tuple[tuple[str, ...], Iterator[tuple[int, Row]]]:
    lines = _csv_lines(path)
    _, header = next(lines, (0, []))
    columns = [name.strip() for name in header]
    if not all(is_clean(name) for name in columns):
        # Also what a file that is no table at all looks like.
        raise InputError(f"{path}: its first line is not UTF-8.", "Give a CSV table in UTF-8.")
    trimmed = ((number, tuple(cell.strip() or None for cell in line)) for number, line in lines)
    return _checked(path, columns, trimmed, "line")


def _checked(
    path: Path, header: list[str], lines: Iterator[tuple[int, Row]], what: str
) -> tuple[tuple[str, ...], Iterator[tuple[int, Row]]]:
    """Return the columns, and the rows that are not empty; empty cells behind the last are cut."""
    columns = tuple(header)
    while columns and not columns[-1]:
        columns = columns[:-1]
    _refuse_wide(path, len(columns))
    repeated = {name for name, times in Counter(columns).items() if times > 1}
    if repeated:
        raise InputError(
            f"{path}: column(s) {', '.join(sorted(repeated))} twice.", "Rename or remove one."
        )

    def rows() -> Iterator[tuple[int, Row]]:
        for number, line in lines:
            if not any(line):
                continue
            if len(line) < len(columns) or any(line[len(columns) :]):
                raise InputError(
                    f"{path}, {what} {number}: {len(line)} values; the header has {len(columns)}.",
                    "Quote values that hold the separator.",
                )
            yield number, line[: len(columns)]

    return columns, rows()


def _refuse_wide(path: Path, count: int) -> None:
    """Refuse a table with more columns than anybody looks through."""
    if count > MOST_COLUMNS:
        raise InputError(
            f"{path} has {count:,} columns; at most {MOST_COLUMNS:,} are read.",
            "Leave the columns that are needed; a table that lies on its side has to be turned.",
        )


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and values of every line, the header's too."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as handle:
            head, before = handle.readline(), 0
            # Excel's first line that says which separator follows.
            said = re.fullmatch(r'"?sep=(.)"?\s*', head)
            if said is None:
                handle.seek(0)
            else:
                before = 1
            delimiter = said[1] if said else max(",;\t", key=head.count)
            reader = csv.reader(handle, delimiter=delimiter, strict=True)
            for line in reader:
                yield reader.line_num + before, line
    except (OSError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}.", "Check the file.") from error


def _parquet(path: Path) -> tuple[tuple[str, ...], Iterator[tuple[int, Row]]]:
    try:
        columns = tuple(pq.read_schema(path).names)
    except BROKEN as error:
        raise _not_parquet(path, error) from error
    _refuse_wide(path, len(columns))

    def rows() -> Iterator[tuple[int, Row]]:
        number = 0
        try:
            for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(ROWS_AT_ONCE):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield number, tuple(map(_text, row))
        except BROKEN as error:
            raise _not_parquet(path, error) from error

    return columns, rows()


def _not_parquet(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read as Parquet: {error}.", "Check the file.")


def _text(value: object) -> str | None:
    if isinstance(value, (list, tuple)):
        return SEPARATOR.join(map(str, value)) or None
    # A number that was null in pandas comes as NaN, the only value unlike itself.
    if value is None or value != value:
        return None
    return str(value).strip() or None
