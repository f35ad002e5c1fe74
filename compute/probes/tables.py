"""The answers of probes as tables: pair accuracies, tallies, predictions.

Layer: arrays to Arrow tables; `write_pairwise` writes below the run's `work` folder.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from typing import Protocol as Interface

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from compute import schema
from compute.probes.multiclass import Multiclass
from compute.probes.pair_tests import PairScore
from compute.schema import FITTED, Condition, Protocol
from compute.statistics.donors import DonorInfluence, DonorUnits, pair_influence
from compute.statistics.resampling_units import Units
from compute.statistics.sketch import BUCKETS
from compute.storage.run_directory import RunDirectory


class Named(Interface):
    """Cells of which names and proteins are known, such as `compute.probes.cells.Cells`."""

    @property
    def protein(self) -> NDArray[np.object_]:
        """Protein of each cell, shape (N,)."""

    @property
    def names(self) -> Sequence[str]:
        """Class names."""


class Grouped(Interface):
    """Cells of which classes and resampling units are known, and the units of donors."""

    @property
    def classes(self) -> NDArray[np.int64]:
        """Class of each cell, −1 for none, shape (N,)."""

    @property
    def names(self) -> Sequence[str]:
        """Class names."""

    @property
    def units(self) -> Units:
        """The resampling unit of every cell."""

    @property
    def donor_units(self) -> DonorUnits:
        """The unit of every cell and window as a donor."""


def write_pairwise(
    run: RunDirectory,
    model: str,
    condition: Condition,
    scores: Sequence[tuple[str, PairScore]],
    names: Sequence[str],
) -> None:
    """Write one model's and condition's rows of `pairwise`.

    Parameters
    ----------
    run
        The run.
    model, condition
        Written into every row.
    scores
        Protocol and answers of every pair test.
    names
        Class names.
    """
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
        Class and protein of every cell in the store, shape (N,).
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
    for protocol in FITTED:
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


def donor_influences(views: Sequence[Sequence[tuple[str, PairScore]]], cells: Grouped) -> pa.Table:
    """Sum up how donors move the accuracies of one model and condition.

    Parameters
    ----------
    views
        Protocol and answers of every pair test, in each of V views of the same trials.
    cells
        Classes and resampling units of the store's cells, and the units of donors.

    Returns
    -------
    pyarrow.Table
        Columns of `compute.schema.PAIR_DONORS`; no rows without donors.

    Raises
    ------
    ValueError
        The views are not of the same trials.
    """
    frames = []
    for protocol in FITTED:
        chosen = [
            [score for name, score in scores if name == protocol and score.donor is not None]
            for scores in views
        ]
        if not chosen or not chosen[0]:
            continue
        donors, found = _pair_influence(chosen, cells)
        frames.append(influence_table(protocol, donors, found, cells.names))
    return pa.concat_tables(frames) if frames else schema.PAIR_DONORS.empty_table()


def influence_table(
    protocol: Protocol,
    donors: NDArray[np.int32],
    found: DonorInfluence,
    names: Sequence[str],
) -> pa.Table:
    """Write how donors move one protocol's estimates as rows of `PAIR_DONORS`.

    Parameters
    ----------
    protocol
        The protocol.
    donors
        Numbers of the donor units, shape (G,).
    found
        How these move V views of the estimates.
    names
        Class names.
    """
    scope = pa.array([None, *names], pa.string())
    g, s, v = np.nonzero(found.moved)
    every = np.indices(found.within.shape).reshape(3, -1)
    sketch = np.zeros((0, 1)) if found.sketch is None else found.sketch
    bucket, of_view = np.nonzero(sketch)
    both, more = every.shape[1], len(bucket)
    return pa.table(
        {
            "protocol": pa.array([str(protocol)] * (len(g) + both + more), pa.string()),
            "donor": pa.array([*donors[g], *[None] * (both + more)], pa.int32()),
            "localization": scope.take(
                pa.array(np.concatenate([s, every[0], np.zeros(more, np.int64)]))
            ),
            "view": pa.array(np.concatenate([v, every[1], of_view]), pa.int32()),
            "other_view": pa.array([*[None] * len(g), *every[2], *[None] * more], pa.int32()),
            "bucket": pa.array([*[None] * (len(g) + both), *bucket], pa.int32()),
            "value": np.concatenate(
                [found.moved[g, s, v], found.within[tuple(every)], sketch[bucket, of_view]]
            ),
        },
        schema=schema.PAIR_DONORS,
    )


def read_donor_influence(
    table: pa.Table, protocol: Protocol, classes: NDArray[np.int64], names: Sequence[str]
) -> DonorInfluence | None:
    """Return what `donor_influences` has summed up for a protocol; None where there is nothing.

    Parameters
    ----------
    table
        Columns of `compute.schema.PAIR_DONORS`.
    protocol
        The protocol.
    classes
        Class of each donor unit, shape (G,).
    names
        Class names.
    """
    rows = table.filter(pc.equal(table["protocol"], str(protocol))).to_pandas()
    if len(rows) == 0:
        return None
    place = {name: 1 + k for k, name in enumerate(names)}
    scope = rows["localization"].map(place).fillna(0).to_numpy(np.int64)
    value, donor = rows["value"].to_numpy(), rows["donor"].to_numpy(np.float64)
    view, other = rows["view"].to_numpy(np.int64), rows["other_view"].to_numpy(np.float64)
    views = int(view.max()) + 1
    moved = np.zeros((len(classes), 1 + len(names), views))
    within = np.zeros((1 + len(names), views, views))
    sketch = np.zeros((BUCKETS, views))
    bucket = rows["bucket"].to_numpy(np.float64)
    of, signed = np.isfinite(donor), np.isfinite(bucket)
    both = ~of & ~signed
    moved[donor[of].astype(np.int64), scope[of], view[of]] = value[of]
    within[scope[both], view[both], other[both].astype(np.int64)] = value[both]
    sketch[bucket[signed].astype(np.int64), view[signed]] = value[signed]
    # Without any sketch the products of two models are not known, which is not that they are 0.
    return DonorInfluence(moved, within, classes, None, sketch if signed.any() else None)


def _pair_influence(
    views: Sequence[Sequence[PairScore]], cells: Grouped
) -> tuple[NDArray[np.int32], DonorInfluence]:
    """Return the donor units of one protocol's answers, and how they move its accuracies.

    Answers are looked at by the donor's class, so that few of them lie in memory again.
    """
    k, of = len(cells.names), cells.units.of
    tests = list(zip(*views, strict=True))
    asked = np.zeros((k, k))
    for score, *others in tests:
        if not all(np.array_equal(score.cell, other.cell) for other in others):
            raise ValueError("Views of a condition hold other trials.")
        for own, other in ((score.first, score.second), (score.second, score.first)):
            asked[own, other] += np.count_nonzero(cells.classes[score.cell] == own)
    behind = [np.zeros(0, np.int32) if s[0].donor is None else s[0].donor for s in tests]
    donors = np.unique(np.concatenate([np.unique(some) for some in behind]))
    classes = cells.donor_units.classes[donors]
    v = len(views)
    sketch = np.zeros((BUCKETS, v))
    moved, within = np.zeros((len(donors), 1 + k, v)), np.zeros((1 + k, v, v))
    for class_ in np.unique(classes):
        columns = []
        for scores, donor in zip(tests, behind, strict=True):
            score = scores[0]
            if score.background not in (-1, class_):
                continue
            here = cells.donor_units.classes[donor] == class_
            cell = score.cell[here]
            first = cells.classes[cell] == score.first
            columns.append(
                (
                    np.where(first, score.first, score.second),
                    np.where(first, score.second, score.first),
                    of[cell], np.searchsorted(donors, donor[here]),
                    np.stack([each.correct[here] for each in scores], 1),
                )
            )  # fmt: skip
        own, other, unit, place, right = map(np.concatenate, zip(*columns, strict=True))
        more = pair_influence(asked, own, other, unit, place, right, classes, donors)
        moved += more.moved
        within += more.within
        if more.sketch is not None:
            sketch += more.sketch
    return donors, DonorInfluence(moved, within, classes, None, sketch)


def predictions_table(
    cells: Named,
    trials: pd.DataFrame,
    vectors: NDArray[np.float32],
    condition: Condition,
    probes: Sequence[tuple[Protocol, Multiclass | None]],
    own: NDArray[np.float32] | None = None,
) -> pa.Table:
    """Let the multi-class probes answer some trials of one condition, and the model itself.

    Parameters
    ----------
    cells
        Class names, and the protein of every cell in the store.
    trials
        Columns `trial` and `cell`, n rows ordered by protein.
    vectors
        Embeddings of these trials, shape (n, D).
    condition
        Condition of these trials.
    probes
        The probe of each protocol; a protocol whose probe is None gets no rows.
    own
        Probabilities that the model's own head gives, shape (n, classes); None, the default, where
        it was not asked.

    Returns
    -------
    pyarrow.Table
        Columns of `compute.schema.predictions_schema`, ordered by protein.
    """
    expected = schema.predictions_schema(len(cells.names))
    names = np.asarray(cells.names, dtype=object)
    cell = trials["cell"].to_numpy()
    parts = []
    answers = [(p, fitted(vectors, cell)) for p, fitted in probes if fitted is not None]
    if own is not None:
        answers.append((Protocol.OWN, own))
    for protocol, probabilities in answers:
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
    """Put columns of arrays, with rows in the given order, into a table of the expected schema."""
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
