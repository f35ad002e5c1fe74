"""A run from start to end: plan, embed, probe, effects, examples; resumable at any point.

Layer: joins the stages; what each does is in its own file.
"""

import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from compute import schema
from compute.conditions import Plan, PlanConfig
from compute.effects import BootstrapConfig
from compute.embed import EmbedConfig, embed
from compute.errors import InputError, UsageError
from compute.examples import write_examples
from compute.files import Progress, silent
from compute.folds import SCHEMES, deal
from compute.harmonise import measure
from compute.models import Embedder, load_model, resolve_models
from compute.probing import Cells, probe
from compute.rundir import RunDirectory, begin
from compute.schema import Condition
from compute.store import CropStore
from compute.summarise import summarise

LIBRARIES = ("numpy", "torch", "scikit-learn", "scikit-image", "pyarrow", "pandas", "duckdb")


@dataclass(frozen=True)
class RunConfig:
    """Everything a run's tables depend on, beside the store and the models.

    Parameters
    ----------
    plan, embed, bootstrap
        Of the stages.
    folds
        Folds of the probes, 2 or more; the paper has 5.
    fold_scheme
        One of `compute.folds.SCHEMES`.
    examples
        Cells per protein whose crops are kept to look at, 0 to 1000.
    keep_embeddings
        Whether `embeddings` stay in a finished run.
    """

    plan: PlanConfig = field(default_factory=PlanConfig)
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    folds: int = 5
    fold_scheme: str = "grouped"
    examples: int = 4
    keep_embeddings: bool = True

    def __post_init__(self) -> None:
        """Check every value that no stage checks."""
        if not 0 <= self.examples <= 1000:
            raise UsageError(f"examples is {self.examples}; it must be 0 to 1000.")


def choose_device(name: str) -> torch.device:
    """Return the device to compute on.

    Parameters
    ----------
    name
        ``"auto"`` (CUDA, then Apple's MPS, then CPU) or a PyTorch device name.

    Raises
    ------
    UsageError
        The device is unknown or is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if torch.backends.mps.is_available():
            name = "mps"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"Device {name!r} cannot be used: {str(error).splitlines()[0]}.",
            "Allowed: auto, cpu, cuda, cuda:N, mps, where the machine has them.",
        ) from error
    return device


def prepare(store: CropStore, config: RunConfig) -> tuple[Plan, Cells]:
    """Make the plan and deal out the folds.

    Raises
    ------
    InputError
        The store has no usable cell.
    UsageError
        Folds out of range.
    """
    plan = Plan(store.cells, store.usable, store.windows, store.localizations, config.plan)
    code = {name: i for i, name in enumerate(store.localizations)}
    label = store.cells["localization"].map(code, na_action="ignore").fillna(-1)
    classes = label.to_numpy().astype(np.int64)
    protein = store.cells["protein"].to_numpy(dtype=str)
    grid = np.zeros(len(classes), bool)
    grid[plan.rows[plan.grid]] = True
    folds = deal(
        config.fold_scheme, config.folds, classes, protein, grid, len(code), config.plan.seed
    )
    cells = Cells(classes, protein, grid, store.localizations, folds)
    if len(folds.testable()) < 2:
        raise InputError(
            f"{store.path}: fewer than two localizations have at least two proteins with usable "
            "cells, so no probe can be fitted.",
            "Add labelled proteins (`--localizations TABLE` on import), or deal out cells instead "
            "of proteins with `--folds-by paper`.",
        )
    return plan, cells


def run_store(
    store_path: Path,
    out: Path,
    models: Sequence[str],
    config: RunConfig,
    *,
    device: str = "auto",
    jobs: int | None = None,
    fresh: bool = False,
    name: str | None = None,
    progress: Progress = silent,
) -> tuple[RunDirectory, bool]:
    """Run models over all conditions of a store, or go on with a run that was interrupted.

    Parameters
    ----------
    store_path
        A crop store.
    out
        The run directory, new or begun with the same settings.
    models
        Names of shipped models or paths of model cards.
    config
        Everything else the tables depend on.
    device
        Where to embed.
    jobs
        Processes for the pair tests; the number of cores by default.
    fresh
        Begin anew even if something is there.
    name
        Shown in the dashboard; the folder's name by default.
    progress
        Called with the stage's name, units done and units in all.

    Returns
    -------
    RunDirectory
        Complete.
    bool
        Whether anything was left to do.

    Raises
    ------
    BystanderError
        Bad input, a busy or changed run directory, a full disk.
    """
    store = CropStore(store_path)
    plan, cells = prepare(store, config)
    where = choose_device(device)
    loaded = [load_model(path, where) for path in resolve_models(models)]
    if len({model.name for model in loaded}) < len(loaded):
        raise UsageError("Two models have the same name.", "Change `name` in one of the cards.")
    header = {
        "configuration": _plain(asdict(config)),
        "store": store.fingerprint,
        "models": {model.name: model.hash for model in loaded},
    }
    details = _details(store, plan, cells, loaded, config, where, name or out.resolve().name)
    with begin(out, header, details, fresh=fresh) as run:
        worked = not run.complete
        if worked:
            _stages(run, store, plan, cells, loaded, config, jobs or cores(), progress)
        return run, worked


def _stages(
    run: RunDirectory,
    store: CropStore,
    plan: Plan,
    cells: Cells,
    models: Sequence[Embedder],
    config: RunConfig,
    jobs: int,
    progress: Progress,
) -> None:
    """Do what is not done yet, stage after stage."""
    started = time.perf_counter()

    def lap(stage: str) -> None:
        """Add to the stage's seconds, those before an interruption included."""
        nonlocal started
        now = time.perf_counter()
        before = run.meta.get("timings", {})
        seconds = round(before.get(stage, 0) + now - started, 3)
        run.record(timings={**before, stage: seconds})
        started = now

    expected = schema.cells_schema()
    if not run.summary("cells").is_file():
        table = pa.Table.from_pandas(store.cells, schema=expected, preserve_index=False)
        run.write(run.summary("cells"), table, expected)
    work = run.path / "work"
    arrays = store.arrays(cache=work / "pixels")
    scales = measure(config.embed.harmonise, store.cells, store.windows, arrays, config.plan.seed)
    lap("read")
    embed(run, store, plan, arrays, scales, models, config.embed, progress)
    lap("embed")
    names = [model.name for model in models]
    probe(run, plan, cells, {m.name: m.dimension for m in models}, jobs, progress)
    lap("probe")
    conditions = plan.config.conditions
    summarise(run, cells, store.cells, names, conditions, config.bootstrap, progress)
    lap("effects")
    write_examples(
        run, store.cells, store.windows, arrays, scales, config.embed.donor_centre,
        config.examples, names, config.plan.seed, progress,
    )  # fmt: skip
    lap("examples")
    checks = {"sham_max_difference": _sham_difference(run, names, plan)}
    counts = {
        "cells": len(store.cells),
        "cells_in_trials": len(plan.rows),
        "cells_in_pair_tests": int(cells.grid.sum()),
        "proteins": len(set(cells.protein[plan.rows])),
        "trials": plan.count,
        **{f"trials_{name}": count for name, count in plan.counts.items()},
        "trials_with_seam": _flagged_trials(run, schema.TrialFlag.SEAM),
    }
    del arrays
    shutil.rmtree(work, ignore_errors=True)
    if not config.keep_embeddings:
        shutil.rmtree(run.path / "embeddings", ignore_errors=True)
    run.finish(counts=counts, checks=checks)


