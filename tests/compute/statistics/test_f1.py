"""Macro-F1, its influences and its test, against scikit-learn, loops and the sums of donors."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from compute.statistics.bootstrap import BootstrapConfig, Resampling, resample
from compute.statistics.donors import DonorSums
from compute.statistics.f1 import LabelTallies, exchange_test, f1, f1_rows, label_influence

K, UNITS, CELLS = 4, 24, 6
CONDITIONS = ["unaltered", "same", "different"]


def drawn(seed=0, errors=(0.1, 0.1, 0.3)):
    """Cells of units of four classes and of a stratum of several labels; what is said of them."""
    rng = np.random.default_rng(seed)
    strata = np.arange(UNITS) % (K + 1)
    protein = np.array([f"p{u}" for u in range(UNITS)], object)
    unit = np.repeat(np.arange(UNITS), CELLS)
    own = np.eye(K + 1, dtype=bool)[:, :K]
    own[K] = [True, True, False, False]
    has = own[strata[unit]]
    hard = rng.normal(size=UNITS)[unit]
    said = np.stack([
        has ^ (rng.random(has.shape) < np.clip(e * (1 + hard[:, None]), 0, 0.9)) for e in errors
    ])  # fmt: skip
    return unit, strata, protein, has, said


def tallies(unit, strata, protein, has, said):
    def sums(values):
        return np.stack([np.bincount(unit, column, len(strata)) for column in values.T], 1)

    m = len(said)
    return LabelTallies(
        np.stack([sums(2.0 * (has & each)) for each in said]),
        np.stack([sums(has + each.astype(float)) for each in said]),
        strata,
        np.tile(np.bincount(unit, minlength=len(strata)), (m, 1)),
        np.tile(sums(has.astype(float)).astype(int), (m, 1, 1)),
        protein,
    )


def test_f1_is_scikit_learns():
    unit, strata, protein, has, said = drawn()
    found = tallies(unit, strata, protein, has, said)
    point, _ = found.drawn(Resampling(strata, K + 1, 100, 0))
    for row, each in zip(point, said, strict=True):
        assert row[0] == pytest.approx(f1_score(has, each, average="macro"), abs=1e-12)
        assert np.allclose(row[1:], f1_score(has, each, average=None), atol=1e-12)
    assert np.isnan(f1(np.zeros(2))).all(), "a class that nobody has or names has no F1"


def test_draws_are_f1_of_weighted_units():
    unit, strata, protein, has, said = drawn()
    found = tallies(unit, strata, protein, has, said)
    _, draws = found.drawn(Resampling(strata, K + 1, 100, 3))
    weights = resample(strata, 100, 3)
    for d in (0, 17, 99):
        each = [f1_score(has[:, k], said[2][:, k], sample_weight=weights[d][unit])
                for k in range(K)]  # fmt: skip
        assert np.allclose(draws[d, 2, 1:], each, atol=1e-12)
        assert draws[d, 2, 0] == pytest.approx(np.mean(each))


def test_influence_is_the_derivative_by_a_units_weight():
    found = tallies(*drawn())
    moved = found.influence()
    step = 1e-6
    for u in (0, 4, 11):
        weight = np.ones(UNITS)
        weight[u] += step
        for m in range(3):
            sums = np.concatenate([weight @ found.both[m], weight @ found.either[m]])
            plain = np.concatenate([found.both[m].sum(0), found.either[m].sum(0)])
            assert np.allclose((f1(sums) - f1(plain)) / step, moved[m, u], atol=1e-5)


def test_exchanging_is_that_of_a_loop():
    found = tallies(*drawn(1))
    both, either = found.both[[0, 2]], found.either[[0, 2]]
    p = exchange_test(both, either, 2000, seed=5)
    rng = np.random.default_rng(1)

    def apart(order):
        sums = [
            np.concatenate([
                sum(both[s, u] for u, s in enumerate(side)),
                sum(either[s, u] for u, s in enumerate(side)),
            ])
            for side in (order, 1 - order)
        ]  # fmt: skip
        return abs(f1(sums[0])[0] - f1(sums[1])[0])

    observed = apart(np.zeros(UNITS, int))
    beyond = np.mean([apart(rng.integers(0, 2, UNITS)) >= observed - 1e-12 for _ in range(1000)])
    assert p == pytest.approx(beyond, abs=0.03)
    assert exchange_test(both[[0, 0]], either[[0, 0]], 200, 0) == 1


def test_the_test_holds_its_level_where_nothing_differs_and_finds_what_does():
    """Of 200 studies without a difference about one in twenty has p ≤ 0.05."""
    p = []
    for seed in range(200):
        found = tallies(*drawn(seed, errors=(0.2, 0.2)))
        p.append(exchange_test(found.both, found.either, 300, seed))
    share = np.mean(np.array(p) <= 0.05)
    assert 0.01 <= share <= 0.10
    apart = tallies(*drawn(3, errors=(0.05, 0.4)))
    assert exchange_test(apart.both, apart.either, 300, 0) < 0.01


def test_rows_are_of_every_condition_and_class_with_intervals_that_hold_the_estimate():
    found = tallies(*drawn())
    names = list("abcd")
    accuracy, effects = f1_rows(
        found, CONDITIONS, names, Resampling(found.strata, K + 1, 300, 0), BootstrapConfig(300, 300)
    )
    assert len(accuracy) == 3 * (1 + K)
    assert {(r["effect"], r["condition"]) for r in effects} == {
        ("drop", "same"), ("drop", "different"), ("gap", "different")
    }  # fmt: skip
    for row in (*accuracy, *effects):
        assert row["ci_low"] <= row["estimate"] <= row["ci_high"]
    overall = [row for row in effects if row["scope"] == "overall"]
    assert all(0 < row["p_value"] <= 1 for row in overall)
    drop = next(row for row in overall if row["condition"] == "different")
    assert drop["n_cells"] == UNITS * CELLS
    assert drop["n_proteins"] == UNITS
    of_a = next(row for row in accuracy if row["localization"] == "a")
    assert of_a["n_cells"] == CELLS * 9, "5 proteins of class a, 4 of both a and b"


def test_units_that_one_condition_lacks_are_left_out_of_a_comparison():
    unit, strata, protein, has, said = drawn()
    found = tallies(unit, strata, protein, has, said)
    lacking = LabelTallies(
        *(v.copy() for v in (found.both, found.either)), strata, found.n_cells.copy(),
        found.labelled.copy(), protein,
    )  # fmt: skip
    for values in (lacking.both, lacking.either, lacking.n_cells, lacking.labelled):
        values[2, :5] = 0
    _, effects = f1_rows(
        lacking, CONDITIONS, list("abcd"), Resampling(strata, K + 1, 100, 0),
        BootstrapConfig(100, 100),
    )  # fmt: skip
    drop = next(r for r in effects if r["condition"] == "different" and r["effect"] == "drop"
                and r["scope"] == "overall")  # fmt: skip
    kept = unit >= 5
    before, after = (f1_score(has[kept], said[m][kept], average="macro") for m in (0, 2))
    assert drop["estimate"] == pytest.approx(before - after)
    assert drop["n_proteins"] == UNITS - 5


def test_donors_move_f1_as_the_sums_of_donors_say():
    """Each label's influences are those of a mean of the same pull, summed by `DonorSums`."""
    unit, strata, _, has, said = drawn()
    rng = np.random.default_rng(2)
    classes = np.arange(9) % 3
    donor = rng.integers(-1, 9, len(unit)).astype(np.int32)
    weight = rng.choice([0.5, 1.0], len(unit))
    found = label_influence(
        unit.astype(np.int32), strata[unit], donor, weight, has, said[2], classes
    )
    both, either = 2.0 * (has & said[2]), has + said[2].astype(float)
    under = weight @ either
    pull = (both - (weight @ both) / under * either) / under
    known = donor >= 0
    asked = np.bincount(strata[unit][known], weight[known], K + 1)
    sums = DonorSums.empty(classes, K + 1, K)
    sums.add(unit.astype(np.int32), strata[unit], donor, weight, pull * asked[strata[unit], None])
    other = sums.influence()
    of_strata = int((asked > 0).sum())
    assert np.allclose(found.moved[:, 1:, 0], other.moved[:, 0] * of_strata)
    assert np.allclose(found.moved[:, 0, 0], other.moved[:, 0].mean(-1) * of_strata)
    assert np.allclose(found.within[1:, 0, 0], np.diag(other.within[0]) * of_strata**2)
    assert found.within[0, 0, 0] == pytest.approx(other.within[0].mean() * of_strata**2)
