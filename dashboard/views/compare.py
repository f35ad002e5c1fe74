"""Compare: models of runs as a leaderboard on what they have in common; where two disagree."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from compute.schema import PROBES, Aggregation, Probe, Protocol
from compute.statistics.config import SUBSTANTIAL
from dashboard import cache, theme, wording
from dashboard.figures import compare as figures
from dashboard.figures import keys
from dashboard.figures.request import Filters
from dashboard.queries import compare
from dashboard.queries.beside_baselines import beside_baselines
from dashboard.queries.comparable_runs import Comparison, Entry, answering, comparison
from dashboard.queries.open_runs import Run
from dashboard.state import kept_figures, selections
from dashboard.state.shared import Shared, current
from dashboard.views import show

MEASURES = {
    str(Protocol.REFIT): "refit",
    str(Protocol.FROZEN): "frozen",
    str(Protocol.OWN): "the model's own answer",
    **{str(probe): spec.title[:1].lower() + spec.title[1:] for probe, spec in PROBES.items()},
    str(Aggregation.ALL): "every pair",
    str(Aggregation.PUBLISHED): "as in the paper",
}


def page() -> None:
    """Show the page."""
    shared = current()
    show.header(
        "Compare",
        shared,
        "Models of one or several runs side by side, on what they have in common.",
    )
    runs = _runs()
    found = comparison(cache.ask, runs)
    _common(found, runs)
    condition = _condition(found)
    choice = _choice(found, shared) if condition else None
    if choice is None or condition is None:
        st.info(
            "There is nothing to compare: no way of measuring, with two conditions, is in all of "
            "these runs. What they have is said above.",
            icon=":material/compare_arrows:",
        )
        return
    filters = Filters.usual(shared.run, *choice)
    several = keys.joined(run.key for run in runs) if len(kept_figures.opened().runs) > 1 else None
    with show.guarded("The leaderboard"):
        _board(shared, filters, found, condition=condition, runs=several)
    found = answering(found, choice[0])
    if len(found.entries) < 2:
        st.info("One model of one run has none to disagree with. Open another run beside it.")
        return
    first, second = _pair(found)
    values: dict[str, Any] = {
        "condition": condition,
        "runs": several,
        **figures.joined_ends(first, second),
    }
    if not shared.published:
        with show.guarded("The tested differences"):
            ends = {name: values[name] for name in ("first", "second", "runs")}
            show.figure(figures.DIFFERENCES, shared, filters=filters, **ends)
    with show.guarded("The classes"):
        show.figure(figures.CLASS_PAIRS, shared, filters=filters, **values)
    with show.guarded("The proteins"):
        _proteins(shared, filters, first, second, values)


def _runs() -> list[Run]:
    library = kept_figures.opened()
    if len(library.runs) == 1:
        st.markdown(
            "One run is open, so its models are compared. `bystander dashboard RUN RUN …` opens "
            "several."
        )
        return list(library.runs)
    chosen = selections.several("Runs", "runs", library.keys)
    return [library[key] for key in chosen]


def _common(found: Comparison, runs: list[Run]) -> None:
    for reason in found.left_out:
        st.warning(f"Left out: {wording.plain_name(reason)}", icon=":material/block:")
    if len(runs) < 2 or not found.entries:
        return
    title = (
        f"In common: {wording.count(len(found.conditions), 'condition')}, "
        f"{wording.count(len(found.localizations), 'localization')}. What is not, and what follows"
    )
    with st.expander(title, icon=":material/join_inner:"):
        for note in found.notes:
            st.markdown(f"- {wording.plain_name(note)}")


def _choice(found: Comparison, shared: Shared) -> tuple[str, str, str] | None:
    """Let a common way of measuring be chosen; the sidebar's where all runs have it."""
    if not found.choices:
        return None
    mine = (shared.protocol, shared.probe, shared.accuracy.aggregation)
    named = {_named(one): one for one in found.choices}
    titles = {one: name for name, one in named.items()}
    usual = titles.get(mine, next(iter(named)))
    if len(named) == 1:
        return found.choices[0]
    picked = selections.choice("Measured as", "measure", list(named), default=usual)
    return named[picked or usual]


