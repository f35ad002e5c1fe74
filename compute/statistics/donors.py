"""What donors add to the variance of accuracies: the second way of a two-way clustering.

Pure arrays, no files. Centre cells share donors: if a donor makes answers wrong, it does so for
cells of several proteins, which the bootstrap takes for independent. So answers are clustered twice
(Cameron, Gelbach and Miller 2011, doi:10.1198/jbes.2010.07136), by the resampling unit of the
centre cell and by that of the donor. The bootstrap gives the first part. The second is the sum of
squared influences of donor units, less the part that is in the first already: the sum of squared
influences of the answers that centre unit and donor unit have in common.

Answers are compared with the mean of their stratum, which is the centre cell's class, in pair tests
the class that it is told from, and the donor's class: classes are not drawn, so their means are no
chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.statistics.bootstrap import effective_freedom, spread
from compute.statistics.resampling_units import make_units
from compute.statistics.sketch import BUCKETS, add_to_sketch, buckets_each

_ROUNDING = 1e-9
"""Variances up to this share of their terms count as 0."""


@dataclass(frozen=True)
class DonorUnits:
    """The donor unit of every cell and window: a protein's donors of one class, or single donors.

    Parameters
    ----------
    of_cell, of_window
        Number of the unit of each cell and window of the store as a donor, −1 for those without a
        class, shapes (N,) and (W,).
    classes
        Class of each unit, shape (G,).
    """

    of_cell: NDArray[np.int32]
    of_window: NDArray[np.int32]
    classes: NDArray[np.int64]

    def of(self, donors: str, number: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the units of donors by their numbers, −1 for no donor; shape of `number`.

        Parameters
        ----------
        donors
            What the numbers are of: ``"cell"`` or ``"window"``, as in `compute.schema.CONDITIONS`.
        number
            Number of each donor, below 0 for none.
        """
        every = np.append(self.of_window if donors == "window" else self.of_cell, -1)
        return np.asarray(every[np.where(number < 0, len(every) - 1, number)], np.int32)


def make_donor_units(
    classes: tuple[NDArray[np.int64], NDArray[np.int64]],
    protein: tuple[NDArray[np.int32], NDArray[np.int32]],
    by_protein: bool,
    n_classes: int,
) -> DonorUnits:
    """Group donors into units, by the rule of `make_units` for centre cells.

    Parameters
    ----------
    classes
        Class of each cell and of each window, −1 for none.
    protein
        Number of the protein of each cell and of each window.
    by_protein
        Whether the donors of a protein are one unit, else single donors are.
    n_classes
        Number of classes in the store.

    Examples
    --------
    >>> import numpy as np
    >>> cells, windows = np.array([0, 0, 1, -1]), np.array([1])
    >>> proteins = np.array([0, 0, 1, 1], np.int32), np.array([1], np.int32)
    >>> units = make_donor_units((cells, windows), proteins, by_protein=True, n_classes=2)
    >>> units.of_cell, units.of_window
    (array([ 0,  0,  1, -1], dtype=int32), array([1], dtype=int32))
    """
    every = np.arange(n_classes)
    units = make_units(
        np.concatenate(classes), np.concatenate(protein), every, by_protein, n_classes
    )
    of_cell, of_window = np.split(units.of, [len(classes[0])])
    return DonorUnits(of_cell, of_window, units.classes)


@dataclass(frozen=True)
class DonorPart:
    """The part of an estimate's variance that donors add.

    Parameters
    ----------
    variance
        What is added, at least 0.
    freedom
        Its degrees of freedom.
    """

    variance: float = 0.0
    freedom: float = np.inf

    def freedom_with(self, centre: float, draws: NDArray[np.float64]) -> float:
        """Return the degrees of freedom of both parts together (Satterthwaite 1946).

        Parameters
        ----------
        centre
            Degrees of freedom of the spread over the resampling units of centre cells.
        draws
            The estimate of each bootstrap draw, shape (draws,).
        """
        first = spread(draws) ** 2
        if self.variance == 0 or not np.isfinite(first) or centre <= 0:
            return centre
        both = first + self.variance
        return float(both**2 / (first**2 / centre + self.variance**2 / self.freedom))


