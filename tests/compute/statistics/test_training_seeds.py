"""A network's mean over seeds against plain numbers: seeds add their variance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.schema import TRAINING_SEEDS, Quantity
from compute.statistics.bootstrap import Resampling, interval, resample, share_interval
from compute.statistics.effects import Tallies, accuracies
from compute.statistics.joint_answers import Answered, joint_estimates, quantities
from compute.statistics.training_seeds import _satterthwaite, training_seed_rows

CONDITIONS = ["unaltered", "same", "different"]
CLASSES = np.repeat([0, 1, 2], 6)
NAMES = ["a", "b", "c"]
DRAWS, SEED = 300, 5


def resampling(classes):
    return Resampling(classes, len(NAMES), DRAWS, SEED)


def answered(seed, ease=0.7):
    rng = np.random.default_rng(seed)
    n = rng.integers(3, 9, (3, len(CLASSES), 1)).astype(float)
    right = rng.binomial(n.astype(int), ease).astype(float)
    names = np.array([f"protein {u}" for u in range(len(CLASSES))])
    return Answered(Tallies(right, n, CLASSES, n[..., 0].astype(int), names), CONDITIONS, None)


MODELS = {"s0": answered(0, 0.6), "s1": answered(1, 0.7), "s2": answered(2, 0.9)}


def naive(models, quantity_of, w):
    values = [accuracies(each.tallies, w[None], 3).overall[0] for each in models.values()]
    return np.array(
        [sum(s * row[CONDITIONS.index(c)] for c, s in quantity_of.items()) for row in values]
    )


def test_means_spreads_and_intervals_equal_plain_ones():
    rows = {
        (r["quantity"], r["condition"]): r for r in training_seed_rows(MODELS, NAMES, resampling)
    }
    wanted = {(str(q), c): of for q, c, of in quantities(CONDITIONS)}
    assert rows.keys() == wanted.keys()
    weights = resample(CLASSES, DRAWS, SEED)
    for key, row in rows.items():
        each = naive(MODELS, wanted[key], np.ones(len(CLASSES)))
        drawn = np.array([naive(MODELS, wanted[key], w).mean() for w in weights])
        assert row["estimates"] == pytest.approx(each)
        assert row["estimate"] == pytest.approx(each.mean())
        assert row["seed_sd"] == pytest.approx(np.std(each, ddof=1))
        assert row["sampling_sd"] == pytest.approx(drawn.std())
        total = drawn.var() + np.var(each, ddof=1) / 3
        # Satterthwaite: no fewer degrees of freedom than seeds alone give, no more than both.
        reach = (row["ci_high"] - row["ci_low"]) / 2
        if row["quantity"] != Quantity.ACCURACY:
            assert 1.96 * np.sqrt(total) < reach < 4.31 * np.sqrt(total)
            assert (row["ci_low"] + row["ci_high"]) / 2 == pytest.approx(row["estimate"])
        assert row["models"] == ["s0", "s1", "s2"]
        assert set(row) == {*TRAINING_SEEDS.names} - {"network", "protocol", "probe", "unit"}


def test_seeds_that_agree_have_the_interval_of_one_model():
    same = {"s0": MODELS["s0"], "s1": MODELS["s0"]}
    alone = joint_estimates([MODELS["s0"]], (1.0,), NAMES, resampling)
    for row, one in zip(training_seed_rows(same, NAMES, resampling), alone, strict=True):
        assert row["seed_sd"] == 0
        make = share_interval if row["quantity"] == Quantity.ACCURACY else interval
        ends = make(one.estimate, one.draws, one.freedom)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(ends)


def test_the_more_seeds_differ_the_longer_the_interval():
    lengths = []
    for ease in (0.7, 0.8, 0.95):
        models = {"s0": answered(0, 0.7), "s1": answered(1, ease)}
        row = next(iter(training_seed_rows(models, NAMES, resampling)))
        lengths.append((row["seed_sd"], row["ci_high"] - row["ci_low"]))
    assert lengths == sorted(lengths)


def test_one_protein_in_each_class_gives_no_interval():
    one = Answered(
        Tallies(np.ones((3, 3, 1)), np.full((3, 3, 1), 2.0), np.arange(3), np.full((3, 3), 2),
                np.array(["p", "q", "r"])),
        CONDITIONS, None,
    )  # fmt: skip
    rows = list(training_seed_rows({"s0": one, "s1": one}, NAMES, resampling))
    assert len(rows) == 6
    assert np.isnan([row["ci_low"] for row in rows]).all()


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(1, 100)), min_size=1, max_size=4))
def test_freedom_of_a_sum_lies_between_the_least_and_the_sum_of_all(parts):
    there = [(v, f) for v, f in parts if v > 1e-6]
    found = _satterthwaite(*there) if there else None
    if there:
        least, most = min(f for _, f in there), sum(f for _, f in there)
        assert least * (1 - 1e-9) <= found <= most * (1 + 1e-9)
    assert _satterthwaite((1.0, 0.5), (1.0, 5.0)) == 0
    assert _satterthwaite((float("nan"), 5.0), (1.0, 5.0)) == 0
