"""What progress looks like: a bar that fits, or a few plain lines; a verdict that comes last."""

import io
import re

import pytest
from rich.console import Console

from compute.cli import console


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is moved."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(console.time, "monotonic", lambda: Clock.now)
    return Clock


def test_away_from_a_terminal_a_stage_is_a_few_whole_lines(clock, capsys):
    with console.progress() as report:
        for done in range(0, 6001, 2):
            report("embed", done, 6000)
            clock.now += 0.1
        report("embed", 6000, 6000)
    printed = capsys.readouterr().err
    assert "\r" not in printed
    assert "\x1b" not in printed
    lines = printed.splitlines()
    assert lines[0] == "embed: 0 of 6,000 crops"
    assert re.fullmatch(r"embed: \d,?\d* of 6,000 crops, about \d min left", lines[2])
    assert lines[-1] == "embed: 6,000 of 6,000 crops in 5 min"
    assert len(lines) == len(set(lines)) <= 8


def test_a_stage_of_a_part_of_a_run_counts_the_same_and_others_are_named_as_they_are():
    assert console.counted("mask -2: embed", 3, 10, " of ") == "3 of 10 crops"
    assert console.counted("fields", 3, 1000, " of ") == "3 of 1,000"


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_a_bar_stays_on_its_line_and_the_verdict_has_its_own(
    width, clock, monkeypatch
):
    shown = io.StringIO()
    screen = Console(file=shown, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(console, "err", screen)
    monkeypatch.setattr(console, "out", screen)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress() as report:
        for done in range(0, 2_000_001, 100_000):
            report("embed", done, 3_000_000)
            clock.now += 60
    console.verdict("s is whole.", good=True)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]
    assert lines[-1] == "Verdict: s is whole."
    assert lines[-2].startswith("embed ")
    assert re.search(r"2,000,000/3,000,000 crops \S+ 9 min left$", lines[-2]), lines[-2]
