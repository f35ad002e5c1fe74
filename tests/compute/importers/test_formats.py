"""Files as other programs write them (the folder `formats` of the shared data): the right counts.

The counts are those of the folder's README, made without Bystander.
"""

import json
import shutil

import pandas as pd
import pytest

from compute.errors import InputError
from compute.importers.config import CuttingConfig
from compute.importers.crop_arrays import import_crop_arrays
from compute.importers.fields import import_fields
from compute.importers.manifest import import_manifest
from compute.store.reader import CropStore

LARGE = CuttingConfig(size=128, windows=2)


def sources(root):
    """Name → folder or file, options, cells to be found, cells to be stored (None: not said)."""
    nf1, young = root / "cellpainting_nf1", root / "cellpainting_pediatric"
    tiffs, small = root / "ome_tiff", root / "ome_tiff" / "small_labels.tif"
    three = ["GFP", "nuclear", "RFP"]
    cytosol = {"marker": "cytosol"}
    return {
        # 233 nuclei have a whole window of 64 pixels around them; one lies at half a pixel.
        "cellprofiler": (
            root / "cellprofiler_examplehuman",
            {"preset": "cellprofiler", "marker": "cellbody"}, 289, (232, 233),
        ),
        # 19, 16 and 19 cells in three wells; two more have no images.
        "nf1": (
            nf1 / "Plate_2_with_image_data_shrunken.parquet",
            {"preset": "cellprofiler", "images": nf1 / "Plate_2_images", "marker": "RFP",
             "labels": nf1 / "Plate_2_masks", "config": LARGE}, 54 + 2, None,
        ),
        "nf1, nuclei": (
            nf1 / "Plate_2_with_image_data_shrunken.parquet",
            {"preset": "cellprofiler", "images": nf1 / "Plate_2_images", "marker": "DAPI",
             "labels": nf1 / "Plate_2_masks", "config": LARGE, "objects": "Nuclei"}, 78 + 2, None,
        ),
        "pediatric": (
            young / "BR00143976_shrunken.parquet",
            {"preset": "cellprofiler", "images": young / "images", "marker": "AGP",
             "labels": young / "outlines", "config": LARGE}, 29, None,
        ),
        "operetta": (
            young / "images",
            {"preset": "operetta", "labels": young / "outlines", "config": LARGE,
             "marker": "ch3"}, 29, None,
        ),
        "deepprofiler": (
            root / "deepprofiler",
            {"preset": "deepprofiler", "config": LARGE, "marker": "RFP"}, 51, (44, 44),
        ),
        "spatialdata": (
            root / "spatialdata" / "field.sdata.zarr.zip",
            {"preset": "spatialdata", **cytosol}, 56, None,
        ),
        "ome-zarr 0.5": (
            root / "ome_zarr" / "field_v05.ome.zarr.zip", {"preset": "ome-zarr", **cytosol}, 56,
            None,
        ),
        "ome-zarr 0.4": (
            root / "ome_zarr" / "field_v04.ome.zarr.zip", {"preset": "ome-zarr", **cytosol}, 13,
            None,
        ),
        "ome-tiff": (tiffs / "field.ome.tif", {"preset": "ome-tiff", **cytosol}, 143, None),
        "imagej": (
            tiffs / "small_imagej.tif", {"preset": "ome-tiff", "labels": small, **cytosol}, 77,
            None,
        ),
        "multipage": (
            tiffs / "small_multipage.tif",
            {"preset": "ome-tiff", "labels": small, "channels": three}, 77, None,
        ),
        "cellpose": (root / "cellpose", {"preset": "cellpose", "channels": three}, 48, None),
        # The third field has no blue.
        "hpa": (
            root / "hpa",
            {"preset": "hpa", "channels": ["green", "blue"], "marker": "green",
             "config": LARGE, "separators": ",", "table": root / "hpa" / "fields.csv"},
            11 + 20 + 1, None,
        ),
    }  # fmt: skip


NAMES = (
    "cellprofiler", "nf1", "nf1, nuclei", "pediatric", "operetta", "deepprofiler", "spatialdata",
    "ome-zarr 0.5", "ome-zarr 0.4", "ome-tiff", "imagej", "multipage", "cellpose", "hpa",
)  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_fields(name, shared, tmp_path):
    source, options, found, stored = sources(shared / "formats")[name]
    report = import_fields(source, tmp_path / "out", jobs=1, **options)
    assert report.found == found == report.stored + report.rejected
    if stored is not None:
        assert stored[0] <= report.stored <= stored[1]
    CropStore(report.path).check()


