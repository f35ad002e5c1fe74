"""Summary tables of a run that is made for measuring: as many rows as a real run's. No result.

`distributions`, `shifts`, `truth` and the multi-class accuracies follow from the predictions drawn
by `made_run`; intervals, p-values and pair tests are drawn, since only their number matters here.
"""

from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import entropy

from compute import schema
from compute.schema import SUMMARY_TABLES
from compute.statistics.config import BootstrapConfig
from dashboard.bench.columns import constant, take

if TYPE_CHECKING:
    from dashboard.bench.synthetic_run import Drawn

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]

TEMPERATURES = (1.0, 1.4)
BINS = 15
NAMES = schema.LOCALIZATIONS
ENDS = {"unit": "protein"}


def write_quickly(path: Path, table: pa.Table) -> None:
    """Write a small file as the real writer encodes it, without waiting for the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def summaries(drawn: "Drawn") -> dict[str, Iterator[pa.Table]]:
    """Return every summary table but `examples`, in parts."""
    rng = np.random.default_rng((drawn.size.seed, 5))
    keys = sorted(drawn.proportion)
    conditions = _conditions()
    rows: dict[str, Rows] = {
        "accuracy": [],
        "effects": [],
        "pairwise": [],
        "flips": [],
        "backgrounds": [],
        "rescaling": [],
        "calibration": [],
        "reliability": [],
    }
    for model, protocol in keys:
        right = _right(drawn, model, protocol)
        for place, condition in enumerate(conditions):
            key = {"model": model, "condition": condition, "protocol": protocol}
            _accuracies(rows, key, right, place, drawn, rng)
            _pairs(rows["pairwise"], key, right[:, place], rng)
            _answers(rows, key, right, place, drawn, rng)
    made: dict[str, Iterator[pa.Table]] = {
        name: iter([pa.Table.from_pylist(found, SUMMARY_TABLES[name])])
        for name, found in rows.items()
    }
    made["distributions"] = _distributions(drawn)
    made["shifts"] = _shifts(drawn, rng)
    made["truth"] = _truth(drawn)
    made["pair_tallies"] = _tallies(drawn, rng)
    return made


def _conditions() -> tuple[str, ...]:
    from dashboard.bench.synthetic_run import CONDITIONS

    return CONDITIONS


def _right(drawn: "Drawn", model: str, protocol: str) -> Floats:
    """Return each class's share of right answers, shape (classes, conditions)."""
    share = drawn.proportion[model, protocol]
    own = np.take_along_axis(share, drawn.home[:, None, None], axis=2)[:, :, 0]
    return np.stack([own[drawn.home == k].mean(axis=0) for k in range(len(NAMES))])


def _counts(drawn: "Drawn", scope: str) -> dict[str, int]:
    proteins = drawn.size.proteins if scope == "overall" else drawn.size.proteins // len(NAMES)
    return {"n_proteins": proteins, "n_cells": proteins * drawn.size.cells_each}


def _ends(value: float, low: str = "ci_low", high: str = "ci_high") -> dict[str, float]:
    return {low: value - 0.01, high: value + 0.01}


def _scopes(of: Floats) -> list[tuple[str, str | None, float]]:
    """Return a number over all classes and of each, from those of each class."""
    each = [("localization", name, float(value)) for name, value in zip(NAMES, of, strict=True)]
    return [("overall", None, float(of.mean())), *each]


def _accuracies(
    rows: dict[str, Rows],
    key: dict[str, str],
    right: Floats,
    place: int,
    drawn: "Drawn",
    rng: np.random.Generator,
) -> None:
    """Add accuracies and drops of both probes, and the gap."""
    for probe, lift in (("pair", 0.05), ("multiclass", 0.0)):
        for aggregation in ("all", "published") if probe == "pair" else ("all",):
            both = {**key, "probe": probe, "aggregation": aggregation}
            here = np.minimum(right[:, place] + lift, 1)
            for scope, name, value in _scopes(here):
                counts = {"scope": scope, "localization": name, **_counts(drawn, scope), **ENDS}
                rows["accuracy"].append({**both, "estimate": value, **_ends(value), **counts})
            tested = [] if place == 0 else [("drop", right[:, 0] - right[:, place])]
            if key["condition"] == "different":
                tested.append(("gap", right[:, 1] - right[:, place]))
            for effect, of in tested:
                for scope, name, value in _scopes(of):
                    counts = {"scope": scope, "localization": name, **_counts(drawn, scope), **ENDS}
                    p = float(rng.uniform(0, 0.05))
                    tests = {"p_value": p, "p_holm": p, "margin": BootstrapConfig.margin}
                    tests |= {"p_equivalence": 1 - p, "p_equivalence_holm": 1 - p}
                    told = {"effect": effect, "estimate": value, **_ends(value)}
                    rows["effects"].append({**both, **told, **counts, **tests})


