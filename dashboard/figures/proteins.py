"""Figures of proteins: the shifts of all of them, of a list, and one protein in every detail."""

from collections.abc import Iterable

import pandas as pd

from compute.statistics.config import ALPHA
from dashboard import wording
from dashboard.charts import mixed_proteins
from dashboard.charts import protein_lists as lists
from dashboard.charts import proteins as charts
from dashboard.figures import keys, parameters, tables
from dashboard.figures.figure import OF_MODELS, Figure
from dashboard.figures.request import Request
from dashboard.figures.tables import Column, Written
from dashboard.queries import proteins
from dashboard.queries.filters import ShiftFilter


def _of(table: pd.DataFrame, **kept: Iterable[str]) -> pd.DataFrame:
    """Return the rows whose columns have one of the values that are kept."""
    for column, values in kept.items():
        table = table[table[column].isin(values)]
    return table


def _defined(asked: Request, table: pd.DataFrame) -> tuple[str, ...]:
    return (asked.condition,)


def _shifts(asked: Request) -> ShiftFilter:
    return ShiftFilter(asked.protocol, asked.model, asked.condition, threshold=asked.threshold)


def _shares(asked: Request) -> pd.DataFrame:
    table: pd.DataFrame = asked.query(
        proteins.shares, asked.protocol, asked.models, asked.threshold
    )
    return table


def _distributions(asked: Request, *also: str) -> pd.DataFrame:
    table = asked.query(proteins.distributions, asked.protein, asked.protocol)
    return _of(table, model=asked.models, condition=(*asked.conditions, *also))


HISTOGRAM = Figure(
    "histogram",
    "Proteins by shift",
    query=lambda asked: asked.query(proteins.histogram, _shifts(asked)),
    chart=lambda asked, table: charts.histogram(table, _shares(asked), _shifts(asked)),
    columns=lambda asked, table: {
        "low": Column("Total variation from", Written.NUMBER),
        "significant": Column(f"Proteins, q ≤ {ALPHA:g}", Written.COUNT),
        "other": Column(f"Proteins, q > {ALPHA:g}", Written.COUNT),
    },
    defines=_defined,
    parameters={
        "model": parameters.MODEL,
        "condition": parameters.CONDITION,
        "threshold": parameters.SHARE,
    },
    filters=("protocol",),
    tables=("shifts",),
)

CURVE = Figure(
    "curve",
    "Proteins shifted over all thresholds",
    query=lambda asked: asked.query(proteins.curve, asked.protocol, asked.condition, asked.models),
    chart=lambda asked, table: charts.curve(table, asked.condition, asked.threshold),
    defines=_defined,
    parameters={"condition": parameters.CONDITION, "threshold": parameters.SHARE},
    filters=("protocol", "models"),
    tables=("shifts",),
)

SHARES = Figure(
    "shares",
    "Proteins shifted by condition",
    query=lambda asked: _of(_shares(asked), condition=asked.conditions),
    chart=lambda asked, table: charts.shares(table, asked.threshold),
    columns=lambda asked, table: {
        "model": tables.MODEL,
        "condition": tables.CONDITION,
        "shifted": Column("Proteins shifted", Written.COUNT),
        "n": Column("of", Written.COUNT),
        "share": Column("Share", Written.PERCENT),
    },
    parameters={"threshold": parameters.SHARE},
    filters=OF_MODELS,
    tables=("shifts",),
)

MIXED = Figure(
    "mixed",
    "Mixed proteins shifted by condition",
    query=lambda asked: _of(
        asked.query(proteins.mixed, asked.protocol, asked.models), condition=asked.conditions
    ),
    chart=lambda asked, table: mixed_proteins.shares(table),
    columns=lambda asked, table: {
        "model": tables.MODEL,
        "condition": tables.CONDITION,
        "population": Column("Proteins"),
        "shifted": Column("shifted", Written.COUNT),
        "n_proteins": Column("of", Written.COUNT),
        "estimate": Column("Share", Written.PERCENT),
        "ci_low": Column(f"{wording.level()} from", Written.PERCENT),
        "ci_high": Column("to", Written.PERCENT),
        "kl_25": Column("KL (nats), 25%", Written.NUMBER),
        "kl_50": Column("50%", Written.NUMBER),
        "kl_75": Column("75%", Written.NUMBER),
    },
    filters=OF_MODELS,
    tables=("mixed_shifts",),
)

LISTED = Figure(
    "listed",
    "The shifts of a list of proteins",
    query=lambda asked: asked.query(
        proteins.listed,
        asked.protocol,
        asked.condition,
        asked.models,
        keys.split(asked.values["proteins"]),
    ),
    chart=lambda asked, table: lists.listed(table, asked.condition, asked.threshold),
    defines=_defined,
    parameters={
        "condition": parameters.CONDITION,
        "threshold": parameters.SHARE,
        "proteins": parameters.PROTEINS,
    },
    filters=("protocol", "models"),
    tables=("shifts",),
    kept=False,
)

DISTRIBUTION = Figure(
    "protein",
    "One protein's distribution",
    query=lambda asked: _distributions(asked, "unaltered"),
    chart=lambda asked, table: charts.before_and_after(table, asked.protein, asked.condition),
    defines=_defined,
    parameters={"protein": parameters.PROTEIN, "condition": parameters.CONDITION},
    filters=OF_MODELS,
    tables=("distributions",),
)

EVERY_CONDITION = Figure(
    "protein_conditions",
    "One protein under every condition",
    query=_distributions,
    chart=lambda asked, table: charts.all_conditions(table, asked.protein),
    defines=lambda asked, table: asked.conditions,
    parameters={"protein": parameters.PROTEIN},
    filters=OF_MODELS,
    tables=("distributions",),
)

MOVES = Figure(
    "moves",
    "How one protein's cells moved",
    query=lambda asked: _of(
        asked.query(proteins.moves, asked.protein, asked.protocol, asked.condition),
        model=asked.models,
    ),
    chart=lambda asked, table: charts.moves(table, asked.protein, asked.condition),
    defines=_defined,
    parameters={"protein": parameters.PROTEIN, "condition": parameters.CONDITION},
    filters=OF_MODELS,
    tables=("predictions",),
)

NEIGHBOURS = Figure(
    "neighbours",
    "The background classes that one protein is taken for",
    query=lambda asked: _of(
        asked.query(proteins.neighbours, asked.protein, asked.protocol, asked.condition),
        model=asked.models,
    ),
    chart=lambda asked, table: lists.neighbours(table, asked.protein, asked.condition),
    defines=_defined,
    parameters={"protein": parameters.PROTEIN, "condition": parameters.CONDITION},
    filters=("protocol", "models"),
    tables=("cells", "predictions", "trials"),
    kept=False,
)

FIGURES = (
    HISTOGRAM,
    CURVE,
    SHARES,
    MIXED,
    LISTED,
    DISTRIBUTION,
    EVERY_CONDITION,
    MOVES,
    NEIGHBOURS,
)
