"""What a run found, in one file: for a leaderboard (JSON), a spreadsheet (CSV) or a paper (LaTeX).

Layer: reads the header and the summary tables of a finished run; writes one file.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from compute.errors import InputError, UsageError
from compute.schema import Aggregation, Condition, Effect, Probe, Quantity
from compute.storage.atomic_files import fingerprint, write_json, writing
from compute.storage.run_directory import RunDirectory
from compute.storage.spreadsheet import as_csv

ENDINGS = (".json", ".csv", ".tex")
"""What the file may be called, by which its format is chosen."""

CROPS = ("harmonise", "donor_centre", "paste", "normalisation", "mask_shift")
"""Settings of embedding that decide what a model is shown."""

HEADLINES = (
    (Quantity.ACCURACY, Condition.UNALTERED, "Unaltered"),
    (Effect.DROP, Condition.DIFFERENT, "Drop"),
    (Effect.NET, Condition.DIFFERENT, "Net of sham"),
    (Effect.GAP, Condition.DIFFERENT, "Gap"),
    (Quantity.ACCURACY, Condition.BACKGROUND_ONLY, "Background only"),
)
"""Quantity, condition and heading of what a paper's table has, where a run measured it."""

KEYS = ["model", "probe", "protocol", "quantity", "condition"]
NUMBERS = ["estimate", "ci_low", "ci_high", "unit", "donor_seen", "n_cells", "n_proteins"]

_IN_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip


def export_summary(run: Path | str, out: Path | str) -> Path:
    """Write what a finished run found, and what decides it.

    Accuracies and their differences are shares with the run's intervals, over all classes and, of
    pair tests, over every pair.

    Parameters
    ----------
    run
        The finished run.
    out
        The file; what is there is replaced. ``.json`` has the header (cards, hashes of weights,
        store, plan, versions), every number, and the remedies that were tried: its ``trials`` is
        the same in two files only where models were shown the same crops under the conditions that
        both have, and null in a publication's. ``.csv`` has the numbers, a row each; ``.tex`` the
        headlines as a table for LaTeX (package ``booktabs``), in points.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UsageError
        The file is called otherwise, or the run is not finished.
    InputError
        The run has no accuracies, for it has no labelled cells, or a table cannot be read.

    Examples
    --------
    >>> from compute import export_summary
    >>> export_summary("my-run", "summary.json").name
    'summary.json'
    """
    path, opened = Path(out), RunDirectory(run)
    if path.suffix not in ENDINGS:
        raise UsageError(f"{path} ends in neither {', '.join(ENDINGS)}.", "Call it so.")
    if not opened.complete:
        raise UsageError(f"{run} is not finished.", "Finish it with the command that began it.")
    numbers = findings(opened)
    if numbers.empty:
        raise InputError(
            f"{run} has no accuracies, for it has no labelled cells.",
            "Give a run with labelled proteins.",
        )
    if path.suffix == ".json":
        write_json(path, summary(opened, numbers))
    else:
        text = as_csv(numbers) if path.suffix == ".csv" else latex(numbers)
        with writing(path) as temporary:
            temporary.write_text(text, "utf-8")
    return path


def findings(run: RunDirectory) -> pd.DataFrame:
    """Return the accuracies and their differences of a finished run over all classes.

    Returns
    -------
    pandas.DataFrame
        `KEYS` and `NUMBERS`, a row a number.
    """
    parts = []
    for table, column in (("accuracy", None), ("effects", "effect")):
        rows = run.read(table).to_pandas()
        rows = rows[(rows["scope"] == "overall") & (rows["aggregation"] == str(Aggregation.ALL))]
        quantity = str(Quantity.ACCURACY) if column is None else rows[column]
        parts.append(rows.assign(quantity=quantity)[[*KEYS, *NUMBERS]])
    return pd.concat(parts, ignore_index=True)


