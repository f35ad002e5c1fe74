"""Write the demo's findings under other settings into docs/method.md (`make demo-data`).

The table stands between two comments; it is made of the table `sensitivity` of a run:
``python docs/make_sensitivity.py data/demo``.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from compute import RunDirectory
from compute.schema import Choice
from dashboard.charts.sensitivity import setting_title
from dashboard.theme import model_title, models_in_order
from dashboard.wording import records

METHOD = Path(__file__).resolve().parent / "method.md"
START, END = "<!-- sensitivity -->", "<!-- /sensitivity -->"
FINDINGS = {("gap", "different"): "Background gap", ("drop", "different"): "Drop, `different`"}


def main() -> None:
    """Read a run's table and write it into the page."""
    table = RunDirectory(sys.argv[1]).read("sensitivity").to_pandas()
    text = METHOD.read_text("utf-8")
    before, rest = text.split(START)
    _, after = rest.split(END)
    METHOD.write_text(f"{before}{START}\n{written(table)}{END}{after}", "utf-8")


def written(table: pd.DataFrame) -> str:
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
