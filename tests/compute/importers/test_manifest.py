"""The manifest importer: CSV and Parquet, masks, pixel types, and rows that cannot be taken."""

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from compute.errors import InputError, UsageError
from compute.importers.manifest import import_manifest
from compute.schema import LOCALIZATIONS
from compute.store.reader import CropStore

SIZE = 48


def disk(y, x, radius):
    rows, columns = np.ogrid[:SIZE, :SIZE]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


CENTRE, NEIGHBOUR = disk(24, 24, 9), disk(4, 42, 9)


def crop(seed, dtype=np.uint16):
    rng = np.random.default_rng(seed)
    light = gaussian_filter((CENTRE | NEIGHBOUR).astype(float), 1.2)
    image = 20 + 100 * light + rng.normal(0, 2, (2, SIZE, SIZE))
    return image.astype(dtype)


def write(folder, name, image, **options):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, image, **options)
    return name


@pytest.fixture
def rows(tmp_path):
    """Six good rows with a file per channel, in two fields that alternate."""
    made = []
    for i in range(6):
        image = crop(i)
        made.append(
            {
                "GFP": write(tmp_path, f"images/{i}_gfp.tif", image[0], compression="lzw"),
                "RFP": write(tmp_path, f"images/{i}_rfp.tif", image[1]),
                "protein": f"P{i % 2}",
                "localization": ["ER", "Golgi"][i % 2],
                "field": f"F{i % 2}",
                "replicate": "1",
                "split": "train" if i < 4 else "test",
                "orf": f"Y{i % 2}",
            }
        )
    return made


def table_of(rows, path):
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


def rejections(report):
    return {item["reason"]: item["count"] for item in report.rejections}


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_round_trip(rows, tmp_path, name):
    report = import_manifest(table_of(rows, tmp_path / name), tmp_path / "store")
    assert (report.found, report.stored, report.usable) == (6, 6, 6)
    store = CropStore(tmp_path / "store")
    store.check()
    assert store.dtype == np.uint16
    assert store.localizations == list(LOCALIZATIONS)
    # Fields lie together, and rows keep their order within.
    assert list(store.cells["field"]) == ["F0"] * 3 + ["F1"] * 3
    assert list(store.cells["split"]) == ["train", "train", "test"] * 2
    assert list(store.cells["orf"]) == ["Y0"] * 3 + ["Y1"] * 3
    arrays = store.arrays()
    for place, number in enumerate([0, 2, 4, 1, 3, 5]):
        assert np.array_equal(arrays.images[place], crop(number))
    assert store.windows.groupby("field").size().to_dict() == {"F0": 3, "F1": 3}
    assert set(store.windows["localization"]) == {"ER", "Golgi"}
    assert store.windows["filled"].all()


def test_many_channels_in_one_file_and_pixel_types(tmp_path):
    for dtype in (np.uint8, np.uint16, np.float32):
        rows = [
            {"path": write(tmp_path, f"{i}.tif", crop(i, dtype)), "protein": "A"} for i in range(2)
        ]
        # Channels last, as some programs write them.
        rows.append({"path": write(tmp_path, "l.tif", crop(2, dtype).transpose(1, 2, 0))})
        rows[-1]["protein"] = "A"
        out = tmp_path / np.dtype(dtype).name
        report = import_manifest(table_of(rows, tmp_path / "table.csv"), out)
        store = CropStore(out)
        assert store.dtype == dtype
        assert np.array_equal(store.arrays().images[2], crop(2, dtype))
        assert set(store.cells["field"]) == {"A"}
        assert any("one field" in note for note in report.notes)
        assert any("no localization" in note for note in report.notes)


def test_root_and_single_channel(rows, tmp_path):
    away = tmp_path / "elsewhere"
    away.mkdir()
    table = table_of(rows, away / "table.csv")
    import_manifest(table, tmp_path / "store", channels=["RFP"], root=tmp_path)
    assert CropStore(tmp_path / "store").channels == ["RFP"]


