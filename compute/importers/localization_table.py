"""Reads tables of proteins' localizations, and of what class names stand for. No pixels.

A localization table is CSV (comma, semicolon or tab) or Parquet with the columns `protein` and
`localization`, and optionally `orf`. A protein at several places has several rows, or names
separated by ``;`` in one.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from compute.errors import InputError
from compute.importers.class_names import MEANINGS, ClassNames, folded, translate
from compute.importers.text_table import SEPARATOR, is_clean, printable, read_rows, short_list


@dataclass(frozen=True)
class LocalizationTable:
    """The localizations of proteins, as a table gives them; by default there are none.

    Parameters
    ----------
    labels
        Protein → every localization, each once, in the table's order.
    orf
        Protein → systematic name, where the table has one.
    outside
        Protein → names of places outside the 15, because of which it has no label.
    """

    labels: dict[str, list[str]] = field(default_factory=dict)
    orf: dict[str, str] = field(default_factory=dict)
    outside: dict[str, list[str]] = field(default_factory=dict)

    def notes(self, proteins: Iterable[str]) -> list[str]:
        """Return sentences, with counts, about what does not match a source's proteins."""
        there = set(proteins)
        outside = sorted(there & set(self.outside))
        unlabelled = sorted(there - set(self.labels) - set(outside))
        unknown = sorted({*self.labels, *self.outside} - there)
        several = sum(len(self.labels.get(protein, ())) > 1 for protein in there)
        notes = []
        if unlabelled:
            notes.append(
                f"{len(unlabelled)} of {len(there)} proteins have no localization: "
                f"{short_list([printable(name) for name in unlabelled])}."
            )
        if outside:
            names = sorted({name for protein in outside for name in self.outside[protein]})
            notes.append(
                f"{len(outside)} of {len(there)} proteins are left unlabelled for a place outside "
                f"the localizations ({short_list(names)}): {short_list(outside)}."
            )
        if several:
            notes.append(
                f"{several} of {len(there)} proteins are at several places, so they have labels "
                "but no single localization."
            )
        if unknown:
            notes.append(
                f"{len(unknown)} protein(s) of the localization table are not in the source: "
                f"{short_list(unknown)}."
            )
        return notes


def read_localizations(
    path: Path | str | None, names: ClassNames | None = None
) -> LocalizationTable:
    """Read and check a localization table.

    Parameters
    ----------
    path
        CSV or Parquet with `protein`, `localization` and optionally `orf`; None gives an empty
        table.
    names
        What class names stand for, to translate them to the 15; None, the default, leaves them as
        they are.

    Raises
    ------
    InputError
        The file or a column is missing, a row has no protein or is not UTF-8, or localizations are
        unknown: all of them are listed, with their rows, what is allowed, and the mapping table to
        edit.
    """
    if path is None:
        return LocalizationTable()
    path = Path(path)
    frame = read_rows(path, required=("protein", "localization"))
    labels: dict[str, list[str]] = {}
    orf: dict[str, str] = {}
    used: list[tuple[int, str]] = []
    orfs = frame["orf"] if "orf" in frame else [None] * len(frame)
    rows = zip(frame.index, frame["protein"], frame["localization"], orfs, strict=True)
    for row, protein, places, name in rows:
        if protein is None:
            raise InputError(f"{path}, row {row}: no protein name.", "Fill or remove the row.")
        if not all(is_clean(text or "") for text in (protein, places, name)):
            raise InputError(
                f"{path}, row {row}: {printable(protein)}, {printable(places)} is not UTF-8.",
                "Save the table as UTF-8.",
            )
        if name is not None:
            orf[protein] = name
        for place in split_labels(places):
            used.append((row, place))
            known = labels.setdefault(protein, [])
            if place not in known:
                known.append(place)
    if names is None:
        return LocalizationTable(labels, orf)
    known = [place for _, place in used if names.of(place) is not None]
    check_names(used, [*MEANINGS, *known], path, names.remedy())
    mapped: dict[str, list[str]] = {}
    outside: dict[str, list[str]] = {}
    for protein, own in labels.items():
        places, others = translate(own, names, str(path))
        if places is not None:
            mapped[protein] = places
        elif others:
            outside[protein] = others
    return LocalizationTable(mapped, orf, outside)


def read_class_names(path: Path | str | None) -> ClassNames:
    """Read a table of what class names stand for.

    Parameters
    ----------
    path
        CSV or Parquet with the columns `source` (a class name) and `localization` (one of
        `MEANINGS`); None gives the built-in names alone.

    Raises
    ------
    InputError
        The file or a column is missing, a row has an empty cell, a name has two meanings, or a
        localization is not allowed; names the rows.
    """
    if path is None:
        return ClassNames()
    path = Path(path)
    rows = read_rows(path, required=("source", "localization"))
    own: dict[str, str] = {}
    used: list[tuple[int, str]] = []
    for row, source, meaning in zip(rows.index, rows["source"], rows["localization"], strict=True):
        if source is None or meaning is None or not folded(source):
            raise InputError(f"{path}, row {row}: an empty cell.", "Fill or remove the row.")
        used.append((row, meaning))
        if own.setdefault(folded(source), meaning) != meaning:
            raise InputError(
                f"{path}, row {row}: {source!r} stands for {own[folded(source)]!r} already.",
                "Keep one of the rows.",
            )
    check_names(used, MEANINGS, path)
    return ClassNames(own, path)


def check_names(
    used: Iterable[tuple[int, str]],
    allowed: Collection[str],
    path: Path,
    remedy: str | None = None,
) -> None:
    """Refuse localizations that are not among the allowed ones.

    Parameters
    ----------
    used
        Row and name, for every use of a name.
    allowed
        The names that may occur.
    path
        The table, for the message.
    remedy
        What to do, for the message; None, the default, lists the allowed names.

    Raises
    ------
    InputError
        A name is not allowed; lists all such names with their first row and the nearest allowed
        name.
    """
    first: dict[str, int] = {}
    for row, name in used:
        if name not in allowed:
            first.setdefault(name, row)
    if first:
        unknown = []
        for name, row in first.items():
            near = _nearest(name, allowed)
            unknown.append(f"{name!r} (row {row}{f'; did you mean {near!r}?' if near else ''})")
        raise InputError(
            f"{path}: unknown localization(s) {short_list(unknown)}.",
            remedy or f"Allowed: {', '.join(allowed)}.",
        )


def split_labels(places: str | None) -> list[str]:
    """Split localizations at ``;``: trimmed, each once, none for an empty text or None."""
    labels = (label.strip() for label in (places or "").split(SEPARATOR))
    return list(dict.fromkeys(label for label in labels if label))


def _nearest(name: str, allowed: Collection[str]) -> str | None:
    lower = {other.casefold(): other for other in allowed}
    near = get_close_matches(name.casefold(), lower, n=1)
    return lower[near[0]] if near else None
