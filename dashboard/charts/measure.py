"""Charts and findings in the words of a probe's measure. Pure: no SQL, no Streamlit.

They speak of accuracy. Where the numbers are of another measure, its name stands in that place.
"""

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from dashboard.queries.filters import ACCURACY

NAMES = ("name", "picks")
"""Fields that hold keys, not words."""

Said = TypeVar("Said")


def in_words_of(measure: str, said: Said) -> Said:
    """Put a measure's name in the place of “accuracy”.

    Parameters
    ----------
    measure
        Name of the measure, as in `AccuracyFilter.measure`.
    said
        A text, or a chart, a slide or another description that holds texts.

    Returns
    -------
    object
        The same, with other words; of lines of data nothing changes.

    Examples
    --------
    >>> in_words_of("macro-F1", "Accuracy falls by 3.0 points of accuracy")
    'Macro-F1 falls by 3.0 points of macro-F1'
    """
    return said if measure == ACCURACY else _said(measure, said)


def capitalised(text: str) -> str:
    """Return a text with a capital first, and the rest as it is."""
    return text[:1].upper() + text[1:]


def _said(measure: str, said: Any) -> Any:
    if isinstance(said, str):
        text = re.sub(r"\baccuracy\b", measure, said)
        return re.sub(r"\bAccuracy\b", capitalised(measure), text)
    if isinstance(said, tuple):
        return tuple(_said(measure, each) for each in said)
    if is_dataclass(said) and not isinstance(said, type):
        held = {f.name: getattr(said, f.name) for f in fields(said) if f.name not in NAMES}
        return replace(said, **{name: _said(measure, value) for name, value in held.items()})
    return said