def _named(choice: tuple[str, str, str]) -> str:
    """Return a way of measuring in words; only pair tests have several averages."""
    if choice[0] == Protocol.OWN:
        return MEASURES[choice[0]]
    parts = choice if choice[1] == Probe.PAIR else choice[:2]
    return ", ".join(MEASURES[part] for part in parts)


def _condition(found: Comparison) -> str | None:
    altered = [name for name in found.conditions if name != "unaltered"]
    if not altered or "unaltered" not in found.conditions:
        return None
    default = "different" if "different" in altered else altered[0]
    if len(altered) == 1:
        return default
    return selections.choice(
        "Drop from unaltered to",
        "condition",
        altered,
        what="condition",
        default=default,
        shown=theme.condition_title,
        segmented=True,
    )


def _board(
    shared: Shared, filters: Filters, found: Comparison, condition: str, runs: str | None
) -> None:
    sort = selections.choice(
        "Sort by",
        "sort",
        list(compare.SORTS),
        default=next(iter(compare.SORTS)),
        shown=str.capitalize,
        segmented=True,
    )
    order = sort or next(iter(compare.SORTS))
    table = show.figure(
        figures.LEADERBOARD, shared, filters=filters, condition=condition, sort=order, runs=runs
    )
    show.data(
        table.drop(columns=["run", "model"]),
        shared,
        "leaderboard_table",
        show.config(figures.BOARD),
        f"{filters.accuracy.sentence()} Ranks that lie within each other's intervals are not told "
        "apart.",
    )
    choice = (filters.protocol, filters.probe, filters.accuracy.aggregation)
    if beside := beside_baselines(cache.ask, found, choice, condition):
        show.caption("\n".join(f"- {sentence}" for sentence in beside), shared)
    without = [
        e.title for e in found.entries if e not in answering(found, filters.protocol).entries
    ]
    if note := wording.without_head(without):
        show.caption(note, shared)
    if not found.classes:
        show.agreement(shared, found.entries, filters.protocol, condition)


def _pair(found: Comparison) -> tuple[Entry, Entry]:
    """Let two entries be chosen; another second one where both would be the same."""
    st.divider()
    st.subheader("Where two disagree", anchor=False)
    by_title = {entry.title: entry for entry in found.entries}
    titles = list(by_title)
    left, right = st.columns(2)
    with left:
        first = selections.choice("First", "first", titles, default=titles[0]) or titles[0]
    others = [title for title in titles if title != first]
    with right:
        second = selections.choice("Second", "second", others, default=others[0]) or others[0]
    return by_title[first], by_title[second]


def _proteins(
    shared: Shared,
    filters: Filters,
    first: Entry,
    second: Entry,
    values: Mapping[str, Any],
) -> None:
    threshold = st.slider(
        "A shift is substantial from a total variation of",
        0.0,
        1.0,
        SUBSTANTIAL,
        0.01,
        key="threshold",
        bind="query-params",
    )
    table = show.figure(figures.SHIFT_PAIRS, shared, filters=filters, threshold=threshold, **values)
    _disagreements(shared, table, first, second)


def _disagreements(shared: Shared, table: pd.DataFrame, first: Entry, second: Entry) -> None:
    differ = table[table["said"].isin(["first only", "second only"])]
    if differ.empty:
        if len(table):
            st.info("No protein is shifted for one of them and not for the other.")
        return
    only = {"first only": first.title, "second only": second.title}
    show.data(
        differ.assign(only=differ["said"].map(only)),
        shared,
        "disagreements",
        {
            "protein": show.text("Gene"),
            "orf": show.text("ORF"),
            "only": show.text("Shifted only for"),
            "first": show.number(f"Shift, {first.title}"),
            "first_q": show.number("q"),
            "first_top": show.text("goes to"),
            "second": show.number(f"Shift, {second.title}"),
            "second_q": show.number("q "),
            "second_top": show.text("goes to "),
        },
        f"Proteins that are shifted for one and not for the other. "
        f"{wording.count(len(differ), 'protein')} of {len(table):,}.",
    )


if __name__ == "__main__":
    page()
