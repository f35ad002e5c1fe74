"""Tables with a row per protein: distributions, shifts, and on simulated cells the truth.

Layer: takes one condition's answers, some whole proteins at a time; makes Arrow tables, no files.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from compute.hashing import Stream, mix
from compute.schema import DISTRIBUTIONS, SHIFTS, TRUTH
from compute.statistics.config import ALPHA
from compute.statistics.shifts import (
    DRAWS,
    FINER,
    Null,
    benjamini_hochberg,
    needs_finer,
    noise_floor,
    p_value,
    shift,
)
from compute.statistics.truth import Truth, compare

LEAST = 1 / (1 + DRAWS)
"""The least p-value that `shift` can return."""


Nulls = Callable[[int, NDArray[np.int64]], Null | None]
"""Returns a protein's null by its number and its cells' rows in the store's `cells`; None where
there is none."""


@dataclass(frozen=True)
class CellAnswers:
    """Answers of one condition and protocol, averaged by cell; n cells, K classes.

    The cells of a protein lie together.

    Parameters
    ----------
    cell
        Row of each cell in the store's `cells`, shape (n,).
    mean
        Mean probabilities over the cell's trials, shape (n, K).
    share
        Share of the cell's trials with each answer, shape (n, K).
    protein
        Number of the cell's protein, shape (n,).
    """

    cell: NDArray[np.int64]
    mean: NDArray[np.float64]
    share: NDArray[np.float64]
    protein: NDArray[np.int32]

    def proteins(self) -> Iterator[slice]:
        """Yield the rows of each protein."""
        starts = np.flatnonzero(np.diff(self.protein, prepend=-1))
        for a, b in zip(starts, np.append(starts[1:], len(self.protein)), strict=True):
            yield slice(int(a), int(b))

    def take(self, rows: NDArray[np.int64]) -> "CellAnswers":
        """Choose cells by their rows here; those of a protein must still lie together."""
        return CellAnswers(self.cell[rows], self.mean[rows], self.share[rows], self.protein[rows])


@dataclass
class Distributions:
    """Mean answers of one model's proteins under one condition and protocol.

    Each list has an entry per protein: its number, its cells, the share of answers of each class
    and the mean probability of each class, shape (K,).
    """

    protein: list[int] = field(default_factory=list)
    n_cells: list[int] = field(default_factory=list)
    proportion: list[NDArray[np.float64]] = field(default_factory=list)
    probability: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, answers: CellAnswers) -> None:
        """Average the cells of some whole proteins, and append them."""
        for block in answers.proteins():
            self.protein.append(int(answers.protein[block.start]))
            self.n_cells.append(block.stop - block.start)
            self.proportion.append(answers.share[block].mean(0))
            self.probability.append(answers.mean[block].mean(0))

    def table(self, proteins: pa.Array, names: Sequence[str], **key: str) -> pa.Table:
        """Return the table `DISTRIBUTIONS`, ordered by protein and class.

        Parameters
        ----------
        proteins
            Name of each protein, by its number.
        names
            Class names.
        **key
            Values of `model`, `condition` and `protocol`.
        """
        k = len(names)
        rows = len(self.protein) * k
        place = np.repeat(np.array(self.protein, np.int64), k)
        columns = {
            **{name: pa.repeat(value, rows) for name, value in key.items()},
            "protein": proteins.take(pa.array(place)),
            "localization": pa.array(list(names) * len(self.protein), pa.string()),
            "proportion": np.array(self.proportion).ravel(),
            "mean_probability": np.array(self.probability).ravel(),
            "n_cells": np.repeat(np.array(self.n_cells, np.int64), k),
        }
        return pa.table({name: columns[name] for name in DISTRIBUTIONS.names}, schema=DISTRIBUTIONS)


class NoiseFloors:
    """Noise floors of some whole proteins, each computed once for all conditions."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes], float] = {}

    def of(self, before: NDArray[np.float64], cell: NDArray[np.int64], seed: int) -> float:
        """Return the noise floor of a protein.

        Parameters
        ----------
        before
            Mean probabilities of its unaltered cells, shape (cells, K).
        cell
            Rows of these cells in the store's `cells`, shape (cells,).
        seed
            Seed of the random halves.
        """
        key = (seed, cell.tobytes())
        if key not in self._known:
            self._known[key] = noise_floor(before, seed)
        return self._known[key]


