"""Cells to look at: the worst of every flag, good ones of every class, the same every time."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import schema
from compute.runs import mosaic
from compute.runs.mosaic import CELLS, LEAST_GOOD, choose, make_mosaic, share_out, spread
from compute.schema import CELL_FLAGS, CellFlag
from compute.store.writer import CropStoreWriter
from dashboard.render.images import decode

COUNTS = st.dictionaries(
    st.sampled_from(list(CELL_FLAGS)), st.integers(0, 60), min_size=len(CELL_FLAGS)
)


@given(good=st.integers(0, 100), flagged=COUNTS)
def test_flags_share_the_mosaic_fairly(good, flagged):
    shares = share_out(good, flagged)
    assert all(0 <= shares[flag] <= count for flag, count in flagged.items())
    assert sum(shares.values()) <= CELLS - min(good, LEAST_GOOD)
    open_ = [shares[f] for f, count in flagged.items() if shares[f] < count]
    assert not open_ or max(open_) - min(open_) <= 1
    if good < LEAST_GOOD:
        assert sum(shares.values()) == min(CELLS - good, sum(flagged.values()))


def drawn_cells(rng: np.random.Generator, count: int) -> pd.DataFrame:
    places = np.array(["actin", "ER", None], object)[rng.integers(0, 3, count)]
    proteins = np.array([f"p{i}" for i in range(5)])[rng.integers(0, 5, count)]
    flags = np.where(rng.random(count) < 0.5, 0, rng.integers(0, 64, count)).astype(np.int32)
    return pd.DataFrame({"protein": proteins, "localization": places, "flags": flags})


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 300))
def test_choice_is_the_worst_and_never_twice(seed, count):
    rng = np.random.default_rng(seed)
    cells = drawn_cells(rng, count)
    badness = {flag: rng.integers(0, 5, count).astype(float) for flag in CELL_FLAGS}
    chosen = choose(cells, lambda flag, rows: (rows, badness[flag][rows]), seed)
    again = choose(cells, lambda flag, rows: (rows, badness[flag][rows]), seed)
    pd.testing.assert_frame_equal(chosen, again)
    assert not chosen["cell"].duplicated().any()
    assert len(chosen) <= CELLS
    flags = cells["flags"].to_numpy()
    shown: set[int] = set()
    for name, group in chosen.groupby("group", sort=False):
        cell = group["cell"].to_numpy()
        assert group["rank"].tolist() == list(range(1, len(cell) + 1))
        if name == "good":
            assert (flags[cell] == 0).all()
            continue
        flag = CellFlag[name]
        has = np.flatnonzero(flags & flag)
        assert np.isin(cell, has).all()
        assert (np.diff(badness[flag][cell]) <= 0).all()
        rest = [c for c in has if c not in shown and c not in set(cell.tolist())]
        assert not rest or badness[flag][rest].max() <= badness[flag][cell].min()
        assert set(group["group_cells"]) == {len(has)}
        shown |= set(cell.tolist())


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 120))
def test_first_ones_are_of_as_many_classes_and_proteins_as_can_be(seed, count):
    rng = np.random.default_rng(seed)
    cells = drawn_cells(rng, count)
    order = spread(cells, rng.integers(0, 2**60, count).astype(np.uint64))
    assert sorted(order.tolist()) == list(range(count))
    there = cells["localization"].fillna("none")
    first = there.iloc[order[: there.nunique()]]
    assert first.nunique() == there.nunique()
    for place, some in cells.iloc[order].groupby(there):
        proteins = some["protein"].nunique()
        assert some["protein"].iloc[:proteins].nunique() == proteins, place


@pytest.mark.parametrize(
    ("channels", "size", "dtype"),
    [(1, 8, "uint8"), (2, 64, "uint16"), (12, 65, "float32"), (3, 400, "uint16")],
)
def test_pictures_hold_the_pixels_and_the_masks(tmp_path, channels, size, dtype):
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:size, 0:size]
    mask = np.hypot(x - size / 2 + 0.5, y - size / 2 + 0.5) < size / 4
    other = x < size // 8
    images = rng.uniform(0, 200, (5, channels, size, size)).astype(dtype)
    with CropStoreWriter(
        tmp_path / "s", channels=[f"c{i}" for i in range(channels)], size=size, dtype=dtype,
        source={"kind": "drawn", "simulated": False}, localizations=["ER"],
    ) as out:  # fmt: skip
        frame = pd.DataFrame(
            {"protein": list("abcde"), "field": ["f"] * 5, "localization": ["ER", *[None] * 4]}
        )
        out.add(images, np.stack([mask] * 5), np.stack([mask | other] * 5), frame)
    table = make_mosaic(tmp_path / "s", bits=16)
    schema.check_table(table, schema.MOSAIC, "mosaic")
    assert table.equals(make_mosaic(tmp_path / "s", bits=16))
    for row in table.to_pylist():
        factor = row["reduced"]
        assert factor == -(-size // mosaic.LARGEST_PICTURE)
        side = size // factor
        whole = images[row["cell"]][:, : side * factor, : side * factor].astype(float)
        means = [
            [[block.mean() for block in np.split(band, side, 1)] for band in np.split(c, side, 0)]
            for c in whole
        ]
        found = decode(row["images"], row["offset"], row["gain"])
        # Integers keep whole numbers, of which the mean of several pixels is none.
        assert np.allclose(found, means, atol=200 / 2**15 if dtype == "float32" else 0.51)
        (contour,) = row["outline"]
        points = np.reshape(contour, (-1, 2))
        radius = np.hypot(*(points - (side - 1) / 2).T)
        assert abs(radius - size / 4 / factor).max() < 1.2
        assert np.reshape(row["neighbours"][0], (-1, 2))[:, 0].max() <= size / 8 / factor
        assert row["size"] == size


def test_the_worst_of_a_store_are_found(tmp_path):
    """Off-centre cells by their real distances, OFF_CELL in the marker, which is channel 2."""
    size, rng = 64, np.random.default_rng(1)
    y, x = np.mgrid[0:size, 0:size]
    shifts = [0] * 20 + [14, 18, 12, 16, 20, 13, 15, 19, 17, 11.5]
    masks = np.stack([np.hypot(x - 31.5 - s, y - 31.5) < 8 for s in shifts])
    images = rng.normal(100, 5, (len(shifts), 2, size, size)).astype(np.float32)
    bright = np.full(len(shifts), 50.0)
    bright[3:6] = 2, 0, 1
    images[:, 1] += bright[:, None, None] * masks
    images[:, 0] += 90 * masks
    given_flags = np.where(bright < 5, int(CellFlag.OFF_CELL), 0)
    with CropStoreWriter(
        tmp_path / "s", channels=["GFP", "RFP"], size=size, dtype="float32",
        source={"kind": "drawn", "simulated": False, "marker": "RFP"}, localizations=["ER"],
    ) as out:  # fmt: skip
        n = len(shifts)
        frame = pd.DataFrame({"protein": ["p"] * n, "field": ["f"] * n, "flags": given_flags})
        out.add(images, masks, masks, frame)
    found = make_mosaic(tmp_path / "s").to_pandas()
    off = found[found["group"] == "OFF_CENTRE"]["cell"].tolist()
    assert off == [24, 27, 21, 28, 23, 26, 20, 25]
    assert found[found["group"] == "OFF_CELL"]["cell"].tolist() == [4, 5, 3]
    assert (found["group"] == "good").sum() == 17
