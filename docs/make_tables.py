"""Write tables of the demo into pages: ``python docs/make_tables.py data/demo`` (`make demo-data`).

Its findings under other settings stand in docs/method.md, its remedies in docs/remedies.md, each
between two comments. They are made of the tables `sensitivity` and `remedies` of the run.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from compute import RunDirectory
from compute.schema import REMEDIES_IN_WORDS, Choice, Remedy
from dashboard.charts.sensitivity import setting_title
from dashboard.theme import model_title, models_in_order
from dashboard.wording import records

DOCS = Path(__file__).resolve().parent
FINDINGS = {("gap", "different"): "Background gap", ("drop", "different"): "Drop, `different`"}


def main() -> None:
    """Read a run's tables and write them into the pages."""
    run = RunDirectory(sys.argv[1])
    pages = {"sensitivity": ("method.md", settings), "remedies": ("remedies.md", remedies)}
    for name, (page, written) in pages.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        text = (DOCS / page).read_text("utf-8")
        before, rest = text.split(start)
        _, after = rest.split(end)
        table = written(run.read(name).to_pandas())
        (DOCS / page).write_text(f"{before}{start}\n{table}{end}{after}", "utf-8")


SAID = (
    ("accuracy", "unaltered", "unaltered"),
    ("drop", "different", "drop"),
    ("gap", "different", "gap"),
    ("accuracy", "background_only", "background alone"),
    ("worst_case", "different", "right on all"),
)
"""Quantity, condition and heading of each column of the remedies' table."""


def remedies(table: pd.DataFrame) -> str:
    """Return a row a model and remedy."""
    heads = ("model", "remedy", *(head for _, _, head in SAID), "passes", "mask in use")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for model in models_in_order(table["model"].unique()):
        for remedy in Remedy:
            rows = records(table[(table["model"] == model) & (table["remedy"] == str(remedy))])
            spec = REMEDIES_IN_WORDS[remedy]
            by = {(row.quantity, row.condition): row for row in rows if row.applies}
            cells = [_share(by.get((quantity, of))) for quantity, of, _ in SAID]
            cost = [str(rows[0].passes), "yes" if spec.needs_mask else "no"]
            lines.append(f"| {' | '.join([model_title(model), f'`{remedy}`', *cells, *cost])} |")
    return "\n".join(lines) + "\n"


def _share(row: Any) -> str:
    """Write a share in percent or points, with its interval."""
    if row is None:
        return "–"
    text = f"{100 * row.estimate:.1f}"
    if pd.notna(row.ci_low) and row.ci_low < row.ci_high:
        text += f" ({100 * row.ci_low:.1f} to {100 * row.ci_high:.1f})"
    return text.replace("-0.0", "0.0").replace("-", "−")


def settings(table: pd.DataFrame) -> str:
    """Return one finding below the other, a row a setting, a column a model."""
    models = models_in_order(table["model"].unique())
    table = table[(table["probe"] == "multiclass") & (table["protocol"] == "frozen")]
    order = {str(choice): place for place, choice in enumerate(Choice)}
    table = table.assign(place=table["choice"].map(order)).sort_values(
        ["place", "shift", "is_base"], ascending=[True, True, False], kind="stable"
    )
    lines = [
        "| finding, points | setting | " + " | ".join(map(model_title, models)) + " |",
        "|---" * (2 + len(models)) + "|",
    ]
    for (quantity, condition), title in FINDINGS.items():
        some = table[(table["quantity"] == quantity) & (table["condition"] == condition)]
        for _, rows in some.groupby(["choice", "setting"], sort=False):
            cell = {row.model: _cell(row) for row in records(rows)}
            first = records(rows)[0]
            own = " (the run's own)" if first.is_base else ""
            named = setting_title(first)
            values = " | ".join(cell.get(model, "–") for model in models)
            lines.append(f"| {title} | {named}{own} | {values} |")
    return "\n".join(lines) + "\n"


def _cell(row: Any) -> str:
    """Write an estimate with its interval, and how far it is from the run's own."""
    text = f"{100 * row.estimate:.1f} ({100 * row.ci_low:.1f} to {100 * row.ci_high:.1f})"
    if not row.is_base:
        text += f"; {100 * row.difference:+.1f}"
        if pd.notna(row.difference_low):
            text += f" ({100 * row.difference_low:+.1f} to {100 * row.difference_high:+.1f})"
    return text.replace("-0.0", "0.0").replace("+0.0", "0.0").replace("-", "−")


if __name__ == "__main__":
    main()
