"""Proteins by block: the few that shift among many are called, whatever the blocks."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from compute.statistics.protein_shifts import CellAnswers, Distributions, NoiseFloors, Shifts
from compute.statistics.shifts import Null

NAMES = ["actin", "ER", "Golgi", "nucleus"]
CELLS = 20


def two_readings(proteins, shifted, seed=0):
    """Answers before and after of cells of many proteins, of which the last few truly move."""
    rng = np.random.default_rng(seed)
    protein = np.repeat(np.arange(proteins), CELLS).astype(np.int32)
    own = rng.dirichlet(np.ones(4), len(protein))
    before, after = (0.7 * own + 0.3 * rng.dirichlet(np.ones(4), len(protein)) for _ in range(2))
    moved = protein >= proteins - shifted
    after[moved] = 0.4 * after[moved] + 0.6 * np.eye(4)[0]
    cell = np.arange(len(protein))
    return [CellAnswers(cell, p, np.eye(4)[p.argmax(1)], protein) for p in (before, after)]


def table_of(proteins):
    count = proteins * CELLS
    return pd.DataFrame(
        {
            "protein": np.repeat([f"P{i:03}" for i in range(proteins)], CELLS),
            "orf": pd.Series([None] * count, dtype=object),
            "labels": [["actin"]] * count,
        }
    )


def shifts_of(before, after, proteins, step=10**9, nulls=None):
    found = Shifts(5, 2, NAMES, None, proteins)
    for start in range(0, proteins, step):
        rows = np.flatnonzero((before.protein >= start) & (before.protein < start + step))
        found.add(before.take(rows), after.take(rows), NoiseFloors(), nulls)
    key = {"model": "m", "condition": "same", "protocol": "refit"}
    shifts, truth = found.tables(table_of(proteins), **key)
    assert len(truth) == 0
    return shifts.to_pandas()


def test_a_lone_shift_among_many_proteins_is_called():
    before, after = two_readings(300, 1)
    found = shifts_of(before, after, 300)
    assert found["q_value"].iloc[-1] <= 0.05
    assert found["p_value"].iloc[-1] < 1 / 2001
    assert (found["q_value"].iloc[:-1] > 0.05).mean() > 0.98


def test_with_enough_shifts_no_p_value_goes_below_the_least():
    before, after = two_readings(120, 20)
    found = shifts_of(before, after, 120)
    assert (found["q_value"].iloc[-20:] <= 0.05).all()
    assert found["p_value"].min() == 1 / 2001


def test_what_the_probes_of_two_conditions_differ_by_is_no_shift():
    """Exchanges that move every protein as far as it moved take the finding away."""
    before, after = two_readings(30, 10)
    moved = np.array([0.45, -0.15, -0.15, -0.15]) * np.array([1, -1] * 8)[:, None]
    change = after.mean - before.mean
    found = shifts_of(before, after, 30, nulls=lambda _, cell: Null(change[cell], moved))
    assert (found["p_value"] > 0.1).all()
    alone = shifts_of(before, after, 30)
    assert (alone["q_value"].iloc[-10:] <= 0.05).all()
    assert found["tv"].equals(alone["tv"])


def test_proteins_without_a_null_have_no_p_and_do_not_count_among_those_tested():
    before, after = two_readings(30, 10)
    change, none = after.mean - before.mean, np.zeros((8, 4))
    found = shifts_of(
        before, after, 30,
        nulls=lambda protein, cell: Null(change[cell], none) if protein >= 20 else None,
    )  # fmt: skip
    assert found["p_value"].iloc[:20].isna().all()
    assert found["q_value"].iloc[:20].isna().all()
    assert found["tv"].notna().all()
    assert np.allclose(found["q_value"].iloc[20:], 1 / 2001)


@pytest.mark.parametrize("step", [1, 7])
def test_rows_do_not_depend_on_the_blocks(step):
    before, after = two_readings(20, 3)
    pd.testing.assert_frame_equal(shifts_of(before, after, 20, step), shifts_of(before, after, 20))


def test_a_proteins_noise_floor_is_taken_once_for_the_same_cells(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "compute.statistics.protein_shifts.noise_floor", lambda p, seed: asked.append(seed) or 0.1
    )
    floors, cell = NoiseFloors(), np.arange(3)
    for cells in (cell, cell, cell[:2]):
        assert floors.of(np.ones((len(cells), 2)), cells, 4) == 0.1
    assert len(asked) == 2


def test_distributions_keep_the_order_of_proteins_and_classes():
    before, _ = two_readings(3, 0)
    found = Distributions()
    found.add(before)
    names = pa.array(["a", "b", "c"])
    table = found.table(names, NAMES, model="m", condition="same", protocol="refit").to_pandas()
    assert table["protein"].tolist() == [p for p in "abc" for _ in NAMES]
    assert table["localization"].tolist() == NAMES * 3
    for i, (_, rows) in enumerate(table.groupby("protein")):
        own = before.protein == i
        assert np.allclose(rows["mean_probability"], before.mean[own].mean(0))
        assert np.allclose(rows["proportion"], before.share[own].mean(0))
        assert (rows["n_cells"] == CELLS).all()
