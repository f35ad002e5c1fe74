"""Lists, reads and writes files behind a URL (`s3://…`, `gs://…`) through fsspec, with retries.

Layer: knows nothing of what is in them; `compute.storage.mirror` copies stores and runs with it.
"""

import asyncio
import errno
import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from compute.errors import BystanderError, InputError, UsageError

TRIES = 6
"""Attempts at one file before its remote counts as failing."""

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds before the second attempt, which are doubled for each that follows, and their limit."""

NEVER_BETTER = (PermissionError, FileExistsError, TypeError, ValueError, NotImplementedError)
"""Errors that another attempt would not change."""

REFUSED = {"PermissionError", "NoCredentialsError", "PartialCredentialsError"}
"""Names of errors that other credentials may change; the last two are botocore's."""

HERE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Numbers of errors of this machine's disk."""

T = TypeVar("T")


def is_url(place: str) -> bool:
    """Return whether a place is a URL, not a path."""
    return "://" in place


def _unless_broken(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell of what went wrong in a task that nobody waits for, but for connections that broke.

    The request that one of these belonged to fails by itself, and is tried again.
    """
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)


class Remote:
    """A folder behind a URL.

    Parameters
    ----------
    url
        URL of the folder.

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
        if hasattr(self._fs, "retries"):
            # Of s3fs and gcsfs. Within ours they would multiply: a server that is silent for 15 s
            # each time would be waited for over half an hour.
            self._fs.retries = 1
        if (loop := getattr(self._fs, "loop", None)) is not None:
            loop.set_exception_handler(_unless_broken)
        self._root = str(root).rstrip("/")

    def sizes(self) -> dict[str, int]:
        """Return the size, in bytes, of every file below the URL by its name relative to it."""
        self._fs.invalidate_cache()
        try:
            found = self._retry(lambda: self._fs.find(self._root, detail=True), "listing")
        except FileNotFoundError:
            return {}
        start = len(self._root)
        return {str(path)[start:].lstrip("/"): int(i["size"]) for path, i in found.items()}

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file, or None if it is not there."""
        self._fs.invalidate_cache()  # else a file that came after the last listing is not there
        try:
            return bytes(self._retry(lambda: self._fs.cat_file(self._path(name)), name))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a small file.

        Raises
        ------
        InputError
            The bucket is missing.
        """
        path = self._path(name)
        self._put(lambda: self._fs.pipe_file(path, content), name)

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file unless it is there.

        Two processes that do so at the same instant both succeed where the remote refuses neither.

        Returns
        -------
        bool
            Whether it was written.

        Raises
        ------
        InputError
            The bucket is missing.
        """
        path = self._path(name)
        if self.read(name) is not None:  # not all servers that are asked to refuse do
            return False
        try:
            self._put(
                lambda: self._fs.pipe_file(path, content, mode="create"),
                name,
                (FileExistsError, TypeError, ValueError, NotImplementedError),
            )
        except FileExistsError:
            return False
        except (TypeError, ValueError, NotImplementedError):
            # This kind of URL knows no such mode. What else is wrong shows in the writing.
            self.write(name, content)
        return True

    def pull(self, name: str, path: Path) -> None:
        """Copy the remote file `name` to `path`.

        Raises
        ------
        InputError
            There is no such remote file.
        """
        try:
            self._retry(lambda: self._fs.get_file(self._path(name), str(path)), name)
        except FileNotFoundError as error:
            raise InputError(f"{self.url}/{name} is missing.", "Copy it there again.") from error

    def push(self, path: Path, name: str) -> None:
        """Copy the file `path` to the remote as `name`.

        Raises
        ------
        FileNotFoundError
            There is no such file here.
        InputError
            The bucket is missing.
        """
        try:
            self._put(lambda: self._fs.put_file(str(path), self._path(name)), name)
        except InputError:
            if path.is_file():
                raise
            raise FileNotFoundError(path) from None

    def remove(self, name: str) -> None:
        """Delete a remote file, if it is there."""
        with suppress(FileNotFoundError):
            self._retry(lambda: self._fs.rm_file(self._path(name)), name)

    def _put(
        self, call: Callable[[], None], name: str, passed: tuple[type[Exception], ...] = ()
    ) -> None:
        """Call what writes; where a remote has folders, make those that are missing first."""
        try:
            self._retry(call, name, passed)
        except FileNotFoundError:
            try:
                self._make_folders(name)
                self._retry(call, name, passed)
            except FileNotFoundError as error:
                raise InputError(
                    f"{self.url} cannot be written: {str(error).rstrip('.')}.",
                    "Make the bucket, or check the URL.",
                ) from error

    def _make_folders(self, name: str) -> None:
        """Make the folders of a file, but no bucket: its name may be mistyped."""
        steps = self._path(name).split("/")
        for number in range(2, len(steps)):
            folder = "/".join(steps[:number])
            with suppress(FileExistsError):
                make = partial(self._fs.mkdir, folder, create_parents=False)
                self._retry(make, folder, (FileExistsError,))

    def _retry(
        self, call: Callable[[], T], what: str, passed: tuple[type[Exception], ...] = ()
    ) -> T:
        """Call until it succeeds, with growing pauses.

        Parameters
        ----------
        call
            Reads or writes something.
        what
            The file's name, for the message.
        passed
            Errors that the caller handles; none by default.

        Raises
        ------
        FileNotFoundError
            What was asked for is not there. Those in `passed` are raised as they are, too.
        OSError
            The disk of this machine is full or may not be written.
        BystanderError
            It failed `TRIES` times, or another attempt would not change it.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return call()
            except Exception as error:
                if isinstance(error, (FileNotFoundError, *passed)):
                    raise
                if isinstance(error, OSError) and error.errno in HERE:
                    raise
                hopeless = isinstance(error, NEVER_BETTER) or type(error).__name__ in REFUSED
                if attempt == TRIES or hopeless:
                    raise self._failed(what, attempt, error) from error
            pause = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1))
            time.sleep(pause * random.uniform(0.5, 1))  # so that many workers do not call at once
        raise AssertionError("unreachable")

    def _failed(self, what: str, attempts: int, error: Exception) -> BystanderError:
        name, said = type(error).__name__, str(error).rstrip(".")
        problem = f"{self.url}: {what} failed {attempts} time(s): {name}: {said}."
        if name in REFUSED:
            return BystanderError(problem, "Check the credentials, and what they allow there.")
        if isinstance(error, NEVER_BETTER):
            return BystanderError(problem, "Check the URL.")
        return BystanderError(
            problem,
            "What was finished is kept here. The same command goes on when the remote answers "
            "again.",
        )

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"
