"""The only cached functions. Keyed on a run's token (all its files) and on scalars.

`token` changes with any file of the run, so a replaced run is read anew; data frames are never
part of a key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import duckdb
import pandas as pd
import streamlit as st

from dashboard.charts.description import Chart
from dashboard.queries import copies, open_runs
from dashboard.queries.open_runs import Run
from dashboard.render import figures, strips
from dashboard.report import deck, files, registry, screen
from dashboard.report.keys import FigureKey

P = ParamSpec("P")
T = TypeVar("T")


@st.cache_resource(show_spinner=False, max_entries=8)
def connection(
    folders: tuple[str, ...],
) -> tuple[duckdb.DuckDBPyConnection, Mapping[str, frozenset[str]]]:
    """Return the locked connection of a set of run folders, and the copies that it has."""
    paths = [Path(folder) for folder in folders]
    runs = open_runs.open_library(paths, open_runs.connect(paths)).runs
    made = open_runs.connect(paths, copies.present(runs))
    return made, open_runs.copied_tables(made)


def ask(run: Run, query: Callable[Concatenate[Run, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Answer a query of `dashboard.queries` from the cache, or from the run.

    Parameters
    ----------
    run
        The run; its token is part of the key.
    query
        A function of that package.
    *args, **kwargs
        Scalars, tuples of scalars and filters (frozen dataclasses).
    """
    key = f"{run.token} {_name(query)} {args!r} {kwargs!r}"
    found: T = _answer(key, lambda: query(run, *args, **kwargs))
    return found


# Streamlit spends time on every argument, so there is one for all that a cache is keyed on.
@st.cache_data(show_spinner=False, max_entries=600)
def _answer(key: str, _make: Callable[[], Any]) -> Any:
    return _make()


@dataclass(frozen=True)
class Rows:
    """A table by the question that it answers, which a cache can be keyed on.

    Parameters
    ----------
    query
        A function of `dashboard.queries`.
    values
        What it is asked, as for `ask`.
    only
        Columns and what is kept of them.
    """

    query: Callable[..., pd.DataFrame]
    values: tuple[object, ...]
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def of(self, run: Run) -> pd.DataFrame:
        """Return the table as a run has it."""
        table = ask(run, self.query, *self.values)
        for column, kept in self.only:
            table = table[table[column].isin(kept)]
        return table

    def __repr__(self) -> str:
        """Write what the table depends on, the same in every process."""
        return f"Rows({_name(self.query)}, {self.values!r}, {self.only!r})"


def rows(query: Callable[..., pd.DataFrame], *values: object, **only: tuple[str, ...]) -> Rows:
    """Name a table: a query, what it is asked, and which values of some columns are kept."""
    return Rows(query, values, tuple(only.items()))


def draw(run: Run, drawing: Callable[..., Chart], *args: object, **kwargs: object) -> Chart:
    """Return a chart from the cache, or draw it.

    Parameters
    ----------
    drawing
        A function of `dashboard.charts`.
    *args, **kwargs
        What it is given; `Rows` in the place of tables.
    """

    def make() -> Chart:
        given = (arg.of(run) if isinstance(arg, Rows) else arg for arg in args)
        return drawing(*given, **kwargs)

    return _chart(f"{run.token} {_name(drawing)} {args!r} {kwargs!r}", make)


@st.cache_data(show_spinner=False, max_entries=150)
def _chart(key: str, _make: Callable[[], Chart]) -> Chart:
    return _make()


def _name(function: Callable[..., object]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def strip(run: Run, request: strips.Request, *, layout: str = "table") -> str:
    """Return the HTML of some cells' crops from the cache, or draw it.

    Parameters
    ----------
    layout
        A key of `strips.LAYOUTS`.
    """
    return _crop_rows(
        f"{run.token} {layout} {request!r}", lambda: strips.LAYOUTS[layout](run, request)
    )


@st.cache_data(show_spinner=False, max_entries=100)
def _crop_rows(key: str, _make: Callable[[], str]) -> str:
    return _make()


def file_of(chart: Chart, kind: figures.Format, source: str) -> bytes:
    """Return a chart as a file; drawn when asked for, not kept."""
    return figures.render(chart, kind, source)


def slide(run: Run, key: FigureKey, library: Mapping[str, Run], dark: bool) -> str:
    """Return a kept figure as a screen of HTML from the cache, or draw it.

    Parameters
    ----------
    library
        All open runs by key, for comparisons.
    """
    return _slide(
        f"{_tokens(run, library)} {key.text} {dark}",
        lambda: screen.page(registry.build(key, run, ask, library), dark),
    )


@st.cache_data(show_spinner=False, max_entries=120)
def _slide(key: str, _make: Callable[[], str]) -> str:
    return _make()


def report(
    run: Run, figures: tuple[FigureKey, ...], library: Mapping[str, Run], kind: str
) -> bytes:
    """Return kept figures as a file; drawn when asked for, not kept."""
    return files.render(deck.make(run, figures, ask, library), kind)


def _tokens(run: Run, library: Mapping[str, Run]) -> str:
    return " ".join([run.token, *(f"{key}={one.token}" for key, one in library.items())])
