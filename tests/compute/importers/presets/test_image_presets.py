"""OME-TIFF, Cellpose and the Human Protein Atlas: names of channels and masks, colours, pickles."""

import imagecodecs
import numpy as np
import pytest
import tifffile

from compute.errors import InputError, UsageError
from compute.store.reader import CropStore
from tests.compute.importers.drawn_layouts import cellpose, hpa, ome_tiff, png, tiff
from tests.compute.importers.drawn_plate import CHANNELS, draw, whole_cells


def reasons(report):
    return {item["reason"]: item["count"] for item in report.rejections}


def test_channels_are_chosen_and_renamed(tmp_path):
    fields = draw()
    written = ome_tiff(tmp_path / "s", fields)
    report = written.run(tmp_path / "out", channels=["RFP", "protein=GFP"])
    store = CropStore(report.path)
    assert store.channels == ["RFP", "protein"]
    assert store.meta["source"]["pixel_size"] == pytest.approx(0.2)
    written.planes = (2, 1)
    assert written.audit(report.path, fields).wrong == []
    for channels, match in (
        (["RFP", "YFP"], "No channel YFP; the source has DNA, GFP, RFP"),
        (["RFP", "RFP=GFP"], "names must be there and differ"),
        (["=GFP"], "names must be there"),
        ([], "names must be there"),
    ):
        with pytest.raises(UsageError, match=match):
            written.run(tmp_path / "no", channels=channels)


def test_an_imagej_hyperstack_names_its_channels(tmp_path):
    fields = draw()
    written = ome_tiff(tmp_path / "s", fields)
    for one in fields:
        (written.source / f"{one.well}_{one.site}.ome.tif").unlink()
        tifffile.imwrite(
            written.source / f"{one.well}_{one.site}.tif", one.image, imagej=True,
            resolution=(4, 4), metadata={"axes": "CYX", "unit": "um", "Labels": list(CHANNELS)},
        )  # fmt: skip
    report = written.run(tmp_path / "out")
    assert CropStore(report.path).meta["source"]["pixel_size"] == pytest.approx(0.25)
    assert written.audit(report.path, fields).wrong == []


def test_pages_without_names_are_asked_for(tmp_path):
    fields = draw()
    written = ome_tiff(tmp_path / "s", fields)
    for one in fields:
        (written.source / f"{one.well}_{one.site}.ome.tif").unlink()
        tiff(written.source / f"{one.well}_{one.site}.tif", one.image, photometric="minisblack")
    with pytest.raises(InputError, match=r"do not say what their 3 channels show.*--channels"):
        written.run(tmp_path / "out")
    with pytest.raises(UsageError, match="4 names of channels"):
        written.run(tmp_path / "out", channels=["a", "b", "c", "d"])
    report = written.run(tmp_path / "out", channels=CHANNELS)
    assert written.audit(report.path, fields).wrong == []
    two = written.run(tmp_path / "two", channels=["DNA", "GFP"])
    written.planes = (0, 1)
    assert written.audit(two.path, fields).wrong == []


def test_one_image_with_its_label_image(tmp_path):
    """The label image as a file of any name; of several images it is refused."""
    fields = draw()
    written = ome_tiff(tmp_path / "s", fields)
    labels = tmp_path / "what shows cells.tif"
    tiff(labels, fields[2].labels)
    with pytest.raises(InputError, match="one label image for 4 fields"):
        written.run(tmp_path / "out", labels=labels)
    written.source = written.source / "C03_1.ome.tif"
    written.options.pop("cells")
    report = written.run(tmp_path / "out", labels=labels)
    found = written.audit(report.path, fields)
    assert found.wrong == []
    assert set(found.cells) == whole_cells([fields[2]])


def test_an_image_with_other_channels_is_counted(tmp_path):
    fields = draw()
    written = ome_tiff(tmp_path / "s", fields)
    said = {"axes": "CYX", "Channel": {"Name": ["GFP", "DNA", "RFP"]}}
    tiff(written.source / "C03_2.ome.tif", fields[3].image, metadata=said, ome=True)
    report = written.run(tmp_path / "out")
    assert reasons(report)["other channels than the first image (GFP, DNA, RFP)"] == 1
    found = written.audit(report.path, fields)
    assert found.wrong == []
    assert len(found.cells) == 51


def test_entities_of_xml_are_not_expanded(tmp_path):
    written = ome_tiff(tmp_path / "s", draw()[:1])
    text = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><OME><Image>&b;</Image></OME>'
    path = written.source / "B02_1.ome.tif"
    tifffile.imwrite(path, draw()[0].image, description=text, metadata=None)
    with pytest.raises(InputError, match="do not say what their"):
        written.run(tmp_path / "out")


def test_cellpose_opens_no_pickle(tmp_path):
    fields = draw()
    written = cellpose(tmp_path / "s", fields)
    for path in written.source.glob("*_cp_masks.*"):
        path.unlink()
    with pytest.raises(InputError, match=r"4 file\(s\) such as B02_1_seg.npy, which are pickles"):
        written.run(tmp_path / "out")


