"""Writes files that appear whole or not at all, and hashes of them. No torch.

A table that is written below a run directory gets a checksum beside it, a hidden file
`.NAME.sha256`, which takes its place just before the table does: so every table has one.
"""

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from compute.errors import DiskError
from compute.storage.paths import DEEPEST, RunPaths, checksum_file

ROW_GROUP = 50_000
"""Rows per Parquet row group of result tables: look-ups of one protein read little."""


def _default_mode() -> int:
    """Return the permissions that this process gives to new files."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


_MODE = _default_mode()


@contextmanager
def writing(path: Path, *, checksum: bool = False) -> Iterator[Path]:
    """Give a temporary path, whose file takes the place of `path` when the block ends well.

    Parameters
    ----------
    path
        The file to write or to replace; its folder is made if it is not there.
    checksum
        Record the file's SHA-256 beside it (see `checksum_of`); False by default.

    Yields
    ------
    Path
        In the same folder, hidden.

    Raises
    ------
    DiskError
        The disk is full or the folder cannot be written; names the file. Nothing is left behind.
    """
    # Two machines may write one file of a shared folder at once, from processes of one number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    recorded = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as handle:  # Windows syncs only what may be written
            os.fsync(handle.fileno())
        temporary.chmod(_MODE)  # some libraries make files that nobody else may read
        if checksum:
            recorded = True
            _record_checksum(path, sha256(temporary))
        os.replace(temporary, path)
        recorded = False
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
            if recorded:  # of a file that did not take its place
                checksum_file(path).unlink(missing_ok=True)


def checksum_of(path: Path) -> str | None:
    """Return the SHA-256 that was recorded when a file was written; None if none was."""
    try:
        return checksum_file(path).read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _record_checksum(path: Path, digest: str) -> None:
    target = checksum_file(path)
    temporary = target.with_name(f"{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(f"{digest}\n", "ascii")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def below_a_run(path: Path) -> bool:
    """Return whether a file is in a run directory, which keeps checksums of its tables."""
    return any(RunPaths(folder).header.is_file() for folder in list(path.parents)[:DEEPEST])


def disk_error(error: OSError, path: Path) -> DiskError:
    """Return the error to raise, for a person, when the system could not write a file.

    Parameters
    ----------
    error
        The system's error.
    path
        The file.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(
            f"The disk is full: {path} could not be written.",
            "What was finished is kept. Free some space and run the same command again; "
            "`bystander plan` prints how much a run needs.",
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return DiskError(
            f"{path} cannot be written: {error.strerror}.", "Choose a folder you may write to."
        )
    return DiskError(f"{path}: {error.strerror or error}.", "Check the path and the disk.")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically.

    Raises
    ------
    DiskError
        See `writing`.
    """
    with writing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def write_table(path: Path, table: pa.Table, row_group: int = ROW_GROUP) -> None:
    """Write a Parquet file atomically, with zstd; equal tables give equal bytes.

    Parameters
    ----------
    path
        The file; below a run directory its checksum is recorded.
    table
        All its rows.
    row_group
        Rows per row group; `ROW_GROUP` by default.

    Raises
    ------
    DiskError
        See `writing`.
    """
    with writing(path, checksum=below_a_run(path)) as temporary:
        pq.write_table(table, temporary, row_group_size=row_group, **_encoding(table.schema))


@contextmanager
def table_writer(
    path: Path, schema: pa.Schema, row_group: int = ROW_GROUP
) -> Iterator[Callable[[pa.Table], None]]:
    """Give a function that adds tables of one schema to one Parquet file, in flat memory.

    The file appears when the block ends well. Row groups depend on the rows alone, not on how they
    were divided into tables.

    Parameters
    ----------
    path, row_group
        See `write_table`.
    schema
        Columns of every table.

    Yields
    ------
    callable
        Takes a table.

    Raises
    ------
    DiskError
        See `writing`.
    """
    with (
        writing(path, checksum=below_a_run(path)) as temporary,
        pq.ParquetWriter(temporary, schema, **_encoding(schema)) as writer,
    ):
        waiting = schema.empty_table()

        def add(table: pa.Table) -> None:
            nonlocal waiting
            waiting = pa.concat_tables([waiting, table])
            while len(waiting) >= row_group:
                writer.write_table(waiting.slice(0, row_group).combine_chunks())
                waiting = waiting.slice(row_group).combine_chunks()

        yield add
        if len(waiting):
            writer.write_table(waiting.combine_chunks())


def write_stream(
    path: Path, tables: Iterable[pa.Table], schema: pa.Schema, row_group: int = ROW_GROUP
) -> None:
    """Write tables of one schema to one Parquet file, atomically and in flat memory.

    Parameters
    ----------
    path, row_group
        See `write_table`.
    tables
        In order; row groups depend on their rows alone, not on how they were divided.
    schema
        Columns of every table.

    Raises
    ------
    DiskError
        See `writing`.
    """
    with table_writer(path, schema, row_group) as add:
        for table in tables:
            add(table)


def _encoding(schema: pa.Schema) -> dict[str, Any]:
    """Return options of Parquet: vectors of floats are split by bytes, which halves them."""
    vectors = [field.name for field in schema if pa.types.is_fixed_size_list(field.type)]
    if not vectors:
        return {"compression": "zstd"}
    return {
        "compression": "zstd",
        "use_dictionary": [field.name for field in schema if field.name not in vectors],
        "use_byte_stream_split": [f"{name}.list.element" for name in vectors],
    }


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while some := handle.read(1 << 20):
            digest.update(some)
    return digest.hexdigest()


def fingerprint(content: Mapping[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of an object written as JSON."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed process left below a folder that this one holds."""
    for path in folder.rglob(".*.tmp"):
        with suppress(OSError):
            path.unlink()


Progress = Callable[[str, int, int], None]
"""Called with a stage's name, units done and units in all."""


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing: the progress of what nobody watches."""
