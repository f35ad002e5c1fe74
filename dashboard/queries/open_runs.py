"""The runs that are open, and the one locked DuckDB connection that reads them.

No text from a person is ever SQL: statements are constants of this package, file lists and values
are bound by name, and orders are chosen from fixed lists. After opening, the connection reads the
run folders and nothing else.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from compute.errors import BystanderError, InputError
from compute.files import fingerprint, read_json
from compute.rundir import RUN_FILE
from compute.schema import RUN_TABLES

HIVE = ("predictions", "embeddings")
"""Tables whose `model` column is in their folders' names."""


class MissingTableError(InputError):
    """A run has no such table (yet)."""

    def __init__(self, table: str, run: "Run") -> None:
        self.table = table
        again = "Finish the run with the command that began it; it goes on where it stopped."
        super().__init__(
            f"The run “{run.title}” has no table “{table}”.",
            again if not run.complete else "It was made without it.",
        )


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
    """

    key: str
    path: Path
    meta: Mapping[str, Any] = field(repr=False)
    connection: duckdb.DuckDBPyConnection = field(repr=False)

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

    @property
    def conditions(self) -> list[str]:
        """Names of the conditions."""
        return list(self.meta.get("conditions", []))

    @property
    def channels(self) -> list[str]:
        """Names of the image channels."""
        return list(self.meta.get("store", {}).get("channels", []))

    def files(self, table: str) -> list[str]:
        """Return the files that a table has now, possibly none."""
        return sorted(str(path) for path in self.path.glob(RUN_TABLES[table]))

    def has(self, table: str) -> bool:
        """Whether the table has any file."""
        return bool(self.files(table))

    @cached_property
    def token(self) -> str:
        """What caches are keyed on: changes whenever any file of the run does."""
        stats = [
            (str(path.relative_to(self.path)), path.stat().st_mtime_ns, path.stat().st_size)
            for pattern in (RUN_FILE, *RUN_TABLES.values())
            for path in sorted(self.path.glob(pattern))
        ]
        return fingerprint({"files": stats, "run": self.meta.get("fingerprint", "")})

    def query(
        self, sql: str, tables: Sequence[str], values: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Run one statement of this package.

        Parameters
        ----------
        sql
            The statement; each table is written as its name in braces, each value as ``$name``.
        tables
            Tables that it reads.
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
        sources = {}
        for table in tables:
            files = self.files(table)
            if not files:
                raise MissingTableError(table, self)
            bound[f"files_{table}"] = files
            hive = str(table in HIVE).lower()
            sources[table] = f"read_parquet($files_{table}, hive_partitioning = {hive})"
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


@dataclass(frozen=True)
class Broken:
    """A folder that was asked for and cannot be shown, with what is wrong and what to do."""

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


def connect(folders: Sequence[Path]) -> duckdb.DuckDBPyConnection:
    """Open a connection that can read these folders and nothing else, and lock it."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET parquet_metadata_cache = true")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET temp_directory = ''")
    connection.execute("SET python_enable_replacements = false")
    connection.execute(
        "SET allowed_directories = $folders",
        {"folders": [f"{folder}/" for folder in folders]},
    )
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def open_library(paths: Sequence[Path], connection: duckdb.DuckDBPyConnection) -> Library:
    """Read `run.json` of every folder; what cannot be read is kept with its reason.

    Parameters
    ----------
    paths
        Run directories.
    connection
        From `connect` on the same folders.
    """
    runs: list[Run] = []
    broken: list[Broken] = []
    taken: set[str] = set()
    for path in dict.fromkeys(Path(item).resolve() for item in paths):
        try:
            meta = read_json(path / RUN_FILE, "run")
            key = _unused(str(meta.get("name") or path.name), taken)
            runs.append(Run(key, path, _checked(meta, path), connection))
        except BystanderError as error:
            key = _unused(path.name, taken)
            broken.append(Broken(key, path, error.problem, error.remedy))
        except OSError as error:
            key = _unused(path.name, taken)
            broken.append(Broken(key, path, f"{path}: {error.strerror}.", "Check the folder."))
    return Library(tuple(runs), tuple(broken))


def _checked(meta: dict[str, Any], path: Path) -> dict[str, Any]:
    """Refuse a `run.json` without the fields that every page needs."""
    kinds = {"localizations": list, "conditions": list, "models": list}
    wrong = [name for name, kind in kinds.items() if not isinstance(meta.get(name), kind)]
    if wrong:
        raise InputError(
            f"{path / RUN_FILE} has no list {', '.join(wrong)}.", "Run again with --fresh."
        )
    return meta


def _unused(name: str, taken: set[str]) -> str:
    number, key = 1, name
    while key in taken:
        number += 1
        key = f"{name} ({number})"
    taken.add(key)
    return key


def as_json(value: Any) -> str:
    """Return a value of `run.json` as one line for a table."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
