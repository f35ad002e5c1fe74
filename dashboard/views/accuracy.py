"""Accuracy: every condition and model, each class, what changes an answer, backgrounds, pairs."""

import contextlib
from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from compute.schema import Condition, Flip, Probe
from dashboard import cache, theme, wording
from dashboard.charts.description import Chart, picked
from dashboard.figures import accuracy as figures
from dashboard.figures import answers as changes
from dashboard.figures.figure import Figure
from dashboard.queries import accuracy, answers
from dashboard.queries.comparable_runs import Entry
from dashboard.queries.filters import CropFilter, PairFilter
from dashboard.queries.open_runs import MissingTableError
from dashboard.state import selections
from dashboard.state.shared import Shared, current
from dashboard.views import crops_below, show

NOTHING = "–"
GRIDS = {
    "drop": "Drop in accuracy",
    "attraction": "Pull towards the background's class",
    "pairs": "Accuracy of pair tests",
}
Pick = Callable[[str], None]


def page() -> None:
    """Show the page."""
    shared = current()
    show.header(
        "Accuracy",
        shared,
        "How well the class of a cell can be read from a model's features, and how much of "
        "that is lost when its background changes."
        + (
            ""
            if shared.published
            else " Choose a mark, a bar, a square or a row to see the crops behind it."
        ),
    )
    table = None
    with show.guarded("Accuracy"):
        table = show.figure(
            figures.ACCURACY,
            shared,
            on_pick=_chooser(shared, "condition", "model"),
            skip_empty=True,
        )
    if table is None:
        return
    if table.empty:
        st.info(
            "No accuracy was computed: this run has no labelled cells.",
            icon=":material/label_off:",
        )
        return
    show.numbers(figures.ACCURACY, show.asked(figures.ACCURACY, shared), shared, table)
    if Condition.DIFFERENT in shared.altered:
        entries = [Entry(shared.run, model, alone=True) for model in shared.models]
        show.agreement(shared, entries, shared.protocol, str(Condition.DIFFERENT))
    chosen = _choose(shared)
    if chosen is None:
        return
    condition, model = chosen
    absent: list[str] = []
    with show.guarded("Accuracy of each class"):
        _classes(shared, condition)
    with show.guarded("Answers that change"):
        absent += _flips(shared, condition, model)
    for entry in figures.PLAIN:
        with show.guarded(entry.title):
            absent += _missing(shared, entry)
    with show.guarded("Centre and background classes"):
        absent += _grid(shared, model, condition)
    with show.guarded("The pairs"):
        _pairs(shared, model, condition)
    with show.guarded("Calibration"):
        absent += _statistics(shared, condition)
    if absent:
        why = (
            "it holds a publication's numbers, not single answers"
            if shared.published
            else "it was made by an earlier version, without labels or without these conditions"
        )
        st.info(f"Not in this run, since {why}: {', '.join(absent)}.", icon=":material/info:")


def _chooser(shared: Shared, *keys: str) -> Pick:
    """Return what a choice in a chart does: it sets the widgets with these keys."""
    plain = {"model": set(shared.models), "condition": set(shared.altered)}

    def choose(pick: str) -> None:
        values = picked(pick)
        if len(values) != len(keys):  # it comes from the browser, which may send anything
            return
        for key, value in zip(keys, values, strict=True):
            if value in plain.get(key, {value}):
                st.session_state[key] = value

    return choose


def _choose(shared: Shared) -> tuple[str, str] | None:
    """Let the condition and the model of all that follows be chosen."""
    if not shared.altered:
        st.info("Only one condition is shown, so there is nothing to compare.")
        return None
    st.divider()
    default = "different" if "different" in shared.altered else shared.altered[0]
    with st.container(horizontal=True, gap="medium"):
        condition = selections.choice(
            "Compare unaltered with",
            "condition",
            shared.altered,
            what="condition",
            default=default,
            shown=theme.condition_title,
            segmented=True,
        )
        model = shared.models[0] if shared.models else ""
        if len(shared.models) > 1:
            picked = selections.choice(
                "Model, for backgrounds, pairs and crops",
                "model",
                shared.models,
                what="model",
                default=shared.models[0],
                shown=theme.model_title,
                segmented=True,
            )
            model = picked or model
    return condition or default, model


