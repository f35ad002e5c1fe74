"""Short names of figures with their parameters, as they stand in an address. Pure text.

A key is ``name`` or ``name:parameter=value:parameter=value``; keys are joined by commas. Values are
percent-encoded, so a gene may have any name. What a key does not say is the run's usual choice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol as Shape
from urllib.parse import quote, unquote

from compute.errors import UsageError
from compute.schema import Aggregation, Probe, Protocol
from dashboard import theme
from dashboard.queries.open_runs import Run

LONGEST = 6000
"""Characters of a whole list; the rest is dropped, and that is said."""

MOST = 40
"""Figures in one list."""

SHARED = ("protocol", "probe", "aggregation", "models", "conditions")
"""Parameters that every figure may have: the filters of the sidebar."""


class Chosen(Shape):
    """The filters of a page: what `dashboard.state.shared.Shared` has."""

    @property
    def run(self) -> Run: ...  # noqa: D102
    @property
    def protocol(self) -> str: ...  # noqa: D102
    @property
    def probe(self) -> str: ...  # noqa: D102
    @property
    def aggregation(self) -> str: ...  # noqa: D102
    @property
    def models(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def conditions(self) -> tuple[str, ...]: ...  # noqa: D102


@dataclass(frozen=True)
class Usual:
    """The filters that a run shows at first, where no page has set any."""

    run: Run
    protocol: str = str(Protocol.REFIT)
    probe: str = str(Probe.PAIR)
    aggregation: str = str(Aggregation.ALL)

    @property
    def models(self) -> tuple[str, ...]:
        """All models."""
        return tuple(theme.models_in_order(self.run.models))

    @property
    def conditions(self) -> tuple[str, ...]:
        """All conditions."""
        return tuple(theme.in_order(self.run.conditions))


@dataclass(frozen=True, order=True)
class FigureKey:
    """Which figure.

    Parameters
    ----------
    name
        In `registry.FIGURES`.
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


def of(name: str, chosen: Chosen, **values: str | float | None) -> FigureKey:
    """Name the figure that a page shows, with its filters where they are not the usual ones.

    Parameters
    ----------
    name
        In `registry.FIGURES`.
    chosen
        The page's filters.
    **values
        The figure's own parameters; None for one that is not given.

    Raises
    ------
    KeyError
        The figure has no such parameter, or there is no such figure.
    """
    from dashboard.report.registry import FIGURES

    spec = FIGURES[name]
    unknown = set(values) - set(spec.parameters)
    if unknown:
        raise KeyError(f"figure {name!r} has no parameter {', '.join(sorted(unknown))}")
    usual = {
        "protocol": str(Protocol.REFIT),
        "probe": str(Probe.PAIR),
        "aggregation": str(Aggregation.ALL),
        "models": joined(theme.models_in_order(chosen.run.models)),
        "conditions": joined(theme.in_order(chosen.run.conditions)),
    }
    filters = {
        "protocol": chosen.protocol,
        "probe": chosen.probe,
        "aggregation": chosen.aggregation,
        "models": joined(chosen.models),
        "conditions": joined(chosen.conditions),
    }
    kept = {k: v for k, v in filters.items() if k in spec.filters and v != usual[k]}
    own = {k: _text(v) for k, v in values.items() if v is not None}
    return FigureKey(name, tuple({**kept, **own}.items()))


def _text(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


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
        Each once, in order. Names and values are not checked here: `registry.request` does.
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
