"""Overview: the finding in words, one chart that carries it, what a swap is, where to go next."""

import streamlit as st

from compute.paper.table_1 import EXPLANATION
from compute.schema import Aggregation
from compute.statistics.aggregation import UNIT
from dashboard import cache, theme, wording
from dashboard.charts import accuracy as drawings
from dashboard.queries import accuracy
from dashboard.render import strips
from dashboard.state import kept_figures
from dashboard.state.shared import Shared, current
from dashboard.views import show

SWAP = ("unaltered", "same", "different", "masked")
"""Conditions of the explaining figure, those that a run has."""


def page() -> None:
    """Show the page."""
    shared = current()
    show.header("Does the model answer from the cell, or from its neighbours?", shared)
    with show.guarded("The finding"):
        _finding(shared)
    with show.guarded("The accuracies"):
        _accuracy(shared)
    with show.guarded("What a background swap is"):
        _swap(shared)
    _next(shared)


def _finding(shared: Shared) -> None:
    table = cache.ask(shared.run, accuracy.overall, shared.accuracy)
    gaps = cache.ask(shared.run, accuracy.gaps, shared.accuracy)
    if table.empty:
        st.info(
            "No accuracy was computed: this run has no labelled cells. Shifts of each protein's "
            "localizations need no labels: see Proteins.",
            icon=":material/label_off:",
        )
        return
    with st.container(border=True):
        st.markdown(f"## {wording.plain_name(wording.drop_finding(table))}")
        if len(gaps):
            st.markdown(wording.plain_name(wording.gap_finding(gaps)))
        robust = wording.equivalence_finding(
            cache.ask(shared.run, accuracy.equivalence, shared.accuracy)
        )
        if robust:
            st.markdown(wording.plain_name(robust))
        conflict = wording.conflict_finding(table)
        if conflict:
            st.markdown(wording.plain_name(conflict))
        kept_figures.button(show.kept("finding", shared))
    if Aggregation.PUBLISHED in (shared.aggregation, shared.run.meta.get("kind")):
        st.markdown(wording.plain_name(EXPLANATION))
    if shared.run.meta.get("kind") == "published":
        return
    tested = wording.records(cache.ask(shared.run, accuracy.tested))[0]
    st.markdown(
        f"Tested: {wording.count(len(shared.run.models), 'model')} on "
        f"{wording.count(tested.usable, 'cell')} of {wording.count(tested.proteins, 'protein')} "
        f"({wording.count(tested.fields, 'image')}), each cell on "
        f"{wording.count(len(shared.run.conditions), 'kind')} of background."
    )


def _accuracy(shared: Shared) -> None:
    rows = cache.rows(accuracy.overall, shared.accuracy)
    table = rows.of(shared.run)
    if table.empty:
        return
    published = False
    comparable = (
        shared.probe == "pair"
        and shared.protocol == "refit"
        and shared.run.meta.get("kind") != "published"
        and bool(set(theme.KNOWN_MODELS) & set(shared.models))
    )
    slot = st.container()
    if comparable:
        published = st.toggle(
            "Show the published numbers", value=True, key="published", bind="query-params"
        )
    with slot:
        drawn = cache.draw(
            shared.run,
            drawings.by_condition,
            rows,
            shared.accuracy.sentence(),
            published=published,
            chance=shared.chance,
        )
        keep = show.kept("accuracy", shared, published="yes" if published else None)
        show.chart(drawn, shared, table, keep=keep)
    # The published numbers' intervals are ± three standard errors, not bootstrap intervals.
    ends = wording.level() if UNIT not in set(table["unit"].dropna()) else "±3 s.e.,"
    with st.expander("The numbers as a table", icon=":material/table_rows:"):
        show.data(
            show.named(table),
            shared,
            "accuracy_overall",
            {
                "model": show.text("Model"),
                "condition": show.text("Condition"),
                "estimate": show.percent("Accuracy"),
                "ci_low": show.percent(f"{ends} from"),
                "ci_high": show.percent("to"),
                "drop_estimate": show.points("Drop (points)", "Unaltered accuracy minus this one"),
                "drop_low": show.points(f"Drop, {ends} from"),
                "drop_high": show.points("to "),
                "p_holm": show.number("p (Holm)", "%.4f"),
                "n_cells": show.number("Cells", "%d"),
                "n_proteins": show.number("Proteins", "%d"),
            },
            f"{shared.accuracy.sentence()} p: sign flips of whole proteins, Holm over models and "
            "conditions.",
        )


def _swap(shared: Shared) -> None:
    st.subheader("What a background swap is", anchor=False)
    cell = None
    if shared.run.has("examples"):
        cell = cache.ask(shared.run, strips.telling_cell, shared.protocol)
    if cell is None:
        named = [name for name in SWAP if name in shared.run.conditions]
        st.markdown(
            "The model is asked about the **cell in the centre** of a crop. The cell is cut out "
            "and put before other backgrounds; not one of its own pixels changes. A model that "
            "looks at the cell alone gives the same answer every time.\n"
            + "\n".join(f"- {wording.definition(name)}" for name in named)
        )
        st.caption("This run stores no images; those of the demo show it on cells.")
        return
    st.markdown(
        "The model is asked about the **cell in the centre**. Here it is cut out along the yellow "
        "line and put before other backgrounds; not one of its own pixels changes. A model that "
        "looks at the cell alone gives the same answer every time. An arrow marks an answer that "
        "changed."
    )
    conditions = tuple(name for name in SWAP if name in shared.run.conditions)
    request = strips.Request(
        (cell,),
        conditions,
        shared.models,
        shared.protocol,
        channels=(0,),
        outline=True,
        magnify=3,
        dark=shared.dark,
    )
    st.html(cache.strip(shared.run, request, layout="gallery"))
    kept_figures.button(show.kept("swap", shared, cell=cell))
    key = ", ".join(
        f"{theme.model_marks(shared.models)[name].character} {theme.model_title(name)}"
        for name in shared.models
    )
    shown = "; ".join(wording.definition(name) for name in conditions)
    show.caption(
        f"One cell of this run, the {_channel(shared)} channel, true pixels. Below each: what the "
        f"models say ({key}), with the probability. {shown}.",
        shared,
    )


def _channel(shared: Shared) -> str:
    return shared.run.channels[0] if shared.run.channels else "first"


def _next(shared: Shared) -> None:
    st.subheader("Where to go next", anchor=False)
    links = (
        ("accuracy", "Which classes depend on their surroundings?", ":material/target:"),
        ("proteins", "Look up your protein", ":material/genetics:"),
        ("crops", "See the cells, and what the models said", ":material/grid_view:"),
        ("compare", "Set models and runs side by side", ":material/compare_arrows:"),
        ("present", "Show it to a group", ":material/present_to_all:"),
        ("methods", "What exactly was run, and on what", ":material/menu_book:"),
    )
    with st.container(horizontal=True):
        for name, label, icon in links:
            st.page_link(f"views/{name}.py", label=label, icon=icon)


if __name__ == "__main__":
    page()
