"""Figures that set models of one or several runs side by side."""

from typing import Any

import pandas as pd

from dashboard import wording
from dashboard.charts import compare as charts
from dashboard.charts.differences import differences as drawn_differences
from dashboard.charts.measure import in_words_of
from dashboard.figures import keys, parameters, tables
from dashboard.figures.figure import MEASURED, Figure
from dashboard.figures.request import Request
from dashboard.figures.slide import Grid
from dashboard.figures.tables import Column, Columns, Written, written
from dashboard.queries import comparable_runs, compare, differences
from dashboard.queries.beside_baselines import beside_baselines
from dashboard.queries.comparable_runs import Comparison, Entry


def joined_ends(first: Entry, second: Entry) -> dict[str, str]:
    """Return two models of runs as the parameters ``first`` and ``second``."""
    ends = (("first", first), ("second", second))
    return {side: keys.joined((entry.run.key, entry.model)) for side, entry in ends}


def _choice(asked: Request) -> compare.Choice:
    return asked.accuracy.protocol, asked.accuracy.probe, asked.accuracy.aggregation


def _named_runs(asked: Request, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys of the runs that are compared."""
    return tuple(dict.fromkeys(keys.split(asked.values.get("runs", "")) or otherwise))


def _comparison(asked: Request, otherwise: tuple[str, ...]) -> Comparison:
    named = _named_runs(asked, otherwise)
    return comparable_runs.comparison(asked.ask, [asked.open_runs[name] for name in named])


def _ends(asked: Request) -> tuple[Entry, Entry]:
    """Return the two models, named with their runs where several runs are compared."""
    ends = [tuple(keys.split(asked.values[side])) for side in ("first", "second")]
    found = _comparison(asked, (ends[0][0], ends[1][0]))
    alone = all(entry.alone for entry in found.entries)
    one, two = (Entry(asked.open_runs[run], model, alone) for run, model in ends)
    return one, two


def _leaderboard(asked: Request) -> pd.DataFrame:
    return compare.leaderboard(
        asked.ask,
        _comparison(asked, (asked.run.key,)),
        _choice(asked),
        asked.condition,
        asked.values["sort"],
    )


def _unranked(asked: Request) -> str:
    return comparable_runs.unlike_heads(
        _comparison(asked, (asked.run.key,)), asked.accuracy.protocol
    )


def _left_out(asked: Request) -> str:
    found = _comparison(asked, (asked.run.key,))
    beside = beside_baselines(asked.ask, found, _choice(asked), asked.condition)
    return " ".join((*beside, *found.notes, *found.left_out))


def _class_pairs(asked: Request) -> pd.DataFrame:
    first, second = _ends(asked)
    found = _comparison(asked, (first.run.key, second.run.key))
    return compare.class_pairs(asked.ask, found, first, second, _choice(asked), asked.condition)


def _shift_pairs(asked: Request) -> pd.DataFrame:
    first, second = _ends(asked)
    return compare.shift_pairs(
        asked.ask, first, second, asked.protocol, asked.condition, asked.threshold
    )


def _differences(asked: Request) -> pd.DataFrame:
    found = differences.of_pairs(asked.ask, [_ends(asked)], asked.protocol, asked.probe)
    return found.table


def _difference_notes(asked: Request) -> str:
    first, second = _ends(asked)
    return "" if first.run.key == second.run.key else " ".join(differences.notes_of(asked.probe))


def short_differences(table: pd.DataFrame, condition: str) -> Grid:
    """Write differences between models for a terminal, each interval and p beside its number.

    Parameters
    ----------
    table
        Of `queries.differences.differences`.
    condition
        Whose drop is shown.
    """
    wanted = {
        "Unaltered": ("accuracy", "unaltered"),
        "Drop": ("drop", condition),
        "Gap": ("gap", "different"),
    }
    rows = []
    for (model, other), some in table.groupby(["model", "other"], sort=False):
        texts = []
        for quantity, of in wanted.values():
            one = some[(some["quantity"] == quantity) & (some["condition"] == of)]
            texts.append(_with_interval(wording.records(one)[0]) if len(one) else "–")
        rows.append((f"{model} − {other}", *texts))
    note = (
        "The first model minus the second, on the same cells and backgrounds: accuracy on "
        f"unaltered crops, drop {wording.on_background(condition)}, background gap. Points of "
        f"accuracy with {wording.level()} intervals and Holm's p."
    )
    return Grid(("Models", *wanted), tuple(rows), note)


def _with_interval(row: Any) -> str:
    value, low, high = (
        written(getattr(row, name), Written.POINTS) for name in ("estimate", "ci_low", "ci_high")
    )
    return f"{value} ({low} to {high}; {wording.p_text(row.p_holm)})"


def _titles(asked: Request) -> tuple[str, str]:
    first, second = _ends(asked)
    return first.title, second.title


BOARD: Columns = {
    "rank": Column("Rank", Written.COUNT),
    "entry": tables.MODEL,
    "accuracy": Column("Unaltered", Written.PERCENT),
    "drop": Column(
        "Drop (points)", Written.POINTS, "Unaltered accuracy minus that of the condition"
    ),
    "drop_low": Column("Drop from", Written.POINTS),
    "drop_high": Column("to", Written.POINTS),
    "gap": Column("Gap (points)", Written.POINTS, "Same class minus different class"),
    "gap_low": Column("Gap from", Written.POINTS),
    "gap_high": Column("to ", Written.POINTS),
    "n_cells": tables.CELLS,
    "n_proteins": tables.PROTEINS,
}
"""Columns of the leaderboard."""


def short_board(table: pd.DataFrame) -> Grid:
    """Write a leaderboard for a terminal, each interval beside its number.

    Parameters
    ----------
    table
        From `queries.compare.leaderboard`.
    """

    def both(row: Any, measure: str) -> str:
        value, low, high = (
            written(getattr(row, f"{measure}{end}"), Written.POINTS)
            for end in ("", "_low", "_high")
        )
        return value if "–" in (low, high) else f"{value} ({low} to {high})"

    rows = tuple(
        (
            written(row.rank, Written.COUNT),
            str(row.entry),
            written(row.accuracy, Written.PERCENT),
            both(row, "drop"),
            both(row, "gap"),
            written(row.n_cells, Written.COUNT),
            written(row.n_proteins, Written.COUNT),
        )
        for row in wording.records(table)
    )
    return Grid(
        ("", "Model", "Unaltered", "Drop (points)", "Gap (points)", "Cells", "Proteins"), rows
    )


LEADERBOARD = Figure(
    "leaderboard",
    "Leaderboard",
    query=_leaderboard,
    chart=lambda asked, table: in_words_of(
        asked.accuracy.measure,
        charts.leaderboard(
            table, asked.condition, asked.accuracy.sentence(), asked.chance, _unranked(asked)
        ),
    ),
    columns=lambda asked, table: BOARD,
    note=_left_out,
    defines=lambda asked, table: (asked.condition,),
    parameters={
        "condition": parameters.CONDITION,
        "sort": parameters.SORT,
        "runs": parameters.RUNS,
    },
    filters=MEASURED,
)

SHIFT_PAIRS = Figure(
    "shift_pairs",
    "Two models' shifts",
    query=_shift_pairs,
    chart=lambda asked, table: charts.shift_pairs(
        table, *_titles(asked), asked.condition, asked.threshold
    ),
    defines=lambda asked, table: (asked.condition,),
    parameters={
        "first": parameters.ENTRY,
        "second": parameters.ENTRY,
        "condition": parameters.CONDITION,
        "threshold": parameters.SHARE,
        "runs": parameters.RUNS,
    },
    filters=("protocol",),
    tables=("shifts",),
)

CLASS_PAIRS = Figure(
    "class_pairs",
    "Two models' drops by class",
    query=_class_pairs,
    chart=lambda asked, table: in_words_of(
        asked.accuracy.measure,
        charts.class_pairs(table, *_titles(asked), asked.condition),
    ),
    defines=lambda asked, table: (asked.condition,),
    parameters={
        "first": parameters.ENTRY,
        "second": parameters.ENTRY,
        "condition": parameters.CONDITION,
        "runs": parameters.RUNS,
    },
    filters=MEASURED,
    tables=("effects",),
)

DIFFERENCES = Figure(
    "differences",
    "Two models' difference, tested",
    query=_differences,
    chart=lambda asked, table: drawn_differences(
        table, *_titles(asked), asked.accuracy.sentence(), _difference_notes(asked)
    ),
    columns=lambda asked, table: {
        "quantity": Column("What"),
        "condition": tables.CONDITION,
        "estimate": Column("Difference, points", Written.POINTS, "The first minus the second"),
        "ci_low": Column("from", Written.POINTS),
        "ci_high": Column("to", Written.POINTS),
        "p_holm": Column("p (Holm)", Written.NUMBER, form="%.4f"),
        "n_cells": tables.CELLS,
        "n_proteins": tables.PROTEINS,
    },
    note=lambda asked: (
        "p: sign flips of whole proteins, Holm over all pairs of models of the run and all "
        "conditions; the controls have none."
    ),
    defines=lambda asked, table: table["condition"],
    parameters={
        "first": parameters.ENTRY,
        "second": parameters.ENTRY,
        "runs": parameters.RUNS,
    },
    filters=MEASURED,
    tables=("model_differences",),
    absent="tested differences between models",
)

FIGURES = (LEADERBOARD, SHIFT_PAIRS, CLASS_PAIRS, DIFFERENCES)
