"""The PIFiA importer: both layouts, masks, splits, pickles, and files that cannot be taken."""

import pickle

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from compute.errors import ChangedError, InputError, UsageError
from compute.importers import run_import
from compute.importers.pifia import import_pifia
from compute.store.reader import CropStore

SIZE = 64


def disc(y, x, radius):
    rows, columns = np.ogrid[:SIZE, :SIZE]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


MASK = disc(32, 32, 11)


def crop(seed, channels=3):
    """A cell at the centre and one in a corner, uint16."""
    rng = np.random.default_rng(seed)
    light = gaussian_filter((disc(32, 32, 12) | disc(8, 55, 10)).astype(float), 1.2)
    image = 100 + 1000 * light + rng.normal(0, 8, (channels, SIZE, SIZE))
    return image.astype(np.uint16)


def write_pifia(folder, gene, number, pixels=None, mask=MASK, **options):
    pixels = crop(number) if pixels is None else pixels
    (folder / gene).mkdir(parents=True, exist_ok=True)
    for channel, values in enumerate(pixels, 1):
        path = folder / gene / f"{gene}_ch{channel}_{number}.tiff"
        tifffile.imwrite(path, values, **options)
    if mask is not None:
        values = np.where(mask, 255, 0).astype(np.uint8)
        tifffile.imwrite(folder / gene / f"{gene}_mask_{number}.tiff", values)
    return folder / gene / f"{gene}_ch1_{number}.tiff"


def write_chong(folder, gene, name, seed, mask=MASK):
    (folder / gene).mkdir(parents=True, exist_ok=True)
    gfp, rfp = crop(seed, 2)
    images = {"gfp": gfp, "rfp": rfp}
    if mask is not None:
        images["mask"] = np.where(mask, 255, 0).astype(np.uint8)
    for kind, values in images.items():
        tifffile.imwrite(folder / gene / f"{name}_{kind}.tif", values)


def rejections(report):
    return {item["reason"]: item["count"] for item in report.rejections}


@pytest.fixture
def source(tmp_path):
    for number in range(1, 12):
        write_pifia(tmp_path / "s", "NUP2", number, compression="lzw")
    for number in range(3):
        write_pifia(tmp_path / "s", "ACT1", number, crop(number + 50), mask=None)
    return tmp_path / "s"


def test_round_trip(source, tmp_path):
    (tmp_path / "l.csv").write_text(
        "protein,localization\nNUP2,nuclear envelope\nACT1,lipid particle\n"
    )
    steps = []
    report = import_pifia(
        source, tmp_path / "store", field_cells=5, localizations=tmp_path / "l.csv",
        progress=lambda *step: steps.append(step),
    )  # fmt: skip
    assert (report.found, report.stored, report.rejected, report.usable) == (14, 14, 0, 14)
    assert steps[-1] == ("proteins", 2, 2)
    store = CropStore(tmp_path / "store")
    store.check()
    assert store.channels == ["GFP", "nuclear", "RFP"]
    assert store.dtype == np.uint16
    of_nup2 = store.cells[store.cells["protein"] == "NUP2"]
    assert set(of_nup2["localization"]) == {"nuclear periphery"}
    # In the order of the numbers, not of the names: 1, 2, …, 10, 11.
    assert of_nup2["field"].astype(str).value_counts().to_dict() == {
        "NUP2_1": 5,
        "NUP2_2": 5,
        "NUP2_3": 1,
    }
    arrays = store.arrays()
    for row, number in zip(of_nup2.index, range(1, 12), strict=True):
        assert np.array_equal(arrays.images[row], crop(number))
    masks, foregrounds = arrays.unpack(arrays.masks), arrays.unpack(arrays.foregrounds)
    for row in of_nup2.index:
        assert np.array_equal(masks[row], MASK)
        assert foregrounds[row][disc(8, 55, 7)].all()
        # The marker outlines the cell a little wider: no neighbour may be left of that rim.
        assert not (foregrounds[row] & disc(32, 32, 14) & ~MASK).any()
    assert store.cells.loc[store.cells["protein"] == "ACT1", "mask_area"].min() > 300
    assert store.cells["localization"].isna().sum() == 3
    for words in ("3 cells without a mask", "lipid particle", "count as one field"):
        assert any(words in note for note in report.notes), words
    assert store.meta["source"]["notes"] == list(report.notes)


