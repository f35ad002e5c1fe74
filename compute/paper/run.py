"""The published results as a run that the dashboard opens like any other.

Layer: `compute.paper.results` reads the files, `compute.statistics.aggregation` averages them, this
writes the run directory; needs no torch.
"""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from compute import schema
from compute.paper import table_1
from compute.paper.results import (
    PAPER_CONDITIONS,
    Tests,
    classes_of,
    pairwise_table,
    published_files,
    read_tests,
)
from compute.paper.table_1 import CROPS_PER_CLASS, MODELS, TABLE_1
from compute.schema import SUMMARY_TABLES, Aggregation, Condition, Protocol
from compute.statistics.aggregation import aggregate
from compute.storage.atomic_files import fingerprint, sha256
from compute.storage.run_directory import RunDirectory, begin, command_line

KIND = "published"
"""What `kind` says in `run.json`."""

LIBRARIES = ("numpy", "pandas", "pyarrow")
"""Packages whose versions are recorded."""


def published(
    source: Path | str, out: Path | str, *, fresh: bool = False, name: str | None = None
) -> RunDirectory:
    """Read the paper's published results into a run directory, with both averages.

    Parameters
    ----------
    source
        Folder with `pifia`, `pci` and `deeploc`, five CSV files each: `swap_experiments/results`
        of the paper's repository.
    out, fresh, name
        As for `write_published`.

    Returns
    -------
    RunDirectory
        Finished; ``meta["checks"]["table_1"]`` says how much of the paper's Table 1 it reproduces.

    Raises
    ------
    BystanderError
        As `write_published`.

    Examples
    --------
    >>> from compute import published
    >>> run = published("swap_experiments/results", "paper")  # doctest: +SKIP
    """
    return write_published(Path(source), Path(out), fresh=fresh, name=name)[0]


def write_published(
    source: Path, out: Path, *, fresh: bool = False, name: str | None = None
) -> tuple[RunDirectory, bool]:
    """Read the published results into a run directory.

    Parameters
    ----------
    source
        Folder that holds the folders `pifia`, `pci` and `deeploc`.
    out
        The run directory, new or finished from the same files.
    fresh
        Whether to begin anew even if something is there; False by default.
    name
        Name of the run, for the dashboard; the folder's name by default.

    Returns
    -------
    run : RunDirectory
        The finished run.
    worked : bool
        Whether anything was left to do.

    Raises
    ------
    InputError
        A file is missing, or a row of it is not what it should be; names both.
    BystanderError
        A busy or changed run directory, a full disk.
    """
    files = published_files(source)
    found = {key: read_tests(path) for key, path in files.items()}
    names = classes_of(found, files)
    hashes = {key: sha256(path) for key, path in files.items()}
    models = {
        model: fingerprint({str(c): hashes[model, c] for c in PAPER_CONDITIONS}) for model in MODELS
    }
    header = {"configuration": _configuration(), "store": fingerprint(models), "models": models}
    of_files = {str(path.relative_to(source)): hashes[key] for key, path in files.items()}
    details = {
        "name": name or out.resolve().name,
        **_details(names, models, of_files),
        "rejections": _own_backgrounds(found, files, source),
    }
    with begin(out, header, details, fresh=fresh) as run:
        worked = not run.complete
        if worked:
            _write(run, pairwise_table(found), names)
        return run, worked


