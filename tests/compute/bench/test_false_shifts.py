"""Shifts of refitted probes and variation, where it is known that nothing shifts or varies."""

import numpy as np
import pytest

from compute.bench import false_shifts
from compute.bench.judging import SimulationConfig
from compute.bench.simulated_probes import ProbesConfig, draw_answers
from compute.errors import UsageError

SMALL = ProbesConfig(classes=3, proteins=4, mixed=3, cells=5, features=4)


def test_the_same_numbers_give_the_same_answers():
    one, two = (draw_answers(SMALL, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.refit, two.refit)
    assert np.array_equal(one.moves, two.moves)
    other = draw_answers(SMALL, np.random.default_rng(4))
    assert not np.array_equal(one.refit, other.refit)


def test_answers_are_probabilities_and_only_mixed_proteins_shift():
    found = draw_answers(ProbesConfig(**{**vars(SMALL), "shifted": 0.7}), np.random.default_rng(0))
    for p in (found.before, found.refit, found.frozen, found.calibrated):
        assert np.allclose(p.sum(1), 1, atol=1e-5)
    assert found.mixed.sum() == 3
    assert found.shifted.sum() == 2
    assert found.mixed[found.shifted].all()
    assert found.moves.shape == (15, 24, 3)
    rows = found.cells(4)
    assert (found.protein[rows] == 4).all()
    assert rows.stop - rows.start == 5


def test_what_is_out_of_range_is_refused():
    with pytest.raises(UsageError, match="proteins is 3"):
        ProbesConfig(proteins=3)
    with pytest.raises(UsageError, match="between 0 and 1"):
        ProbesConfig(shifted=2)


@pytest.mark.long
def test_the_level_is_held_with_the_probes_uncertainty_and_not_without_it():
    found = {}
    for each in false_shifts.refits(SimulationConfig(data_sets=8)):
        found[each.estimator, each.setting, each.counted] = each.share
    for (estimator, setting, counted), share in found.items():
        if "p ≤" in counted:
            ignored = "ignored" in setting
            assert (share > 0.065) if ignored else (share < 0.085), (estimator, setting, share)
    assert len(found) == 22


@pytest.mark.long
def test_proteins_of_one_class_are_seldom_called_varying_and_those_of_two_often():
    found = [*false_shifts.variation(SimulationConfig(data_sets=8))]
    assert all(each.share <= 0.05 for each in found if "one class" in each.counted)
    powers = [each.share for each in found if "mixed proteins" in each.counted]
    assert powers[0] > 0.5
    assert powers[0] > max(powers[1:]), "fewer where proteins differ more or cells lie between"