@dataclass(frozen=True)
class DonorInfluence:
    """How G donor units move V estimates, overall and by class (K of them).

    Parameters
    ----------
    moved
        Influence of each donor unit on each estimate, overall and then by class of the centre cell,
        shape (G, 1 + K, V).
    within
        Products of the influences of the answers that a centre unit and a donor unit have in
        common, summed over such pairs of units, shape (1 + K, V, V).
    classes
        Class of each donor unit, shape (G,).
    numbers
        Number of each donor unit, by which those of two models are the same, shape (G,); by default
        0 to G − 1.
    sketch
        Sketch (`compute.statistics.sketch`) of the influence on the overall estimates of the
        answers that a centre unit and a donor unit have in common, shape (buckets, V). None, as by
        default, where no models are compared.
    """

    moved: NDArray[np.float64]
    within: NDArray[np.float64]
    classes: NDArray[np.int64]
    numbers: NDArray[np.int64] | None = None
    sketch: NDArray[np.float64] | None = None

    def columns(self, chosen: Sequence[int]) -> "DonorInfluence":
        """Choose estimates."""
        pick = list(chosen)
        sketch = None if self.sketch is None else self.sketch[:, pick]
        return DonorInfluence(
            self.moved[..., pick], self.within[:, pick][..., pick], self.classes, self.numbers,
            sketch,
        )  # fmt: skip

    def component(self, contrast: NDArray[np.float64], index: int) -> DonorPart:
        """Return what donors add to the variance of a sum of the estimates.

        Parameters
        ----------
        contrast
            Weight of each estimate in the sum, shape (V,): for a gap 1 and −1.
        index
            0 overall, else 1 + the class.
        """
        moved = self.moved[:, index] @ contrast
        return donor_part_of(moved, float(contrast @ self.within[index] @ contrast), self.classes)


def donor_part_of(
    moved: NDArray[np.float64], within: float, classes: NDArray[np.int64]
) -> DonorPart:
    """Return what donor units add to a variance.

    Parameters
    ----------
    moved
        Influence of each donor unit, shape (G,).
    within
        Sum of squared influences of the answers that centre unit and donor unit have in common,
        which the variance has already.
    classes
        Class of each donor unit, shape (G,).
    """
    variance = float(moved @ moved) - within
    if variance <= _ROUNDING * float(moved @ moved):
        return DonorPart()
    return DonorPart(variance, max(effective_freedom(moved, classes), 1.0))


def side_by_side(found: Sequence[DonorInfluence | None], n_classes: int) -> DonorInfluence | None:
    """Join the influences on estimates of several conditions, which share no trials.

    No centre unit and donor unit have answers in common under two conditions that are compared, as
    under one the donors are of the cell's class, under the other of another.

    Parameters
    ----------
    found
        Of each condition; None for a condition without donors, which gets a column of zeros.
    n_classes
        Number of classes in the store, K.

    Returns
    -------
    DonorInfluence or None
        None if none of the conditions has donors.
    """
    there = [each for each in found if each is not None]
    if not there:
        return None
    classes = there[0].classes
    width = [1 if each is None else each.moved.shape[2] for each in found]
    moved = np.zeros((len(classes), 1 + n_classes, sum(width)))
    within = np.zeros((1 + n_classes, sum(width), sum(width)))
    sketched = [each.sketch for each in there if each.sketch is not None]
    whole = len(sketched) == len(there)
    sketch = np.zeros((len(sketched[0]), sum(width))) if whole else None
    for each, stop, size in zip(found, np.cumsum(width), width, strict=True):
        if each is not None:
            place = slice(stop - size, stop)
            moved[..., place], within[:, place, place] = each.moved, each.within
            if sketch is not None and each.sketch is not None:
                sketch[:, place] = each.sketch
    used = np.flatnonzero(moved.any((1, 2)))
    numbers = used if there[0].numbers is None else there[0].numbers[used]
    return DonorInfluence(moved[used], within, classes[used], numbers, sketch)


