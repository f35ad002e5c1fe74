"""Remedies judged on crops of cells that no probe of theirs has seen.

Layer: reads `trials` and `embeddings` of a run, shard by shard; writes nothing. Only answers are
kept, of the cells of pair tests. Each cell is answered by the fold that holds it out, and its
donors are of its own fold.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.probes.cells import Cells
from compute.probes.gather import shards
from compute.probes.multiclass import Multiclass
from compute.remedies.config import RemedyConfig
from compute.remedies.learned import average
from compute.schema import CONDITIONS, REMEDIES_IN_WORDS, Condition, Remedy
from compute.statistics.donors import DonorInfluence, DonorSums, side_by_side
from compute.statistics.effects import Tallies
from compute.statistics.joint_answers import Answered
from compute.statistics.resampling_units import Units, add
from compute.statistics.worst_case import add_worst, begin_worst
from compute.storage.run_directory import RunDirectory


@dataclass(frozen=True)
class Judged:
    """A remedy's answers to T trials, whole cells one after the other.

    Parameters
    ----------
    cell
        Row of each trial's cell in the store's `cells`, shape (T,).
    condition
        Name of its condition, shape (T,).
    background
        Class of its background, −1 for none, shape (T,).
    donors
        Units of the donors on whose crops the answer rests, −1 for none, shape (T, M): of one, or
        of all that were averaged over.
    right
        Whether the answer is the cell's class, shape (T,).
    """

    cell: NDArray[np.int64]
    condition: NDArray[np.str_]
    background: NDArray[np.int64]
    donors: NDArray[np.int32]
    right: NDArray[np.bool_]

    def take(self, chosen: NDArray[np.bool_]) -> "Judged":
        """Choose trials by a mask, shape (T,)."""
        return Judged(
            self.cell[chosen], self.condition[chosen], self.background[chosen],
            self.donors[chosen], self.right[chosen],
        )  # fmt: skip


@dataclass(frozen=True)
class Judge:
    """How the remedies of a model are judged.

    Parameters
    ----------
    run
        Has `trials` and `embeddings`.
    cells
        Labels and folds of the store's cells.
    conditions
        Names of the conditions that are judged.
    share
        The part of a cell's trials under a condition that are judged, the first ones: 1, or less
        where more donors were planned than the finished run has.
    config
        Says over how many backgrounds embeddings are averaged.
    seed
        The plan's seed.
    """

    run: RunDirectory
    cells: Cells
    conditions: Sequence[str]
    share: float
    config: RemedyConfig
    seed: int

    def ask(
        self, probes: Mapping[Remedy, Multiclass], model: str, others: Mapping[Remedy, str]
    ) -> dict[Remedy, Judged]:
        """Ask every remedy about all trials.

        Parameters
        ----------
        probes
            The fitted probes.
        model
            Name of the model.
        others
            Names of the same model with its map pooled elsewhere, by the remedy that does it.
        """
        found: dict[Remedy, list[Judged]] = {remedy: [] for remedy in probes}
        for trials, by_model in self._shards([model, *others.values()]):
            for remedy, probe in probes.items():
                seen = by_model[others.get(remedy, model)]
                judged = self._ask_one(remedy, probe, trials, seen)
                if judged is not None:
                    found[remedy].append(judged)
        return {remedy: _joined(parts) for remedy, parts in found.items() if parts}

    def cured(
        self, remedy: Remedy, trials: pd.DataFrame, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the cells of a shard and what a remedy makes of their crops as imaged.

        Parameters
        ----------
        remedy
            The remedy.
        trials
            Whole cells, as from `compute.probes.gather.shards`.
        vectors
            Their embeddings, by the model that the remedy reads, shape (T, D).

        Returns
        -------
        cell, features
            Ascending, shape (n,); shape (n, D). A cell of which a remedy has no crop (none lies
            behind it) is seen as it is.
        """
        rows = np.flatnonzero((trials["condition"] == str(Condition.UNALTERED)).to_numpy())
        cell = trials["cell"].to_numpy()[rows]
        order = np.argsort(cell)
        cell, features = cell[order], vectors[rows[order]]
        if REMEDIES_IN_WORDS[remedy].replaces:
            donor = trials["donor"].fillna(-1).to_numpy().astype(np.int64)
            of, made, _ = self._made(remedy, trials.assign(donor=donor), vectors)
            known = np.isin(cell, of)
            features[known] = made[np.searchsorted(of, cell[known])]
        return cell, features

    def _shards(
        self, models: Sequence[str]
    ) -> Iterator[tuple[pd.DataFrame, dict[str, NDArray[np.float32]]]]:
        """Read trials of the cells of pair tests with all models' embeddings, shard by shard."""
        every = [shards(self.run, "embeddings", model) for model in models]
        for parts in zip(*every, strict=True):
            trials = parts[0][0]
            mine = self.cells.tested[trials["cell"].to_numpy()]
            if mine.any():
                some = trials[mine].reset_index(drop=True)
                donor = some["donor"].fillna(-1).to_numpy().astype(np.int64)
                found = {name: part[1][mine] for name, part in zip(models, parts, strict=True)}
                yield some.assign(donor=donor), found

    def _ask_one(
        self,
        remedy: Remedy,
        probe: Multiclass,
        trials: pd.DataFrame,
        vectors: NDArray[np.float32],
    ) -> Judged | None:
        """Ask one remedy about the trials of a shard; None where there are none."""
        spec = REMEDIES_IN_WORDS[remedy]
        condition = trials["condition"].to_numpy().astype(str)
        cell, donor = trials["cell"].to_numpy(), trials["donor"].to_numpy()
        asked = np.isin(condition, list(self.conditions)) & self._own(trials)
        asked &= ~np.isin(condition, list(map(str, spec.unknown)))
        rows = np.flatnonzero(asked)
        rows = rows[np.argsort(cell[rows], kind="stable")]
        if len(rows) == 0:
            return None
        cell, condition = cell[rows], condition[rows]
        features, donors = vectors[rows], self._units(condition, donor[rows])[:, None]
        if spec.replaces:
            replaced = np.isin(condition, list(map(str, (Condition.UNALTERED, *spec.replaces))))
            of, made, behind = self._made(remedy, trials, vectors)
            place = np.searchsorted(of, cell)
            known = place < len(of)
            known[known] = of[place[known]] == cell[known]
            # A cell of which the remedy has no crop (none lies behind it) is seen as it is.
            kept = replaced & known
            features[kept] = made[place[kept]]
            wide = np.full((len(rows), behind.shape[1]), -1, np.int32)
            wide[:, :1] = donors
            wide[kept] = behind[place[kept]]
            donors = wide
        names = list(self.cells.names)
        predicted = probe(features, cell).argmax(1)
        background = pd.Categorical(
            trials["donor_localization"].to_numpy()[rows], categories=names
        ).codes.astype(np.int64)
        right = predicted == self.cells.classes[cell]
        return Judged(cell, condition, background, donors, right)

    def _own(self, trials: pd.DataFrame) -> NDArray[np.bool_]:
        """Tell which of some cells' trials the finished run has too, shape (T,)."""
        many = trials.groupby(["cell", "condition"])["repeat"].transform("size").to_numpy()
        swapped = [str(c) for c, spec in CONDITIONS.items() if spec.donors != "none"]
        first = trials["repeat"].to_numpy() < np.round(many * self.share)
        return np.asarray(first | ~trials["condition"].isin(swapped).to_numpy())

    def _units(self, condition: NDArray[np.str_], donor: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the unit of each trial's donor, −1 for none."""
        found = np.full(len(donor), -1, np.int32)
        for name in np.unique(condition):
            kind = CONDITIONS[Condition(name)].donors
            if kind != "none":
                here = condition == name
                found[here] = self.cells.donor_units.of(kind, donor[here])
        return found

    def _made(
        self, remedy: Remedy, trials: pd.DataFrame, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int32]]:
        """Return cells, what the remedy makes of their crops, and whose backgrounds that shows.

        Returns
        -------
        cell, features, donors
            Ascending, shape (n,); shape (n, D); donor units, −1 for none, shape (n, M).
        """
        if remedy is Remedy.AVERAGED:
            means = average(trials, vectors, self.cells.names, self.config.backgrounds, self.seed)
            return means.cell, means.features, self.cells.donor_units.of("cell", means.donors)
        alone = (trials["condition"] == str(Condition.ALONE)).to_numpy()
        cell = trials["cell"].to_numpy()[alone]
        order = np.argsort(cell)
        return cell[order], vectors[alone][order], np.full((len(cell), 1), -1, np.int32)


