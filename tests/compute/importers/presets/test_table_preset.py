"""Fields that a table lists: columns of paths, files of every channel, rows that are cells."""

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile

from compute.errors import InputError, UsageError
from compute.store.reader import CropStore
from tests.compute.importers.drawn_layouts import fields_folder, fields_table, png
from tests.compute.importers.drawn_plate import CHANNELS, cell_table, draw, whole_cells


def change(written, function):
    frame = pd.read_csv(written.source)
    function(frame).to_csv(written.source, index=False)


def reasons(report):
    return {item["reason"]: item["count"] for item in report.rejections}


@pytest.mark.parametrize("column", ["path", "File_Name"])
def test_one_file_with_every_channel(column, tmp_path):
    fields = draw(dtype="uint8")
    written = fields_table(tmp_path / "s", fields)
    for one in fields:
        image = np.moveaxis(one.image, 0, 2)
        (tmp_path / "s" / f"{one.well}_s{one.site}.png").write_bytes(
            imagecodecs.png_encode(np.ascontiguousarray(image))
        )
    change(
        written,
        lambda f: f.drop(columns=list(CHANNELS)).assign(**{column: f["field"] + ".png"}),
    )
    with pytest.raises(InputError, match=r"do not say what their 3 channels show.*--channels"):
        written.run(tmp_path / "out")
    report = written.run(tmp_path / "out", channels=CHANNELS)
    assert written.audit(report.path, fields).wrong == []
    assert report.stored == 68


def test_channels_are_named_by_their_columns(tmp_path):
    fields = draw()
    written = fields_table(tmp_path / "s", fields)
    change(written, lambda f: f.rename(columns={"DNA": "path_DNA", "GFP": "GFP file"}))
    assert CropStore(written.run(tmp_path / "out").path).channels == ["DNA", "GFP", "RFP"]
    report = written.run(tmp_path / "two", channels=["RFP", "green=GFP"])
    assert CropStore(report.path).channels == ["RFP", "green"]
    written.planes = (2, 1)
    assert written.audit(report.path, fields).wrong == []


def test_a_row_per_field_and_a_table_of_cells(tmp_path):
    """Rows of cells by number or by centre; fields by name, by a file's name or by well."""
    fields = draw()
    written = fields_table(tmp_path / "s", fields)
    change(
        written,
        lambda f: (
            f.drop(columns=["label", "localization"]).drop_duplicates().reset_index(drop=True)
        ),
    )
    for places in (("label",), ("x", "y")):
        for name in (
            lambda one: f"{one.well}_s{one.site}",
            lambda one: f"{one.well}_s{one.site}_GFP.tif",
        ):
            table = tmp_path / "cells.csv"
            cell_table(fields, name, *places, "localization").to_csv(table, index=False)
            report = written.run(tmp_path / "out", cells=table, overwrite=True)
            found = written.audit(report.path, fields)
            assert found.wrong == []
            assert set(found.classes) == whole_cells(fields)
    cell_table(fields, lambda one: one.well, "label", "localization").to_csv(table, index=False)
    # A well with two fields names none of them.
    with pytest.raises(InputError, match="none of the fields"):
        written.run(tmp_path / "wells", cells=table)


def test_rows_of_some_cells_say_nothing_of_others(tmp_path):
    fields = draw()
    written = fields_folder(tmp_path / "s", fields)
    table = written.options["cells"]
    frame = pd.read_csv(table)
    kept = frame[frame["localization"] == "nucleus"].iloc[::2]
    kept.to_csv(table, index=False)
    report = written.run(tmp_path / "out")
    found = written.audit(report.path, fields)
    assert found.wrong == []
    assert 0 < len(found.classes) <= len(kept)
    assert any("labels without a row" in note for note in report.notes)