def test_masks_give_cell_and_neighbours(rows, tmp_path):
    write(tmp_path, "binary.tif", CENTRE.astype(np.uint8) * 255)
    write(tmp_path, "labels.tif", (CENTRE * 7 + NEIGHBOUR * 3).astype(np.int16))
    (tmp_path / "mask.png").write_bytes(imagecodecs.png_encode(CENTRE.astype(np.uint8)))
    for row, mask in zip(rows, ["binary.tif", "labels.tif", "mask.png", "", "", ""], strict=True):
        row["mask"] = mask
        row["field"] = "F"
    import_manifest(table_of(rows, tmp_path / "t.csv"), tmp_path / "store")
    store = CropStore(tmp_path / "store")
    arrays = store.arrays()
    assert store.meta["source"]["masks"] == {"given": 3, "segmented": 3}
    assert store.meta["source"]["marker"] == "RFP"
    masks, foregrounds = arrays.unpack(arrays.masks), arrays.unpack(arrays.foregrounds)
    for i in range(3):
        assert np.array_equal(masks[i], CENTRE)
        # The marker shows the neighbour even where the mask does not.
        assert foregrounds[i][NEIGHBOUR].mean() > 0.8
    assert (masks[3] & CENTRE).sum() > 0.9 * CENTRE.sum()
    import_manifest(table_of(rows[:3], tmp_path / "t.csv"), tmp_path / "gfp", channels=["GFP"])
    arrays = CropStore(tmp_path / "gfp").arrays()
    foregrounds = arrays.unpack(arrays.foregrounds)
    assert np.array_equal(foregrounds[0], CENTRE)
    assert np.array_equal(foregrounds[1], CENTRE | NEIGHBOUR)


def test_class_names(rows, tmp_path):
    rows[0]["localization"] = "lysosome"
    rows[1]["localization"] = "ER; Golgi"
    rows[2]["localization"] = ""
    import_manifest(table_of(rows, tmp_path / "t.csv"), tmp_path / "store")
    store = CropStore(tmp_path / "store")
    assert store.localizations == ["ER", "Golgi", "lysosome"]
    cells = store.cells
    assert cells["localization"].isna().sum() == 2
    several = [list(labels) for labels in cells["labels"] if labels is not None and len(labels) > 1]
    assert several == [["ER", "Golgi"]]


def test_a_localization_table_fills_empty_rows(rows, tmp_path):
    for row in rows[:3]:
        row["localization"] = None
    (tmp_path / "l.csv").write_text("protein;localization\nP0;nucleus\nP1;ER\nQQ;ER\n")
    report = import_manifest(
        table_of(rows, tmp_path / "t.csv"), tmp_path / "store", localizations=tmp_path / "l.csv"
    )
    cells = CropStore(tmp_path / "store").cells
    # Fields lie together: rows 0, 2, 4 are P0's, rows 1, 3, 5 are P1's.
    assert list(cells["localization"]) == ["nucleus", "nucleus", "ER", "ER", "Golgi", "Golgi"]
    assert any("QQ" in note for note in report.notes)


def test_bad_rows_are_counted_and_the_rest_goes_on(rows, tmp_path):
    def bad(**changes):
        number = len(rows)
        image = crop(number)
        row = dict(rows[0])
        row["GFP"] = write(tmp_path, f"images/{number}_gfp.tif", image[0])
        row["RFP"] = write(tmp_path, f"images/{number}_rfp.tif", image[1])
        rows.append({**row, **changes})

    (tmp_path / "cut.tif").write_bytes((tmp_path / rows[0]["RFP"]).read_bytes()[:900])
    (tmp_path / "text.tif").write_text("hello")
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], object))
    flat = write(tmp_path, "flat.tif", np.full((SIZE, SIZE), 9, np.uint16))
    small = write(tmp_path, "small.tif", np.zeros((20, 20), np.uint16))
    colour = write(tmp_path, "colour.tif", np.zeros((SIZE, SIZE, 3), np.uint16), photometric="rgb")
    stack = write(tmp_path, "stack.tif", np.zeros((2, 5, SIZE, SIZE), np.uint16))
    signed = write(tmp_path, "signed.tif", crop(0)[0].astype(np.int32))
    other = write(tmp_path, "other.tif", crop(0)[0].astype(np.uint8))
    bad(RFP="nowhere.tif")
    bad(RFP="")
    bad(RFP="cut.tif")
    bad(RFP="text.tif")
    bad(RFP="pickle.npy")
    bad(RFP="images")
    bad(RFP=flat)
    bad(RFP=small)
    bad(RFP=small, GFP=small)
    bad(RFP=colour)
    bad(RFP=stack)
    bad(RFP=signed, GFP=signed)
    bad(RFP=other)
    bad(protein="")
    bad(GFP=rows[0]["GFP"], RFP=rows[0]["RFP"])
    bad(mask=write(tmp_path, "empty.tif", np.zeros((SIZE, SIZE), np.uint8)))
    bad(mask=small)
    bad(mask="nowhere.tif")
    bad(mask=write(tmp_path, "away.tif", (NEIGHBOUR + 2 * disk(44, 4, 3)).astype(np.uint8)))
    report = import_manifest(table_of(rows, tmp_path / "t.csv"), tmp_path / "store")
    assert rejections(report) == {
        "no such file": 1,
        "an image without a path": 1,
        "unreadable or cut-off image file": 1,
        "no image: TIFF, PNG, JPEG, BMP or .npy expected": 1,
        "a .npy file of Python objects, which are never unpickled": 1,
        "a folder, not an image file": 1,
        # The colour image too, whose red, green and blue are one grey.
        "a channel whose pixels are all the same": 2,
        "the channels differ in size": 1,
        "20×20 pixels; 48×48 expected": 1,
        "an image of 4 dimensions; 2 or 3 expected": 1,
        "pixels of type int32; uint16 expected": 1,
        "pixels of type uint16, uint8; uint16 expected": 1,
        "no protein name": 1,
        "the same pixels as an earlier crop": 1,
        "mask: no cell in it": 1,
        "a mask of another shape than the crop": 1,
        "mask: no such file": 1,
        "a mask without a cell at the centre": 1,
    }
    assert report.stored == 6
    assert report.found == len(rows) == report.stored + report.rejected
    where = next(item for item in report.rejections if item["reason"] == "no such file")
    assert where["examples"] == ["row 8 (images/6_gfp.tif)"]


