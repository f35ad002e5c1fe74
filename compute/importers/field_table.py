"""Finds which protein each whole field shows, from a table or the well's name. No pixels."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from compute.errors import InputError
from compute.importers.class_names import ClassNames, class_set, is_missing, translate
from compute.importers.localization_table import LocalizationTable, settle_spellings
from compute.importers.text_table import is_clean, read_rows, short_list

_OPTIONAL = ("orf", "replicate", "split")

_WELL = re.compile(r"(r\d+c\d+)(?!\d)", re.I)
"""Harmony's row and column at the beginning of a field's name."""

_PLATE_WELL = re.compile(r"r(\d+)c(\d+)(?!\d)|([A-Z]{1,2})(\d{1,3})(?![0-9A-Z])", re.I)
"""A well as r01c01, or as A01 or a1, at the beginning of a name."""


@dataclass(frozen=True)
class Strain:
    """The strain whose cells a field shows.

    Parameters
    ----------
    protein, orf, replicate, split
        As in the `cells` table; all but `protein` are None by default.
    labels
        Every localization of the protein; None if it is not labelled.
    outside
        Names of places outside the 15, because of which it is not labelled.
    """

    protein: str
    labels: list[str] | None = None
    outside: list[str] = field(default_factory=list)
    orf: str | None = None
    replicate: str | None = None
    split: str | None = None


def read_strains(
    fields: Sequence[str],
    table: Path | str | None,
    protein: str | None,
    known: LocalizationTable,
    names: ClassNames,
) -> tuple[dict[str, Strain], list[str], tuple[str, ...]]:
    """Find each field's strain.

    Parameters
    ----------
    fields
        Names of the fields.
    table
        CSV, Parquet or Excel with `field` (or its well: r01c01, A01 or a1), `protein` and
        optionally `localization`, `orf`, `replicate`, `split`; None if there is none.
    protein
        The protein of fields that are not in the table; None calls them by their well, or by their
        own name.
    known
        Localizations of proteins, used where the table gives none.
    names
        What the table's class names stand for.

    Returns
    -------
    strains, notes, classes
        A dictionary from field to strain; what a person should know, in sentences; and the store's
        classes.

    Raises
    ------
    InputError
        The table is not as it should be; names the row.
    """
    said: list[str] = []
    rows = _rows(table, names, said)
    wells = _wells(table, rows)
    composed = {unicodedata.normalize("NFC", name): name for name in rows}
    strains, listed, unnamed = {}, set(), []
    for name in fields:
        match = _WELL.match(name)
        well = match[1] if match else None
        same = composed.get(unicodedata.normalize("NFC", name))
        place = plate_well(name)
        key = name if name in rows else same or (wells.get(place) if place else None)
        own = rows.get(key or "")
        if own is not None:
            listed.add(key)
        elif protein is None:
            unnamed.append(name)
        strain = own or Strain(protein or well or name)
        if strain.labels is None and not strain.outside:
            strain = Strain(
                strain.protein,
                known.labels.get(strain.protein),
                known.outside.get(strain.protein, []),
                strain.orf or known.orf.get(strain.protein),
                strain.replicate,
                strain.split,
            )
        strains[name] = strain
    counts = Counter(name for strain in strains.values() for name in strain.labels or ())
    spelling, spelled = settle_spellings(counts, names)
    for name, strain in strains.items():
        if strain.labels is not None:
            labels = list(dict.fromkeys(spelling.get(label, label) for label in strain.labels))
            strains[name] = replace(strain, labels=labels)
    used = [strain for name, strain in strains.items() if is_clean(name)]
    notes = said + LocalizationTable(
        {**known.labels, **{s.protein: s.labels for s in used if s.labels}},
        outside={**known.outside, **{s.protein: s.outside for s in used if s.outside}},
        said=known.said,
    ).notes(s.protein for s in used)
    notes += spelled
    if unnamed:
        notes.append(
            f"{len(unnamed)} of {len(fields)} field(s) are called by their well or name, as no "
            "protein was given."
        )
    spare = sorted(set(rows) - listed)
    if spare:
        notes.append(f"{len(spare)} row(s) of the table name no field here: {short_list(spare)}.")
    return strains, notes, class_set(spelling.values())


def plate_well(name: str, *, whole: bool = False) -> tuple[int, int] | None:
    """Return the row and column of the well at the beginning of a name, both from 1.

    Parameters
    ----------
    name
        Such as ``r01c02f03p01``, ``B02_site1`` or ``b2``.
    whole
        Whether the name must hold nothing else; by default it may.

    Examples
    --------
    >>> from compute.importers.field_table import plate_well
    >>> plate_well("B02_site1"), plate_well("b2"), plate_well("r02c02f01"), plate_well("NOP56x")
    ((2, 2), (2, 2), (2, 2), None)
    """
    match = _PLATE_WELL.fullmatch(name) if whole else _PLATE_WELL.match(name)
    if match is None:
        return None
    row, column, letters, number = match.groups()
    if letters is None:
        return int(row), int(column)
    place = 0
    for letter in letters.upper():
        place = 26 * place + ord(letter) - ord("A") + 1
    return place, int(number)


def _wells(table: Path | str | None, names: Iterable[str]) -> dict[tuple[int, int], str]:
    """Return the wells that rows of the table name, with the names."""
    wells: dict[tuple[int, int], str] = {}
    for name in names:
        place = plate_well(name, whole=True)
        if place is not None and wells.setdefault(place, name) != name:
            raise InputError(
                f"{table}: {wells[place]} and {name} are the same well.", "Keep one of the rows."
            )
    return wells


def _rows(table: Path | str | None, names: ClassNames, said: list[str]) -> dict[str, Strain]:
    """Read the table of fields: strains by field or well."""
    if table is None:
        return {}
    rows: dict[str, Strain] = {}
    optional = ("localization", *_OPTIONAL)
    frame = read_rows(Path(table), ("field", "protein"), optional, said)
    for line, row in zip(frame.index, frame.to_dict("records"), strict=True):
        name, protein = row["field"], row["protein"]
        if name is None or protein is None:
            raise InputError(f"{table}, row {line}: no field or no protein.", "Fill the row.")
        if not all(is_clean(value or "") for value in row.values()):
            raise InputError(f"{table}, row {line} is not UTF-8.", "Save the table as UTF-8.")
        if name in rows:
            raise InputError(f"{table}, row {line}: {name} is there already.", "Keep one row.")
        places, outside = translate(
            names.split(row.get("localization")), names, f"{table}, row {line}"
        )
        rest = (None if is_missing(row.get(key) or "") else row.get(key) for key in _OPTIONAL)
        rows[name] = Strain(protein, places, outside, *rest)
    return rows
