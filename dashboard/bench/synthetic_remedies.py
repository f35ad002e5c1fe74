"""What remedies do to a synthetic run's findings: `remedies`. Pure arrays, no result.

No remedy has the findings of its other tables; with another all drops are shrunk alike.
"""

from typing import Any

import pyarrow as pa

from compute.schema import REMEDIES, REMEDIES_IN_WORDS, Effect, Probe, Protocol, Remedy
from dashboard.bench.synthetic_cells import Drawn
from dashboard.bench.synthetic_tables import estimate, right_shares

Row = dict[str, Any]

LEFT: dict[Remedy, float] = {
    Remedy.NONE: 1.0,
    Remedy.CLEANED: 0.0,
    Remedy.BALANCED: 0.4,
    Remedy.POOLED: 0.5,
    Remedy.CENTRED: 0.3,
    Remedy.PROJECTED: 0.6,
    Remedy.AVERAGED: 0.0,
}
"""The part of every drop that each remedy leaves."""

CONDITIONS = ("unaltered", "same", "different", "masked", "background_only")
"""The conditions that remedies are judged under."""

BACKGROUNDS = 5
"""Backgrounds that are averaged over."""


def remedies(drawn: Drawn) -> pa.Table:
    """Return the table `remedies`; without labels it has no rows."""
    models = drawn.config.models if drawn.config.labels else ()
    rows = [row for model in models for remedy in Remedy for row in _findings(drawn, model, remedy)]
    return pa.Table.from_pylist(rows, REMEDIES)


def _findings(drawn: Drawn, model: str, remedy: Remedy) -> list[Row]:
    """Give a model's findings with one remedy."""
    config, spec, left = drawn.config, REMEDIES_IN_WORDS[remedy], LEFT[remedy]
    found = right_shares(drawn, model, str(Protocol.FROZEN), str(Probe.MULTICLASS))
    before = {c: float(found[c].mean()) for c in CONDITIONS if c in found}
    if "unaltered" not in before:
        return []
    whole = before["unaltered"]
    after = {c: whole - left * (whole - value) for c, value in before.items()}
    gone = set(map(str, spec.unknown))

    def findings(right: dict[str, float]) -> dict[tuple[str, str], float]:
        known = {c: value for c, value in right.items() if c not in gone}
        values = {("accuracy", c): value for c, value in known.items()}
        values |= {
            (str(Effect.DROP), c): known["unaltered"] - v
            for c, v in known.items()
            if c != "unaltered"
        }
        if {"same", "different"} <= known.keys():
            values[str(Effect.GAP), "different"] = known["same"] - known["different"]
        if "different" in known:
            values["worst_case", "different"] = known["different"] ** 2
        return values

    plain, rows = findings(before), []
    for (quantity, condition), value in findings(after).items():
        row: Row = {
            "model": model, "remedy": str(remedy), "applies": True, "quantity": quantity,
            "condition": condition, **estimate(value),
            "by_construction": condition in spec.replaces,
            "needs_mask": spec.needs_mask, "passes": BACKGROUNDS if spec.averages else 1,
            "donor_seen": None, "unit": "protein", "n_proteins": config.proteins,
            "n_cells": config.proteins * config.cells,
        }  # fmt: skip
        if remedy is not Remedy.NONE:
            change = value - plain[quantity, condition]
            row |= {
                "difference": change, "difference_low": change - 0.01,
                "difference_high": change + 0.01,
            }  # fmt: skip
        rows.append(row)
    return rows
