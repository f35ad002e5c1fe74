"""Downloads of published files: resumed where they broke off, whole or not at all, checked.

Layer: addresses and folders in, files out, by the standard library's HTTP. A file that has not come
whole is `.<name>.part`, with the address and version it belongs to in `.<name>.part.json`. Such a
partial file is continued only where the server confirms that version, and never takes the file's
place unchecked.
"""

import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLError
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from compute import __version__
from compute.errors import BystanderError, InputError, UsageError
from compute.models.published.catalogue import (
    RemoteFile,
    Source,
    require_files,
    source_named,
)
from compute.storage.atomic_files import Progress, disk_error, sha256, silent

READ_AT_ONCE = 1 << 18
"""Bytes read from a connection at a time."""

TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as broken."""

ATTEMPTS = 4
"""Connections that are tried for one file."""

PAUSE = 2.0
"""Seconds before the first new attempt; doubled for each further one."""

HEADERS = {"User-Agent": f"bystander/{__version__}", "Accept-Encoding": "identity"}


class _Broken(Exception):
    """The connection ended before the file did."""


@dataclass(frozen=True)
class _Version:
    """The version of a file on its server that a partial file belongs to.

    Parameters
    ----------
    url
        Address of the file.
    validator
        The server's strong ETag, or else its date of change; empty where it gave neither, and
        then the partial file cannot be continued.
    total
        Size of the whole file in bytes; None where the server did not say.
    """

    url: str
    validator: str
    total: int | None


def stated_sizes(source: Source) -> list[int | None]:
    """Return the size of every file in bytes: as published, or as its server says now, or None."""
    return [_stated_size(file) if file.size is None else file.size for file in source.files]


def _stated_size(file: RemoteFile) -> int | None:
    """Ask a file's server for its size in bytes; None where it does not say."""
    request = Request(file.url, headers=HEADERS, method="HEAD")
    try:
        with urlopen(request, timeout=TIMEOUT) as response:
            length = response.headers.get("Content-Length", "")
    except (OSError, HTTPException):
        return None
    return int(length) if length.isdigit() else None


