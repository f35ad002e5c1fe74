"""What donors add to variances, against loops over pairs of answers and known variances."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.statistics.bootstrap import Resampling, interval
from compute.statistics.donors import (
    DonorPart,
    DonorSums,
    make_donor_units,
    pair_influence,
    side_by_side,
)
from compute.statistics.effects import sign_flip_test
from compute.statistics.equivalence import equivalence_test
from compute.statistics.resampling_units import means

K = 3
CLASSES = np.repeat(np.arange(K), 4)
"""Class of each of twelve donor units; centre units have the same."""


@dataclass
class Answers:
    """Answers of random centre units on random donors."""

    unit: np.ndarray
    donor: np.ndarray
    weight: np.ndarray
    values: np.ndarray
    other: np.ndarray

    @property
    def own(self):
        return CLASSES[self.unit]


def draw(seed, n=90, values=2):
    rng = np.random.default_rng(seed)
    unit = rng.integers(0, len(CLASSES), n).astype(np.int32)
    donor = rng.integers(0, len(CLASSES), n).astype(np.int32)
    other = (CLASSES[unit] + rng.integers(1, K, n)) % K
    return Answers(unit, donor, rng.choice([0.25, 0.5, 1], n), rng.random((n, values)) < 0.6, other)


def stretched(weights):
    """By what deviations from a weighted mean over donor units are stretched."""
    share = np.array(weights) / np.sum(weights)
    left = 1 - (share**2).sum()
    return 1 / np.sqrt(left) if left > 1e-9 else 0.0


def influences(answers, index, contrast, strata, sizes):
    """Each answer's part in an estimate: its deviation from its stratum's mean, over its size."""
    combined = answers.values @ contrast
    part = np.zeros(len(combined))
    for i, stratum in enumerate(strata):
        alike = [j for j, each in enumerate(strata) if each == stratum]
        weight = answers.weight[alike]
        mean = (weight * combined[alike]).sum() / weight.sum()
        by_donor = [
            sum(answers.weight[j] for j in alike if answers.donor[j] == g)
            for g in {answers.donor[j] for j in alike}
        ]
        off = answers.weight[i] * (combined[i] - mean) * stretched(by_donor)
        part[i] = off * sizes(i, index)
    return part


def naive_component(answers, part):
    """Products of the parts of all pairs of answers that share the donor, not the centre unit."""
    total = 0.0
    for i in range(len(part)):
        for j in range(len(part)):
            if answers.donor[i] == answers.donor[j] and answers.unit[i] != answers.unit[j]:
                total += part[i] * part[j]
    return total


def clustered_two_ways(answers, part):
    """Cameron, Gelbach and Miller's sum less what clustering by the centre unit alone gives."""

    def sums(keys):
        return sum(part[[key == one for key in keys]].sum() ** 2 for one in set(keys))

    both = list(zip(answers.unit.tolist(), answers.donor.tolist(), strict=True))
    return sums(answers.donor.tolist()) - sums(both)


@given(st.integers(0, 2**32), st.integers(0, K))
def test_the_multiclass_part_equals_a_loop_over_pairs_of_answers(seed, index):
    answers, contrast = draw(seed), np.array([1.0, -1.0])
    sums = DonorSums.empty(CLASSES, K, 2)
    for block in (answers.unit < 5, answers.unit >= 5):  # whole centre units at a time
        sums.add(
            answers.unit[block], answers.own[block], answers.donor[block], answers.weight[block],
            answers.values[block],
        )  # fmt: skip
    cells = np.bincount(answers.own, answers.weight, K)
    tested = (cells > 0).sum()

    def sizes(i, index):
        own = answers.own[i]
        if index == 0:
            return 1 / cells[own] / tested
        return (own == index - 1) / cells[own]

    strata = list(zip(answers.own.tolist(), CLASSES[answers.donor].tolist(), strict=True))
    part = influences(answers, index, contrast, strata, sizes)
    naive = naive_component(answers, part)
    assert clustered_two_ways(answers, part) == pytest.approx(naive, abs=1e-12)
    found = sums.influence().component(contrast, index)
    assert found.variance == pytest.approx(max(naive, 0), abs=1e-12)


@given(st.integers(0, 2**32), st.integers(0, K))
def test_the_part_of_pair_tests_equals_a_loop_over_pairs_of_answers(seed, index):
    answers, contrast = draw(seed), np.array([0.5, 1.0])
    answers.weight[:] = 1
    asked = np.zeros((K, K))
    np.add.at(asked, (answers.own, answers.other), 1)
    found = None
    for behind in range(K):  # as the probe stage does, by the donor's class
        here = CLASSES[answers.donor] == behind
        more = pair_influence(
            asked, answers.own[here], answers.other[here], answers.unit[here],
            answers.donor[here], answers.values[here], CLASSES,
        )  # fmt: skip
        if found is None:
            found = more
        else:
            found.moved[:] += more.moved
            found.within[:] += more.within
    both = {(a, b) for a in range(K) for b in range(K) if asked[a, b] > 0 < asked[b, a]}

    def sizes(i, index):
        own, other = answers.own[i], answers.other[i]
        if (own, other) not in both:
            return 0.0
        answered = asked[own, other] + asked[other, own]
        if index == 0:
            return 1 / answered / (len(both) / 2)
        if index - 1 not in (own, other):
            return 0.0
        return 1 / answered / sum(a == index - 1 for a, _ in both)

    strata = list(
        zip(
            answers.own.tolist(), answers.other.tolist(), CLASSES[answers.donor].tolist(),
            strict=True,
        )
    )  # fmt: skip
    part = influences(answers, index, contrast, strata, sizes)
    naive = naive_component(answers, part)
    part_found = found.component(contrast, index)
    assert part_found.variance == pytest.approx(max(naive, 0), abs=1e-12)


