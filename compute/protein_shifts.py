"""Predictions to what is said of each protein: distributions and shifts.

Layer: reads one condition's `predictions`, gives rows of `distributions` and `shifts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute.hashing import mix
from compute.probing import Cells
from compute.rundir import RunDirectory
from compute.schema import Protocol
from compute.shifts import benjamini_hochberg, noise_floor, shift


@dataclass(frozen=True)
class Answers:
    """One model's predictions under one condition and protocol, by cell.

    Parameters
    ----------
    cell
        Rows in the store's `cells`, in the plan's order (by protein), shape (n,).
    probabilities
        Mean over the cell's trials, shape (n, K).
    predicted
        Share of the cell's trials with each predicted class, shape (n, K).
    """

    cell: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    predicted: NDArray[np.float64]


def read_answers(
    run: RunDirectory, model: str, number: int, protocol: Protocol, names: Sequence[str]
) -> Answers | None:
    """Read one condition's predictions and average each cell's trials."""
    path = run.part("predictions", number, model)
    if not path.is_file():
        return None
    found = pq.read_table(
        path, columns=["cell", "predicted", "probabilities"],
        filters=pc.field("protocol") == str(protocol), partitioning=None,
    )  # fmt: skip
    if len(found) == 0:
        return None
    cell = found.column("cell").to_numpy()
    flat = found.column("probabilities").combine_chunks().flatten()
    probabilities = np.asarray(flat, np.float64).reshape(len(cell), -1)
    code = pc.index_in(found.column("predicted"), pa.array(list(names))).to_numpy()
    hard = np.zeros_like(probabilities)
    hard[np.arange(len(cell)), code] = 1
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    many = np.diff(np.append(starts, len(cell)))[:, None]
    return Answers(
        cell[starts],
        np.add.reduceat(probabilities, starts) / many,
        np.add.reduceat(hard, starts) / many,
    )


def take(answers: Answers, rows: NDArray[np.int64]) -> Answers:
    """Choose cells."""
    return Answers(answers.cell[rows], answers.probabilities[rows], answers.predicted[rows])


def _blocks(cell: NDArray[np.int64], cells: Cells) -> list[tuple[str, slice]]:
    """Cut cells, which lie together by protein, into proteins."""
    protein = cells.protein[cell]
    starts = np.flatnonzero(np.append(True, protein[1:] != protein[:-1]))
    stops = np.append(starts[1:], len(cell))
    return [(str(protein[a]), slice(a, b)) for a, b in zip(starts, stops, strict=True)]


def distribution_rows(answers: Answers, cells: Cells) -> pd.DataFrame:
    """Average cells into one distribution per protein; columns as in `DISTRIBUTIONS`."""
    rows = []
    for protein, block in _blocks(answers.cell, cells):
        rows.append(
            pd.DataFrame(
                {
                    "protein": protein,
                    "localization": list(cells.names),
                    "proportion": answers.predicted[block].mean(0),
                    "mean_probability": answers.probabilities[block].mean(0),
                    "n_cells": block.stop - block.start,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def shift_rows(
    before: Answers,
    after: Answers,
    cells: Cells,
    table: pd.DataFrame,
    seed: int,
    condition: int,
) -> pd.DataFrame:
    """Compare every protein's cells before and after; columns as in `SHIFTS`."""
    position = {cell: i for i, cell in enumerate(before.cell.tolist())}
    same = take(before, np.array([position[cell] for cell in after.cell.tolist()]))
    orf = table["orf"].to_numpy(dtype=object)
    labels = table["labels"].to_numpy(dtype=object)
    rows: list[dict[str, Any]] = []
    for number, (protein, block) in enumerate(_blocks(after.cell, cells)):
        first = after.cell[block.start]
        p, q = same.probabilities[block], after.probabilities[block]
        found = shift(p, q, int(mix(seed, 401, condition, number) >> np.uint64(1)))
        rows.append(
            {
                "protein": protein,
                "orf": orf[first] if isinstance(orf[first], str) else None,
                "labels": list(labels[first]) if labels[first] is not None else None,
                "jsd": found.jsd,
                "tv": found.tv,
                "kl": found.kl,
                "noise_floor": noise_floor(p, int(mix(seed, 402, number) >> np.uint64(1))),
                "p_value": found.p_value,
                "top_before": cells.names[int(p.mean(0).argmax())],
                "top_after": cells.names[int(q.mean(0).argmax())],
                "flipped_fraction": float(
                    1 - (same.predicted[block] * after.predicted[block]).sum(1).mean()
                ),
                "n_cells": block.stop - block.start,
            }
        )
    frame = pd.DataFrame(rows)
    frame["q_value"] = benjamini_hochberg(frame["p_value"].to_numpy())
    return frame
