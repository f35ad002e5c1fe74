"""A format of reports: the titles and captions as plain text."""

from tests.recipes.toy import Edit, Toy

WRITER = '''"""A deck as plain text: titles, captions and sentences. No Streamlit."""

from dashboard.report.deck import Deck


def render(deck: Deck) -> bytes:
    """Return a deck as UTF-8 text.

    Parameters
    ----------
    deck
        The slides.
    """
    parts = ["\\n".join((slide.title, *slide.lines, slide.caption)) for slide in deck.slides]
    return "\\n\\n".join(parts).encode()
'''

TOY = Toy(
    recipe="An export format",
    edits=(
        Edit("dashboard/report/text.py", WRITER),
        Edit(
            "dashboard/report/files.py",
            '    "txt": Format("Plain text", "text/plain", "dashboard.report.text"),\n',
            before='}\n"""By the end of the file',
        ),
    ),
    tests=("tests/dashboard/report",),
    script="""
import tempfile
from pathlib import Path
from dashboard import write_report

out = Path(tempfile.mkdtemp()) / "demo.txt"
write_report("data/demo", out, figures="accuracy,gap")
assert "Accuracy" in out.read_text("utf-8") or "loses" in out.read_text("utf-8")
""",
)