def influence(unit, donor, values):
    sums = DonorSums.empty(CLASSES, K, values.shape[1])
    sums.add(unit, CLASSES[unit], donor, np.ones(len(unit)), values)
    return sums.influence()


@given(st.integers(0, 2**32))
def test_donors_of_one_centre_unit_each_add_nothing(seed):
    rng = np.random.default_rng(seed)
    unit = rng.integers(0, len(CLASSES), 60).astype(np.int32)
    found = influence(unit, unit, rng.random((60, 1)) < 0.5)
    for index in range(1 + K):
        assert found.component(np.ones(1), index) == DonorPart()


@given(st.integers(0, 2**32), st.floats(-3, 3))
def test_the_part_grows_with_the_square_of_the_contrast(seed, factor):
    answers = draw(seed)
    found = influence(answers.unit, answers.donor, answers.values)
    contrast = np.array([1.0, -0.5])
    once, scaled = (found.component(c, 0) for c in (contrast, factor * contrast))
    assert scaled.variance == pytest.approx(factor**2 * once.variance, abs=1e-12)


def test_conditions_side_by_side_keep_their_parts_and_share_donors():
    first, second = draw(1, values=1), draw(2, values=1)
    one, two = (influence(a.unit, a.donor, a.values) for a in (first, second))
    both = side_by_side([None, one, two], K)
    for found, place in ((one, 1), (two, 2)):
        part = both.component(np.eye(3)[place], 0)
        assert part.variance == pytest.approx(found.component(np.ones(1), 0).variance)
    gap = both.component(np.array([0.0, 1, -1]), 0).variance
    moved = one.moved[:, 0, 0] - two.moved[:, 0, 0]
    within = one.within[0, 0, 0] + two.within[0, 0, 0]
    assert gap == pytest.approx(max(moved @ moved - within, 0))
    assert both.component(np.array([1.0, 0, 0]), 0) == DonorPart()
    assert side_by_side([None, None], K) is None


def test_with_the_donors_part_the_variance_is_right():
    """Effects of centre proteins and donor proteins, known, on folds of two proteins a class."""
    rng, fold, per = np.random.default_rng(3), np.arange(4) // 2, 12
    near = fold[np.arange(12) % 4][:, None] == fold[np.arange(12) % 4]
    unit, donor = (
        np.repeat(side, per).astype(np.int32)
        for side in np.nonzero(near & (CLASSES[:, None] != CLASSES))
    )
    estimates, alone, together = [], [], []
    cells = np.bincount(unit).astype(float)
    resampling = Resampling(CLASSES, K, 200, 0)
    for _ in range(400):
        centre, behind = rng.standard_normal((2, len(CLASSES)))
        values = centre[unit] + behind[donor] + rng.standard_normal(len(unit))
        found = means(np.bincount(unit, values)[:, None], cells, resampling)
        estimates.append(found.point[0, 0])
        alone.append(found.draws[:, 0, 0].var())
        part = influence(unit, donor, values[:, None]).component(np.ones(1), 0)
        together.append(alone[-1] + part.variance)
    true = np.var(estimates)
    assert np.mean(alone) < 0.8 * true
    assert np.mean(together) == pytest.approx(true, rel=0.12)


def test_degrees_of_freedom_lie_between_those_of_the_parts():
    draws = np.array([-1.0, 1.0])
    assert DonorPart().freedom_with(7.0, draws) == 7
    assert DonorPart(1.0, 5.0).freedom_with(5.0, draws) == pytest.approx(10)
    assert DonorPart(1e6, 5.0).freedom_with(70.0, draws) == pytest.approx(5, rel=1e-5)
    assert DonorPart(1.0, 5.0).freedom_with(0.0, draws) == 0


def test_an_added_variance_widens_intervals_and_weakens_tests():
    draws = np.array([-1.0, 1.0])
    low, high = interval(0.0, draws, 1e9, added=3.0)
    assert (low, high) == pytest.approx((-2 * 1.959964, 2 * 1.959964), rel=1e-5)
    plain, wide = (equivalence_test(0.0, draws * 0.01, 50, 0.05, 100, v) for v in (0.0, 0.001))
    assert plain < 0.001 < wide
    parts = np.full(12, 0.1)
    assert sign_flip_test(parts, 999, 0) < 0.01 < sign_flip_test(parts, 999, 0, stretch=2.0)


def test_donor_units_are_proteins_or_cells_for_cells_and_windows():
    classes = np.array([0, 0, 1, -1]), np.array([1, -1, 1])
    proteins = np.array([0, 0, 1, 1], np.int32), np.array([1, 1, 2], np.int32)
    units = make_donor_units(classes, proteins, True, 2)
    assert units.of_cell.tolist() == [0, 0, 1, -1]
    assert units.of_window.tolist() == [1, -1, 2], "windows of a protein and class join its cells"
    assert units.classes.tolist() == [0, 1, 1]
    assert units.of("window", np.array([2, -1])).tolist() == [2, -1]
    assert units.of("cell", np.array([0, 3])).tolist() == [0, -1]
    single = make_donor_units(classes, proteins, False, 2)
    known = [*single.of_cell[:3], *single.of_window[[0, 2]]]
    assert len(set(known)) == 5