def _stored(condition: str) -> str:
    """Return the condition whose trials, and so whose images, a condition has."""
    return str(Condition.DIFFERENT) if condition == Condition.CONFLICTING else condition


def _optional(label: str, key: str, options: list[str], shown: Callable[[str], str] = str) -> str:
    """Let one of some options be chosen, or nothing."""
    picked = selections.choice(
        label, key, [NOTHING, *options], default=NOTHING, what=label.lower(), shown=shown, width=520
    )
    return "" if picked in (None, NOTHING) else str(picked)


def _classes(shared: Shared, condition: str) -> None:
    table = show.figure(
        figures.BY_CLASS, shared, on_pick=_chooser(shared, "class"), condition=condition
    )
    if shared.published:
        return
    places = sorted(set(table["localization"]), key=str.lower)
    place = _optional("Crops of one class", "class", places)
    if place:
        stored = _stored(condition)
        chosen = CropFilter(shared.protocol, shared.models, (stored,), localization=place)
        crops_below.crops(shared, chosen, stored)


def _flips(shared: Shared, condition: str, model: str) -> list[str]:
    absent = _missing(shared, changes.FLIPS, on_pick=_chooser(shared, "flip", "condition", "model"))
    if absent:
        return absent
    direction = _optional(
        "Crops of cells whose answer was",
        "flip",
        [str(item) for item in Flip],
    )
    if direction:
        stored = _stored(condition)
        crops_below.crops(
            shared, CropFilter(shared.protocol, (model,), (stored,), direction=direction), stored
        )
    return []


def _missing(
    shared: Shared, entry: Figure[Chart], on_pick: Pick | None = None, **values: Any
) -> list[str]:
    """Show a figure; where the run has no such table, or nothing in it, return what is absent."""
    with contextlib.suppress(MissingTableError):
        table = show.figure(entry, shared, on_pick=on_pick, skip_empty=True, **values)
        if len(table):
            return []
    if entry.added and not shared.published:
        st.caption(f"{entry.title}: {entry.added}.")
    return [entry.absent] if entry.absent else []


def _grid(shared: Shared, model: str, condition: str) -> list[str]:
    single = _conditions(shared, answers.background_conditions)
    tested = _conditions(shared, accuracy.grid_conditions)
    kinds = [kind for kind in GRIDS if (tested if kind == "pairs" else single)]
    if not kinds:
        return ["backgrounds by class"]
    st.divider()
    kind = kinds[0]
    if len(kinds) > 1:
        kind = (
            selections.choice(
                "Each centre class on each background class",
                "grid",
                kinds,
                default=kinds[0],
                what="table of backgrounds",
                shown=lambda name: GRIDS[name],
                segmented=True,
            )
            or kind
        )
    having = tested if kind == "pairs" else single
    usual = "different" if "different" in having else having[-1]
    chosen = condition if condition in having else usual
    if chosen != condition:
        st.caption(
            f"“{theme.condition_title(condition)}” has no choice of background class; this shows "
            f"“{theme.condition_title(chosen)}”."
        )
    values: dict[str, Any] = {"model": model, "condition": chosen}
    entry = figures.GRID if kind == "pairs" else changes.BACKGROUNDS
    if kind != "pairs":
        values["kind"] = kind
    pick = _chooser(shared, "centre", "background")
    table = show.figure(entry, shared, on_pick=pick, **values)
    if not shared.published and len(table):
        _crops_of_square(shared, table, model, chosen)
    return []


def _conditions(shared: Shared, query: Callable[..., list[str]]) -> list[str]:
    try:
        return list(cache.ask(shared.run, query, shared.protocol))
    except MissingTableError:
        return []


