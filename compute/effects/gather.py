"""One model's predictions to sums: a single way through its files, block by block.

Layer: takes blocks of whole proteins, keeps what is summed by unit, and what is said of each
protein. What it holds does not grow with the number of cells.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compute.effects.predictions import Answers, Backgrounds, Block
from compute.errors import InputError
from compute.schema import CONDITIONS, Condition, Flip, Protocol
from compute.statistics.backgrounds import add_to_grid, begin_grid
from compute.statistics.calibration import CalibrationSums
from compute.statistics.flips import changes
from compute.statistics.protein_shifts import CellAnswers, Distributions, NoiseFloors, Shifts
from compute.statistics.resampling_units import Units, add
from compute.statistics.rescaling import READINGS
from compute.statistics.truth import Truth

Key = tuple[Protocol, Condition]


@dataclass
class Sums:
    """Tested cells' answers under one condition and protocol, by unit; every cell counts once.

    Parameters
    ----------
    right
        Right answers, shape (U, 1).
    n
        Cells, shape (U, 1).
    flips
        Answers that changed, by direction, shape (U, 3).
    calibration
        At each temperature.
    grid
        By background class, where there are donors.
    """

    right: NDArray[np.float64]
    n: NDArray[np.float64]
    flips: NDArray[np.float64]
    calibration: list[CalibrationSums]
    grid: NDArray[np.float64] | None


@dataclass
class Readings:
    """Right answers of trials that were read twice, shape (U, 3), and their number, (U, 1)."""

    right: NDArray[np.float64]
    n: NDArray[np.float64]


@dataclass
class Gathered:
    """What is kept of one model's predictions."""

    sums: dict[Key, Sums] = field(default_factory=dict)
    readings: dict[Condition, Readings] = field(default_factory=dict)
    distributions: dict[Key, Distributions] = field(default_factory=dict)
    shifts: dict[Key, Shifts] = field(default_factory=dict)


