"""The comparison of solvers: what it counts, and that it compares their own accuracies."""

import numpy as np
import pytest

from compute.bench.compare_solvers import compare_solvers
from compute.bench.pair_tests import _row
from compute.probes import solvers
from compute.probes.solvers import Fitting, Solver
from tests.compute.probes.test_pair_tests import CLASSES, PAIRS, dealt, noisy, once

EVERY = {pair: [-1] for pair in PAIRS}


def test_every_solver_has_a_row_with_its_fits_times_and_differences():
    table = compare_solvers(once(noisy(1, 0.4)), PAIRS, EVERY, dealt(), repeats=2)
    assert table["solver"].tolist() == ["shared", "reference"]
    assert set(table["fits"]) == {dealt().number * len(PAIRS)}
    reference = table.iloc[1]
    assert reference["ratio"] == reference["cpu_ratio"] == 1
    assert reference["mean_abs_difference"] == reference["worst"] == 0
    assert (table[["seconds", "cpu_seconds"]] > 0).all().all()
    assert table.loc[0, "ratio"] == pytest.approx(reference["seconds"] / table.loc[0, "seconds"])
    assert table.loc[0, "mean_abs_difference"] <= 0.005
    assert table["unsolved"].tolist() == [0, 0]


def test_a_wrong_solver_shows(monkeypatch):
    real = solvers.fit_folds

    def turned(*args):
        found = real(*args)
        return type(found)(-found.weight, -found.bias, found.kkt_violation)

    monkeypatch.setattr(solvers, "fit_folds", turned)
    table = compare_solvers(once(noisy(1, 2.0)), PAIRS, EVERY, dealt())
    assert table.loc[0, "mean_abs_difference"] > 0.5
    assert len(np.unique(CLASSES)) == 4


def test_no_repeats_are_refused():
    with pytest.raises(ValueError, match="repeats is 0"):
        compare_solvers(once(noisy(1)), PAIRS, EVERY, dealt(), repeats=0)


def test_the_batched_solver_is_compared_where_it_is_asked_for():
    fast = [Fitting(Solver.BATCHED), Fitting()]
    table = compare_solvers(once(noisy(1, 0.4)), PAIRS, EVERY, dealt(), fast)
    assert table["solver"].tolist() == ["batched", "shared", "reference"]
    assert (table["mean_abs_difference"] <= 0.005).all()
    assert table["ratio"].tolist()[-1] == 1


def test_the_bench_takes_solvers_by_name():
    found = {
        name: {"fits": 1000, "seconds": 8 / ratio, "ratio": ratio, "mean_abs_difference": far,
               "worst": 5 * far, "unsolved": left}
        for name, ratio, far, left in (
            ("shared", 8.0, 0.001, 0), ("reference", 1.0, 0.0, 0), ("batched", 16.0, 0.002, 3)
        )
    }  # fmt: skip
    shared, batched = (
        _row(found, way, "pifia", "fits", 2, 5)
        for way in (Fitting(), Fitting(Solver.BATCHED, 2, "cuda"))
    )
    assert (shared.value, shared.met) == ("8.0×", False)
    assert (batched.value, batched.met) == ("16.0×", True)
    assert "8.0 s → 2 cores, 1.0 s; mean |difference| 0.00100" in shared.note
    assert "8.0 s → cuda, 0.5 s" in batched.note
    assert "3 left to the reference" in batched.note
