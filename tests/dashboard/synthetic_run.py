"""Seeded run directories for tests of the dashboard, written by the real writer.

Every table has the schema of `compute.schema`; distributions and shifts follow from the
predictions, so that numbers agree across tables. Nothing here is a result.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow as pa

from compute import schema
from compute.schema import Condition
from compute.storage import run_directory
from tests.dashboard.synthetic_answers import write_answers

ALL_CONDITIONS = tuple(str(condition) for condition in Condition)
ALL_MODELS = ("pifia", "paired_cell", "deeploc")
SIZE = 64

LOSS = {
    "unaltered": 0.0,
    "sham": 0.0,
    "same": 0.01,
    "masked": 0.05,
    "cell_free": 0.06,
    "different": 0.15,
    "conflicting": 0.22,
    "background_only": 0.30,
}
MARGIN = 0.02
SKILL = {"pifia": 0.92, "paired_cell": 0.88, "deeploc": 0.76}


@dataclass(frozen=True)
class Plan:
    """What a synthetic run holds."""

    models: tuple[str, ...] = ALL_MODELS
    conditions: tuple[str, ...] = ALL_CONDITIONS
    localizations: tuple[str, ...] = schema.LOCALIZATIONS
    proteins_per_class: int = 6
    mixed: int = 10
    cells: int = 10
    example_cells: int = 40
    repeats: int = 2
    seed: int = 7
    name: str = "synthetic"
    simulated: bool = True
    labels: bool = True
    examples: bool = True
    complete: bool = True
    odd_names: bool = False
    drops: bool = True
    answers: bool = True


def write_run(path: Path, plan: Plan = Plan()) -> Path:
    """Write one run directory and return its path."""
    rng = np.random.default_rng(plan.seed)
    proteins = _proteins(plan, rng)
    cells = _cells(plan, proteins, rng)
    trials = _trials(plan, cells, rng)
    header = {"plan": {"seed": plan.seed, "repeats": plan.repeats}, "normalisation": "crop"}
    with run_directory.begin(path, header, _details(plan, cells), fresh=True) as run:
        run.write(run.summary("cells"), _table(cells, schema.cells_schema()), schema.cells_schema())
        run.write(
            run.part("trials", 0), _table(trials, schema.trials_schema()), schema.trials_schema()
        )
        if not plan.complete:
            return path
        predictions = {model: _predict(plan, model, cells, trials, rng) for model in plan.models}
        layout = schema.predictions_schema(len(plan.localizations))
        for model, table in predictions.items():
            run.write(run.part("predictions", 0, model), _table(table, layout), layout)
        tables = {
            **_accuracies(plan, rng),
            **_distances(plan, proteins, predictions, rng),
            **write_answers(plan, proteins, cells, trials, predictions),
            "pair_tallies": pd.DataFrame(columns=schema.PAIR_TALLIES.names),
        }
        if plan.examples:
            tables["examples"] = _examples(plan, cells, trials, predictions, rng)
        for name, frame in tables.items():
            run.write(
                run.summary(name),
                _table(frame, schema.SUMMARY_TABLES[name]),
                schema.SUMMARY_TABLES[name],
            )
        run.finish(
            counts={"cells": len(cells), "trials": len(trials), "proteins": len(proteins)},
            timings={"plan": 1.2, "embed": 44.0, "probe": 31.5, "effects": 12.25},
            checks={"sham_max_difference": dict.fromkeys(plan.models, 2.4e-7)},
            rejections=[
                {
                    "stage": "plan",
                    "reason": "no donor of the same localization",
                    "count": 3,
                    "examples": ["cell 12", "cell 40", "cell 41"],
                }
            ],
        )
    return path


def _table(frame: pd.DataFrame, layout: pa.Schema) -> pa.Table:
    return pa.Table.from_pandas(frame[layout.names], schema=layout, preserve_index=False)


def _details(plan: Plan, cells: pd.DataFrame) -> dict[str, Any]:
    usable = int((cells["flags"] & int(schema.UNUSABLE) == 0).sum())
    card = {"title": "A network", "width": 0.25, "layer": "conv", "source": "trained here"}
    return {
        "name": plan.name,
        "simulated": plan.simulated,
        "localizations": list(plan.localizations),
        "conditions": list(plan.conditions),
        "protocols": [str(p) for p in schema.Protocol],
        "models": [
            {"name": m, "hash": f"{zlib.crc32(m.encode()):08x}", "dimension": 64, "card": card}
            for m in plan.models
        ],
        "store": {
            "path": "store",
            "fingerprint": "0123456789abcdef",
            "source": {"kind": "simulated" if plan.simulated else "paired-cell", "seed": 1},
            "channels": ["GFP", "RFP"],
            "size": SIZE,
            "dtype": "uint16",
            "counts": {
                "cells": len(cells),
                "usable": usable,
                "windows": 40,
                "flags": {"TOUCHES_BORDER": len(cells) - usable},
            },
            "rejections": [
                {"reason": "the image is constant", "count": 2, "examples": ["plate_3.tif"]}
            ],
        },
        "configuration": {"seed": plan.seed, "folds": "grouped", "bootstrap": 2000},
        "device": "cpu",
        "versions": {"python": "3.11", "torch": "2.13.0", "bystander": "0.1.0"},
    }


def _proteins(plan: Plan, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for index, place in enumerate(plan.localizations):
        for number in range(plan.proteins_per_class):
            rows.append([f"{place[:2].upper()}{chr(65 + number)}{index + 1}", [place]])
    for number in range(plan.mixed if len(plan.localizations) > 1 else 0):
        pair = rng.choice(len(plan.localizations), 2, replace=False)
        rows.append([f"MIX{number + 1}", [plan.localizations[i] for i in pair]])
    frame = pd.DataFrame(rows, columns=["protein", "labels"])
    if plan.odd_names:
        frame.loc[0, "protein"] = "α-tubulin <b>'\";--"
        frame.loc[1, "protein"] = "タンパク質"
    letters = "ABCDEFGHIJKLMNOP"
    frame["orf"] = [
        f"Y{letters[i % 16]}{'LR'[i % 2]}{i + 1:03d}{'CW'[i // 2 % 2]}" for i in range(len(frame))
    ]
    if not plan.labels:
        frame["labels"] = [[] for _ in range(len(frame))]
    return frame


def _cells(plan: Plan, proteins: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    frame = proteins.loc[proteins.index.repeat(plan.cells)].reset_index(drop=True)
    count = len(frame)
    frame["cell"] = np.arange(count)
    frame["localization"] = [x[0] if len(x) == 1 else None for x in frame["labels"]]
    frame["field"] = "field_" + (frame["cell"] // 5).astype(str)
    frame["replicate"] = np.where(rng.random(count) < 0.5, "A", "B")
    frame["split"] = "evaluate"
    frame["mask_area"] = rng.integers(500, 1200, count)
    frame["neighbour_fraction"] = rng.uniform(0.05, 0.6, count)
    frame["flags"] = np.where(rng.random(count) < 0.06, int(schema.CellFlag.TOUCHES_BORDER), 0)
    return frame


def _trials(plan: Plan, cells: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    usable = cells[(cells["flags"] & int(schema.UNUSABLE)) == 0]
    parts = []
    for condition in plan.conditions:
        spec = schema.CONDITIONS[Condition(condition)]
        if not spec.composed:
            continue
        for repeat in range(plan.repeats if spec.donors != "none" else 1):
            part = usable[["cell", "protein", "localization"]].copy()
            part["condition"] = condition
            part["repeat"] = repeat
            donors = spec.donors != "none"
            part["donor"] = rng.choice(cells["cell"], len(part)) if donors else None
            places = rng.choice(np.array(plan.localizations, dtype=object), len(part))
            same = np.where(part["localization"].isna(), places, part["localization"])
            part["donor_localization"] = (
                None if not donors else same if condition == "same" else places
            )
            parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    frame["trial"] = np.arange(len(frame))
    frame["seed"] = rng.integers(0, 2**40, len(frame))
    frame["flags"] = np.where(rng.random(len(frame)) < 0.08, int(schema.TrialFlag.SEAM), 0)
    frame["donor"] = frame["donor"].astype("Int64")
    return frame


def _predict(
    plan: Plan, model: str, cells: pd.DataFrame, trials: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    classes = np.array(plan.localizations)
    labels = cells.set_index("cell")["labels"].reindex(trials["cell"])
    first = np.array(
        [
            plan.localizations.index(x[cell % len(x)]) if len(x) else cell % len(classes)
            for cell, x in labels.items()
        ]
    )
    parts = []
    for protocol in schema.Protocol:
        lost = trials["condition"].map(LOSS).to_numpy() * (1.0 if plan.drops else 0.0)
        skill = SKILL.get(model, 0.8) - lost * (1.6 if protocol == "frozen" else 1.0)
        true = np.where(
            rng.random(len(trials)) < skill, first, rng.integers(0, len(classes), len(first))
        )
        logits = rng.normal(0, 1, (len(trials), len(classes)))
        logits[np.arange(len(trials)), true] += 4
        weights = np.exp(logits)
        probabilities = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
        part = trials[["protein", "cell", "trial", "condition"]].copy()
        part["protocol"] = str(protocol)
        part["predicted"] = classes[probabilities.argmax(1)]
        part["probabilities"] = list(probabilities)
        parts.append(part)
    return pd.concat(parts, ignore_index=True).sort_values(
        ["protein", "cell", "trial", "protocol"], kind="stable"
    )


def _accuracies(plan: Plan, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    accuracy, effects, pairwise = [], [], []
    scale = 1.0 if plan.drops else 0.0
    labelled = plan.localizations if plan.labels else ()
    for model in plan.models:
        for protocol, worse in (("refit", 1.0), ("frozen", 1.5)):
            for probe, base in (("pair", SKILL.get(model, 0.8)), ("multiclass", 0.7)):
                per_class = rng.normal(0, 0.03, len(labelled))
                for condition in plan.conditions:
                    if condition == "conflicting" and probe == "multiclass":
                        continue
                    key = [model, condition, protocol, probe, "all"]
                    level = base - LOSS[condition] * worse * scale
                    counts = ["protein", 60 * len(labelled), 6 * len(labelled)]
                    if len(labelled):
                        accuracy.append(
                            [*key, "overall", None, level, level - 0.02, level + 0.02, *counts]
                        )
                    for place, more in zip(labelled, per_class, strict=True):
                        value = float(np.clip(level + more + rng.normal(0, 0.01), 0, 1))
                        accuracy.append(
                            [*key, "localization", place, value, *ends(value), "protein", 60, 6]
                        )
                    if condition != "unaltered" and len(labelled):
                        drop = LOSS[condition] * worse * scale
                        p = 0.0005 if drop > 0.02 else 0.4
                        row = [model, "drop", condition, protocol, probe, "all", "overall", None]
                        low, high = drop - 0.015, drop + 0.015
                        told = equivalence(low, high)
                        effects.append(
                            [*row, drop, low, high, "protein", p, 2 * p, *told, *counts[1:]]
                        )
                if {"same", "different"} <= set(plan.conditions) and len(labelled):
                    gap = (LOSS["different"] - LOSS["same"]) * worse * scale
                    row = [model, "gap", "different", protocol, probe, "all", "overall", None]
                    low, high = gap - 0.02, gap + 0.02
                    told = equivalence(low, high)
                    effects.append(
                        [*row, gap, low, high, "protein", 0.0005, 0.004, *told, *counts[1:]]
                    )
            for condition in plan.conditions:
                grid = condition in ("different", "cell_free")
                for i, a in enumerate(labelled):
                    for b in labelled[i + 1 :]:
                        for k in [c for c in labelled if c not in (a, b)] if grid else [None]:
                            value = SKILL.get(model, 0.8) - LOSS[condition] * worse * scale
                            value = float(np.clip(value + rng.normal(0, 0.04), 0, 1))
                            pairwise.append([model, condition, protocol, a, b, k, value, 0.03, 120])
    return {
        "accuracy": pd.DataFrame(accuracy, columns=schema.ACCURACY.names),
        "effects": pd.DataFrame(effects, columns=schema.EFFECTS.names),
        "pairwise": pd.DataFrame(pairwise, columns=schema.PAIRWISE.names),
    }


def equivalence(low: float, high: float) -> tuple[float, float, float]:
    """Give an effect a margin and its tests: small where the interval lies within it."""
    p = 0.001 if max(abs(low), abs(high)) <= MARGIN else 0.6
    return MARGIN, p, min(1.0, 2 * p)


def ends(value: float) -> tuple[float, float]:
    """Give an accuracy an interval."""
    return value - 0.04, min(1.0, value + 0.04)


def _distances(
    plan: Plan,
    proteins: pd.DataFrame,
    predictions: dict[str, pd.DataFrame],
    rng: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    classes = list(plan.localizations)
    orf = proteins.set_index("protein")["orf"]
    labels = proteins.set_index("protein")["labels"]
    shifts, distributions = [], []
    for model, table in predictions.items():
        for (protocol, protein), rows in table.groupby(["protocol", "protein"], sort=True):
            before = rows[rows["condition"] == "unaltered"]
            share = {}
            for condition, part in rows.groupby("condition", sort=False):
                mean = np.stack(part["probabilities"].to_list()).mean(0)
                share[condition] = (
                    part["predicted"].value_counts(normalize=True).reindex(classes, fill_value=0.0)
                )
                for place, probability in zip(classes, mean, strict=True):
                    key = (model, condition, protocol, protein, place)
                    distributions.append(
                        (*key, share[condition][place], float(probability), part["cell"].nunique())
                    )
            if before.empty:
                continue
            said = before.set_index("cell")["predicted"]
            for condition in share:
                if condition == "unaltered":
                    continue
                part = rows[rows["condition"] == condition]
                tv = float(0.5 * (share[condition] - share["unaltered"]).abs().sum())
                flipped = float((part["predicted"] != part["cell"].map(said)).mean())
                p = float(np.clip(np.exp(-9 * tv) * rng.uniform(0.3, 1), 0.0005, 1))
                shifts.append(
                    {
                        "model": model,
                        "condition": condition,
                        "protocol": protocol,
                        "protein": protein,
                        "orf": orf[protein],
                        "labels": labels[protein],
                        "jsd": tv * 0.7,
                        "tv": tv,
                        "kl": tv * 2,
                        "noise_floor": 0.12,
                        "p_value": p,
                        "q_value": min(1.0, p * 1.5),
                        "top_before": share["unaltered"].idxmax(),
                        "top_after": share[condition].idxmax(),
                        "flipped_fraction": flipped,
                        "n_cells": part["cell"].nunique(),
                    }
                )
    return {
        "shifts": pd.DataFrame(shifts, columns=schema.SHIFTS.names),
        "distributions": pd.DataFrame(distributions, columns=schema.DISTRIBUTIONS.names),
    }


def _examples(
    plan: Plan,
    cells: pd.DataFrame,
    trials: pd.DataFrame,
    predictions: dict[str, pd.DataFrame],
    rng: np.random.Generator,
) -> pd.DataFrame:
    usable = trials["cell"].unique()
    chosen = np.sort(rng.choice(usable, min(plan.example_cells, len(usable)), replace=False))
    known = cells.set_index("cell")
    rows = trials[trials["cell"].isin(chosen) & (trials["repeat"] == 0)].copy()
    rows["labels"] = rows["cell"].map(known["labels"])
    rows["donor_protein"] = [
        None if pd.isna(d) else known.loc[int(d), "protein"] for d in rows["donor"]
    ]
    places = [*plan.localizations]
    own = {
        c: places.index(known.loc[c, "labels"][0]) if len(known.loc[c, "labels"]) else 0
        for c in chosen
    }
    drawn = [
        draw(int(cell), own[cell], condition, rng)
        for cell, condition in zip(rows["cell"], rows["condition"], strict=True)
    ]
    rows["images"] = [
        [imagecodecs.png_encode(plane, level=6) for plane in image] for image in drawn
    ]
    rows["offset"] = [[0.0, 0.0]] * len(rows)
    rows["gain"] = [[1.0, 1.0]] * len(rows)
    angle = np.linspace(0, 2 * np.pi, 40)
    outline = np.stack([31.5 + 13 * np.cos(angle), 31.5 + 16 * np.sin(angle)], 1).ravel()
    rows["outline"] = [[outline.astype(np.float32).tolist()]] * len(rows)
    said: dict[int, list[dict[str, Any]]] = {}
    for model, table in predictions.items():
        for row in table[table["trial"].isin(rows["trial"])].itertuples():
            said.setdefault(row.trial, []).append(
                {
                    "model": model,
                    "protocol": row.protocol,
                    "predicted": row.predicted,
                    "probability": float(max(row.probabilities)),
                }
            )
    rows["predictions"] = [said.get(trial, []) for trial in rows["trial"]]
    return rows.sort_values(["protein", "cell", "condition"])


def draw(cell: int, place: int, condition: str, rng: np.random.Generator) -> np.ndarray:
    """Draw a crop of shape (2, 64, 64), uint16: a cell with a pattern, and its neighbours."""
    fixed = np.random.default_rng(cell)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    image = np.zeros((2, SIZE, SIZE))
    centres: Sequence[tuple[float, float]] = [(31.5, 31.5)]
    if condition == "masked" or condition == "cell_free":
        around: list[tuple[float, float]] = []
    else:
        source = fixed if condition in ("unaltered", "sham", "background_only") else rng
        around = [(31.5 + 33 * np.cos(a), 31.5 + 33 * np.sin(a)) for a in source.uniform(0, 6.3, 3)]
    centres = [*around] if condition == "background_only" else [*centres, *around]
    for cx, cy in centres:
        radius = np.hypot((x - cx) / 13, (y - cy) / 16)
        image[1] += 900 * np.clip(1.2 - radius, 0, 1)
        if place % 3 == 0:
            image[0] += 2500 * np.exp(-(((radius - 0.9) / 0.1) ** 2))
        elif place % 3 == 1:
            image[0] += 2200 * np.exp(-((np.hypot(x - cx - 3, y - cy) / 5) ** 2))
        else:
            for dx, dy in fixed.normal(0, 6, (5, 2)):
                image[0] += 3000 * np.exp(-((np.hypot(x - cx - dx, y - cy - dy) / 1.8) ** 2))
        image[0] += 300 * (radius < 1)
    image += 200 + rng.normal(0, 40, image.shape)
    if condition == "masked":
        image[:, np.hypot((x - 31.5) / 13, (y - 31.5) / 16) > 1] = 0
    return np.clip(image, 0, 65535).astype(np.uint16)
