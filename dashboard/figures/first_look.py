"""What Overview shows first: all classes at once, by a model as it is in use; its one number."""

from dataclasses import dataclass, replace
from typing import TypeVar

import pandas as pd

from compute.errors import BystanderError
from compute.schema import Aggregation, Probe, Protocol
from dashboard import theme, wording
from dashboard.charts.measure import in_words_of
from dashboard.figures import accuracy as figures
from dashboard.figures.request import Filters, Request
from dashboard.queries import accuracy
from dashboard.queries.comparable_runs import Ask

Kept = TypeVar("Kept", bound=Filters)


def as_used(filters: Kept, ask: Ask) -> Kept:
    """Return the filters of the first look: every class, the probe frozen, every condition.

    Baselines, which no lab uses, are left out. The same filters come back where a run does not
    have such answers.

    Parameters
    ----------
    filters
        The page's. Where they ask for the models' own answers, these are shown.
    ask
        Answers queries.
    """
    if not filters.run.has("accuracy"):
        return filters
    try:
        known = ask(filters.run, accuracy.choices)
    except BystanderError:
        return filters
    protocol = Protocol.OWN if filters.protocol == Protocol.OWN else Protocol.FROZEN
    wanted = (str(protocol), str(Probe.MULTICLASS), str(Aggregation.ALL))
    if wanted not in {tuple(map(str, row)) for row in known.iloc[:, :3].to_numpy()}:
        return filters
    models = tuple(name for name in filters.models if not filters.run.baseline(name))
    return replace(
        filters,
        protocol=wanted[0],
        probe=wanted[1],
        aggregation=wanted[2],
        models=models or filters.models,
        conditions=tuple(theme.in_order(filters.run.conditions)),
    )


@dataclass(frozen=True)
class Number:
    """The one number, or why there is none.

    Parameters
    ----------
    headline
        The number with its words; None where none can be shown.
    alone
        What the neighbours alone give, in a sentence; empty where that was not tried.
    instead
        The sentence that stands in the number's place; empty where there is one.
    """

    headline: wording.Headline | None
    alone: str = ""
    instead: str = ""


def number(asked: Request, table: pd.DataFrame) -> Number:
    """Return the largest drop as one number, with what the neighbours alone give.

    Parameters
    ----------
    asked
        Of the figure `finding`.
    table
        Its table.
    """
    found = wording.headline(table)
    if found is None:
        return Number(None, instead=wording.drop_finding(table))
    chance, commonest = asked.chance, figures.commonest_share(asked)
    blind = {row.model for row in figures.at_chance(table, chance, commonest)}
    if found.model in blind:
        own = table[table["model"] == found.model]
        return Number(None, instead=figures.chance_finding(own, chance, commonest))
    alone = wording.neighbours_alone(table, found.model, figures.guessing(chance, commonest))
    measure = asked.accuracy.measure
    said = in_words_of(measure, found.said)
    return Number(replace(found, said=said), in_words_of(measure, alone))
