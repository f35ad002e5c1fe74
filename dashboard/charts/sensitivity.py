"""Findings under other settings to a chart description."""

from typing import Any

import pandas as pd

from compute.schema import CHOICES, Choice, Effect
from dashboard import wording
from dashboard.charts.accuracy import joined, sample_size, tuples
from dashboard.charts.description import Axis, Chart, Layer, Panel, Points, Rule
from dashboard.theme import condition_title, model_marks, model_title

QUESTION = "Does the finding hang on the analyst's choices?"

TITLES = {
    Choice.MASK: "Mask",
    Choice.LAYER: "Layer",
    Choice.POOLING: "Pooling",
    Choice.HARMONISE: "Scale by",
    Choice.PASTE: "Paste",
}
"""Choices as a chart names them, before the setting."""


def by_setting(table: pd.DataFrame, quantity: str, condition: str, sentence: str) -> Chart:
    """Draw a finding under every setting with its interval, a panel for each model.

    Parameters
    ----------
    table
        From `queries.accuracy.sensitivity`, in its order.
    quantity, condition
        What is drawn: `drop` or `gap`, and its condition.
    sentence
        The filter in English.
    """
    marks = model_marks(table["model"])
    ends = table[["estimate", "ci_low", "ci_high"]]
    low = min(-0.01, float(ends.min().min()) - 0.01) if len(table) else -0.02
    high = max(0.05, float(ends.max().max()) + 0.01) if len(table) else 0.05
    panels = []
    for model in sorted(table["model"].unique(), key=list(marks).index):
        rows = table[table["model"] == model].reset_index(drop=True)
        mark = marks[model]
        base = rows[rows["is_base"]]["estimate"]
        layers: list[Layer] = [Rule("x", 0)]
        if len(base):
            layers.append(Rule("x", float(base.iloc[0])))
        for own, name in ((True, "the run's own setting"), (False, "another setting")):
            some = rows[rows["is_base"] == own]
            layers.append(
                Points(
                    name,
                    tuples(some["estimate"]),
                    tuple(float(place) for place in some.index),
                    mark.ink,
                    tuples(some["ci_low"]),
                    tuples(some["ci_high"]),
                    along_x=True,
                    symbol=mark.symbol,
                    open_=not own,
                    size=11 if own else 9,
                    hover=tuple(_hover(row, model) for row in wording.records(some)),
                )
            )
        names = tuple(setting_title(row) for row in wording.records(rows))
        panels.append(
            Panel(
                Axis(_named(quantity, condition), range=(low, high), unit="points"),
                Axis("", names, reversed_=True),
                tuple(layers),
                model_title(model),
                height=130 + 26 * len(rows),
            )
        )
    caption = joined(
        f"{_named(quantity, condition)} with one choice moved at a time from the run's own, the "
        "same cells on the same donors. Filled marks and the line: the run's own setting.",
        sentence,
        wording.unit_note(table),
        sample_size(table),
        _masks(table),
    )
    return Chart("sensitivity", title(table, quantity), caption, tuple(panels))


def setting_title(row: Any) -> str:
    """Return what a chart calls a setting, such as ``Mask +2 pixels``."""
    choice = Choice(row.choice)
    if choice is Choice.MASK:
        shift = f"{int(row.shift):+d} pixels".replace("-", "−")
        return f"{TITLES[choice]} {shift}" if int(row.shift) else f"{TITLES[choice]} as it is"
    return f"{TITLES[choice]} {row.setting}"


def title(table: pd.DataFrame, quantity: str) -> str:
    """Return the question with its answer: the model whose finding moves most, and how far."""
    if table.empty:
        return QUESTION
    spread = table.groupby("model")["estimate"].agg(lambda found: found.max() - found.min())
    model = str(spread.idxmax())
    rows = table[table["model"] == model]
    own = rows[rows["is_base"]]["estimate"]
    low, high = float(rows["estimate"].min()), float(rows["estimate"].max())
    what = "background gap" if quantity == Effect.GAP else "drop"
    start = f"{QUESTION} {model_title(model, short=True)}'s {what} most"
    here = f", {wording.points(float(own.iloc[0]))} here" if len(own) else ""
    return f"{start}: from {wording.points(low)} to {wording.points(high)}{here}"


def _named(quantity: str, condition: str) -> str:
    if quantity == Effect.GAP:
        return "Background gap"
    return f"Drop in accuracy, {condition_title(condition).lower()}"


def _masks(table: pd.DataFrame) -> str:
    """Say how many cells a moved mask has lost or cut; empty where it is none."""
    said = []
    for row in wording.records(table[table["choice"] == Choice.MASK].drop_duplicates("setting")):
        parts = [
            f"{wording.count(number, 'cell')} {words}"
            for number, words in (
                (row.n_empty, "without any mask left"),
                (row.n_border, "with a mask that touches the border"),
            )
            if wording.known(number) and number
        ]
        if parts:
            said.append(f"{setting_title(row)}: {' and '.join(parts)}.")
    return " ".join(said)


def _hover(row: Any, model: str) -> str:
    text = (
        f"{model_title(model)}, {setting_title(row).lower()}\n({CHOICES[Choice(row.choice)]})\n"
        f"{wording.points(row.estimate)} ({wording.interval(row.ci_low, row.ci_high)})\n"
    )
    if wording.known(row.difference):
        moved = wording.interval(row.difference_low, row.difference_high)
        text += f"{wording.points(row.difference)} from the run's own ({moved})\n"
    return f"{text}{wording.tested_on(row)}"
