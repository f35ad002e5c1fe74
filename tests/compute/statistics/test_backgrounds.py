"""Centre class × background class against plain loops over random trials."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.statistics.backgrounds import add_to_grid, background_rows, begin_grid
from compute.statistics.bootstrap import Resampling
from compute.statistics.resampling_units import make_units

NAMES = ["actin", "ER", "Golgi", "nucleus"]


def draw(seed, cells=30):
    """Trials of cells of two tested classes on any background, some on none."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 2, cells)
    protein = (classes * 3 + rng.integers(0, 3, cells)).astype(np.int32)
    position = np.repeat(np.arange(cells), rng.integers(1, 6, cells))
    background = rng.integers(-1, 4, len(position))
    before = rng.integers(0, 4, cells)[position]
    after = rng.integers(0, 4, len(position))
    return classes, protein, position, background, before, after


def rows_of(classes, protein, position, background, before, after, halves=1):
    units = make_units(classes, protein, np.array([0, 1]), True, 4)
    grid = begin_grid(units.count, 4)
    for part in np.array_split(np.arange(len(classes)), halves):
        here = np.isin(position, part)
        cell = position[here]
        add_to_grid(
            grid, units.of[cell], cell, background[here], before[here], after[here], classes[cell]
        )
    drawn = Resampling(units.classes, 4, 100, 0)
    return list(background_rows(grid, units, drawn, NAMES))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_every_pair_equals_a_plain_loop(seed):
    classes, protein, position, background, before, after = draw(seed)
    rows = rows_of(classes, protein, position, background, before, after)
    found = {(row["localization"], row["background"]): row for row in rows}
    for a in range(2):
        for b in range(4):
            cells = {}
            for t in np.flatnonzero((classes[position] == a) & (background == b)):
                cells.setdefault(int(position[t]), []).append((before[t], after[t]))
            if not cells:
                assert (NAMES[a], NAMES[b]) not in found
                continue
            row = found.pop((NAMES[a], NAMES[b]))

            def share(of, now, cells=cells):
                per_cell = [np.mean([pair[now] == of for pair in some]) for some in cells.values()]
                return np.mean(per_cell)

            assert row["accuracy"] == pytest.approx(share(a, 1))
            assert row["drop"] == pytest.approx(share(a, 0) - share(a, 1))
            assert row["attraction"] == pytest.approx(share(b, 1) - share(b, 0))
            assert row["n_cells"] == len(cells)
            assert row["n_proteins"] == len({protein[cell] for cell in cells})
            if row["n_proteins"] == 1:
                assert np.isnan([row["ci_low"], row["ci_high"], row["attraction_low"]]).all()
            else:
                assert row["ci_low"] <= row["drop"] <= row["ci_high"]
    assert not found


def test_what_is_added_in_parts_is_the_same():
    drawn = draw(3)
    whole, parts = rows_of(*drawn), rows_of(*drawn, halves=4)
    for one, other in zip(whole, parts, strict=True):
        assert one == pytest.approx(other, nan_ok=True)
