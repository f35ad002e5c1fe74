"""Present: kept figures one at a time, large, moved by keys; saved as files."""

import contextlib
import functools
from collections.abc import Sequence

import streamlit as st

from compute.errors import BystanderError
from dashboard import cache, wording
from dashboard.figures import registry
from dashboard.figures.keys import FigureKey
from dashboard.report import deck, files, screen
from dashboard.state import kept_figures
from dashboard.state.shared import Shared, current
from dashboard.views import show

PLACE = "slide"
"""Name in the address: which figure, from 1."""

NUMBER = "<style>.st-key-slide_number { display: none }</style>"
STAGE = "_stage"
CHROME = """
<style>
[data-testid="stSidebar"], [data-testid="stHeader"], [data-testid="stExpandSidebarButton"] {
  display: none !important }
.st-key-silent_keys { display: none }
.st-key-controls { position: fixed; right: 1vw; bottom: .6vw; z-index: 30; width: auto !important;
  opacity: .78; transition: opacity .15s }
.st-key-controls:hover, .st-key-controls:focus-within { opacity: 1 }
@media (max-width: 640px) { .st-key-controls { opacity: 1; left: 0; right: 0;
  bottom: 0; width: 100% !important; background: var(--st-background-color, Canvas) } }
</style>
"""

KEYS = {
    "Space": ("Next, by space", 1),
    "PageDown": ("Next, by page down", 1),
    "Down": ("Next, by arrow down", 1),
    "PageUp": ("Back, by page up", -1),
    "Up": ("Back, by arrow up", -1),
}
"""Further keys that move on or back; each needs a button, none is shown."""


def page() -> None:
    """Show the page."""
    shared = current()
    there, cut = kept_figures.kept()
    figures = there
    if not figures:
        with contextlib.suppress(BystanderError):  # a run without the tables that they need
            figures = deck.usual_figures(shared, cache.ask)
    with st.container(key="slide_number"):
        st.number_input("Figure", min_value=1, value=1, step=1, key=PLACE, bind="query-params")
    place = min(max(1, int(st.session_state[PLACE] or 1)), max(1, len(figures)))
    if st.session_state.setdefault(STAGE, True):
        _stage(shared, figures, place)
    else:
        st.html(NUMBER)
        _desk(shared, figures, cut)


def _stage(shared: Shared, figures: Sequence[FigureKey], place: int) -> None:
    """Show one figure and nothing else."""
    st.html(NUMBER + CHROME)
    if figures:
        st.html(_drawn(shared, figures[place - 1]))
    else:
        said = [
            "This run has none of the figures that are shown at first.",
            "Choose some on the other pages with “Keep for presenting”.",
        ]
        st.html(screen.message("Nothing to present yet", said, shared.dark))
    _controls(figures, place)
    if place < len(figures):  # the next one is drawn while this one is looked at
        _drawn(shared, figures[place])


def _desk(shared: Shared, figures: Sequence[FigureKey], cut: bool) -> None:
    """Let the figures be arranged and saved."""
    show.header(
        "Present",
        shared,
        "Figures one at a time, in large type. Arrow keys, space, Home and End move; Esc comes "
        "back here.",
    )
    st.button(
        "Present",
        icon=":material/present_to_all:",
        type="primary",
        on_click=_enter,
        args=(True,),
        disabled=not figures,
    )
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("The figures", anchor=False)
        _arrange(figures, cut)
    with right:
        st.subheader("Save them", anchor=False)
        _save(shared, figures)


def _drawn(shared: Shared, key: FigureKey) -> str:
    library = kept_figures.runs_of([key], shared.run)
    try:
        return cache.slide(shared.run, key, library, shared.dark)
    except BystanderError as error:
        name = key.text if len(key.text) <= 80 else f"{key.text[:80]}…"
        return screen.message(
            "This figure cannot be shown",
            [error.problem, error.remedy, f"The address asks for: {name}"],
            shared.dark,
        )


def _move(to: int) -> None:
    st.session_state[PLACE] = to


