"""Tables of text: rows in any order from disk as from memory, values that are not UTF-8."""

import numpy as np
import pandas as pd
import pytest

from compute.errors import InputError
from compute.importers import text_table
from compute.importers.text_table import RowFile, is_clean, read_rows, stream_rows


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path, monkeypatch):
    """Eleven rows with gaps, read in batches of three."""
    monkeypatch.setattr(text_table, "ROWS_AT_ONCE", 3)
    frame = pd.DataFrame(
        {
            "protein": [f"P{i % 4}" for i in range(11)],
            "field": [None if i % 3 == 0 else f"F{i}" for i in range(11)],
        }
    )
    path = tmp_path / f"t.{request.param}"
    if request.param == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def test_rows_on_disk_are_those_in_memory(table, tmp_path):
    plain = read_rows(table, ("protein",))
    expected = list(zip(plain.index, plain.itertuples(index=False, name=None), strict=True))
    rows = RowFile(table, ("protein",), tmp_path / "elsewhere")
    assert rows.columns == ("protein", "field")
    assert len(rows) == 11
    assert list(rows.rows()) == expected
    order = np.random.default_rng(0).permutation(11)
    assert list(rows.rows(order)) == [expected[i] for i in order]
    assert list(rows.rows(order[:0])) == []
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_not_utf8_comes_out_as_it_went_in(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"protein,x\ncaf\xe9,\xff\nA,\n")
    values = [row for _, row in RowFile(path, ("protein",), tmp_path).rows()]
    assert values == list(read_rows(path, ("protein",)).itertuples(index=False, name=None))
    assert not is_clean(values[0][0])
    assert values[1] == ("A", None)


def test_errors_come_when_their_row_is_reached(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("protein,x\nA,b\nC\n")
    rows = stream_rows(path, ("protein",)).rows
    assert next(rows) == (2, ("A", "b"))
    with pytest.raises(InputError, match="line 3: 1 values; the header has 2"):
        next(rows)
    path.write_text("protein,x\n")
    with pytest.raises(InputError, match="has no rows"):
        RowFile(path, ("protein",), tmp_path)
    with pytest.raises(InputError, match=r"missing column\(s\) y"):
        stream_rows(path, ("y",))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv"]
