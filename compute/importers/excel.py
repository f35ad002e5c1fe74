"""Reads the first sheet of an Excel workbook as rows of text. Needs the extra `excel`."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

from compute.errors import InputError
from compute.importers.columns import match_columns

SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
"""Ends of names of workbooks."""

Row = tuple[str | None, ...]


def excel_rows(path: Path, texts: Sequence[str]) -> tuple[list[str], Iterator[tuple[int, Row]]]:
    """Read a workbook's first sheet.

    Parameters
    ----------
    path
        The workbook; its first row that is not empty is the header.
    texts
        Columns that must hold no dates: Excel turns names such as SEPT7 into dates.

    Returns
    -------
    columns, rows
        Names of the columns; and an iterator over rows that are not empty, each with its number in
        the sheet.

    Raises
    ------
    InputError
        The extra is not installed, it is no workbook, it has several sheets with content, or a
        value in one of `texts` is a date; names the row.
    """
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError as error:
        raise InputError(
            f"{path}: Excel workbooks need an extra package.",
            "Install it (pip install 'bystander[excel]'), or save the sheet as CSV UTF-8.",
        ) from error
    try:
        book = CalamineWorkbook.from_path(str(path))
        sheets = {
            name: rows
            for name in book.sheet_names
            if (rows := book.get_sheet_by_name(name).to_python(skip_empty_area=False))
        }
    except (CalamineError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as Excel: {error}.", "Check the file.") from error
    if len(sheets) != 1:
        raise InputError(
            f"{path}: {len(sheets)} sheets have content ({', '.join(sheets)}); 1 expected.",
            "Save the sheet with the table as a workbook or CSV of its own.",
        )
    (rows,) = sheets.values()
    numbered = [(number, row) for number, row in enumerate(rows, 1) if any(v != "" for v in row)]
    _, header = numbered[0] if numbered else (0, [])
    columns = [_text(value) or "" for value in header]
    names, _ = match_columns(columns, texts)

    def following() -> Iterator[tuple[int, Row]]:
        for number, row in numbered[1:]:
            for name, value in zip(columns, row, strict=True):
                if isinstance(value, date | datetime) and name in names:
                    raise InputError(
                        f"{path}, row {number}, column {name}: a date ({_text(value)}). Excel "
                        "turns names such as SEPT7 into dates.",
                        "Format the column as text and write the name again.",
                    )
            yield number, tuple(map(_text, row))

    return columns, following()


def _text(value: object) -> str | None:
    """Return a cell's value as a person would read it, None where empty."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value).strip() or None
