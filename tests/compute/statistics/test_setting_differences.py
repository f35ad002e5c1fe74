"""Differences between settings are those of the accuracies themselves, draw by draw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.statistics.bootstrap import Resampling, freedom, resample
from compute.statistics.donors import DonorSums, side_by_side
from compute.statistics.effects import Tallies, accuracies
from compute.statistics.setting_differences import difference_rows, differences
from tests.compute.statistics.test_effects import tallies

CONDITIONS = ["unaltered", "same", "different", "masked"]
NAMES = [*"abcde"]


def two(seed, probe, **options):
    """Answers of the same tests under two settings."""
    before = tallies(seed, probe, conditions=4, **options)
    rng = np.random.default_rng(seed + 1)
    moved = np.clip(before.correct + rng.integers(-2, 3, before.n.shape), 0, before.n)
    return before, Tallies(
        moved, *(getattr(before, n) for n in ("n", "classes", "n_cells", "protein"))
    )


def naive(before, after, weights):
    """Each quantity from the two settings' own accuracies, in tests that both conditions have."""
    found = {}
    for quantity, name, first, second in (
        *(("accuracy", name, m, None) for m, name in enumerate(CONDITIONS)),
        *(("drop", name, 0, m) for m, name in enumerate(CONDITIONS) if m),
        ("gap", "different", 1, 2),
    ):
        total = 0.0
        for sign, t in ((1, after), (-1, before)):
            both = np.ones(t.n.shape[1:], bool)
            if second is not None:
                both = (t.n[first] > 0) & (t.n[second] > 0)
            kept = Tallies(
                np.where(both, t.correct, 0),
                np.where(both, t.n, 0),
                t.classes,
                t.n_cells,
                t.protein,
            )
            overall = accuracies(kept, weights, len(NAMES)).overall
            value = overall[:, first] - (0 if second is None else overall[:, second])
            total = total + sign * value
        found[quantity, name] = total
    return found


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from(["pair", "multiclass"]), st.booleans())
def test_differences_and_their_draws_are_those_of_the_two_settings(seed, probe, gaps):
    before, after = two(seed, probe, gaps=gaps)
    made = differences(before, after)
    rows = list(difference_rows(made, CONDITIONS, NAMES, Resampling(before.classes, 5, 60, 1)))
    one = naive(before, after, np.ones((1, len(before.classes))))
    draws = naive(before, after, resample(before.classes, 60, 1))
    assert [(r["quantity"], r["condition"]) for r in rows] == list(one)
    for row in rows:
        key = row["quantity"], row["condition"]
        assert row["difference"] == pytest.approx(one[key][0], abs=1e-12)
        low, high = row["difference_low"], row["difference_high"]
        if np.isnan(low) and np.isnan(high):
            continue  # Too few units for an interval.
        assert (low + high) / 2 == pytest.approx(row["difference"], abs=1e-9)
        sd = np.nanstd(draws[key])
        # Student's t of 1 degree of freedom at most, of infinitely many at least.
        assert 1.9599 * sd - 1e-9 <= (high - low) / 2 <= 12.71 * sd + 1e-9
    assert freedom(before.classes) >= 1


def test_a_setting_against_itself_differs_by_nothing():
    before, _ = two(0, "pair")
    rows = difference_rows(
        differences(before, before), CONDITIONS, NAMES, Resampling(before.classes, 5, 50, 1)
    )
    for row in rows:
        assert row["difference"] == row["difference_low"] == row["difference_high"] == 0


def test_other_tests_cannot_be_compared():
    before, after = two(0, "pair")
    more = Tallies(after.correct, after.n + 1, after.classes, after.n_cells, after.protein)
    assert differences(before, more) is None
    fewer = Tallies(
        after.correct[:, 1:], after.n[:, 1:], after.classes[1:], after.n_cells[:, 1:],
        after.protein[1:],
    )  # fmt: skip
    assert differences(before, fewer) is None


def test_what_donors_do_is_left_out_where_it_is_not_known():
    made = differences(*two(0, "pair"))
    rows = difference_rows(
        made, CONDITIONS, NAMES, Resampling(made.classes, 5, 50, 1), unknown=["same", "different"]
    )
    missing = {(r["quantity"], r["condition"]) for r in rows if np.isnan(r["difference_low"])}
    assert missing == {
        ("accuracy", "same"), ("accuracy", "different"), ("drop", "same"), ("drop", "different"),
        ("gap", "different"),
    }  # fmt: skip


def test_a_donor_that_changes_answers_widens_the_interval():
    """Every cell stands on each of four donors; under one setting one of them spoils answers."""
    units, donors = 12, 4
    classes = np.repeat([0, 1], units // 2)
    unit, donor = map(np.ravel, np.meshgrid(np.arange(units), np.arange(donors), indexing="ij"))
    values = -(donor == 0).astype(float)
    sums = DonorSums.empty(np.full(donors, 2), 3, 1)
    weight = np.full(len(unit), 1 / donors)
    sums.add(unit.astype(np.int32), classes[unit], donor.astype(np.int32), weight, values[:, None])
    changed = np.bincount(unit, values * weight)
    correct = np.stack([np.zeros(units), changed])[..., None]
    cells = np.ones((2, units), int)
    made = Tallies(correct, np.ones((2, units, 1)), classes, cells, np.arange(units).astype(str))
    behind = side_by_side([None, sums.influence()], 3)
    draws = Resampling(classes, 3, 100, 0)
    wide, narrow = (
        {
            r["quantity"]: r
            for r in difference_rows(made, ["unaltered", "different"], ["a", "b", "c"], draws, d)
        }
        for d in (behind, None)
    )
    assert narrow["drop"]["difference"] == wide["drop"]["difference"] == pytest.approx(1 / donors)
    assert narrow["drop"]["difference_high"] == pytest.approx(1 / donors)
    assert wide["drop"]["difference_high"] > 1 / donors + 0.1
