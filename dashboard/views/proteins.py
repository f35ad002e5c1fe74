"""Proteins: how far each one's localizations shift, and one protein in every detail."""

from urllib.parse import quote

import pandas as pd
import streamlit as st

from dashboard import cache, selections, show, strips, theme, wording
from dashboard.charts import proteins as drawings
from dashboard.queries import examples, proteins
from dashboard.queries.filters import ShiftFilter
from dashboard.shared import Shared, current

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
    with show.guarded("The list of proteins"):
        names = cache.ask(shared.run, proteins.names)
        protein = _find(names)
        if protein is not None:
            _one(shared, names, protein)
            st.divider()
    with show.guarded("The shifts of all proteins"):
        _all(shared, protein_chosen=protein is not None)


def _find(names: pd.DataFrame) -> str | None:
    """Let a protein be found by gene or ORF, or part of either."""
    genes = names["protein"].tolist()
    orfs = {
        row.protein: row.orf
        for row in wording.records(names)
        if isinstance(row.orf, str) and row.orf and row.orf != row.protein
    }
    return selections.choice(
        "Find a protein",
        "protein",
        genes,
        what="protein",
        shown=lambda gene: f"{gene} ({orfs[gene]})" if gene in orfs else gene,
        names={orf: gene for gene, orf in orfs.items()},
        placeholder=f"Gene or ORF, or part of either ({wording.count(len(genes), 'protein')})",
    )


def _one(shared: Shared, names: pd.DataFrame, protein: str) -> None:
    fact = next(row for row in wording.records(names) if row.protein == protein)
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
        table = cache.ask(shared.run, proteins.distributions, protein, shared.protocol)
        table = table[table["model"].isin(shared.models)]
        table = table[table["condition"].isin(shared.conditions)]
        show.chart(drawings.before_and_after(table, protein, condition), shared, table)
        if st.toggle("Every condition at once", key="every", bind="query-params"):
            show.chart(drawings.all_conditions(table, protein), shared, table)
    with show.guarded("Single cells"):
        moves = cache.ask(shared.run, proteins.moves, protein, shared.protocol, condition)
        moves = moves[moves["model"].isin(shared.models)]
        show.chart(drawings.moves(moves, protein, condition), shared, moves)
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


def _own_shifts(shared: Shared, protein: str) -> None:
    rows = cache.ask(shared.run, proteins.protein_shifts, protein, shared.protocol)
    rows = rows[rows["model"].isin(shared.models) & rows["condition"].isin(shared.conditions)]
    if rows.empty:
        return
    st.subheader(f"How {wording.plain_name(protein)} ranks among all proteins", anchor=False)
    show.data(
        show.named(rows),
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
        "flipped_fraction": show.percent("Cells flipped"),
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
        f"{wording.count(len(cells), 'cell')} with stored images, true pixels; an arrow marks an "
        f"answer that changed from unaltered. {legend(shared)}",
        shared,
    )
    st.page_link(
        "views/crops.py",
        label=f"All stored cells of {protein}, in other colours and contrasts",
        icon=":material/grid_view:",
        query_params={"gene": protein},
    )


def legend(shared: Shared) -> str:
    """Return which sign stands for which model."""
    marks = theme.model_marks(shared.models)
    return ", ".join(f"{marks[name].character} {theme.model_title(name)}" for name in shared.models)


def _all(shared: Shared, *, protein_chosen: bool) -> None:
    if not shared.altered:
        st.info("Only one condition is shown, so there are no shifts.")
        return
    if not shared.models:
        st.info("This run has no model, so there are no shifts.")
        return
    st.header("All proteins", anchor=False)
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
        0.2,
        0.01,
        key="threshold",
        bind="query-params",
        help="The share of a protein's distribution that has to move, with q ≤ 0.05.",
    )
    chosen = ShiftFilter(shared.protocol, model, condition, threshold=threshold)
    shares = cache.ask(shared.run, proteins.shares, shared.protocol, shared.models, threshold)
    shares = shares[shares["condition"].isin(shared.conditions)]
    left, right = st.columns(2)
    with left:
        table = cache.ask(shared.run, proteins.histogram, chosen)
        show.chart(drawings.histogram(table, shares, chosen), shared, table)
    with right:
        table = cache.ask(shared.run, proteins.curve, shared.protocol, condition, shared.models)
        show.chart(drawings.curve(table, condition, threshold), shared, table)
    show.chart(drawings.shares(shares, threshold), shared, shares)
    _table(shared, chosen)


def _table(shared: Shared, chosen: ShiftFilter) -> None:
    st.subheader("Every protein's shift", anchor=False)
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
    found = ShiftFilter(
        chosen.protocol, chosen.model, chosen.condition, text, chosen.threshold, chosen.q_value
    )
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
        height=420,
    )


if __name__ == "__main__":
    page()