def _pairs(rows: Rows, key: dict[str, str], right: Floats, rng: np.random.Generator) -> None:
    """Add pair tests: on every background where the condition has a choice of it."""
    grid = key["condition"] in ("different", "cell_free")
    for a, b in combinations(range(len(NAMES)), 2):
        others = [name for k, name in enumerate(NAMES) if k not in (a, b)] if grid else [None]
        for background in others:
            value = float(np.clip((right[a] + right[b]) / 2 + rng.normal(0, 0.02), 0, 1))
            pair = {"localization_a": NAMES[a], "localization_b": NAMES[b]}
            more = {"background": background, "accuracy": value, "std": 0.02, "n": 2000}
            rows.append({**key, **pair, **more})


def _answers(
    rows: dict[str, Rows],
    key: dict[str, str],
    right: Floats,
    place: int,
    drawn: "Drawn",
    rng: np.random.Generator,
) -> None:
    """Add what is known of the multi-class probe's answers under one condition."""
    overall = {**_counts(drawn, "overall"), **ENDS}
    for temperature in TEMPERATURES:
        for measure in schema.CALIBRATION_MEASURES:
            value = float(rng.uniform(0.02, 0.2))
            named = {"measure": str(measure), "temperature": temperature, "estimate": value}
            rows["calibration"].append({**key, **named, **_ends(value), **overall})
        for number in range(BINS):
            middle = (number + 0.5) / BINS
            more = {"bin": number, "confidence": middle, "accuracy": middle * 0.9, "n": 1000}
            found = {**key, "temperature": temperature, **more, "n_cells": 900}
            rows["reliability"].append(found)
    if place == 0:
        return
    drop = right[:, 0] - right[:, place]
    for scope, name, value in _scopes(drop):
        counts = {"scope": scope, "localization": name, **_counts(drawn, scope), **ENDS}
        for direction, share in (("lost", 0.05 + max(value, 0)), ("gained", 0.05), ("moved", 0.02)):
            told = {"direction": direction, "estimate": share, **_ends(share)}
            rows["flips"].append({**key, **told, **counts})
        if key["protocol"] == "frozen":
            plain = {k: v for k, v in key.items() if k != "protocol"}
            for part, share in (("total", 1.0), ("rescaling", 0.3), ("context", 0.7)):
                told = {"part": part, "estimate": value * share, **_ends(value * share)}
                rows["rescaling"].append({**plain, **told, **counts})
    if key["condition"] == "masked":
        return
    for (i, name), behind in product(enumerate(NAMES), NAMES):
        if (key["condition"] == "same") != (name == behind):
            continue
        pull = float(rng.uniform(0, 0.2))
        told = {"localization": name, "background": behind, "accuracy": float(right[i, place])}
        told |= {"drop": float(drop[i]), **_ends(float(drop[i])), "attraction": pull}
        ends = _ends(pull, "attraction_low", "attraction_high")
        rows["backgrounds"].append({**key, **told, **ends, **_counts(drawn, name), **ENDS})


def _distributions(drawn: "Drawn") -> Iterator[pa.Table]:
    """Give every protein's distribution, as the effects stage orders them."""
    proteins, classes = drawn.size.proteins, len(NAMES)
    count = proteins * classes
    for (model, protocol), share in sorted(drawn.proportion.items()):
        for place, condition in enumerate(_conditions()):
            columns = {
                "model": constant(model, count),
                "condition": constant(condition, count),
                "protocol": constant(protocol, count),
                "protein": take(drawn.names, np.repeat(np.arange(proteins), classes)),
                "localization": take(NAMES, np.tile(np.arange(classes), proteins)),
                "proportion": pa.array(share[:, place].ravel()),
                "mean_probability": pa.array(drawn.probability[model, protocol][:, place].ravel()),
                "n_cells": pa.array(np.full(count, drawn.size.cells_each)),
            }
            yield pa.table(columns, schema=schema.DISTRIBUTIONS)


