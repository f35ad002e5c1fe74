"""Draw every figure of `docs/method.md` into `docs/figures`, fill in its table (`make figures`).

The same inputs give the same bytes: simulated crops, `data/demo` and `docs/coverage.csv`.
"""

import sys
from pathlib import Path

import draw_crops
import draw_results
import pandas as pd
from drawing import save, settings

from compute.bench.config import SimulationConfig
from compute.bench.intervals import HOLDS
from compute.bench.judging import MOST

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "figures"
DEMO = ROOT / "data" / "demo"
COVERAGE = ROOT / "docs" / "coverage.csv"
PAGE = ROOT / "docs" / "method.md"
USUAL = SimulationConfig.data_sets
"""Data sets of a simulation; where a row rests on others, their number is written."""


def measured(table: Path) -> str:
    """Write what was measured as a Markdown table: all tests, and intervals of accuracies.

    Of answers on shared donors only those on the least alike are shown.
    """
    rows = pd.read_csv(table)
    rows = rows[~rows["setting"].str.contains("donors") | rows["setting"].str.contains(MOST)]
    shown = rows[(rows["counted"] != HOLDS) | rows["estimator"].str.contains("tests|cells|error")]
    lines = ["| what | data sets | counted | measured | promised |", "|---|---|---|---|---|"]
    for row in shown.itertuples():
        promised = "" if pd.isna(row.most) else f"≤ {row.most:.0%}"
        if not pd.isna(row.least):
            most = "" if pd.isna(row.most) else f" to {row.most:.0%}"
            promised = f"{row.least:.0%}{most}" if most else f"≥ {row.least:.0%}"
        share = f"{row.share:.1%} ± {row.error:.1%}"
        share += "" if row.data_sets == USUAL else f" ({row.data_sets} data sets)"
        lines.append(f"| {row.estimator} | {row.setting} | {row.counted} | {share} | {promised} |")
    return "\n".join(lines)


def fill(page: Path, text: str) -> None:
    """Put text between a page's marks."""
    first, last = "<!-- measured -->", "<!-- /measured -->"
    before, rest = page.read_text("utf-8").split(first)
    page.write_text(f"{before}{first}\n{text}\n{last}{rest.split(last)[1]}", "utf-8")


def main(work: Path) -> None:
    """Draw all figures; the demo's crops are simulated below `work` if they are not there."""
    OUT.mkdir(exist_ok=True)
    demo = draw_crops.open_demo(work)
    with settings():
        for name, figure in {
            "conditions": draw_crops.conditions(demo),
            "composing": draw_crops.composing(demo),
            "rescaling": draw_crops.rescaling(demo),
            "folds": draw_results.folds(),
            "drop_and_gap": draw_results.drop_and_gap(DEMO),
            "shift": draw_results.shift(DEMO),
            "calibration": draw_results.calibration(DEMO),
            "coverage": draw_results.coverage(COVERAGE),
        }.items():
            save(figure, OUT / f"{name}.png")
    fill(PAGE, measured(COVERAGE))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "figures")
