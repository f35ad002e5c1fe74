"""What each source calls the 15 localizations: class names and their meanings. No files.

Names are compared without case, spaces, hyphens and punctuation, so `SPINDLEPOLE` and "spindle
pole" are the same. A name can also stand for a place outside the 15 (`OUTSIDE`: such cells are kept
without a label) or for something that is no cell (`NO_CELL`: kept, flagged, never in trials). Other
sets of classes than the 15 are kept as they are (`KEEP`), or come from a table.

Sources of the names
    Chong: the 19 classes of DeepLoc's data (Kraus and others, Molecular Systems Biology 13: 924,
    2017, doi:10.15252/msb.20177551; https://github.com/okraus/DeepLoc), which keep *spindle* and
    *spindle pole*, and *bud tip* and *bud neck*, apart: so do we. CycleNET: the 22 classes of its
    labelling tool (https://github.com/BooneAndrewsLab/CycleNET). Huh: the 23 categories of the
    yeast GFP collection (Huh and others, Nature 425: 686, 2003, doi:10.1038/nature02026), which
    TheCellVision shows for PIFiA's proteins. The rest are plurals and synonyms.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compute.errors import InputError, UsageError
from compute.importers.wording import printable
from compute.schema import LOCALIZATIONS, CellFlag

OUTSIDE = "unlabelled"
"""Stands, in a mapping table, for a known place that is not among the 15."""

NO_CELL = "not a cell"
"""Stands, in a mapping table, for dead cells, ghosts and debris."""

KEEP = "keep"
"""Given instead of a table: names stay as they are, but for case and spaces."""

BUILT_IN = "built-in"
"""Given instead of a table: the names below, and no others."""

MISSING = frozenset({"na", "n/a", "nan", "<na>", "null", "#n/a"})
"""What R, pandas and Excel write where there is no value, in lower case."""

SEPARATORS = ";|,"
"""What may stand between several classes in one cell of a table; ``;`` always does."""

MEANINGS = (*LOCALIZATIONS, OUTSIDE, NO_CELL)
"""What a name can stand for."""

NAMES: dict[str, tuple[str, ...]] = {
    "actin": ("actin", "actin patches", "actin cytoskeleton"),
    "bud neck": ("bud neck", "bud necks", "septin", "septin ring"),
    "cell periphery": ("cell periphery", "plasma membrane", "cell membrane"),
    "cytoplasm": ("cytoplasm", "cytosol", "cytoplasmic", "cytosolic"),
    "endosome": ("endosome", "endosomes", "endosomal"),
    "ER": ("ER", "endoplasmic reticulum"),
    "Golgi": ("Golgi", "Golgi apparatus", "early Golgi", "late Golgi", "trans-Golgi network"),
    "mitochondrion": ("mitochondrion", "mitochondria", "mitochondrial"),
    "nucleus": ("nucleus", "nuclei", "nuclear", "nucleoplasm"),
    "nuclear periphery": (
        "nuclear periphery", "nuclear envelope", "nuclear membrane", "nuclear rim", "nuclear pore",
    ),
    "nucleolus": ("nucleolus", "nucleoli", "nucleolar"),
    "spindle pole": ("spindle pole", "spindle poles", "spindle pole body", "SPB"),
    "peroxisome": ("peroxisome", "peroxisomes", "peroxisomal"),
    "vacuolar membrane": (
        "vacuolar membrane", "vacuole membrane", "vacuole periphery", "vacuolar periphery",
    ),
    "vacuole": ("vacuole", "vacuoles", "vacuolar", "vacuole lumen", "vacuolar lumen"),
    OUTSIDE: (
        "spindle", "microtubule", "microtubules",
        "bud tip", "bud", "bud site", "bud periphery",
        "punctate nuclear", "nuclear foci", "punctate", "punctate composite", "cytoplasmic foci",
        "eisosome", "eisosomes", "lipid particle", "lipid particles", "lipid droplet",
        "lipid droplets", "ER to Golgi",
        "ambiguous", "none", "unknown", "unlabelled", "unlabeled", "below threshold",
    ),
    NO_CELL: ("dead", "dead cell", "dead cells", "ghost", "ghosts", "ghost cell", "not a cell"),
}  # fmt: skip
"""Meaning → the names that stand for it. A name under two meanings is an error at import."""


def folded(name: str) -> str:
    """Return what is compared of a name: its letters and digits, in lower case."""
    return re.sub(r"[\W_]+", "", name).casefold()


def _by_name() -> dict[str, str]:
    meanings: dict[str, str] = {}
    for meaning, names in NAMES.items():
        for name in names:
            if meanings.setdefault(folded(name), meaning) != meaning:
                raise ValueError(f"{name!r} stands for {meanings[folded(name)]!r} and {meaning!r}")
    return meanings


_BUILT_IN = _by_name()


@dataclass(frozen=True)
class Meaning:
    """What a class name stands for.

    Parameters
    ----------
    localization
        One of the 15, or a class of another set; None for a place outside them and for what is no
        cell.
    flags
        `CellFlag.NOT_A_CELL` for what is no cell, else none.
    """

    localization: str | None
    flags: CellFlag = CellFlag.NONE


@dataclass(frozen=True)
class ClassNames:
    """The class names that are known: the built-in ones and those of a table.

    Parameters
    ----------
    own
        Names of the table, as `folded` returns them → what they stand for; none by default. They
        come before the built-in names.
    path
        The table's path; None, the default, if there is no table.
    keep
        Whether names that the table does not have stay as they are, so that none is unknown;
        otherwise, by default, they must be built in.
    separators
        Which of `SEPARATORS` stand between several classes in one cell, beside ``;``.
    """

    own: dict[str, str] = field(default_factory=dict)
    path: Path | None = None
    keep: bool = False
    separators: str = ""

    def __post_init__(self) -> None:
        """Check the separators."""
        if set(self.separators) - set(SEPARATORS):
            raise UsageError(
                f"Separators {self.separators!r} cannot be used.",
                f"Allowed: any of {' '.join(SEPARATORS)}.",
            )

    def split(self, text: str | None) -> list[str]:
        """Return the names in one cell of a table: trimmed, each once, without `MISSING` ones."""
        names = re.split(f"[{re.escape(';' + self.separators)}]", text or "")
        trimmed = (name.strip() for name in names)
        return list(dict.fromkeys(name for name in trimmed if name and not is_missing(name)))

    def of(self, name: str) -> Meaning | None:
        """Return what a name stands for, or None if it is not known.

        The table comes first, then the exact name of one of the 15, then the built-in names.
        """
        meaning = self.own.get(folded(name))
        if meaning is None and (self.keep or name in LOCALIZATIONS):
            return Meaning(name)
        meaning = meaning or _BUILT_IN.get(folded(name))
        if meaning is None:
            return None
        if meaning == NO_CELL:
            return Meaning(None, CellFlag.NOT_A_CELL)
        return Meaning(None if meaning == OUTSIDE else meaning)

    def check(self, names: Iterable[str], what: str) -> dict[str, Meaning]:
        """Return what every name stands for.

        Parameters
        ----------
        names
            A source's class names.
        what
            The file or table that they are from, for the message.

        Returns
        -------
        dict
            Name → meaning.

        Raises
        ------
        InputError
            A name is unknown; lists all such names, and the table to edit.
        """
        found = {name: self.of(name) for name in names}
        unknown = [repr(name) for name, meaning in found.items() if meaning is None]
        if unknown:
            raise InputError(f"{what}: unknown class name(s) {', '.join(unknown)}.", self.remedy())
        return {name: meaning for name, meaning in found.items() if meaning is not None}

    def remedy(self) -> str:
        """Return a sentence that says how to make a name known."""
        where = self.path or "a CSV with the columns source,localization (--class-names)"
        return (
            f"Allowed: {', '.join(MEANINGS)}. Say what other names stand for in {where}, where a "
            f"name that stands for itself is a class of its own; or take all names as they are "
            f"(--class-names {KEEP})."
        )


def is_missing(text: str) -> bool:
    """Return whether a text is what programs write where there is no value."""
    return text.casefold() in MISSING


_FORMS = {
    "cytoplasmic": "cytoplasm", "endosomal": "endosome", "endosomes": "endosome",
    "mitochondria": "mitochondrion", "mitochondrial": "mitochondrion", "nuclear": "nucleus",
    "nuclei": "nucleus", "nucleolar": "nucleolus", "nucleoli": "nucleolus",
    "peroxisomal": "peroxisome", "peroxisomes": "peroxisome", "vacuolar": "vacuole",
    "vacuoles": "vacuole",
}  # fmt: skip
"""Adjectives and plurals → the word that they are a form of."""


def spelled(name: str) -> str:
    """Return what is compared of a name that is kept: its word without case, spaces and forms."""
    composed = unicodedata.normalize("NFC", " ".join(name.split())).casefold()
    composed = unicodedata.normalize("NFC", composed)
    return _FORMS.get(composed, composed)


def one_spelling(names: Mapping[str, int]) -> dict[str, str]:
    """Choose one spelling of every class.

    Parameters
    ----------
    names
        Class names, with how often each occurs.

    Returns
    -------
    dict
        Name → the spelling to use: that of the 15 localizations if it is one of several spellings
        of one of them, else the most frequent, the first in the alphabet of equally frequent ones.
        A class with one spelling keeps it.

    Examples
    --------
    >>> from compute.importers.class_names import one_spelling
    >>> one_spelling({"Nucleus": 3, "NUCLEUS": 1, "Cilium": 2})
    {'Cilium': 'Cilium', 'NUCLEUS': 'nucleus', 'Nucleus': 'nucleus'}
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(spelled(name), []).append(name)
    usual = {spelled(name): name for name in LOCALIZATIONS}
    chosen = {}
    for key, group in groups.items():
        frequent = max(group, key=lambda name: names[name])
        spelling = usual.get(key, frequent) if len(group) > 1 else frequent
        chosen.update(dict.fromkeys(group, spelling))
    return chosen


