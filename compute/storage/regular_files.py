"""Opens and refuses what is no file: a pipe blocks whoever reads it, a device has no end."""

import os
import stat
from pathlib import Path

from compute.errors import InputError

_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
"""A pipe is opened without waiting for a writer; Windows has none in folders."""


def without_waiting(path: str, flags: int) -> int:
    """Open a file as the `opener` of `open`, and never wait for it.

    Raises
    ------
    OSError
        It is no regular file, or cannot be opened.
    """
    handle = os.open(path, flags | _NO_WAIT)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return handle
    os.close(handle)
    raise IsADirectoryError(path) if stat.S_ISDIR(mode) else OSError(f"{path} is no file")


def refuse_special(*paths: Path) -> None:
    """Refuse pipes, sockets and devices; folders and what is not there are left to the reader.

    Raises
    ------
    InputError
        Names the path.
    """
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise InputError(
                f"{path} is a pipe or a device, not a file.", "Put a file in its place."
            )
