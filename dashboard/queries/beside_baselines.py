"""How models' drops compare with those of baselines in the same run, in sentences."""

from compute.schema import Aggregation, Effect
from compute.statistics.config import LEVEL
from dashboard import wording
from dashboard.queries import differences
from dashboard.queries.comparable_runs import Ask, Comparison, Entry, answering
from dashboard.queries.compare import Choice, effects_of
from dashboard.queries.filters import listed


def beside_baselines(ask: Ask, found: Comparison, choice: Choice, condition: str) -> list[str]:
    """Say, model by model, which baselines lose more and which lose less.

    Parameters
    ----------
    ask
        Answers queries.
    found
        From `comparison`.
    choice
        Protocol, probe and aggregation.
    condition
        Whose drop.

    Returns
    -------
    list of str
        A sentence for each model that is no baseline and has any in its own run, by the run's
        tested differences; none where these were not tested.
    """
    protocol, _, aggregation = choice
    if aggregation != Aggregation.ALL:
        return []
    entries = answering(found, protocol).entries
    sentences = []
    for entry in entries:
        others = [e for e in entries if e.run.key == entry.run.key and e.run.baseline(e.model)]
        if entry.run.baseline(entry.model) or not others:
            continue
        if not entry.run.has("model_differences"):
            continue
        said = _sentence(ask, found, entry, others, choice, condition)
        sentences += [said] if said else []
    return sentences


def _sentence(
    ask: Ask, found: Comparison, entry: Entry, others: list[Entry], choice: Choice, condition: str
) -> str:
    """Say how one model's drop compares; empty where no difference was tested."""
    protocol, probe, _ = choice
    tested = differences.of_pairs(ask, [(entry, other) for other in others], protocol, probe).table
    wanted = (tested["quantity"] == str(Effect.DROP)) & (tested["condition"] == condition)
    rows = tested[wanted].set_index("other")
    sides: dict[str, list[str]] = {"more than": [], "less than": [], "not told apart from": []}
    for other in others:
        if other.title not in rows.index:
            continue
        row = rows.loc[other.title]
        apart = row["p_holm"] <= 1 - LEVEL
        side = "not told apart from" if not apart else (
            "more than" if row["estimate"] > 0 else "less than"
        )  # fmt: skip
        drop = _drop(ask, found, other, choice, condition)
        sides[side].append(f"{other.run.baseline(other.model)} ({drop})")
    told = [f"{side} {listed(names)}" for side, names in sides.items() if names]
    if not told:
        return ""
    drop = _drop(ask, found, entry, choice, condition)
    return f"{entry.title} loses {drop} points: {'; '.join(told)}."


def _drop(ask: Ask, found: Comparison, entry: Entry, choice: Choice, condition: str) -> str:
    """Write the drop of one entry in points."""
    numbers = effects_of(ask, found, entry, choice, condition)
    one = numbers[
        (numbers["scope"] == "overall")
        & (numbers["effect"] == str(Effect.DROP))
        & (numbers["condition"] == condition)
    ]
    return wording.points(float(one["estimate"].iloc[0])).split(" ")[0] if len(one) else "–"
