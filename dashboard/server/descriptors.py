"""How many readers fit: open files and connections of this process, and what it may have at most.

Layer: asks the operating system. A session takes four descriptors, its connection and three of its
event loop, and one that was left keeps those three for two minutes. Where none is left, nothing
can be answered any more, so readers are told to wait before that.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows, where files and connections are not numbered
    resource = None  # type: ignore[assignment]

WANTED = 65_536
"""Descriptors that are asked for at the start: some 16,000 readers at once."""

A_SESSION = 4
"""Descriptors that a session will have opened once its connection was let in."""

SPARE = 128
"""Descriptors that are left for pages, files of runs, and connections that are told to wait."""

_arriving: set[object] = set()
"""Connections that were let in and have no session yet."""


def raise_limit() -> None:
    """Ask for `WANTED` descriptors, or as many as this process may have."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def left() -> int:
    """Return how many more this process may open; many where the system does not say."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if resource else -1
    if soft < 0:  # unlimited
        return WANTED
    for listing in ("/proc/self/fd", "/dev/fd"):
        if Path(listing).is_dir():
            with suppress(OSError):
                return soft - len(os.listdir(listing))
    return WANTED


def room() -> bool:
    """Whether one more session would fit."""
    return left() - A_SESSION * len(_arriving) >= SPARE + A_SESSION


def let_in() -> Callable[[], None] | None:
    """Let a connection in if its session fits.

    Returns
    -------
    callable or None
        To be called once the session has opened what it needs, or the connection is closed; None
        where no session fits.
    """
    if not room():
        return None
    mark = object()
    _arriving.add(mark)
    return lambda: _arriving.discard(mark)
