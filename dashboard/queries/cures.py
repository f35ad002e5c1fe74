"""What helps each model of a run, of the remedies that were tried on it (table `remedies`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compute.schema import REMEDIES_IN_WORDS, Condition, Effect, Quantity, Remedy
from dashboard.queries.open_runs import Run
from dashboard.theme import model_title
from dashboard.wording import percent, points, records

_ORDER = list(Remedy)

LOSS = 0.01
"""Unaltered accuracy that a remedy may cost and still be said to help."""


@dataclass(frozen=True)
class Cure:
    """A remedy that helps a model.

    Parameters
    ----------
    model
        Name of the model.
    remedy
        The remedy.
    drop, drop_before
        What is lost on the background of another class, with it and without, as shares.
    accuracy, accuracy_before
        On crops as imaged, with it and without.
    """

    model: str
    remedy: Remedy
    drop: float
    drop_before: float
    accuracy: float
    accuracy_before: float

    @property
    def title(self) -> str:
        """What the remedy is called."""
        return REMEDIES_IN_WORDS[self.remedy].title

    @property
    def by_construction(self) -> bool:
        """Whether nothing can be lost: the remedy gives the same crop on any background."""
        return Condition.DIFFERENT in REMEDIES_IN_WORDS[self.remedy].replaces

    @property
    def price(self) -> str:
        """What it does to accuracy on crops as imaged, and what it asks for."""
        needs = REMEDIES_IN_WORDS[self.remedy].needs_mask
        mask = "needs each crop's mask in use" if needs else "no mask in use"
        return f"{percent(self.accuracy)} instead of {percent(self.accuracy_before)} ({mask})"

    @property
    def sentence(self) -> str:
        """What it does, and what it asks for."""
        lost = "nothing, by construction," if self.by_construction else points(self.drop)
        return (
            f"{model_title(self.model)}, {self.title[:1].lower()}{self.title[1:]}: loses "
            f"{lost} instead of {points(self.drop_before)}, and on crops as imaged is right for "
            f"{self.price}."
        )


def cures(run: Run, models: Sequence[str]) -> list[Cure]:
    """Choose for each model the remedy that helps most, without a mask in use and with one.

    A remedy helps where the drop is smaller than without it, its interval below zero, and
    accuracy on crops as imaged falls by `LOSS` at most. Of those, the one with the smallest drop is
    taken; one that needs a mask only where its drop is smaller still.

    Parameters
    ----------
    run
        The run that is asked.
    models
        Names of models.

    Returns
    -------
    list of Cure
        By model in the order given, the one that needs no mask first; empty where remedies were
        not tried or none helps.
    """
    if not run.has("remedies"):
        return []
    rows = run.query(
        """
        SELECT model, remedy,
               any_value(estimate) FILTER (quantity = $accuracy) AS accuracy,
               any_value(difference) FILTER (quantity = $accuracy) AS gained,
               any_value(estimate) FILTER (quantity = $drop) AS lost,
               any_value(difference_high) FILTER (quantity = $drop) AS less_high
        FROM {remedies}
        WHERE applies AND ((quantity = $accuracy AND condition = $unaltered)
                        OR (quantity = $drop AND condition = $different))
        GROUP BY model, remedy
        """,
        ("remedies",),
        {
            "accuracy": str(Quantity.ACCURACY),
            "drop": str(Effect.DROP),
            "unaltered": str(Condition.UNALTERED),
            "different": str(Condition.DIFFERENT),
        },
    )
    by_model: dict[str, dict[Remedy, Any]] = {}
    for row in records(rows):
        by_model.setdefault(row.model, {})[Remedy(row.remedy)] = row
    return [cure for model in models for cure in _of_model(model, by_model.get(model, {}))]


def _of_model(model: str, rows: Mapping[Remedy, Any]) -> list[Cure]:
    """Choose among the remedies of one model."""
    plain = rows.get(Remedy.NONE)
    chosen: list[Cure] = []
    for needs_mask in (False, True):
        helping = [
            Cure(model, remedy, row.lost, plain.lost, row.accuracy, plain.accuracy)
            for remedy, row in rows.items()
            if plain and REMEDIES_IN_WORDS[remedy].needs_mask == needs_mask
            and row.less_high < 0 and row.gained >= -LOSS
        ]  # fmt: skip
        best = min(helping, key=lambda cure: (cure.drop, _ORDER.index(cure.remedy)), default=None)
        if best is not None and all(best.drop < other.drop for other in chosen):
            chosen.append(best)
    return chosen
