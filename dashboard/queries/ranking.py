"""Models of one or several runs in order: what `bystander compare` prints, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from compute.errors import BystanderError, unknown_value
from compute.schema import Condition
from dashboard.queries.comparable_runs import comparison, directly, unlike_heads
from dashboard.queries.compare import Choice, leaderboard
from dashboard.queries.open_runs import open_runs

ORDERS = {"drop": "smallest drop", "gap": "smallest gap", "accuracy": "highest accuracy"}
"""What models can be ranked by, and the leaderboard's name of that order."""


@dataclass(frozen=True)
class Ranking:
    """Models in order.

    Parameters
    ----------
    table
        ``rank, entry, run, model, accuracy, accuracy_low, accuracy_high, drop, drop_low,
        drop_high, gap, gap_low, gap_high, unit, n_cells, n_proteins``: a row for each model of
        each run. Accuracies and their differences are shares, not percent.
    condition
        Whose drop.
    choice
        Protocol, probe and aggregation.
    notes
        Why there are no ranks, where there are none, and what the runs have not in common, in
        sentences.
    left_out
        Runs that cannot be compared, each with its reason.
    """

    table: pd.DataFrame = field(repr=False)
    condition: str
    choice: Choice
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def compare(
    runs: Path | str | Sequence[Path | str],
    *,
    condition: str = str(Condition.DIFFERENT),
    protocol: str | None = None,
    probe: str | None = None,
    aggregation: str | None = None,
    sort: str = "drop",
) -> Ranking:
    """Rank models of one or several runs by drop, gap or unaltered accuracy.

    Parameters
    ----------
    runs
        One run directory, or several.
    condition
        Whose drop; one that all runs have.
    protocol, probe, aggregation
        ``"refit"``, ``"frozen"`` or ``"own"``; one of `compute.schema.Probe`; ``"all"`` or
        ``"published"``. By default the first combination that all runs have.
    sort
        ``"drop"`` or ``"gap"`` (smallest first), or ``"accuracy"`` (highest first).

    Returns
    -------
    Ranking
        The table, and what has to be said with it.

    Raises
    ------
    UsageError
        No such run, condition, protocol, probe, aggregation or order.
    BystanderError
        A run cannot be read, or the runs have nothing in common that could be compared.

    Examples
    --------
    >>> from dashboard import compare
    >>> ranking = compare("my-run", condition="masked", sort="gap")
    >>> sorted(ranking.table["model"])
    ['deeploc', 'paired_cell', 'pifia']
    """
    if sort not in ORDERS:
        raise unknown_value("order", sort, ORDERS)
    found = comparison(directly, open_runs(runs).runs)
    asked = {"protocol": protocol, "probe": probe, "average": aggregation}
    choice = measured(found.choices, asked)
    altered = [name for name in found.conditions if name != Condition.UNALTERED]
    if choice is None or not altered:
        raise BystanderError(
            "There is nothing to compare: no protocol, probe and average with two conditions is "
            "in all of these runs.",
            " ".join((*found.notes, *found.left_out)),
        )
    if condition not in altered:
        raise unknown_value("condition", condition, altered)
    table = leaderboard(directly, found, choice, condition, ORDERS[sort])
    unlike = unlike_heads(found, choice[0])
    notes = (*([unlike] if unlike else []), *found.notes)
    return Ranking(table, condition, choice, notes, found.left_out)


def measured(there: Sequence[Choice], asked: dict[str, str | None]) -> Choice | None:
    """Return the first combination that all runs have and that was asked for.

    Parameters
    ----------
    there
        Combinations that all runs have.
    asked
        Protocol, probe and average, in this order, None for any.

    Raises
    ------
    UsageError
        None is as asked.
    """
    left = list(there)
    for place, (what, value) in enumerate(asked.items()):
        if value is None:
            continue
        allowed = sorted({choice[place] for choice in left})
        if left and value not in allowed:
            raise unknown_value(what, value, allowed)
        left = [choice for choice in left if choice[place] == value]
    return left[0] if left else None
