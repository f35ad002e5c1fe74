"""Crops: each row a cell, each column a condition, with what every model said; one cell large."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from compute.schema import CELL_FLAGS, TRIAL_FLAGS, Flip
from dashboard import cache, theme, wording
from dashboard.figures.crops import legend
from dashboard.figures.tables import named
from dashboard.queries import examples
from dashboard.queries.filters import FLAG_CHOICES, CropFilter
from dashboard.render import strips
from dashboard.state import selections
from dashboard.state.shared import Shared, current
from dashboard.verdicts import LEGEND
from dashboard.views import show

PER_PAGE = 8
ANY = "All"
SIDES = {"Small": 64, "Medium": 128, "Large": 192}
"""Screen pixels that a crop may take along its side."""
ENLARGED = 256
"""The same of the one cell."""


def page() -> None:
    """Show the page."""
    shared = current()
    show.header(
        "Crops",
        shared,
        "Each row is one cell, each column another background. The cell's own pixels never change, "
        "except under “background only”, where it is taken out.",
    )
    if shared.published or not shared.run.has("examples"):
        st.info(
            "This run holds a publication's numbers, not images. Open a run of your own, or the "
            "demo, to see crops."
            if shared.published
            else "This run stores no images.",
            icon=":material/hide_image:",
        )
        return
    with show.guarded("The crops"):
        _crops(shared)


def _crops(shared: Shared) -> None:
    conditions = tuple(name for name in shared.conditions if name != "conflicting")
    chosen, order = _filters(shared, conditions)
    channels, contrast, outline, side = _look(shared)
    total = cache.ask(shared.run, examples.cells, chosen, order, 1, PER_PAGE)[1]
    if not total:
        st.info("No cell with stored images fits these filters.", icon=":material/search_off:")
        return
    number = 1
    if total > PER_PAGE:
        pages = -(-total // PER_PAGE)
        if st.session_state.get("page", 1) > pages:
            st.session_state["page"] = pages
        number = st.pagination(pages, key="page", bind="query-params")
    rows, _ = cache.ask(shared.run, examples.cells, chosen, order, number, PER_PAGE)
    request = strips.Request(
        tuple(int(cell) for cell in rows["cell"]),
        conditions,
        shared.models,
        shared.protocol,
        channels,
        contrast,
        outline,
        side,
        shared.dark,
    )
    st.html(strips.channel_key(shared.run, channels, shared.dark))
    _enlarged(shared, request, rows)
    st.html(cache.strip(shared.run, request))
    show.caption(
        f"{chosen.sentence(len(rows), total)} Below each crop: each model's answer with its "
        f"probability ({legend(shared.models)}); {LEGEND}; "
        f"⚑ a quality flag. {strips.pixels(shared.run.crop_size, side)}." + _light(channels),
        shared,
    )


def _enlarged(shared: Shared, request: strips.Request, rows: pd.DataFrame) -> None:
    """Let one cell be chosen, and show it large with all that is known of it."""
    titles = {
        str(row.cell): f"{row.protein}, cell {row.cell}"
        + (f" ({row.changes} of {row.compared} answers changed)" if row.compared else "")
        for row in wording.records(rows)
    }
    # A cell of the address may stand on another page.
    asked = str(st.session_state.get("cell") or st.query_params.get("cell", ""))[:20]
    number = asked if asked.isdecimal() else "".join(c for c in asked if c.isdecimal())
    if number and number not in titles and len(number) < 18:
        found = cache.ask(shared.run, examples.describe, (int(number),))
        for fact in wording.records(found):
            titles[str(fact.cell)] = f"{fact.protein}, cell {fact.cell}"
    cell = selections.choice(
        "One cell, enlarged",
        "cell",
        list(titles),
        what="cell",
        shown=lambda name: f"cell {name}",
        names={name: name for name in titles},
        placeholder="Choose a cell of this page",
        width=520,
    )
    if cell is None:
        return
    with st.container(border=True):
        st.subheader(wording.plain_name(titles[cell].split(" (")[0]), anchor=False)
        _one(shared, request, int(cell))
        st.button(
            "Close",
            key="close_cell",
            icon=":material/close:",
            on_click=lambda: st.session_state.update({"cell": None}),
        )


def _one(shared: Shared, request: strips.Request, cell: int) -> None:
    fact = wording.records(cache.ask(shared.run, examples.describe, (cell,)))[0]
    flags = _named(fact.cell_flags, CELL_FLAGS)
    parts = [
        f"labelled {fact.labels}" if fact.labels else "not labelled",
        f"image {fact.field}",
        f"mask of {wording.count(fact.mask_area, 'pixel')}",
        f"other cells on {wording.percent(fact.neighbour_fraction, 0)} of the background",
        f"quality: {flags}" if flags else "no quality flag",
    ]
    st.markdown(wording.plain_name(" · ".join(parts)))
    if not cache.ask(shared.run, examples.stored, cell):
        st.info("No image of this cell is stored; its answers are below.")
    large = strips.Request(
        (cell,),
        request.conditions,
        request.models,
        request.protocol,
        request.channels,
        request.contrast,
        outline=request.outline,
        side=ENLARGED,
        dark=request.dark,
    )
    st.html(cache.strip(shared.run, large, layout="gallery"))
    said = cache.ask(shared.run, examples.answers, cell)
    said = said[(said["protocol"] == shared.protocol) & said["model"].isin(shared.models)]
    said = said[said["condition"].isin(shared.conditions)]
    if said.empty:
        return
    show.data(
        _trials(said),
        shared,
        "cell_trials",
        {
            "condition": show.text("Condition"),
            "repeat": show.number("Repeat", "%d"),
            "donor_localization": show.text("Background from"),
            "donor_protein": show.text("Donor's gene"),
            "donor": show.number("Donor", "%d", "Cell, or window without cells"),
            **{name: show.text(theme.model_title(name, short=True)) for name in shared.models},
            "flags": show.text("Quality"),
            "stored": st.column_config.CheckboxColumn("Shown above"),
        },
        f"Every trial of the cell: {wording.count(said['trial'].nunique(), 'trial')} with each "
        "model's answer and its probability. One trial of each condition is stored as an image.",
    )


def _trials(said: pd.DataFrame) -> pd.DataFrame:
    """Return a row per trial with each model's answer in words."""
    said = said.assign(
        answer=[
            f"{row.predicted} {wording.percent(row.probability, 0)}"
            for row in wording.records(said)
        ],
        flags=[_named(value, TRIAL_FLAGS) for value in said["flags"]],
    )
    wide = said.pivot(index="trial", columns="model", values="answer")
    facts = said.drop_duplicates("trial").set_index("trial")
    kept = ["condition", "repeat", "donor_localization", "donor_protein", "donor", "flags"]
    joined = facts[[*kept, "stored"]].join(wide).reset_index()
    return named(joined)


