"""Numbers of bytes and of seconds, written for people."""


def size(count: float) -> str:
    """Return a number of bytes as text: ``"999 B"``, ``"1.5 kB"`` (of 1000 bytes), to TB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Return seconds as text: ``"89 s"``, from 90 s on ``"2 min"``, from 90 min on ``"1.5 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
