"""Who is writing to a folder: a lock that names its process and goes with it. No torch.

The lock is the operating system's (`flock`), so it ends with the process, however that ends.
Where a file system has no such locks, a file that names the process stands in for it; it is stale
when that process has gone.
"""

import errno
import fcntl
import os
import re
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from compute.errors import BusyError
from compute.storage.atomic_files import disk_error

LOCK_FILE = ".lock"
OWNER_FILE = ".lock.owner"
"""Stands in for the lock on file systems without `flock`."""

HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
"""What `flock` says when another process holds the lock."""

UNKNOWN = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""What it says on file systems that have no locks (some NFS, Lustre and FUSE mounts)."""

_OWNER = re.compile(r"process (?P<pid>\d+) on (?P<host>\S+) since \S+ \(start (?P<start>[^)]*)\)")


@contextmanager
def lock(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder for one writing process.

    Parameters
    ----------
    folder
        The folder; made if it is not there.
    what
        ``"run"``, for messages.

    Raises
    ------
    BusyError
        Another process holds it; names that process.
    DiskError
        The folder cannot be written.
    """
    path = folder / LOCK_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise disk_error(error, path) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in UNKNOWN:
                with _named(folder, what):
                    yield
                return
            if error.errno not in HELD:
                raise disk_error(error, path) from error
            handle.seek(0)
            raise _busy(folder, what, handle.read()) from error
        handle.truncate(0)
        handle.write(describe_process())
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)


def describe_process() -> str:
    """Name this process so that another on any machine can tell whether it is still there."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    pid = os.getpid()
    return f"process {pid} on {socket.gethostname()} since {now} (start {process_start(pid)})"


def process_start(pid: int) -> str | None:
    """Return when a process of this machine began, or nothing if there is none.

    Numbers of processes are used again; a number and a start are not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]  # field 22 of proc(5), in clock ticks
    except FileNotFoundError:
        if Path("/proc/self/stat").is_file():
            return None
    except OSError:
        pass
    with suppress(OSError):  # macOS
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return found.stdout.strip() or None
    return None


def gone(owner: str) -> bool:
    """Tell whether the process that a lock names has certainly ended.

    A process of another machine cannot be looked up, so it counts as there.
    """
    named = _OWNER.fullmatch(owner.strip())
    if named is None or named["host"] != socket.gethostname():
        return False
    return process_start(int(named["pid"])) != named["start"]


@contextmanager
def _named(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder by a file that names this process."""
    path, mine = folder / OWNER_FILE, describe_process()
    try:
        while not _create(path, mine):
            with suppress(FileNotFoundError):
                owner = path.read_text("utf-8")
                if not gone(owner):
                    raise _busy(folder, what, owner, path)
                _set_aside(path, owner)
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _create(path: Path, content: str) -> bool:
    """Make a file unless it is there."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(handle, content.encode())
    finally:
        os.close(handle)
    return True


def _set_aside(path: Path, owner: str) -> None:
    """Remove a stale owner; one that took its place meanwhile is put back."""
    aside = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    os.rename(path, aside)
    found = aside.read_text("utf-8")
    if found != owner:
        _create(path, found)
    aside.unlink(missing_ok=True)


def _busy(folder: Path, what: str, owner: str, path: Path | None = None) -> BusyError:
    holder = owner.strip() or "another process"
    remedy = "Wait until it has ended, or give another folder."
    if path is not None:
        remedy += f" If that process is no longer there, delete {path}."
    return BusyError(f"The {what} {folder} is being written by {holder}.", remedy)
