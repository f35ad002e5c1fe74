"""How each figure is made: a checked request in, a slide out."""

from typing import Any

import pandas as pd

from compute.paper.table_1 import EXPLANATION
from compute.schema import Aggregation
from compute.statistics.config import ALPHA
from dashboard import theme, wording
from dashboard.charts import accuracy as accuracy_charts
from dashboard.charts import answers as answer_charts
from dashboard.charts import calibration as calibration_charts
from dashboard.charts import compare as compare_charts
from dashboard.charts import proteins as protein_charts
from dashboard.queries import accuracy, answers, comparable_runs, compare, proteins
from dashboard.queries.filters import ShiftFilter
from dashboard.report import crops, keys
from dashboard.report.requests import Request
from dashboard.report.slides import (
    COUNT,
    NUMBER,
    PERCENT,
    POINTS,
    WORDS,
    Grid,
    Slide,
    grid_of,
    written,
)
from dashboard.report.slides import of_chart as slide

SWAP = ("unaltered", "masked", "same", "different")
"""Backgrounds of the explaining figure, those that a run has."""

OVERALL = {
    "model": ("Model", WORDS),
    "condition": ("Condition", WORDS),
    "estimate": ("Accuracy", PERCENT),
    "ci_low": ("from", PERCENT),
    "ci_high": ("to", PERCENT),
    "drop_estimate": ("Drop, points", POINTS),
    "n_cells": ("Cells", COUNT),
    "n_proteins": ("Proteins", COUNT),
}


