"""The importer of DeepLoc's HDF5 files: classes, flags, parts, and files that are not as said."""

import pickle

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from compute.errors import InputError, UsageError
from compute.importers.chong import import_chong
from compute.schema import LOCALIZATIONS, CellFlag
from compute.store.reader import CropStore

NAMES = ["ACTIN", "BUDTIP", "NUCLEI", "SPINDLEPOLE", "DEAD", "GHOST"]


def cells(count, seed=0):
    """Rows of 8,192 numbers: GFP and RFP of a cell at the centre, with a neighbour."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:64, :64]
    found = ((y - 32) ** 2 + (x - 32) ** 2 < 144) | ((y - 8) ** 2 + (x - 55) ** 2 < 100)
    light = 0.05 + 0.6 * gaussian_filter(found.astype(float), 1.2)
    return (light + rng.normal(0, 0.01, (count, 2, 64, 64))).reshape(count, -1).astype(np.float32)


def one_hot(classes):
    return np.eye(len(NAMES))[np.asarray(classes)]


def write(path, blocks, columns="dataset", names=NAMES):
    with h5py.File(path, "w") as file:
        for number, (data, index) in enumerate(blocks, 1):
            file[f"data{number}"] = data
            if index is not None:
                file[f"Index{number}"] = index
            if columns == "dataset":
                file[f"Index{number}_columns"] = np.array([n.encode() for n in names])
        if columns == "attribute":
            file.attrs["Index1_columns"] = names
    return path


def rejections(report):
    return {item["reason"]: item["count"] for item in report.rejections}


@pytest.mark.parametrize("columns", ["dataset", "attribute"])
def test_round_trip(tmp_path, columns):
    classes = np.array([0, 1, 2, 3, 4, 5] * 3)
    data = cells(18)
    path = write(
        tmp_path / "Chong_valid_set.hdf5",
        [(data[:10], one_hot(classes[:10])), (data[10:], one_hot(classes[10:]))],
        columns,
    )
    report = import_chong(path, tmp_path / "store", parts=2)
    assert (report.found, report.stored, report.rejected) == (18, 18, 0)
    store = CropStore(tmp_path / "store")
    store.check()
    assert store.channels == ["GFP", "RFP"]
    assert store.localizations == list(LOCALIZATIONS)
    assert np.array_equal(store.arrays().images.reshape(18, -1), data)
    found = store.cells
    assert set(found["split"]) == {"validation"}
    places = ["actin", None, "nucleus", "spindle pole", None, None]
    assert found["localization"].astype(object).where(
        found["localization"].notna(), None
    ).tolist() == (places * 3)
    dead = (found["flags"] & int(CellFlag.NOT_A_CELL)) != 0
    assert dead.tolist() == (classes >= 4).tolist()
    assert not store.usable[dead].any()
    assert store.usable[~dead].all()
    assert store.meta["counts"]["flags"]["NOT_A_CELL"] == 6
    assert found["protein"][0] == found["field"][0] == "ACTIN 1"
    assert set(found.loc[classes == 0, "protein"]) == {"ACTIN 1", "ACTIN 2"}
    # Windows of every part, though parts come mixed; none from dead cells or ghosts.
    assert set(store.windows["field"]) == set(found.loc[~dead, "field"])
    for words in ("6 crops are dead cells", "3 BUDTIP", "names neither proteins"):
        assert any(words in note for note in report.notes), words


def test_a_folder_gives_the_splits(tmp_path):
    (tmp_path / "s").mkdir()
    for seed, word in enumerate(("train", "test")):
        write(tmp_path / "s" / f"Chong_{word}_set.hdf5", [(cells(4, seed), one_hot([0, 2, 0, 2]))])
    import_chong(tmp_path / "s", tmp_path / "store", parts=2)
    found = CropStore(tmp_path / "store").cells
    assert found["split"].value_counts().to_dict() == {"train": 4, "test": 4}
    assert (found.groupby("protein")["split"].nunique() == 1).all()


def test_batches_do_not_matter(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5", [(cells(9), one_hot([0, 2, 3] * 3))])
    one = import_chong(path, tmp_path / "a").path
    monkeypatch.setattr("compute.importers.chong.ROWS_AT_ONCE", 2)
    monkeypatch.setattr("compute.importers.part_builder.SEGMENTED_AT_ONCE", 4)
    other = import_chong(path, tmp_path / "b").path
    assert CropStore(one).fingerprint == CropStore(other).fingerprint


def test_bad_rows_are_counted(tmp_path):
    data, index = cells(8), one_hot([0, 2, 0, 2, 0, 2, 0, 2])
    data[1, 5] = np.nan
    data[2] = data[0]
    data[3, :4096] = 1
    index[4] = 0
    index[5, :2] = 1
    data[6, 4] = np.inf
    report = import_chong(write(tmp_path / "a.h5", [(data, index)]), tmp_path / "store")
    assert rejections(report) == {
        "pixels that are not finite (NaN or infinite)": 2,
        "the same pixels as an earlier crop": 1,
        "a channel whose pixels are all the same": 1,
        "0 classes in the index; 1 expected": 1,
        "3 classes in the index; 1 expected": 1,
    }
    assert report.rejections[0]["examples"] == ["a.h5, data1 row 4"]
    assert report.found == 8 == report.stored + report.rejected


def test_own_class_names(tmp_path):
    names = ["ACTIN", "BUDTIP", "lysosome", "x", "DEAD", "GHOST"]
    path = write(tmp_path / "a.h5", [(cells(4), one_hot([1, 2, 2, 1]))], names=names)
    with pytest.raises(InputError, match=r"unknown class name\(s\) 'lysosome', 'x'.*--class-names"):
        import_chong(path, tmp_path / "store")
    table = tmp_path / "names.csv"
    table.write_text("source,localization\nlysosome,vacuole\nx,unlabelled\nBUDTIP,bud neck\n")
    import_chong(path, tmp_path / "store", class_names=table)
    assert CropStore(tmp_path / "store").cells["localization"].tolist() == [
        "bud neck", "vacuole", "vacuole", "bud neck",
    ]  # fmt: skip


def test_files_that_are_not_as_said(tmp_path):
    store, path = tmp_path / "store", tmp_path / "a.h5"
    index = one_hot([0, 2])
    for blocks, columns, match in (
        ([(cells(2), None)], "dataset", "no data set Index1; it has Index1_columns, data1"),
        ([(cells(2), index)], "none", "no Index1_columns"),
        ([(cells(2)[:, :4096], index)], "dataset", "data1 is 2×4096 of float32"),
        ([(cells(3), index)], "dataset", "Index1 is 2×6 of float64"),
        ([(cells(2), index[:, :5])], "dataset", "Index1 is 2×5"),
        ([], "dataset", "no data set called data1"),
    ):
        with pytest.raises(InputError, match=match):
            import_chong(write(path, blocks, columns), store)
    path.write_bytes(b"not HDF5")
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        import_chong(path, store)
    whole = write(path, [(cells(20), one_hot([0] * 20))]).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        import_chong(path, store)
    path.write_bytes(pickle.dumps({"data1": cells(1), "Index1": index}))
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        import_chong(path, store)
    with pytest.raises(InputError, match="no such file"):
        import_chong(tmp_path / "none.h5", store)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.h5 or \.hdf5 file"):
        import_chong(tmp_path / "empty", store)
    with pytest.raises(UsageError, match="parts is 0"):
        import_chong(path, store, parts=0)
    assert not store.exists()


def test_links_to_other_files_are_not_followed(tmp_path):
    write(tmp_path / "other.h5", [(cells(2), one_hot([0, 2]))])
    path = write(tmp_path / "a.h5", [])
    with h5py.File(path, "a") as file:
        file["data1"] = h5py.ExternalLink("other.h5", "data1")
        file["Index1"] = one_hot([0, 2])
        file["Index1_columns"] = np.array([n.encode() for n in NAMES])
    with pytest.raises(InputError, match="data1 is a link to elsewhere"):
        import_chong(path, tmp_path / "store")
