"""Models of runs side by side: a leaderboard, and where two of them disagree.

Each number is read from the run it belongs to; runs meet here as tables. Where runs have other
classes, pair tests are averaged anew over the classes they share (`restricted`).
"""

from dataclasses import replace
from typing import Any

import pandas as pd

from compute.schema import Condition
from compute.statistics.config import ALPHA
from dashboard.queries import accuracy
from dashboard.queries.comparable_runs import Ask, Comparison, Entry, answering, unlike_heads
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.open_runs import MissingTableError, Run
from dashboard.queries.restricted import restricted

Choice = tuple[str, str, str]
"""Protocol, probe and aggregation."""

SORTS = {
    "smallest drop": ("drop", True),
    "smallest gap": ("gap", True),
    "highest accuracy": ("accuracy", False),
    "largest drop": ("drop", False),
    "name": ("entry", True),
}
"""Orders of the leaderboard: a column, and whether it ascends."""

MEASURES = ("accuracy", "drop", "gap")
GAP = (Condition.UNALTERED, Condition.SAME, Condition.DIFFERENT)
"""Conditions that every comparison needs."""


def leaderboard(
    ask: Ask,
    found: Comparison,
    choice: Choice,
    condition: str,
    sort: str = "smallest drop",
) -> pd.DataFrame:
    """Rank models of runs by drop, gap or unaltered accuracy.

    Parameters
    ----------
    ask
        Answers queries.
    found
        From `comparison`.
    choice
        Protocol, probe and aggregation, one of `found.choices`.
    condition
        Whose drop, one of `found.conditions` other than unaltered.
    sort
        A key of `SORTS`.

    Returns
    -------
    pandas.DataFrame
        ``rank, entry, run, model, baseline, accuracy, accuracy_low, accuracy_high, drop, drop_low,
        drop_high, gap, gap_low, gap_high, unit, donor_seen, n_cells, n_proteins``; a rank is
        missing where the sorted number is. Where `unlike_heads` has something to say, all ranks are
        missing and the order is by name. `baseline` says which are yardsticks. `donor_seen` is the
        largest share under the conditions of drop and gap, over all classes of the run.
    """
    rows = []
    for entry in answering(found, choice[0]).entries:
        numbers = effects_of(ask, found, entry, choice, condition)
        overall = numbers[numbers["scope"] == "overall"]
        seen = ask(entry.run, accuracy.donors_seen, _chosen(found, entry, choice, condition))
        row: dict[str, Any] = {
            "entry": entry.title,
            "run": entry.run.title,
            "model": entry.model,
            "baseline": bool(entry.run.baseline(entry.model)),
            "unit": None,
            "donor_seen": seen["donor_seen"].max(),
            "n_cells": None,
            "n_proteins": None,
        }
        wanted = (str(Condition.UNALTERED), condition, str(Condition.DIFFERENT))
        for measure, of in zip(MEASURES, wanted, strict=True):
            here = overall[(overall["effect"] == measure) & (overall["condition"] == of)]
            one = here.iloc[0] if len(here) else None
            row[measure] = None if one is None else float(one["estimate"])
            row[f"{measure}_low"] = None if one is None else one["ci_low"]
            row[f"{measure}_high"] = None if one is None else one["ci_high"]
            if one is not None and measure != "gap":
                row |= {name: one[name] for name in ("n_cells", "n_proteins")}
                row["unit"] = one["unit"] if isinstance(one["unit"], str) else row["unit"]
        rows.append(row)
    numeric = [f"{m}{end}" for m in MEASURES for end in ("", "_low", "_high")]
    named = ["entry", "run", "model", "baseline"]
    columns = [*named, *numeric, "unit", "donor_seen", "n_cells", "n_proteins"]
    table = pd.DataFrame(rows, columns=columns)
    table[[*numeric, "donor_seen"]] = table[[*numeric, "donor_seen"]].apply(pd.to_numeric)
    counts = dict.fromkeys(("n_cells", "n_proteins"), "Int64")
    table = table.astype(counts)
    unlike = bool(unlike_heads(found, choice[0]))
    by, ascending = SORTS["name" if unlike else sort]
    table = table.sort_values(by, ascending=ascending, na_position="last", kind="stable")
    ranks = pd.Series(range(1, len(table) + 1), index=table.index, dtype="Int64")
    table.insert(0, "rank", ranks.where(table[by].notna() & (not unlike)))
    return table.reset_index(drop=True)


def effects_of(
    ask: Ask, found: Comparison, entry: Entry, choice: Choice, condition: str
) -> pd.DataFrame:
    """Give one entry's accuracies, drops and gaps over the common classes.

    Parameters
    ----------
    ask
        Answers queries.
    found
        From `comparison`.
    entry
        One of `found.entries`.
    choice
        Protocol, probe and aggregation, one of `found.choices`.
    condition
        Whose drop is wanted, beside the gap.

    Returns
    -------
    pandas.DataFrame
        ``model, effect, condition, scope, localization, estimate, ci_low, ci_high, unit, n_cells,
        n_proteins``.
    """
    chosen = _chosen(found, entry, choice, condition)
    if found.classes:
        table: pd.DataFrame = ask(entry.run, restricted, chosen, found.localizations)
        return table
    stored: pd.DataFrame = ask(entry.run, _stored, chosen)
    return stored


