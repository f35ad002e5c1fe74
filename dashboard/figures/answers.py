"""Figures of the multi-class probe's answers: how they change, by background, how sure they are."""

from typing import Any

from compute.schema import Protocol
from dashboard.charts import answers as charts
from dashboard.charts import calibration as calibrations
from dashboard.charts.description import Chart
from dashboard.figures import parameters
from dashboard.figures.figure import Figure
from dashboard.figures.request import Request
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

FIGURES = (BACKGROUNDS, FLIPS, RESCALING, CALIBRATION, RELIABILITY)
