"""What a run holds and left out, as tables; and whole tables to take away."""

import io
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from compute.schema import CELL_FLAGS, TRIAL_FLAGS
from compute.storage import spreadsheet
from compute.storage.paths import PER_MODEL, RunPaths
from dashboard.queries.comparable_runs import PUBLISHED
from dashboard.queries.open_runs import MissingTableError, Run
from dashboard.queries.open_runs import contents as contents

MADE = {
    ("plan.fold_scheme", "grouped"): "A fold holds out whole proteins: no probe is asked about "
    "cells of a protein that it was fitted on.",
    ("plan.fold_scheme", "paper"): "A fold holds out single cells: a probe may have been fitted on "
    "other cells of the protein that it is asked about.",
    ("plan.donors", "fold"): "Donors come from the centre cell's own fold, so a background is as "
    "new to the probe as the cell.",
    ("plan.donors", "any"): "Donors come from any fold, so a probe may have been fitted on crops "
    "of the protein that the background comes from.",
    ("embed.paste", "glow"): "The cell takes its own glow along across the edge of its mask.",
    ("embed.paste", "hard"): "The cell ends at the edge of its mask, as in the paper.",
    ("embed.donor_centre", "remove"): "The donor's own cell is removed and the hole filled with "
    "medium.",
    ("embed.donor_centre", "paper"): "The donor's own cell is left in, as in the paper, and may "
    "look out from behind the pasted one.",
}
"""What a setting of a run (its place in the configuration, its value) means."""

NO_CSV = ("examples", "mosaic", "embeddings")
"""Tables of images and vectors, which a CSV file cannot hold well."""

MANY = 20
"""Values of a list from which on the rest is counted."""

LARGEST = 200 * 2**20
"""Bytes of Parquet from which a table is taken from its folder instead."""


def source_of(run: Run) -> str:
    """Return where numbers come from, in one line, for files that leave the page."""
    kind = "simulated cells" if run.simulated else "real cells"
    if run.meta.get("kind") == PUBLISHED:
        kind = "a publication's numbers"
    mark = str(run.meta.get("fingerprint", "unfinished"))
    return f"Bystander, run “{run.title}” ({kind}, {mark})."


def folds_and_donors(meta: Mapping[str, Any]) -> list[str]:
    """Say how folds, donors and composites were made, a sentence each; what is not known is not.

    Parameters
    ----------
    meta
        Content of `run.json`.
    """
    configuration: Any = meta.get("configuration") or {}
    settings = dict(flat(configuration))
    said = [text for (place, value), text in MADE.items() if settings.get(place) == value]
    if "plan.folds" in settings:
        said.insert(0, f"{settings['plan.folds']} folds at most.")
    return said


def flags(run: Run) -> pd.DataFrame:
    """Count the quality flags of cells and trials.

    Returns
    -------
    pandas.DataFrame
        ``of`` (cells or trials)``, flag, meaning, count, total``.
    """
    rows = []
    for of, meanings in (("cells", CELL_FLAGS), ("trials", TRIAL_FLAGS)):
        if not run.has(of):
            continue
        for flag, meaning in meanings.items():
            found = run.query(
                f"""SELECT count(*) FILTER (WHERE flags & $flag <> 0) AS n, count(*) AS total
                    FROM {{{of}}}""",
                (of,),
                {"flag": int(flag)},
            )
            name = str(flag.name).lower().replace("_", " ")
            rows.append((of, name, meaning, int(found["n"].iloc[0]), int(found["total"].iloc[0])))
    return pd.DataFrame(rows, columns=["of", "flag", "meaning", "count", "total"])


def trials_by_condition(run: Run) -> pd.DataFrame:
    """Count the trials of each condition.

    Returns
    -------
    pandas.DataFrame
        ``condition, trials, cells, flagged``.
    """
    return run.query("SELECT * FROM {trial_counts} ORDER BY condition", ("trial_counts",))


def rejections(meta: Mapping[str, Any]) -> pd.DataFrame:
    """Return everything that was left out, as `run.json` and the store record it.

    Returns
    -------
    pandas.DataFrame
        ``stage, reason, count, examples`` (one text).
    """
    rows = []
    for stage, items in (
        ("import", meta.get("store", {}).get("rejections", [])),
        ("run", meta.get("rejections", [])),
    ):
        for item in items:
            examples = "; ".join(str(example) for example in item.get("examples", []))
            rows.append(
                (
                    str(item.get("stage", stage)),
                    str(item.get("reason", "")),
                    int(item.get("count", 0)),
                    examples,
                )
            )
    return pd.DataFrame(rows, columns=["stage", "reason", "count", "examples"])


def flat(content: Mapping[str, Any], place: str = "") -> list[tuple[str, str]]:
    """Return nested settings as ``(dotted name, value)``."""
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        name = f"{place}.{key}" if place else str(key)
        if isinstance(value, Mapping) and value:
            rows += flat(value, name)
        else:
            rows.append((name, _listed(value) if isinstance(value, list) else str(value)))
    return rows


def _listed(values: list[Any]) -> str:
    start = ", ".join(map(str, values[:MANY]))
    return start if len(values) <= MANY else f"{len(values):,}: {start}, …"


def as_parquet(run: Run, table: str) -> bytes:
    """Return a whole table as one Parquet file.

    Raises
    ------
    MissingTableError
        The run does not have it.
    """
    buffer = io.BytesIO()
    pq.write_table(_whole(run, table), buffer, compression="zstd", row_group_size=50_000)
    return buffer.getvalue()


def as_csv(run: Run, table: str) -> bytes:
    """Return a whole table as CSV (UTF-8); lists are written as JSON-like text."""
    if table in NO_CSV:
        raise ValueError(f"{table} holds images or vectors; take it as Parquet")
    return spreadsheet.as_csv(_whole(run, table).to_pandas()).encode()


def _whole(run: Run, table: str) -> pa.Table:
    files = run.files(table)
    if not files:
        raise MissingTableError(table, run)
    layout = "hive" if table in PER_MODEL else None
    base = str(RunPaths(run.path).folder(table)) if layout else None
    return ds.dataset(files, partitioning=layout, partition_base_dir=base).to_table()
