"""Overview: a cell before and after, one number, what it is made of and what helps, how sure."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import streamlit as st

from compute.schema import REMEDIES_IN_WORDS
from dashboard import cache, wording
from dashboard.charts.description import Chart
from dashboard.figures import accuracy as figures
from dashboard.figures import answers, crops, first_look
from dashboard.figures.figure import MEASURED
from dashboard.figures.request import Filters
from dashboard.figures.slide import Words
from dashboard.queries import accuracy, cures
from dashboard.queries.comparable_runs import with_kind
from dashboard.queries.cures import Cure
from dashboard.render import strips
from dashboard.state import kept_figures
from dashboard.state.shared import Shared, current
from dashboard.theme import MUTED, TEXT, model_title
from dashboard.verdicts import LEGEND
from dashboard.views import before_after, show

ICON = Path(__file__).resolve().parents[1] / "icon.svg"

BRAND = """
<style>
.brand { display: flex; align-items: center; gap: .7rem; color: TEXT; line-height: 1.3 }
.brand img { width: 2.4rem; height: 2.4rem }
.brand b { font-size: 1.5rem }
.brand span { color: MUTED }
</style>
<div class="brand"><img src="ICON" alt=""><div><b>Bystander</b>
<span>shows whether a model that reads cells answers from their neighbours</span></div></div>
"""

NUMBER = """
<style>
.number { display: flex; flex-wrap: wrap; gap: .2rem 2rem; align-items: center; color: TEXT }
.number > b { font-size: clamp(3.2rem, 6vw, 5rem); line-height: 1; white-space: nowrap }
.number > b small { font-size: 45% }
.number > div { flex: 1 1 22rem; line-height: 1.5 }
.number p { margin: 0 0 .3rem; overflow-wrap: anywhere }
.number p.said { font-size: 1.3rem; font-weight: 600; line-height: 1.35 }
.number.small { display: block; margin-bottom: .6rem }
.number.small > b { font-size: 2.2rem }
.number.small p.said { font-size: 1.05rem }
</style>
"""


def page() -> None:
    """Show the page."""
    shared = current()
    _brand(shared.dark)
    show.header(figures.QUESTION, shared)
    first = first_look.as_used(shared, cache.ask)
    example, head = "", None
    with show.guarded("A cell before and after"):
        example = _example(first)
    with show.guarded("The finding"):
        head = _number(first)
    _parts(first, head)
    with show.guarded("How sure that is"):
        _sure(first, shared)
    with show.guarded("The accuracies"):
        if any(getattr(shared.accuracy, n) != getattr(first.accuracy, n) for n in MEASURED):
            above = first.accuracy.sentence()
            st.markdown(
                "From here on, accuracies are measured as the sidebar says. So they differ from "
                f"the number above, which is {wording.plain_name(above[:1].lower() + above[1:])}"
            )
        _accuracy(shared)
    if example != crops.SWAP.name:
        with show.guarded("What a background swap is"):
            _swap(first)
    _next(shared)
    if example == crops.BEFORE_AFTER.name:
        # Last, since it takes a line of the page; it hears sliders wherever they stand.
        st.html(before_after.SCRIPT, unsafe_allow_javascript=True)


def _brand(dark: bool) -> None:
    """Show name and logo."""
    icon = f"data:image/svg+xml;base64,{base64.b64encode(ICON.read_bytes()).decode('ascii')}"
    st.html(
        BRAND.replace("TEXT", TEXT.on(dark)).replace("MUTED", MUTED.on(dark)).replace("ICON", icon)
    )


def _example(first: Shared) -> str:
    """Show one cell before and after, or a swap in its place; return the name of what is shown."""
    if not first.run.has("examples"):
        return ""
    asked = show.asked(crops.BEFORE_AFTER, first)
    cell = crops.chosen_cell(asked)
    if cell is None:
        return ""
    drawn = cache.chart(crops.BEFORE_AFTER, asked)
    if not drawn.pictures:
        st.info(f"{drawn.title}. So one cell is shown on every background.", icon=":material/info:")
        _swap(first)
        return crops.SWAP.name
    caption = with_kind(drawn.caption, (first.run,))
    st.html(before_after.html(replace(drawn, caption=caption), first.dark))
    kept_figures.button(crops.BEFORE_AFTER.key(first, cell=cell))
    return crops.BEFORE_AFTER.name


def _number(first: Shared) -> str | None:
    """Show the one number; return the model that it is of, None where there is none."""
    asked = show.asked(figures.FINDING, first)
    table = figures.FINDING.query(asked)
    if table.empty:
        st.info(
            "No accuracy was computed: this run has no labelled cells. Shifts of each protein's "
            "localizations need no labels: see Proteins.",
            icon=":material/label_off:",
        )
        return None
    found = first_look.number(asked, table)
    if found.headline is None:
        st.markdown(f"## {wording.plain_name(found.instead)}")
        return None
    one = found.headline
    lines = "".join(f"<p>{escape(line)}</p>" for line in (found.alone, one.sure) if line)
    st.html(
        f"{NUMBER.replace('TEXT', TEXT.on(first.dark))}"
        f'<div class="number" role="group" aria-label="The finding"><b>{escape(one.number)} '
        f"<small>{escape(one.unit)}</small></b>"
        f'<div><p class="said">{escape(one.said)}</p>{lines}</div></div>'
    )
    show.caption(asked.accuracy.sentence(), first)
    return one.model


def _parts(first: Shared, head: str | None) -> None:
    """Show what the drop is made of, and what helps beside it; neither leaves a hole."""
    drawn: Chart | None = None
    found: list[Cure] = []
    filters = replace(first, models=(head,) if head else ())
    if head and first.run.has("decomposition"):
        with show.guarded("What the drop is made of"):
            drawn = cache.chart(answers.STEPS, show.asked(answers.STEPS, filters))
    with show.guarded("What helps"):
        found = cache.ask(first.run, cures.cures, first.models)
    if drawn is not None and drawn.empty:
        drawn = None
    places = st.columns([3, 2], gap="large") if drawn and found else [st.container()] * 2
    if drawn:
        with places[0]:
            show.figure(answers.STEPS, filters, filters=filters)
    if found:
        with places[1]:
            _cures(first, head, found)


def _cures(first: Shared, head: str | None, found: Sequence[Cure]) -> None:
    st.subheader("What helps", anchor=False)
    own = [one for one in found if one.model == head]
    others = [one for one in found if one.model != head]
    if own:
        st.html(NUMBER.replace("TEXT", TEXT.on(first.dark)) + "".join(map(_cure, own)))
    sentences = "\n".join(f"- {wording.plain_name(one.sentence)}" for one in others)
    if own and others:
        with st.expander("What helps the other models", icon=":material/healing:"):
            st.markdown(sentences)
    elif others:
        st.markdown(sentences)
    show.caption(
        "Of remedies that need no new network, the one with the smallest drop on the background of "
        "another class that costs at most a point on crops as imaged; multi-class probe, fitted on "
        "other proteins. All that were tried: table remedies of the run, docs/remedies.md.",
        first,
    )


def _cure(one: Cure) -> str:
    """Return what a remedy leaves of the drop as one number, with its words, as HTML."""
    number, _, unit = wording.points(0 if one.by_construction else one.drop).partition(" ")
    why = ", by construction" if one.by_construction else ""
    said = (
        f"left of the {wording.points(one.drop_before)} that {model_title(one.model)} loses{why}: "
        f"{one.title[:1].lower()}{one.title[1:]}"
    )
    meant = REMEDIES_IN_WORDS[one.remedy].definition
    price = f"{meant[:1].upper()}{meant[1:]}. On crops as imaged it is right for {one.price}."
    return (
        f'<div class="number small"><b>{escape(number)} <small>{escape(unit)}</small></b>'
        f'<div><p class="said">{escape(said)}</p><p>{escape(price)}</p></div></div>'
    )


def _sure(first: Shared, shared: Shared) -> None:
    """Show every sentence of the finding, folded away: of the number, and as the sidebar asks."""
    asked = show.asked(figures.FINDING, first)
    said = cache.chart(figures.FINDING, asked)
    if not said.lines:
        return
    with st.expander("How sure is that?", icon=":material/query_stats:"):
        _told(said, first)
        kept_figures.button(asked.key)
        if not shared.published:
            _tested(shared)
        if shared.accuracy == first.accuracy:
            return
        other = show.asked(figures.FINDING, shared)
        told = cache.chart(figures.FINDING, other)
        if told.lines:
            st.divider()
            st.markdown("**Asked as the sidebar says**")
            _told(told, shared)
            kept_figures.button(other.key)


def _told(said: Words, shared: Shared) -> None:
    """Show the sentences of a finding, with how the numbers were made."""
    first, *others = said.lines
    st.markdown(f"**{wording.plain_name(first)}**")
    for line in (*others, said.note):
        if line:
            st.markdown(wording.plain_name(line))
    show.caption(said.caption, shared)


def _tested(shared: Shared) -> None:
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