def _moved(before: Floats, after: Floats) -> dict[str, Floats]:
    """Return distances between distributions, shape (proteins, classes) each."""
    middle = (before + after) / 2
    jsd = (entropy(before, middle, axis=1, base=2) + entropy(after, middle, axis=1, base=2)) / 2
    tv = np.abs(before - after).sum(axis=1) / 2
    return {"tv": tv, "jsd": np.clip(jsd, 0, 1)}


def _shifts(drawn: "Drawn", rng: np.random.Generator) -> Iterator[pa.Table]:
    proteins = np.arange(drawn.size.proteins)
    count = len(proteins)
    labels = pa.array([[name] for name in NAMES], pa.list_(pa.string()))
    for (model, protocol), share in sorted(drawn.proportion.items()):
        chance = drawn.probability[model, protocol]
        for place, condition in enumerate(_conditions()):
            if place == 0:
                continue
            moved = _moved(chance[:, 0], chance[:, place])
            p = np.where(moved["tv"] > 0.05, 0.001, rng.random(count))
            columns = {
                "model": constant(model, count),
                "condition": constant(condition, count),
                "protocol": constant(protocol, count),
                "protein": take(drawn.names, proteins),
                "orf": take(drawn.orfs, proteins),
                "labels": labels.take(pa.array(drawn.home)),
                "jsd": pa.array(moved["jsd"]),
                "tv": pa.array(moved["tv"]),
                "kl": pa.array(entropy(chance[:, 0], chance[:, place], axis=1)),
                "noise_floor": pa.array(rng.uniform(0.01, 0.04, count)),
                "p_value": pa.array(p),
                "q_value": pa.array(np.minimum(1, p * 1.5)),
                "top_before": take(NAMES, share[:, 0].argmax(axis=1)),
                "top_after": take(NAMES, share[:, place].argmax(axis=1)),
                "flipped_fraction": pa.array(np.abs(share[:, 0] - share[:, place]).sum(1) / 2),
                "n_cells": pa.array(np.full(count, drawn.size.cells_each)),
            }
            yield pa.table(columns, schema=schema.SHIFTS)


def _truth(drawn: "Drawn") -> Iterator[pa.Table]:
    proteins = np.arange(drawn.size.proteins)
    count = len(proteins)
    true = np.eye(len(NAMES))[drawn.home]
    for (model, protocol), share in sorted(drawn.proportion.items()):
        before = _moved(true, share[:, 0])
        for place, condition in enumerate(_conditions()):
            if place == 0:
                continue
            after = _moved(true, share[:, place])
            columns = {
                "model": constant(model, count),
                "condition": constant(condition, count),
                "protocol": constant(protocol, count),
                "protein": take(drawn.names, proteins),
                "tv_before": pa.array(before["tv"]),
                "tv_after": pa.array(after["tv"]),
                "jsd_before": pa.array(before["jsd"]),
                "jsd_after": pa.array(after["jsd"]),
                "top_true": take(NAMES, drawn.home),
                "top_before": take(NAMES, share[:, 0].argmax(axis=1)),
                "top_after": take(NAMES, share[:, place].argmax(axis=1)),
                "n_cells": pa.array(np.full(count, drawn.size.cells_each)),
            }
            yield pa.table(columns, schema=schema.TRUTH)


def _tallies(drawn: "Drawn", rng: np.random.Generator) -> Iterator[pa.Table]:
    """Give each protein's tally of pair tests against every other class."""
    proteins, others = np.arange(drawn.size.proteins), len(NAMES) - 1
    of = np.repeat(proteins, others)
    home = drawn.home[of]
    other = (home + 1 + np.tile(np.arange(others), len(proteins))) % len(NAMES)
    count, each = len(of), drawn.size.cells_each
    for model, protocol in sorted(drawn.proportion):
        for condition in _conditions():
            columns = {
                "model": constant(model, count),
                "condition": constant(condition, count),
                "protocol": constant(protocol, count),
                "protein": take(drawn.names, of),
                "cell": pa.nulls(count, pa.int64()),
                "localization": take(NAMES, home),
                "other": take(NAMES, other),
                "correct": pa.array(rng.binomial(each, 0.85, count)),
                "n": pa.array(np.full(count, each)),
                "n_cells": pa.array(np.full(count, each)),
            }
            yield pa.table(columns, schema=schema.PAIR_TALLIES)
