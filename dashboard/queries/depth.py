"""The drop or the gap at each layer of the networks that a run reads at several."""

from typing import Any

import pandas as pd

from compute.schema import Effect
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.open_runs import Run

COLUMNS = (
    "network", "pooling", "line", "layer", "depth", "model", "estimate", "ci_low", "ci_high",
    "unit", "n_cells", "n_proteins",
)  # fmt: skip


def by_depth(run: Run, chosen: AccuracyFilter, quantity: str, condition: str) -> pd.DataFrame:
    """Return the drop or the gap of each layer, in the order in which its network computes them.

    Parameters
    ----------
    run
        The run that is asked.
    chosen
        Protocol, probe, average and models.
    quantity, condition
        `drop` or `gap`, and its condition.

    Returns
    -------
    pandas.DataFrame
        ``network, pooling, line, layer, depth, model, estimate, ci_low, ci_high, unit, n_cells,
        n_proteins``; `line` numbers the networks, one that is pooled in two ways twice, and `depth`
        their layers, both from 0. Empty where the run reads no network at two layers.
    """
    known = [
        {"model": model["name"], **{name: model["network"][name] for name in _KEPT}}
        for model in run.meta.get("models", [])
        if isinstance(model.get("network"), dict) and model["name"] in chosen.models
    ]
    places = pd.DataFrame(known, columns=["model", *_KEPT]).rename(columns={"name": "network"})
    places = places.drop_duplicates(["hash", "pooling", "layer"])
    several = places.groupby(["hash", "pooling"])["layer"].transform("size") > 1
    places = places[several]
    if places.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    effects = _effects(run, chosen, quantity, condition)
    table = places.merge(effects, on="model")
    still = table.groupby(["hash", "pooling"])["layer"].transform("size") > 1
    table = table[still].copy()
    table["line"] = table.groupby(["hash", "pooling"], sort=False).ngroup()
    table = table.sort_values(["line", "depth"], ignore_index=True)
    table["depth"] = table.groupby("line").cumcount()
    return table[list(COLUMNS)]


_KEPT = ("name", "hash", "layer", "pooling", "depth")
"""What is read of a model's `network` in `run.json` (`compute.models.one_network.Place`)."""


def _effects(run: Run, chosen: AccuracyFilter, quantity: str, condition: str) -> pd.DataFrame:
    """Return the overall drop or gap of each model."""
    where = chosen.clause()
    named = "condition = $condition"
    if quantity == Effect.GAP:
        named = f"(condition IS NULL OR {named})"
    values: dict[str, Any] = {**where.values, "effect": str(quantity), "condition": condition}
    return run.query(
        f"""
        SELECT model, estimate, ci_low, ci_high, unit, n_cells, n_proteins FROM {{effects}}
        WHERE {where.sql} AND scope = 'overall' AND effect = $effect AND {named}
        """,
        ("effects",),
        values,
    )
