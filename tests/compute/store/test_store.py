"""Pixels on disk: rows as numpy would give them, one copy for several processes."""

import multiprocessing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.errors import InputError
from compute.store import reader as module
from compute.store.reader import CropStore, PixelFile

SHAPE = (40, 2, 3, 5)


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).integers(0, 2**16, SHAPE).astype(np.uint16)


@pytest.fixture(scope="module")
def file(values, tmp_path_factory):
    path = tmp_path_factory.mktemp("pixels") / "a.npy"
    np.save(path, values)
    return PixelFile(path)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.integers(0, SHAPE[0] - 1), max_size=60))
def test_rows_are_those_of_the_array(file, values, rows):
    asked = np.array(rows, np.int64)
    found = file[asked]
    assert found.dtype == values.dtype
    assert np.array_equal(found, values[asked])
    found[:] = 0
    assert np.array_equal(file[asked], values[asked]), "what was read is the caller's own"


def test_slices_and_the_whole(file, values):
    assert np.array_equal(file[3:9], values[3:9])
    assert np.array_equal(np.asarray(file), values)
    assert (len(file), file.shape, file.dtype) == (40, SHAPE, np.uint16)


@pytest.mark.parametrize("rows", [[0, 40], [-1]])
def test_rows_that_are_not_there_are_refused(file, rows):
    with pytest.raises(IndexError, match="of 40"):
        file[rows]


def test_a_file_that_was_cut_short_is_noticed(values, tmp_path):
    path = tmp_path / "short.npy"
    np.save(path, values)
    file = PixelFile(path)
    with path.open("rb+") as handle:
        handle.truncate(path.stat().st_size - 7)
    assert np.array_equal(file[[0]], values[[0]])
    with pytest.raises(InputError, match=r"short\.npy was cut short"):
        file[[39]]


def _copy(store, cache, sums):
    arrays = CropStore(store).arrays(cache)
    sums.put(int(np.asarray(arrays.images).astype(np.int64).sum()))


def test_processes_share_one_copy(store, tmp_path):
    context = multiprocessing.get_context("spawn")
    sums = context.Queue()
    workers = [context.Process(target=_copy, args=(store, tmp_path, sums)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = {sums.get(timeout=120) for _ in workers}
    for worker in workers:
        worker.join()
    assert found == {int(CropStore(store).arrays().images.astype(np.int64).sum())}
    assert len(list(tmp_path.glob("*.npy"))) == 4
    assert not list(tmp_path.glob(".*.tmp"))


def test_the_first_rows_alone_can_be_read(store):
    opened = CropStore(store)
    whole, some = opened.arrays(), opened.arrays(first=30)
    for name in ("images", "masks", "foregrounds", "windows"):
        assert np.array_equal(getattr(some, name), getattr(whole, name)[:30])
    assert len(opened.arrays(first=10**6).images) == len(opened.cells)


def test_cells_with_the_same_labels_share_one_list(store):
    labels = CropStore(store).cells["labels"]
    alike = {}
    for each in labels:
        alike.setdefault(tuple(each), set()).add(id(each))
    assert len(alike) >= 15
    assert all(len(objects) == 1 for objects in alike.values())


def test_copying_decodes_a_row_group_at_a_time(store, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CROP_ROW_GROUP", 7)
    seen = []
    opened = CropStore(store)
    shape = (len(opened.cells), 2, 64, 64)
    for rows in opened._decoded("crops", "image", shape, opened.dtype):
        seen.append(len(rows))
    assert sum(seen) == shape[0]
    assert max(seen) <= 7
