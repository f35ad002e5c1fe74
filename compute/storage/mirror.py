"""Stores and runs on object storage, mirrored in a folder on this machine.

Layer: copies the files of stores and runs between a URL (`compute.storage.remote`) and a folder.

A store is copied here once. A run is made in a folder here; each file that is finished is copied
to the URL while the next are made, and what is there already is copied here first. Object stores
show a file whole or not at all; where a copy was cut short all the same, its checksum shows that
when the run is resumed, and it is made again.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from compute.errors import BusyError, BystanderError, InputError
from compute.schema import STORE_VERSION
from compute.storage.atomic_files import Progress, fingerprint, sha256, silent, writing
from compute.storage.locks import LOCK_FILE, describe_process, has_ended
from compute.storage.paths import RUN_FILE, STORE_FILE, RunPaths, StorePaths, stays_here
from compute.storage.remote import Remote
from compute.storage.sealed_json import unsealed

EVERY = 2.0
"""Seconds between two searches for finished files, at least."""

BEAT, STALE = 60.0, 600.0
"""Seconds between two heartbeats of the remote lock, and without one before the lock is stale."""


def cache_folder() -> Path:
    """Return the folder for copies where none is given."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bystander"


def store_here(url: str, cache: Path, progress: Progress = silent) -> Path:
    """Copy a crop store here, as far as it has not been copied before.

    Parameters
    ----------
    url
        URL of the store.
    cache
        Folder for copies; a store that has changed gets another folder in it.
    progress
        Called with ``"copy"``, files copied and files in all; nobody is told by default.

    Returns
    -------
    Path
        Folder of the copy.

    Raises
    ------
    InputError
        There is no store, or a file is not as its `store.json` says.
    BystanderError
        The remote fails again and again.
    """
    remote = Remote(url)
    raw = remote.read(STORE_FILE)
    if raw is None:
        raise InputError(f"{url} is not a crop store: it has no {STORE_FILE}.", "Check the URL.")
    try:
        meta = unsealed(raw, f"{url}/{STORE_FILE}", STORE_VERSION, "Make the store anew")
        files = [(item["file"], item["sha256"]) for item in meta["files"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{url}/{STORE_FILE} is not readable.", "Make the store anew.") from error
    folder = cache / "stores" / fingerprint({"url": remote.url, "store": meta["fingerprint"]})
    for done, (name, digest) in enumerate(files):
        progress("copy", done, len(files))
        path = folder / name
        if folder.resolve() not in path.resolve().parents:
            raise InputError(f"{url}/{STORE_FILE} names {name!r}, outside the store.")
        if path.is_file():  # it took its place only once its checksum was right
            continue
        with writing(path) as temporary:
            remote.pull(name, temporary)
            if sha256(temporary) != digest:
                raise InputError(
                    f"{url}/{name} was altered or cut short after it was written.",
                    "Make the store anew, or copy it there again.",
                )
    progress("copy", len(files), len(files))
    with writing(StorePaths(folder).header) as temporary:
        temporary.write_bytes(raw)
    return folder


@contextmanager
def run_here(url: str, cache: Path, *, fresh: bool = False) -> Iterator[Path]:
    """Give a folder whose finished files are copied to a URL, during the block and at its end.

    Parameters
    ----------
    url
        URL of the run directory.
    cache
        Folder for copies. On a cluster it must be one that every machine sees.
    fresh
        Delete what is at the URL, instead of copying it here first; False by default.

    Yields
    ------
    Path
        The folder.

    Raises
    ------
    BusyError
        Another process is writing to the URL.
    BystanderError
        The remote fails again and again; what was finished is kept here.
    """
    remote = Remote(url)
    folder = cache / "runs" / fingerprint({"url": remote.url})
    with _RemoteLock(remote) as lock:
        if fresh:
            for name in sorted(remote.sizes().keys() - {LOCK_FILE}):
                remote.remove(name)
        else:
            _pull_run(remote, folder)
        copier = _Copier(remote, folder, lock)
        copier.start()
        try:
            yield folder
        except BaseException:
            with suppress(BystanderError):  # what went wrong first is what counts
                copier.end()
            raise
        copier.end()


class _State(NamedTuple):
    """What a `run.json` says: when the run was created, and whether it is complete."""

    created: Any
    complete: bool

    @classmethod
    def of(cls, raw: bytes) -> "_State":
        """Read the bytes of a `run.json`; None and False where it cannot be read."""
        try:
            meta = json.loads(raw)
            return cls(meta.get("created"), meta.get("status") == "complete")
        except (ValueError, AttributeError, RecursionError):
            return cls(None, False)


def _pull_run(remote: Remote, folder: Path) -> None:
    """Copy the files of a remote run that are missing here.

    If the remote is another run, or was finished elsewhere, it replaces what is here: all of it is
    copied to a folder of its own first, so that files of two runs are never mixed.
    """
    raw = remote.read(RUN_FILE)
    if raw is None:
        return
    there, here = _State.of(raw), RunPaths(folder).header
    into = folder
    if not here.is_file() or not _goes_on(_State.of(here.read_bytes()), there):
        into = folder.with_name(f"{folder.name}-{fingerprint(there._asdict())}")
    for name in sorted(remote.sizes().keys() - {LOCK_FILE, RUN_FILE}):
        path = into / name
        if not path.is_file() and into.resolve() in path.resolve().parents:
            with writing(path) as temporary:
                remote.pull(name, temporary)
    if into != folder:
        with writing(RunPaths(into).header) as temporary:
            temporary.write_bytes(raw)
        for old in folder.parent.glob(f"{folder.name}*"):
            if old != into:
                shutil.rmtree(old)
        into.rename(folder)


def _goes_on(here: _State, there: _State) -> bool:
    """Return whether what is here is the same run and has come at least as far."""
    return here.created == there.created and here.complete >= there.complete


class _RemoteLock:
    """The lock of a remote run: an object that names its process and has a heartbeat.

    Parameters
    ----------
    remote
        The run directory.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._mine = describe_process()
        self._last = 0.0

    def __enter__(self) -> "_RemoteLock":
        content = self._content()
        while not self._remote.create(LOCK_FILE, content):
            raw = self._remote.read(LOCK_FILE)
            if raw is None:
                continue
            if raw == content:  # written at the first of two attempts
                break
            owner, beat = _read_lock(raw)
            if not has_ended(owner) and time.time() - beat < STALE:
                raise BusyError(
                    f"The run {self._remote.url} is being written by {owner}.",
                    "Wait until it has ended, or give another URL. If that process is no longer "
                    f"there, wait {STALE / 60:.0f} minutes or delete {LOCK_FILE}.",
                )
            self._remote.remove(LOCK_FILE)
        self._last = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BystanderError):
            self.check()
            self._remote.remove(LOCK_FILE)

    def check(self) -> None:
        """Check that no other process took the lock while this one was out of reach.

        Raises
        ------
        BusyError
            Another process has taken it.
        """
        raw = self._remote.read(LOCK_FILE)
        owner = self._mine if raw is None else _read_lock(raw)[0]
        if owner != self._mine:
            raise BusyError(
                f"The run {self._remote.url} was taken over by {owner}, as this process showed no "
                f"sign of life for {STALE / 60:.0f} minutes.",
                "What was finished is kept here. When the other has ended, the same command goes "
                "on with what both have made.",
            )

    def beat(self) -> None:
        """Renew the heartbeat, if it is time.

        Raises
        ------
        BusyError
            Another process has taken the lock.
        """
        if time.monotonic() - self._last >= BEAT:
            self.check()
            self._remote.write(LOCK_FILE, self._content())
            self._last = time.monotonic()

    def _content(self) -> bytes:
        return json.dumps({"owner": self._mine, "beat": time.time()}).encode()


def _read_lock(raw: bytes) -> tuple[str, float]:
    """Return who holds a lock, and the time of its last heartbeat, seconds since 1970."""
    try:
        held = json.loads(raw)
        return str(held["owner"]), float(held["beat"])
    except (ValueError, KeyError, TypeError):
        return "another process", 0.0


class _Copier:
    """Copies finished files of a folder to a URL, in a thread of its own.

    A remote that fails does not stop the run: files wait here, and are tried again.

    Parameters
    ----------
    remote
        The run directory behind the URL.
    folder
        The run directory here.
    lock
        The remote's lock, whose heartbeat is renewed.
    """

    def __init__(self, remote: Remote, folder: Path, lock: _RemoteLock) -> None:
        self._remote, self._folder, self._lock = remote, folder, lock
        there = remote.sizes()
        # What is the same here and there has just been copied, or was by an earlier process.
        self._copied = {
            name: state
            for name, state in self._finished().items()
            if there.get(name) == state[1] and name != RUN_FILE
        }
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="copier", daemon=True)

    def start(self) -> None:
        """Begin to copy finished files."""
        self._thread.start()

    def end(self) -> None:
        """Copy what is left, and delete there what is no longer here.

        Raises
        ------
        BusyError
            Another process has taken the lock meanwhile.
        BystanderError
            The remote fails again and again.
        """
        self._ended.set()
        self._thread.join()
        self._lock.check()
        self._copy()
        for name in sorted(self._remote.sizes().keys() - self._finished().keys() - {LOCK_FILE}):
            self._remote.remove(name)

    def _watch(self) -> None:
        pause = EVERY
        while not self._ended.wait(pause):
            began = time.monotonic()
            with suppress(BystanderError, OSError):  # tried again at the next look
                self._lock.beat()
                self._copy()
            # A search through many files takes long: search less often then, but keep the beat.
            pause = min(BEAT, max(EVERY, 10 * (time.monotonic() - began)))

    def _finished(self) -> dict[str, tuple[int, int]]:
        """Return date and size of each finished file; `run.json`, which names them, is last."""
        found = {}
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            temporary = path.name.endswith(".tmp") or path.name.startswith(LOCK_FILE)
            with suppress(FileNotFoundError):
                if path.is_file() and not stays_here(name) and not temporary:
                    stat = path.stat()
                    found[name] = (stat.st_mtime_ns, stat.st_size)
        last = found.pop(RUN_FILE, None)
        return found if last is None else {**found, RUN_FILE: last}

    def _copy(self) -> None:
        for name, state in self._finished().items():
            if self._ended.is_set() and threading.current_thread() is self._thread:
                return
            if self._copied.get(name) != state:
                self._lock.beat()  # many files take long
                with suppress(FileNotFoundError):  # deleted here meanwhile
                    self._remote.push(self._folder / name, name)
                    self._copied[name] = state
