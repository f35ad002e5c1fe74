"""The runs that are open, and the one locked DuckDB connection that reads them.

No text from a person is ever SQL: statements are constants of this package, file lists and values
are bound by name, and orders are chosen from fixed lists. After opening, the connection reads the
run folders and nothing else.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from compute.errors import BystanderError, InputError, UsageError
from compute.schema import ADDED_TABLES, FITTED, Protocol
from compute.storage.atomic_files import checksum_of, fingerprint
from compute.storage.checksums import all_as_written, recorded
from compute.storage.paths import PER_MODEL, RUN_TABLES, RunPaths
from compute.storage.run_directory import read_header
from dashboard.queries.derived import DERIVED

SHARDED = ("trials", "embeddings")
"""Tables with a file per 64 cells: tens of thousands of them."""

MEMORY = "768MB"
"""What DuckDB may hold at most; the rest of the server takes about as much again."""

MOST_THREADS = 4
"""Threads of one connection; more would each hold row groups of their own."""

ALTERED = "Run it again with --fresh, or ask `bystander check RUN` what else was altered."
"""What to do about a run whose files are not as they were written."""

COPY_PREFIX = "copy_"
"""What the serving copy of a run is called on the connection, before the run's token."""


class MissingTableError(InputError):
    """A run has no such table (yet)."""

    def __init__(self, table: str, run: "Run") -> None:
        self.table = table
        again = "Finish the run with the command that began it; it goes on where it stopped."
        remedy = again if not run.complete else "It was made without it."
        if run.complete and table in ADDED_TABLES:
            remedy = f"`bystander {table} STORE RUN` adds it."
        super().__init__(f"The run “{run.title}” has no table “{table}”.", remedy)


