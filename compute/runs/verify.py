"""Whether a run is as it was written: checksums, schemas, counts, references between tables.

Layer: reads a run directory, some rows at a time, so that memory does not grow with the run; needs
no torch.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.errors import InputError
from compute.hashing import mix
from compute.schema import FITTED, Protocol
from compute.storage.atomic_files import Progress, silent
from compute.storage.checksums import recorded, verify
from compute.storage.run_directory import ANEW, NAMED, RunDirectory

ROWS_AT_ONCE = 50_000
"""Rows that are looked at together."""

_NAMES = {
    "model": "models", "condition": "conditions", "localization": "localizations",
    "localization_a": "localizations", "localization_b": "localizations",
    "background": "localizations", "other": "localizations", "predicted": "localizations",
    "donor_localization": "localizations", "top_before": "localizations",
    "top_after": "localizations", "protocol": "protocols",
}  # fmt: skip
"""Columns that hold names, and the entry of `run.json` that lists these."""

_SINGLE = {**schema.SUMMARY_TABLES, **schema.ADDED_TABLES}
"""Tables of one file each, with their schemas."""

_OTHERWISE = {
    "model_differences": {"other": "models"},
    "training_seeds": {"models": "models"},
}
"""The same for columns that name something else in one summary table."""


@dataclass
class _Tally:
    """Trials of each condition: their number, and a sum of their hashes.

    Two tables with equal tallies name the same trials, each as often, in whatever order: a trial
    that is missing, doubled or exchanged changes the sum (64 bits, so by chance 1 in 10¹⁹).

    Parameters
    ----------
    counts, sums
        Number of trials and sum of hashes by condition, or by condition and protocol.
    """

    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    sums: dict[tuple[str, ...], int] = field(default_factory=dict)

    def add(self, rows: pa.RecordBatch, keys: tuple[str, ...]) -> None:
        """Add rows that have `trial`, `cell` and the columns that make a key."""
        trial = rows.column("trial").to_numpy()
        hashes = mix(trial, rows.column("cell").to_numpy())
        codes = [rows.column(key).dictionary_encode() for key in keys]
        for combination in {*zip(*(code.indices.to_pylist() for code in codes), strict=True)}:
            here = np.logical_and.reduce(
                [c.indices.to_numpy() == i for c, i in zip(codes, combination, strict=True)]
            )
            key = tuple(
                code.dictionary[i].as_py() for code, i in zip(codes, combination, strict=True)
            )
            self.counts[key] += int(here.sum())
            total = int(hashes[here].sum(dtype=np.uint64))
            self.sums[key] = (self.sums.get(key, 0) + total) % 2**64


def check_run(run: RunDirectory, progress: Progress = silent) -> Iterator[str]:
    """Verify a finished run; yield lines that say what was found.

    Parameters
    ----------
    run
        The run directory.
    progress
        Called with files hashed, then with tables gone through; silent by default.

    Raises
    ------
    InputError
        Something is missing or altered, or refers to something that is not there; names it.
    """
    if not run.complete:
        yield f"{run.path} is not finished: the same command goes on with it."
        for failure in run.meta.get("failures", []):
            yield f"  failed: {failure['stage']} {failure['unit']}: {failure['error']}"
        return
    yield _check_bytes(run, progress)
    if origin := schema.mask_origin(run.meta.get("store", {}).get("source")):
        yield origin
    _check_schemas(run)
    if run.parts("trials"):
        steps = 1 + 2 * len(run.meta["models"])  # trials; answers and embeddings of each model
        progress("references", 0, steps)
        for done, line in enumerate(_check_trials(run), 1):
            progress("references", min(done, steps), steps)
            yield line
        progress("references", steps, steps)
    for name in _single(run):
        yield f"{name}: {_check_summary(run, name)}"
    yield "Tables, counts and references agree."


def _single(run: RunDirectory) -> list[str]:
    """Return the names of the tables of one file each that a finished run should have.

    `run.json` lists them; runs that were made before a table was thought of do not have it.
    """
    made = run.meta.get("tables", schema.SUMMARY_TABLES)
    return [name for name in _SINGLE if name in made or name in run.meta.get("added", {})]


def _check_bytes(run: RunDirectory, progress: Progress) -> str:
    """Compare every file with its checksum; return a line on what was compared."""
    listed = recorded(run.path, run.meta)
    bad = [verdict for verdict in verify(listed.items(), progress) if verdict.problem]
    extra = {*run.tables()} - listed.keys()
    told = [f"{v.path} ({v.problem})" for v in bad] + [
        f"{path} (not of this run)" for path in sorted(extra)
    ]
    if told:
        more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
        raise InputError(f"Not as written: {', '.join(told[:NAMED])}{more}.", ANEW)
    return f"checksums of {len(listed)} files agree"


def _expected(run: RunDirectory) -> Iterator[tuple[Path, pa.Schema]]:
    """Yield every file of the run with the schema that it must have."""
    if run.summary("cells").is_file():
        yield run.summary("cells"), schema.run_cells_schema()
    yield from ((file, schema.trials_schema()) for file in run.parts("trials"))
    for model in run.meta["models"]:
        name = model["name"]
        predictions = schema.predictions_schema(len(run.localizations))
        yield from ((file, predictions) for file in run.parts("predictions", name))
        for file in run.parts("embeddings", name):
            classes = len(run.localizations) if "own" in model else 0
            yield file, schema.embeddings_schema(model["dimension"], classes)
    for name in _single(run):
        yield run.summary(name), _SINGLE[name]


def _check_schemas(run: RunDirectory) -> None:
    """Check the columns of every file, from its footer alone."""
    for path, expected in _expected(run):
        if not path.is_file():
            raise InputError(f"{run.path} has no table {path.stem!r}.", ANEW)
        try:
            found = pq.read_schema(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path} cannot be read: {error}.", ANEW) from error
        schema.check_table(found.empty_table(), expected, str(path))


def _read(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read some columns of a file, `ROWS_AT_ONCE` rows at a time."""
    try:
        yield from pq.ParquetFile(path, pre_buffer=False).iter_batches(
            ROWS_AT_ONCE, columns=columns
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}.", ANEW) from error


