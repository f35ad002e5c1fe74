"""Checksums of a run's tables: recorded as they are written, gathered at the end, verified.

Layer: reads bytes, and knows nothing of what they mean. No torch.

While a run is made, every table has its SHA-256 beside it
(`compute.storage.atomic_files.checksum_of`). A finished run has them all in one file,
`checksums.sha256`, in the format of `sha256sum`; the checksum of that file is in `run.json`.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from compute.errors import InputError
from compute.storage.atomic_files import (
    Progress,
    checksum_of,
    sha256,
    silent,
    writing,
)
from compute.storage.paths import RunPaths, checksum_file

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
