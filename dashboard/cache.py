"""The only cached functions. Keyed on a run's token (all its files) and on scalars.

`token` changes with any file of the run, so a replaced run is read anew; data frames are never
part of a key.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import duckdb
import streamlit as st

from dashboard import figures, strips
from dashboard.charts.description import Chart
from dashboard.queries import open_runs
from dashboard.queries.open_runs import Run

P = ParamSpec("P")
T = TypeVar("T")


@st.cache_resource(show_spinner=False, max_entries=8)
def connection(folders: tuple[str, ...]) -> duckdb.DuckDBPyConnection:
    """Return the locked connection of a set of run folders."""
    return open_runs.connect([Path(folder) for folder in folders])


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
def _crop_rows(token: str, key: str, wrap: bool, _run: Run, _request: strips.Request) -> str:
    return strips.gallery(_run, _request) if wrap else strips.table(_run, _request)


def strip(run: Run, request: strips.Request, *, wrap: bool = False) -> str:
    """Return the HTML of some cells' crops from the cache, or draw it.

    Parameters
    ----------
    wrap
        A gallery of one cell instead of a table of cells.
    """
    return _crop_rows(run.token, repr(request), wrap, run, request)


def file_of(chart: Chart, kind: figures.Format, source: str) -> bytes:
    """Return a chart as a file; drawn when asked for, not kept."""
    return figures.render(chart, kind, source)