def _check_trials(run: RunDirectory) -> Iterator[str]:
    """Check that trials name cells, and that predictions and embeddings name trials."""
    cells = _count_cells(run)
    examples = _example_trials(run)
    tally, count, found = _Tally(), 0, 0
    for file in run.parts("trials"):
        for rows in _read(file, ["trial", "cell", "condition"]):
            trial, cell = rows.column("trial").to_numpy(), rows.column("cell").to_numpy()
            if not np.array_equal(trial, np.arange(count, count + len(trial))):
                raise InputError(
                    f"{file} does not begin with trial {count}, or leaves some out.", ANEW
                )
            unknown = int(((cell < 0) | (cell >= cells)).sum())
            if unknown:
                raise InputError(f"{file}: {unknown} trials of unknown cells.", ANEW)
            tally.add(rows, ("condition",))
            found += int(np.isin(mix(trial, cell), examples).sum())
            count += len(trial)
    _same_count(run, "trials", count, run.meta["counts"]["trials"])
    if found != len(examples):
        raise InputError(f"{run.path}: {len(examples) - found} examples of unknown trials.", ANEW)
    yield f"trials: {count}"
    for model in run.meta["models"]:
        if "predictions" not in run.meta.get("unwanted", ()):
            yield f"predictions of {model['name']}: {_check_predictions(run, model['name'], tally)}"
        if run.parts("embeddings", model["name"]):
            yield f"embeddings of {model['name']}: {_check_embeddings(run, model['name'])}"


def _same_count(run: RunDirectory, what: str, found: int, said: int) -> None:
    """Refuse a count that is not what `run.json` says."""
    if found != said:
        raise InputError(f"{run.path}: {found} {what}, run.json says {said}.", ANEW)


