"""What `run.json` says of a run: models, store, versions, device, and everything left out.

Layer: returns what is written there, reads a run's tables for its checks; computes no results.
"""

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from compute import schema
from compute.backgrounds.plan import Plan
from compute.models.embedder import Embedder
from compute.probes.cells import Cells
from compute.probes.folds import SCHEMES
from compute.runs.config import RunConfig
from compute.schema import Condition
from compute.storage.run_directory import RunDirectory, command_line
from compute.store.reader import CropStore

LIBRARIES = ("numpy", "torch", "scikit-learn", "scikit-image", "pyarrow", "pandas", "duckdb")
"""Packages whose versions are recorded."""


def describe(
    store: CropStore,
    plan: Plan,
    cells: Cells,
    models: Sequence[Embedder],
    config: RunConfig,
    device: torch.device,
    name: str,
) -> dict[str, Any]:
    """Describe a run for `run.json`: what a reader of its tables must know.

    Parameters
    ----------
    store, plan, cells, models, config
        What the run is made from.
    device
        Where it embeds.
    name
        Name of the run, for the dashboard.

    Returns
    -------
    dict
        Entries of `run.json`; plain values that JSON holds.
    """
    meta = store.meta
    return {
        "name": name,
        "simulated": store.simulated,
        "localizations": store.localizations,
        "conditions": list(plan.config.conditions),
        "protocols": [str(p) for p in schema.Protocol],
        "models": [
            {
                "name": model.name,
                "hash": model.hash,
                "dimension": model.dimension,
                "card": plain(asdict(model.card)),
            }
            for model in models
        ],
        "store": {
            "path": store.path.name,
            **{
                key: meta[key]
                for key in ("fingerprint", "source", "channels", "size", "dtype", "counts",
                            "rejections")
            },
        },
        "configuration": plain(asdict(config)),
        "rejections": [
            *({"stage": "crops", **item} for item in meta["rejections"]),
            *_flagged(store),
            *plan.rejections,
            *_untested(cells, config),
            *_without_background(plan, cells),
        ],
        "device": describe_device(device),
        "versions": {
            "python": platform.python_version(),
            **{library: version(library) for library in LIBRARIES},
        },
        "command": command_line(),
    }  # fmt: skip


def describe_device(device: torch.device) -> dict[str, Any]:
    """Return type and name of a device, and the number of PyTorch's threads."""
    return {
        "type": device.type,
        "name": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }


def _flagged(store: CropStore) -> list[dict[str, Any]]:
    """Count the cells that their masks keep out of trials."""
    found = []
    flags = store.cells["flags"].to_numpy()
    for flag, words in schema.CELL_FLAGS.items():
        rows = np.flatnonzero((flags & int(flag)) != 0)
        if flag & schema.UNUSABLE and len(rows):
            where = store.cells["field"].iloc[rows[:20]]
            cell = store.cells["cell"].iloc[rows[:20]]
            found.append(
                {
                    "stage": "masks",
                    "reason": words,
                    "count": len(rows),
                    "examples": [f"cell {c} of {f}" for c, f in zip(cell, where, strict=True)],
                }
            )
    return found


def _untested(cells: Cells, config: RunConfig) -> list[dict[str, Any]]:
    """Say which classes cannot be tested, and which get fewer folds than asked for."""
    dealt = "proteins" if config.fold_scheme == SCHEMES[0] else "cells"
    sizes = cells.folds.sizes
    found = []
    for k in np.flatnonzero(sizes == 1).tolist():
        found.append(
            {
                "stage": "probe",
                "reason": f"{cells.names[k]}: only one of its {dealt}, so it cannot be both "
                "learned and tested"
                + (" (--folds-by paper deals out cells)" if dealt == "proteins" else ""),
                "count": int((cells.grid & (cells.classes == k)).sum()),
                "examples": sorted(set(cells.protein[cells.grid & (cells.classes == k)])),
            }
        )
    few = np.flatnonzero((sizes >= 2) & (sizes < config.folds)).tolist()
    found += [
        {
            "stage": "probe",
            "reason": f"{cells.names[k]}: {sizes[k]} {dealt} for {config.folds} folds, so "
            f"{sizes[k]} folds are used",
            "count": int((cells.grid & (cells.classes == k)).sum()),
            "examples": [],
        }
        for k in few
    ]
    return found


def _without_background(plan: Plan, cells: Cells) -> list[dict[str, Any]]:
    """Say which pairs of classes have no third class whose background they could stand on."""
    grid = [str(c) for c in plan.config.composed if schema.CONDITIONS[c].grid]
    pairs = list(combinations(cells.folds.testable().tolist(), 2))
    without = [pair for pair in pairs if not set(plan.backgrounds.tolist()) - set(pair)]
    if not grid or not without:
        return []
    return [
        {
            "stage": "probe",
            "reason": f"{' and '.join(grid)}: no third localization for a pair test to stand on "
            "(the multi-class probe and `conflicting` need none)",
            "count": len(without),
            "examples": [f"{cells.names[a]} and {cells.names[b]}" for a, b in without[:20]],
        }
    ]


def plain(value: Any) -> Any:
    """Turn tuples, paths and enums into what JSON holds, so that it compares equal when read."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def flagged_trials(run: RunDirectory, flag: schema.TrialFlag) -> int:
    """Count the trials with a quality flag."""
    flags = [pq.read_table(file, columns=["flags"])["flags"] for file in run.parts("trials")]
    return sum(int((column.to_numpy() & int(flag) != 0).sum()) for column in flags)


def sham_difference(run: RunDirectory, models: Sequence[str], plan: Plan) -> dict[str, float]:
    """Return the largest absolute difference between sham and unaltered embeddings, by model."""
    if Condition.SHAM not in plan.config.conditions:
        return {}
    worst = {}
    for model in models:
        largest = 0.0
        for file in run.parts("embeddings", model):
            table = pq.read_table(file, partitioning=None)
            condition = np.asarray(table.column("condition").to_pylist())
            flat = np.asarray(table.column("embedding").combine_chunks().flatten())
            vectors = flat.reshape(len(condition), -1)
            sham, own = vectors[condition == "sham"], vectors[condition == "unaltered"]
            largest = max(largest, float(np.abs(sham - own).max()))
        worst[model] = largest
    return worst
