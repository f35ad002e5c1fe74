"""Folders that appear whole, in the place of nothing but what they may replace. No torch.

Layer: moves and deletes folders; knows nothing of what is in them.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from compute.errors import BusyError, UsageError
from compute.storage.atomic_files import disk_error
from compute.storage.locks import lock


def take_place(made: Path, path: Path, refuse: Callable[[], None]) -> None:
    """Move a finished folder to its path.

    What somebody put there while it was made is left as it is. An earlier one is moved aside
    first, so that the path never holds half a one, and comes back where the new one cannot be
    moved.

    Parameters
    ----------
    made
        The folder, on the file system of `path`.
    path
        Where it shall be.
    refuse
        Called at the last moment; raises where something is that may not be replaced.

    Raises
    ------
    UsageError
        Something appeared there.
    DiskError
        The system could not move it.
    """
    there = path.exists()  # what appears after this is another's, and may not be replaced
    refuse()
    aside = path.with_name(f".{path.name}.{os.getpid()}-old.tmp")
    try:
        if there:
            os.replace(path, aside)
        made.rename(path)  # never in the place of a folder that holds something
    except OSError as error:
        if there and aside.exists() and not path.exists():
            os.replace(aside, path)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise already_there(path) from error
        raise disk_error(error, path) from error
    shutil.rmtree(aside, ignore_errors=True)


def already_there(path: Path) -> UsageError:
    """Return the error to raise where something is at a path that may not be replaced."""
    return UsageError(
        f"{path} exists already.", "Give another folder, or --overwrite to replace it."
    )


def remove_left(path: Path, what: str, but: Path) -> None:
    """Delete what killed processes left beside a path; what a living one holds stays.

    So does an earlier one that was moved aside, until another stands in its place.

    Parameters
    ----------
    path
        The path that they were to write.
    what
        What it is, for `compute.storage.locks.lock`.
    but
        A work folder that stays.
    """
    ours = re.compile(rf"\.{re.escape(path.name)}\.\d+(-old)?\.tmp")
    for left in [*path.parent.iterdir()] if path.parent.is_dir() else []:
        named = ours.fullmatch(left.name)
        kept = named is not None and named[1] is not None and not path.exists()
        if named and not kept and left != but and left.is_dir():
            with suppress(BusyError, OSError), lock(left, what):
                shutil.rmtree(left)
