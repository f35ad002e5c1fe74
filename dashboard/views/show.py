"""Charts and tables on a page, each with its finding, caption and downloads."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pandas as pd
import streamlit as st

from compute.errors import BystanderError
from compute.storage.spreadsheet import as_csv, inert, inert_table
from dashboard import cache
from dashboard.charts import plotly
from dashboard.charts.description import Chart, Panel, Rule
from dashboard.figures.figure import Figure
from dashboard.figures.keys import FigureKey
from dashboard.figures.request import Filters, Request
from dashboard.figures.tables import Column, Columns, Written, named
from dashboard.queries.agreement import agreement as sentence_on
from dashboard.queries.agreement import drops_by_probe
from dashboard.queries.comparable_runs import Entry, with_kind
from dashboard.queries.open_runs import Run
from dashboard.queries.provenance import source_of
from dashboard.render import figures
from dashboard.state import kept_figures
from dashboard.state.shared import Shared
from dashboard.wording import plain_name

SIMULATED = "simulated cells"
PERCENT = "%.1f%%"
POINTS = "%.1f"
"""Formats of columns of shares; `data` shows a hundred times their values."""


def header(title: str, shared: Shared, intro: str = "") -> None:
    """Head a page: title, which run, whether its cells are simulated."""
    st.title(title, anchor=False)
    kind = ":blue-badge[:material/biotech: imaged cells]"
    if shared.run.simulated:
        kind = f":orange-badge[:material/science: {SIMULATED}]"
    elif shared.published:
        kind = ":blue-badge[:material/article: numbers from a publication, no cells]"
    state = "" if shared.run.complete else " :red-badge[:material/hourglass: not finished]"
    st.markdown(f"{kind}{state} Run **{plain_name(shared.run.title)}**")
    if intro:
        st.markdown(intro)


def asked(entry: Figure[Any], filters: Filters, **values: str | float | None) -> Request:
    """Return the request that a page's widgets make of a figure.

    Parameters
    ----------
    entry
        Of `dashboard.figures`.
    filters
        The page's.
    **values
        The figure's own parameters; None for one that is not given.
    """
    runs = kept_figures.runs_of([entry.key(filters, **values)], filters.run)
    return entry.asked(filters, cache.ask, runs, **values)


def figure(
    entry: Figure[Chart],
    shared: Shared,
    *,
    filters: Filters | None = None,
    on_pick: Callable[[str], None] | None = None,
    skip_empty: bool = False,
    **values: str | float | None,
) -> pd.DataFrame:
    """Show a figure: its chart, its downloads, the button that keeps it for presenting.

    Parameters
    ----------
    entry
        Of `dashboard.figures`.
    filters
        What it follows; the sidebar's where not given.
    on_pick
        Called with the pick (see `charts.description`) of a point, bar or square that is chosen.
    skip_empty
        Show nothing where its table is empty.
    **values
        The figure's own parameters.

    Returns
    -------
    pandas.DataFrame
        Its table.
    """
    request = asked(entry, filters or shared, **values)
    table = entry.query(request)
    if not (skip_empty and table.empty):
        keep = request.key if entry.kept else None
        drawn = cache.chart(entry, request)
        chart(drawn, shared, table, keep=keep, on_pick=on_pick, runs=request.runs)
    return table


def agreement(shared: Shared, entries: Sequence[Entry], protocol: str, condition: str) -> None:
    """Say whether probes put models of runs in the same order, where there are several.

    Parameters
    ----------
    shared
        The page's filters.
    entries
        The models.
    protocol, condition
        Whose drops are compared.
    """
    table = drops_by_probe(cache.ask, entries, protocol, condition)
    said = sentence_on(table, condition)
    if said:
        caption(said, shared)


def chart(
    drawn: Chart,
    shared: Shared,
    table: pd.DataFrame | None = None,
    *,
    keep: FigureKey | None = None,
    on_pick: Callable[[str], None] | None = None,
    runs: Sequence[Run] = (),
) -> None:
    """Show a chart: its finding as heading, its panels, its caption, its downloads.

    Parameters
    ----------
    drawn
        The chart.
    table
        Its numbers, for CSV.
    keep
        What the figure is called among those kept for presenting.
    on_pick
        Called with the pick (see `charts.description`) of a point, bar or square that is chosen.
    runs
        The runs that it shows; none, the default, for the page's.
    """
    st.subheader(plain_name(drawn.title), anchor=False)
    if drawn.empty:
        st.info(drawn.caption or "There is nothing to show for this choice.")
        return
    drawings = plotly.figures(drawn, shared.dark)
    panels = zip(drawn.panels, drawings, strict=True)
    if len(drawings) == 1:
        place: Any = st.container()
    else:
        place = st.grid(min(3, len(drawings)), min_column_width=300, gap="small")
    for number, (panel, drawing) in enumerate(panels):
        with place.cell() if len(drawings) > 1 else place:
            if panel.title:
                st.markdown(f"**{plain_name(panel.title)}**")
            key = f"chart_{drawn.name}_{number}"
            select: Any = "ignore"
            if on_pick is not None and _pickable(panel):
                select = functools.partial(_picked, key, on_pick)
            st.plotly_chart(
                drawing,
                theme=None,
                key=key,
                config=plotly.CONFIG,
                on_select=select,
                selection_mode="points",
                alt=f"{drawn.alt} {panel.title}".strip(),
            )
    caption(drawn.caption, shared, runs)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        downloads(drawn, shared, table)
        if keep is not None:
            kept_figures.button(keep)


def _pickable(panel: Panel) -> bool:
    return any(not isinstance(layer, Rule) and bool(layer.picks) for layer in panel.layers)


def _picked(key: str, on_pick: Callable[[str], None]) -> None:
    """Hand on what was chosen in a chart; its text comes from the browser, so widgets check it."""
    points = (st.session_state.get(key) or {}).get("selection", {}).get("points", [])
    data = points[0].get("customdata") if points else None
    if isinstance(data, Mapping):
        data = list(data.values())
    if data and isinstance(data[0], str):
        on_pick(data[0])


def caption(text: str, shared: Shared, runs: Sequence[Run] = ()) -> None:
    """Write a caption; says simulated where cells of some runs, else of the page's, are."""
    st.caption(plain_name(with_kind(text, runs or (shared.run,))))


