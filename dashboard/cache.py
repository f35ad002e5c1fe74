"""The only cached functions. Keyed on a run's token (all its files) and on scalars.

`token` changes with any file of the run, so a replaced run is read anew; data frames are never
part of a key.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import duckdb
import streamlit as st

from dashboard import figures, strips
from dashboard.charts.description import Chart
from dashboard.queries import copies, open_runs
from dashboard.queries.open_runs import Run
from dashboard.report import deck, files, registry, screen
from dashboard.report.keys import FigureKey

P = ParamSpec("P")
T = TypeVar("T")


@st.cache_resource(show_spinner=False, max_entries=8)
def connection(folders: tuple[str, ...]) -> duckdb.DuckDBPyConnection:
    """Return the locked connection of a set of run folders, with the copies that they have."""
    paths = [Path(folder) for folder in folders]
    runs = open_runs.open_library(paths, open_runs.connect(paths)).runs
    return open_runs.connect(paths, copies.present(runs))


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
    name = f"{query.__module__}.{query.__qualname__}"
    found: T = _answer(run.token, name, (repr(args), repr(kwargs)), run, query, args, kwargs)
    return found


@st.cache_data(show_spinner=False, max_entries=600)
def _answer(
    token: str,
    name: str,
    key: tuple[str, str],
    _run: Run,
    _query: Callable[..., Any],
    _args: tuple[Any, ...],
    _kwargs: dict[str, Any],
) -> Any:
    return _query(_run, *_args, **_kwargs)


@st.cache_data(show_spinner=False, max_entries=100)
def _crop_rows(token: str, key: str, layout: str, _run: Run, _request: strips.Request) -> str:
    return strips.LAYOUTS[layout](_run, _request)


def strip(run: Run, request: strips.Request, *, layout: str = "table") -> str:
    """Return the HTML of some cells' crops from the cache, or draw it.

    Parameters
    ----------
    layout
        A key of `strips.LAYOUTS`.
    """
    return _crop_rows(run.token, repr(request), layout, run, request)


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
    return _slide(_tokens(run, library), key.text, dark, run, key, library)


@st.cache_data(show_spinner=False, max_entries=120)
def _slide(
    tokens: str, name: str, dark: bool, _run: Run, _key: FigureKey, _library: Mapping[str, Run]
) -> str:
    return screen.page(registry.build(_key, _run, ask, _library), dark)


def report(
    run: Run, figures: tuple[FigureKey, ...], library: Mapping[str, Run], kind: str
) -> bytes:
    """Return kept figures as a file; drawn when asked for, not kept."""
    return files.render(deck.make(run, figures, ask, library), kind)


def _tokens(run: Run, library: Mapping[str, Run]) -> str:
    return " ".join([run.token, *(f"{key}={one.token}" for key, one in library.items())])
