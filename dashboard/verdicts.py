"""What an answer to a crop is: right, the background's class, or another; its sign and its colour.

Layer: words and colours; no tables. Pages, slides and reports mark answers by these alone.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from dashboard.theme import ALERT, TEXT, Ink


class Verdict(StrEnum):
    """What an answer is."""

    RIGHT = "right"
    FOLLOWS = "follows"
    WRONG = "wrong"
    OPEN = "open"


@dataclass(frozen=True)
class Mark:
    """How a verdict is shown.

    Parameters
    ----------
    sign
        Stands before the answer; empty for none.
    words
        What the sign stands for.
    ink
        Colour of the answer.
    """

    sign: str
    words: str
    ink: Ink

    def before(self, text: str) -> str:
        """Return an answer with its sign."""
        return f"{self.sign} {text}" if self.sign else text


MARKS: Mapping[Verdict, Mark] = MappingProxyType(
    {
        Verdict.RIGHT: Mark("✓", "right", Ink("#1a7438", "#5cc27f")),
        Verdict.FOLLOWS: Mark("→", "the background's class", ALERT),
        Verdict.WRONG: Mark("✗", "another class", Ink("#6b5300", "#d3b24c")),
        Verdict.OPEN: Mark("", "", TEXT),
    }
)
"""How each is shown; that of `OPEN`, where nobody knows what is right, has no sign."""

LEGEND = (
    ", ".join(f"{mark.sign} {mark.words}" for mark in MARKS.values() if mark.sign)
    + "; bold where it is not the answer on the cell's own background"
)
"""What the signs stand for, in a sentence's part."""


def judge(answer: str, right: Collection[str], behind: object) -> Verdict:
    """Say what an answer is.

    Parameters
    ----------
    answer
        The class that a model named.
    right
        The cell's class, or all of its classes; empty where it is not known.
    behind
        Class of the donor whose background the cell stands on; anything but a text where it has
        none.

    Returns
    -------
    Verdict
        `FOLLOWS` only where the background's class is none of the cell's.
    """
    if answer in right:
        return Verdict.RIGHT
    if isinstance(behind, str) and answer == behind:
        return Verdict.FOLLOWS
    return Verdict.WRONG if right else Verdict.OPEN
