"""Tables of a drop's steps to chart descriptions: a waterfall for each model."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import pandas as pd

from compute.schema import STEPS, Condition, DropPart, Step
from dashboard import wording
from dashboard.charts.accuracy import joined, sample_size, tuples
from dashboard.charts.description import Axis, Bars, Chart, Layer, Panel, Points, Rule
from dashboard.theme import MUTED, condition_ink, model_marks, model_title

WAY = tuple(step for step, spec in STEPS.items() if step != Step.TOTAL and not spec.left_after)
"""The steps from unaltered crops to the background of another class, in their order."""

WHOLE = "The whole drop"
"""What the bar below the steps is called."""


def waterfall(table: pd.DataFrame, sentence: str) -> Chart:
    """Draw what the drop on the background of another class is made of, a panel for each model.

    Each bar begins where the one above it ends; the last is their sum. A model that loses less
    than `wording.CLEAR` has no panel.

    Parameters
    ----------
    table
        From `queries.answers.steps`.
    sentence
        The filter in English.
    """
    marks = model_marks(table["model"])
    known = {
        model: found
        for model in sorted(table["model"].unique(), key=list(marks).index)
        if (found := _steps(table, str(model))).keys() >= set(WAY)
    }
    ways = {model: way for model, way in known.items() if _sum(way) >= wording.CLEAR}
    span = _span(ways)
    panels = tuple(_panel(model, way, span) for model, way in ways.items())
    caption = ""
    if panels:
        meant = " ".join(f"{STEPS[step].title}: {STEPS[step].definition}." for step in WAY)
        caption = joined(
            meant,
            _second_cell(ways),
            _left_out([model for model in known if model not in ways]),
            sentence,
            wording.unit_note(table),
            sample_size(table),
        )
    said = title(ways) if ways or not known else "No drop is large enough to be taken apart"
    return Chart("steps_of_a_drop", said, caption, panels)


def title(ways: Mapping[str, Mapping[Step, Any]]) -> str:
    """Return a title on the step that takes most of the largest drop."""
    if not ways:
        return "No drop was taken apart"
    model = max(ways, key=lambda name: _sum(ways[name]))
    way, whole = ways[model], _sum(ways[model])
    most = max(WAY, key=lambda step: float(way[step].estimate))
    share = wording.points(float(way[most].estimate))
    cause = STEPS[most].title
    return (
        f"Of the {wording.points(whole)} that {model_title(model)} loses "
        f"{wording.on_background(Condition.DIFFERENT)}, {share} come with "
        f"{cause[:1].lower()}{cause[1:]}"
    )


def _steps(table: pd.DataFrame, model: str) -> dict[Step, Any]:
    """Return a model's whole steps, without the parts that are rescaling and context."""
    rows = table[(table["model"] == model) & (table["part"] == DropPart.TOTAL)]
    return {Step(row.step): row for row in wording.records(rows) if wording.known(row.estimate)}


def _sum(way: Mapping[Step, Any]) -> float:
    return sum(float(way[step].estimate) for step in WAY)


def _places(way: Mapping[Step, Any]) -> tuple[list[float], list[float]]:
    """Return where each step begins, the first at 0, and where it ends."""
    places = list(accumulate((float(way[step].estimate) for step in WAY), initial=0.0))
    return places[:-1], places[1:]


def _span(ways: Mapping[str, Mapping[Step, Any]]) -> tuple[float, float]:
    """Return an axis that holds all bars and intervals, with room for the numbers beside them."""
    places = [0.0, 0.02]
    for way in ways.values():
        for step, start, end in zip(WAY, *_places(way), strict=True):
            moved = (way[step].ci_low, way[step].ci_high)
            places += [end, *(start + float(value) for value in moved if wording.known(value))]
    low, high = min(places), max(places)
    return low - 0.04 * (high - low), high + 0.22 * (high - low)