def summary(run: RunDirectory, numbers: pd.DataFrame) -> dict[str, Any]:
    """Return what a summary in JSON says of a run.

    Parameters
    ----------
    run
        The finished run.
    numbers
        From `findings`.
    """
    meta = run.meta
    settings = meta.get("configuration", {})
    shown = {name: settings.get("embed", {}).get(name) for name in CROPS}
    store = meta.get("store", {})
    # A trial is the same whatever other conditions a run has.
    plan = {k: v for k, v in (settings.get("plan") or {}).items() if k != "conditions"}
    decides = {"store": store.get("fingerprint"), "plan": plan, "crops": shown}
    return {
        "bystander_version": meta["bystander_version"],
        "versions": meta.get("versions", {}),
        "run": {key: meta.get(key) for key in ("name", "fingerprint", "finished", "simulated")},
        "store": {key: store.get(key) for key in ("fingerprint", "channels", "size", "counts")},
        "plan": settings.get("plan"),
        "crops": shown,
        "trials": fingerprint(decides) if plan else None,
        "localizations": meta["localizations"],
        "models": [
            {
                "name": model["name"],
                "hash": model["hash"],
                "weights_sha256": model.get("card", {}).get("sha256"),
                "baseline": model.get("baseline"),
                "card": model.get("card", {}),
                "numbers": _plain(numbers[numbers["model"] == model["name"]], KEYS[1:]),
            }
            for model in meta["models"]
        ],
        "remedies": _remedies(run),
    }


def latex(numbers: pd.DataFrame) -> str:
    """Write the headlines as a table for LaTeX: a row a model, probe and protocol, in points."""
    headings = ["Model", "Probe", "Protocol"]
    there = {
        (quantity, condition)
        for quantity, condition in numbers[["quantity", "condition"]].itertuples(index=False)
    }
    columns = [each for each in HEADLINES if (str(each[0]), str(each[1])) in there]
    headings += [heading for *_, heading in columns]
    lines = [
        r"\begin{tabular}{lll" + "r" * len(columns) + "}",
        r"\toprule",
        " & ".join(map(_escaped, headings)) + r" \\",
        r"\midrule",
    ]
    usual = numbers[numbers["probe"].isin([str(Probe.PAIR), str(Probe.MULTICLASS)])]
    for names, rows in usual.groupby(["model", "probe", "protocol"], sort=False):
        cells = [_escaped(str(name)) for name in names]
        for quantity, condition, _ in columns:
            one = rows[(rows["quantity"] == str(quantity)) & (rows["condition"] == str(condition))]
            cells.append(_points(one.iloc[0]) if len(one) else "--")
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _points(row: "pd.Series[Any]") -> str:
    """Write a share in points with its interval, as mathematics, so that minus signs are such."""
    if pd.isna(row["estimate"]):
        return "--"
    text = f"${100 * row['estimate']:.1f}$"
    if pd.notna(row["ci_low"]) and pd.notna(row["ci_high"]):
        text += f" (${100 * row['ci_low']:.1f}$ to ${100 * row['ci_high']:.1f}$)"
    return text.replace("$-0.0$", "$0.0$")


def _escaped(text: str) -> str:
    """Write a text for LaTeX, on one line."""
    one = re.sub(r"\s+", " ", text)
    return "".join(_IN_LATEX.get(character, character) for character in one)


def _remedies(run: RunDirectory) -> list[Mapping[str, Any]]:
    """Return the rows of the table `remedies`; none where none were tried."""
    if not run.summary("remedies").is_file():
        return []
    table = run.read("remedies").to_pandas()
    return _plain(table, list(table.columns))


def _plain(rows: pd.DataFrame, keys: list[str]) -> list[Mapping[str, Any]]:
    """Return rows as objects that JSON holds: null for what is missing."""
    names = [*keys, *(name for name in NUMBERS if name in rows and name not in keys)]
    return list(_without_nan(rows[names]))


def _without_nan(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in rows.astype(object).to_dict("records"):
        yield {str(key): None if pd.isna(value) else value for key, value in row.items()}
