"""Tables about some proteins to chart descriptions: a list's shifts, one's confusions."""

import pandas as pd

from compute.statistics.config import ALPHA
from dashboard import wording
from dashboard.charts.accuracy import between, spread_out, tuples
from dashboard.charts.description import Axis, Bars, Chart, Layer, Panel, Points, Rule
from dashboard.theme import MUTED, condition_title, model_marks, model_title

MOST_DRAWN = 60
"""Proteins of a list that are drawn; its table has all."""

MOST_NEIGHBOURS = 8
"""Background classes that are drawn for each model."""


def listed(table: pd.DataFrame, condition: str, threshold: float) -> Chart:
    """Draw each protein's shift for every model, largest first.

    Parameters
    ----------
    table
        From `queries.proteins.listed`.
    """
    genes = list(dict.fromkeys(table["protein"]))[:MOST_DRAWN]
    place = {gene: i for i, gene in enumerate(genes)}
    drawn = table[table["protein"].isin(genes)]
    marks = model_marks(table["model"])
    models = sorted(table["model"].unique(), key=list(marks).index)
    layers: list[Layer] = [Rule("x", threshold, f" {threshold:.2f}")]
    for model, offset in zip(models, spread_out(len(models)), strict=True):
        rows = drawn[drawn["model"] == model]
        layers.append(
            Points(
                model_title(model),
                tuples(rows["tv"]),
                tuple(place[gene] + offset for gene in rows["protein"]),
                marks[model].ink,
                symbol=marks[model].symbol,
                size=10,
                hover=tuple(
                    f"{row.protein}, {model_title(model)}\nshift {row.tv:.2f} (noise "
                    f"{row.noise_floor:.2f}), q = {row.q_value:.3f}\n"
                    f"{row.top_before} → {row.top_after}\nn = {wording.count(row.n_cells, 'cell')}"
                    for row in wording.records(rows)
                ),
            )
        )
    over = table[(table["tv"] >= threshold) & (table["q_value"] <= ALPHA)]["protein"].nunique()
    count = table["protein"].nunique()
    title = (
        f"{over} of {wording.count(count, 'protein')} of the list shift substantially "
        f"{wording.on_background(condition)}, for one model at least"
        if count
        else "No shift was computed for these proteins"
    )
    rest = f" The {MOST_DRAWN} with the largest shift are drawn." if count > MOST_DRAWN else ""
    cells = table["n_cells"]
    caption = (
        f"Total variation between the unaltered distribution and that under "
        f"“{condition_title(condition).lower()}”; substantial from {threshold:.2f} on with "
        f"q ≤ {ALPHA:g}.{rest} n = " + (f"{between(cells)} cells a protein." if count else "0.")
    )
    panel = Panel(
        Axis("Shift: total variation", range=(0, 1)),
        Axis("", tuple(genes), reversed_=True),
        tuple(layers),
        height=120 + 26 * max(3, len(genes)),
    )
    return Chart("listed_shifts", title, caption, (panel,) if count else ())


def neighbours(table: pd.DataFrame, protein: str, condition: str) -> Chart:
    """Draw how often one protein's cells are taken for their background's class.

    Parameters
    ----------
    table
        From `queries.proteins.neighbours`.
    """
    marks = model_marks(table["model"])
    panels = []
    taken = table.groupby("background")["taken"].sum().sort_values(ascending=False)
    places = list(taken[taken > 0].index[:MOST_NEIGHBOURS])
    for model in sorted(table["model"].unique(), key=list(marks).index) if places else ():
        rows = table[table["model"] == model].set_index("background").reindex(places)
        rows = rows.fillna({"trials": 0, "taken": 0, "share": 0.0, "n_cells": 0}).reset_index()
        at = [float(i) for i in rows.index]
        layers = (
            Bars(
                "on that background",
                tuple(i + 0.18 for i in at),
                tuple(float(v) for v in rows["share"]),
                marks[model].ink,
                0.34,
                horizontal=True,
                hover=tuple(
                    f"on {row.background}: taken for it in {row.taken:,} of "
                    f"{wording.count(row.trials, 'trial')} ({row.share:.0%})\n"
                    f"the same {wording.count(row.n_cells, 'cell')} unaltered: "
                    f"{wording.percent(row.before, 0)}"
                    for row in wording.records(rows)
                ),
            ),
            Bars(
                "the same cells unaltered",
                tuple(i - 0.18 for i in at),
                tuple(float(v) if wording.known(v) else 0.0 for v in rows["before"]),
                MUTED,
                0.34,
                horizontal=True,
                opacity=0.55,
            ),
        )
        panels.append(
            Panel(
                Axis("Taken for the background's class", range=(0, 1.02), unit="%"),
                Axis("", tuple(rows["background"]), reversed_=True),
                layers,
                model_title(model),
                height=150 + 30 * len(rows),
            )
        )
    title = _taken_title(table, protein)
    trials = int(table.groupby("model")["trials"].sum().max()) if len(table) else 0
    caption = (
        f"Neighbours that {protein} is confused with under "
        f"“{condition_title(condition).lower()}”: the share of trials whose answer is the class of "
        f"the background, beside the same cells' unaltered answers; the {MOST_NEIGHBOURS} "
        f"most frequent. Few trials stand on each class. n = {wording.count(trials, 'trial')} a "
        "model."
    )
    return Chart("protein_neighbours", title, caption, tuple(panels))


def _taken_title(table: pd.DataFrame, protein: str) -> str:
    """Say which model most often takes a protein for its background's class, on all of them."""
    before = (table["before"].fillna(0) * table["trials"]).groupby(table["model"]).sum()
    every = table.groupby("model")[["taken", "trials"]].sum().assign(before=before)
    trials = int(every["trials"].max()) if len(every) else 0
    if trials < wording.FEW:
        return f"Backgrounds of {protein}: {wording.count(trials, 'trial')}"
    every = every.assign(more=(every["taken"] - every["before"]) / every["trials"])
    top = wording.records(every.reset_index().sort_values("more", ascending=False))[0]
    if not top.more > 0:
        return f"{protein} is not taken for its neighbours' class more often than unaltered"
    return (
        f"{model_title(top.model)} takes {protein} for its background's class in {top.taken:,} of "
        f"{wording.count(top.trials, 'trial')}; unaltered it says so in "
        f"{wording.percent(top.before / top.trials, 0)}"
    )