def answered(judged: Judged, cells: Cells, conditions: Sequence[str]) -> Answered:
    """Sum a remedy's answers by resampling unit and by donor.

    Parameters
    ----------
    judged
        The answers.
    cells
        Labels and resampling units of the store's cells.
    conditions
        Names of the conditions, in the order that is wanted.

    Returns
    -------
    Answered
        Under the conditions that have answers; every cell counts once under each.
    """
    tested = [name for name in conditions if (judged.condition == name).any()]
    units = cells.units
    right, n = np.zeros((2, len(tested), units.count, 1))
    influences: list[DonorInfluence | None] = []
    for m, name in enumerate(tested):
        here = judged.take(judged.condition == name)
        _, position, many = np.unique(here.cell, return_inverse=True, return_counts=True)
        weight, unit = 1 / many[position], units.of[here.cell]
        add(right[m], unit, 0, weight * here.right)
        add(n[m], unit, 0, weight)
        influences.append(_donors(here, cells, weight))
    known = (n > 0).any((0, 2))
    tallies = Tallies(
        right[:, known], n[:, known], units.classes[known],
        n[:, known, 0].round().astype(np.int64), units.protein[known],
    )  # fmt: skip
    return Answered(tallies, tested, side_by_side(influences, len(cells.names)))


def made_alike(found: Answered, conditions: Sequence[str]) -> Answered:
    """Say that answers under some conditions are one and the same, so are what donors do to them.

    Parameters
    ----------
    found
        Answers under all conditions, of a remedy that shows the network the same crop under some.
    conditions
        Names of these, the first of which stands for all.
    """
    if found.donors is None:
        return found
    first = found.tested.index(conditions[0])
    columns = [first if c in conditions else m for m, c in enumerate(found.tested)]
    return replace(found, donors=found.donors.columns(columns))


