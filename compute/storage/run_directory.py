"""Run directories: begun, filled in shards, resumed, finished, read. No torch.

A run directory holds `run.json` and the tables named in `compute.storage.paths.RUN_TABLES`. A
file that is there is whole; what is not there is still to be done. That is all the state there is,
so an interrupted run goes on from its files. Files that were cut short or altered since they were
written do not have the checksum they should have: they are deleted when a run goes on, and made
again.
"""

import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from compute import __version__, schema
from compute.errors import ChangedError, InputError, UsageError
from compute.schema.headers import RUN_HEADER, check_header
from compute.storage.atomic_files import (
    Progress,
    fingerprint,
    remove_leftovers,
    sha256,
    silent,
    write_table,
)
from compute.storage.checksums import (
    ALTERED,
    all_as_written,
    drop_altered,
    forget,
    gather,
    recorded,
)
from compute.storage.locks import LOCK_FILE, OWNER_FILE, lock
from compute.storage.paths import PARTS, RUN_FILE, WORK, RunPaths
from compute.storage.regular_files import refuse_special
from compute.storage.sealed_json import read_sealed, write_sealed

ANEW = "Run again with --fresh."
"""What to do about a damaged run."""

NAMED = 5
"""Files that a message names; it counts the others."""

Notice = Callable[[str], None]
"""Called with what a person should know at once."""


def unheard(text: str) -> None:
    """Tell nobody."""


def read_header(path: Path) -> dict[str, Any]:
    """Return what the `run.json` of a run directory says.

    Raises
    ------
    InputError
        No run there, of another schema version, altered, or with entries of another kind.
    """
    again, file = "Run again, with --fresh or another --out", RunPaths(path).header
    meta = read_sealed(file, "run", schema.RUN_VERSION, again)
    check_header(meta, RUN_HEADER, str(file), f"{again}.")
    return meta


class RunDirectory(RunPaths):
    """A run directory, finished or not.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    InputError
        No run there, or of another schema version.

    Examples
    --------
    >>> from compute import RunDirectory
    >>> run = RunDirectory("my-run")
    >>> accuracy = run.read("accuracy").to_pandas()
    >>> sorted(accuracy["model"].unique())
    ['deeploc', 'paired_cell', 'pifia']
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self.meta = read_header(self.path)

    @property
    def complete(self) -> bool:
        """Whether the run was finished."""
        return self.meta.get("status") == "complete"

    @property
    def localizations(self) -> list[str]:
        """Class names in the order of every `probabilities` column."""
        return list(self.meta["localizations"])

    def answerable(self, model: str) -> list[str]:
        """Return the classes that a model's own head can answer with; none if it was not asked."""
        entries = [m for m in self.meta.get("models", []) if m["name"] == model]
        return [name for m in entries for name in m.get("own", {}).get("classes", [])]

    def write(self, path: Path, table: pa.Table, expected: pa.Schema) -> None:
        """Check a table against its schema and write it atomically."""
        write_table(path, schema.check_table(table, expected, path.name))

    def read(self, table: str, model: str | None = None) -> pa.Table:
        """Read a whole table.

        Raises
        ------
        InputError
            It is not there, or cannot be read.
        """
        files = self.parts(table, model) if table in PARTS else [self.summary(table)]
        if not files or not files[0].is_file():
            raise InputError(
                f"{self.path} has no table {table!r}.", "Finish the run with the same command."
            )
        if self.complete:
            self.verify(files)
        else:
            refuse_special(*files)
        try:
            return pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"{self.path}: table {table!r} cannot be read: {error}.",
                "Run again with --fresh.",
            ) from error

    def verify(self, files: Iterable[Path] | None = None) -> None:
        """Check that files of a finished run are as they were written.

        Parameters
        ----------
        files
            Some of its tables' files; None, the default, for all, and that there are no others.

        Raises
        ------
        InputError
            One is missing, altered or not the run's; names it.
        """
        known = recorded(self.path, self.meta)
        wanted = [*files] if files is not None else [*{**known, **dict.fromkeys(self.tables())}]
        all_as_written([(file, known.get(file)) for file in wanted], ANEW)

    def record(self, **more: Any) -> None:
        """Add to `run.json`, or replace what it says."""
        self.meta = {**self.meta, **more}
        write_sealed(self.header, self.meta)

    def tables(self, *, without: Sequence[str] = ()) -> list[Path]:
        """Return every file of the run's tables that is there, unfinished work included.

        Parameters
        ----------
        without
            Folders to leave out.
        """
        folders = [name for name in (*PARTS, WORK) if name not in without]
        shards = [file for name in folders for file in self.below(name)]
        names = ("cells", *schema.SUMMARY_TABLES, *schema.ADDED_TABLES)
        single = [self.summary(name) for name in sorted(names)]
        return [*(file for file in single if file.is_file()), *shards]

    def finish(self, *, without: Sequence[str] = (WORK,), **more: Any) -> None:
        """Mark the run complete and record what it holds.

        The fingerprint is of the summary tables, so equal results have equal fingerprints.

        Parameters
        ----------
        without
            Folders whose files do not belong to the finished run; they are deleted afterwards, so
            that a run that is killed here has lost nothing.
        **more
            For `run.json`.
        """
        files = self.tables(without=without)
        checksums = gather(self.path, files)
        tables = {
            name: sha256(self.summary(name))
            for name in schema.SUMMARY_TABLES
            if self.summary(name).is_file()
        }
        self.record(
            **more,
            status="complete",
            finished=_now(),
            tables=tables,
            fingerprint=fingerprint(tables),
            checksums=checksums,
            unwanted=list(without),
            failures=[],
        )
        forget(files)
        self.clear_unwanted()

    def add(self, name: str, table: pa.Table) -> None:
        """Give a finished run one of `compute.schema.ADDED_TABLES`, or another in its place.

        Its checksum stands in `run.json`, beside those of the tables that the run itself made. A
        run that is killed in between is whole once the table is added again.

        Raises
        ------
        BusyError
            Another process is writing to the run.
        InputError
            The table is not as its schema says.
        """
        path = self.summary(name)
        with lock(self.path, "run"):
            self.write(path, table, schema.ADDED_TABLES[name])
            self.meta = read_header(self.path)
            self.record(added={**self.meta.get("added", {}), name: sha256(path)})
            forget([path])

    def clear_unwanted(self) -> None:
        """Delete the folders that a finished run needs no longer."""
        for name in self.meta.get("unwanted", [WORK]):
            shutil.rmtree(self.folder(name), ignore_errors=True)