def _named(value: int, meanings: Mapping[Any, str]) -> str:
    names = [str(flag.name) for flag in meanings if int(flag) and int(value) & int(flag)]
    return ", ".join(name.lower().replace("_", " ") for name in names)


def _filters(shared: Shared, conditions: tuple[str, ...]) -> tuple[CropFilter, str]:
    first, second, third, fourth = st.columns(4)
    places = sorted(shared.run.localizations, key=str.lower)
    with first:
        text = selections.search("Gene or ORF", "gene", "part of either")
    with second:
        place = _any("Class", "class", places)
    with third:
        flags = selections.choice(
            "Quality",
            "flags",
            list(FLAG_CHOICES),
            default="all",
            shown=lambda name: FLAG_CHOICES[name].capitalize(),
        )
    with fourth:
        order = selections.choice(
            "Sort by",
            "sort",
            list(examples.ORDERS),
            default=next(iter(examples.ORDERS)),
            shown=str.capitalize,
        )
    used = any(st.query_params.get(key) for key in ("under", "background", "flip", "changed"))
    box = st.expander("More filters", expanded=used, icon=":material/filter_list:")
    first, second, third, fourth = box.columns(4, vertical_alignment="bottom")
    altered = [name for name in conditions if name != "unaltered"]
    with first:
        under = _any("Changes looked for under", "under", altered, theme.condition_title)
    with second:
        background = _any("On the background of", "background", places)
    with third:
        direction = _any("Answer was", "flip", [str(item) for item in Flip])
    with fourth:
        changed = st.toggle(
            "Only cells whose answer changed",
            key="changed",
            bind="query-params",
            help="Under at least one condition looked at, for at least one shown model.",
        )
    chosen = CropFilter(
        shared.protocol,
        shared.models,
        (under,) if under else conditions,
        changed,
        place,
        text,
        flags or "all",
        background,
        direction,
    )
    return chosen, order or next(iter(examples.ORDERS))


def _any(label: str, key: str, options: list[str], shown: selections.Format = str) -> str:
    """Let one option be chosen, or all."""
    picked = selections.choice(
        label,
        key,
        [ANY, *options],
        default=ANY,
        shown=lambda name: name if name == ANY else shown(name),
    )
    return "" if picked in (None, ANY) else str(picked)


def _look(shared: Shared) -> tuple[tuple[int, ...], str, bool, int]:
    names = shared.run.channels or ["channel 1"]
    first = names[shared.run.first_shown]
    shown: tuple[str, ...] = (first,)
    if len(names) > 1:
        shown = selections.several(
            "Channels",
            "channel",
            names,
            default=[first],
            help_="One alone is grey. Several are shown in a colour each, and their light adds up"
            + (
                f"; there are {len(theme.CHANNEL_INKS)} colours, so of more channels the last "
                "are grey: switch others off to give these a colour."
                if len(names) > len(theme.CHANNEL_INKS)
                else "."
            ),
        )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        contrast = selections.choice(
            "Contrast",
            "contrast",
            list(strips.CONTRASTS),
            default="cell",
            segmented=True,
            shown=lambda name: strips.CONTRASTS[name],
        )
        size = selections.choice("Size", "size", list(SIDES), default="Medium", segmented=True)
        outline = st.toggle("Mask outline", key="outline", bind="query-params")
    channels = tuple(names.index(name) for name in shown)
    return channels, contrast or "cell", bool(outline), SIDES[size or "Medium"]


def _light(channels: tuple[int, ...]) -> str:
    """Say what channels that are shown together mean, to end a caption with."""
    if len(channels) < 2:
        return ""
    said = " The channels' light adds up: mixed colours are where several are bright."
    grey = len(channels) - len(theme.CHANNEL_INKS)
    if grey > 0:
        verb = "is" if grey == 1 else "are"
        said += (
            f" {wording.count(grey, 'channel')} for which no colour is left {verb} grey; switch "
            "others off to change that."
        )
    return said


if __name__ == "__main__":
    page()
