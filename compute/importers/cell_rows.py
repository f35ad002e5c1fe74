"""Makes rows about single cells of a field: their places or numbers, and what each shows.

Whatever the table that they are from, its rows of one field become one `CellRows`.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.errors import InputError
from compute.importers.columns import match_columns
from compute.importers.field_record import ATTRIBUTES, CellRows, FieldRecord, Texts
from compute.importers.field_table import plate_well
from compute.importers.text_table import read_rows
from compute.importers.wide_table import numbers
from compute.importers.wording import printable, short_list

X, Y, LABEL = "x", "y", "label"
"""Columns of a cell's centre, and of its number in the label image."""


SHARED = tuple(name for name in ATTRIBUTES if name != "localization")
"""What rows about some cells of a field say of the others too, where they all say it alike."""


def attribute_columns(
    columns: Sequence[str], protein: str | None, localization: str | None, what: object
) -> tuple[dict[str, str], list[str]]:
    """Find which columns of a program's table say what a field or cell shows.

    Parameters
    ----------
    columns
        The table's columns that may be meant: metadata, not measurements.
    protein, localization
        Columns that the reader names; None knows them by name (`compute.importers.columns`).
    what
        The table, for messages.

    Returns
    -------
    names, notes
        One of `ATTRIBUTES` → column, for those that are there; and sentences about columns that
        are called otherwise.

    Raises
    ------
    InputError
        A column that the reader names is not there.
    """
    asked = {"protein": protein, "localization": localization}
    given = {name: column for name, column in asked.items() if column is not None}
    for name, column in given.items():
        if column not in columns:
            option = "--protein-column" if name == "protein" else "--class-column"
            raise InputError(
                f"{printable(what)} has no column {column!r} ({option}); it has "
                f"{short_list([printable(one) for one in columns], 20)}.",
                "Name one of these.",
            )
    rest = [column for column in columns if column not in given.values()]
    known = [name for name in ATTRIBUTES if name not in given]
    found, said = match_columns(rest, known)
    names = {name: column for column, name in found.items()} | given
    notes = [note for note in said if "is taken as" in note]
    notes += [
        f"Column `{printable(column)}` is taken as `{name}`." for name, column in given.items()
    ]
    return names, notes


def cell_rows(
    frame: pd.DataFrame,
    names: Mapping[str, str],
    centres: NDArray[np.float64] | None,
    labels: NDArray[np.int64] | None,
    of_field: Collection[str] = ATTRIBUTES,
) -> tuple[CellRows, dict[str, str | None]]:
    """Make the rows of one field.

    Parameters
    ----------
    frame
        A row per cell, texts.
    names
        One of `ATTRIBUTES` → column of `frame`.
    centres, labels
        See `CellRows`.
    of_field
        What is said of the whole field where all rows say it alike; all of it by default. A class
        that a person gave to some cells is none of the others'.

    Returns
    -------
    rows, known
        The rows; and what is said of the field.
    """
    known: dict[str, str | None] = {}
    varying = {}
    for name, column in names.items():
        values = frame[column]
        if name in of_field and values.nunique(dropna=False) == 1:
            known[name] = values.iloc[0]
        else:
            varying[name] = column
    if not varying:
        return CellRows(centres, labels), known
    # An attribute that all cells share still holds for each of them.
    rows = list(zip(*(frame[column] for column in varying.values()), strict=True))
    different = list(dict.fromkeys(rows))
    place = {row: number for number, row in enumerate(different)}
    kinds: tuple[Texts, ...] = tuple(
        {**known, **dict(zip(varying, row, strict=True))} for row in different
    )
    kind = np.array([place[row] for row in rows], np.int32)
    return CellRows(centres, labels, kinds, kind), known


