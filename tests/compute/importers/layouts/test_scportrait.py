"""Files of scPortrait: masks first and blurred, crops that were masked, tables that do not fit."""

import h5py
import numpy as np
import pandas as pd
import pytest

from compute.errors import InputError, UsageError
from compute.store.reader import CropStore
from tests.compute.importers.drawn_arrays import scportrait
from tests.compute.importers.drawn_plate import draw


def opened(written, mode="a"):
    return h5py.File(written.source, mode)


def test_masked_crops_are_refused_and_taken_if_asked(tmp_path):
    fields = draw()
    written = scportrait(tmp_path / "s", fields, masked=True)
    with pytest.raises(InputError, match=r"68 of 68 crops have nothing around.*scPortrait masks"):
        written.run(tmp_path / "out")
    report = written.run(tmp_path / "out", no_surroundings=True)
    assert report.stored == 68
    assert any("nothing around their cells" in note for note in report.notes)


def test_the_mask_is_blurred_and_no_image(tmp_path):
    fields = draw()
    written = scportrait(tmp_path / "s", fields)
    with opened(written) as file:
        images = file["obsm/single_cell_images"]
        values = images[...]
        values[:, 0] = np.clip(values[:, 0] * 0.9 + 0.05, 0, 1)
        images[...] = values
    report = written.run(tmp_path / "out")
    assert CropStore(report.path).channels == ["DNA", "GFP", "RFP"]
    assert written.audit(report.path, fields).wrong == []


def test_of_several_masks_that_of_the_cell_is_taken(tmp_path):
    fields = draw()
    written = scportrait(tmp_path / "s", fields, masks=("seg_all_nucleus", "seg_all_cytosol"))
    assert written.audit(written.run(tmp_path / "out").path, fields).wrong == []
    with pytest.raises(InputError, match="no mask called 'x'"):
        written.run(tmp_path / "x", objects="x")
    written = scportrait(tmp_path / "t", fields, masks=("seg_all_a", "seg_all_b"))
    with pytest.raises(InputError, match=r"several masks.*--objects"):
        written.run(tmp_path / "y")
    assert written.run(tmp_path / "y", objects="seg_all_b").stored == 68
    written = scportrait(tmp_path / "u", fields, masks=("seg_all_nucleus",))
    assert "The masks are of nuclei." in written.run(tmp_path / "z").notes


def test_channels_and_columns_are_chosen(tmp_path):
    fields = draw()
    written = scportrait(tmp_path / "s", fields)
    report = written.run(tmp_path / "out", channels=["RFP", "green=GFP"])
    written.planes = (2, 1)
    assert CropStore(report.path).channels == ["RFP", "green"]
    assert written.audit(report.path, fields).wrong == []
    with pytest.raises(UsageError, match="The source has DNA, GFP, RFP"):
        written.run(tmp_path / "no", channels=["YFP"])
    with pytest.raises(UsageError, match="No channel 'YFP'"):
        written.run(tmp_path / "no", marker="YFP")
    with pytest.raises(InputError, match="no column 'x'"):
        written.run(tmp_path / "no", class_column="x")


def test_a_table_of_cells_goes_by_the_number_of_the_crop(tmp_path):
    fields = draw()
    written = scportrait(tmp_path / "s", fields)
    with opened(written, "r") as file:
        ids = file["obs/scportrait_cell_id"][...]
    by_id = {
        1000 * place + n: one.class_of(n) for place, one in enumerate(fields) for n in one.whole
    }
    table = pd.DataFrame({"field": "single_cells", "label": ids})
    table["localization"] = [by_id[int(i)] for i in ids]
    with opened(written) as file:
        del file["obs/localization"]
        order = [name for name in file["obs"].attrs["column-order"] if name != "localization"]
        file["obs"].attrs["column-order"] = order
    path = tmp_path / "cells.csv"
    table.iloc[:40].to_csv(path, index=False)
    report = written.run(tmp_path / "out", cells=path)
    found = written.audit(report.path, fields, proteins=False)
    assert found.wrong == []
    assert len(found.classes) == 40
    table.drop(columns="label").assign(x=16, y=16).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"number of each crop in a column `label`"):
        written.run(tmp_path / "places", cells=path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: f.__delitem__("obsm"), "no data set"),
        (lambda f: f.__delitem__("var"), "no var in it"),
        (lambda f: f.__delitem__("obs"), "no obs in it"),
        (lambda f: f.__delitem__("var/channels"), "var"),
        (lambda f: f["var/channel_mapping/codes"].__setitem__(slice(None), 0), "mask"),
        (lambda f: f["obs"].move("protein", "elsewhere"), "obs"),
    ],
)
def test_what_is_missing_is_said(change, match, tmp_path):
    written = scportrait(tmp_path / "s", draw())
    with opened(written) as file:
        change(file)
    with pytest.raises(InputError, match=match):
        written.run(tmp_path / "out")


def test_links_to_other_files_are_not_followed(tmp_path):
    written = scportrait(tmp_path / "s", draw())
    other = tmp_path / "other.h5"
    with opened(written) as file, h5py.File(other, "w") as target:
        file.copy("obsm/single_cell_images", target)
        del file["obsm/single_cell_images"]
        file["obsm/single_cell_images"] = h5py.ExternalLink(str(other), "single_cell_images")
    with pytest.raises(InputError, match="is a link to elsewhere"):
        written.run(tmp_path / "out")
    written = scportrait(tmp_path / "t", draw())
    with opened(written) as file:
        del file["obs/protein"]
        file["obs/protein"] = h5py.ExternalLink(str(other), "single_cell_images")
    with pytest.raises(InputError, match="leads elsewhere"):
        written.run(tmp_path / "out")

    written = scportrait(tmp_path / "u", draw())
    with opened(written) as file:
        file["obs/round"] = file["obs"]
    with pytest.raises(InputError, match="leads elsewhere"):
        written.run(tmp_path / "out")


def test_a_folder_and_what_is_no_file(tmp_path):
    fields = draw()
    written = scportrait(tmp_path / "s" / "extraction" / "data", fields)
    path, written.source = written.source, tmp_path / "s"
    assert written.run(tmp_path / "out").stored == 68
    (path.parent / "b.h5sc").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"2 files called \.h5sc"):
        written.run(tmp_path / "two")
    written.source = path.parent / "b.h5sc"
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        written.run(tmp_path / "two")


@pytest.mark.parametrize("ids", [["a"] * 68, [0.5] * 68])
def test_ids_that_are_no_numbers(ids, tmp_path):
    written = scportrait(tmp_path / "s", draw())
    with opened(written) as file:
        attributes = dict(file["obs/scportrait_cell_id"].attrs)
        del file["obs/scportrait_cell_id"]
        if isinstance(ids[0], str):
            attributes["encoding-type"] = "string-array"
        file["obs"].create_dataset("scportrait_cell_id", data=ids).attrs.update(attributes)
    with pytest.raises(InputError, match="scportrait_cell_id"):
        written.run(tmp_path / "out")
