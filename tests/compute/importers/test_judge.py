"""Sources whose masks lie beside cells, or whose surroundings are gone, from image files."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

from compute.errors import InputError, UsageError
from compute.importers import run_import as importing
from compute.importers.config import CuttingConfig
from compute.importers.fields import import_fields
from compute.importers.judge import judge, refuse, share_on_cells
from compute.importers.manifest import import_manifest
from compute.runs.config import RunConfig
from compute.runs.prepare import prepare
from compute.schema import CellFlag
from compute.store.reader import CropStore
from tests.compute.importers.drawn_masks import SIDE, image_of, labels_of, probabilities

CELLS = 24


def write(folder, change=lambda image, labels: image, mask=lambda labels: labels == 3, **columns):
    """Write crops of a cell, each with its mask, and the table of them."""
    rows = []
    folder.mkdir(exist_ok=True)
    for seed in range(CELLS):
        labels = labels_of(seed)
        image = change(image_of(labels, seed), labels)
        given = mask(labels)
        tifffile.imwrite(folder / f"{seed}.tif", image)
        tifffile.imwrite(
            folder / f"{seed}_mask.tif", given.astype(np.uint8) if given.dtype == bool else given
        )
        rows.append(
            {
                "path": f"{seed}.tif",
                "mask": f"{seed}_mask.tif",
                "protein": f"P{seed % 4}",
                "localization": ["ER", "Golgi"][seed % 2],
                "field": f"F{seed % 8}",
            }
        )
    pd.DataFrame(rows).to_csv(folder / "crops.csv", index=False)
    return folder / "crops.csv"


def absent(image, labels):
    """The same crop without the cell in its middle."""
    return image_of(np.where(labels == 3, 0, labels), int(labels.sum()))


def flagged(store):
    return int((CropStore(store).cells["flags"] & int(CellFlag.OFF_CELL)).astype(bool).sum())


@pytest.mark.parametrize("channels", [["GFP", "RFP"], ["GFP", "other"]])
def test_good_masks_pass_with_and_without_a_marker(channels, tmp_path):
    report = import_manifest(write(tmp_path / "s"), tmp_path / "store", channels=channels)
    assert report.usable == report.stored == CELLS
    assert flagged(tmp_path / "store") == 0


@pytest.mark.parametrize("channels", [["GFP", "RFP"], ["GFP", "other"]])
def test_masks_beside_cells_are_refused(channels, tmp_path):
    table = write(tmp_path / "s", change=absent)
    with pytest.raises(InputError, match=r"do not lie on cells: \d+% of 24.*50% where"):
        import_manifest(table, tmp_path / "store", channels=channels)
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]
    report = import_manifest(table, tmp_path / "store", channels=channels, unchecked_masks=True)
    assert any("taken unchecked" in note for note in report.notes)
    assert flagged(tmp_path / "store") == 0


def test_dark_cells_pass_where_no_channel_is_said_to_be_bright(tmp_path):
    table = write(tmp_path / "s", lambda image, labels: 1000 - image)
    report = import_manifest(table, tmp_path / "store", channels=["phase", "other"])
    assert report.stored == CELLS
    assert flagged(tmp_path / "store") == 0
    # The medium passes for cells where they are said to be bright.
    report = import_manifest(table, tmp_path / "marked", channels=["phase", "RFP"])
    assert any("have no medium around them" in note for note in report.notes)


def test_dim_cells_pass(tmp_path):
    """As bright as the noise."""
    table = write(
        tmp_path / "s", lambda image, labels: image_of(labels, noise=200.0, seed=int(labels.sum()))
    )
    report = import_manifest(table, tmp_path / "store")
    assert flagged(tmp_path / "store") == 0
    assert report.stored == CELLS


@pytest.mark.parametrize("channels", [["GFP", "RFP"], ["GFP", "other"]])
def test_single_masks_beside_cells_are_flagged(channels, tmp_path):
    strange = {5, 9}
    table = write(tmp_path / "s")
    for seed in strange:
        image = absent(None, labels_of(seed))
        tifffile.imwrite(tmp_path / "s" / f"{seed}.tif", image)
    report = import_manifest(table, tmp_path / "store", channels=channels)
    assert flagged(tmp_path / "store") == len(strange)
    assert report.usable == CELLS - len(strange)


PAINTED = {
    "black": lambda image, labels: np.where(labels == 3, image, 0),
    "mean": lambda image, labels: np.where(labels == 3, image, image.mean()),
    "one channel": lambda image, labels: np.stack([np.where(labels == 3, image[0], 0), image[1]]),
}


@pytest.mark.parametrize("name", PAINTED)
def test_crops_without_surroundings_are_refused(name, tmp_path):
    def change(image, labels):
        return PAINTED[name](image, labels).astype(np.float32)

    table = write(tmp_path / "s", change)
    with pytest.raises(InputError, match=r"24 of 24 crops have nothing around.*in GFP.*scPortrait"):
        import_manifest(table, tmp_path / "store")
    report = import_manifest(table, tmp_path / "store", no_surroundings=True)
    assert any("backgrounds cannot be tested" in note for note in report.notes)
    store = CropStore(tmp_path / "store")
    gone = ["GFP"] if name == "one channel" else ["GFP", "RFP"]
    assert store.meta["source"]["without_surroundings"] == gone
    with pytest.raises(UsageError, match=r"no background can be tested.*--conditions unaltered"):
        prepare(store, RunConfig())


def test_a_few_crops_without_surroundings_are_said(tmp_path):
    table = write(
        tmp_path / "s",
        lambda image, labels: (
            np.where(labels == 3, image, 0) if len(np.unique(labels)) == 2 else image
        ).astype(np.float32),
    )
    alone = sum(len(np.unique(labels_of(seed))) == 2 for seed in range(CELLS))
    assert 0 < alone < CELLS / 2
    report = import_manifest(table, tmp_path / "store")
    assert any(f"{alone} of 24 crops have nothing around" in note for note in report.notes)


def test_thresholds_and_what_was_understood_reach_the_store(tmp_path):
    table = write(tmp_path / "s", mask=lambda labels: probabilities(labels == 3))
    with pytest.raises(InputError, match="--mask-threshold"):
        import_manifest(table, tmp_path / "store")
    import_manifest(table, tmp_path / "store", mask_threshold=0.5)
    notes = CropStore(tmp_path / "store").meta["source"]["notes"]
    assert "24 mask(s) were cut at the given threshold." in notes


def test_a_large_source_is_refused_before_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 4)
    monkeypatch.setattr(importing, "JUDGED_EARLY", 8)
    seen = []
    table = write(tmp_path / "s", change=absent)
    with pytest.raises(InputError, match=r"of (8|9|1\d) stand out"):
        import_manifest(
            table, tmp_path / "store", jobs=1, progress=lambda unit, done, _: seen.append(done)
        )
    assert max(seen, default=0) < CELLS


def test_only_nuclei_are_bright_in_any_channel():
    """Without a marker the mean tells of cells whose median is that of the medium."""
    rng = np.random.default_rng(0)
    labels = [labels_of(seed) for seed in range(CELLS)]
    masks = np.stack([one == 3 for one in labels])
    inner = np.stack([ndimage.distance_transform_edt(mask) > 4 for mask in masks])
    images = rng.normal(100, 4, (CELLS, 1, SIDE, SIDE)) + 300 * inner[:, None]
    counts = Counter()
    flags = judge(images, masks, masks, np.ones(CELLS, bool), None, counts)
    assert not flags.any()
    assert share_on_cells(counts)[0] > 0.9
    refuse(counts, ["DAPI"])


def field_of(seed):
    """Labels of a field of 320 × 320 pixels."""
    return labels_of(seed, 320, 80, 90)


def write_field(folder, labels, name="r01c01f01p01", suffix="tiff", seed=0):
    folder.mkdir(exist_ok=True)
    for number, channel in enumerate(image_of(field_of(seed), seed), 1):
        tifffile.imwrite(folder / f"{name}-ch{number}.tiff", channel)
    path = folder / f"{name}_labeled.{suffix}"
    if suffix == "png":
        import imagecodecs

        path.write_bytes(imagecodecs.png_encode(labels))
    else:
        tifffile.imwrite(path, labels)


def fields(source, out, **options):
    return import_fields(
        source, out, channels=["GFP", "RFP"], config=CuttingConfig(size=48), **options
    )


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (np.transpose, "transposed"),
        (np.flipud, "turned upside down"),
        (np.fliplr, "mirrored"),
        (lambda labels: np.roll(labels, (31, 17), (0, 1)), "shifted, or of another field"),
    ],
)
def test_a_label_image_that_is_turned_is_refused(way, words, tmp_path):
    labels = field_of(0)
    write_field(tmp_path / "s", np.ascontiguousarray(way(labels)))
    with pytest.raises(InputError, match=f"labels that do not lie on cells.*{words}"):
        fields(tmp_path / "s", tmp_path / "store")
    # Among good fields it is left out, and counted.
    write_field(tmp_path / "s", field_of(7), "r02c01f01p01", seed=7)
    report = fields(tmp_path / "s", tmp_path / "store")
    assert report.stored > 10
    assert [item["count"] for item in report.rejections if words in item["reason"]] == [1]


@pytest.mark.parametrize("suffix", ["tiff", "png"])
@pytest.mark.parametrize(
    ("coding", "said"),
    [
        (lambda labels: labels, None),
        (lambda labels: ((labels > 0) * 255).astype(np.uint8), "each connected piece is taken"),
        (lambda labels: labels > 0, "each connected piece is taken"),
    ],
)
def test_label_images_in_every_coding_give_the_same_cells(suffix, coding, said, tmp_path):
    labels = field_of(0)
    given = coding(labels)
    if suffix == "png" and given.dtype == bool:
        given = given.astype(np.uint8)
    write_field(tmp_path / "s", given, suffix=suffix)
    report = fields(tmp_path / "s", tmp_path / "store")
    assert (said is None) == (not any("label image(s)" in note for note in report.notes))
    assert said is None or any(said in note for note in report.notes)
    write_field(tmp_path / "plain", labels)
    fields(tmp_path / "plain", tmp_path / "wanted")
    found, wanted = (CropStore(tmp_path / name).arrays() for name in ("store", "wanted"))
    order = [np.lexsort(arrays.masks[:].T) for arrays in (found, wanted)]
    assert np.array_equal(found.masks[:][order[0]], wanted.masks[:][order[1]])


def test_probabilities_of_fields_need_a_threshold(tmp_path):
    labels = field_of(0)
    write_field(tmp_path / "s", (255 * probabilities(labels)).astype(np.uint8))
    with pytest.raises(InputError, match=r"1 of the 1 label images.*--mask-threshold"):
        fields(tmp_path / "s", tmp_path / "store")
    report = fields(tmp_path / "s", tmp_path / "store", mask_threshold=128, split_cells="centres")
    assert report.stored > 10
    with pytest.raises(UsageError, match="split_cells = 'blue'"):
        fields(tmp_path / "s", tmp_path / "other", split_cells="blue")
    write_field(tmp_path / "s", labels)
    with pytest.raises(UsageError, match="nothing to separate"):
        fields(tmp_path / "s", tmp_path / "other", split_cells="centres")
