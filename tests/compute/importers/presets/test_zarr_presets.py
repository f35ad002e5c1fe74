"""OME-Zarr and SpatialData: levels, empty chunks, several labels, damaged metadata."""

import json
import shutil

import numpy as np
import pytest
import zarr

from compute.errors import InputError
from compute.store.reader import CropStore
from tests.compute.importers.drawn_arrays import ome_zarr, spatialdata
from tests.compute.importers.drawn_plate import draw, whole_cells


def zipped(folder, out, *, inside=True):
    """Pack a folder, with its own name inside or without."""
    root = folder.parent if inside else folder
    made = shutil.make_archive(
        str(out), "zip", root_dir=root, base_dir=folder.name if inside else "."
    )
    return out.with_name(f"{out.name}.zip") if made else None


def test_chunks_that_are_not_written_and_levels_called_s0(tmp_path):
    fields = draw()
    ome_zarr(tmp_path / "s", fields)
    group = tmp_path / "s" / "images" / "B02_1.ome.zarr"
    assert (group / "s0").is_dir()
    assert not (group / "0").exists()
    labels = zarr.open_group(tmp_path / "s/images/B02_1.ome.zarr", mode="r")["labels/cells/s0"]
    written = labels.nchunks_initialized
    assert np.array_equal(labels[...], fields[0].labels)
    empty = sum(
        not fields[0].labels[y : y + 64, x : x + 64].any()
        for y in range(0, 152, 64)
        for x in range(0, 184, 64)
    )
    assert written == labels.nchunks - empty


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("inside", [True, False])
def test_archives(version, inside, tmp_path):
    fields = draw()[:1]
    written = ome_zarr(tmp_path / "s", fields, version=version)
    folder = tmp_path / "s" / "images" / "B02_1.ome.zarr"
    written.source = zipped(folder, tmp_path / "B02_1.ome.zarr", inside=inside)
    report = written.run(tmp_path / "out")
    assert set(written.audit(report.path, fields).cells) == whole_cells(fields)
    assert written.audit(report.path, fields).wrong == []
    assert CropStore(report.path).meta["source"]["pixel_size"] == pytest.approx(0.2)


def test_of_several_labels_the_cells_are_taken(tmp_path):
    fields = draw()
    written = ome_zarr(tmp_path / "s", fields, more=("nuclei",))
    assert written.audit(written.run(tmp_path / "out").path, fields).wrong == []
    both = ome_zarr(tmp_path / "t", fields, more=("cells2",))
    with pytest.raises(InputError, match=r"several labels, cells, cells2.*--objects"):
        both.run(tmp_path / "both")
    assert both.run(tmp_path / "both", objects="cells").stored == 68
    with pytest.raises(InputError, match="no labels called 'x'"):
        both.run(tmp_path / "x", objects="x")


def test_axes_in_another_order_are_turned(tmp_path):
    fields = draw()[:1]
    written = ome_zarr(tmp_path / "s", fields)
    path = tmp_path / "s" / "images" / "B02_1.ome.zarr"
    group = zarr.open_group(path, mode="a")
    said = dict(group.attrs["ome"])
    said["multiscales"][0]["axes"] = [
        *said["multiscales"][0]["axes"][:1],
        {"name": "x", "type": "space"},
        {"name": "y", "type": "space"},
    ]
    group.attrs["ome"] = said
    turned = fields[0].image.swapaxes(1, 2)
    group.create_array("s0", data=np.ascontiguousarray(turned), overwrite=True)
    assert written.audit(written.run(tmp_path / "out").path, fields).wrong == []


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.pop("multiscales"),
        lambda said: said.update(multiscales=[]),
        lambda said: said.update(multiscales=[{}]),
        lambda said: said.update(multiscales="x"),
        lambda said: said["multiscales"][0].update(datasets=[]),
        lambda said: said["multiscales"][0]["datasets"][0].update(path="s9"),
        lambda said: said["multiscales"][0]["datasets"][0].update(path="labels"),
        lambda said: said["multiscales"][0]["datasets"][0].update(path=3),
        lambda said: said["multiscales"][0].update(axes=["c", "y"]),
        lambda said: said["multiscales"][0].update(axes=["c", "y", "x", "z"]),
        lambda said: said["multiscales"][0].update(axes=[1, 2, 3]),
        lambda said: said["multiscales"][0].update(axes=["y", "x", "c"]),
        lambda said: said["multiscales"][0].update(axes=["z", "y", "x"]),
        lambda said: said["multiscales"][0].update(axes=["t", "y", "x"]),
        lambda said: said.update(omero={"channels": ["DNA", "GFP", "RFP"]}),
        lambda said: said.update(omero=["x"]),
    ],
)
def test_metadata_that_say_something_else_are_refused(change, tmp_path):
    written = ome_zarr(tmp_path / "s", draw()[:1])
    path = tmp_path / "s" / "images" / "B02_1.ome.zarr" / "zarr.json"
    whole = json.loads(path.read_text())
    change(whole["attributes"]["ome"])
    path.write_text(json.dumps(whole))
    with pytest.raises(InputError):
        written.run(tmp_path / "out")


