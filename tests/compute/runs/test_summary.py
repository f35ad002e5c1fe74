"""What an import says at its end: counts that are those of the store, long lists shortened."""

import numpy as np
import pandas as pd
import pytest

from compute.cli import console
from compute.runs.describe import check
from compute.runs.summary import LISTED, Fact, summarise_store
from compute.schema import CellFlag
from compute.store.writer import CropStoreWriter


def made(path, classes: list[str], masks=None, cells: int = 60):
    """Write a store of cells of some classes in turn; every seventh has none."""
    rng, size = np.random.default_rng(0), 16
    y, x = np.mgrid[0:size, 0:size]
    mask = np.hypot(x - 7.5, y - 7.5) < 5
    mark = {} if masks is None else {"masks": masks, "marker": "RFP"}
    with CropStoreWriter(
        path, channels=["GFP", "RFP"], size=size, dtype="uint16", localizations=classes,
        source={"kind": "drawn", "simulated": False, **mark, "notes": ["A note."]},
    ) as out:  # fmt: skip
        for i in range(25):
            out.reject("too near the edge", f"image {i}")
        labels = [None if i % 7 == 6 else classes[i % len(classes)] for i in range(cells)]
        frame = pd.DataFrame(
            {
                "protein": [f"p{i % 7}" for i in range(cells)],
                "field": [f"f{i % 5}" for i in range(cells)],
                "localization": labels,
                "flags": [int(CellFlag.NOT_A_CELL) if i < 3 else 0 for i in range(cells)],
            }
        )
        images = rng.integers(10, 4000, (cells, 2, size, size))
        images[5, 0, 0, 0] = 60_000
        out.add(images, np.stack([mask] * cells), np.stack([mask] * cells), frame)
    return path, labels


def test_a_summary_says_what_the_store_holds(tmp_path):
    path, labels = made(tmp_path / "s", ["ER", "actin"], {"given": 40, "segmented": 20})
    said = [(fact.topic, fact.text) for fact in summarise_store(path)]
    assert ("cells", "85 found, 60 stored, 57 usable") in said
    assert ("proteins", "7") in said
    assert ("fields", "5 (images that cells were cut from)") in said
    counts = pd.Series(labels).value_counts()
    assert ("classes", f"2: actin {counts['actin']}, ER {counts['ER']}") in said
    none = f"{labels.count(None)} cells, 1 protein(s) without any class: no swap by class, not in "
    assert ("no class", f"{none}pair tests") in said
    assert ("crops", "16 × 16 pixels, uint16") in said
    channels = [text for topic, text in said if topic == "channel"]
    middles = [int(text.rsplit(" ", 1)[1].replace(",", "")) for text in channels]
    assert channels == [
        f"GFP: values 10 to 60,000, typically {middles[0]:,}",
        f"RFP, shows whole cells: values 10 to 3,999, typically {middles[1]:,}",
    ]
    assert all(1900 < middle < 2100 for middle in middles)
    assert (
        "masks",
        "Of the 60 masks 20 were found by Bystander in the channel RFP; the others came with the "
        "crops.",
    ) in said
    assert ("flags", "3 × dead, a ghost or no cell at all, as its source says") in said
    assert ("windows", "0 without cells") in said
    assert ("left out", "25 × too near the edge (image 0; image 1; image 2, …)") in said
    assert ("note", "A note.") in said


def test_an_older_store_says_nothing_of_masks(tmp_path):
    path, _ = made(tmp_path / "s", ["ER"])
    assert "masks" not in {fact.topic for fact in summarise_store(path)}


def test_of_many_classes_the_largest_are_listed_and_the_rest_counted(tmp_path):
    names = [f"class {i:02}" for i in range(LISTED + 8)]
    path, labels = made(tmp_path / "s", names)
    (text,) = (fact.text for fact in summarise_store(path) if fact.topic == "classes")
    there = pd.Series(labels).nunique()
    assert text.startswith(f"{there}: class ")
    head, rest = text.split(", and ")
    listed = dict(one.rsplit(" ", 1) for one in head.split(": ", 1)[1].split(", "))
    assert len(listed) == LISTED
    counts = pd.Series(labels).value_counts()
    assert {name: int(n) for name, n in listed.items()} == {n: counts[n] for n in listed}
    left = counts.drop(list(listed))
    assert left.max() <= counts[list(listed)].min()
    assert rest == f"{there - LISTED} smaller ones with {left.sum()} cells"


def test_check_has_the_facts_among_its_lines(tmp_path):
    path, _ = made(tmp_path / "my store", ["ER"])
    checked = check(path)
    assert list(checked.facts) == summarise_store(path)
    assert [fact.line() for fact in checked.facts] == list(checked.lines[1:-2])
    assert checked.lines[-2].endswith(f"bystander check '{path}' --pictures FOLDER")
    assert checked.lines[-1] == "Every file is as it was written."


FACTS = [Fact("cells", "5 found"), Fact("note", "a [b] " + "long " * 30), Fact("note", "second")]


@pytest.mark.parametrize("width", [40, 80])
def test_on_a_terminal_it_is_a_table_that_fits(monkeypatch, width):
    terminal = console.Console(force_terminal=True, width=width, record=True, soft_wrap=True)
    monkeypatch.setattr(console, "out", terminal)
    console.show(["head", *(fact.line() for fact in FACTS), "tail"], FACTS)
    lines = terminal.export_text().splitlines()
    assert lines[0].strip() == "head"
    assert lines[-1].strip() == "tail"
    assert max(map(len, lines)) <= width
    assert sum("note" in line for line in lines) == 1, "a topic stands once"
    assert "a [b] long" in " ".join(" ".join(lines).split())


def test_elsewhere_it_is_plain_lines(capsys, monkeypatch):
    monkeypatch.setattr(console, "out", console.Console(highlight=False, soft_wrap=True))
    lines = ["head", *(fact.line() for fact in FACTS), "tail"]
    console.show(lines, FACTS)
    assert capsys.readouterr().out.splitlines() == lines
