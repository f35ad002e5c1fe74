"""A run directory of any size with every table, drawn and seeded: for measuring and for tests.

Written by the writer of real runs, with its schemas, encodings and order of rows, one file of
trials for every 64 cells, in flat memory. Nothing in it is a result.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from compute import schema
from compute.errors import UsageError
from compute.storage import run_directory
from compute.storage.atomic_files import Progress, fingerprint, silent, write_stream
from compute.storage.run_directory import RunDirectory
from dashboard.bench import synthetic_cells, synthetic_trials
from dashboard.bench.synthetic_cells import Drawn
from dashboard.bench.synthetic_config import PROTOCOLS, SyntheticConfig
from dashboard.bench.synthetic_crops import CHANNELS, MOSAIC_CELLS, SIDE, examples, mosaic
from dashboard.bench.synthetic_differences import NETWORK, differences
from dashboard.bench.synthetic_drops import drops
from dashboard.bench.synthetic_mixed import mixed_tables
from dashboard.bench.synthetic_occlusions import occlusion_summary, occlusions
from dashboard.bench.synthetic_remedies import remedies
from dashboard.bench.synthetic_settings import sensitivity
from dashboard.bench.synthetic_tables import summaries
from dashboard.bench.synthetic_trials import WINDOWS

SHARD_CELLS = 64
"""Cells in a file of trials, as `compute.embedding.worker` writes them."""

SHARDS_TOGETHER = 64
"""Files of trials that are drawn at a time."""

EXAMPLES_TOGETHER = 1000
"""Examples in a row group, as `compute.runs.example_crops` writes them."""


def make_run(path: Path, config: SyntheticConfig, progress: Progress = silent) -> Path:
    """Write a run directory.

    Parameters
    ----------
    path
        The folder, new or empty.
    config
        What the run holds.
    progress
        Called with what is written, the parts that are done and their number.

    Returns
    -------
    pathlib.Path
        The folder; the same configuration gives the same tables, byte by byte.

    Raises
    ------
    UsageError
        The folder holds something already.
    """
    if path.exists() and any(path.iterdir()):
        raise UsageError(f"{path} is not empty.", "Give a new folder.")
    drawn = synthetic_cells.draw(config)
    with run_directory.begin(path, {"synthetic": asdict(config)}, _details(config)) as run:
        write_stream(run.summary("cells"), synthetic_cells.cells(drawn), schema.run_cells_schema())
        _write_trials(run, drawn, progress)
        if not config.complete:
            return path
        _write_predictions(run, drawn, progress)
        made = summaries(drawn) | drops(drawn) | mixed_tables(drawn) | differences(drawn)
        for name, tables in made.items():
            if name not in config.without:
                write_stream(run.summary(name), tables, schema.SUMMARY_TABLES[name])
        if config.examples and "examples" not in config.without:
            parts = examples(drawn)
            write_stream(run.summary("examples"), parts, schema.EXAMPLES, EXAMPLES_TOGETHER)
        if config.examples and "mosaic" not in config.without:
            write_stream(run.summary("mosaic"), iter([mosaic(drawn)]), schema.MOSAIC, MOSAIC_CELLS)
        run.finish(**_results(config))
    if "sensitivity" not in config.without:
        run.add("sensitivity", sensitivity(drawn))
    if "remedies" not in config.without:
        run.add("remedies", remedies(drawn))
    if "occlusions" not in config.without:
        run.add("occlusions", occlusions(drawn))
    if "occlusion_summary" not in config.without:
        run.add("occlusion_summary", occlusion_summary(drawn))
    return path


def _write_trials(run: RunDirectory, drawn: Drawn, progress: Progress) -> None:
    """Write a file for every 64 cells that have trials."""
    config = drawn.config
    each = SHARD_CELLS * len(config.slots)
    shards = -(-config.trials // each) if each else 0
    for first in range(0, shards, SHARDS_TOGETHER):
        progress("trials", first, shards)
        stop = min(config.trials, (first + SHARDS_TOGETHER) * each)
        table = synthetic_trials.trials(drawn, first * each, stop)
        for shard in range(first, min(shards, first + SHARDS_TOGETHER)):
            part = table.slice((shard - first) * each, each)
            write_quickly(run.part("trials", shard), part)


def write_quickly(path: Path, table: pa.Table) -> None:
    """Write a small file as the real writer encodes it, without waiting for the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def _write_predictions(run: RunDirectory, drawn: Drawn, progress: Progress) -> None:
    """Write a file for each model and condition."""
    config = drawn.config
    layout = schema.predictions_schema(len(config.localizations))
    count = len(config.models) * len(config.composed)
    for number, model in enumerate(config.models):
        for place, condition in enumerate(config.composed):
            progress("predictions", number * len(config.composed) + place, count)
            parts = synthetic_cells.predictions(drawn, model, condition)
            write_stream(run.part("predictions", place, model), parts, layout)


