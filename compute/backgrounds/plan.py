"""The plan: which donor gives the background of which cell, under which condition.

Layer: tables from tables and a seed; no pixels, no files. A trial is one cell on one background.
Every choice is a hash of (seed, cell, condition, repeat), so any shard of the plan can be made by
any worker, in any order, twice, with the same result. Cells are ordered by protein, so that a
run's shards, and later its predictions, lie together by protein. Folds are part of it, since a
cell's donors come from its own fold: else a probe would be tested on backgrounds that it learned.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.backgrounds.config import DONORS, PlanConfig
from compute.backgrounds.folds import deal, seen_by
from compute.backgrounds.pools import Pools
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
    folds : Folds
        Which cells of the store are held out together.
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
        self.grid = self._choose_grid()
        learned = np.zeros(len(cells), bool)
        learned[self.rows[self.grid]] = True
        self.folds = deal(
            config.fold_scheme, config.folds, label.codes.astype(np.int64), protein, learned,
            len(localizations), config.seed,
        )  # fmt: skip
        learned &= np.isin(self._class, self.folds.testable())
        self._seen = seen_by(self.folds, self._protein, learned)
        inside = np.ones(len(windows), bool)
        if config.split is not None:
            inside = windows["field"].isin(set(cells["field"][usable])).to_numpy()
        self._pools(cells, usable, windows, inside)
        self.backgrounds = self._choose_backgrounds()
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

    def _pools(
        self,
        cells: pd.DataFrame,
        usable: NDArray[np.bool_],
        windows: pd.DataFrame,
        inside: NDArray[np.bool_],
    ) -> None:
        """Put donors in pools: cells and windows by class and fold, cells by protein and fold.

        A pool of each is of one fold; another, last, of all folds serves where that has no donor.
        """
        number, classes = self.folds.number, len(self.localizations)
        own = self.folds.fold if self.config.donors == DONORS[0] else np.full(len(cells), number)
        self._fold, self._sides = own, number + 1

        def pools(rows: Any, of: Any, fold: Any, group: Any, count: int) -> Pools:
            both = np.concatenate([of * self._sides + fold, of * self._sides + number])
            if self.config.donors != DONORS[0]:
                both, rows, group = both[len(of) :], rows[: len(of)], group[: len(of)]
                return Pools(rows, both, group, count * self._sides)
            return Pools(np.tile(rows, 2), both, np.tile(group, 2), count * self._sides)

        labelled = np.flatnonzero(usable & (self._class >= 0))
        of = self._class[labelled].astype(np.int64)
        self._by_class = pools(labelled, of, own[labelled], self._protein[labelled], classes)
        field = pd.factorize(cells["field"], sort=True)[0]
        every = np.flatnonzero(usable)
        of = self._protein[every].astype(np.int64)
        self._by_protein = pools(every, of, own[every], field[every], len(self._proteins))
        self._field = field
        label = pd.Categorical(windows["localization"], categories=list(self.localizations))
        place = {name: number for number, name in enumerate(self._proteins)}
        self._window_protein = (
            windows["protein"].map(place).fillna(-1).to_numpy(np.int64)
            if len(windows)
            else np.zeros(0, np.int64)
        )
        chosen = np.flatnonzero(inside & (label.codes >= 0))
        fold = self._fold_of_protein(own)[self._window_protein[chosen]]
        of = label.codes[chosen].astype(np.int64)
        self._windows = pools(chosen, of, fold, np.zeros(len(chosen), np.int64), classes)
        self.present = np.flatnonzero(self._size(self._by_class) > 0)

    def _fold_of_protein(self, own: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a fold of every protein (of several that of its last cell); any for no protein."""
        found = np.full(len(self._proteins) + 1, self._sides - 1)
        found[self._protein] = own
        return found

    def _size(self, pools: Pools) -> NDArray[np.int64]:
        """Count the donors of every class in all folds together, shape (classes,)."""
        return np.asarray(pools.size[self._sides - 1 :: self._sides], np.int64)

    def _choose_grid(self) -> NDArray[np.bool_]:
        """Choose by hash up to `grid_cells` of each class for pair tests."""
        seed, classes = self.config.seed, self._class[self.rows]
        rank = mix(seed, Stream.PAIR_TEST_CELLS, self.rows)
        order = np.lexsort((rank, classes))
        first = np.searchsorted(classes[order], classes[order], "left")
        position = np.arange(len(order)) - first
        chosen = np.zeros(len(self.rows), bool)
        chosen[order] = position < self.config.grid_cells
        chosen &= classes >= 0
        return chosen

    def _choose_backgrounds(self) -> NDArray[np.int64]:
        """Choose by hash the background classes that pair tests share, ascending."""
        order = np.argsort(mix(self.config.seed, Stream.BACKGROUND_CLASSES, self.present))
        return np.sort(self.present[order][: self.config.backgrounds])

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
        size = self._size(self._sources(condition))
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
        if spec.relation == "protein":
            found = self._by_protein.size[self._protein[rows] * self._sides + self._sides - 1] - 1
        else:
            found = self._others(rows, np.full(len(rows), self._sides - 1)).sum(1)
        return np.where(found > 0, repeats, 0)

    def _sources(self, condition: Condition) -> Pools:
        """Return the pools that a condition's donors of other classes come from."""
        return self._windows if CONDITIONS[condition].donors == "window" else self._by_class

    def _others(self, rows: NDArray[np.int64], fold: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the cells of other proteins of each class that a cell has, shape (n, classes)."""
        pool = np.arange(len(self.localizations)) * self._sides + fold[:, None]
        own = self._by_class.among(pool, self._protein[rows][:, None])
        return np.asarray(self._labels[rows] * (self._by_class.size[pool] - own), np.int64)

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
        whole: NDArray[np.bool_] = np.ones(len(rows), bool)
        labelled = np.asarray(self._labels[rows].any(1))
        relation = CONDITIONS[condition].relation
        reasons = {"no donor of another localization": whole}
        if relation == "protein":
            reasons = {"no other cell of the protein": whole}
        elif relation == "class":
            reasons = {
                "no label": ~labelled,
                "no other protein of the same localization": labelled,
            }
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
            `cell_free`, else a cell), `donor_localization`, `repeat`, `seed`, `donor_seen` (null
            without a donor); ordered by trial. Texts are categories.
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
                "donor_seen": pd.arrays.BooleanArray(
                    found["donor_seen"] == 1, found["donor_seen"] < 0
                ),
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
            pools = self._sources(condition)
            pool = self._nearest(pools, donor_class, self._fold[rows])
            donor = pools.draw(pool, self._pick(condition, rows, repeat, pools.size[pool]))
        elif CONDITIONS[condition].relation == "class":
            donor = self._of_class(condition, rows, repeat)
            donor_class = self._class[donor].astype(np.int64)
        elif CONDITIONS[condition].relation == "protein":
            donor = self._of_protein(condition, rows, repeat)
            donor_class = self._class[donor].astype(np.int64)
        return {
            "cell": rows,
            "donor": donor,
            "donor_class": donor_class,
            "donor_seen": self._donor_seen(condition, rows, donor),
            "repeat": repeat,
            "seed": seed.astype(np.int64),
            "position": position,
        }

    def _pick(
        self,
        condition: Condition,
        rows: NDArray[np.int64],
        repeat: NDArray[np.int64],
        size: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Choose by hash a number from 0 to `size` − 1 for each trial, shape (n,)."""
        drawn = mix(self.config.seed, Stream.DONOR, _CODE[condition], rows, repeat)
        return (drawn % size.astype(np.uint64)).astype(np.int64)

    def _nearest(
        self, pools: Pools, of: NDArray[np.int64], fold: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the pool of each trial: of its own fold, or of all where that has no donor."""
        own = of * self._sides + fold
        return np.where(pools.size[own] > 0, own, of * self._sides + self._sides - 1)

    def _of_class(
        self, condition: Condition, rows: NDArray[np.int64], repeat: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Choose a cell of another protein for each row, evenly among all of a shared class."""
        fold = self._fold[rows]
        some = self._others(rows, fold)
        without = some.sum(1) == 0
        fold = np.where(without, self._sides - 1, fold)
        some[without] = self._others(rows[without], fold[without])
        pick = self._pick(condition, rows, repeat, some.sum(1))
        before = np.cumsum(some, 1)
        k = (pick[:, None] >= before).sum(1)
        pick -= before[np.arange(len(k)), k] - some[np.arange(len(k)), k]
        return self._by_class.draw_outside(k * self._sides + fold, self._protein[rows], pick)

    def _of_protein(
        self, condition: Condition, rows: NDArray[np.int64], repeat: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Choose another cell of the same protein for each row, of another field if there is one.

        Under `paper` folds, and for labels that differ within a protein, it is of the cell's own
        fold where that has one.
        """
        pools, field = self._by_protein, self._field[rows]
        of, every = self._protein[rows].astype(np.int64), self._sides - 1
        donor = np.full(len(rows), -1)
        for fold in (self._fold[rows], np.full(len(rows), every)):
            pool = of * self._sides + fold
            near = pools.among(pool, field)
            other = pools.size[pool] - near
            here = np.flatnonzero((donor < 0) & (other > 0))
            pick = self._pick(condition, rows[here], repeat[here], other[here])
            donor[here] = pools.draw_outside(pool[here], field[here], pick)
            here = np.flatnonzero((donor < 0) & (near > 1))
            pick = self._pick(condition, rows[here], repeat[here], near[here] - 1)
            found = pools.draw_inside(pool[here], field[here], pick)
            last = pools.draw_inside(pool[here], field[here], near[here] - 1)
            donor[here] = np.where(found == rows[here], last, found)
        return donor

    def _donor_seen(
        self, condition: Condition, rows: NDArray[np.int64], donor: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Tell whether a cell's probe learned the donor's protein: 0, 1, or −1 for no donor."""
        if CONDITIONS[condition].donors == "none":
            return np.full(len(rows), -1)
        windows = CONDITIONS[condition].donors == "window"
        protein = (self._window_protein if windows else self._protein)[donor]
        known = self._seen[protein, self.folds.fold[rows]]
        return np.where(protein >= 0, known, False).astype(np.int64)


_CODE = {condition: number for number, condition in enumerate(CONDITIONS)}
"""Number of every condition, in hashes and categories."""
