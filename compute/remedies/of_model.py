"""All remedies of one model: fitted, judged, and put into rows of the table `remedies`.

Layer: reads `trials` and `embeddings` of a run through `learned` and `judge`; writes nothing.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from compute.errors import InputError
from compute.probes.gather import shards
from compute.probes.multiclass import Multiclass, TrainingCrops, fit_multiclass
from compute.remedies.balanced import fit_balanced
from compute.remedies.config import RemedyConfig
from compute.remedies.judge import Judge, answered, made_alike, worst
from compute.remedies.learned import learn
from compute.remedies.projected import fit_projected
from compute.remedies.rows import finding_rows, worst_case_rows
from compute.schema import REMEDIES_IN_WORDS, Condition, Remedy
from compute.statistics.bootstrap import BootstrapConfig, Resampling
from compute.statistics.joint_answers import Draw
from compute.storage.run_directory import RunDirectory

NO_MAP = "Its layer gives vectors, no map that could be pooled."
"""Why a model cannot be pooled elsewhere, where only its embeddings tell."""


def model_rows(
    judge: Judge,
    name: str,
    others: Mapping[Remedy, str],
    reasons: Mapping[Remedy, str],
    bootstrap: BootstrapConfig,
    seen: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Fit and judge the remedies of one model.

    Parameters
    ----------
    judge
        Where embeddings lie, and how remedies are judged.
    name
        Name of the model.
    others
        Names of itself with its map pooled elsewhere, by the remedy that does it.
    reasons
        Why a remedy that would is not among them.
    bootstrap
        Settings of the intervals.
    seen
        By condition, the share of trials whose donor's protein the probe was fitted on.

    Returns
    -------
    list of dict
        Columns of `compute.schema.REMEDIES`.

    Raises
    ------
    InputError
        No probe can be fitted.
    """
    vectors = without_map(judge.run, name, others)
    reasons = {**reasons, **dict.fromkeys(vectors, NO_MAP)}
    others = {remedy: other for remedy, other in others.items() if remedy not in vectors}
    probes, chosen = fit_remedies(judge, name, others)
    if Remedy.NONE not in probes:
        raise InputError(
            f"Model {name!r}: its probe cannot be fitted, for fewer than two classes can be tested "
            "or there are fewer than two folds.",
            "Give a run with more labelled proteins.",
        )
    rows = judged_rows(judge, name, others, probes, bootstrap)
    missing = {*map(str, Remedy)} - {row["remedy"] for row in rows}
    known = [{**row, "applies": True, "unit": judge.cells.units.kind} for row in rows]
    known += [
        {"remedy": each, "applies": False, "reason": reasons[Remedy(each)]} for each in missing
    ]
    order = list(Remedy)
    known.sort(key=lambda row: order.index(Remedy(row["remedy"])))
    return [
        {
            "model": name, **row, "chosen": chosen.get(Remedy(row["remedy"])),
            "needs_mask": REMEDIES_IN_WORDS[Remedy(row["remedy"])].needs_mask,
            "donor_seen": seen.get(row.get("condition", "")),
            "passes": passes(Remedy(row["remedy"]), judge.config),
        }
        for row in known
    ]  # fmt: skip


def judged_rows(
    judge: Judge,
    name: str,
    others: Mapping[Remedy, str],
    probes: Mapping[Remedy, Multiclass],
    bootstrap: BootstrapConfig,
) -> list[dict[str, Any]]:
    """Judge fitted remedies of one model.

    Parameters
    ----------
    judge, name, others, bootstrap
        As of `model_rows`.
    probes
        By remedy, `NONE` among them, as from `fit_remedies`.

    Returns
    -------
    list of dict
        As from `compute.remedies.rows.finding_rows` and `worst_case_rows`.
    """
    cells, answers = judge.cells, {}
    asked = judge.ask(probes, name, others)
    for remedy, judged in asked.items():
        found = answered(judged, cells, judge.conditions)
        alike = [Condition.UNALTERED, *REMEDIES_IN_WORDS[remedy].replaces]
        if REMEDIES_IN_WORDS[remedy].replaces:
            found = made_alike(found, [str(c) for c in alike if c in found.tested])
        answers[remedy] = found
    draw = _draws(len(cells.names), bootstrap)
    rows = list(finding_rows(answers, cells.names, draw, bootstrap))
    sums = {remedy: worst(judged, cells) for remedy, judged in asked.items()}
    return rows + list(worst_case_rows(sums, cells.units, cells.names, draw))


