"""What helps each model of a run, of the remedies that were tried on it (table `remedies`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compute.schema import REMEDIES_IN_WORDS, Condition, Effect, Quantity, Remedy
from dashboard.queries.open_runs import Run
from dashboard.theme import model_title
from dashboard.wording import percent, points

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
    def sentence(self) -> str:
        """What it does, and what it asks for."""
        spec = REMEDIES_IN_WORDS[self.remedy]
        mask = "needs each crop's mask in use" if spec.needs_mask else "no mask in use"
        return (
            f"{model_title(self.model)}, {spec.title[:1].lower()}{spec.title[1:]}: loses "
            f"{points(self.drop)} instead of {points(self.drop_before)}, and on crops as imaged is "
            f"right for {percent(self.accuracy)} instead of {percent(self.accuracy_before)} "
            f"({mask})."
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
        SELECT model, remedy, quantity, estimate, difference, difference_high FROM {remedies}
        WHERE applies AND ((quantity = $accuracy AND condition = $unaltered)
                        OR (quantity = $drop AND condition = $different))
        """,
        ("remedies",),
        {
            "accuracy": str(Quantity.ACCURACY),
            "drop": str(Effect.DROP),
            "unaltered": str(Condition.UNALTERED),
            "different": str(Condition.DIFFERENT),
        },
    )
    accuracy, drop = (
        rows[rows["quantity"] == str(name)].set_index(["model", "remedy"])
        for name in (Quantity.ACCURACY, Effect.DROP)
    )
    both = accuracy.join(drop, rsuffix="_of_drop", how="inner")
    found = []
    for model in models:
        if (model, str(Remedy.NONE)) in both.index:
            found += _of_model(model, both.loc[model].to_dict("index"))
    return found


def _of_model(model: str, rows: Mapping[Any, Mapping[Any, Any]]) -> list[Cure]:
    """Choose among the remedies of one model, by remedy."""
    plain = rows[str(Remedy.NONE)]
    chosen: list[Cure] = []
    for needs_mask in (False, True):
        helping = [
            Cure(
                model, remedy, float(row["estimate_of_drop"]), float(plain["estimate_of_drop"]),
                float(row["estimate"]), float(plain["estimate"]),
            )
            for remedy in map(Remedy, rows)
            if REMEDIES_IN_WORDS[remedy].needs_mask == needs_mask
            and (row := rows[str(remedy)])["difference_high_of_drop"] < 0
            and row["difference"] >= -LOSS
        ]  # fmt: skip
        best = min(helping, key=lambda cure: cure.drop, default=None)
        if best is not None and all(best.drop < other.drop for other in chosen):
            chosen.append(best)
    return chosen
