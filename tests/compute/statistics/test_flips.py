"""Flips by direction; lost less gained is the drop, always."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from compute.schema import Flip
from compute.statistics.bootstrap import Resampling
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
