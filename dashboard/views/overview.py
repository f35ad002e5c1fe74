"""Overview: the finding in words, one chart that carries it, what a swap is, where to go next."""

from dataclasses import replace

import streamlit as st

from dashboard import cache, wording
from dashboard.figures import accuracy as figures
from dashboard.figures import crops
from dashboard.figures.request import Filters
from dashboard.queries import accuracy, cures
from dashboard.render import strips
from dashboard.state import kept_figures
from dashboard.state.shared import Shared, current
from dashboard.verdicts import LEGEND
from dashboard.views import show


def page() -> None:
    """Show the page."""
    shared = current()
    show.header(figures.QUESTION, shared)
    with show.guarded("The finding"):
        _finding(shared)
    with show.guarded("The accuracies"):
        _accuracy(shared)
    with show.guarded("What helps"):
        _cures(shared)
    with show.guarded("What a background swap is"):
        _swap(shared)
    _next(shared)


def _finding(shared: Shared) -> None:
    asked = show.asked(figures.FINDING, shared)
    said = figures.FINDING.drawn(asked)
    if not said.lines:
        st.info(
            "No accuracy was computed: this run has no labelled cells. Shifts of each protein's "
            "localizations need no labels: see Proteins.",
            icon=":material/label_off:",
        )
        return
    with st.container(border=True):
        st.markdown(f"## {wording.plain_name(said.lines[0])}")
        for line in said.lines[1:]:
            st.markdown(wording.plain_name(line))
        kept_figures.button(asked.key)
    if said.note:
        st.markdown(wording.plain_name(said.note))
    if shared.published:
        return
    tested = wording.records(cache.ask(shared.run, accuracy.tested))[0]
    st.markdown(
        f"Tested: {wording.count(len(shared.run.models), 'model')} on "
        f"{wording.count(tested.usable, 'cell')} of {wording.count(tested.proteins, 'protein')} "
        f"({wording.count(tested.fields, 'image')}), each cell on "
        f"{wording.count(len(shared.run.conditions), 'kind')} of background."
    )


def _accuracy(shared: Shared) -> None:
    asked = show.asked(figures.ACCURACY, shared)
    table = figures.ACCURACY.query(asked)
    if table.empty:
        return
    published = False
    slot = st.container()
    if figures.comparable(shared):
        published = st.toggle(
            "Show the published numbers", value=False, key="published", bind="query-params"
        )
    with slot:
        show.figure(figures.ACCURACY, shared, published="yes" if published else None)
    show.numbers(figures.ACCURACY, asked, shared, table)


def _cures(shared: Shared) -> None:
    found = cache.ask(shared.run, cures.cures, tuple(shared.models))
    if not found:
        return
    st.subheader("What helps", anchor=False)
    st.markdown("\n".join(f"- {wording.plain_name(one.sentence)}" for one in found))
    show.caption(
        "Of remedies that need no new network, the one with the smallest drop on the background of "
        "another class that costs at most a point on crops as imaged; multi-class probe, fitted on "
        "other proteins. All that were tried: table remedies of the run, docs/remedies.md.",
        shared,
    )


def _swap(shared: Shared) -> None:
    st.subheader("What a background swap is", anchor=False)
    # It explains what a swap is, so it shows every background whatever the sidebar's conditions.
    filters = replace(shared, conditions=Filters.usual(shared.run).conditions)
    asked = show.asked(crops.SWAP, filters)
    conditions = crops.shown(asked)
    cell = crops.chosen_cell(asked)
    if cell is None:
        st.markdown(
            "The model is asked about the **cell in the centre** of a crop. The cell is cut out "
            "and put before other backgrounds; not one of its own pixels changes. A model that "
            "looks at the cell alone gives the same answer every time.\n"
            + "\n".join(f"- {wording.definition(name)}" for name in conditions)
        )
        st.caption("This run stores no images; those of the demo show it on cells.")
        return
    st.markdown(
        "The model is asked about the **cell in the centre**. Here it is cut out along the yellow "
        "line and put before other backgrounds; not one of its own pixels changes. A model that "
        "looks at the cell alone gives the same answer every time. "
        f"Answers are marked: {LEGEND}."
    )
    request = strips.Request(
        (cell,),
        conditions,
        shared.models,
        shared.protocol,
        channels=(shared.run.first_shown,),
        outline=True,
        side=192,
        dark=shared.dark,
    )
    st.html(cache.strip(shared.run, request, layout="gallery"))
    kept_figures.button(crops.SWAP.key(filters, cell=cell))
    meant = "; ".join(wording.definition(name) for name in conditions)
    show.caption(
        f"{crops.caption(shared, 'One cell of this run')}; chosen because "
        f"{crops.reason(asked, cell)}. {meant}.",
        shared,
    )


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
