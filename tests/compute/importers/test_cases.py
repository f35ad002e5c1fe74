"""Masks that people had, and what should come of them (the folder `cases` of the shared data)."""

import shutil

import pytest

from compute.errors import InputError
from compute.importers.fields import import_fields
from compute.importers.manifest import import_manifest

READ = {
    "mask_outline": "8 mask(s) were outlines, and were filled.",
    "mask_background_minus1": "8 mask(s) have another background than 0 (-1)",
    "mask_ilastik_1_2": "8 mask(s) have another background than 0 (1)",
    "mask_palette_png": "8 mask(s) have a palette: the numbers of its colours are read",
    "small_cell_in_256": "",
    "fields_binary_0_255": "1 label image(s) show cells by one value",
    "fields_bool_labels": "1 label image(s) show cells by one value",
    "fields_label_png": "",
}
"""Folder → what its import says."""

REFUSED = {
    "neighbours_already_zeroed": (r"8 of 8 crops have nothing around", {"no_surroundings": True}),
    "mask_probability": (r"162 values from 0 to 255.*--mask-threshold", {"mask_threshold": 128}),
    "fields_labels_transposed": (r"would if transposed", {"unchecked_masks": True}),
}
"""Folder → why it is refused, and the option with which it is taken."""


def run(shared, tmp_path, name, **options):
    source = tmp_path / name
    if not source.exists():
        shutil.copytree(shared / "cases" / name, source)
    if name.startswith("fields"):
        return import_fields(source, tmp_path / "out", channels=["GFP", "RFP"], **options)
    return import_manifest(source / "crops.csv", tmp_path / "out", **options)


@pytest.mark.parametrize("name", READ)
def test_what_can_be_understood_is_read(name, shared, tmp_path):
    report = run(shared, tmp_path, name)
    assert report.usable == report.stored == {"small": 4, "field": 13}.get(name[:5], 8)
    said = [note for note in report.notes if "mask" in note or "label image" in note]
    assert len(said) == bool(READ[name])
    assert all(READ[name] in note for note in said)


@pytest.mark.parametrize("name", REFUSED)
def test_the_rest_is_refused_and_taken_if_asked(name, shared, tmp_path):
    reason, options = REFUSED[name]
    with pytest.raises(InputError, match=reason):
        run(shared, tmp_path, name)
    assert run(shared, tmp_path, name, **options).stored
