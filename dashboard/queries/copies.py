"""Serving copies of large runs: what Parquet answers slowly, in one DuckDB file, made once.

A large run has a file of trials for every 64 cells, tens of thousands of them; opening them all
takes a minute. The copy holds them as one table, with tables that follow from the run (`derived`).
It lies in the reader's cache folder, never in the run's, under a name made of the run's token: a
run that has changed has no copy, and is read from its own files until it gets one.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from compute.errors import BystanderError, InputError
from compute.storage.atomic_files import checksum_of, writing
from compute.storage.checksums import as_written
from compute.storage.locks import one_at_a_time
from compute.storage.paths import RunPaths, checksum_file
from dashboard.queries.derived import DERIVED
from dashboard.queries.open_runs import MEMORY, Run, contents

VERSION = 1
"""Of what a copy holds; one of another version is not used."""

FOLDER_VARIABLE = "BYSTANDER_CACHE"
"""Environment variable with the folder for copies."""

MANY_FILES = 200
"""Files of trials from which on a run gets a copy: a run of 13,000 cells."""

KEPT = 6
"""Copies that stay; those used longest ago are deleted."""

COPIED = {
    "cells": "",
    "trials": "",
    "distributions": "protein",
    "shifts": "protein",
    "truth": "protein",
}
"""Tables that are copied whole, and by what they are sorted; as in their files where nothing is.

Predictions are not: they are sorted by protein, so that looking one up reads a few row groups of
their own files.
"""

Notice = Callable[[str], None]


def folder() -> Path:
    """Return where copies lie: ``BYSTANDER_CACHE``, or the user's cache folder."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "bystander"


def path_of(run: Run) -> Path:
    """Return where a run's copy lies, or would."""
    engine = duckdb.__version__.replace(os.sep, "-")
    return folder() / f"run-{VERSION}-{engine}-{run.token}.duckdb"


def present(runs: Sequence[Run]) -> dict[str, Path]:
    """Return the copies that are there and as they were written, by the run's token."""
    return {run.token: path for run in runs if _whole(path := path_of(run))}


def wanted(run: Run) -> bool:
    """Whether a run is finished, and large enough that a copy helps."""
    return run.complete and len(RunPaths(run.path).files("trials")) >= MANY_FILES


def make(run: Run, notice: Notice = print) -> Path | None:
    """Make a run's copy, if it is large enough to need one and has none.

    Parameters
    ----------
    run
        An opened run.
    notice
        Called with a line of text: that it takes a while, or why no copy can be written.

    Returns
    -------
    pathlib.Path or None
        The file, which appears whole; None where the run needs none or it cannot be written.
    """
    target = path_of(run)
    try:
        if not wanted(run):
            return None
        if not _whole(target):
            with one_at_a_time(target.parent):
                _remove_left(target.parent)
                if not _whole(target):
                    where = f"once; kept in {target.parent}"
                    notice(f"Preparing {run.title} for quick look-ups ({where}) ...")
                    with writing(target, checksum=True) as temporary:
                        _write(run, temporary)
        os.utime(target)
    except (OSError, duckdb.Error, BystanderError) as error:
        said = error.problem if isinstance(error, BystanderError) else str(error).splitlines()[0]
        notice(f"{run.title} has no copy, so some pages are slow: {said.removesuffix('.')}.")
        return None
    _forget_old(target)
    return target


def _whole(path: Path) -> bool:
    """Whether a copy is there and as it was written; an altered one is made anew."""
    try:
        as_written(path, checksum_of(path), "")
    except (InputError, OSError):
        return False
    return True


def _remove_left(folder: Path) -> None:
    """Delete what killed processes left of copies, in a folder that nobody else writes to now."""
    for left in folder.glob(".run-*.tmp*"):
        with suppress(OSError):
            left.unlink()


def _write(run: Run, path: Path) -> None:
    listing = pa.Table.from_pandas(contents(run), preserve_index=False)
    with closing(duckdb.connect(str(path))) as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute("SET autoinstall_known_extensions = false")
        for table, order in COPIED.items():
            if files := run.files(table):
                read = connection.read_parquet(files)
                (read.order(order) if order else read).create(table)
        connection.register("listing", listing)
        connection.execute("CREATE TABLE contents AS SELECT * FROM listing")
        connection.unregister("listing")
        if files := run.files("examples"):
            connection.read_parquet(files).create_view("examples")
        there = {table for table in (*COPIED, "examples") if run.files(table)}
        for name, derived in DERIVED.items():
            if set(derived.tables) <= there:
                sql = derived.sql.format(**{table: table for table in derived.tables})
                connection.execute(f"CREATE TABLE {name} AS {sql}")
        connection.execute("DROP VIEW IF EXISTS examples")
        connection.execute("CHECKPOINT")


def _forget_old(current: Path) -> None:
    """Delete the copies that were used longest ago."""
    found = [path for path in current.parent.glob("run-*.duckdb") if path != current]
    dated = []
    for path in found:
        with suppress(OSError):
            dated.append((path.stat().st_mtime, path))
    for _, path in sorted(dated)[: max(0, len(dated) - KEPT + 1)]:
        with suppress(OSError):
            path.unlink()
            checksum_file(path).unlink(missing_ok=True)
