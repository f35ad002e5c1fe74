"""Figures of the multi-class probe's answers: how they change, by background, how sure they are."""

from typing import Any

from compute.schema import DROP_PARTS, Protocol
from dashboard.charts import answers as charts
from dashboard.charts import calibration as calibrations
from dashboard.charts import steps
from dashboard.charts.description import Chart
from dashboard.charts.measure import in_words_of
from dashboard.figures import parameters, tables
from dashboard.figures.figure import Figure
from dashboard.figures.request import Request
from dashboard.figures.tables import Column, Written
from dashboard.queries import answers


def _backgrounds(asked: Request, table: Any) -> Chart:
    kind: Any = asked.values["kind"]
    return charts.backgrounds(table, asked.model, asked.condition, kind)


BACKGROUNDS = Figure(
    "backgrounds",
    "Centre class by background class, all classes at once",
    query=lambda asked: asked.query(
        answers.backgrounds, asked.protocol, asked.model, asked.condition
    ),
    chart=_backgrounds,
    parameters={
        "model": parameters.MODEL,
        "condition": parameters.CONDITION,
        "kind": parameters.choice("drop", "attraction", usual="drop"),
    },
    filters=("protocol",),
    tables=("backgrounds",),
)

FLIPS = Figure(
    "flips",
    "Answers that change",
    query=lambda asked: asked.query(answers.flips, asked.accuracy),
    chart=lambda asked, table: charts.flips(table, own=asked.protocol == Protocol.OWN),
    tables=("flips",),
    absent="how answers change",
)

RESCALING = Figure(
    "rescaling",
    "Rescaling against context",
    query=lambda asked: asked.query(answers.rescaling, asked.models, asked.conditions),
    chart=lambda asked, table: charts.rescaling(table),
    tables=("rescaling",),
    absent="rescaling against context",
)

STEPS = Figure(
    "steps",
    "What a drop is made of",
    query=lambda asked: asked.query(answers.steps, asked.accuracy),
    chart=lambda asked, table: in_words_of(
        asked.accuracy.measure, steps.waterfall(table, asked.accuracy.sentence())
    ),
    columns=lambda asked, table: {
        "model": tables.MODEL,
        "step": Column("Step"),
        "part": Column("Part"),
        "estimate": Column("Points", Written.POINTS),
        "ci_low": Column("from", Written.POINTS),
        "ci_high": Column("to", Written.POINTS),
        "n_cells": tables.CELLS,
        "n_proteins": tables.PROTEINS,
    },
    note=lambda asked: (
        "Parts: " + "; ".join(f"{part}, {said}" for part, said in DROP_PARTS.items()) + "."
    ),
    defines=lambda asked, table: ("sham", "same", "different"),
    filters=("protocol", "probe", "models"),
    tables=("decomposition",),
    absent="what a drop is made of",
)

CALIBRATION = Figure(
    "calibration",
    "Calibration error",
    query=lambda asked: asked.query(answers.calibration, asked.accuracy),
    chart=lambda asked, table: calibrations.by_condition(table),
    tables=("calibration",),
    absent="calibration",
)

RELIABILITY = Figure(
    "reliability",
    "Reliability",
    query=lambda asked: asked.query(
        answers.reliability, asked.protocol, asked.models, ("unaltered", asked.condition)
    ),
    chart=lambda asked, table: calibrations.reliability(table, asked.condition),
    parameters={"condition": parameters.CONDITION},
    tables=("reliability",),
)

FIGURES = (BACKGROUNDS, FLIPS, RESCALING, STEPS, CALIBRATION, RELIABILITY)
