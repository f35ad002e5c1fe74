"""Stores and runs on object storage (`s3://…`, `gs://…`), by way of a folder on this machine.

Layer: copies files between a URL (through fsspec) and a folder; knows nothing of what is in them.

A store is copied here once. A run is made in a folder here; each file that is finished is copied
to the URL while the next are made, and what is there already is copied here first. Object stores
show a file whole or not at all; where a copy was cut short all the same, its checksum says so when
the run goes on, and it is made again.
"""

import json
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from compute.errors import BusyError, BystanderError, InputError, UsageError
from compute.files import RUN_FILE, Progress, fingerprint, sha256, silent, writing
from compute.locks import LOCK_FILE, describe_process, gone

TRIES = 6
"""Attempts at one file before its remote counts as failing."""

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds before the second attempt, doubled each time; and at most."""

EVERY = 2.0
"""Seconds between looks for finished files, at least."""

BEAT, STALE = 60.0, 600.0
"""Seconds between signs of life in the remote lock, and after which it is stale."""

STORE_FILE = "store.json"
T = TypeVar("T")


def is_url(place: str) -> bool:
    """Tell whether a place is a URL, not a path."""
    return "://" in place


def cache_folder() -> Path:
    """Return where copies lie if no folder is given."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bystander"


class Remote:
    """A folder behind a URL.

    Parameters
    ----------
    url
        Of the folder.

    Raises
    ------
    UsageError
        fsspec or the package for this kind of URL is not installed, or the kind is unknown.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            from fsspec.core import url_to_fs

            self._fs, root = url_to_fs(self.url)
        except ImportError as error:
            raise UsageError(
                f"{url} cannot be used: {error}.",
                "Install `pip install 'bystander[remote]'`, or the package that is named.",
            ) from error
        except ValueError as error:
            raise UsageError(
                f"{url} cannot be used: {error}.", "Allowed: s3://, gs://, …"
            ) from error
        self._root = str(root).rstrip("/")

    def sizes(self) -> dict[str, int]:
        """List the files below the URL, relative to it, with their bytes."""
        self._fs.invalidate_cache()
        try:
            found = self.retry(lambda: self._fs.find(self._root, detail=True), "listing")
        except FileNotFoundError:
            return {}
        start = len(self._root)
        return {str(path)[start:].lstrip("/"): int(i["size"]) for path, i in found.items()}

    def read(self, name: str) -> bytes | None:
        """Return a small file, or nothing if it is not there."""
        try:
            return bytes(self.retry(lambda: self._fs.cat_file(self._path(name)), name))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes, *, new: bool = False) -> bool:
        """Write a small file; with `new`, only if it is not there, and tell whether it was not."""
        path = self._path(name)
        if not new:
            self.retry(lambda: self._fs.pipe_file(path, content), name)
            return True
        try:
            self.retry(lambda: self._fs.pipe_file(path, content, mode="create"), name)
        except FileExistsError:
            return False
        except (TypeError, NotImplementedError, ValueError):
            # This kind of URL cannot create a file only where none is: look first, then write. Two
            # that do so in the same instant both succeed. What else is wrong shows in the writing.
            return self.read(name) is None and self.write(name, content)
        return True

    def pull(self, name: str, path: Path) -> None:
        """Copy a file here.

        Raises
        ------
        InputError
            It is not there.
        """
        try:
            self.retry(lambda: self._fs.get_file(self._path(name), str(path)), name)
        except FileNotFoundError as error:
            raise InputError(f"{self.url}/{name} is missing.", "Copy it there again.") from error

    def push(self, path: Path, name: str) -> None:
        """Copy a file there."""
        with suppress(OSError):  # object stores have no folders
            self._fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
        self.retry(lambda: self._fs.put_file(str(path), self._path(name)), name)

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        with suppress(FileNotFoundError):
            self.retry(lambda: self._fs.rm_file(self._path(name)), name)

    def retry(self, call: Callable[[], T], what: str) -> T:
        """Call until it succeeds, with growing pauses.

        Raises
        ------
        BystanderError
            It failed `TRIES` times, or is not allowed.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return call()
            except (FileNotFoundError, FileExistsError, TypeError, ValueError, NotImplementedError):
                raise  # calling again changes nothing
            except Exception as error:
                if attempt == TRIES or isinstance(error, PermissionError):
                    raise BystanderError(
                        f"{self.url}: {what} failed {attempt} time(s): "
                        f"{type(error).__name__}: {error}.",
                        "What was finished is kept here. The same command goes on when the "
                        "remote answers again.",
                    ) from error
            pause = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1))
            time.sleep(pause * random.uniform(0.5, 1))  # so that many workers do not call at once
        raise AssertionError("unreachable")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def store_here(url: str, cache: Path, progress: Progress = silent) -> Path:
    """Copy a crop store here, or go on with the copy, or use it.

    Parameters
    ----------
    url
        Of the store.
    cache
        Folder for copies; a store that has changed gets another folder in it.
    progress
        Called with files copied.

    Raises
    ------
    InputError
        No store there, or a file is not as its `store.json` says.
    BystanderError
        The remote fails again and again.
    """
    remote = Remote(url)
    raw = remote.read(STORE_FILE)
    if raw is None:
        raise InputError(f"{url} is not a crop store: it has no {STORE_FILE}.", "Check the URL.")
    try:
        meta: dict[str, Any] = json.loads(raw)
        files = [(item["file"], item["sha256"]) for item in meta["files"]]
    except (ValueError, KeyError, TypeError) as error:
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
    with writing(folder / STORE_FILE) as temporary:
        temporary.write_bytes(raw)
    return folder


