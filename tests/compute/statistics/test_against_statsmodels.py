"""Adjusted p-values and equivalence tests against those of statsmodels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from compute.statistics.effects import holm
from compute.statistics.equivalence import equivalence_test
from compute.statistics.shifts import benjamini_hochberg


def p_values(seed):
    """A few p-values or many, some of them the same, as those of random signs are."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.5, 1, rng.integers(1, 40))
    return np.maximum(np.round(p, rng.integers(1, 6)), 1e-4)


@pytest.mark.parametrize("seed", range(8))  # statsmodels takes its time over it
def test_holm(seed):
    p = p_values(seed)
    assert np.allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)


@given(st.integers(0, 2**32))
def test_benjamini_and_hochberg(seed):
    p = p_values(seed)
    expected = multipletests(p, method="fdr_bh")[1]
    assert np.allclose(benjamini_hochberg(p), expected, atol=1e-12)


@given(st.integers(0, 2**32))
def test_two_one_sided_tests(seed):
    """The test of one mean, with the standard error in place of that of bootstrap draws."""
    rng = np.random.default_rng(seed)
    mean, margin = rng.uniform(-0.05, 0.05), rng.uniform(0.005, 0.1)
    values = mean + 0.03 * rng.standard_normal(12)
    sample = DescrStatsW(values)
    expected = sample.ttost_mean(-margin, margin)[0]
    off = sample.std_mean * np.array([-1.0, 1.0])
    found = equivalence_test(values.mean(), values.mean() + off, 11, margin, 100)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-300)
