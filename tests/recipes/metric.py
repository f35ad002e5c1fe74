"""A metric on the page Accuracy: half the width of each drop's interval."""

from tests.recipes.toy import Edit, Toy

QUERY = '''def half_widths(run: Run, chosen: AccuracyFilter) -> pd.DataFrame:
    """Return how far each drop's interval reaches to either side.

    Returns
    -------
    pandas.DataFrame
        ``model, condition, half_width, n_cells, n_proteins``; empty where the run was made before
        this was computed.
    """
    names = ["model", "condition", "half_width", "n_cells", "n_proteins"]
    if not set(names) <= set(run.query("SELECT * FROM {effects} LIMIT 0", ("effects",)).columns):
        return pd.DataFrame(columns=names)
    where = chosen.clause()
    return run.query(
        f"""
        SELECT {", ".join(names)} FROM {{effects}}
        WHERE {where.sql} AND scope = 'overall' AND effect = 'drop' AND half_width IS NOT NULL
          AND condition IN $conditions
        ORDER BY half_width DESC
        """,
        ("effects",),
        {**where.values, "conditions": list(chosen.conditions)},
    )


'''

CHART = '''def half_widths(table: pd.DataFrame) -> Chart:
    """Draw how far each drop's interval reaches to either side.

    Parameters
    ----------
    table
        From `queries.accuracy.half_widths`.
    """
    rows = wording.records(table)
    marks = model_marks(table["model"])
    dots = tuple(
        Points("", (float(place),), (float(row.half_width),), marks[row.model].ink)
        for place, row in enumerate(rows)
    )
    panel = Panel(
        Axis("", tuple(f"{model_title(r.model)}, {condition_title(r.condition)}" for r in rows)),
        Axis("Half the interval's width, points of accuracy", unit="points"),
        dots,
        height=360,
    )
    if not rows:
        return Chart("half_widths", "How sure the drops are was not computed", "", (), "")
    top = rows[0]
    title = f"The least certain drop is known to ± {wording.points(top.half_width)}"
    return Chart("half_widths", title, f"{wording.tested_on(top)}.", (panel,), title)


'''

FIGURE = """HALF_WIDTHS = Figure(
    "half_widths",
    "How sure the drops are",
    query=lambda asked: asked.query(accuracy.half_widths, asked.accuracy),
    chart=lambda asked, table: charts.half_widths(table),
    columns=lambda asked, table: {
        "model": tables.MODEL,
        "condition": tables.CONDITION,
        "half_width": Column("±, points", Written.POINTS),
        "n_cells": tables.CELLS,
    },
    tables=("effects",),
    absent="how sure the drops are",
)

"""

TOY = Toy(
    recipe="A metric on the page Accuracy",
    edits=(
        Edit(
            "compute/schema/runs.py",
            '        ("half_width", _f64),\n',
            before="""    ]
)
\"\"\"Drops, net drops (per condition) and background gaps, paired within protein.""",
        ),
        Edit(
            "compute/statistics/effect_rows.py",
            '            row["half_width"] = (high - low) / 2\n',
            before="            if a is None:\n                alone =",
        ),
        Edit("dashboard/queries/accuracy.py", QUERY, before="def equivalence(run: Run"),
        Edit("dashboard/charts/accuracy.py", CHART, before="def protocols(table"),
        Edit("dashboard/figures/accuracy.py", FIGURE, before="FIGURES = (FINDING"),
        Edit(
            "dashboard/figures/accuracy.py",
            "HALF_WIDTHS, ",
            before="GRID, SENSITIVITY",
        ),
        Edit(
            "dashboard/figures/accuracy.py",
            ", HALF_WIDTHS",
            before=')\n"""Shown on the page Accuracy',
        ),
        Edit(
            "docs/method.md",
            "`effects` also has `half_width`, half the width of each interval.\n\n",
            before="## 15. References",
        ),
    ),
    tests=(
        "tests/compute/test_schema.py",
        "tests/compute/statistics/test_effect_rows.py",
        "tests/dashboard/figures",
    ),
    script="""
import tempfile
from pathlib import Path
from compute import BootstrapConfig, PlanConfig, RunConfig, run, simulate
from dashboard import write_report

folder = Path(tempfile.mkdtemp())
simulate(folder / "store", proteins_per_class=2, cells_per_protein=4, seed=1, workers=1)
config = RunConfig(
    plan=PlanConfig(conditions=("masked",), folds=2), bootstrap=BootstrapConfig(100, 100)
)
run(folder / "store", folder / "run", models=["pifia"], config=config, jobs=1)
report = write_report(folder / "run", folder / "report.html", figures="half_widths")
assert "The least certain drop is known to" in report.titles[0], report
write_report("data/demo", folder / "demo.html", figures="accuracy")
""",
)
