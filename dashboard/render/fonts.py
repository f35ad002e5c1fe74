"""Which fonts draw a text, and what to do with letters that none has. No Streamlit.

Files with drawn letters (PDF, PNG) need a font on this computer for every letter. `DejaVu Sans`,
which comes with matplotlib, has Latin, Greek and Cyrillic; for others any installed font that has
them is taken. What no font has is written as its Unicode number, never as an empty box.
"""

import functools
import re
from collections.abc import Iterable

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

FIRST = "DejaVu Sans"
PREFERRED = ("Noto Sans", "Source Han Sans", "IPAGothic", "WenQuanYi", "Hiragino", "Yu Gothic")
"""Beginnings of names of plain fonts with many letters, tried before all others."""

UNFIT = re.compile(r"emoji|color|last ?resort|symbol|fallback|icons", re.IGNORECASE)
"""Fonts whose glyphs are pictures or placeholders."""

NUMBERS_SHOWN = 3
NOTE = (
    "⟨…⟩ stands for letters, by their Unicode numbers, that no font on this computer has; "
    "the SVG file holds them."
)


def families(texts: Iterable[str]) -> list[str]:
    """Return the fonts that draw some texts, the usual one first."""
    found = [FIRST]
    for letter in sorted(_unusual(texts)):
        name = _font_with(letter)
        if name and name not in found:
            found.append(name)
    return found


def drawable(text: str) -> str:
    """Return a text with every run of letters that no font has as ``⟨30BF 30F3 …⟩``."""
    missing = {letter for letter in _unusual([text]) if _font_with(letter) is None}
    if not missing:
        return text
    parts = re.split("([" + re.escape("".join(sorted(missing))) + "]+)", text)
    return "".join(_numbers(part) if part and part[0] in missing else part for part in parts)


def _numbers(letters: str) -> str:
    shown = " ".join(f"{ord(letter):04X}" for letter in letters[:NUMBERS_SHOWN])
    return f"⟨{shown}{' …' if len(letters) > NUMBERS_SHOWN else ''}⟩"


def _unusual(texts: Iterable[str]) -> set[str]:
    letters = {letter for text in texts for letter in text if letter.isprintable()}
    return {letter for letter in letters if ord(letter) not in _usual() and letter != " "}


@functools.cache
def _usual() -> frozenset[int]:
    path = font_manager.findfont(FIRST)
    return frozenset(FT2Font(path).get_charmap())


@functools.cache
def _font_with(letter: str) -> str | None:
    return next((name for name, path in _others() if ord(letter) in _letters(path)), None)


@functools.cache
def _letters(path: str) -> frozenset[int]:
    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):  # a file that the list remembers and that is gone or torn
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()


@functools.cache
def _others() -> tuple[tuple[str, str], ...]:
    """Return name and file of every other installed font, the preferred ones first."""
    found = {
        entry.name: str(entry.fname)
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal"
        and not UNFIT.search(entry.name)
        and not entry.name.startswith("DejaVu")
    }
    order = sorted(found, key=lambda name: (not name.startswith(PREFERRED), name))
    return tuple((name, found[name]) for name in order)
