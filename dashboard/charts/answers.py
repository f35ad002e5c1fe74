"""Tables of changed answers to chart descriptions: flips, backgrounds, parts of a drop."""

from typing import Any, Literal

import pandas as pd

from compute.schema import DROP_PARTS, FLIP_DIRECTIONS, DropPart, Flip
from dashboard import wording
from dashboard.charts.accuracy import sample_size
from dashboard.charts.description import Axis, Bars, Chart, Heat, Layer, Panel, Points, Rule, pick
from dashboard.theme import DIVERGING, condition_title, in_order, model_marks, model_title

FLIP_NAMES: dict[Flip, str] = {
    Flip.LOST: "lost: right to wrong",
    Flip.GAINED: "gained: wrong to right",
    Flip.MOVED: "moved: wrong to wrong",
}
PATTERNS: dict[str, Literal["", "/", "."]] = {
    Flip.LOST: "",
    Flip.GAINED: "/",
    Flip.MOVED: ".",
    DropPart.RESCALING: "/",
    DropPart.CONTEXT: "",
}
Kind = Literal["drop", "attraction"]


def flips(table: pd.DataFrame, *, own: bool = False) -> Chart:
    """Draw the answers that change, in every direction, by condition, a panel for each model.

    Parameters
    ----------
    table
        From `queries.answers.flips`.
    own
        Whether the answers are the models' own, which no probe gives; False by default.
    """
    conditions = in_order(table["condition"].unique())
    top = float(max(table["ci_high"].max(), table["estimate"].max())) if len(table) else 0.1
    panels = []
    marks = model_marks(table["model"])
    for model in sorted(table["model"].unique(), key=list(marks).index):
        rows = table[table["model"] == model]
        layers: list[Layer] = []
        for number, (direction, name) in enumerate(FLIP_NAMES.items()):
            some = _of_conditions(rows[rows["direction"] == direction], conditions)
            layers.append(
                Bars(
                    name,
                    tuple(place + (number - 1) * 0.26 for place, _ in some),
                    tuple(float(row.estimate) for _, row in some),
                    marks[model].ink,
                    0.24,
                    horizontal=True,
                    low=tuple(_number(row.ci_low, row.estimate) for _, row in some),
                    high=tuple(_number(row.ci_high, row.estimate) for _, row in some),
                    pattern=PATTERNS[direction],
                    hover=tuple(
                        f"{model_title(model)}, {condition_title(row.condition)}\n"
                        f"{FLIP_DIRECTIONS[direction]}: {wording.percent(row.estimate)} of trials\n"
                        f"{wording.interval(row.ci_low, row.ci_high)}\n{wording.tested_on(row)}"
                        for _, row in some
                    ),
                    picks=tuple(pick(str(direction), row.condition, model) for _, row in some),
                )
            )
        panels.append(
            _by_condition(model, conditions, layers, "Share of trials", (0, 1.05 * top), "%")
        )
    of = "of the model itself" if own else "of the multi-class probe"
    caption = (
        f"Answers {of} on each new background beside the same cell's unaltered one, as a share of "
        f"all trials. {_directions()} {wording.unit_note(table)} {sample_size(table)}"
    )
    return Chart("flips", flips_title(table), caption, tuple(panels))


def flips_title(table: pd.DataFrame) -> str:
    """Return a title on how many right answers are lost at worst, and gained there."""
    worst = wording.worst(table[table["direction"] == Flip.LOST])
    if worst is None:
        return "How answers change"
    same = (table["model"] == worst.model) & (table["condition"] == worst.condition)
    gained = table[same & (table["direction"] == Flip.GAINED)]["estimate"]
    back = f" and {wording.percent(gained.iloc[0])} wrong ones put right" if len(gained) else ""
    return (
        f"{wording.percent(worst.estimate)} of {model_title(worst.model)}'s answers are right "
        f"unaltered and wrong {wording.on_background(worst.condition)}{back}"
    )


def _directions() -> str:
    return " ".join(f"{str(d).capitalize()}: {words}." for d, words in FLIP_DIRECTIONS.items())