def _panel(model: str, way: Mapping[Step, Any], span: tuple[float, float]) -> Panel:
    starts, ends = _places(way)
    layers: list[Layer] = [Rule("x", 0)]
    for number, (step, start) in enumerate(zip(WAY, starts, strict=True)):
        row = way[step]
        intervals = [
            None if not wording.known(value) else start + float(value)
            for value in (row.ci_low, row.ci_high)
        ]
        layers.append(
            Bars(
                "",
                (float(number),),
                (float(row.estimate),),
                condition_ink(STEPS[step].after),
                0.62,
                (start,),
                horizontal=True,
                low=(intervals[0],),
                high=(intervals[1],),
                hover=(_hover(row, model, step),),
            )
        )
    whole = ends[-1]
    last = float(len(WAY))
    said = (
        f"{model_title(model)}\n{WHOLE}: {wording.points(whole)}\n{wording.tested_on(way[WAY[0]])}"
    )
    layers.append(
        Bars(
            "",
            (last,),
            (whole,),
            condition_ink(Condition.UNALTERED),
            0.62,
            horizontal=True,
            hover=(said,),
        )
    )
    layers += [_joints(ends), _numbers(way, starts, ends, 0.012 * (span[1] - span[0]))]
    titles = (*(STEPS[step].title for step in WAY), WHOLE)
    names = tuple("\n".join(title.rsplit(" ", 1)) for title in titles)
    return Panel(
        Axis("Drop in accuracy", range=span, unit="points"),
        Axis("", names, reversed_=True),
        tuple(layers),
        model_title(model),
        height=120 + 46 * len(names),
    )


def _joints(ends: list[float]) -> Points:
    """Return the thin lines from the end of each bar to the beginning of the next."""
    x: list[float | None] = []
    y: list[float | None] = []
    for number, end in enumerate(ends):
        x += [end, end, None]
        y += [number + 0.31, number + 0.69, None]
    return Points("", tuple(x), tuple(y), MUTED, marks=False, line=True, width=1)


def _numbers(
    way: Mapping[Step, Any], starts: list[float], ends: list[float], room: float
) -> Points:
    """Return the numbers beside the bars, right of their intervals by some room."""
    highs = tuples(pd.Series([way[step].ci_high for step in WAY], dtype=float))
    places = [
        max(start, end, start + (high or 0.0)) + room
        for start, end, high in zip(starts, ends, highs, strict=True)
    ]
    values = [float(way[step].estimate) for step in WAY]
    return Points(
        "",
        (*places, max(0.0, ends[-1]) + room),
        tuple(float(number) for number in range(len(WAY) + 1)),
        MUTED,
        marks=False,
        text=(*map(_signed, values), _number(ends[-1])),
        text_at=("middle right",) * (len(WAY) + 1),
    )


def _number(value: float) -> str:
    """Return points without their unit, which stands at the axis."""
    return wording.points(value).split(" ")[0]


def _signed(value: float) -> str:
    """Return points with their sign."""
    number = _number(value)
    return number if number.startswith("−") or number == "0.0" else f"+{number}"


def _hover(row: Any, model: str, step: Step) -> str:
    return (
        f"{model_title(model)}\n{STEPS[step].title}: {wording.points(row.estimate)} "
        f"({wording.interval(row.ci_low, row.ci_high)})\n{STEPS[step].definition}\n"
        f"{wording.tested_on(row)}"
    )


def _left_out(models: Sequence[str]) -> str:
    """Say which models lose too little for their drop to be taken apart."""
    names = ", ".join(model_title(name) for name in models)
    return f"Less than {wording.points(wording.CLEAR)} are lost by {names}." if names else ""


def _second_cell(ways: Mapping[str, Mapping[Step, Any]]) -> str:
    """Say what the paper's composites lose beyond the whole drop."""
    each = [
        f"{model_title(model)} {wording.points(way[Step.SECOND_CELL].estimate)}"
        for model, way in ways.items()
        if Step.SECOND_CELL in way
    ]
    if not each:
        return ""
    return (
        f"Not drawn: where the other image's own cell is left behind the pasted one, as in the "
        f"paper, so much is lost on top: {', '.join(each)}."
    )
