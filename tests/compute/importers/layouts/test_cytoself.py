"""Arrays of cytoself: pickles that are not opened, tables that do not fit, cells around nuclei."""

import numpy as np
import pandas as pd
import pytest

from compute.errors import InputError, UsageError
from compute.store.reader import CropStore
from tests.compute.importers.drawn_arrays import cytoself
from tests.compute.importers.drawn_plate import draw


def test_the_distance_is_no_image_and_files_are_joined(tmp_path):
    fields = draw()
    written = cytoself(tmp_path / "s", fields)
    report = written.run(tmp_path / "out")
    store = CropStore(report.path)
    assert store.channels == ["pro", "nuc"]
    assert report.stored == 68
    assert sorted(set(store.cells["field"])) == ["B02_1", "B02_2", "C03_1", "C03_2"]
    assert any("68 cells were found around their nuclei" in note for note in report.notes)
    assert not any("Image_data" in note for note in report.notes)


def test_pickles_are_never_opened(tmp_path):
    written = cytoself(tmp_path / "s", draw(), numbered=False)
    report = written.run(tmp_path / "out")
    assert any("_label.npy, which holds Python objects, is not opened" in n for n in report.notes)
    np.save(tmp_path / "s" / "AAC1_pro.npy", np.array([{"a": 1}], object))
    with pytest.raises(InputError, match=r"AAC1_pro\.npy cannot be read"):
        written.run(tmp_path / "two")


def test_localizations_come_from_a_table(tmp_path):
    written = cytoself(tmp_path / "s", draw(), numbered=False)
    table = tmp_path / "l.csv"
    table.write_text("protein,localization\nAAC1,mitochondrion\nNOP1,nucleolus;nucleus\n")
    cells = CropStore(written.run(tmp_path / "out", localizations=table).path).cells
    assert set(cells[cells["protein"] == "AAC1"]["localization"]) == {"mitochondrion"}
    assert cells[cells["protein"] == "NOP1"]["localization"].isna().all()
    assert list(cells[cells["protein"] == "NOP1"]["labels"].iloc[0]) == ["nucleolus", "nucleus"]


def test_several_grades_and_empty_ones(tmp_path):
    fields = draw()
    written = cytoself(tmp_path / "s", fields)
    path = tmp_path / "s" / "Label_data00.csv"
    frame = pd.read_csv(path)
    frame.loc[0, "loc_grade1"] = "nucleus;cytoplasm"
    frame.loc[1, "loc_grade1"] = None
    frame.to_csv(path, index=False)
    cells = CropStore(written.run(tmp_path / "out").path).cells
    assert list(cells["labels"].iloc[0]) == ["nucleus", "cytoplasm"]
    assert cells["localization"].iloc[:2].isna().all()
    cells = CropStore(written.run(tmp_path / "two", class_column="loc_grade2").path).cells
    assert cells["localization"].isna().all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda root: (root / "Label_data01.csv").unlink(), "Label_data01.csv: no such file"),
        (
            lambda root: (root / "Label_data01.csv").write_bytes(
                (root / "Label_data00.csv").read_bytes().rsplit(b"\n", 3)[0] + b"\n"
            ),
            "a row per cell",
        ),
        (lambda root: np.save(root / "Image_data00.npy", np.ones((34, 32, 32))), "4 channels"),
        (lambda root: np.save(root / "Image_data00.npy", np.ones((34, 30, 32, 4))), "squares"),
        (
            lambda root: (root / "Image_data00.npy").write_bytes(
                (root / "Image_data00.npy").read_bytes()[:9000]
            ),
            "cannot be read",
        ),
        (lambda root: np.save(root / "Image_data00.npy", np.zeros(0)), "Expected cells"),
        (lambda root: np.save(root / "Image_data00.npy", np.array("x")), "Expected cells"),
    ],
)
def test_what_does_not_fit_is_refused(change, match, tmp_path):
    written = cytoself(tmp_path / "s", draw())
    change(tmp_path / "s")
    with pytest.raises(InputError, match=match):
        written.run(tmp_path / "out")


def test_a_channel_is_missing(tmp_path):
    written = cytoself(tmp_path / "s", draw(), numbered=False)
    (tmp_path / "s" / "NOP1_nuc.npy").unlink()
    with pytest.raises(InputError, match=r"has no NOP1_nuc\.npy beside it"):
        written.run(tmp_path / "out")
    for path in (tmp_path / "s").glob("*_pro.npy"):
        path.unlink()
    with pytest.raises(InputError, match=r"neither <protein>_pro\.npy nor Image_data00\.npy"):
        written.run(tmp_path / "out")
    with pytest.raises(UsageError, match="--objects does not concern cytoself"):
        written.run(tmp_path / "out", objects="x")


def test_crops_of_nothing_are_counted(tmp_path):
    written = cytoself(tmp_path / "s", draw())
    path = tmp_path / "s" / "Image_data00.npy"
    images = np.load(path)
    images[0] = np.nan
    images[1, ..., :2] = 3
    images[2] = images[3]
    np.save(path, images)
    report = written.run(tmp_path / "out")
    assert {item["reason"]: item["count"] for item in report.rejections} == {
        "pixels that are not finite (NaN or infinite)": 1,
        "a channel whose pixels are all the same": 1,
        "the same pixels as an earlier crop": 1,
    }


def test_a_file_of_another_pixel_type_is_rejected_and_never_cast(tmp_path):
    """Fractions cast to whole numbers would all be 0."""
    written = cytoself(tmp_path / "s", draw(), numbered=False)
    for name in ("NOP1_pro.npy", "NOP1_nuc.npy"):
        path = tmp_path / "s" / name
        values = np.load(path).astype(np.float64)
        np.save(path, np.round(255 * (values - values.min()) / np.ptp(values)).astype(np.uint8))
    report = written.run(tmp_path / "out")
    reasons = {item["reason"]: item["count"] for item in report.rejections}
    assert reasons.pop("pixels of type uint8; float32 expected") > 0
    assert not reasons
    assert "NOP1" not in set(CropStore(report.path).cells["protein"])
