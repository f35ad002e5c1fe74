"""Names from files and tables in messages: whether they are UTF-8, and lists of them. No files."""

from collections.abc import Sequence


def is_clean(name: str) -> bool:
    """Return whether a name that was read from a file or folder is valid UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(name: object) -> str:
    r"""Return a name with what is not UTF-8 as ``\x`` escapes, for messages and files."""
    return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def short_list(names: Sequence[str], most: int = 10) -> str:
    """Join names by commas; beyond `most`, say how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