def _flagged_trials(run: RunDirectory, flag: schema.TrialFlag) -> int:
    """Count the trials with a quality flag."""
    flags = [pq.read_table(file, columns=["flags"])["flags"] for file in run.parts("trials")]
    return sum(int((part.to_numpy() & int(flag) != 0).sum()) for part in flags)


def _sham_difference(run: RunDirectory, models: Sequence[str], plan: Plan) -> dict[str, float]:
    """Return the largest difference between sham and unaltered embeddings, per model."""
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


def _details(
    store: CropStore,
    plan: Plan,
    cells: Cells,
    models: Sequence[Embedder],
    config: RunConfig,
    device: torch.device,
    name: str,
) -> dict[str, Any]:
    """Describe the run for `run.json`: what a reader of its tables must know."""
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
                "card": _plain(asdict(model.card)),
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
        "configuration": _plain(asdict(config)),
        "rejections": [
            *({"stage": "crops", **item} for item in meta["rejections"]),
            *_flagged(store),
            *plan.rejections,
            *_untested(cells, config),
            *_groundless(plan, cells),
        ],
        "device": {
            "type": device.type,
            "name": torch.cuda.get_device_name(device) if device.type == "cuda"
            else platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
        },
        "versions": {
            "python": platform.python_version(),
            **{library: version(library) for library in LIBRARIES},
        },
        "command": shlex.join(["bystander", *sys.argv[1:]]),
    }  # fmt: skip


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
    unit = "proteins" if config.fold_scheme == SCHEMES[0] else "cells"
    sizes = cells.folds.sizes
    found = []
    for k in np.flatnonzero(sizes == 1).tolist():
        found.append(
            {
                "stage": "probe",
                "reason": f"{cells.names[k]}: only one of its {unit}, so it cannot be both learned "
                "and tested"
                + (" (--folds-by paper deals out cells)" if unit == "proteins" else ""),
                "count": int((cells.grid & (cells.classes == k)).sum()),
                "examples": sorted(set(cells.protein[cells.grid & (cells.classes == k)])),
            }
        )
    few = np.flatnonzero((sizes >= 2) & (sizes < config.folds)).tolist()
    found += [
        {
            "stage": "probe",
            "reason": f"{cells.names[k]}: {sizes[k]} {unit} for {config.folds} folds, so "
            f"{sizes[k]} folds are used",
            "count": int((cells.grid & (cells.classes == k)).sum()),
            "examples": [],
        }
        for k in few
    ]
    return found


def _groundless(plan: Plan, cells: Cells) -> list[dict[str, Any]]:
    """Say which pairs have no third class to stand on."""
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


def _plain(value: Any) -> Any:
    """Turn tuples, paths and enums into what JSON holds, so that it compares equal when read."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