def rescaling(table: pd.DataFrame) -> Chart:
    """Draw drops in two parts by condition, a panel for each model.

    Parameters
    ----------
    table
        From `queries.answers.rescaling`.
    """
    conditions = in_order(table["condition"].unique())
    marks = model_marks(table["model"])
    ends = table[["estimate", "ci_low", "ci_high"]]
    low = min(0.0, float(ends.min().min())) if len(table) else 0.0
    high = max(0.02, float(ends.max().max())) if len(table) else 0.1
    panels = []
    for model in sorted(table["model"].unique(), key=list(marks).index):
        rows = table[table["model"] == model]
        layers: list[Layer] = [Rule("x", 0)]
        for part, offset in ((DropPart.RESCALING, -0.16), (DropPart.CONTEXT, 0.16)):
            some = _of_conditions(rows[rows["part"] == part], conditions)
            layers.append(
                Bars(
                    str(part),
                    tuple(place + offset for place, _ in some),
                    tuple(float(row.estimate) for _, row in some),
                    marks[model].ink,
                    0.3,
                    horizontal=True,
                    low=tuple(_number(row.ci_low, row.estimate) for _, row in some),
                    high=tuple(_number(row.ci_high, row.estimate) for _, row in some),
                    pattern=PATTERNS[part],
                    hover=tuple(_part_hover(row, model, part) for _, row in some),
                )
            )
        some = _of_conditions(rows[rows["part"] == DropPart.TOTAL], conditions)
        layers.append(
            Points(
                "whole drop",
                tuple(float(row.estimate) for _, row in some),
                tuple(float(place) + 0.38 for place, _ in some),
                marks[model].ink,
                tuple(_number(row.ci_low, row.estimate) for _, row in some),
                tuple(_number(row.ci_high, row.estimate) for _, row in some),
                along_x=True,
                symbol="diamond",
                open_=True,
                size=9,
                hover=tuple(_part_hover(row, model, DropPart.TOTAL) for _, row in some),
            )
        )
        span = high - low
        panels.append(
            _by_condition(
                model,
                conditions,
                layers,
                "Drop in accuracy",
                (low - 0.04 * span, high + 0.04 * span),
                "points",
            )
        )
    caption = (
        "A drop in two parts. "
        + " ".join(f"{str(p).capitalize()}: {words}." for p, words in DROP_PARTS.items())
        + f" Frozen multi-class probe, one trial a cell. {wording.unit_note(table)} "
        + sample_size(table)
    )
    return Chart("rescaling_and_context", rescaling_title(table), caption, tuple(panels))


def rescaling_title(table: pd.DataFrame) -> str:
    """Return a title on which part is the larger where the drop is largest."""
    worst = wording.worst(table[table["part"] == DropPart.TOTAL])
    if worst is None:
        return "Rescaling and context"
    same = (table["model"] == worst.model) & (table["condition"] == worst.condition)
    value = table[same].set_index("part")["estimate"]
    if worst.estimate < wording.CLEAR or not {DropPart.RESCALING, DropPart.CONTEXT} <= set(
        value.index
    ):
        return "No drop is large enough to be split in two"
    start = f"Of {model_title(worst.model)}'s drop {wording.on_background(worst.condition)}"
    first, second = sorted((DropPart.CONTEXT, DropPart.RESCALING), key=lambda part: -value[part])
    return (
        f"{start} ({wording.points(worst.estimate)}), {wording.points(value[first])} are "
        f"{_cause(first)} and {wording.points(value[second])} {_cause(second)}"
    )


def _cause(part: DropPart) -> str:
    return "context" if part == DropPart.CONTEXT else "rescaling of the crop"


def _part_hover(row: Any, model: str, part: DropPart) -> str:
    return (
        f"{model_title(model)}, {condition_title(row.condition)}\n{part}: "
        f"{wording.points(row.estimate)} ({wording.interval(row.ci_low, row.ci_high)})\n"
        f"{wording.tested_on(row)}"
    )


def _by_condition(
    model: str,
    conditions: list[str],
    layers: list[Layer],
    title: str,
    ends: tuple[float, float],
    unit: Literal["%", "points"],
) -> Panel:
    return Panel(
        Axis(title, range=ends, unit=unit),
        Axis("", tuple(condition_title(c) for c in conditions), reversed_=True),
        tuple(layers),
        model_title(model),
        height=150 + 48 * len(conditions),
    )


def _of_conditions(rows: pd.DataFrame, conditions: list[str]) -> list[tuple[float, Any]]:
    """Return each row with the place of its condition, in order."""
    found = [(float(conditions.index(row.condition)), row) for row in wording.records(rows)]
    return sorted(found, key=lambda item: item[0])


def _number(value: Any, other: float) -> float:
    return float(value) if wording.known(value) else float(other)


