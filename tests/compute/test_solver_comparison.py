"""The comparison of solvers: what it counts, and that it compares what they gave."""

import numpy as np
import pytest
from test_probes import CLASSES, PAIRS, dealt, noisy, once

from compute import probes
from compute.solver_comparison import compare_solvers

EVERY = {pair: [-1] for pair in PAIRS}


def test_every_solver_has_a_row_with_its_fits_times_and_differences():
    table = compare_solvers(once(noisy(1, 0.4)), PAIRS, EVERY, dealt(), repeats=2)
    assert table["solver"].tolist() == ["shared", "reference"]
    assert set(table["fits"]) == {5 * len(PAIRS)}
    reference = table.iloc[1]
    assert reference["ratio"] == reference["cpu_ratio"] == 1
    assert reference["mean_abs_difference"] == reference["worst"] == 0
    assert (table[["seconds", "cpu_seconds"]] > 0).all().all()
    assert table.loc[0, "ratio"] == pytest.approx(reference["seconds"] / table.loc[0, "seconds"])
    assert table.loc[0, "mean_abs_difference"] <= 0.005
    assert table["unsolved"].tolist() == [0, 0]


def test_a_wrong_solver_shows(monkeypatch):
    real = probes.fit_folds

    def turned(*args):
        found = real(*args)
        return type(found)(-found.weight, -found.bias, found.gap)

    monkeypatch.setattr(probes, "fit_folds", turned)
    table = compare_solvers(once(noisy(1, 2.0)), PAIRS, EVERY, dealt())
    assert table.loc[0, "mean_abs_difference"] > 0.5
    assert len(np.unique(CLASSES)) == 4


def test_no_repeats_are_refused():
    with pytest.raises(ValueError, match="repeats is 0"):
        compare_solvers(once(noisy(1)), PAIRS, EVERY, dealt(), repeats=0)