def test_chong_names(tmp_path):
    for number in range(4):
        write_chong(tmp_path / "s", "ABP1", f"ABP1_plate1_{number}", number)
    write_chong(tmp_path / "s", "ABP1", "ABP1_plate2_0", 9, mask=None)
    report = import_pifia(tmp_path / "s", tmp_path / "store")
    store = CropStore(tmp_path / "store")
    assert store.channels == ["GFP", "RFP"]
    assert (report.found, report.stored) == (5, 5)
    assert store.cells["field"].value_counts().to_dict() == {
        "ABP1_plate1_1": 4, "ABP1_plate2_1": 1,
    }  # fmt: skip


def test_gfp_alone_needs_masks(tmp_path):
    for number in range(3):
        write_pifia(tmp_path / "s", "NUP2", number, crop(number, 1), mask=MASK if number else None)
    report = import_pifia(tmp_path / "s", tmp_path / "store")
    assert CropStore(tmp_path / "store").channels == ["GFP"]
    assert rejections(report) == {"no mask, and no cytosol channel to find the cell in": 1}


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickles_are_never_opened(source, tmp_path):
    sprung = tmp_path / "sprung"
    (source / "splits.pkl").write_bytes(pickle.dumps(Trap(sprung)))
    np.save(source / "protein_to_files_dict.npy", np.array({"a": Trap(sprung)}, object))
    (source / "NUP2" / "files.pickle").write_bytes(pickle.dumps(Trap(sprung)))
    assert b"sprung" in (source / "splits.pkl").read_bytes()  # armed: it names what it would make
    report = import_pifia(source, tmp_path / "store", train_share=0.5, field_cells=2)
    assert not sprung.exists()
    note = next(note for note in report.notes if "pickles" in note)
    assert "3 file(s)" in note
    assert "splits.pkl" in note
    cells = CropStore(tmp_path / "store").cells
    assert set(cells["split"]) == {"train", "test"}
    assert (cells.groupby("field")["split"].nunique() == 1).all()
    # Given as the table, a pickle is text that makes no sense.
    with pytest.raises(InputError):
        import_pifia(source, tmp_path / "b", splits=source / "splits.pkl")
    assert not sprung.exists()


