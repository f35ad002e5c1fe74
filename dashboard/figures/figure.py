"""What an entry of the registry is, and how it is asked: by a page, or by a key in an address."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import pandas as pd

from compute.errors import UsageError, unknown_value
from compute.schema import Aggregation, Probe, Protocol
from dashboard import theme, wording
from dashboard.charts.description import Chart
from dashboard.figures import keys, tables
from dashboard.figures.keys import FigureKey
from dashboard.figures.parameters import Parameter, one_of, short, some_of
from dashboard.figures.request import Filters, Request, first_choice
from dashboard.figures.slide import Crops, Grid, Slide, Words
from dashboard.figures.tables import Columns
from dashboard.queries.comparable_runs import Ask, with_kind
from dashboard.queries.open_runs import Run

MEASURED = ("protocol", "probe", "aggregation")
"""The filters that say how accuracies are measured."""

SHARED = (*MEASURED, "models", "conditions")
"""All filters of the sidebar."""

OF_MODELS = ("protocol", "models", "conditions")
"""The filters that say whose answers are shown."""

Drawn = TypeVar("Drawn", bound=Chart | Words | Crops, covariant=True)


@dataclass(frozen=True)
class Figure(Generic[Drawn]):
    """A figure.

    Parameters
    ----------
    name
        In addresses; letters and underscores.
    title
        What it is, for lists. Its finding is the title of what `chart` returns.
    query
        Returns its table, which is the CSV file too.
    chart
        Makes of the table what is shown, with the finding as title and a caption with n.
    columns
        How the table is shown beside the chart in reports and below it on pages; none where only
        the chart is shown.
    note
        What is said below the table.
    defines
        The conditions whose definitions a speaker should have at hand.
    parameters
        Its own parameters by their name in an address.
    filters
        The filters of the sidebar that it follows.
    tables
        The tables of a run that it is made of.
    absent
        What a page says is missing where a run has no such table; empty where it says nothing.
    added
        How its table is added to a run that is finished, in words with commands between backticks;
        empty where the run itself makes it.
    kept
        Whether it can be kept for presenting, and so stand in an address.
    """

    name: str
    title: str
    query: Callable[[Request], pd.DataFrame]
    chart: Callable[[Request, pd.DataFrame], Drawn]
    columns: Callable[[Request, pd.DataFrame], Columns] = lambda asked, table: {}
    note: Callable[[Request], str] = lambda asked: ""
    defines: Callable[[Request, pd.DataFrame], Iterable[str]] = lambda asked, table: ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    filters: tuple[str, ...] = SHARED
    tables: tuple[str, ...] = ("accuracy",)
    absent: str = ""
    added: str = ""
    kept: bool = True

    @property
    def needed(self) -> tuple[str, ...]:
        """The parameters that must be given."""
        return tuple(name for name, kind in self.parameters.items() if kind.default is None)

    def drawn(self, asked: Request) -> Drawn:
        """Return what is shown."""
        return self.chart(asked, self.query(asked))

    def slide(self, asked: Request) -> Slide:
        """Return the figure as a slide, with its table and definitions; says which is simulated."""
        table = self.query(asked)
        drawn = self.chart(asked, table)
        conditions = theme.in_order(self.defines(asked, table))
        meant = tuple(wording.definition(name) for name in conditions)
        caption = with_kind(drawn.caption, asked.runs)
        slide = Slide(asked.key, drawn.title, caption, definitions=meant)
        if isinstance(drawn, Words):
            lines = tuple(line for line in (*drawn.lines, drawn.note) if line)
            return replace(slide, lines=lines, grid=drawn.grid)
        if isinstance(drawn, Crops):
            return replace(slide, pictures=drawn.pictures)
        return replace(slide, chart=drawn, grid=self.grid(asked, table))

    def grid(self, asked: Request, table: pd.DataFrame) -> Grid | None:
        """Return the table in words; None where it has no columns to show."""
        columns = self.columns(asked, table)
        if not columns:
            return None
        return tables.grid_of(tables.named(table), columns, self.note(asked))

    def key(self, filters: Filters, **values: str | float | None) -> FigureKey:
        """Name the figure, with the filters that it follows where they are not the usual ones.

        Parameters
        ----------
        filters
            The page's.
        **values
            The figure's own parameters; None for one that is not given.

        Raises
        ------
        KeyError
            The figure has no such parameter.
        """
        unknown = set(values) - set(self.parameters)
        if unknown:
            raise KeyError(f"figure {self.name!r} has no parameter {', '.join(sorted(unknown))}")
        usual, chosen = _texts(Filters.usual(filters.run)), _texts(filters)
        kept = {name: chosen[name] for name in self.filters if chosen[name] != usual[name]}
        own = {
            name: f"{value:g}" if isinstance(value, float) else str(value)
            for name, value in values.items()
            if value is not None
        }
        return FigureKey(self.name, tuple({**kept, **own}.items()))

    def asked(
        self,
        filters: Filters,
        ask: Ask,
        open_runs: Mapping[str, Run] | None = None,
        **values: str | float | None,
    ) -> Request:
        """Return a page's request: its widgets have checked every value.

        Parameters
        ----------
        filters
            The page's.
        ask
            Answers queries.
        open_runs
            Runs by key that it may compare; `filters.run` alone where not given.
        **values
            The figure's own parameters, as for `key`.

        Raises
        ------
        KeyError
            The figure has no such parameter.
        BystanderError
            A value is missing and the run has nothing to choose it from.
        """
        key = self.key(filters, **values)
        runs = open_runs or {filters.run.key: filters.run}
        made = Request(
            filters.run,
            filters.protocol,
            filters.probe,
            filters.aggregation,
            filters.models,
            filters.conditions,
            key,
            ask,
            open_runs=runs,
        )
        own = {name: value for name, value in key.values if name in self.parameters}
        return replace(made, values=self._filled(made, own))

    def checked(
        self, key: FigureKey, run: Run, ask: Ask, open_runs: Mapping[str, Run] | None = None
    ) -> Request:
        """Return the request of an address, every value checked against a run.

        What the key does not say is the run's usual choice.

        Raises
        ------
        UsageError
            A parameter or value is unknown, or one is missing; names the nearest.
        BystanderError
            The run has nothing to choose from.
        """
        given = dict(key.values)
        for name in given:
            if name not in self.parameters and name not in self.filters:
                allowed = [*self.parameters, *self.filters]
                raise unknown_value(f"parameter of the figure {key.name}", short(name), allowed)
        usual = Filters.usual(run, *first_choice(run, ask))
        protocol = one_of("protocol", given.get("protocol", usual.protocol), run.protocols)
        if protocol == Protocol.OWN:
            usual = Filters.usual(run, protocol)
        models = some_of("model", keys.split(given.get("models", "")), usual.models)
        shown = some_of("condition", keys.split(given.get("conditions", "")), usual.conditions)
        made = Request(
            run,
            protocol,
            one_of("probe", given.get("probe", usual.probe), [*Probe]),
            one_of("aggregation", given.get("aggregation", usual.aggregation), [*Aggregation]),
            models or usual.models,
            shown or usual.conditions,
            key,
            ask,
            open_runs=open_runs or {run.key: run},
        )
        own = {name: value for name, value in key.values if name in self.parameters}
        return replace(made, values=self._filled(made, own, check=True))

    def _filled(
        self, made: Request, given: Mapping[str, str], check: bool = False
    ) -> dict[str, str]:
        """Return the values of all parameters, the usual ones where none is given."""
        found = {}
        for name, kind in self.parameters.items():
            value = given.get(name)
            if value is not None:
                if check:
                    kind.check(made, name, value)
            elif kind.default is None:
                raise UsageError(f"The figure {self.name} needs a {name}.", f"Add :{name}=…")
            else:
                value = kind.default(made)
            if value is not None:
                found[name] = value
        return found


def _texts(filters: Filters) -> dict[str, str]:
    """Return filters as an address writes them."""
    return {
        "protocol": filters.protocol,
        "probe": filters.probe,
        "aggregation": filters.aggregation,
        "models": keys.joined(filters.models),
        "conditions": keys.joined(filters.conditions),
    }
