"""Levels and thresholds have one home, from which texts and queries take them."""

import ast
import re
from pathlib import Path

import pytest

import compute
from compute.statistics.config import ALPHA, LEVEL, SUBSTANTIAL
from dashboard import wording

ROOT = Path(compute.__file__).parent.parent
RETYPED = re.compile(
    rf"{LEVEL:.0%}|[pq](_value)? *(<=|>=|≤|>) *{ALPHA:g}\b|tv *>= *{SUBSTANTIAL:g}\b"
)


def retyped(source: str) -> list[str]:
    """Collect texts of a module, docstrings aside, that spell a level or a threshold."""
    tree = ast.parse(source)
    docs = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs
    ]
    return [text for text in texts if RETYPED.search(text)]


@pytest.mark.parametrize(
    "line",
    [
        'x = "Bars: 95% intervals"', 'x = f"{n} with q ≤ 0.05."', 'x = "WHERE q_value <= 0.05"',
        'x = "p > 0.05"', 'x = "tv >= 0.2"',
    ],
)  # fmt: skip
def test_a_retyped_threshold_is_found(line):
    assert retyped(line)
    assert not retyped(line.replace("95", "42").replace("0.05", "{ALPHA}").replace("0.2", "$t"))


@pytest.mark.parametrize("package", ["compute", "dashboard"])
def test_no_text_spells_a_level_or_a_threshold(package):
    files = sorted((ROOT / package).rglob("*.py"))
    found = {str(file): retyped(file.read_text("utf-8")) for file in files}
    assert not {file: texts for file, texts in found.items() if texts}


def test_the_level_in_words():
    assert wording.level() == f"{100 * LEVEL:.0f}%"
    assert wording.interval(0.131, 0.184) == f"{wording.level()} interval 13.1 to 18.4"