@dataclass
class DonorSums:
    """Sums of the multi-class probe's answers under one condition, by G donor units.

    Parameters
    ----------
    total
        Sums of V values and, last, of weights, by class of the centre cell, shape (G, K, V + 1).
    within
        Their products, summed over pairs of a centre unit and a donor unit, by class of the centre
        cell and of the donor, shape (K, K, V + 1, V + 1).
    classes
        Class of each donor unit, shape (G,).
    sketch
        Sketches of the sums of each pair of a centre unit and a donor unit, by class of the centre
        cell and of the donor, shape (K × K, buckets, V + 1).
    """

    total: NDArray[np.float64]
    within: NDArray[np.float64]
    classes: NDArray[np.int64]
    sketch: NDArray[np.float64]

    @classmethod
    def empty(cls, classes: NDArray[np.int64], n_classes: int, values: int) -> "DonorSums":
        """Begin sums of a number of values."""
        wide = values + 1
        return cls(
            np.zeros((len(classes), n_classes, wide)),
            np.zeros((n_classes, n_classes, wide, wide)),
            classes,
            np.zeros((n_classes**2, buckets_each(n_classes**2), wide)),
        )

    def add(
        self,
        unit: NDArray[np.int32],
        own: NDArray[np.int64],
        donor: NDArray[np.int32],
        weight: NDArray[np.float64],
        values: NDArray[np.float64],
    ) -> None:
        """Add the trials of some centre units: all that they have.

        Parameters
        ----------
        unit, own
            Resampling unit and class of each trial's cell, shape (T,).
        donor
            Donor unit of each trial, shape (T,); trials with −1 are left out.
        weight
            Weight of each trial in the mean over cells, shape (T,).
        values
            What is averaged, such as whether the answer is right, shape (T, V).
        """
        known = donor >= 0
        if not known.any():
            return
        unit, own, donor, weight = unit[known], own[known], donor[known], weight[known]
        columns = np.append(values[known], np.ones((len(unit), 1)), axis=1) * weight[:, None]
        both = unit.astype(np.int64) * len(self.classes) + donor
        _, first, pair = np.unique(both, return_index=True, return_inverse=True)
        sums = np.stack([np.bincount(pair, column) for column in columns.T], 1)
        centre, behind = own[first], donor[first]
        np.add.at(self.total, (behind, centre), sums)
        stratum = centre * self.total.shape[1] + self.classes[behind]
        add_to_sketch(self.sketch, stratum, (unit[first], behind), sums)
        for a, k in np.unique(np.stack([centre, self.classes[behind]]), axis=1).T:
            here = (centre == a) & (self.classes[behind] == k)
            self.within[a, k] += sums[here].T @ sums[here]

    def influence(self) -> DonorInfluence:
        """Return how donor units move the means over cells, which are averaged over classes."""
        (g, k), v = self.total.shape[:2], self.total.shape[2] - 1
        moved, within = np.zeros((g, 1 + k, v)), np.zeros((1 + k, v, v))
        sketch = np.zeros((k, k, self.sketch.shape[1], v))
        signed = self.sketch.reshape(k, k, -1, v + 1)
        cells = self.total[..., v].sum(0)
        tested = max(int((cells > 0).sum()), 1)
        for of in np.unique(self.classes):
            here = np.flatnonzero(self.classes == of)
            part = self.total[here]
            sums, weights = part.sum(0), part[..., v]
            mean = _ratio0(sums[:, :v], sums[:, v:])
            scale = _ratio0(unbiased(weights), cells)
            off = (part[..., :v] - mean * weights[..., None]) * scale[:, None]
            moved[here, 1:] = off
            moved[here, 0] = off.sum(1) / tested
            centred = np.concatenate([np.tile(np.eye(v), (k, 1, 1)), -mean[..., None]], 2)
            squares = centred @ self.within[:, of] @ centred.swapaxes(1, 2)
            squares *= scale[:, None, None] ** 2
            within[1:] += squares
            within[0] += squares.sum(0) / tested**2
            mine = signed[:, of, :, :v] - mean[:, None] * signed[:, of, :, v:]
            sketch[:, of] = mine * scale[:, None, None] / tested
        return DonorInfluence(moved, within, self.classes, None, sketch.reshape(-1, v))


