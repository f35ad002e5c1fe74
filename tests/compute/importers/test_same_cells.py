"""One plate in every layout: the same cells, proteins, classes and masks come out of each."""

import pytest

from compute.store.reader import CropStore
from tests.compute.importers.drawn_plate import draw, whole_cells
from tests.compute.importers.drawn_sources import CROPS, LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_cells_come_out(layout, tmp_path):
    fields = draw()
    written = LAYOUTS[layout](tmp_path / "source", fields)
    report = written.run(tmp_path / "store")
    found = written.audit(report.path, fields)
    assert found.wrong == []
    assert set(found.cells) == whole_cells(fields)
    assert report.stored == len(found.cells) == 68
    # A cell of each field lies at its edge.
    assert report.rejected == (0 if layout in CROPS else 4)
    assert report.found == report.stored + report.rejected
    # Around nuclei, in two channels that may both be dark in the cytoplasm, some find no cell.
    assert report.usable >= (64 if layout.startswith("cytoself") else report.stored)
    expected = {
        (one.well, one.site, number)
        for one in fields
        for number in one.whole
        if layout != "cytoself, per protein" and not (layout == "spatialdata" and number % 7 == 0)
    }
    assert set(found.classes) == expected
    assert found.windows > 0


def test_processes_change_nothing(tmp_path):
    fields = draw()
    written = LAYOUTS["fields table, centres"](tmp_path / "source", fields)
    one, two = (written.run(tmp_path / f"{jobs}", jobs=jobs).path for jobs in (1, 2))
    assert CropStore(one).fingerprint == CropStore(two).fingerprint


def test_another_plate_has_other_cells(tmp_path):
    """The comparison finds what is wrong."""
    written = LAYOUTS["fields table"](tmp_path / "source", draw())
    report = written.run(tmp_path / "store")
    assert len(written.audit(report.path, draw(seed=1)).wrong) == 68