def _titled(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with models and conditions by title."""
    named = {}
    if "model" in table:
        named["model"] = table["model"].map(lambda name: theme.model_title(name, short=True))
    if "condition" in table:
        named["condition"] = table["condition"].map(theme.condition_title)
    return table.assign(**named)


def _definitions(*conditions: str) -> tuple[str, ...]:
    return tuple(wording.definition(name) for name in theme.in_order(conditions))


def finding_figure(asked: Request) -> Slide:
    """Say the finding in words, with a table."""
    table = asked.ask(asked.run, accuracy.overall, asked.accuracy)
    gaps = asked.ask(asked.run, accuracy.gaps, asked.accuracy)
    if table.empty:
        return Slide(asked.key, "No accuracy was computed: this run has no labelled cells", "")
    said = [wording.drop_finding(table), wording.gap_finding(gaps), wording.conflict_finding(table)]
    if Aggregation.PUBLISHED in (asked.aggregation, asked.run.meta.get("kind")):
        said.append(EXPLANATION)
    return Slide(
        asked.key,
        "Does the model answer from the cell, or from its neighbours?",
        asked.accuracy.sentence(),
        lines=tuple(line for line in said if line),
        grid=matrix(table),
        definitions=_definitions(*table["condition"].unique()),
    )


def accuracy_figure(asked: Request) -> Slide:
    """Draw accuracy by condition."""
    table = asked.ask(asked.run, accuracy.overall, asked.accuracy)
    chart = accuracy_charts.by_condition(
        table,
        asked.accuracy.sentence(),
        published="published" in asked.values,
        chance=asked.chance,
    )
    grid = grid_of(_titled(table), OVERALL)
    return slide(asked.key, chart, grid, _definitions(*table["condition"].unique()))


def gap_figure(asked: Request) -> Slide:
    """Draw the background gap."""
    table = asked.ask(asked.run, accuracy.gaps, asked.accuracy)
    columns = {
        "model": ("Model", WORDS),
        "estimate": ("Gap, points", POINTS),
        "ci_low": ("from", POINTS),
        "ci_high": ("to", POINTS),
        "p_holm": ("p (Holm)", NUMBER),
        "n_cells": ("Cells", COUNT),
        "n_proteins": ("Proteins", COUNT),
    }
    chart = compare_charts.gaps(table, asked.accuracy.sentence())
    return slide(
        asked.key, chart, grid_of(_titled(table), columns), _definitions("same", "different")
    )


def by_class_figure(asked: Request) -> Slide:
    """Draw each class against its unaltered accuracy."""
    table = asked.ask(asked.run, accuracy.by_class, asked.accuracy, asked.condition)
    columns = {
        "model": ("Model", WORDS),
        "localization": ("Localization", WORDS),
        "before": ("Unaltered", PERCENT),
        "after": (theme.condition_title(asked.condition), PERCENT),
        "after_low": ("from", PERCENT),
        "after_high": ("to", PERCENT),
        "n_cells": ("Cells", COUNT),
        "n_proteins": ("Proteins", COUNT),
    }
    chart = accuracy_charts.by_class(table, asked.condition, asked.accuracy.sentence())
    return slide(asked.key, chart, grid_of(_titled(table), columns), _definitions(asked.condition))


def protocols_figure(asked: Request) -> Slide:
    """Draw refit against frozen."""
    table = asked.ask(asked.run, accuracy.protocols, asked.accuracy)
    columns = {
        "model": ("Model", WORDS),
        "condition": ("Condition", WORDS),
        "refit": ("Drop, refit probe, points", POINTS),
        "frozen": ("Drop, frozen probe, points", POINTS),
        "n_cells": ("Cells", COUNT),
    }
    return slide(asked.key, accuracy_charts.protocols(table), grid_of(_titled(table), columns))


def grid_figure(asked: Request) -> Slide:
    """Draw centre class by background class, pair tests."""
    model, condition = asked.values["model"], asked.condition
    table = asked.ask(asked.run, accuracy.background_grid, asked.protocol, model, condition)
    return slide(asked.key, accuracy_charts.background_grid(table, model, condition), None)


def histogram_figure(asked: Request) -> Slide:
    """Draw proteins by shift."""
    model = asked.values["model"]
    chosen = ShiftFilter(asked.protocol, model, asked.condition, threshold=asked.threshold)
    table = asked.ask(asked.run, proteins.histogram, chosen)
    shares = asked.ask(asked.run, proteins.shares, asked.protocol, (model,), chosen.threshold)
    columns = {
        "low": ("Total variation from", NUMBER),
        "significant": (f"Proteins, q ≤ {ALPHA:g}", COUNT),
        "other": (f"Proteins, q > {ALPHA:g}", COUNT),
    }
    chart = protein_charts.histogram(table, shares, chosen)
    return slide(asked.key, chart, grid_of(table, columns), _definitions(asked.condition))


def curve_figure(asked: Request) -> Slide:
    """Draw the share of proteins over all thresholds."""
    table = asked.ask(asked.run, proteins.curve, asked.protocol, asked.condition, asked.models)
    chart = protein_charts.curve(table, asked.condition, asked.threshold)
    return slide(asked.key, chart, None, _definitions(asked.condition))


def shares_figure(asked: Request) -> Slide:
    """Draw the share of proteins by condition."""
    table = asked.ask(asked.run, proteins.shares, asked.protocol, asked.models, asked.threshold)
    table = table[table["condition"].isin(asked.conditions)]
    columns = {
        "model": ("Model", WORDS),
        "condition": ("Condition", WORDS),
        "shifted": ("Proteins shifted", COUNT),
        "n": ("of", COUNT),
        "share": ("Share", PERCENT),
    }
    chart = protein_charts.shares(table, asked.threshold)
    return slide(asked.key, chart, grid_of(_titled(table), columns))


def _distributions(asked: Request) -> pd.DataFrame:
    protein = asked.values["protein"]
    table = asked.ask(asked.run, proteins.distributions, protein, asked.protocol)
    table = table[table["model"].isin(asked.models)]
    return table[table["condition"].isin({*asked.conditions, "unaltered"})]


def protein_figure(asked: Request) -> Slide:
    """Draw one protein's distribution."""
    chart = protein_charts.before_and_after(
        _distributions(asked), asked.values["protein"], asked.condition
    )
    return slide(asked.key, chart, None, _definitions(asked.condition))


def protein_conditions_figure(asked: Request) -> Slide:
    """Draw one protein under every condition."""
    return slide(
        asked.key,
        protein_charts.all_conditions(_distributions(asked), asked.values["protein"]),
        None,
        _definitions(*asked.conditions),
    )


def moves_figure(asked: Request) -> Slide:
    """Draw how one protein's cells moved."""
    protein, condition = asked.values["protein"], asked.condition
    table = asked.ask(asked.run, proteins.moves, protein, asked.protocol, condition)
    table = table[table["model"].isin(asked.models)]
    chart = protein_charts.moves(table, protein, condition)
    return slide(asked.key, chart, None, _definitions(condition))


def swap_figure(asked: Request) -> Slide:
    """Show one cell on every background."""
    cell = asked.values.get("cell")
    found = int(cell) if cell else crops.telling_cell(asked.ask, asked.run, asked.protocol)
    if found is None:
        return Slide(asked.key, "This run stores no images", "")
    shown = tuple(name for name in SWAP if name in asked.conditions)
    pictures = crops.pictures(asked.ask, asked.run, found, shown, asked.models, asked.protocol)
    channel = asked.run.channels[0] if asked.run.channels else "first"
    changed = sum(one.changed for picture in pictures for one in picture.said)
    title = (
        "The same cell on other backgrounds: "
        + (f"{wording.count(changed, 'answer')} changed" if changed else "no answer changed")
        if any(picture.said for picture in pictures)
        else "The same cell on other backgrounds"
    )
    marks = theme.model_marks(asked.models)
    key = ", ".join(f"{marks[name].character} {theme.model_title(name)}" for name in asked.models)
    why = "it was asked for" if cell else "it shows a change"
    caption = (
        f"Cell {found:,}, the {channel} channel, true pixels; inside the yellow line not one pixel "
        f"changes. Below each: what the models say ({key}), with the probability; an arrow marks a "
        f"changed answer. n = 1 cell, chosen because {why}."
    )
    return Slide(asked.key, title, caption, pictures=pictures, definitions=_definitions(*shown))


def flips_figure(asked: Request) -> Slide:
    """Draw the answers that change."""
    table = asked.ask(asked.run, answers.flips, asked.accuracy)
    return slide(asked.key, answer_charts.flips(table))


def rescaling_figure(asked: Request) -> Slide:
    """Draw what a drop is made of."""
    table = asked.ask(asked.run, answers.rescaling, asked.models, asked.conditions)
    return slide(asked.key, answer_charts.rescaling(table))


def backgrounds_figure(asked: Request) -> Slide:
    """Draw centre class by background class, all classes at once."""
    model, condition = asked.values["model"], asked.condition
    table = asked.ask(asked.run, answers.backgrounds, asked.protocol, model, condition)
    kind: Any = asked.values["kind"]
    return slide(asked.key, answer_charts.backgrounds(table, model, condition, kind))


def calibration_figure(asked: Request) -> Slide:
    """Draw the calibration error."""
    table = asked.ask(asked.run, answers.calibration, asked.accuracy)
    return slide(asked.key, calibration_charts.by_condition(table))


def reliability_figure(asked: Request) -> Slide:
    """Draw the reliability diagram."""
    shown = ("unaltered", asked.condition)
    table = asked.ask(asked.run, answers.reliability, asked.protocol, asked.models, shown)
    return slide(asked.key, calibration_charts.reliability(table, asked.condition))


def _ground(asked: Request) -> comparable_runs.Ground:
    named = keys.split(asked.values.get("runs", "")) or (asked.run.key,)
    return comparable_runs.ground(asked.ask, [asked.open_runs[name] for name in named])


def _choice(asked: Request) -> tuple[str, str, str]:
    return asked.accuracy.protocol, asked.accuracy.probe, asked.accuracy.aggregation


BOARD = {
    "rank": ("", COUNT),
    "entry": ("Model", WORDS),
    "accuracy": ("Unaltered", PERCENT),
    "drop": ("Drop, points", POINTS),
    "drop_low": ("from", POINTS),
    "drop_high": ("to", POINTS),
    "gap": ("Gap, points", POINTS),
    "gap_low": ("from", POINTS),
    "gap_high": ("to", POINTS),
    "n_cells": ("Cells", COUNT),
    "n_proteins": ("Proteins", COUNT),
}
"""Columns of the leaderboard, here and on the command line."""


def board(table: pd.DataFrame, note: str = "") -> Grid:
    """Write a leaderboard in words."""
    return grid_of(table, BOARD, note)


def short_board(table: pd.DataFrame) -> Grid:
    """Write a leaderboard in words, each interval beside its number."""

    def both(row: Any, measure: str) -> str:
        value, low, high = (
            written(getattr(row, f"{measure}{end}"), POINTS) for end in ("", "_low", "_high")
        )
        return value if "–" in (low, high) else f"{value} ({low} to {high})"

    rows = tuple(
        (
            written(row.rank, COUNT),
            str(row.entry),
            written(row.accuracy, PERCENT),
            both(row, "drop"),
            both(row, "gap"),
            written(row.n_cells, COUNT),
            written(row.n_proteins, COUNT),
        )
        for row in wording.records(table)
    )
    return Grid(("", "Model", "Unaltered", "Drop", "Gap", "Cells", "Proteins"), rows)


def leaderboard_figure(asked: Request) -> Slide:
    """Draw the leaderboard."""
    found = _ground(asked)
    table = compare.leaderboard(
        asked.ask, found, _choice(asked), asked.condition, asked.values["sort"]
    )
    chart = compare_charts.leaderboard(table, asked.condition, asked.accuracy.sentence())
    grid = board(table, " ".join((*found.notes, *found.left_out)))
    return slide(asked.key, chart, grid, _definitions(asked.condition))


def _pair(asked: Request) -> tuple[comparable_runs.Entry, comparable_runs.Entry]:
    ends = [keys.split(asked.values[side]) for side in ("first", "second")]
    alone = ends[0][0] == ends[1][0]
    runs = asked.open_runs
    first, second = (comparable_runs.Entry(runs[run], model, alone) for run, model in ends)
    return first, second


def shift_pairs_figure(asked: Request) -> Slide:
    """Draw two models' shifts."""
    first, second = _pair(asked)
    table = compare.shift_pairs(
        asked.ask, first, second, asked.protocol, asked.condition, asked.threshold
    )
    chart = compare_charts.shift_pairs(
        table, first.title, second.title, asked.condition, asked.threshold
    )
    return slide(asked.key, chart, None, _definitions(asked.condition))


def class_pairs_figure(asked: Request) -> Slide:
    """Draw two models' drops by class."""
    first, second = _pair(asked)
    named = tuple(dict.fromkeys((first.run.key, second.run.key)))
    found = comparable_runs.ground(asked.ask, [asked.open_runs[name] for name in named])
    table = compare.class_pairs(asked.ask, found, first, second, _choice(asked), asked.condition)
    chart = compare_charts.class_pairs(table, first.title, second.title, asked.condition)
    return slide(asked.key, chart, None, _definitions(asked.condition))


def matrix(table: pd.DataFrame) -> Grid:
    """Write accuracy in percent, a row a model, a column a condition.

    Parameters
    ----------
    table
        From `queries.accuracy.overall`.
    """
    conditions = theme.in_order(table["condition"].unique())
    value = {(row.model, row.condition): row.estimate for row in wording.records(table)}
    rows = tuple(
        (
            theme.model_title(model, short=True),
            *(wording.percent(value.get((model, condition))) for condition in conditions),
        )
        for model in theme.models_in_order(table["model"].unique())
    )
    return Grid(("Accuracy", *(theme.condition_title(name) for name in conditions)), rows)
