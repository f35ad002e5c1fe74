"""The errors that people see: what is wrong and where, what was allowed, what to do next."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LONGEST = 4000
"""Letters of a message at most: a name that is longer than a page tells nobody anything."""


class BystanderError(Exception):
    """A problem that a person can act on; the command line prints it without a traceback.

    Parameters
    ----------
    problem
        What is wrong, naming the value and the place (a file, a row, an option).
    remedy
        What to do next; empty by default.

    Examples
    --------
    >>> from compute import BystanderError, CropStore
    >>> try:
    ...     CropStore("nowhere")
    ... except BystanderError as error:
    ...     print(error.remedy != "")
    True
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = _readable(problem)
        self.remedy = _readable(remedy)
        super().__init__(f"{self.problem} {self.remedy}".strip())


def _readable(text: str) -> str:
    """Return a message with the middle of what is too long for anybody left out, and said so."""
    if len(text) <= LONGEST:
        return text
    left_out = len(text) - LONGEST + LONGEST // 4
    return f"{text[: LONGEST // 2]} […{left_out:,} letters…] {text[-LONGEST // 4 :]}"


class UsageError(BystanderError):
    """A command or function was asked for something that does not exist (exit status 2)."""


class InputError(BystanderError):
    """A file that was read does not hold what it should."""


class DiskError(BystanderError):
    """A file could not be written: the disk is full, or the folder may not be written to."""


class BusyError(BystanderError):
    """Another process is writing to the same place."""


class ChangedError(BystanderError):
    """A run directory was begun with another configuration, store, model or version."""


def unknown_value(kind: str, value: str, allowed: Iterable[str]) -> UsageError:
    """Build the error for a value that is not among the allowed ones.

    Parameters
    ----------
    kind
        What the value is, in words: ``"condition"``, ``"model"``.
    value
        What was given.
    allowed
        Everything that would have been accepted.

    Returns
    -------
    UsageError
        To be raised; it names the value, a similar allowed one if there is any, and all of them.
    """
    return unknown_values(kind, [value], allowed)


def unknown_values(kind: str, values: Iterable[str], allowed: Iterable[str]) -> UsageError:
    """Build the error for several values that are not among the allowed ones.

    Parameters
    ----------
    kind, allowed
        As for `unknown_value`.
    values
        What was given, one at least.

    Returns
    -------
    UsageError
        To be raised; it names every value with a similar allowed one, and once all of these.
    """
    names = [str(name) for name in allowed]
    problems = []
    for value in values:
        near = get_close_matches(value, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        problems.append(f"Unknown {kind} {value!r}.{hint}")
    return UsageError(" ".join(problems), f"Allowed: {', '.join(names)}.")


def together(what: str, errors: Sequence[BystanderError]) -> BystanderError:
    """Build one error of several, so that all can be mended at once.

    Parameters
    ----------
    what
        What they are all about, in words: ``"Model card"``.
    errors
        The errors, one at least.

    Returns
    -------
    BystanderError
        To be raised: the error itself if it is the only one; else one that counts them and lists
        each with its remedy, a `UsageError` only where all are.
    """
    if len(errors) == 1:
        return errors[0]
    usage = all(isinstance(error, UsageError) for error in errors)
    lines = []
    for error in errors:
        between = "\n" if "\n" in error.remedy else " "
        text = f"{error.problem}{between}{error.remedy}".strip().removeprefix(f"{what}: ")
        lines.append("- " + text.replace("\n", "\n  "))
    return (UsageError if usage else InputError)(
        f"{what}: {len(errors)} mistakes.", "\n".join(lines)
    )
