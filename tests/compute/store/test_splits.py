"""Splits by hashes: of fields, and of cells or proteins where a protein has one field."""

import numpy as np
import pyarrow as pa
import pytest

from compute.store.splits import draw_splits, fill_splits


def cells_of(proteins, fields, each, given=None):
    rows = [
        {"protein": f"P{p}", "field": f"P{p}-F{f}", "localization": "ER" if p % 2 else "Golgi"}
        for p in range(proteins)
        for f in range(fields(p))
        for _ in range(each)
    ]
    table = pa.Table.from_pylist(rows)
    table = table.append_column("cell", pa.array(range(len(rows))))
    return table.append_column("split", pa.array([given] * len(rows), pa.string()))


def dealt(table, share, one_field):
    drawn = draw_splits([table], share, one_field)
    return next(fill_splits([table], drawn)).to_pandas(), drawn.note


@pytest.mark.parametrize("one_field", [None, "cells", "proteins"])
def test_proteins_with_several_fields_are_dealt_by_field(one_field):
    cells, note = dealt(cells_of(6, lambda p: 4, 5), 0.5, one_field)
    assert note == ""
    assert (cells.groupby("field")["split"].nunique() == 1).all()
    per_protein = cells.groupby("protein")["split"].value_counts().unstack()
    assert (per_protein == 10).all(axis=None)


def test_one_field_is_said():
    cells, note = dealt(cells_of(4, lambda p: 1, 5), 0.5, None)
    assert (cells.groupby("protein")["split"].nunique() == 1).all()
    assert "4 of 4 proteins to be split have one field only" in note
    assert "--one-field" in note


def test_cells_are_dealt_where_there_is_one_field():
    cells, note = dealt(cells_of(4, lambda p: 1 + p % 2, 10), 0.3, "cells")
    single = cells[cells["protein"].isin(["P0", "P2"])]
    assert (single.groupby("protein")["split"].value_counts().unstack()["train"] == 3).all()
    rest = cells[~cells["protein"].isin(["P0", "P2"])]
    assert (rest.groupby("field")["split"].nunique() == 1).all()
    assert "2 of 4" in note


def test_whole_proteins_are_dealt_evenly_over_localizations():
    cells, note = dealt(cells_of(20, lambda p: 1, 3), 0.4, "proteins")
    assert (cells.groupby("protein")["split"].nunique() == 1).all()
    first = cells.groupby("protein").first()
    counts = first.groupby("localization")["split"].value_counts().unstack()
    assert counts["train"].tolist() == [4, 4]
    assert "dealt out whole" in note


def test_given_splits_stay():
    for one_field in (None, "cells", "proteins"):
        cells, note = dealt(cells_of(4, lambda p: 1, 3, "validation"), 0.5, one_field)
        assert set(cells["split"]) == {"validation"}
        assert note == ""


def test_the_order_of_tables_does_not_matter_for_fields():
    table = cells_of(5, lambda p: 3, 2)
    one = draw_splits([table], 0.5, None).fields.sort_values(["protein", "field"])
    parts = [table.slice(20, 10), table.slice(0, 20)]
    other = draw_splits(parts, 0.5, None).fields.sort_values(["protein", "field"])
    assert np.array_equal(one.to_numpy(), other.to_numpy())