def _chosen(found: Comparison, entry: Entry, choice: Choice, condition: str) -> AccuracyFilter:
    """Return the filter of one entry's drop and gap."""
    wanted = {*GAP, condition}
    conditions = tuple(name for name in found.conditions if name in wanted)
    return AccuracyFilter(*choice, models=(entry.model,), conditions=conditions)


def _stored(run: Run, chosen: AccuracyFilter) -> pd.DataFrame:
    where = chosen.clause()
    columns = "condition, scope, localization, estimate, ci_low, ci_high, unit, n_cells, n_proteins"
    values = {**where.values, "conditions": list(chosen.conditions)}
    first = run.query(
        f"SELECT model, 'accuracy' AS effect, {columns} FROM {{accuracy}} WHERE {where.sql} "
        "AND condition IN $conditions",
        ("accuracy",),
        values,
    )
    try:
        second = run.query(
            f"SELECT model, effect, {columns} FROM {{effects}} WHERE {where.sql} "
            "AND condition IN $conditions",
            ("effects",),
            values,
        )
    except MissingTableError:  # a run from before it, or one with a single condition
        return first
    return pd.concat([first, second], ignore_index=True) if len(second) else first


def class_pairs(
    ask: Ask,
    found: Comparison,
    first: Entry,
    second: Entry,
    choice: Choice,
    condition: str,
) -> pd.DataFrame:
    """Compare two entries' drops class by class.

    Returns
    -------
    pandas.DataFrame
        ``localization, first, first_low, first_high, second, second_low, second_high, difference``
        (first minus second)``, reverses`` (its sign is not that of the overall difference)``,
        apart`` (the intervals do not overlap); reversals first, largest difference first.
    """
    names = ["estimate", "ci_low", "ci_high"]
    sides = []
    overall = []
    for entry, side in ((first, "first"), (second, "second")):
        rows = effects_of(ask, found, entry, choice, condition)
        rows = rows[(rows["effect"] == "drop") & (rows["condition"] == condition)]
        overall.append(rows.loc[rows["scope"] == "overall", "estimate"].max())
        classes = rows[rows["scope"] == "localization"].set_index("localization")[names]
        sides.append(classes.set_axis([side, f"{side}_low", f"{side}_high"], axis=1))
    table = sides[0].join(sides[1], how="inner").astype(float)
    table["difference"] = table["first"] - table["second"]
    whole = overall[0] - overall[1]
    if unlike_heads(replace(found, entries=(first, second)), choice[0]):
        # Each overall number is a mean over its own classes; these are over those of both.
        whole = table["difference"].mean()
    table["reverses"] = table["difference"] * whole < 0
    table["apart"] = (table["first_low"] > table["second_high"]) | (
        table["second_low"] > table["first_high"]
    )
    size = table["difference"].abs()
    return (
        table.assign(_size=size)
        .sort_values(["reverses", "_size"], ascending=False, kind="stable")
        .drop(columns="_size")
        .rename_axis("localization")
        .reset_index()
    )


def shift_pairs(
    ask: Ask, first: Entry, second: Entry, protocol: str, condition: str, threshold: float
) -> pd.DataFrame:
    """Compare two entries' shifts protein by protein.

    Returns
    -------
    pandas.DataFrame
        ``protein, orf, first, second`` (total variation)``, first_q, second_q, first_top,
        second_top`` (where the protein goes)``, first_shifted, second_shifted, said`` (both, first
        only, second only, neither), those that disagree first, largest difference first.
    """
    left = ask(first.run, _shifts, first.model, protocol, condition, threshold)
    right = ask(second.run, _shifts, second.model, protocol, condition, threshold)
    both = left.merge(right.drop(columns="orf"), on="protein", suffixes=("_first", "_second"))
    renamed = {
        f"{old}_{side}": new.format(side)
        for side in ("first", "second")
        for old, new in (
            ("tv", "{}"),
            ("q_value", "{}_q"),
            ("top_after", "{}_top"),
            ("shifted", "{}_shifted"),
        )
    }
    both = both.rename(columns=renamed)
    said = {
        (True, True): "both",
        (True, False): "first only",
        (False, True): "second only",
        (False, False): "neither",
    }
    pairs = zip(both["first_shifted"], both["second_shifted"], strict=True)
    both["said"] = [said[bool(a), bool(b)] for a, b in pairs]
    differs = both["first_shifted"] != both["second_shifted"]
    size = (both["first"] - both["second"]).abs()
    return (
        both.assign(_differs=differs, _size=size)
        .sort_values(["_differs", "_size", "protein"], ascending=[False, False, True])
        .drop(columns=["_differs", "_size"])
        .reset_index(drop=True)
    )


def _shifts(run: Run, model: str, protocol: str, condition: str, threshold: float) -> pd.DataFrame:
    return run.query(
        """
        SELECT protein, orf, tv, q_value, top_after,
               coalesce(q_value <= $q_value AND tv >= $threshold, false) AS shifted
        FROM {shifts}
        WHERE model = $model AND protocol = $protocol AND condition = $condition
        ORDER BY protein
        """,
        ("shifts",),
        {
            "model": model,
            "protocol": protocol,
            "condition": condition,
            "threshold": threshold,
            "q_value": ALPHA,
        },
    )
