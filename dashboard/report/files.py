"""What a deck can be saved as."""

from collections.abc import Callable

from compute.errors import unknown_value
from dashboard.report.deck import Deck

MIME = {
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "pdf": "application/pdf",
    "html": "text/html",
}
TITLES = {
    "pptx": "PowerPoint",
    "pdf": "PDF",
    "html": "HTML, one file, no network",
}


def render(deck: Deck, kind: str) -> bytes:
    """Return a deck as the bytes of a file.

    Parameters
    ----------
    kind
        ``"html"``, ``"pdf"`` or ``"pptx"``.

    Raises
    ------
    UsageError
        Another kind.
    """
    makers: dict[str, Callable[[Deck], bytes]] = {
        "html": _html,
        "pdf": _pdf,
        "pptx": _powerpoint,
    }
    if kind not in makers:
        raise unknown_value("kind of report", kind, makers)
    return makers[kind](deck)


def _html(deck: Deck) -> bytes:
    from dashboard.report import html

    return html.render(deck)


def _pdf(deck: Deck) -> bytes:
    from dashboard.report import pdf

    return pdf.render(deck)


def _powerpoint(deck: Deck) -> bytes:
    from dashboard.report import powerpoint

    return powerpoint.render(deck)
