"""From one model's predictions to sums, in a single pass over its files, block by block.

Layer: takes blocks of whole proteins; keeps sums by resampling unit, and distributions and shifts
by protein. Memory does not grow with the number of cells. No files.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compute.effects.predictions import Answers, Backgrounds, Block
from compute.embedding.config import View
from compute.errors import InputError
from compute.schema import CONDITIONS, Condition, Dose, Flip, Protocol, Reading
from compute.statistics.backgrounds import add_to_grid, begin_grid
from compute.statistics.calibration import CalibrationSums
from compute.statistics.donors import DonorSums, DonorUnits
from compute.statistics.dose import add_doses, begin_doses, bins_of
from compute.statistics.flips import changes
from compute.statistics.protein_shifts import CellAnswers, Distributions, NoiseFloors, Nulls, Shifts
from compute.statistics.resampling_units import Units, add
from compute.statistics.rescaling import READINGS
from compute.statistics.truth import Truth
from compute.statistics.variation import Variation
from compute.statistics.worst_case import add_worst, begin_worst

Key = tuple[Protocol, Condition]


@dataclass
class Sums:
    """Sums of tested cells' answers under one condition and protocol, by U resampling units.

    Every cell counts once: its trials share its weight.

    Parameters
    ----------
    right
        Right answers, shape (U, 1).
    n
        Cells, shape (U, 1).
    flips
        Answers that changed, in the directions of `Flip`, shape (U, 3).
    calibration
        Sums at temperature 1 and at the fitted temperature.
    grid
        Sums by background class, from `begin_grid`; None where there are no donors.
    donors
        Sums by donor unit of right answers and of `Flip`, in this order; None likewise.
    single
        Whether every cell has one trial, as is taken for granted at first.
    """

    right: NDArray[np.float64]
    n: NDArray[np.float64]
    flips: NDArray[np.float64]
    calibration: list[CalibrationSums]
    grid: NDArray[np.float64] | None
    donors: DonorSums | None
    single: bool = True


@dataclass
class Readings:
    """Sums of trials that were read twice, by U resampling units.

    Parameters
    ----------
    right
        Right answers under each of `READINGS`, shape (U, 3).
    n
        Number of these cells, shape (U, 1).
    """

    right: NDArray[np.float64]
    n: NDArray[np.float64]


@dataclass
class ViewSums:
    """Sums of the trials that were read again, under one condition and protocol, in V views.

    Parameters
    ----------
    right
        Right answers of each resampling unit in each view, shape (U, V).
    n
        Cells, shape (U, 1).
    donors
        Sums by donor unit of right answers in each view; None without donors.
    """

    right: NDArray[np.float64]
    n: NDArray[np.float64]
    donors: DonorSums | None


@dataclass
class Gathered:
    """What is kept of one model's predictions.

    Parameters
    ----------
    sums, distributions, shifts, views
        By protocol and condition.
    worst
        Sums of `compute.statistics.worst_case`, by protocol and condition.
    variation
        Whether one class fits all cells of a protein; None without answers of the frozen probe.
    doses
        Sums of `compute.statistics.dose`, by protocol, condition and dose.
    readings
        By condition.
    """

    sums: dict[Key, Sums] = field(default_factory=dict)
    readings: dict[Condition, Readings] = field(default_factory=dict)
    distributions: dict[Key, Distributions] = field(default_factory=dict)
    shifts: dict[Key, Shifts] = field(default_factory=dict)
    views: dict[Key, ViewSums] = field(default_factory=dict)
    worst: dict[Key, NDArray[np.float64]] = field(default_factory=dict)
    doses: dict[tuple[Protocol, Condition, Dose], NDArray[np.float64]] = field(default_factory=dict)
    variation: Variation | None = None


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
        The resampling unit of each cell.
    donors
        The unit of every cell and window as a donor.
    conditions
        The conditions with trials of their own, in the run's order.
    temperatures
        Temperature of each protocol, fitted on unaltered crops.
    prior
        Share of each class among the cells that probes are fitted on, shape (K,).
    views
        The views that steps of a drop lead to, by condition; empty where trials were read once.
    ends
        Ends of the bins of each dose, by condition (`compute.statistics.dose.edges`).
    locked
        Whether the scale is locked in the first reading of a trial and not in the second, rather
        than the reverse.
    seed
        Seed of the run.
    truth
        True proportions, on simulated cells; else None.
    nulls
        For each condition, the null of a protein's shift under `refit`.
    answerable
        Under `own`, which classes the model's head can answer with, shape (K,): cells of the others
        have no right answer, so they are in no accuracy. None, the default, for all.
    """

    classes: NDArray[np.int64]
    protein: NDArray[np.int32]
    names: Sequence[str]
    units: Units
    donors: DonorUnits
    conditions: Sequence[Condition]
    temperatures: dict[Protocol, float]
    prior: NDArray[np.float64]
    views: Mapping[Condition, Sequence[View]]
    ends: Mapping[tuple[Condition, Dose], NDArray[np.float64]]
    locked: bool
    seed: int
    truth: Truth | None
    nulls: Mapping[Condition, Nulls]
    answerable: NDArray[np.bool_] | None = None

    def gather(
        self, blocks: Iterable[Block], progress: Callable[[int], None] = lambda protein: None
    ) -> Gathered:
        """Go through all blocks and sum their answers.

        Parameters
        ----------
        blocks
            Predictions of one model, from `compute.effects.predictions.blocks`.
        progress
            Called after each block with the number of its last protein; by default nothing is
            called.

        Returns
        -------
        Gathered
            Sums, distributions and shifts.

        Raises
        ------
        InputError
            A condition has cells or trials that are missing where it is compared.
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
        tested = self._tested(before, protocol)
        floors = NoiseFloors()
        if protocol is Protocol.FROZEN:
            if found.variation is None:
                found.variation = Variation(self.prior, self.temperatures[protocol], self.names)
            found.variation.add(by_cell)
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
                shifts = found.shifts.setdefault(key, empty)
                refitted = protocol is Protocol.REFIT
                shifts.add(same, moved, floors, self.nulls[condition] if refitted else None)
            mine = self._tested(after, protocol)
            if len(mine.cell) == 0:
                continue
            self._add(self._sums(found, key), tested, mine, condition, block.background)
            self._behind(found, key, tested, mine, block.background)
            again = block.second.get((protocol, View(condition, Reading.SCALED)))
            if protocol is Protocol.FROZEN and again is not None:
                self._read_twice(found, condition, tested, mine, again)
        for condition, views in self.views.items():
            self._seen_again(found, block, protocol, condition, views)

    def _sums(self, found: Gathered, key: Key) -> Sums:
        """Return the sums of a protocol and condition, begun where they are not there yet."""
        if key not in found.sums:
            u, k, (protocol, condition) = self.units.count, len(self.names), key
            swapped = CONDITIONS[condition].donors != "none"
            found.sums[key] = Sums(
                np.zeros((u, 1)),
                np.zeros((u, 1)),
                np.zeros((u, len(Flip))),
                [CalibrationSums.empty(t, u) for t in (1.0, self.temperatures[protocol])],
                begin_grid(u, k) if swapped else None,
                DonorSums.empty(self.donors.classes, k, 1 + len(Flip)) if swapped else None,
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
        """Add the trials of tested cells under one condition to its sums.

        Parameters
        ----------
        sums
            Changed in place.
        before, after
            Answers to the unaltered crops and to the trials, of tested cells.
        condition
            The condition of the trials.
        backgrounds
            Class of the background and donor unit of each trial.
        """
        position = after.position
        weight = 1 / after.many[position]
        unit, own = self.units.of[after.cell][position], self.classes[after.cell][position]
        was = self._answer_before(before, after)
        add(sums.n, self.units.of[after.cell], 0, np.ones(len(after.cell)))
        right, changed = after.predicted == own, changes(was, after.predicted, own)
        add(sums.right, unit, 0, weight * right)
        for column, flipped in enumerate(changed.T):
            add(sums.flips, unit, column, weight * flipped)
        sums.single &= len(after.trial) == len(after.cell)
        for calibration in sums.calibration:
            calibration.add(after.probabilities, own, position, weight, unit)
        if sums.grid is not None and sums.donors is not None:
            place = backgrounds.places(after.trial)
            behind, donor = backgrounds.background[place], backgrounds.donor[place]
            add_to_grid(sums.grid, unit, position, behind, was, after.predicted, own)
            sums.donors.add(unit, own, donor, weight, np.column_stack([right, changed]))

    def _behind(
        self, found: Gathered, key: Key, before: Answers, after: Answers, backgrounds: Backgrounds
    ) -> None:
        """Add the trials of tested cells to the sums by dose, and to those of the worst case."""
        _, condition = key
        spec = CONDITIONS[condition]
        if spec.donors == "none":
            return
        place = backgrounds.places(after.trial)
        unit = self.units.of[after.cell]
        own = self.classes[after.cell][after.position]
        right = after.predicted == own
        if spec.grid:
            worst = found.worst.setdefault(key, begin_worst(self.units.count))
            add_worst(worst, unit, after.starts, backgrounds.background[place], right)
        lost = (self._answer_before(before, after) == own).astype(float) - right
        weight = 1 / after.many[after.position]
        for dose in Dose:
            ends = self.ends.get((condition, dose))
            if ends is not None:
                sums = found.doses.setdefault((*key, dose), begin_doses(self.units.count))
                bins = bins_of(backgrounds.doses[dose][place], ends)
                add_doses(sums, unit[after.position], bins, weight, lost)

    def _seen_again(
        self,
        found: Gathered,
        block: Block,
        protocol: Protocol,
        condition: Condition,
        views: Sequence[View],
    ) -> None:
        """Add the trials of tested cells that were read again, in all views of a condition.

        Raises
        ------
        InputError
            The views are not of the same trials.
        """
        seen = [
            block.answers.get((protocol, condition))
            if view.reading is None
            else block.second.get((protocol, view))
            for view in views
        ]
        there = [answers for answers in seen if answers is not None]
        if len(there) < len(views):
            return
        again = [a for a, view in zip(there, views, strict=True) if view.reading is not None]
        first = again[0] if again else there[0]
        first = self._tested(first, protocol)
        if len(first.cell) == 0:
            return
        position = first.position
        own = self.classes[first.cell][position]
        right = np.stack(
            [a.predicted[_places(a.trial, first.trial, "trial")] == own for a in there], 1
        )
        u, k = self.units.count, len(self.names)
        if (protocol, condition) not in found.views:
            donors = CONDITIONS[condition].donors != "none"
            found.views[protocol, condition] = ViewSums(
                np.zeros((u, len(views))), np.zeros((u, 1)),
                DonorSums.empty(self.donors.classes, k, len(views)) if donors else None,
            )  # fmt: skip
        sums, weight = found.views[protocol, condition], 1 / first.many[position]
        unit = self.units.of[first.cell]
        add(sums.n, unit, 0, np.ones(len(unit)))
        for column, answers in enumerate(right.T):
            add(sums.right, unit[position], column, weight * answers)
        if sums.donors is not None:
            donor = block.background.donor[block.background.places(first.trial)]
            sums.donors.add(unit[position], own, donor, weight, right.astype(float))

    def _read_twice(
        self,
        found: Gathered,
        condition: Condition,
        before: Answers,
        first: Answers,
        second: Answers,
    ) -> None:
        """Add the trials of tested cells that were read with both scalings.

        Parameters
        ----------
        found
            Its `readings` are changed in place.
        condition
            The condition of the trials.
        before
            Answers to the unaltered crops.
        first, second
            Answers to both readings; of the first also other trials.
        """
        second = self._tested(second, Protocol.FROZEN)
        if len(second.cell) == 0:
            return
        first = first.trials(_places(first.trial, second.trial, "trial"))
        u = self.units.count
        sums = found.readings.setdefault(
            condition, Readings(np.zeros((u, len(READINGS))), np.zeros((u, 1)))
        )
        weight = 1 / second.many[second.position]
        cell = second.cell[second.position]
        unit, own = self.units.of[cell], self.classes[cell]
        crop, locked = (second, first) if self.locked else (first, second)
        answers = (self._answer_before(before, second), crop.predicted, locked.predicted)
        add(sums.n, unit, 0, weight)
        for column, answer in enumerate(answers):
            add(sums.right, unit, column, weight * (answer == own))

    def _tested(self, answers: Answers, protocol: Protocol) -> Answers:
        """Choose the cells that are in accuracies."""
        chosen = self.units.of[answers.cell] >= 0
        if protocol is Protocol.OWN and self.answerable is not None:
            # Cells that are not tested may be of no class, −1.
            chosen &= self.answerable[self.classes[answers.cell]]
        return answers.cells(chosen)

    def _by_cell(self, answers: Answers) -> CellAnswers:
        """Average answers by cell."""
        cell = answers.cell
        return CellAnswers(cell, answers.mean(), answers.share(), self.protein[cell])

    def _answer_before(self, before: Answers, after: Answers) -> NDArray[np.int64]:
        """Return for each trial of `after` the answer to its cell's unaltered crop, shape (T,)."""
        place = self._places(before.cell, after.cell)
        return before.predicted[before.starts][place][after.position]

    def _places(self, among: NDArray[np.int64], cell: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of cells in a list; both are ordered by protein, then by cell."""
        n = len(self.protein)
        one, two = (self.protein[some].astype(np.int64) * n + some for some in (among, cell))
        return _places(one, two, "cell")


def _places(among: NDArray[np.int64], wanted: NDArray[np.int64], what: str) -> NDArray[np.int64]:
    """Return the places of numbers in an ascending list.

    Parameters
    ----------
    among, wanted
        The list, and the numbers to find in it.
    what
        What they are numbers of, for the error.

    Raises
    ------
    InputError
        A number is not in the list.
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
