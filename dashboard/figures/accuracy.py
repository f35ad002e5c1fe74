"""Figures of accuracy: the finding in words, by condition, by class, by protocol, by background."""

from dataclasses import replace
from typing import Any

import pandas as pd

from compute.paper.table_1 import EXPLANATION
from compute.schema import (
    EFFECTS_IN_WORDS,
    LOCALIZATIONS,
    Aggregation,
    Condition,
    Effect,
    Probe,
    Protocol,
)
from compute.statistics.aggregation import UNIT
from dashboard import theme, wording
from dashboard.charts import accuracy as charts
from dashboard.charts import compare as bars
from dashboard.charts import depth as layers
from dashboard.charts import mixed_proteins
from dashboard.charts import sensitivity as settings
from dashboard.charts import training_seeds as seeds
from dashboard.charts.description import Chart
from dashboard.charts.measure import capitalised, in_words_of
from dashboard.figures import parameters, tables
from dashboard.figures.answers import RESCALING
from dashboard.figures.figure import Figure
from dashboard.figures.request import Filters, Request
from dashboard.figures.slide import Grid, Words
from dashboard.figures.tables import Column, Columns, Written
from dashboard.queries import accuracy, depth, proteins
from dashboard.queries.filters import ACCURACY as ACCURACY_MEASURE
from dashboard.queries.open_runs import MissingTableError
from dashboard.theme import model_title

QUESTION = "Does the model answer from the cell, or from its neighbours?"


def _overall(asked: Request) -> pd.DataFrame:
    table: pd.DataFrame = asked.query(accuracy.overall, asked.accuracy)
    return table


def _finding(asked: Request, table: pd.DataFrame) -> Words:
    if table.empty:
        return Words("No accuracy was computed: this run has no labelled cells", "", ())
    chance, commonest = asked.chance, commonest_share(asked)
    blind = chance_finding(table, chance, commonest)
    # One model at chance, as a baseline is meant to be, does not stand before what others show.
    all_blind = len(at_chance(table, chance, commonest)) == table["model"].nunique()
    said = (
        blind if all_blind else "",
        wording.drop_finding(table),
        wording.zeros_finding(table),
        wording.gap_finding(asked.query(accuracy.gaps, asked.accuracy)),
        "" if all_blind else blind,
        wording.equivalence_finding(
            asked.query(accuracy.equivalence, asked.accuracy), own=asked.protocol == Protocol.OWN
        ),
        wording.conflict_finding(table),
        wording.donors_seen(table),
    )
    published = asked.published or asked.aggregation == Aggregation.PUBLISHED
    notes = (EXPLANATION if published else "", wording.simultaneous_note(table))
    words = Words(
        QUESTION,
        asked.accuracy.sentence(),
        tuple(line for line in said if line),
        " ".join(note for note in notes if note),
        matrix(table),
    )
    words = in_words_of(asked.accuracy.measure, words)
    mixed = _mixed(asked)
    return replace(words, lines=(*words.lines, mixed)) if mixed else words


def commonest_share(asked: Request) -> float | None:
    """Return what always answering the commonest class would reach, where accuracy is shown."""
    if asked.chance is None or asked.published or asked.accuracy.measure != ACCURACY_MEASURE:
        return None
    share: float | None = asked.query(accuracy.commonest, Probe(asked.probe) == Probe.PAIR)
    return share


def chance_finding(
    table: pd.DataFrame, chance: float | None, commonest: float | None = None
) -> str:
    """Say which models read nothing that can be told from chance; empty where all do.

    Parameters
    ----------
    table
        From `queries.accuracy.overall`.
    chance
        Accuracy by chance, from 0 to 1; None where it is not known.
    commonest
        Accuracy of always answering the commonest class; None, the default, where it is not known.
    """
    blind, guess = at_chance(table, chance, commonest), guessing(chance, commonest)
    if not guess or not blind:
        return ""
    each = "; ".join(
        f"{model_title(row.model)} {wording.percent(row.estimate)} "
        f"({wording.interval(row.ci_low, row.ci_high, row.unit)})"
        for row in blind
    )
    return (
        "Nothing can be concluded where even on unaltered crops it is not shown that classes are "
        f"told apart, so that there may be no accuracy to lose: {each}; {guess}."
    )


