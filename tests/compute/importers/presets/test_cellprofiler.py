"""CellProfiler's tables: paths of another computer, by-products, objects that are joined."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from compute.errors import InputError
from compute.store.reader import CropStore
from tests.compute.importers.drawn_layouts import cellprofiler, cytotable
from tests.compute.importers.drawn_plate import draw, whole_cells


def change(path, function):
    frame = pd.read_csv(path)
    (function(frame) if callable(function) else frame).to_csv(path, index=False)


def test_paths_of_another_computer_and_of_windows(tmp_path):
    fields = draw()
    written = cellprofiler(tmp_path / "s", fields)
    table = written.source / "MyExpt_Image.csv"
    change(table, lambda f: f.assign(PathName_OrigDNA="D:\\screens\\run 3"))
    report = written.run(tmp_path / "out")
    assert written.audit(report.path, fields).wrong == []
    assert CropStore(report.path).channels == ["DNA", "GFP", "RFP"]
    assert any("Not channels" in n and "IllumDNA" in n and "OrigOverlay" in n for n in report.notes)


def test_by_products_are_no_channels_though_they_are_there(tmp_path):
    fields = draw()
    written = cellprofiler(tmp_path / "s", fields)
    for name in ("overlay.png", "illum_DNA.npy", "illum_GFP.npy", "illum_RFP.npy"):
        np.save(tmp_path / "s" / "images" / name, np.ones((4, 4)))
    (tmp_path / "s" / "images" / "overlay.png.npy").rename(tmp_path / "s" / "images/overlay.png")
    report = written.run(tmp_path / "out")
    assert CropStore(report.path).channels == ["DNA", "GFP", "RFP"]
    asked = written.run(tmp_path / "two", channels=["RFP", "protein=GFP"])
    assert CropStore(asked.path).channels == ["RFP", "protein"]


def test_images_in_folders_of_the_same_end_are_told_apart(tmp_path):
    """Two fields whose files are called alike: the folders' ends tell which is which."""
    fields = draw()
    written = cellprofiler(tmp_path / "s", fields)
    table = written.source / "MyExpt_Image.csv"
    frame = pd.read_csv(table)
    for row in range(len(frame)):
        folder = tmp_path / "s" / "images" / f"site{row}"
        folder.mkdir()
        for channel in ("DNA", "GFP", "RFP"):
            (folder.parent / frame.loc[row, f"FileName_Orig{channel}"]).rename(
                folder / f"{channel}.tif"
            )
            frame.loc[row, f"FileName_Orig{channel}"] = f"{channel}.tif"
            frame.loc[row, f"PathName_Orig{channel}"] = f"/mnt/elsewhere/site{row}"
    frame.to_csv(table, index=False)
    report = written.run(tmp_path / "out", labels=None)
    assert report.stored == 68
    written.masks = "like"
    assert written.audit(report.path, fields).wrong == []


def test_nuclei_and_cells_have_numbers_of_their_own(tmp_path):
    """A nucleus's number is not that of its cell: rows go to labels by their place."""
    fields = draw()
    written = cellprofiler(tmp_path / "s", fields)
    table = written.source / "MyExpt_Nuclei.csv"
    change(table, lambda f: f.assign(ObjectNumber=f.groupby("ImageNumber").cumcount() + 1))
    report = written.run(tmp_path / "out", class_column="Metadata_Class")
    found = written.audit(report.path, fields)
    assert found.wrong == []
    assert set(found.classes) == whole_cells(fields)


def test_the_class_goes_only_where_the_nucleus_lies(tmp_path):
    fields = draw()
    written = cellprofiler(tmp_path / "s", fields)
    table = written.source / "MyExpt_Nuclei.csv"
    columns = {"Location_Center_X": "Location_Center_Y", "Location_Center_Y": "Location_Center_X"}
    change(table, lambda f: f.rename(columns=columns))
    with pytest.raises(InputError, match="centres of cells that do not lie on"):
        written.run(tmp_path / "out")