def test_names_that_are_missing_are_asked_for(tmp_path):
    fields = draw()[:1]
    written = ome_zarr(tmp_path / "s", fields)
    path = tmp_path / "s" / "images" / "B02_1.ome.zarr" / "zarr.json"
    whole = json.loads(path.read_text())
    del whole["attributes"]["ome"]["omero"]
    path.write_text(json.dumps(whole))
    with pytest.raises(InputError, match="do not say what their 3 channels show"):
        written.run(tmp_path / "out")
    report = written.run(tmp_path / "out", channels=["a", "b", "RFP"])
    assert written.audit(report.path, fields).wrong == []


def test_a_cut_off_chunk_is_counted(tmp_path):
    fields = draw()
    written = ome_zarr(tmp_path / "s", fields)
    chunk = tmp_path / "s/images/C03_1.ome.zarr/s0/c/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:40])
    report = written.run(tmp_path / "out")
    reasons = {item["reason"]: item["count"] for item in report.rejections}
    assert reasons["unreadable or cut-off image of Zarr"] == 1
    assert written.audit(report.path, fields).wrong == []


def test_a_table_joins_by_number_and_not_by_row(tmp_path):
    fields = draw()
    written = spatialdata(tmp_path / "s", fields)
    found = written.audit(written.run(tmp_path / "out").path, fields)
    assert found.wrong == []
    assert len(found.classes) == sum(n % 7 != 0 for *_, n in found.cells)
    one = zipped(written.source, tmp_path / "plate")
    written.source = one
    assert written.run(tmp_path / "zip").stored == 68


def obs(root):
    return zarr.open_group(root / "plate.sdata.zarr/tables/table/obs", mode="a")


@pytest.mark.parametrize("values", [["cell_1"] * 72, [np.nan] * 72, [1.5] * 72])
def test_ids_that_are_no_numbers_are_refused(values, tmp_path):
    written = spatialdata(tmp_path / "s", draw())
    group = obs(tmp_path / "s")
    attributes = dict(group["cell_id"].attrs)
    if isinstance(values[0], str):
        values = np.array(values, np.dtypes.StringDType())
        attributes = {"encoding-type": "string-array", "encoding-version": "0.2.0"}
    group.create_array("cell_id", data=np.array(values), overwrite=True).attrs.update(attributes)
    with pytest.raises(InputError, match=r"cell_id|table"):
        written.run(tmp_path / "out")


def test_cells_without_a_row_get_no_class_of_others(tmp_path):
    """Rows that all say the same say nothing of the cells that have no row."""
    fields = draw()
    written = spatialdata(tmp_path / "s", fields)
    group = obs(tmp_path / "s")
    # Every row is about the same class, and every second about a label that is not there.
    codes = group["localization/codes"]
    codes[...] = 1
    name = list(group["localization/categories"][...])[1]
    ids = group["cell_id"]
    values = ids[...]
    values[::2] += 100_000
    ids[...] = values
    report = written.run(tmp_path / "out")
    found = written.audit(report.path, fields, proteins=True)
    kept = {int(n) for n in values if n < 100_000}
    assert {number for *_, number in found.classes} <= kept
    assert 0 < len(found.classes) < 68
    assert set(found.classes.values()) == {name}


def test_no_object_at_all(tmp_path):
    written = spatialdata(tmp_path / "s", draw())
    for source in (tmp_path / "none", tmp_path / "s", tmp_path / "s/plate.sdata.zarr/images"):
        written.source = source
        with pytest.raises(InputError):
            written.run(tmp_path / "out")
    shutil.rmtree(tmp_path / "s/plate.sdata.zarr/labels/B02_1_cells")
    written.source = tmp_path / "s/plate.sdata.zarr"
    with pytest.raises(InputError, match="labels of the image B02_1 are not plain"):
        written.run(tmp_path / "out")
