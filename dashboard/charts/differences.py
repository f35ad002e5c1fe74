"""Tested differences between two models as a chart description."""

from typing import Any

import pandas as pd

from compute.schema import Condition
from compute.statistics.config import ALPHA
from dashboard import wording
from dashboard.charts.accuracy import joined, sample_size, tuples
from dashboard.charts.description import Axis, Chart, Layer, Panel, Points, Rule
from dashboard.theme import ALERT, MUTED, condition_title

DIFFERENCES = {
    "accuracy": "Accuracy",
    "drop": "Drop",
    "gap": "Background gap",
}
"""Titles of what two models are compared in, a panel each."""


def differences(table: pd.DataFrame, first: str, second: str, sentence: str, note: str) -> Chart:
    """Draw by how much two entries differ in accuracy, drop and gap, with intervals.

    Parameters
    ----------
    table
        From `queries.differences.of_pairs`, of one pair.
    first, second
        Titles of the entries.
    sentence
        The filter in English.
    note
        What has to be said of the intervals; empty for nothing.
    """
    panels = []
    for quantity, title in DIFFERENCES.items():
        rows = table[table["quantity"] == quantity].reset_index(drop=True)
        if rows.empty:
            continue
        layers: list[Layer] = [Rule("x", 0)]
        for told in (True, False):
            places = [i for i, row in enumerate(wording.records(rows)) if _told(row) == told]
            some = rows.iloc[places]
            if some.empty:
                continue
            known = some["ci_low"].notna().all()
            layers.append(
                Points(
                    "told apart" if told else "not told apart",
                    tuples(some["estimate"]),
                    tuple(float(place) for place in places),
                    ALERT if told else MUTED,
                    tuples(some["ci_low"]) if known else (),
                    tuples(some["ci_high"]) if known else (),
                    along_x=True,
                    symbol="circle" if told else "square",
                    open_=not told,
                    size=9,
                    hover=tuple(_difference_hover(row) for row in wording.records(some)),
                )
            )
        panels.append(
            Panel(
                Axis(f"{title}: {first} minus {second}", unit="points"),
                Axis("", tuple(condition_title(c) for c in rows["condition"]), reversed_=True),
                tuple(layers),
                title,
                height=130 + 30 * len(rows),
            )
        )
    told_apart = (
        f"Filled: told apart (the {wording.level()} interval is off zero, and p is at most "
        f"{ALPHA:g} where it was adjusted for all comparisons of models)."
    )
    caption = joined(
        f"{first} minus {second} on the same cells and the same backgrounds; right of zero the "
        "first has the larger number.",
        told_apart if table["ci_low"].notna().any() else "",
        sentence,
        wording.unit_note(table),
        sample_size(table),
        note,
    )
    return Chart("differences", _difference_title(table, first, second), caption, tuple(panels))


def _told(row: Any) -> bool:
    """Whether a difference is told from zero, by its interval and by its adjusted p."""
    if not (wording.known(row.ci_low) and wording.known(row.ci_high)):
        return False
    off = row.ci_low > 0 or row.ci_high < 0
    return bool(off and (not wording.known(row.p_holm) or row.p_holm <= ALPHA))


def _difference_hover(row: Any) -> str:
    holm = f", Holm {wording.p_text(row.p_holm)}" if wording.known(row.p_holm) else ""
    return (
        f"{condition_title(row.condition)}\n{wording.points(row.estimate)} "
        f"({wording.interval(row.ci_low, row.ci_high, row.unit)}{holm})\n{wording.tested_on(row)}"
    )


def _difference_title(table: pd.DataFrame, first: str, second: str) -> str:
    """Say the largest difference in drops that is told from zero; zeros are not neighbours."""
    drops = wording.records(table[table["quantity"] == "drop"])
    if not drops:
        return f"No difference of {first} and {second} was computed in this probe"
    told = [row for row in drops if _told(row) and row.condition in wording.SWAPS]
    neighbours = [row for row in told if row.condition != Condition.MASKED]
    if told and not neighbours:
        return f"{first} and {second}: their drops differ only where all else is set to zero"
    told = neighbours
    if not told:
        return f"{first} and {second}: no difference between their drops is told from zero"
    row = max(told, key=lambda one: abs(one.estimate))
    more, less = (first, second) if row.estimate > 0 else (second, first)
    return (
        f"{more} loses {wording.points(abs(row.estimate))} more than {less} "
        f"{wording.on_background(row.condition)}"
    )
