"""Short names of figures with their parameters, as they stand in an address. Pure text.

A key is ``name`` or ``name:parameter=value:parameter=value``; keys are joined by commas. Values are
percent-encoded, so a gene may have any name. What a key does not say is the run's usual choice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from compute.errors import UsageError

LONGEST = 6000
"""Characters of a whole list; the rest is dropped, and that is said."""

MOST = 40
"""Figures in one list."""


@dataclass(frozen=True, order=True)
class FigureKey:
    """Which figure.

    Parameters
    ----------
    name
        Of an entry in `registry.FIGURES`.
    values
        Parameters with their values, by name.
    """

    name: str
    values: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(sorted(dict(self.values).items())))

    @property
    def text(self) -> str:
        """The key as it stands in an address."""
        parts = [f"{quote(k, safe='')}={quote(v, safe='+')}" for k, v in self.values]
        return ":".join([quote(self.name, safe=""), *parts])

    def get(self, name: str) -> str | None:
        """Return a parameter's value, or None."""
        return dict(self.values).get(name)


def joined(names: Iterable[str]) -> str:
    """Return a list of names as one value."""
    return "+".join(quote(name, safe="") for name in names)


def split(value: str) -> tuple[str, ...]:
    """Return the names of a list."""
    return tuple(unquote(part) for part in value.split("+") if part)


def write(keys: Sequence[FigureKey]) -> str:
    """Return a list of keys as it stands in an address."""
    return ",".join(key.text for key in keys)


def read(text: str) -> tuple[tuple[FigureKey, ...], bool]:
    """Read a list of keys; whatever it holds, something can be made of it.

    Returns
    -------
    tuple of FigureKey
        Each once, in order. Names and values are not checked here: `figure.Figure.checked` does.
    bool
        Whether something was left out, the text being too long or the list too.
    """
    cut = text[:LONGEST]
    if len(text) > LONGEST:
        cut = cut.rpartition(",")[0]
    found = dict.fromkeys(_read(part) for part in cut.split(",") if part.strip())
    return tuple(found)[:MOST], len(text) > LONGEST or len(found) > MOST


def read_strictly(text: str) -> tuple[FigureKey, ...]:
    """Read a list of keys from the command line.

    Raises
    ------
    UsageError
        It is too long.
    """
    found, cut = read(text)
    if cut:
        raise UsageError(
            f"The list of figures is longer than {MOST} figures or {LONGEST:,} characters.",
            "Name fewer.",
        )
    return found


def _read(text: str) -> FigureKey:
    name, *parts = text.strip().split(":")
    values = {}
    for part in parts:
        key, _, value = part.partition("=")
        values[unquote(key)] = unquote(value)
    return FigureKey(unquote(name), tuple(values.items()))