def _details(config: SyntheticConfig) -> dict[str, Any]:
    """Return what `run.json` says from the start."""
    cells = config.all_cells
    border = {"TOUCHES_BORDER": config.all_proteins}
    card = {"title": "No network: answers are drawn", "width": 0.25, "source": "bystander bench"}
    return {
        "name": config.name,
        "simulated": config.simulated,
        "localizations": list(config.localizations),
        "conditions": list(config.conditions),
        "protocols": list(PROTOCOLS),
        "models": [
            {
                "name": name,
                "hash": fingerprint({"model": name}),
                "dimension": 64,
                "card": card,
                "network": {
                    "name": NETWORK,
                    "hash": fingerprint({"network": NETWORK}),
                    "layer": f"layer_{depth + 1}",
                    "pooling": "max",
                    "depth": depth,
                    "layers": len(config.models),
                },
                **({"baseline": f"what {name} sees"} if name in config.baselines else {}),
            }
            for depth, name in enumerate(config.models)
        ],
        "store": {
            "path": "store",
            "fingerprint": f"{config.seed:016x}",
            "source": {
                "kind": "simulated" if config.simulated else "paired-cell",
                "seed": 1,
                "simulated": config.simulated,
                "masks": {"given": cells, "segmented": 0}
                if config.simulated
                else {"given": cells - cells // 4, "segmented": cells // 4},
                "marker": "RFP",
            },
            "channels": list(CHANNELS),
            "size": SIDE,
            "dtype": "uint16",
            "counts": {
                "cells": cells,
                "usable": cells - config.all_proteins,
                "windows": WINDOWS,
                "flags": border,
            },
            "rejections": [
                {"reason": "the image is constant", "count": 2, "examples": ["plate_3.tif"]}
            ],
        },
        "configuration": {
            "plan": {
                "seed": config.seed,
                "repeats": config.repeats,
                "folds": config.folds,
                "fold_scheme": "grouped",
                "donors": "any" if config.donor_seen else "fold",
            },
            "embed": {"paste": "glow", "donor_centre": "remove"},
            "bootstrap": {"draws": 2000},
        },
        "device": "cpu",
        "versions": {"python": "3.11", "torch": "2.13.0", "bystander": "0.1.0"},
    }


def _results(config: SyntheticConfig) -> dict[str, Any]:
    """Return what `run.json` says of a finished run."""
    return {
        "counts": {
            "cells": config.all_cells,
            "trials": config.trials,
            "proteins": config.all_proteins,
            "predictions": config.predictions,
        },
        "timings": {"plan": 1.2, "embed": 44.0, "probe": 31.5, "effects": 12.25},
        "rejections": [
            {
                "stage": "plan",
                "reason": "no donor of the same localization",
                "count": 3,
                "examples": ["cell 12", "cell 40", "cell 41"],
            }
        ],
    }
