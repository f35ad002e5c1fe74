"""Findings of a synthetic run under other settings: `sensitivity`. Pure arrays, no result.

The run's own are those of its other tables; under another setting all drops are moved alike.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pyarrow as pa

from compute.schema import SENSITIVITY, Choice, Effect, Probe
from dashboard.bench.synthetic_cells import Drawn
from dashboard.bench.synthetic_config import PROTOCOLS
from dashboard.bench.synthetic_tables import estimate, right_shares

Row = dict[str, Any]

SETTINGS: tuple[tuple[Choice, str, float], ...] = (
    (Choice.MASK, "0", 0.0),
    (Choice.MASK, "-2", 0.02),
    (Choice.MASK, "2", -0.01),
    (Choice.LAYER, "conv_5", 0.0),
    (Choice.LAYER, "fc_2", 0.05),
    (Choice.POOLING, "max", 0.0),
    (Choice.POOLING, "mean", -0.03),
    (Choice.HARMONISE, "protein", 0.0),
    (Choice.HARMONISE, "field", 0.005),
    (Choice.HARMONISE, "none", 0.04),
    (Choice.PASTE, "glow", 0.0),
    (Choice.PASTE, "hard", 0.03),
)
"""Choices with their settings, of each first the run's own, and by how much drops are moved."""

CONDITIONS = ("unaltered", "same", "different", "masked")
"""The conditions that findings are about."""

BORDER = 3
"""Cells that reach the border where masks are grown."""


def sensitivity(drawn: Drawn) -> pa.Table:
    """Return the table `sensitivity`; without labels it has no rows."""
    models = drawn.config.models if drawn.config.labels else ()
    rows = [
        row
        for (choice, name, moved), model, protocol, probe in product(
            SETTINGS, models, PROTOCOLS, Probe
        )
        for row in _findings(drawn, choice, name, moved, (model, protocol, str(probe)))
    ]
    return pa.Table.from_pylist(rows, SENSITIVITY)


def _findings(
    drawn: Drawn, choice: Choice, name: str, moved: float, of: tuple[str, str, str]
) -> Iterator[Row]:
    """Give the accuracies, drops and gap of a model under one setting."""
    model, protocol, probe = of
    config, base = drawn.config, moved == 0
    shift = int(name) if choice is Choice.MASK else None
    shared: Row = {
        "choice": str(choice), "setting": name, "shift": shift, "is_base": base,
        "model": model, "protocol": protocol, "probe": probe, "unit": "protein",
        "n_proteins": config.proteins, "n_cells": config.proteins * config.cells,
        "n_empty": 0, "n_border": BORDER if (shift or 0) > 0 else 0,
    }  # fmt: skip
    found = right_shares(drawn, model, protocol, probe)
    right = {c: float(found[c].mean()) for c in CONDITIONS if c in found}
    off = {c: 0.0 if c == "unaltered" else moved for c in right}
    off |= {"same": moved / 2} if "same" in right else {}
    values = [("accuracy", c, right[c] - off[c], -off[c]) for c in right]
    if "unaltered" in right:
        values += [
            (Effect.DROP, c, right["unaltered"] - right[c] + off[c], off[c])
            for c in right
            if c != "unaltered"
        ]
    if {"same", "different"} <= right.keys():
        gap = right["same"] - right["different"]
        change = off["different"] - off["same"]
        values.append((Effect.GAP, "different", gap + change, change))
    for quantity, condition, value, change in values:
        row = {**shared, "quantity": str(quantity), "condition": condition, **estimate(value)}
        if not base:
            row |= {
                "difference": change, "difference_low": change - 0.01,
                "difference_high": change + 0.01,
            }  # fmt: skip
        yield row