def guessing(chance: float | None, commonest: float | None) -> str:
    """Return in words what a guess reaches; empty where not known; arguments as above."""
    if chance is None:
        return ""
    if commonest is not None and commonest > chance:
        return f"always answering the commonest class gives {wording.percent(commonest)}"
    return f"by chance {wording.percent(chance)}"


def at_chance(
    table: pd.DataFrame, chance: float | None, commonest: float | None = None
) -> list[Any]:
    """Return the rows of models that are not told from chance; arguments as in `chance_finding`."""
    if chance is None:
        return []
    rows = table[(table["condition"] == Condition.UNALTERED) & table["ci_low"].notna()]
    return wording.records(rows[rows["ci_low"] <= max(chance, commonest or 0)])


def _mixed(asked: Request) -> str:
    """Say how many proteins with mixed localization shift; nothing where a run does not know."""
    try:
        return mixed_proteins.finding(asked.query(proteins.mixed, asked.protocol, asked.models))
    except MissingTableError:
        return ""


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


def comparable(filters: Filters) -> bool:
    """Whether the paper's numbers can stand beside a run's: of its models and its classes."""
    return (
        set(filters.run.localizations) <= set(LOCALIZATIONS)
        and filters.probe == Probe.PAIR
        and filters.protocol == Protocol.REFIT
        and not filters.published
        and bool(set(theme.KNOWN_MODELS) & set(filters.models))
    )


def _overall_columns(asked: Request, table: pd.DataFrame) -> Columns:
    # The published numbers' intervals are ± three standard errors, not bootstrap intervals.
    ends = wording.level() if UNIT not in set(table["unit"].dropna()) else "±3 s.e.,"
    net = {
        "net_estimate": Column(
            "Net drop (points)", Written.POINTS, EFFECTS_IN_WORDS[Effect.NET].capitalize()
        ),
        "net_low": Column(f"Net drop, {ends} from", Written.POINTS),
        "net_high": Column("to  ", Written.POINTS),
    }
    together = {
        "simultaneous_low": Column(
            "All drops at once, from", Written.POINTS,
            "An interval that holds all drops at once, as the finding picks the largest",
        ),
        "simultaneous_high": Column("to   ", Written.POINTS),
    }  # fmt: skip
    return {
        "model": tables.MODEL,
        "condition": tables.CONDITION,
        "estimate": Column(capitalised(asked.accuracy.measure), Written.PERCENT),
        "ci_low": Column(f"{ends} from", Written.PERCENT),
        "ci_high": Column("to", Written.PERCENT),
        "drop_estimate": Column(
            "Drop (points)", Written.POINTS, "Unaltered accuracy minus this one"
        ),
        "drop_low": Column(f"Drop, {ends} from", Written.POINTS),
        "drop_high": Column("to ", Written.POINTS),
        **(together if table["simultaneous_low"].notna().any() else {}),
        "p_holm": Column("p (Holm)", Written.NUMBER, form="%.4f"),
        **(net if table["net_estimate"].notna().any() else {}),
        "n_cells": tables.CELLS,
        "n_proteins": tables.PROTEINS,
    }


def _overall_note(asked: Request) -> str:
    p = (
        "p: sign flips of whole proteins, Holm over all models and all conditions that put a "
        "foreign background or none behind the cell; the controls have none."
    )
    if Condition.SHAM not in asked.run.conditions:
        return p
    return f"{p} Net drop: {EFFECTS_IN_WORDS[Effect.NET]}."


