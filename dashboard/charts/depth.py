"""The drop or the gap at each layer of a network, to a chart description."""

from typing import Any

import pandas as pd

from compute.schema import Effect
from dashboard import wording
from dashboard.charts.accuracy import joined, sample_size, tuples
from dashboard.charts.description import Axis, Chart, Panel, Points, Rule
from dashboard.theme import condition_title, model_marks, model_title

TITLE = "Drop by depth"


def by_depth(table: pd.DataFrame, quantity: str, condition: str, sentence: str) -> Chart:
    """Draw a finding at each layer with its interval, a panel and a line for each network.

    Parameters
    ----------
    table
        From `queries.depth.by_depth`.
    quantity, condition
        What is drawn: `drop` or `gap`, and its condition.
    sentence
        The filter in English.
    """
    marks = model_marks(table["network"])
    ends = table[["estimate", "ci_low", "ci_high"]].astype(float)
    low = min(-0.01, float(ends.min().min()) - 0.01) if len(table) else -0.02
    high = max(0.05, float(ends.max().max()) + 0.01) if len(table) else 0.05
    panels = []
    for _, rows in table.groupby("line"):
        mark = marks[rows["network"].iloc[0]]
        name = _named(table, rows)
        panels.append(
            Panel(
                Axis("Layer, first to last", tuple(rows["layer"])),
                Axis(_axis(quantity, condition), range=(low, high), unit="points"),
                (
                    Rule("y", 0),
                    Points(
                        name,
                        tuple(map(float, range(len(rows)))),
                        tuples(rows["estimate"]),
                        mark.ink,
                        tuples(rows["ci_low"]),
                        tuples(rows["ci_high"]),
                        symbol=mark.symbol,
                        line=True,
                        dash=mark.dash,
                        hover=tuple(_hover(row, name) for row in wording.records(rows)),
                    ),
                ),
                name,
            )
        )
    caption = joined(
        f"{_axis(quantity, condition)} where the embedding is taken from each of a network's "
        "layers, in the order in which the network computes them; the cells and their backgrounds "
        "are the same at every layer. Each interval is that of its own layer.",
        sentence,
        wording.unit_note(table),
        sample_size(table),
    )
    return Chart("depth", title(table, quantity), caption, tuple(panels), legend=False)


def title(table: pd.DataFrame, quantity: str) -> str:
    """Return the finding: the network whose layers differ most, and whether they are told apart."""
    if table.empty:
        return TITLE
    what = "background gap" if quantity == Effect.GAP else "drop"
    lines = [rows for _, rows in table.groupby("line")]
    told = [rows for rows in lines if _told_apart(rows)]
    rows = max(told or lines, key=lambda some: some["estimate"].max() - some["estimate"].min())
    whose = f"{_named(table, rows, short=True)}'s {what}"
    least, most = _ends(rows)
    low, high = wording.points(least.estimate), wording.points(most.estimate)
    if told:
        first, last = sorted((least, most), key=lambda row: row.depth)
        verb, start, end = ("falls", high, low) if first is most else ("rises", low, high)
        return (
            f"{whose} {verb} from {start.removesuffix(' points')} to {end} "
            f"from {first.layer} to {last.layer}"
        )
    span = low if low == high else f"{low.removesuffix(' points')} to {high}"
    if not rows[["ci_low", "ci_high"]].notna().all(axis=None):
        return f"{whose} is {span} between its layers; not all of them have an interval"
    if most.estimate - least.estimate < wording.CLEAR:
        return f"{whose} is about the same at every layer: {span}"
    return f"{whose} is not seen to differ between layers: {span}, with intervals that overlap"


def _ends(rows: pd.DataFrame) -> tuple[Any, Any]:
    """Return the layers with the least and the largest estimate."""
    ordered = rows.sort_values("estimate", kind="stable")
    least, most = wording.records(ordered.iloc[[0, -1]])
    return least, most


def _told_apart(rows: pd.DataFrame) -> bool:
    """Tell whether the intervals of the least and the largest estimate lie apart."""
    least, most = _ends(rows)
    ends = least.ci_high, most.ci_low
    return all(map(wording.known, ends)) and ends[0] < ends[1]


def _named(table: pd.DataFrame, rows: pd.DataFrame, short: bool = False) -> str:
    """Return a network's name, with its pooling where it is shown with two."""
    network, pooling = rows["network"].iloc[0], rows["pooling"].iloc[0]
    title = model_title(network, short=short)
    others = table[table["network"] == network]["pooling"].nunique()
    return f"{title} ({pooling.replace('_', ' ')})" if others > 1 else title


def _axis(quantity: str, condition: str) -> str:
    if quantity == Effect.GAP:
        return "Background gap"
    return f"Drop in accuracy, {condition_title(condition).lower()}"


def _hover(row: Any, name: str) -> str:
    return (
        f"{name}, {row.layer}\n{wording.points(row.estimate)} "
        f"({wording.interval(row.ci_low, row.ci_high, row.unit)})\n{wording.tested_on(row)}"
    )
