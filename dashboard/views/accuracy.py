"""Accuracy: every condition and model, each class, centre by background, pairs, protocols."""

import streamlit as st

from dashboard import cache, selections, show, theme, wording
from dashboard.charts import accuracy as drawings
from dashboard.queries import accuracy
from dashboard.queries.filters import PairFilter
from dashboard.shared import Shared, current


def page() -> None:
    """Show the page."""
    shared = current()
    show.header(
        "Accuracy",
        shared,
        "How well the localization of a cell can be read from a model's features, and how much of "
        "that is lost when its background changes.",
    )
    table = None
    with show.guarded("Accuracy"):
        table = cache.ask(shared.run, accuracy.overall, shared.accuracy)
    if table is None:
        return
    if table.empty:
        st.info(
            "No accuracy was computed: this run has no labelled cells.",
            icon=":material/label_off:",
        )
        return
    drawn = drawings.by_condition(table, shared.accuracy.sentence(), chance=shared.chance)
    show.chart(drawn, shared, table)
    condition = _condition(shared)
    if condition is None:
        return
    with show.guarded("Accuracy of each class"):
        rows = cache.ask(shared.run, accuracy.by_class, shared.accuracy, condition)
        drawn = drawings.by_class(rows, condition, shared.accuracy.sentence())
        show.chart(drawn, shared, rows)
    with show.guarded("Refit against frozen"):
        _protocols(shared)
    model = _model(shared)
    with show.guarded("Centre and background classes"):
        _grid(shared, model, condition)
    with show.guarded("The pairs"):
        _pairs(shared, model, condition)


def _condition(shared: Shared) -> str | None:
    if not shared.altered:
        st.info("Only one condition is shown, so there is nothing to compare.")
        return None
    default = "different" if "different" in shared.altered else shared.altered[0]
    st.divider()
    return selections.choice(
        "Compare unaltered with",
        "condition",
        shared.altered,
        what="condition",
        default=default,
        shown=theme.condition_title,
        segmented=True,
    )


def _model(shared: Shared) -> str:
    st.divider()
    if len(shared.models) < 2:
        return shared.models[0] if shared.models else ""
    picked = selections.choice(
        "Model, for the two tables of pairs",
        "model",
        shared.models,
        what="model",
        default=shared.models[0],
        shown=theme.model_title,
        segmented=True,
    )
    return picked or shared.models[0]


def _protocols(shared: Shared) -> None:
    rows = cache.ask(shared.run, accuracy.protocols, shared.accuracy)
    if len(rows):
        show.chart(drawings.protocols(rows), shared, rows)


def _grid(shared: Shared, model: str, condition: str) -> None:
    grids = cache.ask(shared.run, accuracy.grid_conditions, shared.protocol)
    if not grids:
        st.info("No pair test was done on chosen background classes in this run.")
        return
    chosen = condition if condition in grids else grids[-1]
    rows = cache.ask(shared.run, accuracy.background_grid, shared.protocol, model, chosen)
    if chosen != condition:
        st.caption(
            f"“{theme.condition_title(condition)}” has no choice of background class; this shows "
            f"“{theme.condition_title(chosen)}”."
        )
    show.chart(drawings.background_grid(rows, model, chosen), shared, rows)


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
    show.data(
        rows,
        shared,
        "pairs",
        {
            "localization_a": show.text("Class"),
            "localization_b": show.text("Other class"),
            "unaltered": show.percent("Unaltered"),
            "accuracy": show.percent(theme.condition_title(condition)),
            "drop_estimate": show.percent("Drop"),
            "lowest": show.percent("Lowest", "On the background where it is lowest"),
            "worst_background": show.text("on background"),
            "backgrounds": show.number("Backgrounds", "%d"),
            "n": show.number("Cells", "%d"),
        },
        f"{chosen.sentence()} {wording.count(len(rows), 'pair')}.",
    )


if __name__ == "__main__":
    page()
