"""The crop store's writer and reader: round trip, whole or nothing, refusals, rejections."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from compute.errors import InputError, UsageError
from compute.schema import STORE_VERSION, CellFlag
from compute.storage.sealed_json import sealed
from compute.store import writer as writing
from compute.store.reader import CropStore
from compute.store.writer import CropStoreWriter
from tests.screen import draw_store

SIZE = 16
SOURCE = {"kind": "test", "simulated": False}


def make(n, seed=0, dtype=np.uint16):
    rng = np.random.default_rng(seed)
    images = (rng.random((n, 2, SIZE, SIZE)) * 200).astype(dtype)
    masks = np.zeros((n, SIZE, SIZE), bool)
    masks[:, 5:11, 5:11] = True
    foregrounds = masks.copy()
    foregrounds[:, :3, :4] = rng.random((n, 3, 4)) > 0.5
    cells = pd.DataFrame(
        {
            "protein": [f"P{i % 3}" for i in range(n)],
            "field": [f"F{i % 2}" for i in range(n)],
            "localization": ["ER", None, "Golgi"][0:1] * n,
        }
    )
    return images, masks, foregrounds, cells


def open_writer(path, dtype="uint16", **options):
    given = {"channels": ["GFP", "RFP"], "size": SIZE, "source": SOURCE, **options}
    return CropStoreWriter(path, dtype=dtype, **given)


def write_store(path, n=5, seed=0, **options):
    with open_writer(path, **options) as store:
        store.add(*make(n, seed))
    return CropStore(path)


def write_while(path, meanwhile, **options):
    """Write a store; something else happens before it is finished."""
    with open_writer(path, **options) as store:
        store.add(*make(5))
        meanwhile()


def put_mine(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "mine").write_text("mine")


def test_files_of_large_crops_have_fewer_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "FILE_BYTES", 3 * 12 * 64 * 64 * 2 + 5)
    path = draw_store(tmp_path / "store", [f"c{i}" for i in range(12)], 64, ("a", "b"), cells=2)
    store = CropStore(path)
    store.check()
    assert len(store._files("crops")) == 3  # 8 crops, 3 in a file
    assert store.arrays().images.shape == (8, 12, 64, 64)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_round_trip(tmp_path, dtype, monkeypatch):
    monkeypatch.setattr(writing, "FILE_ROWS", 4)
    images, masks, foregrounds, cells = make(11, dtype=dtype)
    with open_writer(tmp_path / "store", dtype) as store:
        store.add(images[:3], masks[:3], foregrounds[:3], cells[:3])
        store.add(images[3:3], masks[3:3], foregrounds[3:3], cells[3:3])
        store.add(images[3:], masks[3:], foregrounds[3:], cells[3:].reset_index(drop=True))
        store.add_windows(images[:2], field="F0", protein="P0", localization="ER")
        store.add_windows(images[:0], field="F0", protein="P0", localization="ER")
        store.add_windows(
            images[2:3], field="F1", protein="P1", localization=None, replicate="2", filled=True
        )
    store = CropStore(tmp_path / "store")
    store.check()
    assert len(store._files("crops")) == 3
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        arrays = store.arrays(cache)
        assert arrays.images.dtype == dtype
        assert np.array_equal(arrays.images, images)
        assert np.array_equal(arrays.unpack(arrays.masks), masks)
        assert np.array_equal(arrays.unpack(arrays.foregrounds), foregrounds)
        assert np.array_equal(arrays.windows, images[:3])
    assert list(store.cells["cell"]) == list(range(11))
    assert list(store.cells["protein"]) == list(cells["protein"])
    assert (store.cells["mask_area"] == 36).all()
    expected = (foregrounds & ~masks).mean((1, 2))
    assert np.allclose(store.cells["neighbour_fraction"], expected)
    assert store.usable.all()
    assert list(store.windows["window"]) == [0, 1, 2]
    assert list(store.windows["filled"]) == [False, False, True]
    assert store.truth is None
    assert store.meta["counts"]["cells"] == 11
    assert store.meta["counts"]["windows"] == 3


def test_labels_and_truth(tmp_path):
    images, masks, foregrounds, cells = make(3)
    cells["localization"] = pd.Series(["ER", None, None], dtype=object)
    cells["labels"] = pd.Series([None, ["ER", "Golgi"], None], dtype=object)
    truth = np.array([[1.0, 0, 0], [0.25, 0.75, 0], [0, 0, 1]])
    with open_writer(tmp_path / "s", localizations=["ER", "Golgi", "actin"]) as store:
        store.add(images, masks, foregrounds, cells, truth)
    store = CropStore(tmp_path / "s")
    labels = [None if each is None else list(each) for each in store.cells["labels"]]
    assert labels == [["ER"], ["ER", "Golgi"], None]
    assert store.cells["localization"].notna().tolist() == [True, False, False]
    assert list(store.truth["proportion"]) == [1, 0.25, 0.75, 1]
    assert list(store.truth["localization"]) == ["ER", "ER", "Golgi", "actin"]


def test_quality_flags(tmp_path):
    images, masks, foregrounds, cells = make(5)
    masks[0] = False
    masks[1] = np.roll(masks[1], 5, axis=0)
    masks[2, :, 4:12] = True
    foregrounds[3] = True
    with open_writer(tmp_path / "s") as store:
        store.add(images, masks, foregrounds, cells)
    store = CropStore(tmp_path / "s")
    flags = [CellFlag(flag) for flag in store.cells["flags"]]
    assert flags[0] == CellFlag.EMPTY_MASK
    assert flags[1] & CellFlag.OFF_CENTRE
    assert flags[2] & CellFlag.TOUCHES_BORDER
    assert flags[3] == CellFlag.LITTLE_MEDIUM
    assert flags[4] == CellFlag.NONE
    assert store.usable.tolist() == [False, False, False, True, True]
    assert store.meta["counts"]["usable"] == 2


def test_the_same_crops_make_the_same_store(tmp_path):
    one, other = write_store(tmp_path / "a"), write_store(tmp_path / "b")
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != write_store(tmp_path / "c", seed=1).fingerprint


def test_nothing_appears_when_something_goes_wrong(tmp_path):
    def fail():
        with open_writer(tmp_path / "store") as store:
            store.add(*make(3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_old_store_stays_when_its_replacement_fails(tmp_path):
    before = write_store(tmp_path / "store")

    def fail():
        with open_writer(tmp_path / "store", overwrite=True) as store:
            store.add(*make(3, seed=9))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert CropStore(tmp_path / "store").fingerprint == before.fingerprint
    after = write_store(tmp_path / "store", seed=9, overwrite=True)
    assert after.fingerprint != before.fingerprint
    after.check()


def test_refusals(tmp_path):
    write_store(tmp_path / "store")
    with pytest.raises(UsageError, match="--overwrite"):
        open_writer(tmp_path / "store")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("words")
    with pytest.raises(UsageError, match="not a crop store"):
        open_writer(tmp_path / "mine", overwrite=True)
    (tmp_path / "file").write_text("words")
    with pytest.raises(UsageError, match="not a crop store"):
        open_writer(tmp_path / "file", overwrite=True)
    with pytest.raises(UsageError, match="Allowed: uint8, uint16, float32"):
        open_writer(tmp_path / "new", "int64")
    for options in ({"size": 4}, {"channels": []}, {"channels": ["GFP", "GFP"]}):
        with pytest.raises(UsageError, match="at least 8 pixels"):
            open_writer(tmp_path / "new", **options)


def test_wrong_crops_are_refused(tmp_path):
    images, masks, foregrounds, cells = make(3, dtype=np.float32)
    with open_writer(tmp_path / "store", "float32") as store:
        store.add(images, masks, foregrounds, cells)
        with pytest.raises(InputError, match="expected"):
            store.add(images[:, :1], masks, foregrounds, cells)
        with pytest.raises(InputError, match="expected"):
            store.add(images, masks[:2], foregrounds, cells)
        with pytest.raises(InputError, match="expected"):
            store.add(images, masks, foregrounds, cells[:2])
        broken = images.copy()
        broken[1, 0, 2, 2] = np.nan
        with pytest.raises(InputError, match="not finite"):
            store.add(broken, masks, foregrounds, cells)
        with pytest.raises(InputError, match="unknown localization 'nowhere'"):
            store.add(images, masks, foregrounds, cells.assign(localization="nowhere"))
    assert len(CropStore(tmp_path / "store").cells) == 3


def test_rejections_are_counted_with_examples(tmp_path):
    with open_writer(tmp_path / "store") as store:
        store.add(*make(1))
        for number in range(30):
            store.reject("too blurred", f"file {number}")
        store.reject("a cat", "file 99")
    found = CropStore(tmp_path / "store").meta["rejections"]
    assert [(item["reason"], item["count"], len(item["examples"])) for item in found] == [
        ("a cat", 1, 1),
        ("too blurred", 30, 20),
    ]


def test_a_store_of_nothing_says_why(tmp_path):
    def fail():
        with open_writer(tmp_path / "store") as store:
            store.reject("too blurred", "a")
            store.reject("too blurred", "b")

    with pytest.raises(InputError, match="2 × too blurred"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_other_versions_and_altered_files_are_refused(tmp_path):
    write_store(tmp_path / "store")
    meta = tmp_path / "store" / "store.json"
    content = json.loads(meta.read_text("utf-8"))
    meta.write_text(json.dumps({**content, "schema_version": STORE_VERSION + 1}), "utf-8")
    with pytest.raises(InputError, match=f"schema version {STORE_VERSION + 1}"):
        CropStore(tmp_path / "store")
    meta.write_text("{", "utf-8")
    with pytest.raises(InputError, match="not readable JSON"):
        CropStore(tmp_path / "store")
    meta.write_bytes(sealed(content))
    crops = next((tmp_path / "store").glob("crops-*.parquet"))
    whole = crops.read_bytes()
    crops.write_bytes(whole[:-50])
    with pytest.raises(InputError, match="altered"):
        CropStore(tmp_path / "store").check()
    with pytest.raises(InputError, match="altered"):
        CropStore(tmp_path / "store").arrays()
    crops.unlink()
    with pytest.raises(InputError, match="missing"):
        CropStore(tmp_path / "store").check()
    with pytest.raises(InputError, match="not a crop store"):
        CropStore(tmp_path / "nowhere")


def test_what_appears_at_the_path_meanwhile_is_never_deleted(tmp_path):
    path = tmp_path / "store"
    with pytest.raises(UsageError, match="exists already"):
        write_while(path, lambda: put_mine(path))
    assert [item.name for item in tmp_path.rglob("*")] == ["store", "mine"]


def test_of_two_stores_at_one_path_the_second_is_refused(tmp_path):
    path, first = tmp_path / "store", write_store(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match="exists already"):
        write_while(path, lambda: first.path.rename(path))
    CropStore(path).check()
    assert CropStore(path).fingerprint == first.fingerprint


def test_only_a_store_is_overwritten_also_when_it_appears_meanwhile(tmp_path):
    path = write_store(tmp_path / "store").path
    with pytest.raises(UsageError, match="is not a crop store"):
        write_while(path, lambda: put_mine(path), overwrite=True)
    assert [item.name for item in tmp_path.rglob("*")] == ["store", "mine"]


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    left = tmp_path / ".store.1.tmp"
    (left / "store").mkdir(parents=True)
    (left / "store" / "crops-00000.parquet").write_bytes(b"half")
    write_store(tmp_path / "store")
    assert [item.name for item in tmp_path.iterdir()] == ["store"]
