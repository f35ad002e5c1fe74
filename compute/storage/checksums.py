"""Checksums of a run's tables: recorded as they are written, gathered at the end, verified.

Layer: reads bytes, and knows nothing of what they mean. No torch.

While a run is made, every table has its SHA-256 beside it
(`compute.storage.atomic_files.checksum_of`). A finished run has them all in one file,
`checksums.sha256`, in the format of `sha256sum`; the checksum of that file is in `run.json`.
"""

import os
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from compute.errors import InputError
from compute.storage.atomic_files import (
    Progress,
    checksum_of,
    sha256,
    silent,
    writing,
)
from compute.storage.paths import RunPaths, checksum_file
from compute.storage.regular_files import refuse_special

READERS = 8
"""Files hashed at once: hashing lets other threads run, and slow disks serve several well."""

FINE, MISSING, UNRECORDED, ALTERED = "", "missing", "without a checksum", "altered"


@dataclass(frozen=True)
class Verdict:
    """Whether one file is as it was written.

    Parameters
    ----------
    path
        The file.
    problem
        `FINE` (empty), `MISSING`, `UNRECORDED` or `ALTERED`.
    """

    path: Path
    problem: str


def verify(
    files: Iterable[tuple[Path, str | None]], progress: Progress = silent
) -> Iterator[Verdict]:
    """Compare files with their recorded checksums, several at once.

    Parameters
    ----------
    files
        Paths, each with the SHA-256 that it should have, or None if none was recorded.
    progress
        Called with ``"check"``, files done and files in all; nobody is told by default.

    Yields
    ------
    Verdict
        One per file, in order.
    """
    todo = list(files)
    with ThreadPoolExecutor(min(READERS, os.cpu_count() or 1)) as pool:
        for done, verdict in enumerate(pool.map(lambda item: _judge(*item), todo)):
            progress("check", done, len(todo))
            yield verdict
    progress("check", len(todo), len(todo))


def _judge(path: Path, expected: str | None) -> Verdict:
    if not path.is_file():
        return Verdict(path, MISSING)
    if expected is None:
        return Verdict(path, UNRECORDED)
    return Verdict(path, FINE if sha256(path) == expected else ALTERED)


def as_written(path: Path, expected: str | None, again: str) -> Path:
    """Return a file once it is known to be as it was written.

    It is hashed once in a process, for as long as it stays the same file.

    Parameters
    ----------
    path
        The file.
    expected
        The SHA-256 that it should have; None if none was recorded.
    again
        What to do about a file that is not.

    Raises
    ------
    InputError
        It is missing or no file, has no checksum, or was altered; names it.
    """
    refuse_special(path)
    if not path.is_file():
        raise InputError(f"{path} is missing.", again)
    if expected is None:
        raise InputError(f"{path} has no checksum.", again)
    if _digest(path, _identity(path)) != expected:
        raise InputError(f"{path} was altered after it was written.", again)
    return path


def all_as_written(files: Iterable[tuple[Path, str | None]], again: str) -> None:
    """See to it that files are as they were written, several at once.

    Parameters
    ----------
    files
        Paths, each with the SHA-256 that it should have; see `as_written`.
    again
        What to do about a file that is not.

    Raises
    ------
    InputError
        See `as_written`.
    """
    todo = list(files)
    if len(todo) < READERS:  # a few are sooner looked at than threads begun
        for path, expected in todo:
            as_written(path, expected, again)
        return
    with ThreadPoolExecutor(min(READERS, os.cpu_count() or 1)) as pool:
        for _ in pool.map(lambda item: as_written(item[0], item[1], again), todo):
            pass


def _identity(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does, without reading it."""
    seen = path.stat()
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


@lru_cache(maxsize=2**17)
def _digest(path: Path, identity: tuple[int, ...]) -> str:
    """Return a file's SHA-256, read once for as long as it stays the same file."""
    return sha256(path)


def drop_altered(files: Iterable[Path], progress: Progress = silent) -> list[Verdict]:
    """Delete the tables of an unfinished run that are not as they were written.

    What is deleted is made again as if it had never been there.

    Parameters
    ----------
    files
        The tables.
    progress
        See `verify`.

    Returns
    -------
    list of Verdict
        One for each file that was deleted.
    """
    bad = [v for v in verify(((f, checksum_of(f)) for f in files), progress) if v.problem]
    for verdict in bad:
        verdict.path.unlink(missing_ok=True)
        checksum_file(verdict.path).unlink(missing_ok=True)
    return bad


def gather(folder: Path, files: Iterable[Path]) -> str:
    """Write the checksums of a run's tables to its `checksums.sha256`.

    Checksums are those recorded when the tables were written; a table without one is hashed now.

    Parameters
    ----------
    folder
        The run directory.
    files
        Its tables, in the order wanted.

    Returns
    -------
    str
        The SHA-256 of the file written.
    """
    path = RunPaths(folder).manifest
    with writing(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
        for file in files:
            digest = checksum_of(file) or sha256(file)
            handle.write(f"{digest}  {file.relative_to(folder).as_posix()}\n")
    return sha256(path)


def forget(files: Iterable[Path]) -> None:
    """Delete the checksums that lie beside tables, once they are gathered."""
    for file in files:
        with suppress(OSError):
            checksum_file(file).unlink(missing_ok=True)


def read_manifest(folder: Path, expected: str | None) -> list[tuple[Path, str]]:
    """Read the checksums of a finished run.

    Parameters
    ----------
    folder
        The run directory.
    expected
        The SHA-256 of `checksums.sha256` itself, from `run.json`.

    Returns
    -------
    list of tuple
        Each table's path and SHA-256.

    Raises
    ------
    InputError
        `checksums.sha256` is missing or was altered.
    """
    path = RunPaths(folder).manifest
    if not path.is_file():
        raise InputError(f"{path} is missing.", "Run again with --fresh.")
    if sha256(path) != expected:
        raise InputError(f"{path} was altered after it was written.", "Run again with --fresh.")
    lines = path.read_text("utf-8").splitlines()
    return [(folder / line[66:], line[:64]) for line in lines]


def recorded(folder: Path, meta: Mapping[str, Any]) -> Mapping[Path, str]:
    """Return what every file of a finished run should hash to, those added later included.

    Parameters
    ----------
    folder
        The run directory.
    meta
        Content of its `run.json`.

    Raises
    ------
    InputError
        See `read_manifest`.
    """
    manifest = RunPaths(folder).manifest
    seen = _identity(manifest) if manifest.is_file() else ()
    added = {RunPaths(folder).summary(name): sha for name, sha in meta.get("added", {}).items()}
    return ChainMap(added, _manifest(folder, meta.get("checksums"), seen))


@lru_cache(maxsize=64)
def _manifest(folder: Path, expected: str | None, seen: tuple[int, ...]) -> dict[Path, str]:
    """Read a manifest once, for as long as it stays the same file."""
    return dict(read_manifest(folder, expected))
