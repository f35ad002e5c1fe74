"""Steps of a drop: sums that add up, and intervals that donors widen by just what they add."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from compute.schema import STEPS, DropPart
from compute.statistics.bootstrap import Resampling
from compute.statistics.decomposition import decomposition_rows
from compute.statistics.donors import DonorInfluence
from compute.statistics.effects import Tallies

NAMES = ["actin", "ER", "Golgi"]
PROTEINS = 8
ENDS = list(
    dict.fromkeys(
        (condition, left, locked)
        for spec in STEPS.values()
        for condition, left in ((spec.before, spec.left_before), (spec.after, spec.left_after))
        for locked in (False, True)
    )
)
CLASSES = np.repeat(np.arange(3), PROTEINS)
DRAWN = Resampling(CLASSES, 3, 400, 0)


def tallies(seed, probe_classes=1):
    rng = np.random.default_rng(seed)
    shape = (len(ENDS), len(CLASSES), probe_classes)
    n = np.broadcast_to(rng.integers(4, 20, shape[1:]), shape).astype(float)
    correct = np.floor(n * rng.uniform(0.2, 1, shape))
    protein = np.array([f"p{i}" for i in range(len(CLASSES))])
    return Tallies(correct, n, CLASSES, n[..., 0].astype(int), protein)


def influences(seed, donors=9):
    rng = np.random.default_rng(seed)
    moved = 0.02 * rng.standard_normal((donors, 4, len(ENDS)))
    # No centre unit and donor unit have more than one answer in common.
    return DonorInfluence(moved, np.zeros((4, len(ENDS), len(ENDS))), np.arange(donors) % 3)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([1, 3]))
def test_steps_and_parts_add_up(seed, width):
    rows = list(decomposition_rows(tallies(seed, width), ENDS, NAMES, DRAWN))
    found = {(r["localization"], r["step"], r["part"]): r["estimate"] for r in rows}
    assert len(found) == len(rows) == 4 * len(STEPS) * len(DropPart)
    for name in (None, *NAMES):
        for part in DropPart:
            steps = [found[name, str(step), str(part)] for step in STEPS]
            assert sum(steps[:-1]) == pytest.approx(steps[-1], abs=1e-12)
        for step in STEPS:
            total, *parts = (found[name, str(step), str(part)] for part in DropPart)
            assert sum(parts) == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_donors_widen_an_interval_by_the_variance_that_they_add(seed):
    """An interval's half-width is t times the root of both variances, each found by itself."""
    donors = influences(seed)
    alone, both = (
        list(decomposition_rows(tallies(seed), ENDS, NAMES, DRAWN, given))
        for given in (None, donors)
    )
    wider = 0
    for one, two in zip(alone, both, strict=True):
        assert one["estimate"] == two["estimate"]
        spec = STEPS[one["step"]]
        contrast = np.zeros(len(ENDS))
        signs = {"total": {False: 1}, "context": {True: 1}, "rescaling": {False: 1, True: -1}}
        for locked, sign in signs[one["part"]].items():
            contrast[ENDS.index((spec.before, spec.left_before, locked))] += sign
            contrast[ENDS.index((spec.after, spec.left_after, locked))] -= sign
        scope = 0 if one["localization"] is None else 1 + NAMES.index(one["localization"])
        added = float(((donors.moved[:, scope] @ contrast) ** 2).sum())
        width_alone, width_both = ((r["ci_high"] - r["ci_low"]) / 2 for r in (one, two))
        # More degrees of freedom make t smaller, never below the normal quantile.
        least = np.sqrt(added) * stats.norm.ppf(0.975)
        assert width_both > least
        centre = width_alone / stats.t.ppf(0.975, PROTEINS - 1)
        assert width_both >= stats.norm.ppf(0.975) * np.sqrt(centre**2 + added) - 1e-12
        wider += width_both > width_alone
    assert wider > 0.9 * len(both)


def test_only_what_was_answered_at_every_end_takes_part():
    some = tallies(3)
    some.n[2, 5], some.correct[2, 5] = 0, 0  # one protein lacks answers at one end
    rows = list(decomposition_rows(some, ENDS, NAMES, DRAWN))
    kept = np.arange(len(CLASSES)) != 5
    less = Tallies(
        some.correct[:, kept], some.n[:, kept], CLASSES[kept], some.n_cells[:, kept],
        some.protein[kept],
    )  # fmt: skip
    expected = decomposition_rows(less, ENDS, NAMES, Resampling(CLASSES[kept], 3, 400, 0))
    for found, wanted in zip(rows, expected, strict=True):
        assert found["estimate"] == pytest.approx(wanted["estimate"])
        assert found["n_proteins"] == wanted["n_proteins"]
    assert rows[0]["n_proteins"] == 3 * PROTEINS - 1