def test_nan_is_rejected(tmp_path):
    image = crop(0, np.float32)
    broken = image.copy()
    broken[1, 2, 3] = np.inf
    rows = [
        {"path": write(tmp_path, "a.tif", image), "protein": "A"},
        {"path": write(tmp_path, "b.tif", broken), "protein": "A"},
    ]
    report = import_manifest(table_of(rows, tmp_path / "t.csv"), tmp_path / "store")
    assert rejections(report) == {"pixels that are not finite (NaN or infinite)": 1}


def test_values_that_are_not_utf8_are_rejected(rows, tmp_path):
    table = table_of(rows, tmp_path / "t.csv")
    table.write_bytes(table.read_bytes().replace(b"P1,Golgi,F1", b"caf\xe9,Golgi,F1", 1))
    report = import_manifest(table, tmp_path / "store")
    assert rejections(report) == {"a value that is not valid UTF-8": 1}
    assert report.found == report.stored + report.rejected


def test_mixed_pixel_types_name_the_row(rows, tmp_path):
    for channel in ("GFP", "RFP"):
        write(tmp_path, rows[3][channel], crop(3, np.uint8)[0])
    with pytest.raises(InputError, match="row 5: pixels of type uint8, but row 2 has uint16"):
        import_manifest(table_of(rows, tmp_path / "t.csv"), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_errors_say_what_to_do(rows, tmp_path):
    out = tmp_path / "store"
    with pytest.raises(InputError, match="no such file"):
        import_manifest(tmp_path / "none.csv", out)
    table = table_of(rows, tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"missing column\(s\) BFP;.*--channels"):
        import_manifest(table, out, channels=["GFP", "BFP"])
    with pytest.raises(InputError, match=r"6 row\(s\) have no mask.*row 2.*--marker"):
        import_manifest(table, out, channels=["GFP"])
    with pytest.raises(UsageError, match="names must be there and differ"):
        import_manifest(table, out, channels=[])
    with pytest.raises(UsageError, match="cannot be called mask"):
        import_manifest(table, out, channels=["GFP", "mask"])
    without = [{key: row[key] for key in ("GFP", "RFP")} for row in rows]
    with pytest.raises(InputError, match=r"missing column\(s\) protein"):
        import_manifest(table_of(without, table), out)
    with pytest.raises(InputError, match="not one crop could be read"):
        import_manifest(table_of([{**row, "GFP": "x"} for row in rows], table), out)
    (tmp_path / "t.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        import_manifest(tmp_path / "t.parquet", out)
    assert not out.exists()


def test_crops_that_are_not_square(tmp_path):
    rows = [{"path": write(tmp_path, "a.tif", np.zeros((2, 40, 50), np.uint8)), "protein": "A"}]
    with pytest.raises(InputError, match="40×50 pixels; a store needs square crops"):
        import_manifest(table_of(rows, tmp_path / "t.csv"), tmp_path / "store")
