"""Some rows of a store: those that were asked for, as the whole store has them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.errors import InputError
from compute.store import some_rows, writer
from compute.store.reader import CropStore
from compute.store.writer import CropStoreWriter

CELLS, SIDE = 700, 9
"""More than two blocks, and a side that is no multiple of 8."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of three files, the last of which has two blocks."""
    path, rng = tmp_path_factory.mktemp("some") / "store", np.random.default_rng(0)
    old, writer.FILE_ROWS = writer.FILE_ROWS, 300
    try:
        with CropStoreWriter(
            path, channels=["a", "b", "c"], size=SIDE, dtype="float32",
            source={"kind": "drawn", "simulated": False}, localizations=["x"],
        ) as out:  # fmt: skip
            for _ in range(7):
                cells = pd.DataFrame({"protein": ["p"] * 100, "field": ["f"] * 100})
                images = rng.normal(size=(100, 3, SIDE, SIDE))
                masks = rng.random((2, 100, SIDE, SIDE)) < 0.4
                out.add(images, masks[0], masks[1], cells)
    finally:
        writer.FILE_ROWS = old
    return CropStore(path)


@settings(max_examples=25)
@given(rows=st.lists(st.integers(0, CELLS - 1), max_size=40), images=st.booleans())
def test_rows_are_those_of_the_whole_store(store, rows, images):
    whole = store.arrays()
    found = list(some_rows.read_rows(store, np.array(rows, np.int64), images=images))
    number = np.concatenate([np.zeros(0, np.int64), *(some for some, _ in found)])
    assert number.tolist() == sorted(set(rows))
    for some, arrays in found:
        assert np.array_equal(arrays.masks, whole.masks[some])
        assert np.array_equal(arrays.foregrounds, whole.foregrounds[some])
        expected = whole.images[some] if images else np.zeros((len(some), 3, SIDE, SIDE))
        assert np.array_equal(arrays.images, expected)
        assert np.array_equal(arrays.unpack(arrays.masks), whole.unpack(whole.masks[some]))


def test_large_crops_are_read_a_few_at_a_time(store, monkeypatch):
    monkeypatch.setattr(some_rows, "TOGETHER", 5 * 3 * SIDE * SIDE * 4)
    found = list(some_rows.read_rows(store, np.arange(100)))
    assert max(len(some) for some, _ in found) <= 5
    assert sum(len(some) for some, _ in found) == 100


def test_rows_that_are_not_there_are_an_error(store):
    with pytest.raises(InputError, match="1 of 2 cells have no pixels"):
        list(some_rows.read_rows(store, np.array([3, CELLS])))


@settings(max_examples=25)
@given(
    rows=st.sets(st.integers(0, CELLS - 1), min_size=1),
    most=st.integers(1, 300),
    seed=st.integers(0, 9),
)
def test_a_sample_is_of_few_blocks(store, rows, most, seed):
    asked = np.array(sorted(rows), np.int64)
    drawn = some_rows.from_few_blocks(store, asked, most, seed)
    assert len(drawn) == min(most, len(asked))
    assert set(drawn.tolist()) <= rows
    assert (np.diff(drawn) > 0).all()
    block = np.searchsorted(some_rows.blocks(store), drawn, side="right")
    every = np.searchsorted(some_rows.blocks(store), asked, side="right")
    whole = [b for b in set(block.tolist()) if (block == b).sum() == (every == b).sum()]
    assert len(set(block.tolist())) - len(whole) <= 1, "all blocks but one are taken whole"
    assert np.array_equal(drawn, some_rows.from_few_blocks(store, asked, most, seed))


def test_blocks_are_those_of_the_files(store):
    assert some_rows.blocks(store).tolist() == [0, 256, 300, 556, 600]