def _count_cells(run: RunDirectory) -> int:
    """Count the cells, and check that they are numbered from 0."""
    count = 0
    for rows in _read(run.summary("cells"), ["cell"]):
        cell = rows.column("cell").to_numpy()
        if not np.array_equal(cell, np.arange(count, count + len(cell))):
            raise InputError(f"{run.summary('cells')}: cells are not in order.", ANEW)
        count += len(cell)
    _same_count(run, "cells", count, run.meta["counts"]["cells"])
    return count


def _example_trials(run: RunDirectory) -> NDArray[np.uint64]:
    """Return hashes of the trials that are examples."""
    hashes = [
        mix(rows.column("trial").to_numpy(), rows.column("cell").to_numpy())
        for rows in _read(run.summary("examples"), ["trial", "cell"])
    ]
    return np.concatenate([np.zeros(0, np.uint64), *hashes])


def _check_predictions(run: RunDirectory, model: str, trials: _Tally) -> int:
    """Check that every trial has one prediction of each protocol; return how many there are."""
    tally = _Tally()
    protocols = [*FITTED, *([Protocol.OWN] if run.answerable(model) else [])]
    for file in run.parts("predictions", model):
        for rows in _read(file, ["trial", "cell", "condition", "protocol", "predicted"]):
            _known_names(run, file, rows, _NAMES)
            tally.add(rows, ("condition", "protocol"))
    for (condition,), count in trials.counts.items():
        for protocol in protocols:
            key = (condition, str(protocol))
            if tally.counts[key] != count:
                raise InputError(
                    f"{run.path}: {tally.counts[key]} predictions of {model} for {count} trials "
                    f"under {condition} ({protocol}).",
                    ANEW,
                )
            if tally.sums[key] != trials.sums[condition,]:
                raise InputError(
                    f"{run.path}: predictions of {model} under {condition} ({protocol}) are not of "
                    "the run's trials.",
                    ANEW,
                )
    found = sum(tally.counts.values())
    each = sum(trials.counts.values())
    _same_count(run, f"predictions of {model}", found, len(protocols) * each)
    return found


def _check_embeddings(run: RunDirectory, model: str) -> int:
    """Check that every shard of embeddings has its trials, in order; return how many there are."""
    planned, made = run.parts("trials"), run.parts("embeddings", model)
    columns, count = ["trial", "cell", "condition"], 0
    _same_count(run, f"shards of embeddings of {model}", len(made), len(planned))
    for trials, embeddings in zip(planned, made, strict=True):
        left = pq.read_table(trials, columns=columns, partitioning=None)
        right = pq.read_table(embeddings, columns=columns, partitioning=None)
        if not left.equals(right):
            raise InputError(f"{embeddings} does not hold the trials of {trials}.", ANEW)
        count += len(right)
    return count


def _check_summary(run: RunDirectory, name: str) -> int:
    """Check that a summary table has the run's own names; return the number of its rows."""
    path = run.summary(name)
    known = {**run.meta.get("tables", {}), **run.meta.get("added", {})}
    of = _NAMES | _OTHERWISE.get(name, {})
    columns = [c for c in _SINGLE[name].names if c in of]
    if name in known and columns:
        for rows in _read(path, columns):
            _known_names(run, path, rows, of)
    return pq.read_metadata(path).num_rows


def _known_names(
    run: RunDirectory, path: Path, rows: pa.RecordBatch, of: Mapping[str, str]
) -> None:
    """Check that names in a table are those that `run.json` lists.

    Parameters
    ----------
    run, path
        The run and the table.
    rows
        Some of its rows.
    of
        What each column names; the others are not looked at.
    """
    listed = {
        "models": [model["name"] for model in run.meta["models"]],
        "conditions": run.meta["conditions"],
        "localizations": run.localizations,
        "protocols": run.meta.get("protocols", [str(protocol) for protocol in FITTED]),
    }
    for column in rows.schema.names:
        values = rows.column(column)
        if pa.types.is_list(values.type):
            values = pc.list_flatten(values)
        if column in of and pa.types.is_string(values.type):
            found = set(pc.unique(values).to_pylist()) - {None}
            unknown = sorted(found - set(listed[of[column]]))
            if unknown:
                raise InputError(f"{path}: unknown {column} {unknown[0]!r}.", ANEW)
