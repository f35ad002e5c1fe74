"""How fast a stage goes: what is left of it, and when it is time to say so again.

Layer: numbers only; reads no clock, prints nothing.
"""

from collections import deque

MEASURED = 3.0
"""Seconds that a speed is measured over at least, before anything is said of what is left."""

MARKS = 512
"""Reports that are remembered at most; of more, every second one is forgotten."""

FIRST_LINE = 10.0
"""Seconds after which a stage's first plain line comes; each further one after twice the time."""

OVERDUE = 0.25
"""Share of the seconds since the last unit that at least are left, however near the end seems."""


class Pace:
    """What a stage still takes, by the later half of the time that it has taken.

    What comes before the first unit is done (a network that is compiled, workers that start, pixels
    that are decoded) is no part of the speed. Until as much time again has passed nothing is said,
    since units that several workers began together also end together.

    Parameters
    ----------
    done
        Units that were done before.
    now
        Seconds of a clock that never goes back.

    Examples
    --------
    >>> pace = Pace(0, 0.0)
    >>> for second in range(20, 61, 2):  # the first unit took 20 s
    ...     pace.mark(second // 2 - 9, float(second))
    >>> pace.left(total=51, now=60.0)
    60.0
    """

    def __init__(self, done: int, now: float) -> None:
        self._before, self._began = done, now
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, done: int, now: float) -> None:
        """Take in that `done` units are done `now`."""
        if done > (self._marks[-1][1] if self._marks else self._before):
            self._marks.append((now, done))
            if len(self._marks) > MARKS:
                self._marks = deque(list(self._marks)[::2])

    def left(self, total: int, now: float) -> float | None:
        """Return the seconds that a stage of `total` units still takes; None: not known yet."""
        if not self._marks:
            return None
        first, (last, done) = self._marks[0][0], self._marks[-1]
        half = self._began + (now - self._began) / 2
        if first > half:
            return None
        begin, before = next(mark for mark in reversed(self._marks) if mark[0] <= half)
        if last - begin < MEASURED:
            return None
        seconds = (total - done) * (last - begin) / (done - before)
        waiting = now - last
        return max(seconds - waiting, OVERDUE * waiting) if done < total else 0.0


class Lines:
    """Which reports of a stage are printed where there is no bar: first, last, a few between.

    Those between come when the stage has taken `FIRST_LINE` seconds, twice, four times that, and so
    on: a dozen in a day.

    Parameters
    ----------
    now
        Seconds of a clock that never goes back, at the first report.
    """

    def __init__(self, now: float) -> None:
        self._began, self._next = now, 0.0
        self._ended = False

    def due(self, done: int, total: int, now: float) -> bool:
        """Tell whether a report is printed; True once only for the stage's end."""
        if done >= total:
            said, self._ended = self._ended, True
            return not said
        self._ended = False
        taken = now - self._began
        if taken < self._next:
            return False
        while self._next <= taken:
            self._next = max(FIRST_LINE, 2 * self._next)
        return True
