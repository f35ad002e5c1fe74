"""Figures that are kept for presenting: in the address of every page, and a button to keep one.

The list is the value of one hidden text field, so Streamlit itself carries it from page to page
and through the browser's back button.
"""

from collections.abc import Sequence

import streamlit as st

from dashboard.figures import keys
from dashboard.figures.keys import FigureKey
from dashboard.queries.open_runs import Library, Run

KEY = "keep"
"""Name in the address."""

LIBRARY = "_library"
HIDDEN = "<style>.st-key-kept_figures { display: none }</style>"


def begin(library: Library) -> None:
    """Take up the list from the address, once in each script run, and note which runs are open."""
    st.session_state[LIBRARY] = library
    st.html(HIDDEN)
    with st.container(key="kept_figures"):
        st.text_input("Figures kept for presenting", key=KEY, bind="query-params")


def opened() -> Library:
    """Return the open runs."""
    found: Library = st.session_state[LIBRARY]
    return found


def runs_of(figures: Sequence[FigureKey], run: Run) -> dict[str, Run]:
    """Return the runs that figures may be of, by key: all open ones only where they compare."""
    compares = any({"runs", "first", "second"} & dict(key.values).keys() for key in figures)
    return {one.key: one for one in (opened().runs if compares else (run,))}


def kept() -> tuple[tuple[FigureKey, ...], bool]:
    """Return the kept figures, and whether some of a list too long were left out."""
    return keys.read(str(st.session_state.get(KEY) or ""))


def keep(figures: Sequence[FigureKey]) -> None:
    """Replace the list; only before the page's widgets are drawn, as in a callback."""
    st.session_state[KEY] = keys.write(figures)


def button(key: FigureKey) -> None:
    """Show the button that keeps a figure, or lets it go."""
    there = key in kept()[0]
    st.button(
        "Kept for presenting" if there else "Keep for presenting",
        key=f"keep_{key.text}",
        icon=":material/bookmark_added:" if there else ":material/bookmark_add:",
        type="tertiary",
        on_click=_toggle,
        args=(key,),
        help="Lets it go again" if there else "Adds it to the page Present and to the address",
    )


def _toggle(key: FigureKey) -> None:
    there, _ = kept()
    keep([k for k in there if k != key] if key in there else [*there, key])
