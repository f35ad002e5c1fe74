"""Proteins with mixed localization: how many shift substantially, in words and as a chart."""

import pandas as pd

from compute.paper.table_1 import MIXED_DIVERGENCE, MIXED_PROTEINS, MIXED_SHARE
from compute.schema import Condition, Population
from compute.statistics.config import ALPHA, SUBSTANTIAL
from dashboard import wording
from dashboard.charts.description import Chart
from dashboard.charts.proteins import by_condition
from dashboard.theme import model_title

PUBLISHED = (
    f"In the paper about {MIXED_SHARE:.0%} do (PIFiA, {MIXED_PROTEINS:,} proteins, probes fitted "
    "inside each condition)"
)
"""What the paper says of this population under `masked`; it stands beside that number alone."""


ZEROS = wording.on_background(Condition.MASKED)


def finding(table: pd.DataFrame) -> str:
    """Return a sentence on mixed proteins that shift under `masked`; empty where there are none.

    Parameters
    ----------
    table
        From `queries.proteins.mixed`.
    """
    masked = table[table["condition"] == Condition.MASKED]
    rows = masked[masked["population"] == Population.MIXED]
    if rows.empty:
        return ""
    each, unknown = [], []
    for row in wording.records(rows.sort_values("estimate", ascending=False)):
        if not wording.known(row.estimate):
            unknown.append(model_title(row.model))
            continue
        ends = f"{100 * row.ci_low:.0f} to {100 * row.ci_high:.0f}"
        each.append(
            f"{model_title(row.model)} {wording.percent(row.estimate)} of "
            f"{wording.count(row.n_proteins, 'protein')} ({wording.level()} interval {ends})"
        )
    if not each:
        return (
            f"How many proteins with mixed localization shift {ZEROS} cannot be "
            "said here: no p-values were computed under this protocol."
        )
    missing = f" Not computed for {', '.join(unknown)}." if unknown else ""
    zeros = wording.shifts_of_zeros(rows, "estimate")
    return (
        f"Of proteins with mixed localization, these shift substantially {ZEROS}: "
        f"{'; '.join(each)}. {PUBLISHED}.{missing}{' ' + zeros if zeros else ''}"
    )


def population(table: pd.DataFrame) -> str:
    """Say how many proteins count as mixed, and why, for each model."""
    rows = table[table["condition"] == Condition.MASKED]
    if rows.empty:
        rows = table
    said = []
    for model in dict.fromkeys(rows["model"]):
        some = rows[rows["model"] == model].drop_duplicates("population").set_index("population")
        n = {p: int(some["n_proteins"].get(str(p), 0)) for p in Population}
        said.append(
            f"{model_title(model)} {n[Population.MIXED]:,} ({n[Population.SEVERAL]:,} with several "
            f"labels, {n[Population.VARYING]:,} of whose cells no one class fits all)"
        )
    return "; ".join(said)


def shares(table: pd.DataFrame) -> Chart:
    """Draw the share of mixed proteins that shift substantially, by condition and model.

    Parameters
    ----------
    table
        From `queries.proteins.mixed`.
    """
    rows = table[(table["population"] == Population.MIXED) & table["estimate"].notna()]
    panel = by_condition(
        rows,
        "Mixed proteins shifted",
        lambda row: (
            f"{row.estimate:.0%} ({int(row.shifted):,} of {row.n_proteins:,} proteins)\n"
            f"KL, quartiles: {row.kl_25:.2f}, {row.kl_50:.2f}, {row.kl_75:.2f} nats"
        ),
    )
    zeros = wording.shifts_of_zeros(rows, "estimate")
    quartiles = ", ".join(f"{value:.2f}" for value in MIXED_DIVERGENCE)
    caption = (
        "Proteins with mixed localization are those with several labels and those of whose cells "
        f"no one class fits all (q ≤ {ALPHA:g}): {population(table)}. A shift is substantial with "
        f"q ≤ {ALPHA:g} and a total variation of at least {SUBSTANTIAL:g}; bars: {wording.level()} "
        "intervals over proteins (Wilson). Pointing at a mark gives quartiles of the "
        f"Kullback–Leibler divergence; the paper's, masked, are {quartiles} nats. "
        f"{zeros + ' ' if zeros else ''}"
        f"n = {wording.count(rows['n_proteins'].max() if len(rows) else 0, 'protein')}."
    )
    return Chart("mixed_shares", _title(rows), caption, (panel,) if len(rows) else ())


def _title(rows: pd.DataFrame) -> str:
    """Say the largest share that counts as the neighbours'."""
    worst = wording.worst(rows)
    if worst is None:
        return "Proteins with mixed localization that shift on other backgrounds"
    if not worst.shifted:
        return (
            f"None of {wording.count(worst.n_proteins, 'protein')} with mixed localization shifts "
            "substantially for other neighbours"
        )
    return (
        f"Of {wording.count(worst.n_proteins, 'protein')} with mixed localization "
        f"{worst.estimate:.0%} shift substantially for {model_title(worst.model)} "
        f"{wording.on_background(worst.condition)}"
    )