@contextmanager
def run_here(url: str, cache: Path, *, fresh: bool = False) -> Iterator[Path]:
    """Give a folder whose finished files are copied to a URL, during the block and at its end.

    Parameters
    ----------
    url
        Of the run directory.
    cache
        Folder for copies. On a cluster it must be one that every machine sees.
    fresh
        Do not copy here what is there, and delete it.

    Raises
    ------
    BusyError
        Another process is writing to the URL.
    BystanderError
        The remote fails again and again; what was finished is kept here.
    """
    remote = Remote(url)
    folder = cache / "runs" / fingerprint({"url": remote.url})
    with _Held(remote) as held:
        if fresh:
            for name in sorted(remote.sizes().keys() - {LOCK_FILE}):
                remote.remove(name)
        else:
            _pull_run(remote, folder)
        copier = _Copier(remote, folder, held)
        copier.start()
        try:
            yield folder
        except BaseException:
            with suppress(BystanderError):  # what went wrong first is what counts
                copier.end()
            raise
        copier.end()


def _pull_run(remote: Remote, folder: Path) -> None:
    """Copy here what is there and not here; the run that is there counts if it is another."""
    raw = remote.read(RUN_FILE)
    if raw is None:
        return
    here = folder / RUN_FILE
    if here.is_file() and _created(raw) != _created(here.read_bytes()):
        shutil.rmtree(folder)
    there = sorted(remote.sizes().keys() - {LOCK_FILE, RUN_FILE})
    for name in (*there, RUN_FILE):  # last: a folder with it holds everything that was there
        path = folder / name
        if not path.is_file() and folder.resolve() in path.resolve().parents:
            with writing(path) as temporary:
                remote.pull(name, temporary)


def _created(raw: bytes) -> Any:
    """Return when a run was begun."""
    try:
        return json.loads(raw).get("created")
    except (ValueError, AttributeError):
        return None


class _Held:
    """The lock of a remote run: an object that names its process and shows signs of life.

    Parameters
    ----------
    remote
        The run directory.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._mine = describe_process()
        self._last = 0.0

    def __enter__(self) -> "_Held":
        content = self._content()
        while not self._remote.write(LOCK_FILE, content, new=True):
            raw = self._remote.read(LOCK_FILE)
            if raw is None:
                continue
            if raw == content:  # written at the first of two attempts
                break
            try:
                held = json.loads(raw)
                owner, beat = str(held["owner"]), float(held["beat"])
            except (ValueError, KeyError, TypeError):
                owner, beat = "another process", 0.0
            if not gone(owner) and time.time() - beat < STALE:
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
            self._remote.remove(LOCK_FILE)

    def beat(self) -> None:
        """Show a sign of life, if it is time."""
        if time.monotonic() - self._last >= BEAT:
            self._remote.write(LOCK_FILE, self._content())
            self._last = time.monotonic()

    def _content(self) -> bytes:
        return json.dumps({"owner": self._mine, "beat": time.time()}).encode()


class _Copier:
    """Copies finished files of a folder to a URL, in a thread of its own.

    A remote that fails does not stop the run: files wait here, and are tried again.

    Parameters
    ----------
    remote
        Where to.
    folder
        Where from.
    held
        The remote's lock, to show signs of life.
    """

    def __init__(self, remote: Remote, folder: Path, held: _Held) -> None:
        self._remote, self._folder, self._held = remote, folder, held
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
        """Begin to look for finished files."""
        self._thread.start()

    def end(self) -> None:
        """Copy what is left, and delete there what is no longer here.

        Raises
        ------
        BystanderError
            The remote fails again and again.
        """
        self._ended.set()
        self._thread.join()
        self._copy()
        for name in sorted(self._remote.sizes().keys() - self._finished().keys() - {LOCK_FILE}):
            self._remote.remove(name)

    def _watch(self) -> None:
        pause = EVERY
        while not self._ended.wait(pause):
            began = time.monotonic()
            with suppress(BystanderError, OSError):  # tried again at the next look
                self._held.beat()
                self._copy()
            # Looking through many files takes long: look less often then.
            pause = max(EVERY, 10 * (time.monotonic() - began))

    def _finished(self) -> dict[str, tuple[int, int]]:
        """List what is finished here: `run.json` last, as it speaks of the others."""
        found = {}
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            pixels = name.startswith("work/") and not name.endswith((".parquet", ".sha256"))
            temporary = path.name.endswith(".tmp") or path.name.startswith(LOCK_FILE)
            with suppress(FileNotFoundError):
                if path.is_file() and not pixels and not temporary:
                    stat = path.stat()
                    found[name] = (stat.st_mtime_ns, stat.st_size)
        last = found.pop(RUN_FILE, None)
        return found if last is None else {**found, RUN_FILE: last}

    def _copy(self) -> None:
        for name, state in self._finished().items():
            if self._ended.is_set() and threading.current_thread() is self._thread:
                return
            if self._copied.get(name) != state:
                with suppress(FileNotFoundError):  # deleted here meanwhile
                    self._remote.push(self._folder / name, name)
                    self._copied[name] = state