def test_rows_that_contradict_each_other_give_no_class(tmp_path):
    fields = draw()
    written = fields_folder(tmp_path / "s", fields)
    table = written.options["cells"]
    frame = pd.read_csv(table)
    extra = frame.iloc[[0, 1]].assign(localization="elsewhere")
    pd.concat([frame, extra]).to_csv(table, index=False)
    found = written.audit(written.run(tmp_path / "out").path, fields)
    assert found.wrong == []
    assert 65 <= len(found.classes) < 68


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda f: f.assign(x=f["y"], y=f["x"]), "centres of cells that do not lie on labels"),
        (lambda f: f.assign(x=f["x"] + 5000), "centres of cells that do not lie on labels"),
        (lambda f: f.assign(x=""), "a cell without a place"),
        (lambda f: f.assign(x=f["x"].map("{:.1f}".format).str.replace(".", ",")), "no number"),
    ],
)
def test_places_that_are_not_those_of_cells(function, match, tmp_path):
    fields = draw()
    written = fields_folder(tmp_path / "s", fields)
    table = written.options["cells"]
    frame = cell_table(fields, lambda one: one.harmony, "x", "y", "localization")
    function(frame).to_csv(table, index=False)
    with pytest.raises(InputError, match=match):
        written.run(tmp_path / "out")


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda f: f.assign(label=f["label"] + 0.5), "is no number of a label"),
        (lambda f: f.assign(label=1e300), "is no number of a label"),
        (lambda f: f.assign(label="a"), "which is no number"),
        (lambda f: f.assign(label=f["label"] + 1000), "of which the label image has none"),
        (lambda f: f.drop(columns="label"), "neither `x` and `y` nor `label`"),
        (lambda f: f.rename(columns={"field": "plate"}), "missing column"),
        (lambda f: f.assign(field="nowhere"), "none of the fields"),
    ],
)
def test_numbers_that_are_not_those_of_labels(function, match, tmp_path):
    written = fields_folder(tmp_path / "s", draw())
    table = written.options["cells"]
    function(pd.read_csv(table)).to_csv(table, index=False)
    with pytest.raises(InputError, match=match):
        written.run(tmp_path / "out")


def test_numbers_and_places_of_other_cells_are_refused(tmp_path):
    fields = draw()
    written = fields_folder(tmp_path / "s", fields)
    table = written.options["cells"]
    frame = cell_table(fields, lambda one: one.harmony, "x", "y", "label", "localization")
    frame.to_csv(table, index=False)
    assert written.audit(written.run(tmp_path / "good").path, fields).wrong == []
    frame.assign(label=np.roll(frame["label"], 1)).to_csv(table, index=False)
    with pytest.raises(InputError, match="numbers and places in the table of cells"):
        written.run(tmp_path / "out")


def test_labels_without_numbers_are_joined_by_place_only(tmp_path):
    """Outlines and masks of one value have no numbers, so a table's say nothing of them."""
    fields = draw()
    written = fields_folder(tmp_path / "s", fields)
    for one in fields:
        labels = 255 * (one.labels > 0).astype(np.uint8)
        tifffile.imwrite(written.source / f"{one.harmony}_labeled.tiff", labels)
    with pytest.raises(InputError, match="labels without"):
        written.run(tmp_path / "out")
    frame = cell_table(fields, lambda one: one.harmony, "x", "y", "label", "localization")
    frame.to_csv(written.options["cells"], index=False)
    found = written.audit(written.run(tmp_path / "out").path, fields)
    assert found.wrong == []
    assert len(found.classes) == 68


def test_one_image_in_rows_of_several_fields(tmp_path):
    written = fields_table(tmp_path / "s", draw())
    frame = pd.read_csv(written.source)
    frame.loc[3, "field"] = "another"
    frame.to_csv(written.source, index=False)
    with pytest.raises(InputError, match="rows with the same images are of several fields"):
        written.run(tmp_path / "out")


def test_fields_that_lack_something_are_counted(tmp_path):
    fields = draw()
    written = fields_table(tmp_path / "s", fields)
    root = tmp_path / "s"
    (root / "B02_s1_GFP.tif").unlink()
    (root / "B02_s2_labels.png").unlink()
    png(root / "C03_s1_labels.png", fields[2].labels[:-3])
    report = written.run(tmp_path / "out")
    assert reasons(report)["GFP: no such file"] == 1
    assert reasons(report)["labels: no such file"] == 1
    assert reasons(report)["a label image of 149×184 pixels; its channels have 152×184"] == 1
    assert set(written.audit(report.path, fields).cells) == whole_cells(fields[3:])


def test_centres_need_a_channel_that_shows_cells(tmp_path):
    written = fields_table(tmp_path / "s", draw(), by="centre")
    change(written, lambda f: f.rename(columns={"RFP": "cytosol"}))
    written.options.pop("marker")
    with pytest.raises(UsageError, match=r"Name it with --marker, one of DNA, GFP, cytosol"):
        written.run(tmp_path / "out")


def test_images_are_in_another_folder(tmp_path):
    fields = draw()
    written = fields_table(tmp_path / "s", fields)
    written.source = written.source.rename(tmp_path / "fields.csv")
    with pytest.raises(InputError, match="no such file"):
        written.run(tmp_path / "out")
    report = written.run(tmp_path / "out", images=tmp_path / "s")
    assert written.audit(report.path, fields).wrong == []