def test_what_cellpose_saves_beside_is_no_image(tmp_path):
    fields = draw()
    written = cellpose(tmp_path / "s", fields)
    for name in ("B02_1_flows.tif", "B02_1_cp_outlines.png", "B02_1_outlines_cp_masks.png"):
        (written.source / name).write_bytes((written.source / "B02_1.tif").read_bytes())
    (written.source / "B02_1_rois.zip").write_bytes(b"PK\x03\x04")
    (written.source / "C03_2.tif").unlink()
    tiff(written.source / "alone.tif", fields[0].image, photometric="minisblack")
    report = written.run(tmp_path / "out")
    assert reasons(report)["masks without an image"] == 1
    assert reasons(report)["an image without masks (_cp_masks)"] == 1
    found = written.audit(report.path, fields)
    assert found.wrong == []
    assert len(found.cells) == 51


def pseudo(image, plane):
    """An 8-bit image in colour, as the atlas serves it: the others are not empty."""
    colours = np.zeros((*image.shape, 3), np.uint8)
    colours[..., plane] = image
    colours[..., (plane + 1) % 3] = image // 20
    return colours


def test_pseudo_colour_in_jpeg_called_png(tmp_path):
    fields = draw(dtype="uint8")
    written = hpa(tmp_path / "s", fields)
    for one in fields:
        for channel, (colour, plane) in enumerate((("blue", 2), ("green", 1), ("red", 0))):
            path = written.source / f"{one.well}_{one.site}_{colour}.png"
            encoded = imagecodecs.jpeg_encode(pseudo(one.image[channel], plane), level=98)
            path.write_bytes(encoded)
    report = written.run(tmp_path / "out")
    assert "12 image(s) are in pseudo-colour" in " ".join(report.notes)
    assert "JPEG" in " ".join(report.notes)
    arrays = CropStore(report.path).arrays()
    assert arrays.images.dtype == np.uint8
    assert report.stored == 68
    drawn = np.stack([one.crop(n)[0] for one in fields for n in one.whole])
    difference = np.abs(np.asarray(arrays.images, int) - drawn.astype(int))
    # JPEG changes noise, not which plane is taken.
    assert np.median(difference) <= 6
    assert np.corrcoef(np.asarray(arrays.images).ravel(), drawn.ravel())[0, 1] > 0.99


def test_three_names_of_masks_and_missing_colours(tmp_path):
    fields = draw()
    written = hpa(tmp_path / "s", fields)
    source = written.source
    (source / "B02_1_cellmask.png").rename(source / "B02_1_mask.png")
    (source / "B02_2_cellmask.png").rename(source / "B02_2_cell_mask.png")
    (source / "C03_1_red.png").unlink()
    (source / "C03_2_cellmask.png").unlink()
    (source / "fields overview.png").write_bytes(b"no image")
    png(source / "Z_1_cellmask.png", fields[0].labels)
    report = written.run(tmp_path / "out")
    assert reasons(report)["a field without its image of red"] == 1
    assert reasons(report)["a field without a mask of its cells"] == 1
    assert reasons(report)["a mask without an image"] == 1
    found = written.audit(report.path, fields)
    assert found.wrong == []
    assert set(found.cells) == whole_cells(fields[:2])
    only = written.run(tmp_path / "green", channels=["green"], marker="green",
                       unchecked_masks=True)  # fmt: skip
    written.planes = (1,)
    assert set(written.audit(only.path, fields).cells) == whole_cells(fields[:3])


@pytest.mark.parametrize("twice", ["B02_1_cellmask.tif", "B02_1_mask.png", "B02_1_green.tif"])
def test_a_second_file_makes_a_field_unclear(twice, tmp_path):
    written = hpa(tmp_path / "s", draw())
    tiff(written.source / twice, draw()[1].labels)
    report = written.run(tmp_path / "out")
    assert any(name.startswith(("several masks", "a second file")) for name in reasons(report))
    assert len(written.audit(report.path, draw()).cells) == 51


def test_binary_masks_with_nuclei_are_separated(tmp_path):
    """Cells that touch in a mask of 0 and 255 have their nuclei to be told apart by."""
    one = draw()[0]
    written = hpa(tmp_path / "s", [one])
    written.options.pop("cells")
    joined = 255 * (one.labels > 0).astype(np.uint8)
    # A bridge between the two nearest cells.
    places = one.centres
    distances = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
    a, b = np.unravel_index((distances + 999 * np.eye(len(places))).argmin(), distances.shape)
    for t in np.linspace(0, 1, 60):
        x, y = np.round(places[a] + t * (places[b] - places[a])).astype(int)
        joined[y - 1 : y + 2, x - 1 : x + 2] = 255
    png(written.source / "B02_1_cellmask.png", joined)
    png(written.source / "B02_1_nucleimask.png", 255 * (one.nuclei > 0).astype(np.uint8))
    report = written.run(tmp_path / "out")
    assert report.found == 18
    written.masks = "like"
    assert written.audit(report.path, [one]).wrong == []
    (written.source / "B02_1_nucleimask.png").unlink()
    assert written.run(tmp_path / "without").found == 17
    assert written.run(tmp_path / "centres", split_cells="centres").found == 18
