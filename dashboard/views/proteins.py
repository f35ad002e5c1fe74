"""Proteins: how far each one's localizations shift, and one protein in every detail."""

from dataclasses import replace
from urllib.parse import quote

import pandas as pd
import streamlit as st

from compute.statistics.config import ALPHA, SUBSTANTIAL
from dashboard import cache, theme, wording
from dashboard.charts import mixed_proteins
from dashboard.figures import keys
from dashboard.figures import proteins as figures
from dashboard.figures.crops import legend
from dashboard.figures.tables import named
from dashboard.queries import examples, proteins
from dashboard.queries.filters import ShiftFilter
from dashboard.queries.open_runs import MissingTableError
from dashboard.render import strips
from dashboard.state import selections
from dashboard.state.shared import Shared, current
from dashboard.verdicts import LEGEND
from dashboard.views import show

CELLS = 6
"""Cells of one protein that are shown at first."""


def page() -> None:
    """Show the page."""
    shared = current()
    show.header(
        "Proteins",
        shared,
        "Where a model puts a protein's cells, and how that changes when only their background "
        "does. No labels are needed for this.",
    )
    if shared.published:
        st.info(
            "This run holds a publication's numbers, which are about classes: it has no proteins "
            "to look up. Open a run of your own, or the demo.",
            icon=":material/article:",
        )
        return
    protein: str | None = None
    some: tuple[str, ...] = ()
    with show.guarded("The list of proteins"):
        names = cache.ask(shared.run, proteins.names)
        protein, some = _find(names)
        if protein is not None:
            _one(shared, names, protein)
            st.divider()
    with show.guarded("The shifts of all proteins"):
        _all(shared, some, protein_chosen=protein is not None)


def _find(names: pd.DataFrame) -> tuple[str | None, tuple[str, ...]]:
    """Let a protein be found by gene or ORF, or part of either; and a list be pasted."""
    genes = names["protein"].tolist()
    orfs = {
        gene: orf
        for gene, orf in zip(genes, names["orf"], strict=True)
        if isinstance(orf, str) and orf and orf != gene
    }
    by_orf = {orf.lower(): gene for gene, orf in orfs.items()}
    protein = selections.choice(
        "Find a protein",
        "protein",
        genes,
        what="protein",
        shown=lambda gene: f"{gene} ({orfs[gene]})" if gene in orfs else gene,
        names=by_orf,
        placeholder=f"Gene or ORF, or part of either ({wording.count(len(genes), 'protein')})",
    )
    given = bool(st.session_state.get("genes") or st.query_params.get("genes"))
    with st.expander("Or paste a list of genes", expanded=given, icon=":material/playlist_add:"):
        some = selections.pasted(
            "Genes or ORFs",
            "genes",
            genes,
            by_orf,
            what="gene or ORF",
            help_="The charts and the table below keep to these; the address holds them.",
        )
        if some:
            st.caption(f"{wording.count(len(some), 'protein')} of this run chosen.")
    return protein, some


def _one(shared: Shared, names: pd.DataFrame, protein: str) -> None:
    fact = wording.records(names[names["protein"] == protein])[0]
    known = isinstance(fact.labels, str) and fact.labels
    where = f"labelled {wording.plain_name(fact.labels)}" if known else "not labelled"
    orf = f" · {wording.plain_name(fact.orf)}" if isinstance(fact.orf, str) and fact.orf else ""
    st.header(wording.plain_name(protein), anchor=False)
    st.markdown(f"{where}{orf} · {wording.count(fact.n_cells, 'cell')}{_links(shared, fact)}")
    if not shared.altered:
        st.info("Only one condition is shown, so there is nothing to compare.")
        return
    condition = _condition(shared, "Compare unaltered with")
    with show.guarded("The distributions"):
        show.figure(figures.DISTRIBUTION, shared, protein=protein, condition=condition)
        if st.toggle("Every condition at once", key="every", bind="query-params"):
            show.figure(figures.EVERY_CONDITION, shared, protein=protein)
    with show.guarded("The truth"):
        _truth(shared, protein, condition)
    with show.guarded("Single cells"):
        show.figure(figures.MOVES, shared, protein=protein, condition=condition)
    with show.guarded("The neighbours"):
        _neighbours(shared, protein, condition)
    with show.guarded("The shifts"):
        _own_shifts(shared, protein)
    with show.guarded("The crops"):
        _crops(shared, protein)


def _links(shared: Shared, fact: object) -> str:
    """Return links to databases; a simulated protein has none."""
    if shared.run.simulated:
        return " · simulated, so there are no links to databases"
    gene, orf = getattr(fact, "protein", ""), getattr(fact, "orf", None)
    text = quote(str(gene), safe="")
    links = []
    if isinstance(orf, str) and orf:
        links.append(f"[SGD](https://www.yeastgenome.org/locus/{quote(orf, safe='')})")
    else:
        links.append(f"[SGD](https://www.yeastgenome.org/search?q={text})")
    links.append(
        f"[UniProt](https://www.uniprot.org/uniprotkb?query=gene:{text}+AND+organism_id:559292)"
    )
    links.append("[TheCellVision](https://thecellvision.org/)")
    return " · " + " · ".join(links)