FINDING = Figure(
    "finding",
    "The finding in words",
    query=_overall,
    chart=_finding,
    defines=lambda asked, table: table["condition"],
    tables=("accuracy", "effects"),
)

ACCURACY = Figure(
    "accuracy",
    "Accuracy by condition",
    query=_overall,
    chart=lambda asked, table: in_words_of(
        asked.accuracy.measure,
        charts.by_condition(
            table,
            asked.accuracy.sentence(),
            published="published" in asked.values,
            chance=asked.chance,
        ),
    ),
    columns=_overall_columns,
    note=_overall_note,
    defines=lambda asked, table: table["condition"],
    parameters={"published": parameters.choice("yes")},
)

GAP = Figure(
    "gap",
    "The background gap",
    query=lambda asked: asked.query(accuracy.gaps, asked.accuracy),
    chart=lambda asked, table: in_words_of(
        asked.accuracy.measure, bars.gaps(table, asked.accuracy.sentence())
    ),
    columns=lambda asked, table: {
        "model": tables.MODEL,
        "estimate": Column("Gap, points", Written.POINTS),
        "ci_low": Column("from", Written.POINTS),
        "ci_high": Column("to", Written.POINTS),
        "p_holm": Column("p (Holm)", Written.NUMBER),
        "n_cells": tables.CELLS,
        "n_proteins": tables.PROTEINS,
    },
    defines=lambda asked, table: ("same", "different"),
    tables=("effects",),
)

BY_CLASS = Figure(
    "by_class",
    "Each class against its unaltered accuracy",
    query=lambda asked: asked.query(accuracy.by_class, asked.accuracy, asked.condition),
    chart=lambda asked, table: in_words_of(
        asked.accuracy.measure,
        charts.by_class(table, asked.condition, asked.accuracy.sentence()),
    ),
    columns=lambda asked, table: {
        "model": tables.MODEL,
        "localization": Column("Class"),
        "before": Column("Unaltered", Written.PERCENT),
        "after": Column(theme.condition_title(asked.condition), Written.PERCENT),
        "after_low": Column("from", Written.PERCENT),
        "after_high": Column("to", Written.PERCENT),
        "n_cells": tables.CELLS,
        "n_proteins": tables.PROTEINS,
    },
    defines=lambda asked, table: (asked.condition,),
    parameters={"condition": parameters.CONDITION},
)

PROTOCOLS = Figure(
    "protocols",
    "Refit against frozen",
    query=lambda asked: asked.query(accuracy.protocols, asked.accuracy),
    chart=lambda asked, table: in_words_of(asked.accuracy.measure, charts.protocols(table)),
    columns=lambda asked, table: {
        "model": tables.MODEL,
        "condition": tables.CONDITION,
        "refit": Column("Drop, refit probe, points", Written.POINTS),
        "frozen": Column("Drop, frozen probe, points", Written.POINTS),
        "n_cells": tables.CELLS,
    },
    tables=("effects",),
)

GRID = Figure(
    "grid",
    "Centre class by background class, pair tests",
    query=lambda asked: asked.query(
        accuracy.background_grid, asked.protocol, asked.model, asked.condition
    ),
    chart=lambda asked, table: charts.background_grid(table, asked.model, asked.condition),
    parameters={"model": parameters.MODEL, "condition": parameters.CONDITION},
    filters=("protocol",),
    tables=("pairwise",),
)


def _moved(asked: Request) -> tuple[str, str]:
    """Return the quantity and the condition of the finding that is shown."""
    finding = asked.values["finding"]
    if finding == Effect.GAP:
        return str(Effect.GAP), str(Condition.DIFFERENT)
    return str(Effect.DROP), finding


