"""Tables of the multi-class probe's answers for synthetic runs, counted from their predictions.

Flips, calibration and the rest are plain counts over cells with a label; their intervals have a
fixed width, which is no result. The split of a drop and the truth are drawn.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from compute import schema

if TYPE_CHECKING:
    from tests.dashboard.synthetic_run import Plan

BINS = 10
SHARE_RESCALED = 0.35


def write_answers(
    plan: "Plan",
    proteins: pd.DataFrame,
    cells: pd.DataFrame,
    trials: pd.DataFrame,
    predictions: dict[str, pd.DataFrame],
) -> dict[str, pd.DataFrame]:
    """Return the tables; empty ones where the plan has none of them or nothing is labelled."""
    names = ("flips", "backgrounds", "rescaling", "calibration", "reliability", "truth")
    rows: dict[str, list] = {name: [] for name in names}
    if plan.answers:
        rng = np.random.default_rng(plan.seed + 1)
        for model, table in predictions.items():
            joined = _joined(cells, trials, table)
            for (protocol, condition), part in joined.groupby(["protocol", "condition"]):
                key = (model, condition, protocol)
                _calibration(rows, key, part, plan.localizations)
                if condition == "unaltered":
                    continue
                _flips(rows["flips"], key, part)
                if condition in ("same", "different", "cell_free"):
                    _backgrounds(rows["backgrounds"], key, part)
                if protocol == "frozen" and condition != "sham":
                    _rescaling(rows["rescaling"], key[:2], part)
            if plan.simulated:
                _truth(rows["truth"], model, table, proteins, rng)
    return {
        name: pd.DataFrame(rows[name], columns=schema.SUMMARY_TABLES[name].names) for name in names
    }


def _joined(cells: pd.DataFrame, trials: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return predictions of labelled cells with their truth, donor and unaltered answer."""
    known = cells.set_index("cell")["localization"]
    behind = trials.set_index("trial")["donor_localization"]
    first = table[table["condition"] == "unaltered"].set_index(["cell", "protocol"])["predicted"]
    joined = table.assign(
        truth=table["cell"].map(known),
        behind=table["trial"].map(behind),
        before=[first.get(key) for key in zip(table["cell"], table["protocol"], strict=True)],
        top=[float(max(p)) for p in table["probabilities"]],
    ).dropna(subset=["truth"])
    return joined.assign(
        right=joined["predicted"] == joined["truth"], was=joined["before"] == joined["truth"]
    ).dropna(subset=["before"])


def _scopes(part: pd.DataFrame) -> list[tuple[str, str | None, pd.DataFrame]]:
    each = [("localization", str(place), rows) for place, rows in part.groupby("truth")]
    return [("overall", None, part), *each]


def _n(part: pd.DataFrame) -> tuple[int, int]:
    return part["cell"].nunique(), part["protein"].nunique()


def _flips(rows: list, key: tuple, part: pd.DataFrame) -> None:
    for scope, place, some in _scopes(part):
        moved = ~some["was"] & ~some["right"] & (some["before"] != some["predicted"])
        shares = {
            "lost": (some["was"] & ~some["right"]).mean(),
            "gained": (~some["was"] & some["right"]).mean(),
            "moved": moved.mean(),
        }
        for direction, share in shares.items():
            ends = max(0.0, share - 0.02), min(1.0, share + 0.02)
            rows.append((*key, direction, scope, place, share, *ends, "protein", *_n(some)))


def _backgrounds(rows: list, key: tuple, part: pd.DataFrame) -> None:
    for (place, behind), some in part.groupby(["truth", "behind"]):
        drop = some["was"].mean() - some["right"].mean()
        pull = (some["predicted"] == behind).mean() - (some["before"] == behind).mean()
        ends = (drop - 0.05, drop + 0.05, pull, pull - 0.05, pull + 0.05)
        rows.append((*key, place, behind, some["right"].mean(), drop, *ends, "protein", *_n(some)))


def _rescaling(rows: list, key: tuple, part: pd.DataFrame) -> None:
    for scope, place, some in _scopes(part):
        drop = some["was"].mean() - some["right"].mean()
        parts = {"total": 1.0, "rescaling": SHARE_RESCALED, "context": 1 - SHARE_RESCALED}
        for name, share in parts.items():
            value = drop * share
            ends = value - 0.015, value + 0.015
            rows.append((*key, name, scope, place, value, *ends, "protein", *_n(some)))


def _calibration(rows: dict[str, list], key: tuple, part: pd.DataFrame, classes: tuple) -> None:
    bins = np.minimum((part["top"] * BINS).astype(int), BINS - 1)
    truth = part["truth"].map(list(classes).index).to_numpy()
    p = np.stack(part["probabilities"].to_list())
    brier = float(((p - np.eye(len(classes))[truth]) ** 2).sum(1).mean())
    for temperature in (1.0, 1.4):
        error = 0.0
        for number, some in part.groupby(bins):
            confidence = some["top"].mean() ** (1.0 if temperature == 1 else 0.8)
            error += len(some) / len(part) * abs(confidence - some["right"].mean())
            row = (int(number), confidence, some["right"].mean(), len(some), some["cell"].nunique())
            rows["reliability"].append((*key, temperature, *row))
        for measure, value in (("ece", error), ("brier", brier)):
            ends = max(0.0, value - 0.01), value + 0.01
            rows["calibration"].append(
                (*key, measure, temperature, value, *ends, "protein", *_n(part))
            )


def _truth(
    rows: list,
    model: str,
    table: pd.DataFrame,
    proteins: pd.DataFrame,
    rng: np.random.Generator,
) -> None:
    labels = proteins.set_index("protein")["labels"]
    for (protocol, protein), some in table.groupby(["protocol", "protein"]):
        before = some[some["condition"] == "unaltered"]["predicted"]
        for condition, part in some.groupby("condition"):
            if condition == "unaltered" or before.empty or not len(labels[protein]):
                continue
            near, far = sorted(rng.uniform(0.02, 0.6, 2))
            tops = (labels[protein][0], before.mode()[0], part["predicted"].mode()[0])
            distances = (near, far, near * 0.7, far * 0.7)
            cells = part["cell"].nunique()
            rows.append((model, condition, protocol, protein, *distances, *tops, cells))