@pytest.mark.long
def test_classes_of_spatialdata(shared, tmp_path):
    source = shared / "formats" / "spatialdata" / "field.sdata.zarr.zip"
    report = import_fields(
        source, tmp_path / "out", preset="spatialdata", marker="cytosol", jobs=1,
        config=CuttingConfig(size=16, windows=0),
    )  # fmt: skip
    cells = CropStore(report.path).cells
    assert set(cells["protein"]) == {"r01c01"}
    counts = cells["localization"].value_counts().to_dict()
    # 44, 7 and 5 without, less those at the edge of the image.
    rejected = report.rejected
    assert 44 - rejected <= counts["Cell Periphery"] <= 44
    assert 7 - rejected <= counts["Cytoplasm"] <= 7
    assert 5 - rejected <= cells["localization"].isna().sum() <= 5
    assert len(cells) + rejected == 56


def test_pages_are_not_guessed(shared, tmp_path):
    tiffs = shared / "formats" / "ome_tiff"
    with pytest.raises(InputError, match=r"do not say what their 3 channels show"):
        import_fields(
            tiffs / "small_multipage.tif", tmp_path / "out", preset="ome-tiff",
            labels=tiffs / "small_labels.tif",
        )  # fmt: skip


def test_scportrait(shared, tmp_path):
    root = shared / "formats" / "scportrait"
    options = {"layout": "scportrait", "marker": "RFP", "jobs": 1}
    report = import_crop_arrays(root / "single_cells_unmasked.h5sc", tmp_path / "out", **options)
    assert (report.found, report.stored) == (87, 87)
    assert CropStore(report.path).channels == ["GFP", "RFP"]
    with pytest.raises(InputError, match="87 of 87 crops have nothing around their cell"):
        import_crop_arrays(root / "single_cells.h5sc", tmp_path / "no", **options)


@pytest.mark.parametrize(
    ("name", "counts"),
    [("per_protein", {"A1CF": 10, "AAAS": 10}), ("numbered", {"A1CF": 3, "AAAS": 3})],
)
def test_cytoself(name, counts, shared, tmp_path):
    source = shared / "formats" / "cytoself" / name
    report = import_crop_arrays(source, tmp_path / "out", layout="cytoself", jobs=1)
    cells = CropStore(report.path).cells
    assert report.rejected == 0
    assert cells["protein"].value_counts().to_dict() == counts


def test_crops_in_colour(shared, tmp_path):
    """20 crops in red, green and blue, without masks: cells are found in the cytosol's red."""
    root = shared / "formats" / "ome_tiff" / "rgb_crops"
    report = import_manifest(
        root / "crops.csv", tmp_path / "out", channels=["R", "G", "B"], marker="R",
        class_names="keep", jobs=1,
    )  # fmt: skip
    assert (report.found, report.stored) == (20, 20)
    counts = CropStore(report.path).cells["localization"].value_counts().to_dict()
    assert counts == {"Cell Periphery": 9, "Cytoplasm": 8, "Nucleus": 3}


def test_human_crops(shared, tmp_path):
    """16 crops, listed in a table: gene before the first _ of the folder, field behind the well."""
    rows = []
    for green in sorted((shared / "formats" / "human_crops").rglob("*_green.tif")):
        stem = green.name.removesuffix("_green.tif")
        rows.append(
            {
                "protein": green.parent.name.split("_")[0],
                "field": stem.rsplit("_", 1)[0],
                **{c: str(green.with_name(f"{stem}_{c}.tif")) for c in ("blue", "green", "red")},
            }
        )
    pd.DataFrame(rows).to_csv(tmp_path / "crops.csv", index=False)
    report = import_manifest(
        tmp_path / "crops.csv", tmp_path / "out", channels=["green", "red", "blue"],
        marker="red", jobs=1,
    )  # fmt: skip
    cells = CropStore(report.path).cells
    assert (report.found, report.stored) == (16, 16)
    assert (cells["protein"].nunique(), cells["field"].nunique()) == (2, 4)


def test_a_window_is_cut_at_every_centre(shared, tmp_path):
    source = tmp_path / "case"
    shutil.copytree(shared / "cases" / "whole_field_as_crop", source)
    table = pd.read_csv(source / "crops.csv")
    with pytest.raises(InputError, match="do not say what their"):
        import_fields(source / "crops.csv", tmp_path / "out", config=CuttingConfig(size=32))
    report = import_fields(
        source / "crops.csv", tmp_path / "out", channels=["GFP", "RFP"], jobs=1,
        config=CuttingConfig(size=32),
    )  # fmt: skip
    assert report.found == len(table) == report.stored + report.rejected
    assert report.stored > len(table) / 2


def test_the_readme_is_about_these_folders(shared):
    text = (shared / "formats" / "README.md").read_text()
    folders = [path.name for path in (shared / "formats").iterdir() if path.is_dir()]
    assert all(f"`{name}/`" in text for name in folders), json.dumps(folders)
