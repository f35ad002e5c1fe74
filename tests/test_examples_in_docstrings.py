"""The examples in docstrings of both packages give what they say."""

import doctest
import importlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def modules_with_examples():
    """Every module of the two packages in whose text stands an example."""
    files = (file for name in ("compute", "dashboard") for file in (ROOT / name).rglob("*.py"))
    found = (file.relative_to(ROOT) for file in files if ">>> " in file.read_text("utf-8"))
    return sorted(".".join(file.with_suffix("").parts) for file in found)


def failures(module):
    """Run a module's examples; return how many there were and what went wrong."""
    wrong, tried = [], 0
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        tried += len(test.examples)
        runner.run(test, out=wrong.append)
    return tried, "".join(wrong)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, store, cards, run):
    """A working folder as the examples have it: `store`, `my-run`, a card beside its weights."""
    place = tmp_path_factory.mktemp("examples")
    (place / "store").symlink_to(store)
    (place / "my-run").symlink_to(run)
    for file in cards["deeploc"].parent.glob("deeploc.*"):
        (place / file.name).symlink_to(file)
    return place


@pytest.mark.long
@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_give_what_they_say(name, folder, monkeypatch):
    """All that need no download, no hour and no other data (these say `+SKIP`)."""
    monkeypatch.chdir(folder)
    monkeypatch.setitem(os.environ, "PYTHONPATH", str(ROOT))
    tried, wrong = failures(importlib.import_module(name))
    assert tried, f"{name}: `>>>` stands in no docstring that is looked at"
    assert not wrong, wrong


def test_the_functions_that_a_reader_would_call_have_examples():
    assert set(modules_with_examples()) >= {
        "compute.probes.pair_tests",
        "compute.probes.svm_folds",
        "compute.statistics.bootstrap",
        "compute.statistics.effects",
        "compute.statistics.shifts",
    }


def test_a_wrong_output_is_found(tmp_path, monkeypatch):
    text = 'def half(x):\n    """Halve.\n\n    >>> half(4)\n    {}\n    """\n    return x / 2\n'
    monkeypatch.syspath_prepend(tmp_path)
    for name, output, right in (("true_example", "2.0", True), ("false_example", "3.0", False)):
        (tmp_path / f"{name}.py").write_text(text.format(output))
        tried, wrong = failures(importlib.import_module(name))
        assert tried == 1
        assert (not wrong) == right
