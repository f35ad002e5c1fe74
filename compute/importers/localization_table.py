"""Reads tables of proteins' localizations, and of what class names stand for. No pixels.

A localization table is CSV (comma, semicolon or tab), Parquet or Excel with the columns `protein`
and `localization`, and optionally `orf`. A protein at several places has several rows, or names
separated by ``;`` in one (further separators by option). NA is no localization.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from compute.errors import InputError
from compute.importers.class_names import (
    BUILT_IN,
    KEEP,
    MEANINGS,
    ClassNames,
    class_set,
    folded,
    one_spelling,
    spelled,
    spelling_notes,
    translate,
)
from compute.importers.run_import import identity
from compute.importers.text_table import is_clean, printable, read_rows, short_list


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
    said
        Sentences about how the table was read.
    """

    labels: dict[str, list[str]] = field(default_factory=dict)
    orf: dict[str, str] = field(default_factory=dict)
    outside: dict[str, list[str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def respelled(self, spelling: Mapping[str, str]) -> "LocalizationTable":
        """Return the table with its classes in the spellings of `one_spelling`."""
        labels = {
            protein: list(dict.fromkeys(spelling.get(name, name) for name in names))
            for protein, names in self.labels.items()
        }
        return replace(self, labels=labels)

    def notes(self, proteins: Iterable[str]) -> list[str]:
        """Return sentences, with counts, about what does not match a source's proteins."""
        there = set(proteins)
        outside = sorted(there & set(self.outside))
        unlabelled = sorted(there - set(self.labels) - set(outside))
        unknown = sorted({*self.labels, *self.outside} - there)
        several = sum(len(self.labels.get(protein, ())) > 1 for protein in there)
        notes = list(self.said)
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
        What class names stand for; None, the default, leaves them as they are.

    Raises
    ------
    InputError
        The file or a column is missing, a row has no protein or is not UTF-8, or localizations are
        unknown: all of them are listed, with their rows, what is allowed, and the mapping table to
        edit.
    """
    if path is None:
        return LocalizationTable()
    path, names = Path(path), names or ClassNames(keep=True)
    said: list[str] = []
    frame = read_rows(path, ("protein", "localization"), ("orf",), said)
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
        for place in names.split(places):
            used.append((row, place))
            known = labels.setdefault(protein, [])
            if place not in known:
                known.append(place)
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
    return LocalizationTable(mapped, orf, outside, said)


def settle_spellings(
    counts: Mapping[str, int], known: ClassNames
) -> tuple[dict[str, str], list[str]]:
    """Choose one spelling of every class of a source, and say which became one.

    Parameters
    ----------
    counts
        Class names, with how often each occurs; those that are not UTF-8 are left out.
    known
        How the names were read.

    Returns
    -------
    spelling, notes
        See `one_spelling` and `spelling_notes`.
    """
    spelling = one_spelling({name: count for name, count in counts.items() if is_clean(name)})
    return spelling, spelling_notes(spelling, known)


def settle(
    table: LocalizationTable, known: ClassNames, proteins: Collection[str]
) -> tuple[LocalizationTable, tuple[str, ...]]:
    """Give the classes of a source's proteins one spelling each.

    Parameters
    ----------
    table
        As it was read.
    known
        How the names were read.
    proteins
        The source's proteins.

    Returns
    -------
    table, classes
        The table in those spellings, which says what became one; and the store's classes.
    """
    names = [names for protein, names in table.labels.items() if protein in proteins]
    spelling, notes = settle_spellings(Counter(chain(*names)), known)
    respelled = replace(table.respelled(spelling), said=table.said + notes)
    return respelled, class_set(spelling.values())


def read_class_names(
    path: Path | str | None, separators: str = "", *, keep: bool = False
) -> ClassNames:
    """Read a table of what class names stand for.

    Parameters
    ----------
    path
        CSV, Parquet or Excel with the columns `source` (a class name) and `localization` (one of
        `MEANINGS`, or a class of another set, which must also stand for itself in a row); ``keep``
        for names as they are; ``built-in`` or None for the built-in names alone.
    separators
        See `ClassNames`.
    keep
        Whether names that are not in the table stay as they are, and all do without a table; by
        default they must be built in.

    Raises
    ------
    InputError
        The file or a column is missing, a row has an empty cell, a name has two meanings, or a
        localization is not allowed; names the rows.
    """
    if path is None or str(path) in (KEEP, BUILT_IN):
        return ClassNames(keep=keep if path is None else str(path) == KEEP, separators=separators)
    path = Path(path)
    rows = read_rows(path, ("source", "localization"))
    own: dict[str, str] = {}
    used: list[tuple[int, str]] = []
    itself: list[str] = []
    for row, source, meaning in zip(rows.index, rows["source"], rows["localization"], strict=True):
        if source is None or meaning is None or not folded(source):
            raise InputError(f"{path}, row {row}: an empty cell.", "Fill or remove the row.")
        used.append((row, meaning))
        if spelled(source) == spelled(meaning):
            itself.append(meaning)
        if own.setdefault(folded(source), meaning) != meaning:
            raise InputError(
                f"{path}, row {row}: {source!r} stands for {own[folded(source)]!r} already.",
                "Keep one of the rows.",
            )
    allowed = [*MEANINGS, *itself]
    remedy = (
        f"Allowed: {', '.join(dict.fromkeys(allowed))}. A class of another set stands for itself "
        "in a row of its own, such as: Cilium,Cilium."
    )
    check_names(used, allowed, path, remedy)
    return ClassNames(own, path, keep, separators)


def names_identity(path: Path | str | None) -> str | None:
    """Return what was given as a table of class names, for `Listing.depends_on`."""
    return str(path) if str(path) in (KEEP, BUILT_IN) else identity(path)


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


def _nearest(name: str, allowed: Collection[str]) -> str | None:
    lower = {other.casefold(): other for other in allowed}
    near = get_close_matches(name.casefold(), lower, n=1)
    return lower[near[0]] if near else None
