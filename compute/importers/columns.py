"""Knows the columns of tables that people make, by any case and by common other names. No files.

A column that is called as documented is taken without a word. Every other that is taken, and every
one that is not used, is said.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from compute.importers.class_names import folded
from compute.importers.wording import printable, short_list

PREFIXES = ("imagemetadata", "metadata")
"""What CytoTable, pycytominer and CellProfiler put before the names of columns that are no
measurements."""

SYNONYMS: dict[str, tuple[str, ...]] = {
    "protein": ("protein name", "gene", "gene name", "gene symbol", "symbol", "target"),
    "localization": (
        "localisation", "localizations", "localisations", "label", "class", "class name",
        "compartment", "location", "subcellular location", "subcellular localization",
    ),
    "orf": ("systematic name", "locus tag"),
    "mask": ("masks", "mask path", "mask file", "path mask", "file mask", "segmentation"),
    "field": ("field of view", "fov", "field id", "image id", "well", "id"),
    "replicate": ("rep", "batch"),
    "split": ("set", "subset"),
    "x": ("center x", "centre x", "centroid x", "x center", "x centre", "x loc", "pos x"),
    "y": ("center y", "centre y", "centroid y", "y center", "y centre", "y loc", "pos y"),
    "path": ("paths", "file", "file name", "file path", "image", "image path", "image file"),
}  # fmt: skip
"""Column → other names that are taken for it, the likeliest first. All are compared `folded`."""

_FILES = ("{} path", "path {}", "{} file", "file {}", "{} file name", "file name {}", "{} image")
"""How columns of a channel's images are called, beside the channel's name."""


def match_columns(
    columns: Sequence[str], known: Sequence[str], channels: Sequence[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """Find which columns of a table are meant by the documented names.

    Parameters
    ----------
    columns
        The table's columns.
    known
        Documented names that the table may have.
    channels
        Names of channels, whose columns hold paths of images; none by default.

    Returns
    -------
    names, notes
        Column of the table → documented name, for every column that is used; and sentences about
        those that are called otherwise or not used.
    """
    names = {column: column for column in columns if column in (*known, *channels)}
    notes = []
    for wanted in (*known, *channels):
        if wanted in names.values():
            continue
        spellings = _spellings(wanted, wanted in channels)
        free = [column for column in columns if column not in names]
        for spelling in spellings:
            fitting = [column for column in free if _plain(column) == spelling]
            if fitting:
                names[fitting[0]] = wanted
                notes.append(f"Column `{printable(fitting[0])}` is taken as `{wanted}`.")
                break
    unused = [_with_nearest(column, known, names) for column in columns if column not in names]
    if unused:
        notes.append(f"{len(unused)} column(s) are not used: {short_list(unused)}.")
    return names, notes


def nearest(missing: Sequence[str], columns: Sequence[str]) -> str:
    """Return a sentence that names the columns nearest to missing ones; empty if there are none."""
    plain = {_plain(column): column for column in columns}
    found = [
        f"{printable(plain[near[0]])!r} for {name!r}"
        for name in missing
        if (near := get_close_matches(folded(name), plain, n=1))
    ]
    return f" Did you mean {', '.join(found)}?" if found else ""


def _with_nearest(column: str, known: Sequence[str], used: Mapping[str, str]) -> str:
    """Return an unused column, with the documented one that it may be meant for."""
    free = {folded(name): name for name in known if name not in used.values()}
    near = get_close_matches(_plain(column), free, n=1, cutoff=0.7)
    return f"{printable(column)} (nearest: {free[near[0]]})" if near else printable(column)


def _spellings(name: str, channel: bool) -> list[str]:
    """Return what a column of this name may be called, folded, the likeliest first."""
    others = [form.format(name) for form in _FILES] if channel else SYNONYMS.get(name, ())
    return [folded(other) for other in (name, *others)]


def _plain(column: str) -> str:
    """Return what is compared of a column: without case, punctuation and ``Metadata_``."""
    name = folded(column)
    return next((name.removeprefix(p) for p in PREFIXES if name.startswith(p)), name) or name
