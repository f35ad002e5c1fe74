"""Finds the file that a path in somebody's table means: backslashes, `~`, case, forms of accents.

A path that is there as it is written is taken at once. Otherwise every part of it is looked for in
its folder, compared without case and without regard to how accents are composed (a Mac writes them
as letters of their own). Where two files fit, none is taken. What folders hold is kept in memory
until the next import begins (`forget_listings`).
"""

import os
import re
import unicodedata
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from compute.importers.read_images import CropRejected
from compute.importers.wording import printable, short_list

_SHOWN = 5
"""Names that are shown, at most, of what a folder holds."""


def find_file(root: Path, text: str) -> tuple[Path, bool]:
    """Find the file that a path of a table means.

    Parameters
    ----------
    root
        Folder in which relative paths start.
    text
        The path, as written.

    Returns
    -------
    path, other
        The path as the disk has it, and whether that is another spelling than in the table.

    Raises
    ------
    CropRejected
        There is no such file; says what the folder holds. Or several differ from it in spelling.
    """
    plain = root / text
    try:
        if plain.is_file():
            return plain, False
    except (OSError, ValueError) as error:
        raise CropRejected("the file cannot be opened") from error
    if plain.is_dir():
        raise CropRejected("a folder, not an image file", printable(plain))
    parts = text.replace("\\", "/")
    if re.match(r"[A-Za-z]:/|//", parts) and os.name != "nt":
        raise CropRejected(
            "no such file",
            f"{printable(text)} is a path of another computer",
            "Write paths relative to the table.",
        )
    try:
        wanted = Path(parts).expanduser()
    except RuntimeError:
        wanted = Path(parts)
    folder = Path(wanted.anchor) if wanted.is_absolute() else root
    names = wanted.parts[1:] if wanted.is_absolute() else wanted.parts
    for name in names:
        if name == ".." or (folder / name).exists():
            folder = folder / name
            continue
        fitting = _listing(folder).get(_key(name), ())
        if len(fitting) > 1:
            raise CropRejected(
                "several files differ from the path in spelling only",
                f"{printable(text)}: {', '.join(map(printable, fitting))}",
                "Write the path as the file is called.",
            )
        if not fitting:
            raise _missing(folder, name, text)
        folder = folder / fitting[0]
    if folder.is_dir():
        raise CropRejected("a folder, not an image file", printable(folder))
    return folder, True


def forget_listings() -> None:
    """Have folders listed anew: files may have come since an earlier import of this process."""
    _listing.cache_clear()


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _missing(folder: Path, name: str, text: str) -> CropRejected:
    """Say what is in the folder in which there is no file of this name."""
    names = sorted(printable(name) for some in _listing(folder).values() for name in some)
    stem = Path(printable(name)).stem
    near = [other for other in names if Path(other).stem == stem]
    near = near or get_close_matches(printable(name), names, n=1)
    holds = short_list(names, _SHOWN) if names else "nothing"
    hint = f"; nearest: {near[0]}" if near else ""
    return CropRejected(
        "no such file",
        f"{printable(text)}: the folder {printable(folder)} has no {printable(name)}{hint}; it "
        f"holds {holds}",
        "Paths start at the table's folder.",
    )


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@lru_cache(maxsize=64)
def _listing(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return a folder's names by what is compared of them."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        names = os.listdir(folder)
    except OSError:
        return found
    for name in sorted(names):
        found[_key(name)] = (*found.get(_key(name), ()), name)
    return found
