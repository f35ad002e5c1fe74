"""A few columns of wide tables: shifted, repeated and cut-off ones are refused."""

import numpy as np
import pandas as pd
import pytest

from compute.errors import InputError
from compute.importers.wide_table import column_names, numbers, read_columns


def test_texts_stay_texts_and_whole_numbers_have_no_point(tmp_path):
    frame = pd.DataFrame({"well": ["01", "1E02", " a "], "n": [1.0, np.nan, 3.0], "f": [1, 2.5, 3]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        read = read_columns(tmp_path / name, ["n", "well"])
        assert list(read) == ["n", "well"]
        assert read["well"].tolist() == ["01", "1E02", "a"]
        assert np.array_equal(numbers(read, "n", tmp_path), [1, np.nan, 3], equal_nan=True)
        assert list(read.index) == [1, 2, 3]
    assert read["n"].tolist() == ["1", None, "3"]
    assert column_names(tmp_path / "t.parquet") == ["well", "n", "f"]


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_numbers_beyond_whole_ones(value, tmp_path):
    pd.DataFrame({"x": [1.0, value]}).to_parquet(tmp_path / "t.parquet")
    assert numbers(read_columns(tmp_path / "t.parquet", ["x"]), "x", tmp_path)[1] == value


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a,b\n1,2,3\n", "line 2: 3 values; the header has 2"),
        ("a,b\n1\n", "line 2: 1 values; the header has 2"),
        ("a,b\n1,2\n3\n", "cannot be read as a table: .*Expected 2 columns, got 1"),
        ("a,b\n1,2\n3,4,5\n", "cannot be read as a table"),
        ("a,a,b\n1,2,3\n", r"column\(s\) a twice"),
        ("a,b\n", "has no rows"),
        ('a,b\n"1,2\n', "cannot be read as a table"),
    ],
)
def test_tables_that_are_shifted_or_cut(text, match, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        read_columns(path, ["a", "b"])


def test_what_is_no_number_is_named(tmp_path):
    frame = pd.DataFrame({"x": ["1", None, "NA", "1,5"]}, index=range(1, 5), dtype=object)
    with pytest.raises(InputError, match="row 4: x is '1,5', which is no number"):
        numbers(frame, "x", tmp_path)
    for content in (b"", b"\x00\x01\x02", "a,b\n1,2\n".encode("utf-16"), b"PAR1 cut"):
        for name in ("t.csv", "t.parquet"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InputError):
                read_columns(tmp_path / name, ["a"])
