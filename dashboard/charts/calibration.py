"""Tables of calibration to chart descriptions: the error by condition, the reliability diagram."""

import pandas as pd

from compute.schema import CALIBRATION_MEASURES, Calibration
from dashboard import wording
from dashboard.charts.accuracy import sample_size, spread_out, tuples
from dashboard.charts.description import Axis, Chart, Layer, Panel, Points, Rule
from dashboard.queries.answers import expected_error
from dashboard.theme import condition_ink, condition_title, in_order, model_marks, model_title


def by_condition(table: pd.DataFrame) -> Chart:
    """Draw the calibration error by condition: filled without a temperature, open with one.

    Parameters
    ----------
    table
        From `queries.answers.calibration`.
    """
    table = table[table["measure"] == Calibration.ECE]
    conditions = in_order(table["condition"].unique())
    place = {name: i for i, name in enumerate(conditions)}
    marks = model_marks(table["model"])
    models = sorted(table["model"].unique(), key=list(marks).index)
    layers: list[Layer] = []
    for model, offset in zip(models, spread_out(len(models)), strict=True):
        for fitted in (False, True):
            rows = table[(table["model"] == model) & (table["fitted"] == fitted)]
            if rows.empty:
                continue
            layers.append(
                Points(
                    model_title(model) + (", temperature fitted" if fitted else ""),
                    tuple(place[c] + offset + 0.05 * fitted for c in rows["condition"]),
                    tuples(rows["estimate"]),
                    marks[model].ink,
                    tuples(rows["ci_low"]),
                    tuples(rows["ci_high"]),
                    symbol=marks[model].symbol,
                    open_=fitted,
                    size=10,
                    hover=tuple(
                        f"{model_title(model)}, {condition_title(row.condition)}\n"
                        f"calibration error {wording.percent(row.estimate)}"
                        f" at temperature {row.temperature:.2f}\n"
                        f"{wording.interval(row.ci_low, row.ci_high)}\n{wording.tested_on(row)}"
                        for row in wording.records(rows)
                    ),
                )
            )
    top = float(max(table["ci_high"].max(), table["estimate"].max())) if len(table) else 0.1
    panel = Panel(
        Axis("", tuple(condition_title(c) for c in conditions)),
        Axis("Expected calibration error", range=(0, 1.08 * top), unit="points"),
        tuple(layers),
        height=380,
    )
    caption = (
        f"{CALIBRATION_MEASURES[Calibration.ECE].capitalize()}; 0 is best. Open marks: after "
        "scaling by a temperature fitted on unaltered crops. "
        f"{wording.unit_note(table)} {sample_size(table)}"
    )
    return Chart("calibration", error_title(table), caption, (panel,) if layers else ())


def error_title(table: pd.DataFrame) -> str:
    """Return a title on where probabilities promise most too much."""
    rows = expected_error(table)
    before = rows[rows["condition"] == "unaltered"].set_index("model")["estimate"]
    worst = wording.worst(rows)
    if worst is None:
        return "Whether probabilities mean what they say"
    start = (
        f"{model_title(worst.model)}'s probabilities are {wording.points(worst.estimate)} off on "
        f"average {wording.on_background(worst.condition)}"
    )
    if worst.model in before.index:
        return f"{start}, {wording.points(before[worst.model])} unaltered"
    return start


def reliability(table: pd.DataFrame, condition: str) -> Chart:
    """Draw the share of right answers by the highest probability, a panel for each model.

    Parameters
    ----------
    table
        From `queries.answers.reliability`: `unaltered` and a condition.
    """
    marks = model_marks(table["model"])
    panels, gaps = [], []
    for model in sorted(table["model"].unique(), key=list(marks).index):
        layers: list[Layer] = [Rule("diagonal")]
        for name in ("unaltered", condition):
            rows = table[(table["model"] == model) & (table["condition"] == name)]
            if rows.empty:
                continue
            layers.append(
                Points(
                    condition_title(name),
                    tuples(rows["confidence"]),
                    tuples(rows["accuracy"]),
                    condition_ink(name),
                    symbol=marks[model].symbol,
                    open_=name == "unaltered",
                    line=True,
                    width=1.4,
                    dash="dot" if name == "unaltered" else "solid",
                    size=9,
                    hover=tuple(
                        f"{model_title(model)}, {condition_title(name)}\n"
                        f"says {wording.percent(row.confidence, 0)}, right "
                        f"{wording.percent(row.accuracy, 0)}\nn = {wording.count(row.n, 'trial')} "
                        f"of {wording.count(row.n_cells, 'cell')}"
                        for row in wording.records(rows)
                    ),
                )
            )
            if name == condition and rows["n"].sum():
                over = ((rows["confidence"] - rows["accuracy"]) * rows["n"]).sum()
                gaps.append((float(over / rows["n"].sum()), model))
        panels.append(
            Panel(
                Axis("Probability given", range=(0, 1.02), unit="%"),
                Axis("Right answers", range=(0, 1.02), unit="%"),
                tuple(layers),
                model_title(model),
                height=360,
                square=True,
            )
        )
    title = "Nothing to compare here"
    if gaps:
        gap, model = max(gaps)
        word = "too sure" if gap > 0 else "not sure enough"
        title = (
            f"{model_title(model)} is {word} by {wording.points(abs(gap))} "
            f"{wording.on_background(condition)}"
        )
    caption = (
        "Trials in ten bins of the highest probability: on the dashed diagonal 80% means right "
        "eight times in ten; below it the model is too sure. Multi-class probe. "
        f"n = {wording.count(table['n'].sum(), 'trial')} over all bins."
    )
    return Chart("reliability", title, caption, tuple(panels))
