"""What is said of each protein: distributions, shifts, and on simulated cells the truth.

Layer: takes one condition's answers, some whole proteins at a time; gives tables.
"""

from collections.abc import Iterator, Sequence
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
    benjamini_hochberg,
    finer_p_value,
    needs_finer,
    noise_floor,
    shift,
)
from compute.statistics.truth import Truth, compare

LEAST = 1 / (1 + DRAWS)
"""The least p-value of `shift`."""


@dataclass(frozen=True)
class CellAnswers:
    """One condition's and protocol's answers by cell; n cells, which lie together by protein.

    Parameters
    ----------
    cell
        Rows in the store's `cells`, shape (n,).
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
        """Cut cells into proteins."""
        starts = np.flatnonzero(np.diff(self.protein, prepend=-1))
        for a, b in zip(starts, np.append(starts[1:], len(self.protein)), strict=True):
            yield slice(int(a), int(b))

    def take(self, rows: NDArray[np.int64]) -> "CellAnswers":
        """Choose cells."""
        return CellAnswers(self.cell[rows], self.mean[rows], self.share[rows], self.protein[rows])


@dataclass
class Distributions:
    """Mean answers of one model's proteins under one condition and protocol."""

    protein: list[int] = field(default_factory=list)
    n_cells: list[int] = field(default_factory=list)
    proportion: list[NDArray[np.float64]] = field(default_factory=list)
    probability: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, answers: CellAnswers) -> None:
        """Average the cells of some whole proteins."""
        for block in answers.proteins():
            self.protein.append(int(answers.protein[block.start]))
            self.n_cells.append(block.stop - block.start)
            self.proportion.append(answers.share[block].mean(0))
            self.probability.append(answers.mean[block].mean(0))

    def table(self, proteins: pa.Array, names: Sequence[str], **key: str) -> pa.Table:
        """Give rows of `DISTRIBUTIONS`, ordered by protein and class.

        Parameters
        ----------
        proteins
            Name of each protein.
        names
            Class names.
        **key
            `model`, `condition` and `protocol`.
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
    """Noise floors of some whole proteins under `unaltered`, each taken once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes], float] = {}

    def of(self, before: NDArray[np.float64], cell: NDArray[np.int64], seed: int) -> float:
        """Return the noise floor of a protein's cells, shape (cells, K)."""
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
        Of the run.
    condition
        Number of the condition.
    names
        Class names.
    truth
        True proportions, on simulated cells.
    proteins
        How many may be tested.
    """

    seed: int
    condition: int
    names: Sequence[str]
    truth: Truth | None
    proteins: int
    first: list[int] = field(default_factory=list)
    finer: dict[int, float] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, before: CellAnswers, after: CellAnswers, floors: NoiseFloors) -> None:
        """Compare the same cells of some whole proteins before and after."""
        for block in after.proteins():
            number, cell = len(self.rows), after.cell[block]
            p, q = before.mean[block], after.mean[block]
            seed = int(mix(self.seed, Stream.SHIFT_NULL, self.condition, number) >> np.uint64(1))
            found = shift(p, q, seed)
            if found.p_value == LEAST and needs_finer(len(self.finer) + 1, self.proteins):
                self.finer[number] = finer_p_value(p, q, seed, FINER * self.proteins)
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
        """Give rows of `SHIFTS` and of `TRUTH`, which is empty without it.

        Parameters
        ----------
        table
            The store's `cells`.
        **key
            `model`, `condition` and `protocol`.
        """
        frame = pd.DataFrame(self.rows).assign(**key)
        frame["q_value"] = benjamini_hochberg(frame["p_value"].to_numpy())
        least = frame["p_value"] == LEAST
        if (frame.loc[least, "q_value"] > ALPHA).any():
            frame.loc[list(self.finer), "p_value"] = list(self.finer.values())
            frame["q_value"] = benjamini_hochberg(frame["p_value"].to_numpy())
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
