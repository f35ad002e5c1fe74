"""What a deck can be saved as: one entry a format, its module loaded when it is asked for."""

from dataclasses import dataclass
from importlib import import_module

from compute.errors import unknown_value
from dashboard.report.deck import Deck
from dashboard.report.plain_text import cleaned


@dataclass(frozen=True)
class Format:
    """A kind of file that a deck can be saved as.

    Parameters
    ----------
    title
        Name as shown.
    mime
        Media type of the download.
    module
        Has ``render(deck) -> bytes``.
    """

    title: str
    mime: str
    module: str


FORMATS: dict[str, Format] = {
    "pptx": Format(
        "PowerPoint",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "dashboard.report.powerpoint",
    ),
    "pdf": Format("PDF", "application/pdf", "dashboard.report.pdf"),
    "html": Format("HTML, one file, no network", "text/html", "dashboard.report.html"),
}
"""By the end of the file's name, in the order in which they are offered."""


def render(deck: Deck, kind: str) -> bytes:
    """Return a deck as the bytes of a file.

    Parameters
    ----------
    deck
        The slides.
    kind
        Key of `FORMATS`.

    Raises
    ------
    UsageError
        Another kind.
    """
    if kind not in FORMATS:
        raise unknown_value("kind of report", kind, FORMATS)
    made: bytes = import_module(FORMATS[kind].module).render(cleaned(deck))
    return made
