"""Who is writing to a folder: a lock that names its process and ends with it. No torch.

The lock is the operating system's (`flock`, or `LockFileEx` on Windows, both through `filelock`),
so it ends with the process, however that ends. Where a file system has no such locks, a file that
names the process stands in for it; it is stale when that process has ended. That file is not
`filelock`'s `SoftFileLock`, which waits forever for a killed process on file systems that cannot
exchange two names in one step, as those without locks mostly are.
"""

import errno
import os
import re
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

from compute.errors import BusyError
from compute.storage.atomic_files import disk_error

LOCK_FILE = ".lock"
OWNER_FILE = ".lock.owner"
"""Stands in for the lock on file systems without locks."""

CACHE_LOCK_FILE = ".pixels.lock"
"""Guards what several processes would make in one folder of copies."""

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of file systems that have no locks (some NFS, Lustre and FUSE mounts), and of a Python
without `fcntl` (ENOSYS)."""

_OWNER = re.compile(r"process (?P<pid>\d+) on (?P<host>\S+) since \S+ \(start (?P<start>[^)]*)\)")


@contextmanager
def lock(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder for one writing process.

    Parameters
    ----------
    folder
        The folder; made if it is not there.
    what
        What the folder is, for messages: ``"run"``.

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
        handle = path.open("ab+", buffering=0)
    except OSError as error:
        raise disk_error(error, path) from error
    with handle:
        try:
            free = lock_descriptor(handle.fileno(), blocking=False)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise disk_error(error, path) from error
            with _hold_by_owner_file(folder, what):
                yield
            return
        # Windows locks the first byte, which nobody else can read then: the name follows it.
        if not free:
            handle.seek(1)
            raise _busy(folder, what, handle.read().decode("utf-8", "replace"))
        try:
            handle.truncate(0)
            handle.write(f"\n{describe_process()}".encode())
            yield
        finally:
            handle.truncate(0)
            unlock_descriptor(handle.fileno())


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process or thread makes files in a folder of copies.

    For work that is wasted, but not wrong, if it is done twice: where the file system has no
    locks, nobody waits.

    Parameters
    ----------
    folder
        The folder; made if it is not there.

    Raises
    ------
    DiskError
        The folder cannot be written.
    """
    path = folder / CACHE_LOCK_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("ab")
    except OSError as error:
        raise disk_error(error, path) from error
    with handle:
        try:
            lock_descriptor(handle.fileno())
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise disk_error(error, path) from error
            yield
            return
        try:
            yield
        finally:
            unlock_descriptor(handle.fileno())


def describe_process() -> str:
    """Name this process so that another on any machine can tell whether it has ended."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    pid = os.getpid()
    return f"process {pid} on {socket.gethostname()} since {now} (start {process_start(pid)})"


def process_start(pid: int) -> str | None:
    """Return when a process of this machine began, as numbers of processes are used again.

    Parameters
    ----------
    pid
        Number of the process.

    Returns
    -------
    str or None
        The start, in this system's own form; empty if there is no such process; None if this
        system does not tell (Windows).
    """
    if Path("/proc/self/stat").is_file():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
        except OSError:
            return None
        return stat.rpartition(")")[2].split()[19]  # field 22 of proc(5), in clock ticks
    with suppress(OSError):  # macOS
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        same_form = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        found = subprocess.run(command, capture_output=True, text=True, check=False, env=same_form)
        return found.stdout.strip()
    return None


def has_ended(owner: str) -> bool:
    """Tell whether the process that a lock names has certainly ended.

    Parameters
    ----------
    owner
        From `describe_process`, by any process.

    Returns
    -------
    bool
        False where it cannot be told: of another machine's process, of one whose start this system
        does not tell, and of a text that names none.
    """
    named = _OWNER.fullmatch(owner.strip())
    if named is None or named["host"] != socket.gethostname():
        return False
    start = process_start(int(named["pid"]))
    return start is not None and start != named["start"]


@contextmanager
def _hold_by_owner_file(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder by a file that names this process, where there are no locks."""
    path, mine = folder / OWNER_FILE, describe_process()
    try:
        while not _create(path, mine):
            with suppress(FileNotFoundError):
                owner = path.read_text("utf-8")
                if not has_ended(owner):
                    raise _busy(folder, what, owner, path)
                _remove_stale(path, owner)
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _create(path: Path, content: str) -> bool:
    """Make a file unless it is there; return whether it was made."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(handle, content.encode())
    finally:
        os.close(handle)
    return True


def _remove_stale(path: Path, owner: str) -> None:
    """Remove the file of an owner that has ended; put back one that took its place meanwhile."""
    aside = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    os.rename(path, aside)
    found = aside.read_text("utf-8")
    if found != owner:
        _create(path, found)
    aside.unlink(missing_ok=True)


def _busy(folder: Path, what: str, owner: str, path: Path | None = None) -> BusyError:
    """Make the error for a folder that another process holds, by a lock or by the file `path`."""
    holder = owner.strip() or "another process"
    remedy = "Wait until it has ended, or give another folder."
    if path is not None:
        remedy += f" If that process is no longer there, delete {path}."
    return BusyError(f"The {what} {folder} is being written by {holder}.", remedy)