def fetch(
    source: Source | str,
    to: Path | str | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Download all files of a source; those that are there and right are left alone.

    Who calls this agrees to the source's licence, which `list_sources` names.

    Parameters
    ----------
    source
        One with files, or its name in `list_sources`.
    to
        Folder for the files; by default the source's name, below the working folder.
    progress
        Called with a file's name, kilobytes that have come, and kilobytes in all; silent by
        default.
    say
        Called with a line of text about what is there already, broke or changed; silent by
        default.

    Returns
    -------
    list of Path
        The files, each whole, and of the known size and hash where those are known.

    Raises
    ------
    InputError
        A server does not have a file, or has another one than was published.
    UsageError
        No such source, a source without files, or one that has no name and no folder.
    BystanderError
        A connection kept breaking, or the disk is full.

    Examples
    --------
    >>> from compute import fetch
    >>> files = fetch("pifia-weights", "pifia-weights")  # doctest: +SKIP
    """
    if isinstance(source, str):
        name, source = source, source_named(source)
        require_files(name, source)
        to = name if to is None else to
    if to is None:
        raise UsageError("There is no folder for the files.", "Give one.")
    folder = Path(to)
    return [download(file, folder / file.name, progress, say) for file in source.files]


def download(
    file: RemoteFile,
    path: Path,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
    attempts: int = ATTEMPTS,
    pause: float = PAUSE,
) -> Path:
    """Download one file; see `fetch`.

    Parameters
    ----------
    file
        The file to download.
    path
        Path that it gets.
    progress, say
        As for `fetch`.
    attempts
        Connections that are tried, 1 or more; `ATTEMPTS` by default.
    pause
        Seconds before the second one, doubled for each further one; `PAUSE` by default.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    UsageError
        The address is neither http nor https.
    InputError
        The server does not have it, or it is not the file that was published.
    BystanderError
        The connection kept breaking, or the disk is full.
    """
    if urlsplit(file.url).scheme not in ("http", "https"):
        raise UsageError(f"{file.url} is not an http or https address.", "Give another one.")
    if path.is_file():
        _require_published(file, path, path)
        say(f"{path} is there already")
        return path
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(attempts):
            try:
                _continue(file, partial, progress, say)
                break
            except _Broken as error:
                if attempt + 1 == attempts:
                    raise _gave_up(file, partial, error) from error
                say(f"{path.name}: {error}; trying again")
                time.sleep(pause * 2**attempt)
        try:
            _require_published(file, partial, path)
        except InputError:
            _discard(partial)
            raise
        partial.replace(path)
    except OSError as error:
        raise disk_error(error, path) from error
    _discard(partial)
    return path


def _continue(
    file: RemoteFile, partial: Path, progress: Progress, say: Callable[[str], None]
) -> None:
    """Open one connection and take what comes, from where the partial file ends."""
    version = _remembered(file, partial)
    have = partial.stat().st_size if version else 0
    headers = dict(HEADERS)
    if version and have:
        if have == version.total:
            return
        headers |= {"Range": f"bytes={have}-", "If-Range": version.validator}
    try:
        with urlopen(Request(file.url, headers=headers), timeout=TIMEOUT) as response:
            _take(file, partial, response, version, have, progress, say)
    except HTTPError as error:
        if error.code == 416 and have:
            _discard(partial)
            raise _Broken("what had come does not belong to the server's file any more") from error
        if error.code >= 500 or error.code == 429:
            raise _Broken(f"the server says {error.code} {error.reason}") from error
        raise InputError(
            f"{file.url} cannot be had: the server says {error.code} {error.reason}.",
            "It may have moved: look at the page that `bystander fetch list` names.",
        ) from error
    except (URLError, TimeoutError, ConnectionError, HTTPException) as error:
        raise _Broken(str(getattr(error, "reason", None) or error) or "no answer") from error


def _take(
    file: RemoteFile,
    partial: Path,
    response: HTTPResponse,
    version: _Version | None,
    have: int,
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    """Write an answer to the end of the partial file, or in its place."""
    length = response.headers.get("Content-Length")
    coming = int(length) if length is not None and length.isdigit() else None
    if response.status == 206 and version is not None:
        start, total = _range(response.headers.get("Content-Range", ""))
        now = _validator(response)
        if start != have or total != version.total or (now and now != version.validator):
            _discard(partial)
            raise _Broken("it changed on the server, or another part came than was asked for")
        say(f"{file.name}: going on after {have:,} bytes")
    elif response.status == 200:
        if have:
            say(f"{file.name}: changed on the server, or it cannot go on: from the beginning")
        have = 0
        version = _Version(file.url, _validator(response), coming)
        if response.headers.get_content_type() == "text/html":
            raise InputError(
                f"{file.url} answered with a web page, not the file.",
                "It may have moved, or want a log-in: look at the page that "
                "`bystander fetch list` names.",
            )
        if None not in (coming, file.size) and coming != file.size:
            _discard(partial)
            raise _changed(file, f"it has {coming:,} bytes, not {file.size:,}")
    else:
        raise _Broken(f"the server says {response.status} {response.reason}")
    _require_space(partial, version.total, have)
    with partial.open("ab" if have else "wb") as handle:
        _remember(partial, version)
        have = _copy(file, handle, response, have, version.total, progress)
    if version.total is not None and have < version.total:
        raise _Broken(f"the connection broke after {have:,} of {version.total:,} bytes")


def _copy(
    file: RemoteFile,
    handle: BinaryIO,
    response: HTTPResponse,
    have: int,
    total: int | None,
    progress: Progress,
) -> int:
    """Copy an answer to the end of the partial file; return the bytes it has then."""
    stage = f"{file.name} (kB)"
    # A file of unknown size is never done before its end
    end = -(-total // 1000) if total is not None else None
    while True:
        try:
            received = response.read(READ_AT_ONCE)
        except (TimeoutError, ConnectionError, HTTPException, SSLError) as error:
            raise _Broken(f"the connection broke after {have:,} bytes") from error
        if not received:
            break
        handle.write(received)
        have += len(received)
        done = have // 1000
        if total is None or have < total:
            progress(stage, done, end if end is not None else done + 1)
    if total is None or have >= total:
        whole = max(1, -(-have // 1000))
        progress(stage, whole, whole)
    return have


def _range(header: str) -> tuple[int, int | None]:
    """Read `bytes START-END/TOTAL`: return start and total; (-1, None) where it is not that."""
    with suppress(ValueError):
        counted, _, rest = header.partition(" ")
        span, _, total = rest.partition("/")
        if counted == "bytes":
            return int(span.partition("-")[0]), None if total == "*" else int(total)
    return -1, None


def _validator(response: HTTPResponse) -> str:
    """Return what If-Range may hold: a strong ETag or a date, or empty text."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _remember(partial: Path, version: _Version) -> None:
    """Write beside a partial file which version it belongs to."""
    _note(partial).write_text(json.dumps(vars(version)), "utf-8")


def _remembered(file: RemoteFile, partial: Path) -> _Version | None:
    """Return the version a partial file belongs to, if it can be continued."""
    try:
        version = _Version(**json.loads(_note(partial).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    usable = partial.is_file() and version.url == file.url and bool(version.validator)
    return version if usable else None


def _note(partial: Path) -> Path:
    """Return the path of the note beside a partial file."""
    return partial.with_name(f"{partial.name}.json")


def _discard(partial: Path) -> None:
    """Delete a partial file and its note."""
    for path in (partial, _note(partial)):
        path.unlink(missing_ok=True)


def _require_space(partial: Path, total: int | None, have: int) -> None:
    """Refuse to go on where the disk has no room for what is to come."""
    free = shutil.disk_usage(partial.parent).free
    if total is not None and total - have > free:
        raise BystanderError(
            f"The disk is too full for {partial.parent}: {total - have:,} bytes are to come, "
            f"{free:,} are free.",
            "Free some space or give another folder; what has come is kept.",
        )


def _require_published(file: RemoteFile, path: Path, final: Path) -> None:
    """Compare a file's size and hash with the published ones, where these are known.

    `final` is the path that it is to get; the error says what to do by whether it has it.
    """
    size = path.stat().st_size
    problem = ""
    if file.size is not None and size != file.size:
        problem = f"it has {size:,} bytes, not {file.size:,}"
    elif file.sha256 is not None and (found := sha256(path)) != file.sha256:
        problem = f"its sha256 is {found}, not {file.sha256}"
    if problem and path == final:
        raise InputError(f"{path} is not the file that was published: {problem}.", "Delete it.")
    if problem:
        raise _changed(file, problem)


def _changed(file: RemoteFile, problem: str) -> InputError:
    """Make the error of a server that offers another file than was published."""
    return InputError(
        f"{file.url} is not the file that was published: {problem}. It was not kept.",
        "It may have changed, or was altered on its way: look at the page that "
        "`bystander fetch list` names.",
    )


def _gave_up(file: RemoteFile, partial: Path, error: _Broken) -> BystanderError:
    """Make the error after the last attempt; delete a partial file that cannot be continued."""
    version = _remembered(file, partial)
    have = partial.stat().st_size if version else 0
    if have:
        kept = f"{have:,} bytes are kept: the same command goes on from there."
    else:
        _discard(partial)
        kept = "Nothing could be kept. Check the connection and run the same command again."
    return BystanderError(f"{file.url} did not come: {error}.", kept)