def attach_cells(
    fields: Sequence[FieldRecord],
    path: Path,
    protein: str | None,
    localization: str | None,
) -> tuple[list[FieldRecord], list[str]]:
    """Give fields the rows of a table of cells.

    Parameters
    ----------
    fields
        The fields.
    path
        CSV, Parquet or Excel with `field` (a field's name, one of its files, or its well), and `x`
        and `y`, or `label`; and what each cell shows.
    protein, localization
        See `attribute_columns`.

    Returns
    -------
    fields, notes
        The fields, those without a row as they are.

    Raises
    ------
    InputError
        The table is not as it should be, or not one row names a field.
    """
    notes: list[str] = []
    extra = [column for column in (protein, localization) if column is not None]
    frame = read_rows(path, ("field",), (X, Y, LABEL, *ATTRIBUTES, *extra), notes)
    columns = list(frame.columns)
    if not ({X, Y} <= set(columns) or LABEL in columns):
        raise InputError(
            f"{path}: neither `x` and `y` nor `label`; it has {short_list(columns, 20)}.",
            "Give the centre of every cell in pixels, or its number in the label image.",
        )
    left = [column for column in columns if column not in ("field", X, Y, LABEL)]
    names, said = attribute_columns(left, protein, localization, path)
    notes += [note for note in said if note not in notes]
    by_name: dict[str, int] = {}
    by_file: dict[str, set[int]] = {}
    wells: dict[tuple[int, int], list[int]] = {}
    for number, record in enumerate(fields):
        by_name.setdefault(record.name, number)
        for file in record.files():
            by_file.setdefault(file.name, set()).add(number)
            by_file.setdefault(file.stem, set()).add(number)
        well = plate_well(record.well, whole=True) if record.well else None
        if well is not None:
            wells.setdefault(well, []).append(number)
    by_name |= {
        name: min(of)
        for name, of in by_file.items()
        # Files of several fields may be called alike.
        if len(of) == 1 and name not in by_name
    }
    new = list(fields)
    unknown: list[str] = []
    called: dict[int, str] = {}
    for name, rows in frame.groupby("field", sort=False):
        found = by_name.get(str(name), by_name.get(Path(str(name)).name))
        if found is None:
            well = plate_well(str(name), whole=True)
            only = wells.get(well, []) if well is not None else []
            found = only[0] if len(only) == 1 else None
        if found is None:
            unknown.append(printable(name))
            continue
        if called.setdefault(found, str(name)) != str(name):
            raise InputError(
                f"{path}: {printable(called[found])} and {printable(name)} are the same field.",
                "Call it by one name in all rows.",
            )
        cells, known = table_rows(rows, names, path)
        record = new[found]
        new[found] = FieldRecord(
            record.name, record.images, record.labels, record.nuclei, cells,
            {**record.known, **known}, record.well, record.problem,
        )  # fmt: skip
    if len(unknown) == frame["field"].nunique():
        raise InputError(
            f"{path}: its rows name {short_list(unknown, 5)}, which are none of the fields "
            f"({short_list([printable(one.name) for one in fields], 5)}).",
            "Call fields as they are, or as one of their files.",
        )
    if unknown:
        notes.append(f"{path}: {len(unknown)} field(s) of it are not here: {short_list(unknown)}.")
    return new, notes


def table_rows(
    rows: pd.DataFrame, names: Mapping[str, str], path: Path
) -> tuple[CellRows, dict[str, str | None]]:
    """Make the rows of one field from a table with `x` and `y`, or `label`: see `cell_rows`.

    Raises
    ------
    InputError
        A place or label is no number, or is missing.
    """
    centres = labels = None
    if {X, Y} <= set(rows.columns):
        centres = np.stack([numbers(rows, X, path), numbers(rows, Y, path)], 1)
        _check_there(rows, centres.sum(1), path, "place")
    if LABEL in rows.columns:
        values = numbers(rows, LABEL, path)
        _check_there(rows, values, path, "label")
        labels = whole_numbers(values, f"{path}, {LABEL}")
    return cell_rows(rows, names, centres, labels, SHARED)


def whole_numbers(values: NDArray[np.float64], what: str) -> NDArray[np.int64]:
    """Return numbers of labels as whole numbers.

    Raises
    ------
    InputError
        Some are missing, not whole, or beyond what a label image holds.
    """
    good = np.isfinite(values) & (np.abs(values) < 2**53)
    good[good] = values[good] == np.floor(values[good])
    if not good.all():
        raise InputError(
            f"{what}: {values[~good][0]:g} is no number of a label.",
            "Labels are whole numbers, as in the label image.",
        )
    return values.astype(np.int64)


def _check_there(rows: pd.DataFrame, values: NDArray[np.float64], path: Path, what: str) -> None:
    missing = np.flatnonzero(~np.isfinite(values))
    if len(missing):
        raise InputError(
            f"{path}, row {rows.index[missing[0]]}: a cell without a {what}.",
            "Fill or remove the row.",
        )
