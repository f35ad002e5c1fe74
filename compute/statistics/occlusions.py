"""Where a model looks, over all cells: how much neighbours change, by distance and area.

Layer: arrays and tables, no files. Whole proteins are resampled, as for every other number.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.schema import LookingQuantity, Piece
from compute.statistics.bootstrap import BootstrapConfig, Resampling, interval, share_interval
from compute.statistics.resampling_units import Estimates, Scope, Units, add, means, scopes

DISTANCES = (1, 3, 6, 11, 21)
"""Where bins of distance begin, steps from the cell's mask; the last has no end."""

AREAS = (1, 50, 100, 200, 400, 800)
"""Where bins of area begin, pixels; the last has no end."""

KINDS = tuple(Piece)


def summarise(
    table: pd.DataFrame, units: Units, bootstrap: BootstrapConfig, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Say where one model looks.

    Parameters
    ----------
    table
        Rows of one model, columns of `compute.schema.OCCLUSIONS`.
    units
        The resampling unit of every cell of the store; those of the table's cells are drawn.
    bootstrap
        Settings of the draws.
    names
        Class names.

    Yields
    ------
    dict
        Columns of `compute.schema.OCCLUSION_SUMMARY` without `model`. What no piece tells is left
        out; without neighbours their change is 0.
    """
    cell = np.unique(table["cell"].to_numpy(np.int64))
    cell = cell[units.of[cell] >= 0]
    rows = table[table["cell"].isin(cell)]
    if len(cell) == 0:
        return
    units = units.take(_summed(units, cell, np.ones(len(cell))) > 0)
    resampling = Resampling(units.classes, len(names), bootstrap.draws, bootstrap.seed)
    n = _summed(units, cell, np.ones(len(cell)))
    scope = next(scopes(units, n, names))

    def row(quantity: LookingQuantity, pieces: int, **more: Any) -> dict[str, Any]:
        counted = {key: scope.columns[key] for key in ("n_cells", "n_proteins")}
        return {
            "quantity": str(quantity), "unit": units.kind, **counted, "n_pieces": pieces, **more,
        }  # fmt: skip

    kinds = [rows[rows["kind"] == str(kind)] for kind in KINDS]
    moved = [_by_cell(some, some["fall"].abs(), "sum") for some in kinds]
    flipped = [_by_cell(some, some["changed"].astype(float), "max") for some in kinds]
    # A cell without neighbours has no change by them; one without a patch of medium is not known.
    wholes = [cell if kind is Piece.NEIGHBOUR else one.index.to_numpy(np.int64)
              for kind, one in zip(KINDS, moved, strict=True)]  # fmt: skip
    for quantity, values in (
        (LookingQuantity.CHANGE, moved), (LookingQuantity.ANSWERS_CHANGED, flipped),
    ):  # fmt: skip
        for kind, some, whole, found in zip(KINDS, kinds, wholes, values, strict=True):
            if len(whole) == 0:
                continue
            known = np.asarray(found.reindex(whole, fill_value=0.0), np.float64)
            per = _means(units, whole, known, resampling)
            of_kind = next(scopes(units, _summed(units, whole, np.ones(len(whole))), names))
            share = quantity is LookingQuantity.ANSWERS_CHANGED
            counted = {key: of_kind.columns[key] for key in ("n_cells", "n_proteins")}
            told = _estimate(per, of_kind, share=share)
            yield {**row(quantity, len(some), kind=str(kind)), **counted, **told}
    both = [moved[KINDS.index(kind)].reindex(cell, fill_value=0.0).to_numpy(np.float64)
            for kind in (Piece.NEIGHBOUR, Piece.CENTRE)]  # fmt: skip
    near = kinds[KINDS.index(Piece.NEIGHBOUR)]
    per = _means(units, cell, np.stack(both, 1), resampling)
    part = _share(per, scope)
    if part is not None:
        yield {**row(LookingQuantity.NEIGHBOUR_SHARE, len(near)), **part}
    for quantity, column, starts in (
        (LookingQuantity.BY_DISTANCE, "distance", DISTANCES),
        (LookingQuantity.BY_AREA, "area", AREAS),
    ):
        yield from (
            {**row(quantity, len(some)), **more}
            for some, more in _binned(near, column, starts, units, resampling, names)
        )


def _by_cell(rows: pd.DataFrame, values: "pd.Series[float]", how: str) -> "pd.Series[float]":
    """Sum values of a cell's pieces, or take the largest."""
    grouped = values.groupby(rows["cell"].to_numpy())
    return grouped.sum() if how == "sum" else grouped.max()


def _summed(
    units: Units, cell: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum values of some cells by resampling unit, shape (U,)."""
    total = np.zeros((units.count, 1))
    add(total, units.of[cell], 0, values)
    return total[:, 0]


def _means(
    units: Units, cell: NDArray[np.int64], values: NDArray[np.float64], resampling: Resampling
) -> Estimates:
    """Average values of some cells, shape (n,) or (n, F), over each class and over classes."""
    columns = values.reshape(len(cell), -1).T
    over = np.stack([_summed(units, cell, column) for column in columns], 1)
    return means(over, _summed(units, cell, np.ones(len(cell))), resampling)


def _estimate(found: Estimates, scope: Scope, *, share: bool) -> dict[str, float]:
    """Return an overall mean with its interval, which has nothing below 0: no size has."""
    value, draws = float(found.point[0, 0]), found.draws[:, 0, 0]
    low, high = (share_interval if share else interval)(value, draws, scope.freedom)
    return {"estimate": value, "ci_low": float(np.maximum(low, 0)), "ci_high": high}


def _share(found: Estimates, scope: Scope) -> dict[str, float] | None:
    """Return the first mean's part of both together, in 0 to 1; None where both are 0."""
    first, second = found.point[0]
    if first + second <= 0:
        return None
    value = float(first / (first + second))
    total = found.draws[:, 0].sum(1)
    draws = np.divide(found.draws[:, 0, 0], total, out=np.full(len(total), np.nan), where=total > 0)
    low, high = np.clip(interval(value, draws, scope.freedom), 0, 1)
    return {"estimate": value, "ci_low": float(low), "ci_high": float(high)}


def _binned(
    near: pd.DataFrame,
    column: str,
    starts: Sequence[int],
    units: Units,
    resampling: Resampling,
    names: Sequence[str],
) -> Iterator[tuple[pd.DataFrame, dict[str, Any]]]:
    """Average the change that one neighbour makes, in bins of its distance or area."""
    value = near[column].astype(float)
    for low, high in zip(starts, (*starts[1:], np.inf), strict=True):
        some = near[(value >= low) & (value < high)]
        if some.empty:
            continue
        cell = some["cell"].to_numpy(np.int64)
        found = _means(units, cell, some["fall"].abs().to_numpy(np.float64), resampling)
        here = np.unique(cell)
        scope = next(scopes(units, _summed(units, here, np.ones(len(here))), names))
        counted = {key: scope.columns[key] for key in ("n_cells", "n_proteins")}
        ends = {"low": float(low), "high": None if np.isinf(high) else float(high)}
        yield some, {**ends, **_estimate(found, scope, share=False), **counted}