def backgrounds(table: pd.DataFrame, model: str, condition: str, kind: Kind = "drop") -> Chart:
    """Draw squares, centre class by background class: what is lost, or where answers are drawn.

    Parameters
    ----------
    table
        From `queries.answers.backgrounds`.
    kind
        What is shown: ``"drop"``, or ``"attraction"``, how far answers are drawn towards the
        background's class.
    """
    column = "drop_estimate" if kind == "drop" else "attraction"
    centre = sorted(table["localization"].unique(), key=str.lower)
    behind = sorted(table["background"].unique(), key=str.lower)
    cells = {(row.localization, row.background): row for row in wording.records(table)}
    lines = [[cells.get((a, k)) for k in behind] for a in centre]
    z = tuple(tuple(_value(row, column) for row in line) for line in lines)
    title, caption = "No answers were sorted by background class here", ""
    panels: tuple[Panel, ...] = ()
    known = table[table[column].notna()]
    if len(known):
        most = float(known[column].abs().max()) or 0.01
        # The surest square, not the most extreme: few cells stand on each background.
        low = known["ci_low" if kind == "drop" else "attraction_low"].fillna(-1.0)
        own = known["localization"] == known["background"]
        ranked = known.assign(low=low, own=own).sort_values(
            ["own", "low", column], ascending=[True, False, False]
        )
        top = next(iter(wording.records(ranked[~(ranked["n_cells"] < wording.FEW)])), None)
        title = f"Fewer than {wording.FEW} cells stand on each background class"
        if top is not None:
            title = _grid_title(top, model, kind, float(getattr(top, column)))
        caption = (
            f"{_grid_words(kind)} Multi-class probe, under "
            f"“{condition_title(condition).lower()}”; blank: no trial. "
            f"n = {int(table['n_cells'].min()):,} to {int(table['n_cells'].max()):,} cells a "
            "square; intervals and n of each on hovering and in the CSV file. The title "
            "names the square whose interval starts highest."
        )
        heat = Heat(
            z,
            -most,
            most,
            DIVERGING,
            "More often, points" if kind == "attraction" else "Drop, points",
            hover=tuple(tuple(_grid_hover(row) for row in line) for line in lines),
            signed=True,
            picks=tuple(
                tuple("" if row is None else pick(row.localization, row.background) for row in line)
                for line in lines
            ),
        )
        panels = (
            Panel(
                Axis("Background class", tuple(behind)),
                Axis("Centre class", tuple(centre), reversed_=True),
                (heat,),
                height=max(300, 140 + 27 * len(centre)),
            ),
        )
    return Chart(f"backgrounds_{kind}", title, caption, panels)


def _value(row: Any | None, column: str) -> float | None:
    value = None if row is None else getattr(row, column)
    return float(value) if value is not None and wording.known(value) else None


def _grid_title(top: Any, model: str, kind: Kind, value: float) -> str:
    if value <= 0:
        what = "loses accuracy" if kind == "drop" else "is drawn to the background's class"
        return f"On no background does any class lose: {model_title(model)} nowhere {what}"
    if kind == "drop":
        return (
            f"{model_title(model)} loses most surely on {top.localization} cells on "
            f"{top.background} backgrounds: {wording.points(value)} "
            f"({wording.count(top.n_cells, 'cell')})"
        )
    return (
        f"{model_title(model)} takes {top.localization} cells for {top.background} most surely, on "
        f"{top.background} backgrounds: {wording.points(value)} more often than unaltered "
        f"({wording.count(top.n_cells, 'cell')})"
    )


def _grid_words(kind: Kind) -> str:
    if kind == "drop":
        return (
            "Drop in accuracy, in points, of each centre class on each background class, against "
            "the same cells unaltered; below zero accuracy rose."
        )
    return (
        "How much more often, in points, the answer is the background's class than for the same "
        "cells unaltered: what the neighbours pull the model towards."
    )


def _grid_hover(row: Any | None) -> str:
    if row is None:
        return ""
    return (
        f"{row.localization} on {row.background}\n"
        f"accuracy {wording.percent(row.accuracy)}, drop {wording.points(row.drop_estimate)}\n"
        f"{wording.interval(row.ci_low, row.ci_high)}\n"
        f"drawn to {row.background}: {wording.points(row.attraction)}\n"
        f"{wording.interval(row.attraction_low, row.attraction_high)}\n{wording.tested_on(row)}"
    )
