"""Finds which protein each whole field shows, from a table or the well's name. No pixels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compute.errors import InputError
from compute.importers.class_names import ClassNames, translate
from compute.importers.localization_table import LocalizationTable, split_labels
from compute.importers.text_table import is_clean, read_rows, short_list

_WELL = re.compile(r"(r\d+c\d+)(?!\d)", re.I)
"""Harmony's row and column at the beginning of a field's name."""


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
) -> tuple[dict[str, Strain], list[str]]:
    """Find each field's strain.

    Parameters
    ----------
    fields
        Names of the fields.
    table
        CSV or Parquet with `field` (or its well), `protein` and optionally `localization`, `orf`,
        `replicate`, `split`; None if there is none.
    protein
        The protein of fields that are not in the table; None calls them by their well, or by their
        own name.
    known
        Localizations of proteins, used where the table gives none.
    names
        What the table's class names stand for.

    Returns
    -------
    strains, notes
        A dictionary from field to strain; and what a person should know, in sentences.

    Raises
    ------
    InputError
        The table is not as it should be; names the row.
    """
    rows = _rows(table, names)
    strains, listed, unnamed = {}, set(), []
    for name in fields:
        match = _WELL.match(name)
        well = match[1] if match else None
        key = name if name in rows else well
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
    used = [strain for name, strain in strains.items() if is_clean(name)]
    notes = LocalizationTable(
        {**known.labels, **{s.protein: s.labels for s in used if s.labels}},
        outside={**known.outside, **{s.protein: s.outside for s in used if s.outside}},
    ).notes(s.protein for s in used)
    if unnamed:
        notes.append(
            f"{len(unnamed)} of {len(fields)} field(s) are called by their well or name, as no "
            "protein was given."
        )
    spare = sorted(set(rows) - listed)
    if spare:
        notes.append(f"{len(spare)} row(s) of the table name no field here: {short_list(spare)}.")
    return strains, notes


def _rows(table: Path | str | None, names: ClassNames) -> dict[str, Strain]:
    """Read the table of fields: strains by field or well."""
    if table is None:
        return {}
    rows: dict[str, Strain] = {}
    frame = read_rows(Path(table), required=("field", "protein"))
    for line, row in zip(frame.index, frame.to_dict("records"), strict=True):
        name, protein = row["field"], row["protein"]
        if name is None or protein is None:
            raise InputError(f"{table}, row {line}: no field or no protein.", "Fill the row.")
        if not all(is_clean(value or "") for value in row.values()):
            raise InputError(f"{table}, row {line} is not UTF-8.", "Save the table as UTF-8.")
        if name in rows:
            raise InputError(f"{table}, row {line}: {name} is there already.", "Keep one row.")
        places, outside = translate(
            split_labels(row.get("localization")), names, f"{table}, row {line}"
        )
        rest = (row.get(key) for key in ("orf", "replicate", "split"))
        rows[name] = Strain(protein, places, outside, *rest)
    return rows