def _condition(shared: Shared, label: str) -> str:
    default = "different" if "different" in shared.altered else shared.altered[0]
    composed = [name for name in shared.altered if name != "conflicting"] or [default]
    picked = selections.choice(
        label,
        "condition",
        composed,
        what="condition",
        default=default if default in composed else composed[0],
        shown=theme.condition_title,
        segmented=True,
    )
    return picked or composed[0]


def _truth(shared: Shared, protein: str, condition: str) -> None:
    """Say how far a simulated protein's answers are from what was drawn."""
    try:
        rows = cache.ask(shared.run, proteins.truth, protein, shared.protocol)
    except MissingTableError:
        return
    rows = rows[rows["model"].isin(shared.models) & (rows["condition"] == condition)]
    if rows.empty:
        return
    each = "; ".join(
        f"{theme.model_title(row.model)} {row.tv_before:.2f} unaltered, {row.tv_after:.2f} "
        f"{wording.on_background(condition)}"
        for row in wording.records(rows)
    )
    st.markdown(
        f":material/fact_check: **Truth** (simulated cells): mostly "
        f"{wording.plain_name(str(rows['top_true'].iloc[0]))}. Distance of the answers from it "
        f"(total variation): {wording.plain_name(each)}. "
        f"n = {wording.count(rows['n_cells'].max(), 'cell')}."
    )


def _neighbours(shared: Shared, protein: str, condition: str) -> None:
    """Show which background classes the protein is mistaken for."""
    asked = show.asked(figures.NEIGHBOURS, shared, protein=protein, condition=condition)
    table = figures.NEIGHBOURS.query(asked)
    if table.empty:
        return
    if table["taken"].any():
        show.figure(figures.NEIGHBOURS, shared, protein=protein, condition=condition)
    else:
        st.markdown(
            f":material/group_off: On no background is {wording.plain_name(protein)} taken for the "
            f"background's class, {wording.on_background(condition)} "
            f"({wording.count(table['trials'].sum(), 'answer')})."
        )


def _own_shifts(shared: Shared, protein: str) -> None:
    rows = cache.ask(shared.run, proteins.protein_shifts, protein, shared.protocol)
    rows = rows[rows["model"].isin(shared.models) & rows["condition"].isin(shared.conditions)]
    if rows.empty:
        return
    st.subheader(f"How {wording.plain_name(protein)} ranks among all proteins", anchor=False)
    show.data(
        named(rows),
        shared,
        "protein_shifts",
        {
            "model": show.text("Model"),
            "condition": show.text("Condition"),
            **_shift_columns(),
            "rank": show.number("Rank", "%d", "1 shifts most"),
            "of": show.number("of proteins", "%d"),
        },
        f"Shift of {protein} from its unaltered distribution, for every model and condition.",
    )


def _shift_columns() -> dict[str, object]:
    return {
        "tv": show.number(
            "Shift (TV)", "%.2f", "Total variation: the share of the distribution that moved"
        ),
        "jsd": show.number("JSD", "%.3f", "Jensen–Shannon divergence, base 2"),
        "noise_floor": show.number(
            "Noise", "%.2f", "The same distance between two halves of the unaltered cells"
        ),
        "q_value": show.number("q", "%.4f", "Benjamini–Hochberg within model and condition"),
        "top_before": show.text("Mostly, unaltered"),
        "top_after": show.text("Mostly, after"),
        "flipped_fraction": show.percent(
            "Answers changed", "Share of trials with another answer, the mean over cells"
        ),
        "n_cells": show.number("Cells", "%d"),
    }


def _crops(shared: Shared, protein: str) -> None:
    st.subheader(f"Cells of {wording.plain_name(protein)}", anchor=False)
    cells = (
        cache.ask(shared.run, examples.of_protein, protein, CELLS)
        if shared.run.has("examples")
        else []
    )
    if not cells:
        st.info(f"No images of {wording.plain_name(protein)} are stored in this run.")
        return
    conditions = tuple(name for name in shared.conditions if name != "conflicting")
    request = strips.Request(
        tuple(cells), conditions, shared.models, shared.protocol, outline=True, dark=shared.dark
    )
    st.html(cache.strip(shared.run, request))
    show.caption(
        f"{wording.count(len(cells), 'cell')} with stored images, true pixels; "
        f"{LEGEND}. {legend(shared.models)}",
        shared,
    )
    st.page_link(
        "views/crops.py",
        label=f"All stored cells of {protein}, in other colours and contrasts",
        icon=":material/grid_view:",
        query_params={"gene": protein},
    )


