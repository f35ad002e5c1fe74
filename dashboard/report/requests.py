"""A figure's key checked against a run: every value is one of what the run has.

An unknown parameter or value is an error that names the nearest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from compute.errors import BystanderError, UsageError, unknown_value
from compute.schema import Aggregation, Probe, Protocol
from compute.statistics.config import SUBSTANTIAL
from dashboard import theme
from dashboard.queries import accuracy, compare, examples, proteins
from dashboard.queries.comparable_runs import Ask
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.open_runs import Run
from dashboard.report import keys
from dashboard.report.keys import FigureKey

SHOWN = 60
"""Characters of an unknown value that are repeated."""

LISTED = 40
"""From how many allowed values on they are counted, not named."""


class Kind(StrEnum):
    """What a parameter's value must be."""

    CONDITION = "condition"
    MODEL = "model"
    PROTEIN = "protein"
    CELL = "cell"
    SHARE = "share"
    YES = "yes"
    RUNS = "runs"
    ENTRY = "entry"
    SORT = "sort"
    CHOICE = "choice"


@dataclass(frozen=True)
class Request:
    """A figure's key with every value checked; has what a page's filters have.

    Parameters
    ----------
    run
        Which run it is of.
    ask
        Answers queries.
    values
        The figure's own parameters, defaults filled in.
    open_runs
        All open runs by key, for comparisons.
    """

    key: FigureKey
    run: Run
    ask: Ask
    protocol: str
    probe: str
    aggregation: str
    models: tuple[str, ...]
    conditions: tuple[str, ...]
    values: Mapping[str, str]
    open_runs: Mapping[str, Run] = field(default_factory=dict, repr=False)

    @property
    def accuracy(self) -> AccuracyFilter:
        """The filter of accuracies."""
        return AccuracyFilter(
            self.protocol, self.probe, self.aggregation, self.models, self.conditions
        )

    @property
    def chance(self) -> float | None:
        """Accuracy by chance."""
        if self.probe == Probe.PAIR:
            return 0.5
        return 1 / len(self.run.localizations) if self.run.localizations else None

    @property
    def condition(self) -> str:
        """The condition that is compared with unaltered."""
        return self.values["condition"]

    @property
    def threshold(self) -> float:
        """From which total variation on a shift is substantial."""
        return float(self.values.get("threshold", SUBSTANTIAL))


def checked(
    key: FigureKey,
    parameters: Mapping[str, Kind],
    needed: tuple[str, ...],
    filters: tuple[str, ...],
    run: Run,
    ask: Ask,
    open_runs: Mapping[str, Run],
) -> Request:
    """Check a key against a run.

    Parameters
    ----------
    parameters, needed, filters
        Of the figure, from `registry.FigureSpec`.

    Raises
    ------
    UsageError
        An unknown parameter or value; names the nearest.
    BystanderError
        The run has nothing to choose from.
    """
    given = dict(key.values)
    for name in given:
        if name not in parameters and name not in filters:
            allowed = [*parameters, *filters]
            raise unknown_value(f"parameter of the figure {key.name}", short(name), allowed)
    models = tuple(theme.models_in_order(run.models))
    conditions = tuple(theme.in_order(run.conditions))
    chosen = _some("model", keys.split(given.get("models", "")), models)
    shown = _some("condition", keys.split(given.get("conditions", "")), conditions)
    usual = _usual(run, ask)
    made = Request(
        key,
        run,
        ask,
        _one("protocol", given.get("protocol", usual[0]), [*Protocol]),
        _one("probe", given.get("probe", usual[1]), [*Probe]),
        _one("aggregation", given.get("aggregation", usual[2]), [*Aggregation]),
        chosen or models,
        shown or conditions,
        {},
        open_runs or {run.key: run},
    )
    values = {
        name: _checked(kind, name, given[name], made)
        if name in given
        else _default(kind, name, made, name in needed)
        for name, kind in parameters.items()
    }
    known = {name: value for name, value in values.items() if value is not None}
    return replace(made, values=known)


def _usual(run: Run, ask: Ask) -> tuple[str, str, str]:
    """Return the protocol, probe and aggregation that a run shows at first."""
    first = (str(Protocol.REFIT), str(Probe.PAIR), str(Aggregation.ALL))
    if not run.has("accuracy"):
        return first
    try:
        found = ask(run, accuracy.choices)
    except BystanderError:
        return first
    there = [(str(a), str(b), str(c)) for a, b, c in found.iloc[:, :3].to_numpy()]
    return first if first in there or not there else there[0]


def short(text: str) -> str:
    """Return the beginning of a text that may be long."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _one(kind: str, value: str, allowed: list[Any] | tuple[str, ...]) -> str:
    names = [str(name) for name in allowed]
    if value not in names:
        raise _unknown(kind, value, names)
    return value


def _some(kind: str, given: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    for name in given:
        _one(kind, name, allowed)
    return tuple(name for name in allowed if name in given)


def _unknown(kind: str, value: str, names: list[str]) -> UsageError:
    """Build the error for an unknown value, with the nearest, and not with thousands of names."""
    found = unknown_value(kind, short(value), names)
    if len(names) > LISTED:
        return UsageError(found.problem, f"This run has {len(names):,} of them.")
    return found


def _checked(kind: Kind, name: str, value: str, made: Request) -> str:
    if kind is Kind.CONDITION:
        return _one("condition", value, [c for c in made.run.conditions if c != "unaltered"])
    if kind is Kind.MODEL:
        return _one("model", value, made.run.models)
    if kind is Kind.PROTEIN:
        return _one("protein", value, made.ask(made.run, proteins.names)["protein"].tolist())
    if kind is Kind.CELL:
        cells = made.ask(made.run, examples.describe, (_number(name, value, int),))
        if cells.empty:
            raise UsageError(f"Unknown cell {short(value)!r}.", "Take one from the page Crops.")
        return value
    if kind is Kind.SHARE:
        number = _number(name, value, float)
        if not 0 <= number <= 1:
            raise UsageError(f"{name} is {short(value)}; it must be from 0 to 1.")
        return value
    if kind is Kind.YES:
        return _one(name, value, ["yes"])
    if kind is Kind.SORT:
        return _one("order", value, list(compare.SORTS))
    if kind is Kind.CHOICE:
        return _one(name, value, ["drop", "attraction"])
    if kind is Kind.RUNS:
        for run in keys.split(value):
            _one("run", run, list(made.open_runs))
        return value
    run, model = (*keys.split(value), "", "")[:2]
    _one("run", run, list(made.open_runs))
    _one("model", model, made.open_runs[run].models)
    return value


def _number(name: str, value: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise UsageError(f"{name} is {short(value)!r}; it must be a number.") from error


def _default(kind: Kind, name: str, made: Request, needed: bool) -> str | None:
    if needed:
        raise UsageError(f"The figure {made.key.name} needs a {name}.", f"Add :{name}=…")
    altered = [c for c in made.conditions if c != "unaltered"]
    if kind is Kind.CONDITION:
        if not altered:
            raise BystanderError("Only one condition was run, so there is nothing to compare.")
        return "different" if "different" in altered else altered[0]
    if kind is Kind.MODEL:
        if not made.models:
            raise BystanderError("This run was made without a model.")
        return made.models[0]
    return {
        Kind.SHARE: f"{SUBSTANTIAL:g}",
        Kind.SORT: next(iter(compare.SORTS)),
        Kind.CHOICE: "drop",
    }.get(kind)
