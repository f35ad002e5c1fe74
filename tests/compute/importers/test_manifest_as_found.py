"""Tables and images as people have them: what is read, what is said, what is refused and why."""

import time

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from compute.errors import InputError, UsageError
from compute.importers.manifest import import_manifest
from compute.runs.summary import summarise_store
from compute.store.reader import CropStore

SIZE = 48
ROWS, COLUMNS = np.ogrid[:SIZE, :SIZE]
CELL = (ROWS - 24) ** 2 + (COLUMNS - 24) ** 2 <= 81


def crop(seed, channels=2):
    rng = np.random.default_rng(seed)
    light = gaussian_filter(CELL.astype(float), 1.2)
    return (20 + 100 * light + rng.normal(0, 2, (channels, SIZE, SIZE))).astype(np.uint8)


def table(folder, write, **columns):
    """Write six rows, their images by `write(path without an end, image)`, which gives the name."""
    (folder / "img").mkdir(exist_ok=True)
    rows = []
    for i in range(6):
        gfp, rfp = crop(i)
        row = {"GFP": write(folder / "img" / f"{i}_g", gfp), "protein": f"P{i % 2}"}
        row["RFP"] = write(folder / "img" / f"{i}_r", rfp)
        rows.append({**row, **{name: values[i] for name, values in columns.items()}})
    for row in rows:
        for channel in ("GFP", "RFP"):
            row[channel] = f"img/{row[channel]}"
    pd.DataFrame(rows).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def tiff(path, image, **options):
    tifffile.imwrite(path.with_suffix(".tif"), image, **options)
    return path.name + ".tif"


def expected(folder):
    """Return the pixels of the store of plain 8-bit TIFFs of the same crops, in its order."""
    order = [0, 2, 4, 1, 3, 5]
    return np.stack([crop(i) for i in order])


def as_png(path, image):
    image = np.dstack([image] * 3 + [np.full_like(image, 255)])
    path.with_suffix(".png").write_bytes(imagecodecs.png_encode(image))
    return path.name + ".png"


def as_type(dtype):
    def write(path, image):
        return tiff(path, image.astype(dtype))

    return write


def by_channel(path, image):
    return tiff(path, image.astype(np.uint16 if path.name.endswith("g") else np.uint8))


def as_npy(path, image):
    np.save(path.with_suffix(".npy"), image)
    return path.name + ".npy"


@pytest.mark.parametrize(
    ("write", "dtype", "said"),
    [
        (as_png, "uint8", "12 image(s) in colour have the same grey"),
        (as_type("float16"), "float32", ""),
        (as_type("int32"), "float32", ""),
        (as_type("uint32"), "float32", ""),
        (by_channel, "uint16", ""),
        (as_npy, "uint8", ""),
    ],
)
def test_images_are_read_where_one_reading_is_right(tmp_path, write, dtype, said):
    report = import_manifest(table(tmp_path, write), tmp_path / "store")
    store = CropStore(tmp_path / "store")
    assert store.dtype == dtype
    assert np.array_equal(store.arrays().images, expected(tmp_path))
    assert report.rejected == 0
    assert said in " ".join(report.notes)


def test_paths_of_another_system(tmp_path):
    path = table(tmp_path, tiff)
    path.write_text(path.read_text().replace("img/", "IMG\\"))
    report = import_manifest(path, tmp_path / "store")
    assert report.stored == 6
    assert any("12 path(s) were found under another spelling" in note for note in report.notes)


def test_the_first_files_reason_is_given(tmp_path):
    path = table(tmp_path, tiff)
    path.write_text(path.read_text().replace(".tif", ".png"))
    with pytest.raises(InputError) as caught:
        import_manifest(path, tmp_path / "store")
    assert "row 2 (img/0_g.png): no such file" in caught.value.problem
    assert "nearest: 0_g.tif" in caught.value.problem
    assert "TIFF images" not in str(caught.value)


def stacks(folder, shape, **options):
    rows = []
    for i in range(4):
        image = np.random.default_rng(i).integers(0, 99, shape).astype(np.uint8)
        rows.append({"path": tiff(folder / f"{i}", image, **options), "protein": "A"})
    pd.DataFrame(rows).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def test_a_z_stack_is_no_channels(tmp_path):
    path = stacks(tmp_path, (3, SIZE, SIZE), imagej=True, metadata={"axes": "ZYX"})
    three = {"channels": ("GFP", "RFP", "nuclear")}
    with pytest.raises(InputError, match=r"row 2 \(0.tif\): a Z stack \(axes ZYX\).*--project max"):
        import_manifest(path, tmp_path / "store", **three)
    with pytest.raises(InputError, match="1 channels; 3 expected"):
        import_manifest(path, tmp_path / "store", project="max", **three)
    report = import_manifest(path, tmp_path / "store", channels=["RFP"], project="max")
    assert any("4 image(s) are Z stacks" in note for note in report.notes)
    images = CropStore(tmp_path / "store").arrays().images
    assert np.array_equal(images[0, 0], tifffile.imread(tmp_path / "0.tif").max(0))
    with pytest.raises(UsageError, match=r"'mean'.*max"):
        import_manifest(path, tmp_path / "other", project="mean")


