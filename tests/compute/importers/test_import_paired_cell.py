"""The Paired Cell importer: whole folders, and every way in which one can be broken."""

import os
import pickle

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from compute.errors import InputError, UsageError
from compute.importers import part_builder
from compute.importers.paired_cell import import_paired_cell
from compute.schema import LOCALIZATIONS
from compute.store.reader import CropStore

SIZE = 64


def crop(seed):
    """Two channels, float32 in [0, 1], one cell at the centre and one beside it."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:SIZE, :SIZE]
    cells = ((y - 32) ** 2 + (x - 32) ** 2 < 144) | ((y - 8) ** 2 + (x - 55) ** 2 < 100)
    light = gaussian_filter(cells.astype(float), 1.2)
    image = 0.08 + 0.5 * light * rng.uniform(0.5, 1, (2, 1, 1)) + rng.normal(0, 0.01, (2, 64, 64))
    return np.clip(image, 0, 1).astype(np.float32)


def write_crop(folder, gene, image, number, pixels=None, **options):
    pixels = crop(number) if pixels is None else pixels
    (folder / gene).mkdir(parents=True, exist_ok=True)
    for channel, values in zip(("gfp", "rfp"), pixels, strict=True):
        name = f"{gene}_{image}_rfp_{number}_{channel}.tif"
        tifffile.imwrite(folder / gene / name, values, **options)
    return folder / gene / f"{gene}_{image}_rfp_{number}_gfp.tif"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    for number in range(4):
        write_crop(folder, "AAC1", 1, number)
        write_crop(folder, "AAC1", 2, number + 10, compression="lzw")
    for number in range(20, 23):
        write_crop(folder, "AAH1", 1, number)
    return folder


def rejections(report):
    return {item["reason"]: item["count"] for item in report.rejections}


def test_round_trip(source, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "protein,localization,orf\nAAC1,mitochondrion,YMR056C\nAAH1,cytoplasm\n".replace(
            "cytoplasm\n", "cytoplasm,\nAAH1,nucleus,\nXYZ1,ER,\n"
        )
    )
    steps = []
    report = import_paired_cell(
        source,
        tmp_path / "store",
        localizations=table,
        progress=lambda *step: steps.append(step),
    )
    assert (report.found, report.stored, report.rejected, report.usable) == (11, 11, 0, 11)
    assert steps[-1] == ("genes", 2, 2)
    store = CropStore(tmp_path / "store")
    store.check()
    assert store.channels == ["GFP", "RFP"]
    assert store.dtype == np.float32
    assert store.localizations == list(LOCALIZATIONS)
    assert not store.simulated
    cells = store.cells
    assert cells["split"].isna().all()
    assert set(cells["field"]) == {"AAC1_1", "AAC1_2", "AAH1_1"}
    of_aac1 = cells[cells["protein"] == "AAC1"]
    assert set(of_aac1["localization"]) == {"mitochondrion"}
    assert set(of_aac1["orf"]) == {"YMR056C"}
    of_aah1 = cells[cells["protein"] == "AAH1"]
    assert of_aah1["localization"].isna().all()
    assert list(of_aah1["labels"].iloc[0]) == ["cytoplasm", "nucleus"]
    arrays = store.arrays()
    row = cells.index[(cells["field"] == "AAH1_1")][2]
    assert np.array_equal(arrays.images[row], crop(22))
    assert arrays.unpack(arrays.masks)[row].sum() > 300
    windows = store.windows
    assert windows["filled"].all()
    assert windows.groupby("field").size().to_dict() == {"AAC1_1": 3, "AAC1_2": 3, "AAH1_1": 3}
    # The cell, 0.5 above the medium, is gone from the marker.
    assert arrays.windows[:, 1].max() < 0.2
    assert any("XYZ1" in note for note in report.notes)
    assert any("several places" in note for note in report.notes)


def test_without_a_table_nothing_is_labelled(source, tmp_path):
    report = import_paired_cell(source, tmp_path / "store")
    assert CropStore(tmp_path / "store").cells["localization"].isna().all()
    assert any("2 proteins have no label" in note for note in report.notes)


def test_fields_are_dealt_to_splits(source, tmp_path):
    import_paired_cell(source, tmp_path / "store", train_share=0.5)
    cells = CropStore(tmp_path / "store").cells
    assert (cells.groupby("field")["split"].nunique() == 1).all()
    assert set(cells["split"]) == {"train", "test"}


def test_a_field_without_medium_has_no_window(source, tmp_path):
    bright = np.random.default_rng(0).normal(0.5, 0.01, (2, 64, 64)).astype(np.float32)
    bright[:, 31:33] -= 0.4  # two cells that fill the crop, and the line between them
    write_crop(source, "FUL1", 1, 0, bright)
    report = import_paired_cell(source, tmp_path / "store")
    store = CropStore(tmp_path / "store")
    assert "FUL1_1" not in set(store.windows["field"])
    assert any("1 field(s) have no window" in note for note in report.notes)
    assert store.meta["source"]["notes"] == list(report.notes)


def test_twice_is_the_same(source, tmp_path):
    import_paired_cell(source, tmp_path / "a")
    import_paired_cell(source, tmp_path / "b")
    assert CropStore(tmp_path / "a").fingerprint == CropStore(tmp_path / "b").fingerprint


def test_batches_do_not_matter(source, tmp_path, monkeypatch):
    import_paired_cell(source, tmp_path / "a")
    monkeypatch.setattr(part_builder, "SEGMENTED_AT_ONCE", 3)
    import_paired_cell(source, tmp_path / "b")
    one, other = CropStore(tmp_path / "a"), CropStore(tmp_path / "b")
    for name in ("images", "masks", "foregrounds", "windows"):
        assert np.array_equal(getattr(one.arrays(), name), getattr(other.arrays(), name))
    assert one.windows.equals(other.windows)


def test_bad_crops_are_counted_and_the_rest_goes_on(source, tmp_path):
    write_crop(source, "BAD1", 1, 0).with_name("BAD1_1_rfp_0_rfp.tif").unlink()
    write_crop(source, "BAD1", 1, 1).unlink()
    cut = write_crop(source, "BAD1", 1, 2)
    cut.write_bytes(cut.read_bytes()[:500])
    write_crop(source, "BAD1", 1, 3).write_bytes(b"")
    write_crop(source, "BAD1", 1, 4, np.zeros((2, 60, 64), np.float32))
    tifffile.imwrite(
        write_crop(source, "BAD1", 1, 5), np.zeros((64, 64, 3), np.uint8), photometric="rgb"
    )
    nan = crop(6)
    nan[0, 3, 3] = np.nan
    write_crop(source, "BAD1", 1, 6, nan)
    flat = crop(7)
    flat[0] = 0.5
    write_crop(source, "BAD1", 1, 7, flat)
    write_crop(source, "BAD1", 1, 8, np.zeros((2, 64, 64), np.complex64))
    sizes = write_crop(source, "BAD1", 1, 9)
    tifffile.imwrite(sizes, np.zeros((32, 32), np.float32))
    twice = write_crop(source, "BAD1", 1, 30)
    twice.with_suffix(".tiff").write_bytes(twice.read_bytes())
    (source / "BAD1" / "picture.tif").write_bytes(b"x")
    (source / "BAD1" / "notes.txt").write_text("not an image")
    (source / "loose.tif").write_bytes(b"x")
    write_crop(source, "AAC9", 1, 0)
    (source / "AAC9").rename(source / "AAC8")
    write_crop(source, "BAD1", 2, 0)
    report = import_paired_cell(source, tmp_path / "store")
    assert rejections(report) == {
        "GFP without its RFP partner": 1,
        "RFP without its GFP partner": 1,
        "unreadable or cut-off image file": 1,
        "an empty file": 1,
        "60×64 pixels; 64×64 expected": 1,
        "pixels that are not finite (NaN or infinite)": 1,
        # The colour image too, whose red, green and blue are one grey.
        "a channel whose pixels are all the same": 2,
        "pixels of type complex64; whole numbers or floats expected": 1,
        "the channels differ in size": 1,
        "a second file for the same cell and channel": 1,
        "a name that is not GENE_<image>_rfp_<n>_gfp or _rfp": 1,
        "an image outside a gene's folder": 1,
        "the name of another gene than its folder's": 1,
        "the same pixels as an earlier crop": 1,
    }
    assert report.stored == 12
    assert report.found == report.stored + report.rejected
    assert CropStore(tmp_path / "store").meta["rejections"] == list(report.rejections)


def test_names_that_are_not_utf8_are_rejected(source, tmp_path):
    gene = os.fsdecode(b"caf\xe9")
    try:
        write_crop(source, gene, 1, 50)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    report = import_paired_cell(source, tmp_path / "store")
    assert rejections(report) == {"a name that is not valid UTF-8": 1}
    assert report.rejections[0]["examples"] == ["caf\\xe9/caf\\xe9_1_rfp_50"]


def test_the_size_is_that_of_most_crops(source, tmp_path):
    write_crop(source, "AAA1", 1, 0, np.random.default_rng(0).random((2, 80, 80), np.float32))
    report = import_paired_cell(source, tmp_path / "store")
    assert CropStore(tmp_path / "store").size == 64
    assert rejections(report) == {"80×80 pixels; 64×64 expected": 1}


def test_integer_pixels_become_float32(source, tmp_path):
    whole = (crop(40) * 60000).astype(np.uint16)
    write_crop(source, "ZZZ1", 1, 40, whole)
    import_paired_cell(source, tmp_path / "store")
    assert np.array_equal(CropStore(tmp_path / "store").arrays().images[-1], whole)


def test_errors_say_what_to_do(source, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        import_paired_cell(tmp_path / "nowhere", tmp_path / "store")
    (tmp_path / "empty" / "AAC1").mkdir(parents=True)
    with pytest.raises(InputError, match="no crop found in 1 folder"):
        import_paired_cell(tmp_path / "empty", tmp_path / "store")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        import_paired_cell(source, tmp_path / "store")
    with pytest.raises(UsageError, match="not a crop store"):
        import_paired_cell(source, tmp_path / "store", overwrite=True)


def test_nothing_that_can_be_taken(tmp_path):
    for number in range(3):
        write_crop(tmp_path / "source", "AAC1", 1, number, np.zeros((2, 64, 64), np.float32))
    with pytest.raises(InputError, match="3 × a channel whose pixels are all the same"):
        import_paired_cell(tmp_path / "source", tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("gene,place\nAAC1,ER\n", r"missing column\(s\) localization; it has gene, place"),
        ("protein,localization\n", "has no rows"),
        (
            "protein,localization\nAAC1,mitochondrium\nAAH1,ER;Nuclos\n",
            r"'mitochondrium' \(row 2; did you mean 'mitochondrion'\?\), 'Nuclos' \(row 3;.*"
            "Allowed: actin, bud neck",
        ),
        ("protein,localization\n,ER\n", "row 2: no protein"),
        ("protein,localization\nAAC1,ER,more\n", "line 2: 3 values; the header has 2"),
        ("protein,localization,protein\nAAC1,ER,B\n", "protein twice"),
        ('protein,localization\nAAC1,"ER\n', "cannot be read as CSV"),
    ],
)
def test_bad_localization_tables(source, tmp_path, text, match):
    table = tmp_path / "table.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=match):
        import_paired_cell(source, tmp_path / "store", localizations=table)
    assert not (tmp_path / "store").exists()


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["table.pkl", "table.csv", "table.npy", "table.parquet"])
@pytest.mark.parametrize("option", ["localizations", "class_names"])
def test_a_pickle_given_as_a_table_is_not_opened(source, tmp_path, name, option):
    sprung, table = tmp_path / "sprung", tmp_path / name
    table.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(InputError, match=name):
        import_paired_cell(source, tmp_path / "store", **{option: table})
    assert not sprung.exists()


def test_a_localization_table_that_is_not_there(source, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        import_paired_cell(source, tmp_path / "store", localizations=tmp_path / "none.csv")


@pytest.mark.long
def test_real_crops(shared, tmp_path):
    report = import_paired_cell(shared / "paired_cell_yeast", tmp_path / "store")
    assert report.found == report.stored == 552
    assert report.usable >= 0.95 * 552
    store = CropStore(tmp_path / "store")
    images = store.arrays().images
    files = (shared / "paired_cell_yeast" / "AAC1").glob("AAC1_1_rfp_*_gfp.tif")
    first = min(files, key=lambda file: int(file.stem.split("_")[3]))
    assert np.array_equal(images[0, 0], tifffile.imread(first))
    assert store.windows["field"].nunique() == store.cells["field"].nunique() == 15
