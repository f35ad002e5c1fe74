"""Tables for spreadsheets, which would take some texts for formulas and run them. No files."""

import re
from typing import Any

import pandas as pd

_RUN = re.compile(r"\s*[=+\-@＝＋－＠\x00-\x1f\x7f]|\{=")
"""How a text begins that Excel, LibreOffice or Sheets may run: OWASP, "CSV injection"; and
``{=…}``, which XlsxWriter makes an array formula of."""


def inert(value: Any) -> Any:
    r"""Return a value, a text that a spreadsheet might run behind an apostrophe.

    Lines end as ``\n`` does, which is quoted in CSV; another end would begin a row.

    Examples
    --------
    >>> inert("=1+1"), inert("ACT1"), inert(-1.5)
    ("'=1+1", 'ACT1', -1.5)
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if _RUN.match(text) else text


def inert_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts and names of columns are `inert`."""
    texts = table.select_dtypes(exclude=["number", "bool", "datetime"]).astype(object)
    changed = [name for name in texts if any(inert(value) is not value for value in texts[name])]
    found = table.copy(deep=False)
    for name in changed:
        found[name] = texts[name].map(inert)
    return found.rename(columns=inert)


def as_csv(table: pd.DataFrame) -> str:
    """Return a table without its index as CSV, in which no spreadsheet finds a formula."""
    return inert_table(table).to_csv(index=False, lineterminator="\n")
