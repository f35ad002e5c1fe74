"""Tables of text: rows in any order from disk as from memory, values that are not UTF-8."""

import sys
import time
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compute.errors import InputError
from compute.importers import text_table
from compute.importers.text_table import RowFile, is_clean, read_rows, stream_rows
from compute.importers.wide_table import read_columns


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


@pytest.mark.parametrize("mark", [";", ",", "\t", "|"])
@pytest.mark.parametrize("line", ["sep={}", '"sep={}"'])
def test_excels_line_of_the_separator(tmp_path, mark, line):
    path = tmp_path / "t.csv"
    text = f"{line.format(mark)}\r\nprotein{mark}x\r\nA{mark}1\r\n"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_bytes(text.encode(encoding))
        frame = read_rows(path, ("protein", "x"))
        assert frame.to_dict("split")["data"] == [["A", "1"]]
        assert list(frame.index) == [3]


def test_empty_columns_at_the_end_are_cut(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("protein,x,,\nA,1,,\nB,2,,\n,,,\n")
    assert read_rows(path, ("protein",)).to_numpy().tolist() == [["A", "1"], ["B", "2"]]
    path.write_text("protein,x,,\nA,1,,\nB,2,3,\n")
    with pytest.raises(InputError, match="line 3: 4 values; the header has 2"):
        read_rows(path, ("protein",))


def test_columns_are_known_by_other_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("GENE,Mask,Metadata_Well,GFP\nA,m,w,g\n")
    said = []
    frame = read_rows(path, ("protein",), ("mask", "field"), said)
    assert list(frame.columns) == ["protein", "mask", "field", "GFP"]
    assert len(said) == 4
    assert "not used: GFP" in said[-1]
    rows = RowFile(path, ("protein",), tmp_path, ("mask",), ("GFP",))
    assert rows.columns == ("protein", "mask", "Metadata_Well", "GFP")
    path.write_text("Protien,x\nA,b\n")
    with pytest.raises(InputError, match="Did you mean 'Protien' for 'protein'"):
        read_rows(path, ("protein",))


def workbook(path, sheets):
    xlsxwriter = pytest.importorskip("xlsxwriter")
    with xlsxwriter.Workbook(path, {"default_date_format": "d-mmm"}) as book:
        for rows in sheets:
            sheet = book.add_worksheet()
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return path


def test_excel(tmp_path):
    pytest.importorskip("python_calamine")
    rows = [["Gene", "x", "y"], ["A", 1, 2.5], [], ["NA", "", True]]
    path = workbook(tmp_path / "t.xlsx", [rows, []])
    frame = read_rows(path, ("protein",))
    assert frame.to_numpy().tolist() == [["A", "1", "2.5"], ["NA", None, "TRUE"]]
    assert list(frame.index) == [2, 4]
    with pytest.raises(InputError, match="2 sheets have content"):
        read_rows(workbook(tmp_path / "two.xlsx", [rows, rows]), ("protein",))
    dates = [["Gene", "day"], ["A", date(2026, 9, 7)], [date(2026, 9, 7), "x"]]
    with pytest.raises(InputError, match=r"row 3, column Gene: a date \(2026-09-07\).*SEPT7"):
        read_rows(workbook(tmp_path / "dates.xlsx", [dates]), ("protein",))
    (tmp_path / "bad.xlsx").write_bytes(b"PK no")
    with pytest.raises(InputError, match="cannot be read as Excel"):
        read_rows(tmp_path / "bad.xlsx", ("protein",))


def test_excel_without_its_extra(tmp_path, monkeypatch):
    (tmp_path / "t.xlsx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(InputError, match=r"bystander\[excel\].*CSV"):
        read_rows(tmp_path / "t.xlsx", ("protein",))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_of_very_many_columns_is_refused_at_once(tmp_path, kind):
    names = [f"c{number}" for number in range(100_000)]
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        path.write_text(f"{','.join(names)}\n{'1,' * 99_999}1\n")
    else:
        # More columns than a test should write; the limit is the same for fewer.
        pq.write_table(pa.table({name: ["1"] for name in names[:10_001]}), path)
    began = time.perf_counter()
    with pytest.raises(InputError, match=r"columns; at most 10,000"):
        read_rows(path, ["protein"])
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize("read", [read_rows, read_columns])
def test_texts_of_parquet_that_are_not_utf_8_are_an_error(tmp_path, read):
    offsets = np.array([0, 2], np.int32)
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(b"\xff\xfe"))
    pq.write_table(pa.table({"protein": broken}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "a.parquet", ["protein"])


@pytest.mark.parametrize("read", [read_rows, read_columns])
def test_dates_that_no_calendar_has_are_an_error(tmp_path, read):
    dates = pa.array([-(2**31) + 1], pa.date32())
    pq.write_table(pa.table({"protein": dates}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "a.parquet", ["protein"])