@dataclass
class Shifts:
    """How far one model's proteins move under one condition and protocol.

    Parameters
    ----------
    seed
        Seed of the run.
    condition
        Number of the condition, which makes its random exchanges differ from those of others.
    names
        Class names.
    truth
        True proportions, on simulated cells; else None.
    proteins
        Number of proteins in the store, an upper bound on how many are tested.
    first
        First cell of each protein that was added.
    finer
        p-values from more exchanges, by row.
    rows
        A row per protein that was added.
    """

    seed: int
    condition: int
    names: Sequence[str]
    truth: Truth | None
    proteins: int
    first: list[int] = field(default_factory=list)
    finer: dict[int, float] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        before: CellAnswers,
        after: CellAnswers,
        floors: NoiseFloors,
        nulls: Nulls | None = None,
    ) -> None:
        """Compare some whole proteins, and append a row for each.

        Parameters
        ----------
        before, after
            Answers to the same cells, unaltered and under the condition.
        floors
            Noise floors of these proteins.
        nulls
            Gives the null of each protein where each condition has a probe of its own; by default
            they have one probe.
        """
        for block in after.proteins():
            number, cell = len(self.rows), after.cell[block]
            p, q = before.mean[block], after.mean[block]
            null: Null | None = Null(q - p)
            if nulls is not None:
                null = nulls(int(after.protein[block.start]), cell)
            seed = int(mix(self.seed, Stream.SHIFT_NULL, self.condition, number) >> np.uint64(1))
            found = shift(p, q, seed, null)
            least = null is not None and found.p_value == LEAST
            if null and least and needs_finer(len(self.finer) + 1, self.proteins):
                self.finer[number] = p_value(null, found.tv, seed, FINER * self.proteins)
            floor = floors.of(
                p, cell, int(mix(self.seed, Stream.NOISE_FLOOR, number) >> np.uint64(1))
            )
            was, now = p.mean(0), q.mean(0)
            self.first.append(int(cell[0]))
            self.rows.append(
                {
                    "jsd": found.jsd,
                    "tv": found.tv,
                    "kl": found.kl,
                    "noise_floor": floor,
                    "p_value": found.p_value,
                    "top_before": self.names[int(was.argmax())],
                    "top_after": self.names[int(now.argmax())],
                    "flipped_fraction": float(
                        1 - (before.share[block] * after.share[block]).sum(1).mean()
                    ),
                    "n_cells": block.stop - block.start,
                    **(
                        compare(self.truth.mean(cell), was, now, list(self.names))
                        if self.truth is not None
                        else {}
                    ),
                }
            )

    def tables(self, table: pd.DataFrame, **key: str) -> tuple[pa.Table, pa.Table]:
        """Return the tables `SHIFTS`, with q-values over all proteins added, and `TRUTH`.

        Parameters
        ----------
        table
            The store's `cells`.
        **key
            Values of `model`, `condition` and `protocol`.

        Returns
        -------
        shifts, truth : pyarrow.Table
            A row per protein; `truth` has none where the true proportions are not known.
        """
        frame = pd.DataFrame(self.rows).assign(**key)
        frame["q_value"] = _q_values(frame["p_value"])
        least = frame["p_value"] == LEAST
        if (frame.loc[least, "q_value"] > ALPHA).any():
            frame.loc[list(self.finer), "p_value"] = list(self.finer.values())
            frame["q_value"] = _q_values(frame["p_value"])
        cells = table.iloc[self.first]
        for name in ("protein", "orf", "labels"):
            frame[name] = cells[name].array
        found = []
        for expected in (SHIFTS, TRUTH):
            known = self.truth is not None or expected is SHIFTS
            found.append(
                pa.Table.from_pandas(frame[expected.names], expected, preserve_index=False)
                if known
                else expected.empty_table()
            )
        return found[0], found[1]


def _q_values(p_values: pd.Series) -> pd.Series:
    """Return q-values of those proteins that have a p-value."""
    known = p_values.dropna()
    return pd.Series(benjamini_hochberg(known.to_numpy()), known.index).reindex(p_values.index)
