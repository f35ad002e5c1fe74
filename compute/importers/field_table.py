"""Finds which protein each whole field shows, from a table or the well's name. No pixels."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from compute.errors import InputError
from compute.importers.class_names import ClassNames, class_set, is_missing, translate
from compute.importers.field_record import FieldRecord, Texts
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


@dataclass(frozen=True)
class Strains:
    """What every field, and every kind of cell in it, shows.

    Parameters
    ----------
    of_field
        Name of a field → its strain.
    of_cells
        Name of a field → the strains of its `CellRows.kinds`; fields without any are left out.
    notes
        What a person should know, in sentences.
    classes
        The store's classes.
    """

    of_field: dict[str, Strain]
    of_cells: dict[str, tuple[Strain, ...]]
    notes: list[str]
    classes: tuple[str, ...]


def read_strains(
    fields: Sequence[FieldRecord],
    table: Path | str | None,
    protein: str | None,
    known: LocalizationTable,
    names: ClassNames,
) -> Strains:
    """Find each field's strain: from the table, else from what the source says of it.

    Parameters
    ----------
    fields
        The fields.
    table
        CSV, Parquet or Excel with `field` (or its well: r01c01, A01 or a1) and optionally
        `protein`, `localization`, `orf`, `replicate`, `split`; None if there is none.
    protein
        The protein of fields that are not in the table, and of which the source names none; None
        calls them by their well, or by their own name.
    known
        Localizations of proteins, used where neither gives one.
    names
        What class names stand for.

    Returns
    -------
    Strains
        Of all of them.

    Raises
    ------
    InputError
        The table is not as it should be; names the row.
    """
    said: list[str] = []
    rows = _rows(table, names, said)
    wells = _wells(table, rows)
    composed = {unicodedata.normalize("NFC", name): name for name in rows}
    strains: dict[str, Strain] = {}
    cells: dict[str, tuple[Strain, ...]] = {}
    listed: set[str] = set()
    unnamed: list[str] = []
    by_cells: set[str] = set()
    for record in fields:
        name = record.name
        match = _WELL.match(name)
        well = record.well or (match[1] if match else None)
        same = composed.get(unicodedata.normalize("NFC", name))
        place = plate_well(record.well or name)
        key = name if name in rows else same or (wells.get(place) if place else None)
        said_of_it = _strain(record.known, record.known.get("protein"), names, f"field {name}")
        own = rows.get(key or "")
        if own is not None:
            listed.add(key or "")
            strain = _filled(own, said_of_it)
        else:
            strain = said_of_it
        if not strain.protein:
            strain = replace(strain, protein=protein or well or name)
            kinds = record.cells.kinds if record.cells is not None else ()
            if kinds and all(kind.get("protein") for kind in kinds):
                by_cells.add(name)
            elif protein is None:
                unnamed.append(name)
        strains[name] = _looked_up(strain, known)
        if record.cells is not None and record.cells.kinds:
            cells[name] = tuple(
                _looked_up(_cell_strain(kind, strains[name], names, name), known)
                for kind in record.cells.kinds
            )
    every = [*strains.values(), *(one for kinds in cells.values() for one in kinds)]
    counts = Counter(name for strain in every for name in strain.labels or ())
    spelling, spelled = settle_spellings(counts, names)
    strains = {name: _spelled(strain, spelling) for name, strain in strains.items()}
    cells = {n: tuple(_spelled(one, spelling) for one in kinds) for n, kinds in cells.items()}
    used = [strain for n, strain in strains.items() if is_clean(n) and n not in by_cells]
    used += [one for name, kinds in cells.items() if is_clean(name) for one in kinds]
    notes = said + LocalizationTable(
        {**known.labels, **{s.protein: s.labels for s in used if s.labels}},
        outside={**known.outside, **{s.protein: s.outside for s in used if s.outside}},
        said=known.said,
    ).notes(s.protein for s in used)
    notes += spelled
    if unnamed:
        notes.append(
            f"{len(unnamed)} of {len(fields)} field(s) have no protein: their well or name stands "
            "for it (--table or --cells names proteins)."
        )
    spare = sorted(set(rows) - listed)
    if spare:
        notes.append(f"{len(spare)} row(s) of the table name no field here: {short_list(spare)}.")
    return Strains(strains, cells, notes, class_set(spelling.values()))


def _strain(row: Texts, protein: str | None, names: ClassNames, what: str) -> Strain:
    """Return what a row says; without a protein it is called by the empty text."""
    if not all(is_clean(value or "") for value in row.values()):
        return Strain(protein or "")
    places, outside = translate(names.split(row.get("localization")), names, what)
    rest = (None if is_missing(row.get(key) or "") else row.get(key) for key in _OPTIONAL)
    return Strain(protein or "", places, outside, *rest)


def _cell_strain(kind: Texts, of_field: Strain, names: ClassNames, field: str) -> Strain:
    """Return what a row about a cell says; what it has no column for is its field's."""
    own = _strain(kind, kind.get("protein") or of_field.protein, names, f"a cell of {field}")
    if "localization" not in kind and own.protein == of_field.protein:
        own = replace(own, labels=of_field.labels, outside=of_field.outside)
    return _filled(own, of_field, labels=False)


def _filled(strain: Strain, other: Strain, *, labels: bool = True) -> Strain:
    """Return a strain with what it lacks from another one."""
    given = strain.labels is not None or bool(strain.outside) or not labels
    same = labels and (not strain.protein or other.protein in ("", strain.protein))
    return replace(
        strain,
        protein=strain.protein or other.protein,
        labels=strain.labels if given or not same else other.labels,
        outside=strain.outside if given or not same else other.outside,
        orf=strain.orf or (other.orf if same or not labels else None),
        replicate=strain.replicate or other.replicate,
        split=strain.split or other.split,
    )


def _looked_up(strain: Strain, known: LocalizationTable) -> Strain:
    """Return a strain with the localization that is known of its protein, if it has none."""
    if strain.labels is not None or strain.outside:
        return strain
    return replace(
        strain,
        labels=known.labels.get(strain.protein),
        outside=known.outside.get(strain.protein, []),
        orf=strain.orf or known.orf.get(strain.protein),
    )


def _spelled(strain: Strain, spelling: Mapping[str, str]) -> Strain:
    if strain.labels is None:
        return strain
    labels = list(dict.fromkeys(spelling.get(label, label) for label in strain.labels))
    return replace(strain, labels=labels)


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
    optional = ("protein", "localization", *_OPTIONAL)
    frame = read_rows(Path(table), ("field",), optional, said)
    for line, row in zip(frame.index, frame.to_dict("records"), strict=True):
        name, texts = row["field"], {str(key): value for key, value in row.items()}
        if name is None:
            raise InputError(f"{table}, row {line}: no field.", "Fill the row.")
        if not all(is_clean(value or "") for value in row.values()):
            raise InputError(f"{table}, row {line} is not UTF-8.", "Save the table as UTF-8.")
        if name in rows:
            raise InputError(f"{table}, row {line}: {name} is there already.", "Keep one row.")
        rows[name] = _strain(texts, row.get("protein"), names, f"{table}, row {line}")
    return rows
