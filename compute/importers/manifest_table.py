"""What a table of crops says before any image is read: proteins, fields, classes. No pixels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError
from compute.importers.class_names import OUTSIDE, ClassNames, is_missing
from compute.importers.first_crops import FIELDS_INSTEAD
from compute.importers.localization_table import LocalizationTable, check_names
from compute.importers.text_table import RowFile, printable, short_list

PATH = "path"
"""Column of images that hold every channel."""

Record = dict[str, str | None]
"""A row: column → text, None where empty."""

OPTIONAL = ("localization", "orf", "mask", "field", "replicate", "split")


@dataclass(frozen=True)
class Classes:
    """How a row's `localization` becomes labels: what names stand for, in one spelling each."""

    names: ClassNames
    known: LocalizationTable
    spelling: dict[str, str]

    def of(self, record: Record) -> tuple[list[str] | None, int]:
        """Return a row's labels, None where it has none, and its flags."""
        meanings = [self.names.of(name) for name in self.names.split(record.get("localization"))]
        flags = 0
        labels: list[str] = []
        for meaning in meanings:
            flags |= int(meaning.flags) if meaning is not None else 0
            if meaning is None or meaning.localization is None:
                continue
            labels.append(self.spelling.get(meaning.localization, meaning.localization))
        if len(labels) < len(meanings):
            # In a place outside the classes too, so purely in none of them.
            return None, flags
        return list(dict.fromkeys(labels)) or self.known.labels.get(record["protein"] or ""), flags


@dataclass(frozen=True)
class Scan:
    """What the whole table says, without its images.

    `own` has the class names that rows give their proteins, `unlabelled` the proteins of rows that
    give none, `names` how often every class occurs, `translated` the names that stand for each,
    `missing` the rows whose localization is written as missing. `shared` counts rows that name the
    image of another row but are of another cell, `distinct` the different rows. `order`, shape
    (N,), has the rows' places with those of a field together, in the order in which fields first
    occur.
    """

    proteins: set[str]
    unlabelled: set[str]
    own: dict[str, list[str]]
    names: Counter[str]
    translated: dict[str, set[str]]
    missing: int
    without_mask: int
    first_without: int
    shared: int
    distinct: int
    order: NDArray[np.int64]


def scan_rows(table: Path, rows: RowFile, names: ClassNames, columns: tuple[str, ...]) -> Scan:
    """Read all rows once; memory holds what is per protein and field, and numbers per row."""
    proteins: set[str] = set()
    unlabelled: set[str] = set()
    own: dict[str, list[str]] = {}
    classes: Counter[str] = Counter()
    fields: dict[str, int] = {}
    used: list[tuple[int, str]] = []
    translated: dict[str, set[str]] = {}
    rank = np.empty(len(rows), np.int64)
    hashes = np.empty((2, len(rows)), np.int64)
    missing = without = first = 0
    for place, (number, values) in enumerate(rows.rows()):
        record = record_of(rows, values)
        protein = str(record["protein"])
        proteins.add(protein)
        text = record.get("localization")
        missing += text is not None and is_missing(text)
        given = [(name, names.of(name)) for name in names.split(text)]
        used += [(number, name) for name, meaning in given if meaning is None]
        for name, meaning in given:
            if meaning is not None and name != meaning.localization:
                translated.setdefault(meaning.localization or OUTSIDE, set()).add(name)
        labels = [m.localization for _, m in given if m is not None and m.localization is not None]
        if labels and len(labels) == len(given):
            own[protein] = labels
            classes.update(labels)
        elif not given:
            unlabelled.add(protein)
        rank[place] = fields.setdefault(field_of(record), len(fields))
        hashes[:, place] = hash(tuple(record[name] for name in columns)), hash(values)
        if record.get("mask") is None:
            without, first = without + 1, first or number
    check_names(used, (), table, names.remedy())
    distinct, where = np.unique(hashes[1], return_index=True)
    shared = len(distinct) - len(np.unique(hashes[0][where]))
    order = np.argsort(rank, kind="stable")
    return Scan(
        proteins,
        unlabelled,
        own,
        classes,
        translated,
        missing,
        without,
        first,
        shared,
        len(distinct),
        order,
    )


def record_of(rows: RowFile, values: Sequence[str | None]) -> Record:
    """Return a row by column; what R writes for a missing value is none, but for a protein."""
    record = dict(zip(rows.columns, values, strict=True))
    for name in OPTIONAL[1:]:
        if (value := record.get(name)) is not None and is_missing(value):
            record[name] = None
    return record


def table_notes(rows: RowFile, scan: Scan, classes: Classes) -> list[str]:
    """Return what a person should know of the table, in sentences."""
    own = {
        protein: list(dict.fromkeys(classes.spelling.get(name, name) for name in labels))
        for protein, labels in scan.own.items()
    }
    known = classes.known
    notes = LocalizationTable({**known.labels, **own}, said=rows.notes + known.said).notes(
        scan.proteins
    )
    notes += [
        f"{short_list(sorted(map(printable, names)))}: read as {place}."
        for place, names in sorted(scan.translated.items())
    ]
    if scan.missing:
        notes.append(f"{scan.missing} row(s) have no localization: NA, or the like, is written.")
    if "field" not in rows.columns:
        notes.append("No column `field`: all crops of a protein count as one field.")
    return notes


def refuse_fields(table: Path, rows: RowFile, scan: Scan) -> None:
    """Refuse a table of cells in whole fields: most rows name an image that others name too."""
    if 2 * scan.shared < scan.distinct:
        return
    places = [name for name in rows.columns if name.casefold() in ("x", "y")]
    hint = f" Its columns {' and '.join(places)} say where cells lie." if places else ""
    raise InputError(
        f"{table}: {scan.distinct} rows name {scan.distinct - scan.shared} different image(s), so "
        f"these are whole fields, not crops of one cell.{hint}",
        f"`bystander import fields {table.name}` cuts a window around every place (with --marker, "
        "the channel that shows whole cells)."
        if places
        else FIELDS_INSTEAD,
    )


def field_of(record: Record) -> str:
    """Return the field of a crop: its protein, where the table does not say."""
    return record.get("field") or record["protein"] or ""