def test_whole_fields_are_refused_at_once(tmp_path):
    image = np.random.default_rng(0).integers(0, 99, (2, 1500, 1500)).astype(np.uint8)
    tiff(tmp_path / "f", image)
    cells = [{"path": "f.tif", "x": i, "y": i, "protein": "A"} for i in range(50)]
    pd.DataFrame(cells).to_csv(tmp_path / "t.csv", index=False)
    begin = time.monotonic()
    with pytest.raises(InputError, match=r"50 rows name 1 different.*x and y.*import fields"):
        import_manifest(tmp_path / "t.csv", tmp_path / "store")
    pd.DataFrame(cells[:1]).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match=r"1500×1500 pixels, which are whole.*import fields"):
        import_manifest(tmp_path / "t.csv", tmp_path / "store")
    assert time.monotonic() - begin < 5


def test_a_row_given_twice_is_a_duplicate_and_no_field(tmp_path):
    path = table(tmp_path, tiff)
    path.write_text(path.read_text() + path.read_text().split("\n", 1)[1])
    report = import_manifest(path, tmp_path / "store")
    assert [item["count"] for item in report.rejections] == [6]
    assert report.rejections[0]["reason"] == "the same pixels as an earlier crop"


PLACES = ["Nucleus", "cytosol", "NUCLEUS", "NA", " nucleus ", "nuclear"]


def test_classes_in_one_spelling_with_counts(tmp_path):
    path = table(tmp_path, tiff, Label=PLACES)
    report = import_manifest(path, tmp_path / "store")
    store = CropStore(tmp_path / "store")
    assert store.localizations == ["cytosol", "nucleus"]
    assert store.cells["localization"].value_counts().to_dict() == {
        "nucleus": 4, "cytosol": 1,
    }  # fmt: skip
    notes = " ".join(report.notes)
    assert "Column `Label` is taken as `localization`." in notes
    assert "NUCLEUS, Nucleus, nuclear, nucleus are one class: nucleus." in notes
    assert "1 row(s) have no localization: NA" in notes
    lines = [fact.line() for fact in summarise_store(tmp_path / "store")]
    assert "  classes: 2: cytosol 1, nucleus 4" in lines


def test_class_names_for_a_manifest(tmp_path):
    path = table(tmp_path, tiff, localization=PLACES)
    report = import_manifest(path, tmp_path / "a", class_names="built-in")
    assert CropStore(tmp_path / "a").cells["localization"].value_counts().to_dict() == {
        "nucleus": 4, "cytoplasm": 1,
    }  # fmt: skip
    assert "NUCLEUS, Nucleus, nuclear: read as nucleus." in report.notes
    (tmp_path / "n.csv").write_text(
        "source,localization\nnuclear,Nucleus\nNucleus,Nucleus\ncytosol,not a cell\n"
    )
    import_manifest(path, tmp_path / "b", class_names=tmp_path / "n.csv")
    store = CropStore(tmp_path / "b")
    assert store.localizations == ["Nucleus"]
    assert store.cells["localization"].value_counts().to_dict() == {"Nucleus": 4}
    assert store.meta["counts"]["flags"]["NOT_A_CELL"] == 1
    path = table(tmp_path, tiff, localization=["Cilium"] * 6)
    with pytest.raises(InputError, match=r"'Cilium' \(row 2.*--class-names keep"):
        import_manifest(path, tmp_path / "c", class_names="built-in")


def test_na_is_a_protein_but_nothing_else(tmp_path):
    path = table(tmp_path, tiff, Mask=["NA"] * 6, orf=["NA"] * 6, localization=["NA"] * 6)
    path.write_text(path.read_text().replace("P0", "NA"))
    import_manifest(path, tmp_path / "store")
    cells = CropStore(tmp_path / "store").cells
    assert set(cells["protein"]) == {"NA", "P1"}
    assert cells[["orf", "localization"]].isna().all(axis=None)


def test_separators(tmp_path):
    path = table(tmp_path, tiff, localization=["ER|Golgi"] * 6)
    report = import_manifest(path, tmp_path / "a")
    assert any("--separators '|'" in note for note in report.notes)
    import_manifest(path, tmp_path / "b", separators="|")
    assert [list(one) for one in CropStore(tmp_path / "b").cells["labels"]] == [["ER", "Golgi"]] * 6


@pytest.mark.parametrize("one_field", [None, "cells", "proteins"])
def test_splits_of_proteins_with_one_field(tmp_path, one_field):
    path = table(tmp_path, tiff)
    report = import_manifest(path, tmp_path / "store", train_share=0.5, one_field=one_field)
    splits = CropStore(tmp_path / "store").cells.groupby("protein")["split"].unique()
    assert any("2 of 2 proteins to be split have one field only" in n for n in report.notes)
    assert report.notes == tuple(CropStore(tmp_path / "store").meta["source"]["notes"])
    together = {name for one in splits for name in one}
    assert together == ({"test"} if one_field is None else {"train", "test"})
    assert (splits.map(len) == (2 if one_field == "cells" else 1)).all()


def test_a_choice_that_does_not_exist(tmp_path):
    path = table(tmp_path, tiff)
    with pytest.raises(UsageError, match=r"'wells'.*cells, proteins"):
        import_manifest(path, tmp_path / "store", train_share=0.5, one_field="wells")
    with pytest.raises(UsageError, match="needs a share"):
        import_manifest(path, tmp_path / "store", one_field="cells")


def test_files_that_come_between_two_imports_are_found(tmp_path):
    """What folders hold is kept in memory for one import only."""
    path = table(tmp_path, tiff)
    rows = path.read_text().replace(".tif", ".TIF")
    path.write_text(rows)
    late = tmp_path / "img" / "5_g.tif"
    content = late.read_bytes()
    late.unlink()
    first = import_manifest(path, tmp_path / "a")
    assert [item["reason"] for item in first.rejections] == ["no such file"]
    late.write_bytes(content)
    assert import_manifest(path, tmp_path / "b").stored == first.stored + 1
