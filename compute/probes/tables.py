"""What probes answered as tables: pair accuracies, tallies, predictions.

Layer: arrays to Arrow tables; `write_pairwise` writes below the run's `work` folder.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from typing import Protocol as Interface

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from compute import schema
from compute.probes.multiclass import Multiclass
from compute.probes.pair_tests import PairScore
from compute.schema import Condition, Protocol
from compute.storage.run_directory import RunDirectory


class Named(Interface):
    """What of the cells is written into predictions."""

    @property
    def protein(self) -> NDArray[np.object_]:
        """Protein of each cell, shape (N,)."""

    @property
    def names(self) -> Sequence[str]:
        """Class names."""


def write_pairwise(
    run: RunDirectory,
    model: str,
    condition: Condition,
    scores: Sequence[tuple[str, PairScore]],
    names: Sequence[str],
) -> None:
    """Write one model's and condition's rows of `pairwise`."""
    pairwise = pd.DataFrame(
        [
            {
                "model": model,
                "condition": str(condition),
                "protocol": protocol,
                "localization_a": names[score.first],
                "localization_b": names[score.second],
                "background": names[score.background] if score.background >= 0 else None,
                "accuracy": score.accuracy,
                "std": score.std,
                "n": score.n,
            }
            for protocol, score in scores
        ],
        columns=schema.PAIRWISE.names,
    )
    table = pa.Table.from_pandas(pairwise, schema=schema.PAIRWISE, preserve_index=False)
    run.write(run.pairs("pairwise", model, condition), table, schema.PAIRWISE)


def tally(
    model: str,
    condition: Condition,
    scores: Sequence[tuple[str, PairScore]],
    classes: NDArray[np.int64],
    protein: NDArray[np.object_],
    names: Sequence[str],
    by_protein: bool,
) -> pa.Table:
    """Sum held-out answers by protein or by cell, and by the other class of the pair.

    Parameters
    ----------
    model, condition
        Written into every row.
    scores
        Protocol and answers of every pair test.
    classes, protein
        Of every cell in the store, shape (N,); nothing of that size is made.
    names
        Class names.
    by_protein
        Whether cells of one protein are summed.

    Returns
    -------
    pyarrow.Table
        Columns of `compute.schema.PAIR_TALLIES`.
    """
    k = len(names)
    frames = []
    for protocol in Protocol:
        chosen = [score for name, score in scores if name == protocol]
        tested = np.unique(np.concatenate([np.zeros(0, np.int64), *(s.cell for s in chosen)]))
        right, answers = np.zeros((2, len(tested), k), np.int64)
        for score in chosen:
            row = np.searchsorted(tested, score.cell)
            other = np.where(classes[score.cell] == score.first, score.second, score.first)
            np.add.at(answers, (row, other), 1)
            np.add.at(right, (row, other), score.correct)
        row, other = np.nonzero(answers)
        cell = tested[row]
        frames.append(
            pd.DataFrame(
                {
                    "protocol": str(protocol),
                    "protein": protein[cell],
                    "cell": cell,
                    "localization": np.asarray(names)[classes[cell]],
                    "other": np.asarray(names)[other],
                    "correct": right[row, other],
                    "n": answers[row, other],
                    "n_cells": 1,
                }
            )
        )
    frame = pd.concat(frames, ignore_index=True)
    if by_protein:
        keys = ["protocol", "protein", "localization", "other"]
        frame = frame.groupby(keys, as_index=False)[["correct", "n", "n_cells"]].sum()
        frame["cell"] = None
    frame["model"], frame["condition"] = model, str(condition)
    return pa.Table.from_pandas(
        frame[schema.PAIR_TALLIES.names], schema=schema.PAIR_TALLIES, preserve_index=False
    )


def predictions_table(
    cells: Named,
    trials: pd.DataFrame,
    vectors: NDArray[np.float32],
    condition: Condition,
    probes: Sequence[tuple[Protocol, Multiclass | None]],
) -> pa.Table:
    """Answer for some trials of one condition.

    Parameters
    ----------
    cells
        Names and proteins.
    trials
        Columns `trial` and `cell`, ordered by protein.
    vectors
        Their embeddings, shape (trials, D).
    condition
        Theirs.
    probes
        Who answers under each protocol; a protocol without a probe gets no rows.

    Returns
    -------
    pyarrow.Table
        Columns of `compute.schema.predictions_schema`, by protein.
    """
    expected = schema.predictions_schema(len(cells.names))
    names = np.asarray(cells.names, dtype=object)
    cell = trials["cell"].to_numpy()
    parts = []
    for protocol, classifier in probes:
        if classifier is None:
            continue
        probabilities = classifier(vectors, cell)
        parts.append(
            {
                "protein": cells.protein[cell],
                "cell": cell,
                "trial": trials["trial"].to_numpy(),
                "condition": np.full(len(cell), str(condition), object),
                "protocol": np.full(len(cell), str(protocol), object),
                "predicted": names[probabilities.argmax(1)],
                "probabilities": probabilities,
            }
        )
    if not parts:
        return expected.empty_table()
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    order = np.argsort(joined["protein"], kind="stable")
    return _table(joined, order, expected)


def _table(columns: Mapping[str, Any], order: NDArray[np.int64], expected: pa.Schema) -> pa.Table:
    arrays = []
    for field in expected:
        values = columns[field.name][order]
        if values.ndim == 2:
            flat = pa.array(np.ascontiguousarray(values).ravel())
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, values.shape[1]))
        elif values.dtype.kind in "OU":
            arrays.append(pa.array(list(values), field.type))
        else:
            arrays.append(pa.array(values))
    return pa.table(arrays, names=expected.names).cast(expected)
