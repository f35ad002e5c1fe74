"""What each source calls the 15 localizations: class names and their meanings. No files.

Names are compared without case, spaces, hyphens and punctuation, so `SPINDLEPOLE` and "spindle
pole" are the same. A name can also stand for a place outside the 15 (`OUTSIDE`: such cells are kept
without a label) or for something that is no cell (`NO_CELL`: kept, flagged, never in trials).

Sources of the names
    Chong: the 19 classes of DeepLoc's data (Kraus and others, Molecular Systems Biology 13: 924,
    2017, doi:10.15252/msb.20177551; https://github.com/okraus/DeepLoc), which keep *spindle* and
    *spindle pole*, and *bud tip* and *bud neck*, apart: so do we. CycleNET: the 22 classes of its
    labelling tool (https://github.com/BooneAndrewsLab/CycleNET). Huh: the 23 categories of the
    yeast GFP collection (Huh and others, Nature 425: 686, 2003, doi:10.1038/nature02026), which
    TheCellVision shows for PIFiA's proteins. The rest are plurals and synonyms.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from compute.errors import InputError
from compute.schema import LOCALIZATIONS, CellFlag

OUTSIDE = "unlabelled"
"""Stands, in a mapping table, for a known place that is not among the 15."""

NO_CELL = "not a cell"
"""Stands, in a mapping table, for dead cells, ghosts and debris."""

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
        One of the 15; None for a place outside them and for what is no cell.
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
        Names of the table, as `folded` returns them → one of `MEANINGS`; none by default. They
        come before the built-in names.
    path
        The table's path; None, the default, if there is no table.
    """

    own: dict[str, str] = field(default_factory=dict)
    path: Path | None = None

    def of(self, name: str) -> Meaning | None:
        """Return what a name stands for, or None if it is not known.

        The table comes first, then the exact name of one of the 15, then the built-in names.
        """
        meaning = self.own.get(folded(name))
        if meaning is None:
            meaning = name if name in LOCALIZATIONS else _BUILT_IN.get(folded(name))
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
        return f"Allowed: {', '.join(MEANINGS)}. Say what other names stand for in {where}."


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
