"""No text of a table reaches a spreadsheet as a formula."""

import io

import pandas as pd
import pytest

from compute.storage.spreadsheet import as_csv, inert, inert_table

RUN = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\0=1", " =1", "＝1+1", "{=1}"]


@pytest.mark.parametrize("text", RUN)
def test_what_a_spreadsheet_would_run_stands_behind_an_apostrophe(text):
    safe = "'" + text.replace("\r", "\n")
    assert inert(text) == safe
    table = pd.DataFrame({"n": [-1.5], "c": pd.Categorical([text]), text: [text]})
    back = pd.read_csv(io.StringIO(as_csv(table)), lineterminator="\n")
    assert back.to_dict("list") == {"n": [-1.5], "c": [safe], safe: [safe]}


@pytest.mark.parametrize("value", ["ACT1", "α-tubulin", "", "−0.5", -1, None, 2.5])
def test_all_else_stays(value):
    assert inert(value) is value


def test_no_text_ends_its_row():
    assert as_csv(pd.DataFrame({"a": ["x\r=1+1", "x\r\n=1"]})) == 'a\n"x\n=1+1"\n"x\n=1"\n'


def test_a_table_without_such_texts_keeps_its_types():
    table = pd.DataFrame(
        {"a": pd.Categorical(["x", None]), "b": [True, False], "c": pd.array([1, None], "Int64")}
    )
    pd.testing.assert_frame_equal(inert_table(table), table)
    assert as_csv(table) == "a,b,c\nx,True,1\n,False,\n"
