"""A network's findings over the seeds it was trained from, to a chart description."""

from typing import Any

import pandas as pd

from compute.schema import Effect
from dashboard import wording
from dashboard.charts.accuracy import joined, sample_size, tuples
from dashboard.charts.description import Axis, Chart, Layer, Panel, Points, Rule
from dashboard.theme import condition_title, model_marks, model_title

QUESTION = "Does the finding hang on the seed of training?"


def by_seed(table: pd.DataFrame, sentence: str) -> Chart:
    """Draw a network's drops and gap over its seeds, each seed and their mean with its interval.

    Parameters
    ----------
    table
        From `queries.accuracy.training_seeds`, in its order.
    sentence
        The filter in English.
    """
    marks = model_marks(table["network"])
    panels = []
    for network in table["network"].unique():
        rows = table[table["network"] == network].reset_index(drop=True)
        mark = marks[network]
        single = [(place, value) for place, row in rows["estimates"].items() for value in row]
        layers: tuple[Layer, ...] = (
            Rule("x", 0),
            Points(
                "one seed",
                tuple(float(value) for _, value in single),
                tuple(float(place) for place, _ in single),
                mark.ink,
                along_x=True,
                symbol=mark.symbol,
                open_=True,
                size=7,
                hover=tuple(
                    f"{model}, {_named(row).lower()}\n{wording.points(value)}"
                    for row in wording.records(rows)
                    for model, value in zip(row.models, row.estimates, strict=True)
                ),
            ),
            Points(
                "mean over seeds",
                tuples(rows["estimate"]),
                tuple(float(place) for place in rows.index),
                mark.ink,
                tuples(rows["ci_low"]),
                tuples(rows["ci_high"]),
                along_x=True,
                symbol=mark.symbol,
                size=11,
                hover=tuple(_hover(row) for row in wording.records(rows)),
            ),
        )
        ends = [*rows[["ci_low", "ci_high"]].stack().dropna(), *(value for _, value in single)]
        panels.append(
            Panel(
                Axis(
                    "Points of accuracy",
                    range=(min([-0.01, *ends]) - 0.01, max([0.05, *ends]) + 0.01),
                    unit="points",
                ),
                Axis("", tuple(map(_named, wording.records(rows))), reversed_=True),
                layers,
                f"{model_title(network)}, {wording.count(len(rows['models'][0]), 'seed')}",
                height=130 + 34 * len(rows),
            )
        )
    caption = joined(
        "Drops and background gap of one network that was trained several times: each seed's own "
        "(open), and their mean. Its interval is about the network whatever the seed, so it takes "
        "in proteins, donors and how seeds differ; with two or three seeds it is long.",
        sentence,
        wording.unit_note(table),
        sample_size(table),
    )
    return Chart("training_seeds", title(table), caption, tuple(panels))


def title(table: pd.DataFrame) -> str:
    """Return the question with its answer: the finding in which seeds differ most, and how far."""
    if table.empty:
        return QUESTION
    row = next(iter(wording.records(table.loc[[table["seed_sd"].idxmax()]])))
    low, high = (wording.points(end(row.estimates)) for end in (min, max))
    what = "background gap" if row.quantity == Effect.GAP else f"drop, {_named(row).lower()},"
    start = f"{QUESTION} {model_title(row.network, short=True)}'s {what} "
    return start + (f"is {low} for every seed" if low == high else f"lies between {low} and {high}")


def _named(row: Any) -> str:
    return "Background gap" if row.quantity == Effect.GAP else condition_title(row.condition)


def _hover(row: Any) -> str:
    return (
        f"{model_title(row.network)}, {_named(row).lower()}\n"
        f"{wording.points(row.estimate)} ({wording.interval(row.ci_low, row.ci_high)})\n"
        f"standard deviation between seeds {wording.points(row.seed_sd)}, of their mean from "
        f"proteins and donors {wording.points(row.sampling_sd)}\n{wording.tested_on(row)}"
    )
