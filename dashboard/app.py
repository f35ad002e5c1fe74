"""The entry point that Streamlit runs: page configuration, shared filters, navigation."""

import logging
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from compute.errors import BystanderError
from compute.schema import PROBES, Aggregation, Probe, Protocol
from dashboard import cache, theme, wording
from dashboard.queries import accuracy
from dashboard.queries.open_runs import Broken, Library, Run, open_library
from dashboard.server import access, launch
from dashboard.server.streamlit_internals import STEPS_OF_HISTORY
from dashboard.state import kept_figures, selections, shared
from dashboard.views import PAGES, show
from dashboard.wording import plain_name

VIEWS = Path(__file__).resolve().parent / "views"
PROTOCOL_TITLES = {
    Protocol.REFIT: "Refit in each condition",
    Protocol.FROZEN: "Fitted once, then frozen",
    Protocol.OWN: "None: the model's own answer",
}
PROBE_TITLES = {probe: spec.title for probe, spec in PROBES.items()}
LAYOUT = """
<style>
[data-testid="stMainBlockContainer"] { padding: 3.2rem clamp(1rem, 3vw, 3rem) 4rem;
  max-width: 1500px }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p { color: CAPTION;
  opacity: 1 }
@media (max-width: 640px) { [data-testid="stMarkdownContainer"] h2 { font-size: 1.3rem } }
</style>
"""
AGGREGATION_TITLES = {
    Aggregation.ALL: "Every pair and background",
    Aggregation.PUBLISHED: "As in the paper",
}


def main() -> None:
    """Show the page that was asked for."""
    st.set_page_config("Bystander", str(VIEWS.parent / "icon.svg"), layout="wide")
    dark = st.context.theme.type == "dark"
    st.html(LAYOUT.replace("CAPTION", theme.MUTED.on(dark)))
    st.html(STEPS_OF_HISTORY, unsafe_allow_javascript=True)
    pages = [
        st.Page(
            VIEWS / f"{one.name}.py",
            title=one.title,
            icon=f":material/{one.icon}:",
            default=one is PAGES[0],
        )
        for one in PAGES
    ]
    page = st.navigation(pages)
    if not access.admit():
        return
    paths = [path.resolve() for path in launch.requested_runs()]
    library = open_library(paths, *cache.connection(tuple(str(path) for path in paths)))
    if not library.runs:
        _nothing_to_show(library)
        return
    with st.sidebar:
        run = _choose_run(library)
        shared.keep(_choose(run))
        kept_figures.begin(library)
    for broken in library.broken:
        _explain(broken)
    if not run.complete:
        _unfinished(run)
    if not run.models:
        st.warning(
            "This run was made without a model, so there are crops but no answers to show. Make it "
            "again with `--models`; `bystander models` lists those that are at hand.",
            icon=":material/neurology:",
        )
    try:
        page.run()
    except BystanderError as error:
        show.problem(error, "This page")
    except Exception:
        logging.getLogger("bystander").exception("page failed")
        st.error(
            "Something went wrong on this page; the server's log says what. The other pages may "
            "still work.",
            icon=":material/error:",
        )


def _choose_run(library: Library) -> Run:
    if len(library.runs) == 1:
        return library.runs[0]
    key = selections.choice("Run", "run", library.keys, default=library.keys[0])
    return library[key or library.keys[0]]


def _choose(run: Run) -> shared.Shared:
    """Show the shared filters, only those that this run gives a choice of."""
    known = _computed(run)
    protocol = _one(
        "Probe",
        "protocol",
        _offered(known, "protocol", Protocol),
        PROTOCOL_TITLES,
        "Refit: what information remains under a condition. Frozen: what happens to a model "
        "that is in use. The model's own answer: what its own last layer says, as a lab that uses "
        "the model gets it.",
    )
    probe = _one(
        "Task",
        "probe",
        _offered(known, "probe", Probe, protocol=protocol),
        PROBE_TITLES,
        "\n\n".join(
            f"**{spec.title}**: {spec.measure} in {spec.definition}." for spec in PROBES.values()
        ),
    )
    aggregation = _one(
        "Average",
        "aggregation",
        _offered(known, "aggregation", Aggregation, protocol=protocol, probe=probe),
        AGGREGATION_TITLES,
        "How pair tests are averaged into one number.",
    )
    models = tuple(theme.models_in_order(run.models_under(protocol)))
    if note := wording.without_head([m for m in run.models if m not in models]):
        st.caption(note)
    if len(models) > 1:
        marks = theme.model_marks(models)
        models = selections.several(
            "Models",
            "models",
            models,
            shown=lambda name: f"{marks[name].character} {theme.model_title(name, short=True)}",
        )
    conditions = tuple(theme.in_order(run.conditions))
    if len(conditions) > 1:
        with st.expander("Conditions", icon=":material/filter_alt:"):
            conditions = selections.several(
                "Conditions shown", "conditions", conditions, shown=theme.condition_title
            )
    return shared.Shared(
        run,
        protocol,
        probe,
        aggregation,
        models,
        conditions,
        dark=st.context.theme.type == "dark",
    )


def _one(label: str, key: str, options: list[str], titles: Mapping[Any, str], why: str) -> str:
    if len(options) == 1:
        return options[0]
    picked = selections.choice(
        label, key, options, default=options[0], shown=lambda name: titles[name], help_=why
    )
    return picked or options[0]


def _computed(run: Run) -> pd.DataFrame | None:
    """Return the combinations of protocol, probe and aggregation that the run has."""
    if not run.has("accuracy"):
        return None
    try:
        return cache.ask(run, accuracy.choices)
    except BystanderError:
        return None


def _offered(
    known: pd.DataFrame | None, column: str, kind: type[StrEnum], **chosen: str
) -> list[str]:
    """Return what there is to choose from, given what was chosen already; the default first."""
    names = [str(item) for item in kind]
    if known is None:
        return names[:1]
    for other, value in chosen.items():
        known = known[known[other] == value]
    return [name for name in names if name in set(known[column])] or names[:1]


def _nothing_to_show(library: Library) -> None:
    st.title("No run to show", anchor=False)
    for broken in library.broken:
        _explain(broken)
    st.markdown(
        "Make one with `bystander run STORE --out RUN`, then open it with "
        "`bystander dashboard RUN`; or see what it looks like with `bystander demo`."
    )


def _explain(broken: Broken) -> None:
    problem = plain_name(broken.problem)
    st.warning(
        f"**{plain_name(broken.key)}** cannot be shown. {problem} {plain_name(broken.remedy)}",
        icon=":material/folder_off:",
    )


def _unfinished(run: Run) -> None:
    store = str(run.meta.get("store", {}).get("path", "STORE"))
    command = str(run.meta.get("command") or f"bystander run {store} --out {run.path}")
    st.warning(
        "This run is not finished, so what needs its last steps is missing. It goes on where it "
        "stopped with the command that began it:",
        icon=":material/hourglass:",
    )
    st.code(command, language="bash")


main()