def worst(judged: Judged, cells: Cells) -> NDArray[np.float64]:
    """Sum, by resampling unit, which cells are right on every class's background.

    Returns
    -------
    ndarray
        As of `compute.statistics.worst_case.begin_worst`.
    """
    units: Units = cells.units
    sums = begin_worst(units.count)
    here = judged.take(judged.condition == str(Condition.DIFFERENT))
    starts = np.flatnonzero(np.diff(here.cell, prepend=-1))
    add_worst(sums, units.of[here.cell[starts]], starts, here.background, here.right)
    return sums


def _donors(judged: Judged, cells: Cells, weight: NDArray[np.float64]) -> DonorInfluence | None:
    """Return how donors move the accuracy under one condition; None without donors.

    An answer that rests on several donors belongs to each of them: answers that have one in common
    are not independent, however small its part. So it is given to all of them, whole.
    """
    donors = np.sort(judged.donors, axis=1)
    known = donors >= 0
    if not known.any():
        return None
    known[:, 1:] &= donors[:, 1:] != donors[:, :-1]
    row, place = np.nonzero(known)
    own = cells.classes[judged.cell]
    sums = DonorSums.empty(cells.donor_units.classes, len(cells.names), 1)
    sums.add(
        cells.units.of[judged.cell][row], own[row], donors[row, place], weight[row],
        judged.right[row, None].astype(float),
    )  # fmt: skip
    found = sums.influence()
    times = len(row) / known.any(1).sum()
    sketch = None if found.sketch is None else found.sketch * times
    return replace(found, moved=found.moved * times, within=found.within * times**2, sketch=sketch)


def _joined(parts: Sequence[Judged]) -> Judged:
    """Join answers of several shards."""
    return Judged(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("cell", "condition", "background", "donors", "right")
        )
    )