def pair_influence(
    asked: NDArray[np.float64],
    own: NDArray[np.int64],
    other: NDArray[np.int64],
    unit: NDArray[np.int32],
    donor: NDArray[np.int32],
    values: NDArray[np.float64],
    classes: NDArray[np.int64],
    numbers: NDArray[np.integer[Any]] | None = None,
) -> DonorInfluence:
    """Return how donor units move accuracies in pair tests.

    The influences of answers whose donors are of different classes add up, so that they may be
    given apart.

    Parameters
    ----------
    asked
        Number of answers of cells of each class when they are told from each other one, shape
        (K, K).
    own, other
        Class of the cell of each answer, and the class it is told from, shape (n,).
    unit, donor
        Resampling unit of the cell, and donor unit, shape (n,). All answers with a donor of the
        classes that occur are there.
    values
        Whether the answer is right, in each of V readings, shape (n, V).
    classes
        Class of each donor unit, shape (G,).
    numbers
        Number of each donor unit, shape (G,), by which answers of other models find theirs; by
        default 0 to G − 1.
    """
    k, v = len(asked), values.shape[1]
    moved, within = np.zeros((len(classes), 1 + k, v)), np.zeros((1 + k, v, v))
    sketch = np.zeros((1, BUCKETS, v))
    if len(own) == 0:
        return DonorInfluence(moved, within, classes, None, sketch[0])
    tested = (asked > 0) & (asked.T > 0)
    both = np.where(tested, asked + asked.T, 0)
    tests = np.maximum(tested.sum(1), 1)
    overall = _ratio0(np.ones_like(both), both * max(tested.sum() / 2, 1))
    mine = _ratio0(np.ones_like(both), both * tests[:, None])
    theirs = _ratio0(np.ones_like(both), both * tests)

    behind, place = np.unique(donor, return_inverse=True)
    side = own * k + other
    count = np.bincount(place * k * k + side, minlength=len(behind) * k * k)
    stratum = classes[donor] * k * k + side
    size = np.bincount(stratum, minlength=k**3).astype(float)
    scale = np.zeros(k**3)
    for of in np.unique(classes[behind]):
        counts = count.reshape(-1, k, k)[classes[behind] == of]
        scale[of * k * k :][: k * k] = unbiased(counts.astype(float)).ravel()

    pairs, first, pair = np.unique(
        unit.astype(np.int64) * len(behind) + place, return_index=True, return_inverse=True
    )
    of_pair, told = own[first], np.arange(k)
    found = np.zeros((len(pairs), 1 + k, v))
    for column, value in enumerate(values.T.astype(float)):
        mean = _ratio0(np.bincount(stratum, value, k**3).astype(float), size)
        off = (value - mean[stratum]) * scale[stratum]
        found[:, 0, column] = np.bincount(pair, off * overall[own, other], len(pairs))
        found[np.arange(len(pairs)), 1 + of_pair, column] = np.bincount(
            pair, off * mine[own, other], len(pairs)
        )
        against = np.bincount(pair * k + other, off * theirs[own, other], len(pairs) * k)
        found[:, 1 + told, column] += against.reshape(-1, k)
    np.add.at(moved, donor[first], found)
    within += np.einsum("pjv,pjw->jvw", found, found, optimize=True)
    behind_each = donor[first] if numbers is None else numbers[donor[first]]
    keys = unit[first].astype(np.int64), behind_each.astype(np.int64)
    add_to_sketch(sketch, np.zeros(len(pairs), np.int64), keys, found[:, 0])
    return DonorInfluence(moved, within, classes, None, sketch[0])


def unbiased(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by what deviations from a mean over donor units are stretched, for every column.

    Of n units of equal weight it is √(n / (n − 1)); 0 for one unit alone, which cannot deviate.

    Parameters
    ----------
    weights
        Weight of each unit in each mean, shape (units, ...).
    """
    left = 1 - _ratio0((weights**2).sum(0), weights.sum(0) ** 2)
    return np.where(left > 1e-9, 1 / np.sqrt(np.maximum(left, 1e-9)), 0)


def _ratio0(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, with broadcasting; 0 where the divisor is not above 0."""
    shape = np.broadcast_shapes(over.shape, under.shape)
    return np.divide(over, under, out=np.zeros(shape), where=under > 0)
