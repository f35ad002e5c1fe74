"""ImageXpress and Operetta: names of files, thumbnails, names of channels, stacks."""

import pytest

from compute.errors import InputError
from compute.store.reader import CropStore
from tests.compute.importers.drawn_layouts import imagexpress, operetta, tiff
from tests.compute.importers.drawn_plate import draw


def test_wavelengths_are_called_as_the_plate_says(tmp_path):
    fields = draw()
    written = imagexpress(tmp_path / "s", fields)
    report = written.run(tmp_path / "out")
    assert CropStore(report.path).channels == ["DNA", "GFP", "RFP"]
    assert not any("no images of a field" in note for note in report.notes)
    (written.source / "P7.HTD").write_text('"WaveName1", "same"\n"WaveName2", "same"\n')
    report = written.run(tmp_path / "two", marker="w3")
    assert CropStore(report.path).channels == ["w1", "w2", "w3"]
    assert written.audit(report.path, fields).wrong == []


def test_points_in_time_are_no_fields(tmp_path):
    written = imagexpress(tmp_path / "s", draw())
    other = written.source / "TimePoint_2"
    other.mkdir()
    for path in (written.source / "TimePoint_1").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"several folders \(TimePoint_1, TimePoint_2\)"):
        written.run(tmp_path / "out")


def test_labels_must_be_given(tmp_path):
    written = imagexpress(tmp_path / "s", draw())
    labels = written.options.pop("labels")
    cells = written.options.pop("cells")
    with pytest.raises(InputError, match=r"without label images.*--labels.*--cells"):
        written.run(tmp_path / "out")
    written.source = labels
    with pytest.raises(InputError, match=r"no image called <plate>_B02_s1_w1"):
        written.run(tmp_path / "out", labels=labels, cells=cells)


def test_the_index_names_channels_and_pixel_size(tmp_path):
    fields = draw()
    written = operetta(tmp_path / "s", fields)
    report = written.run(tmp_path / "out")
    store = CropStore(report.path)
    assert store.channels == ["DNA", "GFP", "RFP"]
    assert store.meta["source"]["pixel_size"] == pytest.approx(0.2)
    index = written.source / "Images" / "Index.idx.xml"
    for name in ("Index.xml", "Index.ref.xml"):
        index = index.rename(index.with_name(name))
        assert CropStore(written.run(tmp_path / name).path).channels == ["DNA", "GFP", "RFP"]
    index.unlink()
    report = written.run(tmp_path / "none", marker="ch3")
    assert CropStore(report.path).channels == ["ch1", "ch2", "ch3"]
    assert written.audit(report.path, fields).wrong == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("<a>", "cannot be read"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares entities"),
        ("<a><ImageResolutionX>wide</ImageResolutionX></a>", "cannot be read"),
    ],
)
def test_an_index_that_is_none(text, match, tmp_path):
    written = operetta(tmp_path / "s", draw())
    (written.source / "Images" / "Index.idx.xml").write_text(text)
    with pytest.raises(InputError, match=match):
        written.run(tmp_path / "out")


def test_planes_of_a_stack_are_refused(tmp_path):
    fields = draw()
    written = operetta(tmp_path / "s", fields)
    for number, channel in enumerate(fields[0].image, 1):
        tiff(written.source / "Images" / f"r02c02f01p02-ch{number}sk1fk1fl1.tiff", channel)
    with pytest.raises(InputError, match=r"images of one field and channel.*planes of a Z stack"):
        written.run(tmp_path / "out")


def test_a_label_image_is_called_after_well_and_site(tmp_path):
    fields = draw()
    written = operetta(tmp_path / "s", fields)
    labels = written.options["labels"]
    for one in fields:
        (labels / f"{one.harmony}_cells.tiff").rename(
            labels / f"CellsOutlines_P7_{one.well}_{one.site}.tiff"
        )
        tiff(labels / f"P7_{one.well}_{one.site}_Nuclei.tiff", one.nuclei)
        tiff(labels / f"P7_{one.well}_{one.site}_Cytoplasm.tiff", one.labels - one.nuclei)
    assert written.audit(written.run(tmp_path / "out").path, fields).wrong == []
    tiff(labels / "P7_C03_2_cells.tiff", fields[3].labels)
    report = written.run(tmp_path / "two")
    assert any("several label images for one field" in one["reason"] for one in report.rejections)
    report = written.run(tmp_path / "nuclei", objects="Nuclei", unchecked_masks=True)
    assert report.stored >= 68
