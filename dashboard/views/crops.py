"""Crops: each row a cell, each column a condition, with what every model said."""

import streamlit as st

from dashboard import cache, selections, show, strips, theme, wording
from dashboard.queries import examples
from dashboard.queries.filters import FLAG_CHOICES, CropFilter
from dashboard.shared import Shared, current

PER_PAGE = 8
ANY = "All"
MAGNIFY = {"Small": 1, "Medium": 2, "Large": 3}


def page() -> None:
    """Show the page."""
    shared = current()
    show.header(
        "Crops",
        shared,
        "Each row is one cell, each column another background. The cell's own pixels never change, "
        "except under “background only”, where it is taken out.",
    )
    if not shared.run.has("examples"):
        st.info("This run stores no images.", icon=":material/hide_image:")
        return
    with show.guarded("The crops"):
        _crops(shared)


def _crops(shared: Shared) -> None:
    conditions = tuple(name for name in shared.conditions if name != "conflicting")
    chosen, order = _filters(shared, conditions)
    channels, contrast, outline, magnify = _look(shared)
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
        magnify,
        shared.dark,
    )
    st.html(cache.strip(shared.run, request))
    marks = theme.model_marks(shared.models)
    key = ", ".join(f"{marks[m].character} {theme.model_title(m)}" for m in shared.models)
    show.caption(
        f"{chosen.sentence(len(rows), total)} Below each crop: each model's answer with its "
        f"probability ({key}); an arrow marks an answer that changed from unaltered; ⚑ a quality "
        f"flag. True pixels, enlarged {magnify}×.",
        shared,
    )


def _filters(shared: Shared, conditions: tuple[str, ...]) -> tuple[CropFilter, str]:
    first, second, third, fourth = st.columns(4)
    with first:
        text = selections.search("Gene or ORF", "gene", "part of either")
    with second:
        place = selections.choice(
            "Localization",
            "class",
            [ANY, *sorted(shared.run.localizations, key=str.lower)],
            default=ANY,
        )
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
    changed = st.toggle(
        "Only cells whose answer changed",
        key="changed",
        bind="query-params",
        help="Under at least one shown condition, for at least one shown model.",
    )
    chosen = CropFilter(
        shared.protocol,
        shared.models,
        conditions,
        changed,
        "" if place in (None, ANY) else str(place),
        text,
        flags or "all",
    )
    return chosen, order or next(iter(examples.ORDERS))


def _look(shared: Shared) -> tuple[tuple[int, ...], str, bool, int]:
    names = shared.run.channels or ["channel 1"]
    looks: dict[str, tuple[int, ...]] = {name: (i,) for i, name in enumerate(names)}
    if len(names) > 1:
        looks[f"{names[0]} + {names[1]}"] = (0, 1)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        look = names[0]
        if len(looks) > 1:
            look = (
                selections.choice("Channel", "channel", list(looks), default=look, segmented=True)
                or look
            )
        contrast = selections.choice(
            "Contrast",
            "contrast",
            list(strips.CONTRASTS),
            default="cell",
            segmented=True,
            shown=lambda name: strips.CONTRASTS[name],
        )
        size = selections.choice("Size", "size", list(MAGNIFY), default="Medium", segmented=True)
        outline = st.toggle("Mask outline", key="outline", bind="query-params")
    if len(looks[look]) > 1:
        st.caption(
            f":material/palette: {wording.plain_name(names[0])} in cyan, "
            f"{wording.plain_name(names[1])} in magenta; white where both are bright."
        )
    return looks[look], contrast or "cell", bool(outline), MAGNIFY[size or "Medium"]


if __name__ == "__main__":
    page()