def downloads(drawn: Chart, shared: Shared, table: pd.DataFrame | None) -> None:
    """Offer a chart as SVG, PDF and PNG, and its numbers as CSV; made when asked for."""
    with st.popover("Download", icon=":material/download:", type="tertiary"):
        for kind, mime in figures.FORMATS.items():
            st.download_button(
                kind.upper(),
                functools.partial(cache.file_of, drawn, kind, source_of(shared.run)),
                f"{drawn.name}.{kind}",
                mime,
                key=f"save_{drawn.name}_{kind}",
                on_click="ignore",
                width="stretch",
            )
        if table is not None:
            _csv_button(table, drawn.name, "CSV (the numbers)")


def data(
    frame: pd.DataFrame,
    shared: Shared,
    name: str,
    columns: Mapping[str, Any],
    note: str,
    *,
    on_select: Callable[[], None] | None = None,
    height: int | Literal["auto"] = "auto",
) -> None:
    """Show a table with its caption and a CSV download.

    Parameters
    ----------
    frame
        What to show; the CSV holds all of it.
    name
        For the file and the widget.
    columns
        Column configuration; only these columns are shown, in this order.
    note
        Caption: what it shows, with which n.
    on_select
        Called when a row is chosen (its widget is named ``table_…``).
    """
    selecting: Any = on_select or "ignore"
    shares = [
        name
        for name, column in columns.items()
        if (column.get("type_config") or {}).get("format") in (PERCENT, POINTS)
    ]
    st.dataframe(
        # The table has a button for CSV of its own.
        inert_table(frame.assign(**{name: 100 * frame[name] for name in shares})),
        column_config={inert(name): column for name, column in columns.items()},
        column_order=[inert(name) for name in columns],
        hide_index=True,
        key=f"table_{name}",
        on_select=selecting,
        selection_mode="single-row",
        height=height,
        placeholder="–",
        alt=f"Table. {note}",
    )
    caption(note, shared)
    _csv_button(frame, name, "Download as CSV")


def numbers(entry: Figure[Any], request: Request, shared: Shared, table: pd.DataFrame) -> None:
    """Show a figure's table behind a click.

    Parameters
    ----------
    entry
        Of `dashboard.figures`, with columns.
    request
        What was asked, from `asked`.
    table
        What its query returned.
    """
    with st.expander("The numbers as a table", icon=":material/table_rows:"):
        data(
            named(table),
            shared,
            f"{entry.name}_numbers",
            config(entry.columns(request, table)),
            f"{shared.accuracy.sentence()} {entry.note(request)}".strip(),
        )


def _csv_button(frame: pd.DataFrame, name: str, label: str) -> None:
    st.download_button(
        label,
        functools.partial(_as_csv, frame),
        f"{name}.csv",
        "text/csv",
        key=f"save_{name}_csv",
        on_click="ignore",
        icon=":material/table:" if label.startswith("Download") else None,
        type="tertiary" if label.startswith("Download") else "secondary",
        width="stretch" if not label.startswith("Download") else "content",
    )


def _as_csv(frame: pd.DataFrame) -> bytes:
    return as_csv(frame).encode()


@contextlib.contextmanager
def guarded(what: str) -> Iterator[None]:
    """Explain in place what keeps a section from being shown; the rest of the page goes on."""
    try:
        yield
    except BystanderError as error:
        problem(error, what)


def problem(error: BystanderError, what: str = "") -> None:
    """Say what is wrong and what to do."""
    start = f"**{what} cannot be shown.** " if what else ""
    st.info(
        f"{start}{plain_name(error.problem)} {plain_name(error.remedy)}", icon=":material/info:"
    )


def config(columns: Columns) -> dict[str, Any]:
    """Return a figure's columns as a table widget takes them."""
    return {name: _config(column) for name, column in columns.items()}


def _config(column: Column) -> Any:
    if column.written == Written.PERCENT:
        return percent(column.title, column.help)
    if column.written == Written.POINTS:
        return points(column.title, column.help)
    if column.written == Written.COUNT:
        return number(column.title, "%d", column.help)
    if column.written == Written.NUMBER:
        return number(column.title, column.form, column.help)
    return text(column.title, column.help)


def percent(label: str, help_: str | None = None) -> Any:
    """Return a column of shares shown as percent, to one decimal."""
    return st.column_config.NumberColumn(label, help=help_, format=PERCENT)


def points(label: str, help_: str | None = None) -> Any:
    """Return a column of differences of shares, shown in percentage points."""
    return st.column_config.NumberColumn(label, help=help_, format=POINTS)


def number(label: str, form: str = "%.3f", help_: str | None = None) -> Any:
    """Return a column of numbers."""
    return st.column_config.NumberColumn(label, help=help_, format=form)


def text(label: str, help_: str | None = None) -> Any:
    """Return a column of text."""
    return st.column_config.TextColumn(label, help=help_)