def _enter(stage: bool) -> None:
    st.session_state[STAGE] = stage


def _open(place: int) -> None:
    _move(place)
    _enter(True)


def _controls(figures: Sequence[FigureKey], place: int) -> None:
    last = max(1, len(figures))
    with st.container(key="silent_keys"):
        for key, (label, step) in KEYS.items():
            to = min(max(1, place + step), last)
            st.button(label, key=f"key_{key}", shortcut=key, on_click=_move, args=(to,))
        st.button("First figure", key="key_home", shortcut="Home", on_click=_move, args=(1,))
        st.button("Last figure", key="key_end", shortcut="End", on_click=_move, args=(last,))
    with st.container(
        key="controls", horizontal=True, gap="small", vertical_alignment="center", width="content"
    ):
        st.button(
            "Back",
            key="go_back",
            icon=":material/chevron_left:",
            type="tertiary",
            shortcut="Left",
            disabled=place <= 1,
            on_click=_move,
            args=(max(1, place - 1),),
        )
        st.markdown(f"{min(place, last)} / {len(figures)}")
        st.button(
            "Next",
            key="go_on",
            icon=":material/chevron_right:",
            type="tertiary",
            shortcut="Right",
            disabled=place >= last,
            on_click=_move,
            args=(min(last, place + 1),),
        )
        st.button(
            "Arrange, save",
            key="leave",
            icon=":material/close:",
            type="tertiary",
            shortcut="Esc",
            on_click=_enter,
            args=(False,),
        )


def _arrange(figures: Sequence[FigureKey], cut: bool) -> None:
    """List the figures, to be moved and let go."""
    kept, _ = kept_figures.kept()
    if not kept:
        st.caption(
            "The usual figures. Keep others on the other pages; what is kept is in the address."
        )
    if cut:
        st.warning("The list in the address is too long; its end was left out.")
    for number, key in enumerate(figures):
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.button(
                f"{number + 1}. {wording.plain_name(_title(key))}",
                key=f"show_{number}",
                type="tertiary",
                width="stretch",
                on_click=_open,
                args=(number + 1,),
            )
            for label, icon, change in (
                ("Earlier", ":material/arrow_upward:", _swapped(figures, number, number - 1)),
                ("Later", ":material/arrow_downward:", _swapped(figures, number, number + 1)),
                ("Let go", ":material/delete:", [k for k in figures if k != key]),
            ):
                st.button(
                    "",
                    key=f"{label}_{number}",
                    icon=icon,
                    type="tertiary",
                    help=f"{label}: {_title(key)}",
                    disabled=change is None,
                    on_click=kept_figures.keep,
                    args=(change or [],),
                )
    if kept:
        st.button("Back to the usual figures", on_click=kept_figures.keep, args=([],))


def _title(key: FigureKey) -> str:
    entry = registry.KEPT.get(key.name)
    name = entry.title if entry else f"unknown: {key.name[:30]}"
    more = [value for what, value in key.values if what in ("protein", "condition", "model")]
    return f"{name} ({', '.join(value[:30] for value in more)})" if more else name


def _swapped(figures: Sequence[FigureKey], one: int, other: int) -> list[FigureKey] | None:
    if not 0 <= other < len(figures):
        return None
    moved = list(figures)
    moved[one], moved[other] = moved[other], moved[one]
    return moved


def _save(shared: Shared, figures: Sequence[FigureKey]) -> None:
    """Offer the figures as files; made when asked for."""
    if not figures:
        st.caption("There is nothing to save.")
        return
    library = kept_figures.runs_of(figures, shared.run)
    for kind, format_ in files.FORMATS.items():
        st.download_button(
            format_.title,
            functools.partial(cache.report, shared.run, tuple(figures), library, kind),
            f"{shared.run.path.name}.{kind}",
            format_.mime,
            key=f"save_report_{kind}",
            on_click="ignore",
            width="stretch",
        )
    st.caption("PowerPoint has charts that can be edited, captions as speaker notes.")


if __name__ == "__main__":
    page()
