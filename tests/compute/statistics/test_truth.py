"""True proportions by cell, distances from them, and when a protein was wrong."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.statistics.truth import Truth, Verdict, compare, verdict

NAMES = ["actin", "ER", "Golgi"]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1), st.floats(0, 1))
def test_a_verdict_equals_two_comparisons(pairs, threshold):
    before, after = np.array(pairs).T
    for one, two, found in zip(before, after, verdict(before, after, threshold), strict=True):
        wrong = (one >= threshold, two >= threshold)
        assert (
            found
            == {
                (True, True): Verdict.BOTH,
                (True, False): Verdict.BEFORE,
                (False, True): Verdict.AFTER,
                (False, False): Verdict.NEITHER,
            }[wrong]
        )


@given(st.integers(0, 2**32))
def test_true_proportions_equal_a_dense_table(seed):
    rng = np.random.default_rng(seed)
    dense = rng.dirichlet(np.ones(3), 8) * (rng.random((8, 3)) < 0.6)
    cell, k = np.nonzero(dense)
    order = rng.permutation(len(cell))
    table = pd.DataFrame(
        {"cell": cell, "localization": np.array(NAMES)[k], "proportion": dense[cell, k]}
    )
    truth = Truth.of(table.iloc[order], 8, NAMES)
    chosen = rng.permutation(8)[: rng.integers(1, 9)]
    assert np.allclose(truth.mean(chosen), dense[chosen].mean(0), atol=1e-6)


def test_distances_are_from_the_true_distribution():
    row = compare(np.array([0.6, 0.4, 0]), np.array([0.6, 0.4, 0]), np.array([0, 0, 1.0]), NAMES)
    assert row == {
        "tv_before": pytest.approx(0), "tv_after": pytest.approx(1),
        "jsd_before": pytest.approx(0), "jsd_after": pytest.approx(1),
        "top_true": "actin", "top_before": "actin", "top_after": "Golgi",
    }  # fmt: skip