def spelling_notes(chosen: Mapping[str, str], known: ClassNames) -> list[str]:
    """Return sentences about the spellings that became one, and names that may mean one place.

    Parameters
    ----------
    chosen
        From `one_spelling`.
    known
        How the names were read.
    """
    groups: dict[str, list[str]] = {}
    for name, spelling in chosen.items():
        groups.setdefault(spelling, []).append(name)
    notes = [
        f"{', '.join(map(printable, sorted(group)))} are one class: {printable(spelling)}."
        for spelling, group in sorted(groups.items())
        if len(group) > 1
    ]
    if known.keep:
        places: dict[str, list[str]] = {}
        for spelling in sorted(groups):
            place = _BUILT_IN.get(folded(spelling))
            if place in LOCALIZATIONS:
                places.setdefault(place, []).append(spelling)
        notes += [
            f"{', '.join(same)} may be one place, {place}, but are classes of their own: "
            f"--class-names {BUILT_IN} makes them one."
            for place, same in places.items()
            if len(same) > 1
        ]
    unsplit = [mark for mark in SEPARATORS if any(mark in name for name in groups)]
    if unsplit:
        marks = " ".join(unsplit)
        notes.append(
            f"Names of classes hold {marks}: if it stands between several classes, give "
            f"--separators '{''.join(unsplit)}'."
        )
    return notes


def class_set(names: Iterable[str]) -> tuple[str, ...]:
    """Return a store's classes: the 15 if they cover all that occur, else those, sorted."""
    found = set(names)
    return tuple(sorted(found)) if found - set(LOCALIZATIONS) else tuple(LOCALIZATIONS)


def translate(
    names: Collection[str], known: ClassNames, what: str
) -> tuple[list[str] | None, list[str]]:
    """Translate the class names of one protein to localizations.

    A protein that is also in a place outside the 15 gets no label at all, as it is purely in none
    of them.

    Parameters
    ----------
    names
        The protein's class names in the source.
    known
        What names stand for.
    what
        The file or table that they are from, for the message.

    Returns
    -------
    labels, outside
        Localizations, each once, or None if there are none; and the names outside the 15.

    Raises
    ------
    InputError
        See `ClassNames.check`.
    """
    meanings = known.check(names, what)
    outside = [name for name, meaning in meanings.items() if meaning.localization is None]
    places = [m.localization for m in meanings.values() if m.localization is not None]
    return (None if outside or not places else list(dict.fromkeys(places))), outside
