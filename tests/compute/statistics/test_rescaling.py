"""The parts of a drop sum to it, in every scope; their intervals are paired."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.statistics.bootstrap import Resampling, resample
from compute.statistics.resampling_units import make_units
from compute.statistics.rescaling import rescaling_rows

UNITS = make_units(
    np.repeat([0, 1, 2], [5, 5, 6]), np.arange(16, dtype=np.int32), np.arange(3), True, 3
)
NAMES = ["actin", "ER", "Golgi"]


def rows_of(right, n):
    drawn = Resampling(UNITS.classes, 3, 300, 0)
    rows = rescaling_rows(right, n, UNITS, drawn, NAMES)
    return {(row["localization"], row["part"]): row for row in rows}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_parts_sum_to_the_total_and_equal_plain_differences(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 9, 16).astype(float)
    right = rng.binomial(n[:, None].astype(int), 0.6, (16, 3)).astype(float)
    found = rows_of(right, n)
    assert len(found) == 4 * 3
    by_class = []
    for k, name in enumerate(NAMES):
        here = UNITS.classes == k
        unaltered, crop, locked = right[here].sum(0) / n[here].sum()
        by_class.append((unaltered - crop, locked - crop, unaltered - locked))
        values = [found[name, part]["estimate"] for part in ("total", "rescaling", "context")]
        assert values == pytest.approx(by_class[-1])
        assert values[0] == pytest.approx(values[1] + values[2], abs=1e-15)
    values = [found[None, part]["estimate"] for part in ("total", "rescaling", "context")]
    assert values == pytest.approx(np.mean(by_class, 0))
    assert values[0] == pytest.approx(values[1] + values[2], abs=1e-15)
    for row in found.values():
        assert row["ci_low"] <= row["estimate"] <= row["ci_high"]


def test_a_lock_that_changes_nothing_leaves_all_to_the_context():
    right = np.tile([[5.0, 3, 3]], (16, 1))
    right[::3, 1:] = 1
    found = rows_of(right, np.full(16, 5.0))
    part = found[None, "rescaling"]
    assert (part["estimate"], part["ci_low"], part["ci_high"]) == (0, 0, 0)
    assert found[None, "context"]["estimate"] == found[None, "total"]["estimate"] > 0


def test_intervals_are_paired():
    """What both readings share cancels: the rescaling is known better than either drop."""
    rng = np.random.default_rng(0)
    shared = rng.integers(0, 60, 16).astype(float)
    right = np.stack([np.full(16, 100.0), shared, shared + 30], 1)
    found = rows_of(right, np.full(16, 100.0))
    part = found[None, "rescaling"]
    assert part["ci_high"] - part["ci_low"] == pytest.approx(0, abs=1e-9)
    total = found[None, "total"]
    weights = resample(UNITS.classes, 300, 0)
    sums = np.stack([(weights * (UNITS.classes == k)) @ shared for k in range(3)])
    sd = (sums / [[500], [500], [600]]).mean(0).std()
    assert total["ci_high"] - total["ci_low"] == pytest.approx(2 * 2.1604 * sd, rel=1e-3)
