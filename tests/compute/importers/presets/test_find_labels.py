"""Label images are given to fields by their names, and to none where a name tells nothing."""

from pathlib import Path

import pytest

from compute.errors import InputError
from compute.importers.field_record import FieldRecord, ImageRef
from compute.importers.presets.find_labels import Place, find_labels
from compute.importers.presets.spatialdata import _common


def field(name, folder="."):
    return FieldRecord(name, (ImageRef(Path(folder) / f"{name}.tif"),))


def found(folder, names, places, **options):
    for name in names:
        (folder / name).write_bytes(b"x")
    fields = [field(f"F{n}", f"p{n}") for n in range(len(places))]
    new, notes = find_labels(fields, places, folder, **options)
    return [one.labels and one.labels.path.name for one in new], notes


def test_images_that_are_called_alike_get_no_label_by_that_name(tmp_path):
    places = [Place(("a_ch1",), "P1", "A01", "1"), Place(("a_ch1",), "P2", "A01", "1")]
    names = ["a_ch1_cells.tif", "P1_A01_s1_cells.tif", "P2_A01_s1_cells.tif"]
    labels, notes = found(tmp_path, names, places)
    assert labels == ["P1_A01_s1_cells.tif", "P2_A01_s1_cells.tif"]
    assert any("a_ch1_cells.tif" in note for note in notes)


def test_the_longest_name_wins_and_several_labels_are_a_problem(tmp_path):
    places = [Place(("a",)), Place(("a_1",))]
    assert found(tmp_path, ["a_cells.tif", "a_1_cells.tif"], places)[0] == [
        "a_cells.tif", "a_1_cells.tif",
    ]  # fmt: skip
    (tmp_path / "a_mask.tif").write_bytes(b"x")
    new, _ = find_labels([field("F0"), field("F1")], places, tmp_path)
    assert new[0].problem is not None
    assert "a_cells.tif, a_mask.tif" in new[0].problem
    with pytest.raises(InputError, match="no label image goes with a field"):
        find_labels([field("F")], [Place(("b",))], tmp_path)


def test_labels_of_field10_are_not_those_of_field1():
    assert _common("field1", "field1_cells")
    assert _common("field1", "cells_field1")
    assert not _common("field1", "field10_cells")
    assert _common("image_1", "labels_1")