SENSITIVITY = Figure(
    "sensitivity",
    "The finding under other settings",
    query=lambda asked: asked.query(accuracy.sensitivity, asked.accuracy, *_moved(asked)),
    chart=lambda asked, table: settings.by_setting(table, *_moved(asked), settings_sentence(asked)),
    columns=lambda asked, table: {
        "model": tables.MODEL,
        "choice": Column("Choice"),
        "setting": Column("Setting"),
        "estimate": Column("Points", Written.POINTS),
        "ci_low": Column("from", Written.POINTS),
        "ci_high": Column("to", Written.POINTS),
        "difference": Column("From the run's own", Written.POINTS),
        "difference_low": Column("from ", Written.POINTS),
        "difference_high": Column("to ", Written.POINTS),
        "n_cells": tables.CELLS,
        "n_proteins": tables.PROTEINS,
    },
    note=lambda asked: "In pair tests on donors' backgrounds differences have no interval.",
    defines=lambda asked, table: ("same", _moved(asked)[1]),
    parameters={"finding": parameters.choice("gap", "different", "masked", usual="gap")},
    filters=("protocol", "probe", "models"),
    tables=("sensitivity",),
    added="`bystander sensitivity STORE RUN` tries other masks, layers, poolings, scales and "
    "pastes, and adds to this run how much its findings move",
)


TRAINING_SEEDS = Figure(
    "training_seeds",
    "The finding over seeds of training",
    query=lambda asked: asked.query(accuracy.training_seeds, asked.accuracy),
    chart=lambda asked, table: in_words_of(
        asked.accuracy.measure, seeds.by_seed(table, settings_sentence(asked))
    ),
    columns=lambda asked, table: {
        "network": Column("Network"),
        "quantity": Column("What"),
        "condition": tables.CONDITION,
        "estimate": Column("Mean over seeds, points", Written.POINTS),
        "ci_low": Column("from", Written.POINTS),
        "ci_high": Column("to", Written.POINTS),
        "seed_sd": Column("Between seeds (SD)", Written.POINTS),
        "sampling_sd": Column("Proteins and donors (SD)", Written.POINTS),
        "n_cells": tables.CELLS,
        "n_proteins": tables.PROTEINS,
    },
    defines=lambda asked, table: table["condition"],
    filters=("protocol", "probe", "models", "conditions"),
    tables=("training_seeds",),
    added="`bystander run … --models a.toml,b.toml --seeds-of NETWORK` takes several weights of "
    "one network, trained from different seeds, and shows how much its findings vary with these",
)


DEPTH = Figure(
    "depth",
    layers.TITLE,
    query=lambda asked: asked.query(depth.by_depth, asked.accuracy, *_moved(asked)),
    chart=lambda asked, table: in_words_of(
        asked.accuracy.measure,
        layers.by_depth(table, *_moved(asked), asked.accuracy.sentence()),
    ),
    columns=lambda asked, table: {
        "network": Column("Network"),
        "layer": Column("Layer"),
        "estimate": Column("Points", Written.POINTS),
        "ci_low": Column("from", Written.POINTS),
        "ci_high": Column("to", Written.POINTS),
        "n_cells": tables.CELLS,
        "n_proteins": tables.PROTEINS,
    },
    note=lambda asked: "Layers stand in the order in which the network computes them.",
    defines=lambda asked, table: ("same", _moved(asked)[1]),
    parameters={"finding": parameters.choice("different", "gap", "masked", usual="different")},
    tables=("effects",),
)


def settings_sentence(asked: Request) -> str:
    """Say in English how accuracies are measured, whichever average a page shows."""
    return replace(asked.accuracy, aggregation=str(Aggregation.ALL)).sentence()


FIGURES = (FINDING, ACCURACY, GAP, BY_CLASS, PROTOCOLS, GRID, SENSITIVITY, TRAINING_SEEDS, DEPTH)

PLAIN: tuple[Figure[Chart], ...] = (RESCALING, PROTOCOLS, DEPTH, SENSITIVITY, TRAINING_SEEDS)
"""Shown on the page Accuracy one after the other, with no choice of their own: a new metric's
figure stands here."""
