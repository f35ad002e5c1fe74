"""Texts of a report without what no format of files can hold. No files."""

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

_NOT_TEXT = re.compile("[\\x00-\\x09\\x0b-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")
"""Control characters but the end of a line, and what is no letter (XML 1.0, section 2.2)."""


def clean(text: str) -> str:
    """Leave out what XML cannot hold: control characters, halves of letters."""
    return _NOT_TEXT.sub("", text)


def cleaned(value: Any) -> Any:
    """Return a value with every text in it `clean`; what holds no texts stays as it is."""
    if type(value) is str:
        return clean(value)
    if type(value) in (tuple, list):
        return type(value)(cleaned(item) for item in value)
    if type(value) is dict:
        return {key: cleaned(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        found = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
        return replace(value, **{name: cleaned(item) for name, item in found.items()})
    return value
