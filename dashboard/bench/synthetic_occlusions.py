"""Where the models of a synthetic run look: `occlusions`, `occlusion_summary`. No result.

A neighbour moves an answer by `NEIGHBOUR` over its distance, the centre by `CENTRE`.
"""

from typing import Any

import pyarrow as pa

from compute.schema import OCCLUSION_SUMMARY, OCCLUSIONS, LookingQuantity, Piece
from dashboard.bench.synthetic_cells import Drawn
from dashboard.bench.synthetic_tables import estimate

Row = dict[str, Any]

CELLS = 200
"""Cells that are looked at, at most: the first of each protein."""

PIXELS = 64 * 64

NEIGHBOUR, CENTRE = 0.2, 0.4
"""By how much probabilities fall: without a neighbour beside the cell, without the cell."""

DISTANCES = (2, 9)
"""Steps to the neighbours of every cell."""


def occlusions(drawn: Drawn) -> pa.Table:
    """Return the table `occlusions`; without labels it has no rows."""
    return pa.Table.from_pylist(
        [row for model in _models(drawn) for row in _pieces(drawn, model)], OCCLUSIONS
    )


def occlusion_summary(drawn: Drawn) -> pa.Table:
    """Return the table `occlusion_summary`; without labels it has no rows."""
    config = drawn.config
    cells = min(CELLS, config.proteins)
    near = sum(NEIGHBOUR / away for away in DISTANCES)
    found: list[tuple[LookingQuantity, Piece | None, float]] = [
        (LookingQuantity.CHANGE, Piece.NOTHING, 0.0),
        (LookingQuantity.CHANGE, Piece.NEIGHBOUR, near),
        (LookingQuantity.CHANGE, Piece.CENTRE, CENTRE),
        (LookingQuantity.NEIGHBOUR_SHARE, None, near / (near + CENTRE)),
    ]
    rows = [
        {
            "model": model, "quantity": str(quantity), "kind": kind and str(kind),
            **estimate(value), "unit": "protein", "n_cells": cells, "n_proteins": cells,
            "n_pieces": cells * (len(DISTANCES) if kind is Piece.NEIGHBOUR else 1),
        }
        for model in _models(drawn)
        for quantity, kind, value in found
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, OCCLUSION_SUMMARY)


def _models(drawn: Drawn) -> tuple[str, ...]:
    """Return the models that are looked at."""
    return tuple(drawn.config.models) if drawn.config.labels else ()


def _pieces(drawn: Drawn, model: str) -> list[Row]:
    """Give the rows of a model: of each cell nothing, its neighbours and itself."""
    config, rows = drawn.config, list[Row]()
    falls: list[tuple[Piece, int, int | None, float]] = [(Piece.NOTHING, 0, None, 0.0)]
    falls += [(Piece.NEIGHBOUR, k, d, NEIGHBOUR / d) for k, d in enumerate(DISTANCES, 1)]
    falls += [(Piece.CENTRE, 1, 0, CENTRE)]
    for protein in range(min(CELLS, config.proteins)):
        place = config.localizations[drawn.home[protein]]
        for kind, number, away, fall in falls:
            area = 0 if kind is Piece.NOTHING else 300
            rows.append(
                {
                    "model": model, "cell": protein * (config.cells + 1),
                    "protein": drawn.names[protein], "localization": place, "kind": str(kind),
                    "piece": number, "area": area, "share": area / PIXELS, "distance": away,
                    "centroid_distance": away, "little_medium": False, "answer": place,
                    "probability": 0.8, "fall": fall, "true_fall": fall, "answer_after": place,
                    "changed": False,
                }
            )  # fmt: skip
    return rows