def test_splits_from_tables(source, tmp_path):
    table = tmp_path / "splits.csv"
    table.write_text("file,split\nNUP2/NUP2_ch1_1.tiff,train\nNUP2_ch1_2.tiff,test\n")
    report = import_pifia(source, tmp_path / "a", splits=table)
    cells = CropStore(tmp_path / "a").cells
    assert cells["split"].value_counts().to_dict() == {"train": 1, "test": 1}
    assert any("2 cells have the split" in note for note in report.notes)
    table.write_text("protein,split\nNUP2,train\nACT1,test\n")
    import_pifia(source, tmp_path / "b", splits=table)
    split = CropStore(tmp_path / "b").cells.groupby("protein")["split"].first()
    assert split.to_dict() == {"ACT1": "test", "NUP2": "train"}
    for text, match in (
        ("name,split\na,b\n", "no column `file` or `protein`"),
        ("protein,split\na,b\na,c\n", "row 3: a has two splits"),
        ("protein,split\na,\n", "row 2: an empty cell"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=match):
            import_pifia(source, tmp_path / "c", splits=table)


def test_bad_crops_are_counted_and_the_rest_goes_on(source, tmp_path):
    write_pifia(source, "BAD1", 1).unlink()
    write_pifia(source, "BAD1", 2).with_name("BAD1_ch3_2.tiff").unlink()
    cut = write_pifia(source, "BAD1", 3)
    cut.write_bytes(cut.read_bytes()[:400])
    write_pifia(source, "BAD1", 4, np.zeros((3, 60, 60), np.uint16))
    nan = crop(5).astype(np.float32)
    nan[0, 0, 0] = np.nan
    write_pifia(source, "BAD1", 5, nan)
    write_pifia(source, "BAD1", 6, mask=np.zeros((SIZE, SIZE), bool))
    write_pifia(source, "BAD1", 7, mask=np.ones((60, SIZE), bool))
    mask = write_pifia(source, "BAD1", 8).with_name("BAD1_mask_8.tiff")
    mask.write_bytes(mask.read_bytes()[:300])
    write_pifia(source, "BAD1", 9, crop(99))
    write_pifia(source, "BAD1", 10, crop(99))
    write_pifia(source, "BAD1", 13, crop(9))  # of another protein
    twice = write_pifia(source, "BAD1", 11, crop(98))
    twice.with_suffix(".tif").write_bytes(twice.read_bytes())
    flat = crop(12)
    flat[1] = 7
    write_pifia(source, "BAD1", 12, flat)
    (source / "BAD1" / "picture.png").write_bytes(b"x")
    write_pifia(source, "ZZZ1", 1)
    (source / "ZZZ1").rename(source / "ZZZ2")
    (source / "loose.tiff").write_bytes(b"x")
    report = import_pifia(source, tmp_path / "store")
    assert rejections(report) == {
        "a cell without its GFP image": 1,
        "a cell without its RFP image": 1,
        "unreadable or cut-off image file": 1,
        "60×60 pixels; 64×64 expected": 1,
        "pixels of type float32; uint16 expected": 1,
        "mask: no cell in it": 1,
        "a mask of another shape than the crop": 1,
        "mask: unreadable or cut-off image file": 1,
        "the same pixels as an earlier crop": 2,
        "a second file for the same cell and channel": 1,
        "a channel whose pixels are all the same": 1,
        "a name that is neither GENE_ch1_<n>, GENE_mask_<n> nor <cell>_gfp": 1,
        "the name of another protein than its folder's": 1,
        "an image outside a protein's folder": 1,
    }
    assert report.stored == 14 + 2
    assert report.found == report.stored + report.rejected


@pytest.mark.parametrize("change", ["a file more", "a file less", "a file replaced", "a split"])
def test_an_interrupted_import_notices_another_source(source, tmp_path, monkeypatch, change):
    monkeypatch.setattr(run_import, "CHUNK", 1)
    monkeypatch.setattr(run_import, "COMMIT", 1)
    splits = tmp_path / "splits.csv"
    splits.write_text("protein,split\nNUP2,train\n")

    def interrupt(unit, done, total):
        if done:
            raise KeyboardInterrupt

    def read(**options):
        import_pifia(source, tmp_path / "store", splits=splits, jobs=1, **options)

    with pytest.raises(KeyboardInterrupt):
        read(progress=interrupt)
    file = source / "NUP2" / "NUP2_ch1_3.tiff"
    if change == "a file more":
        write_pifia(source, "ZZZ9", 1)
    elif change == "a file less":
        file.unlink()
    elif change == "a file replaced":
        (tmp_path / "new").write_bytes(file.read_bytes())
        (tmp_path / "new").replace(file)
    else:
        splits.write_text("protein,split\nNUP2,test\n")
    changed = "splits" if change == "a split" else "files"
    with pytest.raises(ChangedError, match=f"begun otherwise: {changed} .*--fresh"):
        read()
    read(fresh=True)
    assert not (tmp_path / ".store.import").exists()


def test_nan_is_rejected(tmp_path):
    for number in range(3):
        pixels = crop(number).astype(np.float32)
        pixels[0, 5, 5] = np.nan if number == 1 else pixels[0, 5, 5]
        write_pifia(tmp_path / "s", "NUP2", number, pixels)
    report = import_pifia(tmp_path / "s", tmp_path / "store")
    assert rejections(report) == {"pixels that are not finite (NaN or infinite)": 1}


def test_errors_say_what_to_do(source, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        import_pifia(tmp_path / "none", tmp_path / "store")
    (tmp_path / "empty" / "NUP2").mkdir(parents=True)
    with pytest.raises(InputError, match="no crop found in 1 folder"):
        import_pifia(tmp_path / "empty", tmp_path / "store")
    with pytest.raises(UsageError, match="field_cells is 0"):
        import_pifia(source, tmp_path / "store", field_cells=0)
