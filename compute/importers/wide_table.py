"""Reads a few columns of tables that have thousands, as programs write them. No pixels.

Tables that people make are read by `compute.importers.text_table`, which knows columns by other
names; CellProfiler's have 2,000 columns of measurements and millions of rows.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute.errors import InputError
from compute.importers.wording import printable, short_list


def column_names(path: Path) -> list[str]:
    """Return the columns of a CSV or Parquet file.

    Raises
    ------
    InputError
        There is no such file, or it is no table.
    """
    return [name.strip() for name in _header(path)]


def read_columns(path: Path, wanted: Sequence[str]) -> pd.DataFrame:
    """Read some columns of a CSV or Parquet file.

    Parameters
    ----------
    path
        ``.parquet``, or a CSV with commas.
    wanted
        Columns that are there.

    Returns
    -------
    DataFrame
        Those columns as trimmed `str`, None where empty; the index is the row, from 1.

    Raises
    ------
    InputError
        It is no table.
    """
    wanted = list(dict.fromkeys(wanted))
    raw = {name.strip(): name for name in _header(path)}
    try:
        if path.suffix.lower() == ".parquet":
            frame = pq.read_table(path, columns=wanted).to_pandas(ignore_metadata=True)[wanted]
        else:
            # pandas takes lines that are too short or too long without a word.
            table = pa_csv.read_csv(
                path,
                parse_options=pa_csv.ParseOptions(newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    include_columns=[raw[name] for name in wanted],
                    default_column_type=pa.string(),
                ),
            )
            frame = table.rename_columns(wanted).to_pandas()
        # pandas decodes texts when they are looked at.
        texts = {name: as_texts(frame[name]) for name in wanted}
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        raise _broken(path, error) from error
    if len(frame) == 0:
        raise InputError(f"{printable(path)} has no rows.", "Check that it was written to its end.")
    return pd.DataFrame(texts)


def numbers(frame: pd.DataFrame, column: str, path: Path) -> NDArray[np.float64]:
    """Return a column of texts as numbers, NaN where empty, shape (n,).

    Raises
    ------
    InputError
        A text is no number; names the first, with its row.
    """
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(np.isnan(values) & frame[column].notna().to_numpy())
    for row in wrong:
        text = str(frame[column].iloc[row])
        if text.casefold() in ("nan", "na", ""):
            continue
        raise InputError(
            f"{printable(path)}, row {frame.index[int(row)]}: {column} is {printable(text)!r}, "
            "which is no number.",
            "Correct or remove the row.",
        )
    return values


def _header(path: Path) -> list[str]:
    """Return the columns of a table as they are called in it, with spaces around."""
    if not path.is_file():
        raise InputError(f"{printable(path)}: no such file.", "Check the path.")
    try:
        if path.suffix.lower() == ".parquet":
            names = list(pq.read_schema(path).names)
        else:
            with path.open(encoding="utf-8-sig", newline="") as handle:
                lines = csv.reader(handle, strict=True)
                names = next(lines, [])
                first = next(lines, None)
            if first and len(first) != len(names):
                # One value more is taken for a row's name, and all columns would be shifted.
                raise InputError(
                    f"{printable(path)}, line 2: {len(first)} values; the header has {len(names)}.",
                    "Write the table with a name for every column.",
                )
    except (pa.ArrowException, OSError, csv.Error, UnicodeDecodeError) as error:
        raise _broken(path, error) from error
    repeated = sorted(
        name
        for name, times in Counter(name.strip() for name in names).items()
        if times > 1 and name
    )
    if repeated:
        shown = short_list([printable(name) for name in repeated], 5)
        raise InputError(
            f"{printable(path)}: column(s) {shown} twice.",
            "Rename or remove one.",
        )
    return names


def as_texts(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column as trimmed texts numbered from 1, None where empty.

    Whole numbers have no point, also where missing ones have made floats of them.
    """
    if pd.api.types.is_float_dtype(values.dtype):
        whole = values.dropna()
        if bool(((whole == np.floor(whole)) & (whole.abs() < 2**53)).all()):
            values = values.astype("Int64")
    texts = values.astype(object).where(values.notna(), None)
    made = [None if value is None else str(value).strip() or None for value in texts]
    return pd.Series(made, index=range(1, len(made) + 1), dtype=object)


def _broken(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{printable(path)} cannot be read as a table: {' '.join(str(error).split())[:300]}.",
        "Give CSV in UTF-8, or Parquet.",
    )
