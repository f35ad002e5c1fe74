"""The importer of whole fields: crops, masks, windows, tables, and fields that cannot be taken."""

import unicodedata

import imagecodecs
import numpy as np
import pytest
import tifffile
from scipy import ndimage

from compute.errors import InputError, UsageError
from compute.importers import part_builder
from compute.importers.class_names import ClassNames
from compute.importers.cut_fields import (
    CuttingConfig,
    find_cells,
    find_unlabelled,
    place_windows,
    separate,
    shared_labels,
)
from compute.importers.field_record import FieldRecord
from compute.importers.field_table import plate_well, read_strains
from compute.importers.fields import import_fields
from compute.importers.localization_table import LocalizationTable
from compute.importers.mask_shapes import renumber
from compute.runs.summary import summarise_store
from compute.store.reader import CropStore

SIDE, SIZE = 160, 32
CONFIG = CuttingConfig(size=SIZE, windows=4)


def disc(y, x, radius, side=SIDE):
    rows, columns = np.ogrid[:side, :side]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def field(seed=0, unlabelled=()):
    """Three channels and labels: five whole cells, one at the edge, numbered with gaps."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.int16)
    places = [(30, 30), (30, 52), (60, 40), (100, 30), (130, 60), (5, 140)]
    for number, place in zip((2, 3, 5, 9, 40, 41), places, strict=True):
        labels[disc(*place, 9) & (labels == 0)] = number
    light = (labels > 0).astype(float)
    for place in unlabelled:
        light[disc(*place, 8)] = 0.6
    light = ndimage.gaussian_filter(light, 1)
    image = 100 + 1000 * light + rng.normal(0, 5, (3, SIDE, SIDE))
    return image.astype(np.uint16), labels


def write_field(folder, name="r01c01f01p01", image=None, labels=None, **options):
    folder.mkdir(parents=True, exist_ok=True)
    made = field()
    image = made[0] if image is None else image
    labels = made[1] if labels is None else labels
    for number, channel in enumerate(image, 1):
        tifffile.imwrite(folder / f"{name}-ch{number}sk1fk1fl1.tiff", channel, **options)
    tifffile.imwrite(folder / f"{name}_labeled.tiff", labels, **options)


def rejections(report):
    return {item["reason"]: item["count"] for item in report.rejections}


def test_round_trip(tmp_path):
    write_field(tmp_path / "s", compression="lzw")
    report = import_fields(tmp_path / "s", tmp_path / "store", config=CONFIG)
    assert (report.found, report.stored, report.rejected) == (6, 5, 1)
    assert rejections(report) == {"too near the field's edge for a whole 32×32 crop": 1}
    assert report.rejections[0]["examples"] == ["r01c01f01p01, label 41"]
    store = CropStore(tmp_path / "store")
    store.check()
    assert store.channels == ["GFP", "nuclear", "RFP"]
    assert (store.dtype, store.size) == (np.uint16, SIZE)
    assert set(store.cells["protein"]) == {"r01c01"}
    image, labels = field()
    arrays = store.arrays()
    masks, foregrounds = arrays.unpack(arrays.masks), arrays.unpack(arrays.foregrounds)
    for row, (y, x) in enumerate([(30, 30), (30, 52), (60, 40), (100, 30), (130, 60)]):
        box = slice(y - 15, y + 17), slice(x - 15, x + 17)
        # A centroid on half a pixel may round either way.
        found = [
            (dy, dx)
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
            if np.array_equal(
                arrays.images[row],
                image[
                    :, box[0].start + dy : box[0].stop + dy, box[1].start + dx : box[1].stop + dx
                ],
            )
        ]
        assert len(found) == 1
        (dy, dx), cut = found[0], labels
        cut = cut[box[0].start + dy : box[0].stop + dy, box[1].start + dx : box[1].stop + dx]
        assert np.array_equal(masks[row], cut == labels[y, x])
        assert np.array_equal(foregrounds[row], cut > 0)
    windows = store.windows
    assert not windows["filled"].any()
    assert len(windows) == report.windows == 4
    assert arrays.windows.max() < 150  # the marker of any cell is at 1100
    assert any("4 windows were cut" in note for note in report.notes)
    assert store.meta["source"]["notes"] == list(report.notes)


def test_twice_is_the_same_and_the_seed_moves_windows(tmp_path):
    write_field(tmp_path / "s")
    prints = {
        name: CropStore(
            import_fields(tmp_path / "s", tmp_path / name, config=config).path
        ).fingerprint
        for name, config in (
            ("a", CONFIG), ("b", CONFIG), ("c", CuttingConfig(size=SIZE, windows=4, seed=1)),
        )
    }  # fmt: skip
    assert prints["a"] == prints["b"] != prints["c"]


def test_cells_without_a_label_are_neighbours_and_in_no_window(tmp_path):
    places = [(100, 110), (60, 62)]
    write_field(tmp_path / "s", image=field(0, places)[0])
    report = import_fields(tmp_path / "s", tmp_path / "store", config=CONFIG)
    assert any("About 2 cells that the marker shows" in note for note in report.notes)
    arrays = CropStore(tmp_path / "store").arrays()
    foregrounds = arrays.unpack(arrays.foregrounds)
    assert foregrounds[2, 16, 31]  # at (60, 56), inside the one at (60, 62)
    assert arrays.windows.max() < 150
    blind = import_fields(
        tmp_path / "s", tmp_path / "blind", channels=("GFP", "b", "c"), config=CONFIG
    )
    assert any("No channel 'RFP'" in note for note in blind.notes)


def test_a_full_field_gets_filled_windows(tmp_path):
    rows, columns = np.ogrid[:SIDE, :SIDE]
    grid = ((rows % 26 - 13) ** 2 + (columns % 26 - 13) ** 2 <= 49) & (rows < 156) & (columns < 156)
    labels, _ = ndimage.label(grid)
    image = 100 + 1000 * grid + np.random.default_rng(0).normal(0, 5, (3, SIDE, SIDE))
    write_field(tmp_path / "s", image=image.astype(np.uint16), labels=labels.astype(np.int16))
    report = import_fields(tmp_path / "s", tmp_path / "store", config=CONFIG)
    windows = CropStore(tmp_path / "store").windows
    assert len(windows) == part_builder.WINDOWS_PER_FIELD
    assert windows["filled"].all()
    assert report.windows == part_builder.WINDOWS_PER_FIELD


def test_cells_of_one_value_are_told_apart_before_pixels_become_fewer(tmp_path):
    """Two bodies joined by a thread, and a cell with a long thread: two and one, at any scale."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for place in ((60, 40), (60, 90), (120, 60)):
        labels[disc(*place, 16)] = 255
    labels[60, 40:90] = 255
    for column in range(60, 130):  # Single pixels: of every nth some are left, in pieces.
        labels[120 - (column - 60) // 4, column] = 255
    nuclei = np.zeros_like(labels)
    for place in ((60, 40), (60, 90), (120, 60)):
        nuclei[disc(*place, 5)] = 255
    light = ndimage.gaussian_filter((labels > 0).astype(float), 1)
    image = (100 + 1000 * light + np.random.default_rng(1).normal(0, 5, (3, SIDE, SIDE))).astype(
        np.uint16
    )
    paths = {name: str(tmp_path / f"{name}.tif") for name in ("GFP", "RFP", "labels", "nuclei")}
    for path, pixels in zip(paths.values(), (*image[:2], labels, nuclei), strict=True):
        tifffile.imwrite(path, pixels)
    rows = (",".join(row) for row in ((*paths, "protein"), (*paths.values(), "AAC1")))
    (tmp_path / "f.csv").write_text("\n".join(rows))
    for scale, size in ((1, 64), (2, 32), (4, 16)):
        said = import_fields(
            tmp_path / "f.csv",
            tmp_path / f"store{scale}",
            config=CuttingConfig(size=size, windows=0),
            pixel_size=1,
            resample=scale,
        )
        assert said.found == 3, scale


def test_tables_and_names(tmp_path):
    for number, name in enumerate(("r01c01f01p01", "r01c02f01p01", "r02c01f01p01", "loose")):
        write_field(tmp_path / "s", name, image=field(number)[0])
    (tmp_path / "t.csv").write_text(
        "field,protein,localization,orf,split\nr01c01f01p01,AAC1,mitochondria,YMR056C,train\n"
        "r01c02,NOP1,,,\nr09c09,XYZ1,ER,,\n"
    )
    (tmp_path / "l.csv").write_text("protein,localization\nNOP1,nucleolus\nWT,cytosol;nuclei\n")
    report = import_fields(
        tmp_path / "s", tmp_path / "store", table=tmp_path / "t.csv", protein="WT",
        localizations=tmp_path / "l.csv", config=CONFIG,
    )  # fmt: skip
    store = CropStore(tmp_path / "store")
    first = store.cells.groupby("field").first()
    assert first["protein"].to_dict() == {
        "loose": "WT", "r01c01f01p01": "AAC1", "r01c02f01p01": "NOP1", "r02c01f01p01": "WT",
    }  # fmt: skip
    assert first.loc["r01c01f01p01", ["localization", "orf", "split"]].tolist() == [
        "mitochondrion", "YMR056C", "train",
    ]  # fmt: skip
    assert first.loc["r01c02f01p01", "localization"] == "nucleolus"
    assert list(first.loc["loose", "labels"]) == ["cytoplasm", "nucleus"]
    assert set(store.windows["localization"].dropna()) == {"mitochondrion", "nucleolus"}
    assert any("1 row(s) of the table name no field here: r09c09" in n for n in report.notes)


def test_bad_fields_are_counted_and_the_rest_goes_on(tmp_path):
    source = tmp_path / "s"
    image, labels = field()
    write_field(source, "a")
    write_field(source, "missing", image=field(1)[0])
    (source / "missing-ch2sk1fk1fl1.tiff").unlink()
    write_field(source, "unlabelled", image=field(2)[0])
    (source / "unlabelled_labeled.tiff").unlink()
    write_field(source, "cut", image=field(3)[0])
    path = source / "cut-ch1sk1fk1fl1.tiff"
    path.write_bytes(path.read_bytes()[:900])
    write_field(source, "cutlabels", image=field(4)[0])
    path = source / "cutlabels_labeled.tiff"
    path.write_bytes(path.read_bytes()[:900])
    write_field(source, "sizes", image=field(5)[0], labels=labels[:100, :120])
    write_field(source, "empty", image=field(6)[0], labels=labels * 0)
    write_field(source, "minus", image=field(7)[0], labels=labels - 1)
    write_field(source, "bytes", image=(image // 8).astype(np.uint8))
    write_field(source, "twin", image=image)
    write_field(source, "double")
    (source / "double-ch1.tif").write_bytes((source / "double-ch1sk1fk1fl1.tiff").read_bytes())
    tifffile.imwrite(source / "a_imm.tiff", image[0])
    report = import_fields(source, tmp_path / "store", config=CONFIG)
    assert rejections(report) == {
        "a field without its image of ch2": 1,
        "a field without a label image": 1,
        "unreadable or cut-off image file": 1,
        "label image: unreadable or cut-off image file": 1,
        "a label image of 100×120 pixels; its channels have 160×160": 1,
        "label image: no cell in it": 1,
        "label image: negative values, down to -1": 1,
        "pixels of type uint8; uint16 expected": 1,
        "the same pixels as an earlier field": 2,
        "a second file for the same field and channel": 1,
        "a name that is neither <field>-ch<n> nor <field>_labeled": 1,
        "too near the field's edge for a whole 32×32 crop": 1,
    }
    assert report.stored == 5
    assert report.found == report.stored + report.rejected


def test_nan_rejects_the_crops_that_hold_it(tmp_path):
    image = field()[0].astype(np.float32)
    image[0, 30, 41] = np.nan  # between the first two cells
    write_field(tmp_path / "s", image=image)
    report = import_fields(tmp_path / "s", tmp_path / "store", config=CONFIG)
    assert rejections(report)["pixels that are not finite (NaN or infinite)"] == 2
    assert report.found == report.stored + report.rejected == 6
    assert np.isfinite(CropStore(tmp_path / "store").arrays().windows).all()


def test_labels_in_another_folder(tmp_path):
    write_field(tmp_path / "s")
    (tmp_path / "l").mkdir()
    (tmp_path / "s" / "r01c01f01p01_labeled.tiff").rename(
        tmp_path / "l" / "r01c01f01p01_labeled.tif"
    )
    with pytest.raises(InputError, match="no field with a label image"):
        import_fields(tmp_path / "s", tmp_path / "store", config=CONFIG)
    report = import_fields(tmp_path / "s", tmp_path / "store", labels=tmp_path / "l", config=CONFIG)
    assert report.stored == 5


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        import_fields(tmp_path / "none", tmp_path / "store")
    write_field(tmp_path / "s")
    with pytest.raises(InputError, match=r"not one field could be read.*image of ch4"):
        import_fields(tmp_path / "s", tmp_path / "store", channels=("a", "b", "c", "d"))
    with pytest.raises(UsageError, match="names must be there and differ"):
        import_fields(tmp_path / "s", tmp_path / "store", channels=("a", "a"))
    with pytest.raises(UsageError, match="size = 4 is out of range"):
        CuttingConfig(size=4)
    table = tmp_path / "t.csv"
    for text, match in (
        ("field,protein\n,P\n", "row 2: no field"),
        ("field,protein\na,P\na,Q\n", "row 3: a is there already"),
        ("field,protein,localization\na,P,lysosome\n", "row 2: unknown class name.*'lysosome'"),
        ("protein\na\n", "missing column"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=match):
            import_fields(tmp_path / "s", tmp_path / "store", table=table)


def test_pieces_of_a_label_are_parted_unless_they_nearly_touch():
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[disc(40, 40, 8) | disc(120, 120, 4)] = 1
    labels[20:30, 100:110] = 2
    labels[20:30, 112:118] = 2  # two empty columns between
    parted, split = separate(labels)
    assert split.tolist() == [True, False]
    assert (parted == 1).sum() == disc(40, 40, 8).sum()
    assert (parted == 3).sum() == disc(120, 120, 4).sum()
    assert find_cells(parted, split, SIZE)[0].corner == (24, 24)


def test_windows_lie_apart_where_there_is_room():
    occupied = disc(80, 80, 20)
    for seed in range(5):
        config = CuttingConfig(size=SIZE, windows=6, seed=seed)
        corners = place_windows(occupied, None, config, 1)
        cover = np.zeros((SIDE, SIDE), int)
        for y, x in corners:
            cover[y : y + SIZE, x : x + SIZE] += 1
        assert len(corners) == 6
        assert cover.max() == 1
        assert not (cover.astype(bool) & ndimage.binary_dilation(occupied, np.ones((11, 11)))).any()
    assert place_windows(np.ones((SIDE, SIDE), bool), None, CONFIG, 1) == []
    assert place_windows(np.zeros((20, 200), bool), None, CONFIG, 1) == []


def test_a_marker_that_does_not_show_cells_tells_nothing():
    noise = np.random.default_rng(0).normal(100, 5, (SIDE, SIDE))
    assert find_unlabelled(noise, disc(80, 80, 20).astype(np.int32), CONFIG) is None


def test_real_fields(shared, tmp_path):
    report = import_fields(shared / "cyclenet_fields", tmp_path / "store", protein="WT")
    assert report.found == 589 == report.stored + report.rejected
    assert set(rejections(report)) == {"too near the field's edge for a whole 64×64 crop"}
    assert report.usable >= 0.95 * report.stored
    store = CropStore(tmp_path / "store")
    arrays = store.arrays()
    masks = arrays.unpack(arrays.masks)[store.usable]
    assert masks[:, 24:40, 24:40].any((1, 2)).all()
    assert store.windows["field"].value_counts().tolist() == [8, 8]
    for name, rows in store.windows.groupby("field").indices.items():
        folder = shared / "cyclenet_fields"
        labels = tifffile.imread(folder / f"{name}_labeled.tiff")
        gfp = tifffile.imread(folder / f"{name}-ch1sk1fk1fl1.tiff")
        views = np.lib.stride_tricks.sliding_window_view(gfp, (64, 64))
        for window in arrays.windows[rows]:
            near = np.argwhere(views[..., 0, 0] == window[0, 0, 0])
            place = [(y, x) for y, x in near if np.array_equal(views[y, x], window[0])]
            assert len(place) == 1
            (y, x), margin = place[0], 5
            around = labels[max(y - margin, 0) : y + 64 + margin, max(x - margin, 0) :][
                :, : 64 + margin + min(x, margin)
            ]
            assert not around.any()
            # Nor a cell without a label: cells stand at about 3,700 in the marker, medium at 300.
            assert window[2].max() < 600


def test_other_formats_and_previews(tmp_path):
    source = tmp_path / "s"
    labels = field()[1]
    write_field(source)
    report = import_fields(source, tmp_path / "tiff", config=CONFIG)
    (source / "r01c01f01p01_labeled.tiff").unlink()
    (source / "r01c01f01p01_labeled.png").write_bytes(imagecodecs.png_encode(labels.astype("u2")))
    (source / "r01c01f01p01-ch1.png").write_bytes(b"a preview beside the TIFF")
    (source / "overview.png").write_bytes(b"no field")
    other = import_fields(source, tmp_path / "png", config=CONFIG)
    assert (other.found, other.stored, other.rejections) == (
        report.found, report.stored, report.rejections,
    )  # fmt: skip
    one, two = CropStore(tmp_path / "tiff"), CropStore(tmp_path / "png")
    assert one.meta["fingerprint"] == two.meta["fingerprint"]


def test_any_class_set(tmp_path):
    write_field(tmp_path / "s")
    table = tmp_path / "t.csv"
    table.write_text("field,protein,localization\na1,ACTB,Actin filaments\n")
    with pytest.raises(InputError, match=r"unknown class name.*'Actin filaments'"):
        import_fields(tmp_path / "s", tmp_path / "store", table=table, config=CONFIG)
    (tmp_path / "n.csv").write_text("source,localization\nActin filaments,Actin filaments\n")
    for names in (tmp_path / "n.csv", "keep"):
        import_fields(
            tmp_path / "s", tmp_path / "store", table=table, class_names=names, config=CONFIG,
            overwrite=True,
        )  # fmt: skip
        store = CropStore(tmp_path / "store")
        assert store.localizations == ["Actin filaments"]
        assert set(store.cells["localization"]) == {"Actin filaments"}


def test_wells_and_names_of_fields_in_other_forms(tmp_path):
    assert plate_well("A01") == plate_well("a1") == plate_well("r01c01f02") == (1, 1)
    assert plate_well("AB12_s1") == (28, 12)
    assert plate_well("NOP56x") is None
    assert plate_well("A01_1", whole=True) is None
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    (tmp_path / "t.csv").write_text(f"well,gene\nb2,X\n{composed},Y\n")
    known, names = LocalizationTable(), ClassNames()
    fields = ["B02_site1", apart, "r02c02f01", "C1"]
    records = [FieldRecord(name) for name in fields]
    strains = read_strains(records, tmp_path / "t.csv", None, known, names)
    assert [strains.of_field[name].protein for name in fields] == ["X", "Y", "X", "C1"]
    assert any("`gene` is taken as `protein`" in note for note in strains.notes)
    (tmp_path / "t.csv").write_text("well,gene\nb2,X\nB02,Y\n")
    with pytest.raises(InputError, match="b2 and B02 are the same well"):
        read_strains(records, tmp_path / "t.csv", None, known, names)


def test_the_first_fields_reason_is_given(tmp_path):
    stack = np.zeros((3, SIDE, SIDE), np.uint16)
    write_field(tmp_path / "s")
    for number in (1, 2, 3):
        path = tmp_path / "s" / f"r01c01f01p01-ch{number}sk1fk1fl1.tiff"
        tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(InputError, match=r"r01c01f01p01: a Z stack.*--project max"):
        import_fields(tmp_path / "s", tmp_path / "store", config=CONFIG)


def test_one_field_of_another_pixel_type_does_not_decide(tmp_path):
    for number, name in enumerate(("a", "b", "c")):
        image = field(number)[0]
        write_field(tmp_path / "s", name, (image // 16).astype(np.uint8) if name == "a" else image)
    report = import_fields(tmp_path / "s", tmp_path / "store", config=CONFIG)
    assert rejections(report)["pixels of type uint8; uint16 expected"] == 1
    assert CropStore(report.path).dtype == np.uint16
    assert set(CropStore(report.path).cells["field"]) == {"b", "c"}


def test_a_palette_of_a_label_image_is_told(tmp_path):
    _, labels = field()
    write_field(tmp_path / "s")
    tifffile.imwrite(
        tmp_path / "s" / "r01c01f01p01_labeled.tiff",
        labels.astype(np.uint8),
        photometric="palette",
        colormap=np.zeros((3, 256), np.uint16),
    )
    report = import_fields(tmp_path / "s", tmp_path / "store", config=CONFIG)
    assert report.stored == 5
    assert (
        "1 label image(s) have a palette: the numbers of its colours are read, and the colours "
        "are not." in report.notes
    )


def spread_cells(seed, number_of):
    """A field of 40 cells that lie apart; the i-th has the number ``number_of(i)``."""
    rng = np.random.default_rng(seed)
    side = 300
    labels, places = np.zeros((side, side), np.int16), []
    while len(places) < 40:
        place = rng.integers(20, side - 20, 2)
        if all(np.hypot(*(place - other)) > 24 for other in places):
            places.append(place)
    for i, place in enumerate(places):
        labels[disc(*place, 9, side)] = number_of(i)
    light = ndimage.gaussian_filter((labels > 0).astype(float), 1)
    image = 100 + 1000 * light + rng.normal(0, 5, (3, side, side))
    return image.astype(np.uint16), labels


@pytest.mark.parametrize(
    "number_of",
    [
        pytest.param(lambda i: i % 2 + 1, id="classes of cells"),
        pytest.param(lambda i: (37 * i) % 20 + 1, id="more cells than numbers"),
    ],
)
def test_numbers_that_stand_for_several_cells_are_refused(number_of, tmp_path):
    """Else the largest cell of each number is stored, and the others are left out."""
    for seed in range(2):
        write_field(tmp_path / "s", f"r01c0{seed + 1}f01p01", *spread_cells(seed, number_of))
    with pytest.raises(InputError, match="most numbers mark several cells that lie apart"):
        import_fields(tmp_path / "s", tmp_path / "store", config=CONFIG)


def test_a_number_of_two_cells_is_told_from_pieces_of_one(tmp_path):
    image, labels = spread_cells(0, lambda i: i + 1)
    # Cell 7 has the number of cell 3, across cell 12 lies a thread, and 20 has a speck far away.
    labels[labels == 7] = 3
    rows, columns = np.nonzero(labels == 12)
    labels[round(rows.mean()) - 2 : round(rows.mean()) + 2][
        :, columns.min() : columns.max() + 1
    ] = 50
    free = ndimage.distance_transform_edt(labels == 0)
    y, x = np.unravel_index(free.argmax(), free.shape)
    labels[y - 1 : y + 2, x - 1 : x + 2] = 20
    assert np.flatnonzero(shared_labels(renumber(labels.astype(np.int32)))).tolist() == [2]
    write_field(tmp_path / "s", image=image, labels=labels)
    report = import_fields(tmp_path / "s", tmp_path / "store", config=CONFIG)
    assert report.found == 40
    said = [note for note in report.notes if "label(s)" in note]
    assert said[0].startswith("3 label(s) are in several pieces")
    assert said[1].startswith("1 label(s) have two pieces that lie apart, each as large as a cell")


def test_a_field_that_cannot_be_cut_is_no_cell(tmp_path):
    write_field(tmp_path / "s", "r01c01f01p01")
    write_field(tmp_path / "s", "r01c02f01p01", image=field(seed=1)[0])
    broken = next((tmp_path / "s").glob("r01c02f01p01-ch2*"))
    broken.write_bytes(broken.read_bytes()[:200])
    report = import_fields(tmp_path / "s", tmp_path / "store", config=CONFIG)
    assert (report.found, report.stored, report.rejected) == (7, 5, 2)
    facts = {fact.topic: fact.text for fact in summarise_store(tmp_path / "store")}
    assert facts["cells"].startswith("6 found, 5 stored")
    assert (
        facts["fields"]
        == "1 (images that cells were cut from); 1 more field(s) or file(s) could not be taken"
    )
