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
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from compute import schema
from compute.backgrounds.config import DONORS, SCHEMES
from compute.backgrounds.folds import PER_FOLD, too_few
from compute.backgrounds.plan import Plan
from compute.models.card_files import written_fields
from compute.models.embedder import Embedder
from compute.models.one_network import places
from compute.models.own_answer import head_words
from compute.models.readable import Reading
from compute.probes.cells import Cells
from compute.runs.config import RunConfig
from compute.storage.run_directory import RunDirectory, command_line
from compute.store.reader import CropStore

LIBRARIES = ("numpy", "torch", "scikit-learn", "scikit-image", "pyarrow", "pandas", "duckdb")
"""Packages whose versions are recorded."""


def describe(
    store: CropStore,
    plan: Plan,
    cells: Cells,
    models: Sequence[Embedder],
    reads: Sequence[Reading],
    config: RunConfig,
    device: torch.device,
    name: str,
) -> dict[str, Any]:
    """Describe a run for `run.json`: what a reader of its tables must know.

    Parameters
    ----------
    store, plan, cells, models, config
        What the run is made from.
    reads
        What each model sees of the crops.
    device
        Where it embeds.
    name
        Name of the run, for the dashboard.

    Returns
    -------
    dict
        Entries of `run.json`; plain values that JSON holds.
    """
    meta, of = store.meta, places(models)
    return {
        "name": name,
        "simulated": store.simulated,
        "localizations": store.localizations,
        "conditions": list(plan.config.conditions),
        "protocols": [
            *map(str, schema.FITTED),
            *([str(schema.Protocol.OWN)] if any(model.own for model in models) else []),
        ],
        "models": [
            {
                "name": model.name,
                "hash": model.hash,
                "dimension": model.dimension,
                "card": plain({n: getattr(model.card, n) for n in written_fields(model.card)}),
                "reads": str(read),
                **({"network": asdict(of[model.name])} if model.name in of else {}),
                **({"baseline": words} if (words := model.card.kind.baseline) else {}),
                **_own(model),
            }
            for model, read in zip(models, reads, strict=True)
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


def _own(model: Embedder) -> dict[str, Any]:
    """Say how a model's own head answers; nothing where it is not asked."""
    words, own = head_words(model.card, model.own), model.own
    if own is None:
        return {"head": words} if words else {}
    return {
        "head": words,
        "own": {
            "layer": own.layer, "gives": own.gives, "head_classes": len(own.head),
            "mapped": own.mapped, "by": own.by, "classes": list(own.named),
            "trained_here": own.trained_here,
        },
    }  # fmt: skip


def left_out(run: RunDirectory, models: Sequence[Embedder]) -> dict[str, Any]:
    """Measure the share of probability that heads gave to classes that are none of the store's.

    Returns
    -------
    dict
        `own_left_out`, by model the mean over unaltered crops; empty where no head was asked.
    """
    unaltered = pc.field("condition") == str(schema.Condition.UNALTERED)
    found = {}
    for model in models:
        if model.own is None:
            continue
        total, count = 0.0, 0
        for file in run.parts("embeddings", model.name):
            shares = pq.read_table(
                file, columns=["own_left_out"], filters=unaltered, partitioning=None
            )["own_left_out"].to_numpy()
            total, count = total + float(shares.sum(dtype=np.float64)), count + len(shares)
        found[model.name] = total / max(count, 1)
    return {"own_left_out": found} if found else {}


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
    """Say which classes cannot be tested, and where folds or proteins in them are too few."""
    grouped = config.plan.fold_scheme == SCHEMES[0]
    dealt = "proteins" if grouped else "cells"
    folds, wanted = cells.folds, config.plan.folds
    found = []
    for k in np.flatnonzero(folds.sizes == 1).tolist():
        found.append(
            {
                "stage": "probe",
                "reason": f"{cells.names[k]}: only one of its {dealt}, so it cannot be both "
                "learned and tested" + (" (--folds-by paper deals out cells)" if grouped else ""),
                "count": int((cells.grid & (cells.classes == k)).sum()),
                "examples": sorted(set(cells.protein[cells.grid & (cells.classes == k)])),
            }
        )
    tested = folds.testable()
    if len(tested) and folds.number < wanted:
        least = tested[folds.sizes[tested] == folds.sizes[tested].min()].tolist()
        found.append(
            {
                "stage": "probe",
                "reason": f"{folds.number} folds instead of {wanted}: a class has only "
                f"{folds.sizes[least[0]]} {dealt}"
                + (f", and each fold is to have {PER_FOLD}" if grouped else ""),
                "count": len(least),
                "examples": [cells.names[k] for k in least],
            }
        )
    scarce = too_few(folds, cells.names) if grouped else []
    if scarce and config.plan.donors == DONORS[0]:
        found.append(
            {
                "stage": "plan",
                "reason": f"fewer than {PER_FOLD} proteins of a class in some fold, so cells there "
                "have `same` donors of other folds, which their probe has learned from "
                "(`donor_seen`)",
                "count": len(scarce),
                "examples": scarce,
            }
        )
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


def moved_masks(run: RunDirectory) -> dict[str, int]:
    """Count the cells in trials whose mask is empty, and those whose mask touches the border.

    Masks that were shrunk may vanish, those that were grown may reach the border; the cells stay in
    the trials, so that runs with other masks have the same cells.
    """
    unaltered = pc.field("condition") == str(schema.Condition.UNALTERED)
    flags = [
        pq.read_table(file, columns=["flags"], filters=unaltered, partitioning=None)["flags"]
        for file in run.parts("trials")
    ]
    found = {
        "cells_with_empty_mask": schema.TrialFlag.EMPTY_MASK,
        "cells_at_the_border": schema.TrialFlag.TOUCHES_BORDER,
    }
    return {
        name: sum(int((some.to_numpy() & int(flag) != 0).sum()) for some in flags)
        for name, flag in found.items()
    }


def seen_donors(run: RunDirectory) -> int:
    """Count the trials whose donor's protein the probe that is tested on them has learned."""
    found = [
        pq.read_table(file, columns=["donor_seen"])["donor_seen"] for file in run.parts("trials")
    ]
    return sum(pc.sum(column).as_py() or 0 for column in found)