def test_objects_without_a_place_are_counted(tmp_path):
    fields = draw()
    written = cellprofiler(tmp_path / "s", fields, labels=False)
    table = written.source / "MyExpt_Nuclei.csv"
    frame = pd.read_csv(table)
    frame.loc[[3, 20], "Location_Center_X"] = np.nan
    pd.concat([frame, frame.iloc[[5]]]).to_csv(table, index=False)
    report = written.run(tmp_path / "out")
    reasons = {item["reason"]: item["count"] for item in report.rejections}
    assert reasons["a centre that is no number"] == 2
    assert reasons["a second centre at the same place"] == 1
    assert report.found == report.stored + report.rejected == 73
    assert written.audit(report.path, fields).wrong == []


def test_outlines_with_slivers(tmp_path):
    """Lines of touching cells enclose slivers, which are no cells."""
    fields = draw()
    written = cellprofiler(tmp_path / "s", fields, outlines=True)
    for path in (tmp_path / "s" / "labels").iterdir():
        image = tifffile.imread(path)
        # A sliver: two pixels between the line of a cell and one that bends away from it.
        y = int(np.flatnonzero(image[60:, :, 1].any(1))[0]) + 60
        x = int(np.flatnonzero(image[y, :, 1])[0])
        image[y - 2, x - 1 : x + 3, 1] = image[y - 1, [x - 1, x + 2], 1] = 32896
        image[y, x - 1 : x + 3, 1] = 32896
        tifffile.imwrite(path, image, photometric="rgb")
    report = written.run(tmp_path / "out")
    assert report.found == 72
    written.masks = "like"
    assert written.audit(report.path, fields).wrong == []


def test_the_index_of_a_parquet_is_no_row_of_the_table(tmp_path):
    fields = draw()
    written = cytotable(tmp_path / "s", fields)
    frame = pd.read_parquet(written.source).sample(frac=1, random_state=0)
    frame["Image_Metadata_Gene_y"] = frame["Image_Metadata_Gene"]
    frame = frame.rename(columns={"Image_Metadata_Gene": "Image_Metadata_Gene_x"})
    frame.to_parquet(written.source)
    report = written.run(tmp_path / "out", protein_column="Image_Metadata_Gene_x")
    found = written.audit(report.path, fields)
    assert found.wrong == []
    assert len(found.classes) == 68


@pytest.mark.parametrize(
    ("break_it", "match"),
    [
        (lambda root: (root / "analysis/MyExpt_Image.csv").unlink(), "no table called Image.csv"),
        (
            lambda root: [path.unlink() for path in (root / "images").iterdir()],
            r"none of the table's images is there, such as P7_B02_1_DNA.tif.*--images",
        ),
        (
            lambda root: change(
                root / "analysis/MyExpt_Nuclei.csv", lambda f: f.assign(ImageNumber=77)
            ),
            "ImageNumber.s. of it are not in MyExpt_Image.csv, such as 77",
        ),
        (
            lambda root: [
                path.rename(path.with_name(f"unlike{n}.tif"))
                for n, path in enumerate(sorted((root / "labels").iterdir()))
            ],
            "no label image goes with a field",
        ),
        (
            lambda root: (root / "analysis/Image.csv").write_bytes(
                (root / "analysis/MyExpt_Image.csv").read_bytes()
            ),
            "several tables of Image",
        ),
    ],
)
def test_what_is_wrong_is_said(break_it, match, tmp_path):
    written = cellprofiler(tmp_path / "s", draw())
    break_it(tmp_path / "s")
    with pytest.raises(InputError, match=match):
        written.run(tmp_path / "out")


def test_a_field_without_an_image_is_counted(tmp_path):
    fields = draw()
    written = cellprofiler(tmp_path / "s", fields)
    (tmp_path / "s" / "images" / "P7_C03_1_GFP.tif").unlink()
    report = written.run(tmp_path / "out")
    reasons = {item["reason"]: item["count"] for item in report.rejections}
    assert reasons["no image of GFP where the table says"] == 1
    assert len(written.audit(report.path, fields).cells) == 51
