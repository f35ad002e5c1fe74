"""The plan: which donor gives the background of which cell, under which condition.

Layer: tables from tables and a seed; no pixels, no files. A trial is one cell on one background.
Every choice is a hash of (seed, cell, condition, repeat), so any shard of the plan can be made by
any worker, in any order, twice, with the same result. Cells are ordered by protein, so that a
run's shards, and later its predictions, lie together by protein.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.backgrounds.config import PlanConfig as PlanConfig
from compute.errors import InputError, UsageError, unknown_value
from compute.hashing import Stream, mix
from compute.schema import CONDITIONS, Condition

CELLS_AT_A_TIME = 8192
"""Cells whose trials are counted together, so that memory does not grow with the store."""

MOST_TRIALS = 2**15 - 1
"""Trials of one cell under one condition at most: column `repeat` of `trials` has 16 bits."""


class Plan:
    """Every trial of a run, made when asked for.

    Parameters
    ----------
    cells
        The store's `cells` table, row i being cell i.
    usable
        Which cells can stand in trials, booleans, shape (N,).
    windows
        The store's `windows` table.
    localizations
        The store's class names, in order.
    config
        Conditions, seed and sizes.

    Attributes
    ----------
    rows : ndarray
        Rows of `cells` that stand in trials, ordered by protein; the plan's own cell order.
    grid : ndarray
        Which of `rows` stand in pair tests, booleans, shape (len(rows),).
    backgrounds : ndarray
        Numbers of the background classes that pair tests stand on, ascending.
    count : int
        Number of trials.
    counts : dict
        Number of trials by condition.
    rejections : list of dict
        What could not be planned: `reason`, `count` (cells), `examples`.

    Raises
    ------
    InputError
        No cell is usable.
    UsageError
        The split does not exist, or a cell would have more trials than `MOST_TRIALS`.
    """

    def __init__(
        self,
        cells: pd.DataFrame,
        usable: NDArray[np.bool_],
        windows: pd.DataFrame,
        localizations: list[str],
        config: PlanConfig,
    ) -> None:
        self.config = config
        self.localizations = localizations
        self.rejections: list[dict[str, Any]] = []
        if config.split is not None:
            usable = usable & self._inside(cells, config.split)
        if not usable.any():
            raise InputError(
                f"None of the {len(cells)} cells is usable.",
                "`bystander check STORE` shows why each was flagged.",
            )
        code = {name: i for i, name in enumerate(localizations)}
        label = pd.Categorical(cells["localization"], categories=list(localizations))
        self._class = label.codes.astype(np.int16)
        protein, self._proteins = pd.factorize(cells["protein"], sort=True)
        self._protein = protein.astype(np.int32)
        order = np.argsort(self._protein, kind="stable")
        self.rows = order[usable[order]]
        self._labels = self._label_matrix(cells, code)
        self._pools(usable)
        inside = np.ones(len(windows), bool)
        if config.split is not None:
            inside = windows["field"].isin(set(cells["field"][usable])).to_numpy()
        self._windows(windows, inside)
        self.grid = self._choose_grid()
        self._count_trials()

    def _inside(self, cells: pd.DataFrame, split: str) -> NDArray[np.bool_]:
        """Tell which cells are of a split, and record how many are not."""
        inside = np.asarray(cells["split"] == split)
        if not inside.any():
            raise unknown_value("split", split, sorted(set(cells["split"].dropna())))
        if not inside.all():
            self.rejections.append(
                {
                    "stage": "plan",
                    "reason": f"not of the split {split!r}",
                    "count": int((~inside).sum()),
                    "examples": sorted(set(cells["field"][~inside]))[:20],
                }
            )
        return inside

    def _label_matrix(self, cells: pd.DataFrame, code: dict[str, int]) -> NDArray[np.bool_]:
        """Tell which localizations each cell has, shape (N, classes)."""
        matrix = np.zeros((len(cells), len(code)), bool)
        for row, labels in enumerate(cells["labels"]):
            if labels is not None:
                matrix[row, [code[name] for name in labels]] = True
        return matrix

    def _pools(self, usable: NDArray[np.bool_]) -> None:
        """Order donor cells by class and protein; remember where those of each begin."""
        donors = np.flatnonzero(usable & (self._class >= 0))
        protein = self._protein
        donors = donors[np.lexsort((donors, protein[donors], self._class[donors]))]
        self._donors = donors
        shape = (len(self.localizations), len(self._proteins))
        count = np.bincount(
            self._class[donors] * np.int64(shape[1]) + protein[donors],
            minlength=shape[0] * shape[1],
        )
        self._protein_size = count.reshape(shape)
        self._protein_start = (np.cumsum(count) - count).reshape(shape)
        self._start, self._size = self._protein_start[:, 0], self._protein_size.sum(1)
        self.present = np.flatnonzero(self._size > 0)

    def _windows(self, windows: pd.DataFrame, inside: NDArray[np.bool_]) -> None:
        """Order windows by class; those outside the split get none, so they are never chosen."""
        label = pd.Categorical(windows["localization"], categories=list(self.localizations))
        self._window_class = np.where(inside, label.codes.astype(np.int64), -1)
        self._window_order = np.argsort(self._window_class, kind="stable")
        ordered = self._window_class[self._window_order]
        classes = np.arange(len(self.localizations))
        self._window_start = np.searchsorted(ordered, classes, "left")
        self._window_size = np.searchsorted(ordered, classes, "right") - self._window_start

    def _choose_grid(self) -> NDArray[np.bool_]:
        """Choose by hash up to `grid_cells` of each class, and the shared background classes."""
        seed, classes = self.config.seed, self._class[self.rows]
        rank = mix(seed, Stream.PAIR_TEST_CELLS, self.rows)
        order = np.lexsort((rank, classes))
        first = np.searchsorted(classes[order], classes[order], "left")
        position = np.arange(len(order)) - first
        chosen = np.zeros(len(self.rows), bool)
        chosen[order] = position < self.config.grid_cells
        chosen &= classes >= 0
        backgrounds = self.present[np.argsort(mix(seed, Stream.BACKGROUND_CLASSES, self.present))]
        self.backgrounds = np.sort(backgrounds[: self.config.backgrounds])
        return chosen

    def _choices(
        self, condition: Condition, index: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Order the background classes of each cell, and say how many of them it takes.

        Returns
        -------
        order, taken
            Shape (n, classes) with the cell's own order of classes, and (n,): the first
            `taken` are used, in turn if there are more trials than classes.
        """
        rows = self.rows[index]
        classes = np.arange(len(self.localizations))
        size = self._window_size if condition is Condition.CELL_FREE else self._size
        allowed = np.broadcast_to(size > 0, (len(rows), len(classes))) & ~self._labels[rows]
        limited = np.isin(classes, self.backgrounds)
        allowed = allowed & (limited | ~self.grid[index][:, None])
        score = mix(
            self.config.seed,
            Stream.CELL_BACKGROUNDS,
            _CODE[condition],
            rows[:, None],
            classes[None, :],
        )
        score[~allowed] = np.iinfo(np.uint64).max
        return np.argsort(score, axis=1, kind="stable"), allowed.sum(1)

    def _trials_per_cell(self, condition: Condition, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the trials of some of `rows` under a condition, shape of `index`."""
        spec, repeats, rows = CONDITIONS[condition], self.config.repeats, self.rows[index]
        if spec.donors == "none":
            return np.ones(len(rows), np.int64)
        if spec.grid:
            taken = self._choices(condition, index)[1]
            return np.where(self.grid[index], taken, np.minimum(taken, 1)) * repeats
        return np.where(self._same_size(rows) > 0, repeats, 0)

    def _same_size(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the cells of other proteins that share a localization with each cell."""
        others = self._size - self._protein_size[:, self._protein[rows]].T
        return np.asarray((self._labels[rows] * others).sum(1), np.int64)

    def _count_trials(self) -> None:
        """Count each cell's trials, `CELLS_AT_A_TIME` cells at a time."""
        total = len(self.rows)
        self.counts: dict[Condition, int] = {}
        self._offset = np.zeros(total + 1, np.int64)
        for condition in self.config.composed:
            found = np.empty(total, np.int32)
            for start in range(0, total, CELLS_AT_A_TIME):
                index = np.arange(start, min(start + CELLS_AT_A_TIME, total))
                found[index] = self._trials_per_cell(condition, index)
            self._refuse_too_many(condition, int(found.max()))
            self._reject(condition, found == 0)
            self.counts[condition] = int(found.sum(dtype=np.int64))
            self._offset[1:] += found
        np.cumsum(self._offset, out=self._offset)
        self.count = int(self._offset[-1])

    def _refuse_too_many(self, condition: Condition, most: int) -> None:
        """Refuse trials that the table's column `repeat` cannot number."""
        if most > MOST_TRIALS:
            repeats = self.config.repeats
            raise UsageError(
                f"repeats is {repeats}: a cell would have {most} trials of {str(condition)!r}, one "
                f"for each of {most // repeats} background classes and repeat; at most "
                f"{MOST_TRIALS} can be numbered.",
                f"Give --repeats {MOST_TRIALS * repeats // most} or less, or fewer --backgrounds.",
            )

    def _reject(self, condition: Condition, without: NDArray[np.bool_]) -> None:
        """Record the cells without a trial under a condition, with the reason."""
        rows = self.rows[without]
        reasons = {
            "no label": ~self._labels[rows].any(1),
            "no other protein of the same localization": self._labels[rows].any(1),
        }
        if condition is not Condition.SAME:
            reasons = {"no donor of another localization": np.ones(len(rows), bool)}
        for reason, where in reasons.items():
            if where.any():
                proteins = self._proteins[np.unique(self._protein[rows[where]])[:20]]
                self.rejections.append(
                    {
                        "stage": "plan",
                        "reason": f"{condition}: {reason}",
                        "count": int(where.sum()),
                        "examples": proteins.tolist(),
                    }
                )

    def shards(self, cells: int) -> list[tuple[int, int]]:
        """Cut the plan's cells into shards: ranges (start, stop) of at most `cells` cells."""
        edges = [*range(0, len(self.rows), cells), len(self.rows)]
        return list(pairwise(edges))

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Return the numbers of the first and last trial of a range of the plan's cells."""
        return int(self._offset[start]), int(self._offset[stop]) - 1

    def trials(self, start: int, stop: int) -> pd.DataFrame:
        """Make the trials of a range of the plan's cells, such as a shard.

        Parameters
        ----------
        start, stop
            Positions in `rows`; `stop` is not included.

        Returns
        -------
        DataFrame
            Columns `trial`, `cell`, `condition`, `donor` (−1: none; a window's number under
            `cell_free`, else a cell), `donor_localization`, `repeat`, `seed`; ordered by trial.
            Texts are categories.
        """
        index = np.arange(start, stop)
        made = [self._condition_trials(c, index) for c in self.config.composed]
        code = np.repeat([_CODE[c] for c in self.config.composed], [len(m["cell"]) for m in made])
        found = {name: np.concatenate([each[name] for each in made]) for name in made[0]}
        order = np.lexsort((found["repeat"], code, found["position"]))
        found = {name: values[order] for name, values in found.items()}
        names = pd.Index(self.localizations, dtype=str)
        return pd.DataFrame(
            {
                "trial": np.arange(self._offset[start], self._offset[stop]),
                "cell": found["cell"],
                "condition": pd.Categorical.from_codes(
                    code[order], pd.Index(CONDITIONS, dtype=str)
                ),
                "donor": found["donor"],
                "donor_localization": pd.Categorical.from_codes(found["donor_class"], names),
                "repeat": found["repeat"],
                "seed": found["seed"],
            }
        )

    def _condition_trials(
        self, condition: Condition, index: NDArray[np.int64]
    ) -> dict[str, NDArray[np.int64]]:
        """Make one condition's trials, as columns; `position` is each trial's place in `index`."""
        many = self._trials_per_cell(condition, index)
        position = np.repeat(np.arange(len(index)), many)
        repeat = np.arange(len(position)) - np.repeat(np.cumsum(many) - many, many)
        rows = self.rows[index][position]
        seed = mix(
            self.config.seed, Stream.TRIAL_SEED, _CODE[condition], rows, repeat
        ) >> np.uint64(1)
        donor = np.full(len(rows), -1)
        donor_class = np.full(len(rows), -1)
        if CONDITIONS[condition].grid:
            order, taken = self._choices(condition, index)
            donor_class = order[position, repeat % np.maximum(taken[position], 1)]
            pick = mix(self.config.seed, Stream.DONOR, _CODE[condition], rows, repeat)
            if condition is Condition.CELL_FREE:
                inside = pick % self._window_size[donor_class].astype(np.uint64)
                place = self._window_start[donor_class] + inside.astype(np.int64)
                donor = self._window_order[place]
            else:
                inside = pick % self._size[donor_class].astype(np.uint64)
                donor = self._donors[self._start[donor_class] + inside.astype(np.int64)]
        elif CONDITIONS[condition].donors == "cell":
            donor = self._same_donors(condition, rows, repeat)
            donor_class = self._class[donor]
        return {
            "cell": rows,
            "donor": donor,
            "donor_class": donor_class,
            "repeat": repeat,
            "seed": seed.astype(np.int64),
            "position": position,
        }

    def _same_donors(
        self, condition: Condition, rows: NDArray[np.int64], repeat: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Choose a cell of another protein for each row, evenly among all of a shared class."""
        size = self._same_size(rows).astype(np.uint64)
        pick = (mix(self.config.seed, Stream.DONOR, _CODE[condition], rows, repeat) % size).astype(
            np.int64
        )
        donor = np.full(len(rows), -1)
        for k in self.present:
            here = self._labels[rows, k] & (donor < 0)
            own = self._protein_size[k, self._protein[rows]]
            available = self._size[k] - own
            inside = here & (pick < available)
            place = self._start[k] + pick
            skip = place >= self._protein_start[k, self._protein[rows]]
            place = place + np.where(skip, own, 0)
            donor[inside] = self._donors[place[inside]]
            pick = np.where(here & ~inside, pick - available, pick)
        return donor


_CODE = {condition: number for number, condition in enumerate(CONDITIONS)}
"""Number of every condition, in hashes and categories."""
