"""The only cached functions. Keyed on a run's token (all its files) and on scalars.

`token` changes with any file of the run, so a replaced run is read anew; data frames are never
part of a key.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import duckdb
import streamlit as st

from dashboard.charts.description import Chart
from dashboard.figures import registry
from dashboard.figures.figure import Figure
from dashboard.figures.keys import FigureKey
from dashboard.figures.request import Request
from dashboard.figures.slide import Crops, Words
from dashboard.queries import copies, mosaic, open_runs
from dashboard.queries.open_runs import Run
from dashboard.render import figures, strips
from dashboard.render import mosaic as drawn_mosaic
from dashboard.report import deck, files, screen

P = ParamSpec("P")
T = TypeVar("T")
Shown = TypeVar("Shown", bound=Chart | Words | Crops)


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


def chart(figure: Figure[Shown], asked: Request) -> Shown:
    """Return a figure's chart, sentences or crops from the cache, or draw them.

    It is keyed on the figure's key, which names every choice that the figure follows, and on all
    files of the runs that it may read.
    """
    key = f"{_tokens(asked.run, asked.open_runs)} {asked.key.text}"
    found: Shown = _chart(key, lambda: figure.drawn(asked))
    return found


@st.cache_data(show_spinner=False, max_entries=150)
def _chart(key: str, _make: Callable[[], Any]) -> Any:
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


def mosaic_of(run: Run, shown: tuple[int, ...], *, outlines: bool) -> tuple[str, str]:
    """Return the HTML of a run's mosaic and its caption from the cache, or draw it.

    Parameters
    ----------
    shown
        Numbers of the channels to show.
    outlines
        Whether masks are drawn.
    """

    def make() -> tuple[str, str]:
        table = mosaic.tiles(run)
        arranged = drawn_mosaic.arrange(table, run.channels, shown)
        return drawn_mosaic.mosaic_html(arranged, outlines=outlines), arranged.caption

    return _mosaic(f"{run.token} {shown!r} {outlines}", make)


@st.cache_data(show_spinner=False, max_entries=20)
def _mosaic(key: str, _make: Callable[[], tuple[str, str]]) -> tuple[str, str]:
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
        lambda: screen.page(registry.slide(key, run, ask, library), dark),
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