def _all(shared: Shared, some: tuple[str, ...], *, protein_chosen: bool) -> None:
    if not shared.altered:
        st.info("Only one condition is shown, so there are no shifts.")
        return
    if not shared.models:
        st.info("This run has no model, so there are no shifts.")
        return
    st.header("Your list" if some else "All proteins", anchor=False)
    if protein_chosen:
        condition = st.session_state.get("condition", shared.altered[0])
    else:
        condition = _condition(shared, "Shift between unaltered and")
    model = shared.models[0]
    if len(shared.models) > 1:
        model = (
            selections.choice(
                "Model",
                "model",
                shared.models,
                default=shared.models[0],
                shown=theme.model_title,
                segmented=True,
            )
            or model
        )
    threshold = st.slider(
        "A shift is substantial from a total variation of",
        0.0,
        1.0,
        SUBSTANTIAL,
        0.01,
        key="threshold",
        bind="query-params",
        help=f"The share of a protein's distribution that has to move, with q ≤ {ALPHA:g}.",
    )
    chosen = ShiftFilter(shared.protocol, model, condition, threshold=threshold, proteins=some)
    if some:
        show.figure(
            figures.LISTED,
            shared,
            condition=condition,
            threshold=threshold,
            proteins=keys.joined(some),
        )
        _table(shared, chosen)
        return
    left, right = st.columns(2)
    with left:
        show.figure(
            figures.HISTOGRAM, shared, model=model, condition=condition, threshold=threshold
        )
    with right:
        show.figure(figures.CURVE, shared, condition=condition, threshold=threshold)
    show.figure(figures.SHARES, shared, threshold=threshold)
    _table(shared, chosen)
    with show.guarded("Proteins with mixed localization"):
        _mixed(shared)
    with show.guarded("The truth of all proteins"):
        _verdicts(shared, threshold)


def _mixed(shared: Shared) -> None:
    """Show how many proteins with mixed localization shift, if the run knows."""
    try:
        asked = show.asked(figures.MIXED, shared)
        table = figures.MIXED.query(asked)
    except MissingTableError:
        return
    if table.empty:
        return
    st.subheader("Proteins with mixed localization", anchor=False)
    st.markdown(wording.plain_name(mixed_proteins.finding(table)))
    if table["estimate"].notna().any():
        show.figure(figures.MIXED, shared)
        show.numbers(figures.MIXED, asked, shared, table)


def _verdicts(shared: Shared, threshold: float) -> None:
    """Say of simulated proteins whether the shifted ones were wrong before or after."""
    try:
        rows = cache.ask(shared.run, proteins.verdicts, shared.protocol, shared.models, threshold)
    except MissingTableError:
        return
    rows = rows[rows["condition"].isin(shared.conditions)]
    if rows.empty:
        return
    st.subheader("Were the shifted proteins wrong before, or after?", anchor=False)
    show.data(
        named(rows),
        shared,
        "truth_of_shifts",
        {
            "model": show.text("Model"),
            "condition": show.text("Condition"),
            "shifted": show.number("Shifted", "%d", "Proteins called substantially shifted"),
            "after": show.number("Wrong after", "%d", "Right unaltered, wrong on the background"),
            "before": show.number("Wrong before", "%d", "Wrong unaltered, right after"),
            "both": show.number("Wrong both times", "%d"),
            "neither": show.number("Right both times", "%d", "Both within the threshold"),
            "tv_before": show.number("From truth, unaltered", "%.2f", "Median total variation"),
            "tv_after": show.number("From truth, after", "%.2f", "Median total variation"),
            "closer": show.number("Nearer after", "%d", "Proteins that came nearer to the truth"),
            "n": show.number("Proteins", "%d"),
        },
        "These cells are simulated, so each protein's true distribution is known, which no real "
        f"images give. A distribution is wrong from a total variation of {threshold:.2f} from the "
        "true one, the threshold above.",
    )


def _table(shared: Shared, chosen: ShiftFilter) -> None:
    st.subheader(
        "Every shift of the list" if chosen.proteins else "Every protein's shift", anchor=False
    )
    left, right = st.columns([2, 1])
    with left:
        text = selections.search("Only genes or ORFs with", "q", "part of a gene or ORF")
    with right:
        order = selections.choice(
            "Sort by",
            "order",
            list(proteins.ORDERS),
            default=next(iter(proteins.ORDERS)),
            shown=str.capitalize,
        )
    found = replace(chosen, search=text)
    rows = cache.ask(shared.run, proteins.shifts, found, order or "largest shift")
    if rows.empty:
        st.info(
            f"No gene or ORF has “{wording.plain_name(text)}” in it."
            if text
            else "No shifts were computed for this choice."
        )
        return

    def choose() -> None:
        picked = st.session_state["table_shifts"]["selection"]["rows"]
        if picked:
            st.session_state["protein"] = rows["protein"].iloc[picked[0]]

    show.data(
        rows,
        shared,
        "shifts",
        {
            "rank": show.number("Rank", "%d"),
            "protein": show.text("Gene"),
            "orf": show.text("ORF"),
            "labels": show.text("Labelled"),
            **_shift_columns(),
            "substantial": st.column_config.CheckboxColumn("Substantial"),
        },
        f"{found.sentence()} {wording.count(len(rows), 'protein')}; choose a row to see that "
        "protein above.",
        on_select=choose,
        height=420 if len(rows) > 10 else "auto",
    )


if __name__ == "__main__":
    page()