@dataclass(frozen=True)
class Run:
    """One run directory as the dashboard knows it: `run.json` and its tables.

    Parameters
    ----------
    key
        Name in the address; unique among the open runs.
    path
        The folder, resolved.
    meta
        Content of `run.json`.
    connection
        The locked connection that all runs share.
    copies
        Its serving copies, from `copied_tables`; looked up where not given.
    """

    key: str
    path: Path
    meta: Mapping[str, Any] = field(repr=False)
    connection: duckdb.DuckDBPyConnection = field(repr=False)
    copies: Mapping[str, frozenset[str]] | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """The run's name as shown."""
        return self.key

    @property
    def complete(self) -> bool:
        """Whether the run was finished."""
        return self.meta.get("status") == "complete"

    @property
    def simulated(self) -> bool:
        """Whether its cells are simulated."""
        return bool(self.meta.get("simulated"))

    @property
    def localizations(self) -> list[str]:
        """Class names in the order of every `probabilities` column."""
        return list(self.meta.get("localizations", []))

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order they were run."""
        return [model["name"] for model in self.meta.get("models", [])]

    def models_under(self, protocol: str) -> list[str]:
        """Return the models that have answers under a protocol: under `own` those with a head."""
        if protocol != Protocol.OWN:
            return self.models
        return [model["name"] for model in self.meta.get("models", []) if "own" in model]

    def named_by(self, model: str) -> tuple[str, ...]:
        """Return the classes that a model's own head can answer with; none where it has no head."""
        said = [one.get("own", {}) for one in self.meta.get("models", []) if one["name"] == model]
        return tuple(said[0].get("classes", ())) if said else ()

    def baseline(self, model: str) -> str:
        """Say what a model is as a baseline, in words; empty where it is none."""
        said = [one.get("baseline") for one in self.meta.get("models", []) if one["name"] == model]
        return said[0] if said and isinstance(said[0], str) else ""

    @property
    def protocols(self) -> list[str]:
        """The protocols that any model can have answers under, in the order of choices."""
        return [str(protocol) for protocol in Protocol if self.models_under(protocol)] or [
            str(protocol) for protocol in FITTED
        ]

    @property
    def conditions(self) -> list[str]:
        """Names of the conditions."""
        return list(self.meta.get("conditions", []))

    @property
    def channels(self) -> list[str]:
        """Names of the image channels."""
        return list(self.meta.get("store", {}).get("channels", []))

    @property
    def first_shown(self) -> int:
        """Number of the first channel that a model reads, to show crops in; 0 if unknown."""
        cards = [model.get("card", {}) for model in self.meta.get("models", [])]
        read = {name for card in cards for name in card.get("channels", [])}
        return next((i for i, name in enumerate(self.channels) if name in read), 0)

    @property
    def crop_size(self) -> int:
        """Side of the crops in pixels; 64 where the run does not say."""
        return int(self.meta.get("store", {}).get("size", 64))

    def files(self, table: str) -> list[str]:
        """Return the files that a table has now, possibly none, once they are as they were written.

        Raises
        ------
        InputError
            One was altered, is not the run's, or is no file; names it.
        """
        files = RunPaths(self.path).files(table)
        expected = recorded(self.path, self.meta).get if self.complete else checksum_of
        all_as_written([(file, expected(file)) for file in files], ALTERED)
        return sorted(map(str, files))

    def has(self, table: str) -> bool:
        """Whether the table has any file."""
        return table in self.copied or RunPaths(self.path).has(table)

    @cached_property
    def token(self) -> str:
        """What caches are keyed on: a text that changes whenever any file of the run does.

        Of tables in very many files, the folder is looked at: it changes when a file appears,
        goes, or is replaced, which is the only way that files are written.
        """
        paths = RunPaths(self.path)
        looked_at = [paths.header]
        for table in RUN_TABLES:
            looked_at += paths.folders(table) if table in SHARDED else paths.files(table)
        stats = []
        for path in looked_at:
            with suppress(FileNotFoundError):  # removed at this moment
                seen = path.stat()
                size = 0 if path.is_dir() else seen.st_size
                stats.append((str(path.relative_to(self.path)), seen.st_mtime_ns, size))
        return fingerprint({"files": stats, "run": self.meta.get("fingerprint", "")})

    @cached_property
    def copied(self) -> frozenset[str]:
        """Tables that stand in the run's serving copy (see `queries.copies`); often none."""
        known = copied_tables(self.connection) if self.copies is None else self.copies
        return known.get(self.token, frozenset())

    def query(
        self, sql: str, tables: Sequence[str], values: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Run one statement of this package.

        Parameters
        ----------
        sql
            The statement; each table is written as its name in braces, each value as ``$name``.
        tables
            Tables that it reads, or `derived` ones.
        values
            Values by name; never pasted into the statement.

        Raises
        ------
        MissingTableError
            A table has no file.
        InputError
            A file is damaged or lacks a column.
        """
        bound: dict[str, Any] = {}
        sources = {table: self._source(table, bound) for table in tables}
        wanted = set(re.findall(r"\$(\w+)", sql))
        used = {name: value for name, value in (values or {}).items() if name in wanted}
        try:
            with self.connection.cursor() as cursor:
                return cursor.execute(sql.format(**sources), {**bound, **used}).df()
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise InputError(
                f"The run “{self.title}”: {' and '.join(tables)} cannot be read: "
                f"{str(error).splitlines()[0][:300]}.",
                "Run it again with --fresh, or check it with `bystander check RUN`.",
            ) from error

    def _source(self, table: str, bound: dict[str, Any]) -> str:
        """Return what stands for a table in a statement; its files are added to `bound`."""
        if table in self.copied:
            return f'"{COPY_PREFIX}{self.token}"."{table}"'
        if table in DERIVED:
            derived = DERIVED[table]
            parts = {name: self._source(name, bound) for name in derived.tables}
            return f"({derived.sql.format(**parts)})"
        files = self.files(table)
        if not files:
            raise MissingTableError(table, self)
        bound[f"files_{table}"] = files
        hive = str(table in PER_MODEL).lower()
        return f"read_parquet($files_{table}, hive_partitioning = {hive})"


@dataclass(frozen=True)
class Broken:
    """A folder that was asked for and cannot be shown: what is wrong, and the way out."""

    key: str
    path: Path
    problem: str
    remedy: str


@dataclass(frozen=True)
class Library:
    """All runs that were asked for; keys are unique and in the order given."""

    runs: tuple[Run, ...]
    broken: tuple[Broken, ...]

    @property
    def keys(self) -> list[str]:
        """Names of the runs that open."""
        return [run.key for run in self.runs]

    def __getitem__(self, key: str) -> Run:
        return next(run for run in self.runs if run.key == key)


def connect(
    folders: Sequence[Path], copies: Mapping[str, Path] | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a connection that can read these folders and nothing else, and lock it.

    Parameters
    ----------
    folders
        Run directories.
    copies
        Serving copies of runs, by token; only read. One that cannot be opened is left out.
    """
    connection = duckdb.connect(":memory:")
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    connection.execute(f"SET threads = {min(MOST_THREADS, os.cpu_count() or 1)}")
    connection.execute("SET parquet_metadata_cache = true")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET temp_directory = ''")
    connection.execute("SET python_enable_replacements = false")
    for token, path in (copies or {}).items():
        place = str(path).replace("'", "''")
        with suppress(duckdb.Error):
            connection.execute(f"ATTACH '{place}' AS \"{COPY_PREFIX}{token}\" (READ_ONLY)")
    connection.execute(
        "SET allowed_directories = $folders",
        {"folders": [f"{folder}/" for folder in folders]},
    )
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def copied_tables(connection: duckdb.DuckDBPyConnection) -> dict[str, frozenset[str]]:
    """Return the tables of the serving copies that a connection has, by the run's token."""
    with connection.cursor() as cursor:
        rows = cursor.execute(
            "SELECT database_name, list(table_name) FROM duckdb_tables() "
            "WHERE starts_with(database_name, $prefix) GROUP BY database_name",
            {"prefix": COPY_PREFIX},
        ).fetchall()
    return {name.removeprefix(COPY_PREFIX): frozenset(tables) for name, tables in rows}


def open_library(
    paths: Sequence[Path],
    connection: duckdb.DuckDBPyConnection,
    copies: Mapping[str, frozenset[str]] | None = None,
) -> Library:
    """Read `run.json` of every folder; what cannot be read is kept with its reason.

    Parameters
    ----------
    paths
        Run directories.
    connection
        From `connect` on the same folders.
    copies
        Its serving copies, from `copied_tables`, where they are known: they stay the same.
    """
    runs: list[Run] = []
    broken: list[Broken] = []
    taken: set[str] = set()
    for path in dict.fromkeys(Path(item).resolve() for item in paths):
        try:
            meta = read_header(path)
            key = _unused(str(meta.get("name") or path.name), taken)
            runs.append(Run(key, path, _checked(meta, path), connection, copies))
        except BystanderError as error:
            key = _unused(path.name, taken)
            broken.append(Broken(key, path, error.problem, error.remedy))
        except OSError as error:
            key = _unused(path.name, taken)
            broken.append(Broken(key, path, f"{path}: {error.strerror}.", "Check the folder."))
    return Library(tuple(runs), tuple(broken))


def open_runs(runs: Path | str | Sequence[Path | str]) -> Library:
    """Open run directories for reading, on a connection that reads nothing else.

    Parameters
    ----------
    runs
        One run directory, or several.

    Returns
    -------
    Library
        Its `runs`, in the order given; each answers `query`.

    Raises
    ------
    UsageError
        A folder is not there.
    BystanderError
        A run cannot be read.

    Examples
    --------
    >>> from dashboard import open_runs
    >>> run = open_runs("my-run").runs[0]
    >>> sql = "SELECT count(*) AS n FROM {cells} WHERE protein IN $proteins"
    >>> int(run.query(sql, ["cells"], {"proteins": ["no such protein"]})["n"].iloc[0])
    0
    """
    given = [Path(run) for run in ([runs] if isinstance(runs, Path | str) else runs)]
    missing = [str(path) for path in given if not path.is_dir()]
    if missing or not given:
        raise UsageError(
            f"No such run directory: {', '.join(missing) or 'none was given'}.",
            "Give folders that `bystander run` made.",
        )
    folders = [path.resolve() for path in given]
    library = open_library(folders, connect(folders))
    if library.broken:
        first = library.broken[0]
        raise BystanderError(first.problem, first.remedy)
    return library


def _checked(meta: dict[str, Any], path: Path) -> dict[str, Any]:
    """Refuse a `run.json` without the fields that every page needs."""
    kinds = {"localizations": list, "conditions": list, "models": list}
    wrong = [name for name, kind in kinds.items() if not isinstance(meta.get(name), kind)]
    if wrong:
        raise InputError(
            f"{RunPaths(path).header} has no list {', '.join(wrong)}.", "Run again with --fresh."
        )
    return meta


def _unused(name: str, taken: set[str]) -> str:
    number, key = 1, name
    while key in taken:
        number += 1
        key = f"{name} ({number})"
    taken.add(key)
    return key


def contents(run: Run) -> pd.DataFrame:
    """Return every table of the run with its size.

    Returns
    -------
    pandas.DataFrame
        ``table, rows, files, bytes``; no rows for tables that are not there.
    """
    if "contents" in run.copied:
        return run.query("SELECT * FROM {contents}", ("contents",))
    rows = []
    for table in RUN_TABLES:
        files = run.files(table)
        if files:
            count = run.query(f"SELECT count(*) AS n FROM {{{table}}}", (table,))["n"].iloc[0]
            size = sum(Path(file).stat().st_size for file in files)
            rows.append((table, int(count), len(files), size))
    return pd.DataFrame(rows, columns=["table", "rows", "files", "bytes"])