def _crops_of_square(shared: Shared, rows: pd.DataFrame, model: str, condition: str) -> None:
    left, right = st.columns(2)
    with left:
        centre = _optional(
            "Crops of centre class", "centre", sorted(set(rows["localization"]), key=str.lower)
        )
    with right:
        background = _optional(
            "on background class", "background", sorted(set(rows["background"]), key=str.lower)
        )
    if centre or background:
        chosen = CropFilter(
            shared.protocol,
            (model,),
            (condition,),
            localization=centre,
            background=background,
        )
        crops_below.crops(shared, chosen, condition)


def _pairs(shared: Shared, model: str, condition: str) -> None:
    st.subheader("Every pair of classes", anchor=False)
    left, right = st.columns([2, 1])
    with left:
        text = selections.search("Find a class", "pair", "for example: vacuole")
    with right:
        order = selections.choice(
            "Sort by",
            "pair_order",
            list(accuracy.PAIR_ORDERS),
            default=next(iter(accuracy.PAIR_ORDERS)),
            shown=str.capitalize,
        )
    chosen = PairFilter(shared.protocol, model, condition, text)
    rows = cache.ask(shared.run, accuracy.pairs, chosen, order or "largest drop")
    if rows.empty:
        st.info(
            f"No pair of classes has “{wording.plain_name(text)}” in its names."
            if text
            else f"{theme.model_title(model)} has no pair tests under this condition."
        )
        return
    names = [f"{row.localization_a} / {row.localization_b}" for row in wording.records(rows)]

    def choose() -> None:
        picked = st.session_state["table_pairs"]["selection"]["rows"]
        if picked and picked[0] < len(names):
            st.session_state["two"] = names[picked[0]]

    show.data(
        rows,
        shared,
        "pairs",
        {
            "localization_a": show.text("Class"),
            "localization_b": show.text("Other class"),
            "unaltered": show.percent("Unaltered"),
            "accuracy": show.percent(theme.condition_title(condition)),
            "drop_estimate": show.points("Drop (points)"),
            "lowest": show.percent("Lowest", "On the background where it is lowest"),
            "worst_background": show.text("on background"),
            "backgrounds": show.number("Backgrounds", "%d"),
            "n": show.number("Cells", "%d"),
        },
        f"{chosen.sentence()} {wording.count(len(rows), 'pair')}"
        + ("." if shared.published else "; choose a row to see crops of its two classes."),
        on_select=None if shared.published else choose,
        height=390,
    )
    if shared.published:
        return
    pair = _optional("Crops of the pair", "two", names)
    if pair:
        stored = _stored(condition)
        worst = dict(zip(names, rows["worst_background"], strict=True)).get(pair)
        for place in pair.split(" / "):
            st.markdown(f"**{wording.plain_name(place)}**")
            crops_below.crops(
                shared,
                CropFilter(shared.protocol, (model,), (stored,), localization=place),
                stored,
            )
        if isinstance(worst, str) and worst:
            st.caption(f"The pair is told apart worst on the background of {worst}.")


def _statistics(shared: Shared, condition: str) -> list[str]:
    entry = changes.CALIBRATION
    table = None
    with contextlib.suppress(MissingTableError):
        table = entry.query(show.asked(entry, shared))
    if table is None or table.empty:
        return [entry.absent]
    st.divider()
    box = st.expander(
        "For the statistician: do probabilities mean what they say?",
        icon=":material/query_stats:",
        key="calibration",
        on_change="rerun",
        bind="query-params",
    )
    if not box.open:
        return []
    with box:
        show.figure(entry, shared)
        _missing(shared, changes.RELIABILITY, condition=_stored(condition))
        if shared.probe != Probe.MULTICLASS:
            st.caption("Calibration is that of the multi-class probe: the others have none.")
    return []


if __name__ == "__main__":
    page()