def passes(remedy: Remedy, config: RemedyConfig) -> int:
    """Return how often a crop goes through the network in use.

    Examples
    --------
    >>> passes(Remedy.AVERAGED, RemedyConfig(backgrounds=3))
    3
    """
    return config.backgrounds if REMEDIES_IN_WORDS[remedy].averages else 1


def fit_remedies(
    judge: Judge,
    model: str,
    others: Mapping[Remedy, str],
    wanted: Collection[Remedy] = tuple(Remedy),
) -> tuple[dict[Remedy, Multiclass], dict[Remedy, str]]:
    """Fit the probes of all remedies of a model, each fold's on the other folds' cells.

    Parameters
    ----------
    judge
        Where embeddings lie.
    model
        Name of the model.
    others
        Names of itself with its map pooled elsewhere, by the remedy that does it.
    wanted
        Those that are fitted; by default all.

    Returns
    -------
    probes : dict
        By remedy; empty where none can be fitted.
    chosen : dict
        What cross-validation chose, by remedy, in words.
    """
    cells, chosen = judge.cells, {}
    learned = learn(judge.run, cells, model, judge.config, judge.seed)
    if learned is None:
        return {}, {}
    given = {
        Remedy.NONE: learned.unaltered, Remedy.CLEANED: learned.alone,
        Remedy.AVERAGED: learned.averaged,
    }  # fmt: skip
    for remedy, other in others.items():
        inside = learn(judge.run, cells, other, judge.config, judge.seed)
        if inside is not None:
            given[remedy] = inside.unaltered
    found: dict[Remedy, Multiclass] = {}
    for remedy, features in given.items():
        if remedy not in wanted:
            continue
        crops = TrainingCrops(features, learned.cell, learned.classes)
        start = None if remedy in others else found.get(Remedy.NONE)
        probe = fit_multiclass(crops, cells.folds, len(cells.names), start)
        if probe is None:
            return {}, {}
        found[remedy] = probe
    for remedy, fit in ((Remedy.BALANCED, fit_balanced), (Remedy.PROJECTED, fit_projected)):
        if remedy not in wanted:
            continue
        found[remedy], chosen[remedy] = fit(learned, cells.folds, len(cells.names), judge.config)
    return found, chosen


def without_map(run: RunDirectory, model: str, others: Mapping[Remedy, str]) -> list[Remedy]:
    """List the remedies that pool nothing, for the model's layer gives vectors.

    Parameters
    ----------
    run
        Has the embeddings.
    model
        Name of the model.
    others
        Names of itself with its map pooled elsewhere, by the remedy that does it.
    """
    return [remedy for remedy, other in others.items() if _alike(run, model, other)]


def _alike(run: RunDirectory, model: str, other: str) -> bool:
    """Tell whether two models have the very same embeddings, by their first shard."""
    first = next(shards(run, "embeddings", model), None)
    second = next(shards(run, "embeddings", other), None)
    return first is not None and second is not None and np.array_equal(first[1], second[1])


def _draws(classes: int, config: BootstrapConfig) -> Draw:
    """Return what gives the bootstrap draws of resampling units, each made once."""

    @lru_cache(maxsize=4)
    def drawn(units: bytes) -> Resampling:
        code = np.frombuffer(units, np.int64)
        return Resampling(code, classes, config.draws, config.seed)

    return lambda units: drawn(units.tobytes())