def summary_tables(pairwise: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average the pair tests both ways: as the paper does, and over every pair and background.

    No protein is known, so nothing is resampled: only `published` has an interval, the paper's ±.
    Cells are counted where `pairwise` has counts: `CROPS_PER_CLASS` of each class.

    Parameters
    ----------
    pairwise
        Columns of `PAIRWISE`.

    Returns
    -------
    accuracy, effects : pandas.DataFrame
        Columns of `ACCURACY` and `EFFECTS`.
    """
    cells = {}
    for key, tests in pairwise.groupby(["model", "condition"]):
        classes = {*tests["localization_a"], *tests["localization_b"]}
        if tests["n"].notna().all():
            cells[key] = {"overall": len(classes) * CROPS_PER_CLASS}
            cells[key]["localization"] = CROPS_PER_CLASS

    def counted(rows: pd.DataFrame) -> pd.DataFrame:
        keys = zip(rows["model"], rows["condition"], rows["scope"], strict=True)
        n = [cells.get((model, condition), {}).get(scope) for model, condition, scope in keys]
        return rows.assign(n_cells=pd.array(n, dtype="Int64"))

    both = [aggregate(pairwise, aggregation) for aggregation in Aggregation]
    accuracy, effects = (
        pd.concat([counted(rows) for rows in tables], ignore_index=True)
        for tables in zip(*both, strict=True)
    )
    return accuracy, effects


def reproduced(accuracy: pd.DataFrame) -> int:
    """Count the entries of Table 1 whose mean and ± a run reproduces to the third decimal.

    Parameters
    ----------
    accuracy
        Columns of `ACCURACY`.
    """
    overall = accuracy["scope"] == "overall"
    as_published = accuracy[overall & (accuracy["aggregation"] == Aggregation.PUBLISHED)]
    rows: list[Any] = list(as_published.itertuples())
    found = {
        (row.model, row.condition, f"{row.estimate:.3f}", f"{row.ci_high - row.estimate:.3f}")
        for row in rows
    }
    return sum(
        (number.model, str(number.condition), f"{number.estimate:.3f}", f"{number.spread:.3f}")
        in found
        for number in TABLE_1
    )


def _write(run: RunDirectory, pairwise: pd.DataFrame, names: list[str]) -> None:
    """Write every table and finish the run; tables that need cells have no rows."""
    accuracy, effects = summary_tables(pairwise)
    frames = {"pairwise": pairwise, "accuracy": accuracy, "effects": effects}
    for table, expected in SUMMARY_TABLES.items():
        rows = (
            pa.Table.from_pandas(frames[table], schema=expected, preserve_index=False)
            if table in frames
            else expected.empty_table()
        )
        run.write(run.summary(table), rows, expected)
    for path, expected in (
        (run.summary("cells"), schema.run_cells_schema()),
        (run.part("trials", 0), schema.trials_schema()),
        *((run.part("predictions", 0, m), schema.predictions_schema(len(names))) for m in MODELS),
    ):
        run.write(path, expected.empty_table(), expected)
    run.finish(
        counts={
            **dict.fromkeys(("cells", "cells_in_trials", "cells_in_pair_tests", "proteins"), 0),
            "trials": 0,
            "pair_tests": len(pairwise),
        },
        checks={"table_1": {"reproduced": reproduced(accuracy), "of": len(TABLE_1)}},
    )


def _own_backgrounds(
    found: Tests,
    files: Mapping[tuple[str, Condition], Path],
    source: Path,
) -> list[dict[str, Any]]:
    """Count the tests that `pairwise_table` leaves out."""
    counts = {key: sum(test.own for test in tests) for key, tests in found.items()}
    if not any(counts.values()):
        return []
    return [
        {
            "stage": "results",
            "reason": "pair tests on a background of one of their own two classes, which the "
            "paper leaves out of its summary too",
            "count": sum(counts.values()),
            "examples": [
                f"{count} in {files[key].relative_to(source)}"
                for key, count in counts.items() if count
            ],
        }
    ]  # fmt: skip


def _configuration() -> dict[str, Any]:
    """Return how the pair tests were done (`swap_experiments/run_svm.py` at `table_1.ADDRESS`)."""
    return {
        "kind": KIND,
        "probe": "linear SVM, C = 1",
        "plan": {"folds": 5, "fold_scheme": "paper", "donors": "any"},
        "crops_per_class": CROPS_PER_CLASS,
    }


def _details(names: list[str], models: Mapping[str, str], files: dict[str, str]) -> dict[str, Any]:
    """Describe the run for `run.json`, with the fields that every run has."""
    source = {
        "kind": KIND,
        "simulated": False,
        "publication": table_1.PUBLICATION,
        "address": table_1.ADDRESS,
        "folder": table_1.RESULTS,
        "notes": [
            "Pair tests alone: no cells, crops, proteins or predictions.",
            "The files hold no counts. Cells are counted as the published code takes them, "
            f"{CROPS_PER_CLASS:,} of each class, where the accuracies agree with that.",
            table_1.EXPLANATION,
        ],
    }
    return {
        "kind": KIND,
        "simulated": False,
        "localizations": names,
        "conditions": [str(condition) for condition in PAPER_CONDITIONS],
        "protocols": [str(Protocol.REFIT)],
        "models": [
            {
                "name": model,
                "hash": digest,
                "dimension": None,
                "card": {
                    "name": model,
                    "network": model,
                    "layer": MODELS[model].layer,
                    "trained_on": "as published; the hash is of the result files",
                    "publication": table_1.PUBLICATION,
                    "address": table_1.ADDRESS,
                },
            }
            for model, digest in models.items()
        ],
        "store": {
            "path": KIND,
            "fingerprint": fingerprint(models),
            "source": {**source, "files": files},
            "channels": [],
            "counts": {"cells": 0, "usable": 0, "windows": 0},
            "rejections": [],
        },
        "configuration": _configuration(),
        "device": {"type": "none", "name": "read from files", "threads": 1},
        "versions": {
            "python": platform.python_version(),
            **{library: version(library) for library in LIBRARIES},
        },
        "command": command_line(),
    }