@dataclass(frozen=True)
class Gatherer:
    """How one model's predictions are gathered.

    Parameters
    ----------
    classes
        Class of each cell, −1 for none, shape (N,).
    protein
        Number of each cell's protein, shape (N,).
    names
        Class names.
    units
        What is resampled.
    conditions
        Those with trials of their own, in order.
    temperatures
        Fitted on unaltered crops, by protocol.
    locked
        Whether the first reading has the scale locked, and the second not.
    seed
        Of the run.
    truth
        True proportions, on simulated cells.
    """

    classes: NDArray[np.int64]
    protein: NDArray[np.int32]
    names: Sequence[str]
    units: Units
    conditions: Sequence[Condition]
    temperatures: dict[Protocol, float]
    locked: bool
    seed: int
    truth: Truth | None

    def gather(
        self, blocks: Iterable[Block], progress: Callable[[int], None] = lambda protein: None
    ) -> Gathered:
        """Go through all blocks.

        Parameters
        ----------
        blocks
            Of one model.
        progress
            Called with the number of the last protein that was done.
        """
        found = Gathered()
        for block in blocks:
            for protocol in Protocol:
                before = block.answers.get((protocol, Condition.UNALTERED))
                if before is not None:
                    self._protocol(found, block, protocol, before)
            last = next(iter(block.answers.values()), None)
            if last is not None:
                progress(int(self.protein[last.cell[-1]]))
        return found

    def _protocol(self, found: Gathered, block: Block, protocol: Protocol, before: Answers) -> None:
        """Add one protocol's answers of one block."""
        by_cell = self._by_cell(before)
        tested = before.cells(self.units.of[before.cell] >= 0)
        floors = NoiseFloors()
        for number, condition in enumerate(self.conditions):
            after = block.answers.get((protocol, condition))
            if after is None:
                continue
            key = (protocol, condition)
            moved = by_cell if condition is Condition.UNALTERED else self._by_cell(after)
            found.distributions.setdefault(key, Distributions()).add(moved)
            if condition is not Condition.UNALTERED:
                same = by_cell.take(self._places(before.cell, after.cell))
                proteins = int(self.protein.max()) + 1
                empty = Shifts(self.seed, number, self.names, self.truth, proteins)
                found.shifts.setdefault(key, empty).add(same, moved, floors)
            mine = after.cells(self.units.of[after.cell] >= 0)
            if len(mine.cell) == 0:
                continue
            self._add(self._sums(found, key), tested, mine, condition, block.background)
            if protocol is Protocol.FROZEN and condition in block.second:
                self._read_twice(found, condition, tested, mine, block.second[condition])

    def _sums(self, found: Gathered, key: Key) -> Sums:
        if key not in found.sums:
            u, (protocol, condition) = self.units.count, key
            found.sums[key] = Sums(
                np.zeros((u, 1)),
                np.zeros((u, 1)),
                np.zeros((u, len(Flip))),
                [CalibrationSums.empty(t, u) for t in (1.0, self.temperatures[protocol])],
                begin_grid(u, len(self.names)) if CONDITIONS[condition].donors != "none" else None,
            )
        return found.sums[key]

    def _add(
        self,
        sums: Sums,
        before: Answers,
        after: Answers,
        condition: Condition,
        backgrounds: Backgrounds,
    ) -> None:
        """Add tested cells' trials under one condition."""
        position = after.position
        weight = 1 / after.many[position]
        unit, own = self.units.of[after.cell][position], self.classes[after.cell][position]
        was = self._answer_before(before, after)
        add(sums.n, self.units.of[after.cell], 0, np.ones(len(after.cell)))
        add(sums.right, unit, 0, weight * (after.predicted == own))
        for column, changed in enumerate(changes(was, after.predicted, own).T):
            add(sums.flips, unit, column, weight * changed)
        for calibration in sums.calibration:
            calibration.add(after.probabilities, own, position, weight, unit)
        if sums.grid is not None:
            behind = backgrounds.of(after.trial)
            add_to_grid(sums.grid, unit, position, behind, was, after.predicted, own)

    def _read_twice(
        self,
        found: Gathered,
        condition: Condition,
        before: Answers,
        first: Answers,
        second: Answers,
    ) -> None:
        """Add tested cells' trials that were read with both scalings."""
        second = second.cells(self.units.of[second.cell] >= 0)
        if len(second.cell) == 0:
            return
        first = first.trials(_places(first.trial, second.trial, "trial"))
        u = self.units.count
        sums = found.readings.setdefault(
            condition, Readings(np.zeros((u, len(READINGS))), np.zeros((u, 1)))
        )
        cell = second.cell[second.position]
        unit, own = self.units.of[cell], self.classes[cell]
        crop, locked = (second, first) if self.locked else (first, second)
        answers = (self._answer_before(before, second), crop.predicted, locked.predicted)
        add(sums.n, unit, 0, np.ones(len(cell)))
        for column, answer in enumerate(answers):
            add(sums.right, unit, column, answer == own)

    def _by_cell(self, answers: Answers) -> CellAnswers:
        cell = answers.cell
        return CellAnswers(cell, answers.mean(), answers.share(), self.protein[cell])

    def _answer_before(self, before: Answers, after: Answers) -> NDArray[np.int64]:
        """Return each trial's cell's answer to its unaltered crop."""
        place = self._places(before.cell, after.cell)
        return before.predicted[before.starts][place][after.position]

    def _places(self, among: NDArray[np.int64], cell: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find cells among others; both are ordered by protein, then cell."""
        n = len(self.protein)
        one, two = (self.protein[some].astype(np.int64) * n + some for some in (among, cell))
        return _places(one, two, "cell")


def _places(among: NDArray[np.int64], wanted: NDArray[np.int64], what: str) -> NDArray[np.int64]:
    """Find numbers in an ascending list.

    Raises
    ------
    InputError
        One is missing.
    """
    place = np.searchsorted(among, wanted)
    there = place < len(among)
    there[there] = among[place[there]] == wanted[there]
    if not there.all():
        raise InputError(
            f"{int((~there).sum())} {what}(s) of a condition are not among those it is compared "
            "with in `predictions`.",
            "Run again with --fresh.",
        )
    return place
