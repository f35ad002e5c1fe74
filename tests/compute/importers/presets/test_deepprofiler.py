"""DeepProfiler's projects: wells as texts, missing tables of locations, the split and classes."""

import json

import pandas as pd
import pytest

from compute.errors import InputError
from compute.store.reader import CropStore
from tests.compute.importers.drawn_layouts import deepprofiler, tiff
from tests.compute.importers.drawn_plate import draw


def index(root):
    return root / "inputs" / "metadata" / "index.csv"


def test_wells_and_sites_are_texts(tmp_path):
    """A well 1E02 is no number, nor is a site 01."""
    fields = draw()
    written = deepprofiler(tmp_path / "s", fields)
    frame = pd.read_csv(index(tmp_path / "s"), dtype=str)
    frame["Metadata_Well"] = frame["Metadata_Well"].replace({"B02": "1E02", "C03": "0007"})
    frame["Metadata_Site"] = "0" + frame["Metadata_Site"]
    frame.to_csv(index(tmp_path / "s"), index=False)
    places = tmp_path / "s" / "inputs" / "locations" / "P7"
    for path in list(places.iterdir()):
        well, site, _ = path.name.split("-")
        path.rename(places / f"{ {'B02': '1E02', 'C03': '0007'}[well] }-0{site}-Nuclei.csv")
    report = written.run(tmp_path / "out")
    assert report.stored == 68
    assert written.audit(report.path, fields).wrong == []
    names = set(CropStore(report.path).cells["field"])
    assert names == {"P7_1E02_s01", "P7_1E02_s02", "P7_0007_s01", "P7_0007_s02"}


def test_a_missing_table_of_locations_is_counted_and_an_empty_one(tmp_path):
    fields = draw()
    written = deepprofiler(tmp_path / "s", fields)
    places = tmp_path / "s" / "inputs" / "locations" / "P7"
    (places / "B02-2-Nuclei.csv").unlink()
    (places / "C03-1-Nuclei.csv").write_text("Nuclei_Location_Center_X,Nuclei_Location_Center_Y\n")
    report = written.run(tmp_path / "out")
    reasons = {item["reason"]: item["count"] for item in report.rejections}
    assert reasons["no table of locations (B02-2-Nuclei.csv)"] == 1
    assert reasons["a field without cells"] == 1
    assert len(written.audit(report.path, fields).cells) == 34


def test_exchanged_places_are_refused(tmp_path):
    written = deepprofiler(tmp_path / "s", draw())
    for path in (tmp_path / "s" / "inputs" / "locations" / "P7").iterdir():
        frame = pd.read_csv(path)
        frame.columns = frame.columns[::-1]
        frame.to_csv(path, index=False)
    with pytest.raises(InputError, match="centres of cells that do not lie on cells"):
        written.run(tmp_path / "out")


def test_masks_come_from_a_column_of_outlines(tmp_path):
    fields = draw()
    written = deepprofiler(tmp_path / "s", fields)
    frame = pd.read_csv(index(tmp_path / "s"))
    frame["Outlines"] = [f"P7/{one.well}_{one.site}_labels.tif" for one in fields]
    frame.to_csv(index(tmp_path / "s"), index=False)
    for one in fields:
        tiff(tmp_path / "s/inputs/images" / f"P7/{one.well}_{one.site}_labels.tif", one.labels)
    written.masks = "equal"
    assert written.audit(written.run(tmp_path / "out").path, fields).wrong == []


def test_the_configuration_names_channels_and_classes(tmp_path):
    fields = draw()
    written = deepprofiler(tmp_path / "s", fields)
    config = tmp_path / "s" / "inputs" / "config" / "config.json"
    said = json.loads(config.read_text())
    said["dataset"]["images"]["channels"] = ["RFP", "GFP"]
    config.write_text(json.dumps(said))
    report = written.run(tmp_path / "out")
    assert CropStore(report.path).channels == ["RFP", "GFP"]
    assert set(CropStore(report.path).cells["split"]) == {"0"}
    config.unlink()
    assert CropStore(written.run(tmp_path / "no config", marker="RFP").path).channels[:3] == [
        "DNA", "GFP", "RFP",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "config.json cannot be read"),
        ("[]", "config.json cannot be read"),
        ('{"dataset": {"images": {"channels": ["X"]}}}', "no column of paths for X"),
        ('{"dataset": {"images": {"channels": [1, null]}}}', "channels"),
        ('{"dataset": {"images": {"channels": "DNA"}}}', "channels"),
        ('{"dataset": {"images": {"channels": 3}}}', "channels"),
    ],
)
def test_a_configuration_that_is_none(text, match, tmp_path):
    written = deepprofiler(tmp_path / "s", draw())
    (tmp_path / "s" / "inputs" / "config" / "config.json").write_text(text)
    with pytest.raises(InputError, match=match):
        written.run(tmp_path / "out")


def test_a_field_twice_is_refused(tmp_path):
    written = deepprofiler(tmp_path / "s", draw())
    frame = pd.read_csv(index(tmp_path / "s"))
    pd.concat([frame, frame.iloc[:1]]).to_csv(index(tmp_path / "s"), index=False)
    with pytest.raises(InputError, match="P7_B02_s1 is there 2 times"):
        written.run(tmp_path / "out")