@contextmanager
def begin(
    path: Path,
    header: Mapping[str, Any],
    details: Mapping[str, Any],
    *,
    fresh: bool = False,
    notice: Notice = unheard,
    progress: Progress = silent,
) -> Iterator[RunDirectory]:
    """Hold a run directory for writing: new, or one that was begun with the same header.

    Parameters
    ----------
    path
        The folder.
    header
        Everything the tables depend on: configuration, store and model fingerprints. A directory
        that was begun with another header is refused.
    details
        Further content of `run.json` (names, definitions, versions, device).
    fresh
        Delete what is there and begin anew.
    notice
        Told which files are made again because they were altered.
    progress
        Called while the files of an interrupted run are verified.

    Yields
    ------
    RunDirectory
        `complete` is true where there is nothing left to do.

    Raises
    ------
    BusyError
        Another process is writing to it.
    ChangedError
        It was begun with another header; names what changed.
    UsageError
        The folder holds something that is not a run.
    """
    paths = RunPaths(path)
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file.", "Give a folder for the run.")
    foreign = path.is_dir() and not paths.header.is_file()
    if foreign and not all(_left_by_a_start(item.name) for item in path.iterdir()):
        raise UsageError(f"{path} is not empty and holds no run.", "Give another folder.")
    with lock(path, "run"):
        remove_leftovers(path)
        if fresh:
            _clear(path)
        header_now = {"schema_version": schema.RUN_VERSION, "version": __version__, **header}
        if paths.header.is_file():
            run = RunDirectory(path)
            changed = differences(run.meta["header"], header_now)
            if changed:
                raise ChangedError(
                    f"{path} was begun with other settings: {'; '.join(changed)}.",
                    "Give another --out, the earlier settings, or --fresh to begin anew.",
                )
            if run.complete:
                forget(run.tables())
                run.clear_unwanted()
            else:
                _verify(run, notice, progress)
        else:
            write_sealed(
                paths.header,
                {
                    "schema_version": schema.RUN_VERSION,
                    "status": "running",
                    "bystander_version": __version__,
                    "created": _now(),
                    "header": header_now,
                    **details,
                },
            )
            run = RunDirectory(path)
        yield run


def _verify(run: RunDirectory, notice: Notice, progress: Progress) -> None:
    """Delete the files of an unfinished run that are not as they were written.

    What later stages made of an altered file may be wrong too, so it is deleted with it.
    """
    files = run.tables()
    bad = drop_altered(files, progress) if files else []
    if not bad:
        return
    told = {v.path: f"{v.path.relative_to(run.path)} ({v.problem})" for v in bad}
    altered = [run.made_after(v.path) for v in bad if v.problem == ALTERED]
    later = [
        file
        for file in files
        if altered and file not in told and run.made_after(file) > min(altered)
    ]
    for file in later:
        file.unlink(missing_ok=True)
    forget(later)
    shown = ", ".join(list(told.values())[:NAMED])
    more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    after = f", and the {len(later)} files of later stages" if later else ""
    notice(f"Not as written, so made again: {shown}{more}{after}.")
    run.record(made_again=[*run.meta.get("made_again", []), *told.values()])


def command_line() -> str:
    """Say in one line what started this process: `bystander` with its options, or a script."""
    program = Path(sys.argv[0]).name
    start = ["python", program] if program.endswith(".py") else ["bystander"]
    return shlex.join([*start, *sys.argv[1:]])


def differences(before: Any, now: Any, place: str = "") -> list[str]:
    """Say in words where two JSON-able objects differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return [
            text
            for key in sorted({*before, *now})
            for text in differences(
                before.get(key), now.get(key), f"{place}.{key}" if place else str(key)
            )
        ]
    return [] if before == now else [f"{place} was {before!r}, now {now!r}"]


def _clear(path: Path) -> None:
    """Delete a run's own files, and nothing that a person may have put beside them."""
    with suppress(InputError):
        # Killed half-way, what is left must not call itself complete.
        RunDirectory(path).record(status="running")
    paths = RunPaths(path)
    for name in (*PARTS, WORK):
        shutil.rmtree(paths.folder(name), ignore_errors=True)
    names = (*schema.SUMMARY_TABLES, *schema.ADDED_TABLES, "cells", "tallies")
    single = [paths.summary(name) for name in names]
    forget(single)
    for file in (*single, paths.manifest, paths.header):
        file.unlink(missing_ok=True)


def _left_by_a_start(name: str) -> bool:
    """Tell whether a file is what a run leaves that was killed before it had its `run.json`."""
    return name in (LOCK_FILE, OWNER_FILE) or (
        name.startswith(f".{RUN_FILE}.") and name.endswith(".tmp")
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
