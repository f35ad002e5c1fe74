"""What is said of a stage's speed: the time left, and which lines are printed. Made-up clocks."""

import itertools

import pytest

from compute.cli.pace import MARKS, Lines, Pace


def left_by(steps, total, before=0):
    """Mark (second, done) one after the other; return what is said to be left at each."""
    pace = Pace(before, 0.0)
    found = []
    for now, done in steps:
        pace.mark(done, now)
        found.append(pace.left(total, now))
    return found


def test_a_slow_first_unit_does_not_count():
    """A network compiles for 40 s; then a unit takes 1 s, so 100 take 140 s."""
    seconds = range(40, 141)
    found = left_by([(float(s), s - 39) for s in seconds], 101)
    assert found[0] is None
    known = [(s, left) for s, left in zip(seconds, found, strict=True) if left is not None]
    assert known[0][0] == 80, "as much time again has passed"
    for second, left in known:
        assert left == pytest.approx(140 - second)


def test_units_that_workers_end_together_are_no_speed():
    """Eight workers take 60 s a unit each, and end theirs within 4 s."""
    waves = [60 * wave + worker / 2 for wave in (1, 2, 3, 4) for worker in range(8)]
    found = left_by([(s, n + 1) for n, s in enumerate(waves)], 80)
    assert all(left is None for left in found[:8])
    for n, (second, left) in enumerate(zip(waves, found, strict=True)):
        if left is not None:
            assert 0.5 <= left / ((79 - n) * 60 / 8) <= 2, second


def test_what_was_done_before_is_not_of_this_speed():
    assert left_by([(float(s), 1000 + s) for s in range(1, 41)], 1100, before=1000)[-1] == (
        pytest.approx(60)
    )


def test_time_left_falls_while_units_come_evenly_and_while_none_comes():
    found = [left for left in left_by([(s / 4, s) for s in range(1, 400)], 400) if left is not None]
    assert all(after <= before + 1e-9 for before, after in itertools.pairwise(found))
    pace = Pace(0, 0.0)
    for second in range(10, 60, 10):
        pace.mark(second // 10, float(second))
    assert [pace.left(6, now) for now in (50.0, 55.0)] == [10.0, 5.0]
    assert pace.left(6, 70.0) == pytest.approx(5.0), "it is late, and not said to be done"
    assert pace.left(5, 70.0) == 0


def test_a_change_of_speed_is_followed():
    steps = [(float(s), s) for s in range(1, 101)]
    steps += [(100.0 + 4 * s, 100 + s) for s in range(1, 101)]
    assert left_by(steps, 300)[-1] == pytest.approx(400)


def test_marks_stay_few_and_going_back_is_ignored():
    pace = Pace(0, 0.0)
    for number in range(1, 20_000):
        pace.mark(number, number / 100)
    assert len(pace._marks) <= MARKS
    assert pace.left(20_000, 199.99) == pytest.approx(0.01, abs=0.01)
    pace.mark(3, 200.0)
    assert pace.left(40_000, 200.0) == pytest.approx(200, rel=0.02)


def said(times, total):
    lines = Lines(times[0][0])
    return [now for now, done in times if lines.due(done, total, now)]


def test_a_day_is_said_in_a_dozen_lines_and_a_moment_in_two():
    day = [(s / 2, s) for s in range(2 * 86_400 + 1)]
    found = said(day, 2 * 86_400)
    assert found[:4] == [0, 10, 20, 40]
    assert len(found) <= 16
    assert found[-1] == 86_400
    assert said([(s / 100, s) for s in range(101)], 100) == [0, 1]


def test_the_end_is_said_once_and_again_only_after_more_was_to_be_done():
    lines = Lines(0.0)
    assert [lines.due(done, 3, 0.1) for done in (0, 3, 3)] == [True, True, False]
    assert not lines.due(2, 3, 0.2)
    assert lines.due(3, 3, 0.3)
