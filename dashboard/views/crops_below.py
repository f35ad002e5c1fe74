"""The crops behind a point, square or row that was chosen, below where it was chosen."""

import streamlit as st

from dashboard import cache, theme
from dashboard.figures.crops import legend
from dashboard.queries import examples
from dashboard.queries.filters import CropFilter
from dashboard.render import strips
from dashboard.state.shared import Shared
from dashboard.verdicts import LEGEND
from dashboard.views import show

SHOWN = 8
"""Cells that are shown; the rest is a link away."""


def crops(shared: Shared, chosen: CropFilter, condition: str) -> None:
    """Show the cells of a filter, unaltered beside one condition, most changed first.

    Parameters
    ----------
    chosen
        Which cells; its conditions are `condition` alone.
    condition
        Under which background.
    """
    if not shared.run.has("examples"):
        st.info("This run stores no images, so no crops can be shown.", icon=":material/image:")
        return
    found, total = cache.ask(shared.run, examples.cells, chosen, "most changed", 1, SHOWN)
    if not total:
        st.info(
            f"No image of such a cell is stored ({chosen.clause().words or 'any cell'}, "
            f"under “{theme.condition_title(condition).lower()}”). A run stores one trial per "
            "condition of some cells of each protein; `--examples` sets how many.",
            icon=":material/image_not_supported:",
        )
        return
    request = strips.Request(
        tuple(int(cell) for cell in found["cell"]),
        tuple(dict.fromkeys(("unaltered", condition))),
        shared.models,
        shared.protocol,
        outline=True,
        dark=shared.dark,
    )
    st.html(cache.strip(shared.run, request, layout="pairs"))
    show.caption(
        f"{chosen.sentence(len(found), total)} Each pair: unaltered, then "
        f"“{theme.condition_title(condition).lower()}”; below, each model's answer with its "
        f"probability ({legend(shared.models)}); {LEGEND}.",
        shared,
    )
    st.page_link(
        "views/crops.py",
        label="These cells on the Crops page, on every background",
        icon=":material/grid_view:",
        query_params=_address(chosen, condition),
    )


def _address(chosen: CropFilter, condition: str) -> dict[str, str]:
    """Return the filter as the Crops page's address has it."""
    found = {
        "class": chosen.localization,
        "background": chosen.background,
        "flip": chosen.direction,
        "under": theme.condition_title(condition) if chosen.background or chosen.direction else "",
    }
    return {key: value for key, value in found.items() if value}
