"""Flips by direction; lost less gained is the drop, always."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from compute.schema import Flip
from compute.statistics.bootstrap import Resampling
from compute.statistics.donors import DonorInfluence
from compute.statistics.flips import changes, flip_rows
from compute.statistics.resampling_units import make_units

answers = arrays(np.int64, (3, 20), elements=st.integers(0, 3))


@given(answers)
def test_every_change_has_one_direction(drawn):
    before, after, own = drawn
    found = changes(before, after, own)
    for b, a, k, row in zip(before, after, own, found, strict=True):
        expected = []
        if b != a:
            expected = [Flip.LOST if b == k else Flip.GAINED if a == k else Flip.MOVED]
        assert [d for d, there in zip(Flip, row, strict=True) if there] == expected


@given(answers)
def test_lost_less_gained_is_the_drop(drawn):
    before, after, own = drawn
    lost, gained, moved = changes(before, after, own).sum(0)
    assert lost - gained == (before == own).sum() - (after == own).sum()
    assert lost + gained + moved == (before != after).sum()


def test_rows_are_shares_with_their_direction_and_interval():
    units = make_units(
        np.array([0, 0, 1, 1]), np.arange(4, dtype=np.int32), np.array([0, 1]), True, 2
    )
    flips = np.array([[2, 0, 1], [4, 0, 0], [0, 3, 0], [0, 1, 0]], float)
    n = np.full(4, 5.0)
    rows = flip_rows(flips, n, units, Resampling(units.classes, 2, 200, 0), ["actin", "ER"])
    value = {(row["localization"], row["direction"]): row["estimate"] for row in rows}
    assert value == {
        (None, "lost"): 0.3, (None, "gained"): 0.2, (None, "moved"): 0.05,
        ("actin", "lost"): 0.6, ("actin", "gained"): 0.0, ("actin", "moved"): 0.1,
        ("ER", "lost"): 0.0, ("ER", "gained"): 0.4, ("ER", "moved"): 0.0,
    }  # fmt: skip
    for row in rows:
        assert 0 <= row["ci_low"] <= row["estimate"] <= row["ci_high"] <= 1
        assert row["unit"] == "protein"
        assert (row["n_cells"], row["n_proteins"]) == (
            (20, 4) if row["scope"] == "overall" else (10, 2)
        )


def test_donors_widen_intervals():
    units = make_units(np.repeat([0, 1], 6), np.arange(12, dtype=np.int32), np.arange(2), True, 2)
    rng, n = np.random.default_rng(0), np.full(12, 20.0)
    flips = rng.binomial(20, 0.1, (12, 3)) / 1.0
    drawn = Resampling(units.classes, 2, 200, 0)
    moved = np.zeros((12, 3, 3))
    moved[:, 0] = 0.1 * rng.choice([-1, 1], (12, 3))
    donors = DonorInfluence(moved, np.zeros((3, 3, 3)), units.classes)

    def widths(*more):
        rows = flip_rows(flips, n, units, drawn, ["actin", "ER"], *more)
        return {(r["localization"], r["direction"]): r["ci_high"] - r["ci_low"] for r in rows}

    plain, with_donors, several = widths(), widths(donors), widths(None, False)
    for key, width in plain.items():
        assert with_donors[key] > width if key[0] is None else with_donors[key] == width
        assert several[key] == width if key[0] is None else several[key] > 0
    assert several != plain, "the known part is taken only where a cell has one trial"
