"""The parameters that figures have of their own: what is allowed, and what is usual.

An unknown value is an error that names the nearest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from compute.errors import BystanderError, UsageError, unknown_value
from compute.statistics.config import SUBSTANTIAL
from dashboard.figures import keys
from dashboard.figures.request import Request
from dashboard.queries import compare, examples, proteins

LONGEST_SHOWN = 60
"""Characters of an unknown value that are repeated."""

MOST_LISTED = 40
"""Allowed values that are named; more are counted."""


@dataclass(frozen=True)
class Parameter:
    """What a parameter's value must be.

    Parameters
    ----------
    check
        Given a request without its own values, the parameter's name and its value; raises
        `UsageError` where the value is not allowed.
    default
        What the value is where none is given, None for no value; without it one must be given.
    """

    check: Callable[[Request, str, str], object]
    default: Callable[[Request], str | None] | None = None


def short(text: str) -> str:
    """Return the beginning of a text that may be long."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def one_of(kind: str, value: str, allowed: Sequence[Any]) -> str:
    """Return a value that is allowed.

    Raises
    ------
    UsageError
        It is not; names the nearest, and all that are allowed where they are not too many.
    """
    names = [str(name) for name in allowed]
    if value in names:
        return value
    found = unknown_value(kind, short(value), names)
    if len(names) > MOST_LISTED:
        raise UsageError(found.problem, f"This run has {len(names):,} of them.")
    raise found


def some_of(kind: str, given: Sequence[str], allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the allowed values that are given, in the order of `allowed`; raises as `one_of`."""
    for name in given:
        one_of(kind, name, allowed)
    return tuple(name for name in allowed if name in given)


def choice(*allowed: str, usual: str | None = None) -> Parameter:
    """Return a parameter with a fixed list of values."""
    return Parameter(lambda asked, name, value: one_of(name, value, allowed), lambda asked: usual)


def _condition(asked: Request, name: str, value: str) -> str:
    return one_of("condition", value, [c for c in asked.run.conditions if c != "unaltered"])


def _usual_condition(asked: Request) -> str:
    if not asked.altered:
        raise BystanderError("Only one condition was run, so there is nothing to compare.")
    return "different" if "different" in asked.altered else asked.altered[0]


def _usual_model(asked: Request) -> str:
    if not asked.models:
        raise BystanderError("This run was made without a model.")
    return asked.models[0]


def _protein(asked: Request, name: str, value: str) -> str:
    return one_of("protein", value, asked.query(proteins.names)["protein"].tolist())


def _proteins(asked: Request, name: str, value: str) -> None:
    for protein in keys.split(value):
        _protein(asked, name, protein)


def _cell(asked: Request, name: str, value: str) -> None:
    if asked.query(examples.describe, (_number(name, value, int),)).empty:
        raise UsageError(f"Unknown cell {short(value)!r}.", "Take one from the page Crops.")


def _share(asked: Request, name: str, value: str) -> None:
    if not 0 <= _number(name, value, float) <= 1:
        raise UsageError(f"{name} is {short(value)}; it must be from 0 to 1.")


def _number(name: str, value: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise UsageError(f"{name} is {short(value)!r}; it must be a number.") from error


def _runs(asked: Request, name: str, value: str) -> None:
    for run in keys.split(value):
        one_of("run", run, list(asked.open_runs))


def _entry(asked: Request, name: str, value: str) -> None:
    run, model = (*keys.split(value), "", "")[:2]
    one_of("run", run, list(asked.open_runs))
    one_of("model", model, asked.open_runs[run].models)


CONDITION = Parameter(_condition, _usual_condition)
"""A condition that is compared with unaltered; another class's background where there is one."""

MODEL = Parameter(lambda asked, name, value: one_of("model", value, asked.run.models), _usual_model)
"""One model; the first where none is given."""

PROTEIN = Parameter(_protein)
"""One protein by its gene."""

PROTEINS = Parameter(_proteins)
"""Proteins by their genes, joined as in `keys.joined`."""

CELL = Parameter(_cell, lambda asked: None)
"""The number of a cell."""

SHARE = Parameter(_share, lambda asked: f"{SUBSTANTIAL:g}")
"""A total variation from 0 to 1."""

SORT = Parameter(
    lambda asked, name, value: one_of("order", value, list(compare.SORTS)),
    lambda asked: next(iter(compare.SORTS)),
)
"""An order of the leaderboard."""

RUNS = Parameter(_runs, lambda asked: None)
"""Keys of open runs, joined as in `keys.joined`."""

ENTRY = Parameter(_entry)
"""One model of one run: the run's key and the model, joined as in `keys.joined`."""
