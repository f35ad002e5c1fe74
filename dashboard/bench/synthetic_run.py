"""A run directory of any size for measuring: drawn, seeded, every table there. No result.

Written as the real stages write it (schemas, encodings, order of rows, one file of trials per 64
cells), in flat memory, a group of proteins at a time. Distributions, shifts and the multi-class
accuracies follow from the predictions; see `made_tables` for the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compute import schema
from compute.errors import UsageError
from compute.storage.atomic_files import (
    Progress,
    fingerprint,
    silent,
    table_writer,
    write_json,
    write_stream,
)
from compute.storage.paths import RunPaths
from dashboard.bench import synthetic_tables
from dashboard.bench.columns import constant, take, vectors

CONDITIONS = ("unaltered", "same", "different", "cell_free", "masked")
"""Those of the paper."""

MODELS = ("pifia", "paired_cell", "deeploc")
PROTOCOLS = tuple(str(protocol) for protocol in schema.Protocol)
PROTEINS = 4049
"""Proteins of the paper's collection."""

SHARD_CELLS = 64
"""Cells per file of trials, as `compute.embedding.worker` writes them."""

TOGETHER = 64
"""Proteins drawn at a time: about 25,000 cells at full size."""

EXAMPLES_TOGETHER = 1000
"""Examples per row group, as `compute.runs.example_crops` writes them."""

IMAGES = 256
"""Different crops among the examples."""

LOST = {"unaltered": 0.0, "same": 0.02, "different": 0.15, "cell_free": 0.06, "masked": 0.1}
"""By how much each background lowers the share of right answers. Drawn from, no result."""

SKILL = {"pifia": 0.92, "paired_cell": 0.86, "deeploc": 0.78}
FROZEN_LOSES = 1.6
"""How much more is lost by a probe that was not refitted."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """How large a run to make.

    Parameters
    ----------
    predictions
        At least so many rows of `predictions`: cells are added until there are.
    proteins
        How many.
    examples
        Cells of each protein with stored images (`bystander run --examples`).
    seed
        Of everything drawn.
    """

    predictions: int = 45_000_000
    proteins: int = PROTEINS
    examples: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.predictions < 1 or self.proteins < len(schema.LOCALIZATIONS):
            raise UsageError(
                f"A run of {self.predictions} predictions of {self.proteins} proteins cannot be "
                "made.",
                f"Ask for at least one prediction and {len(schema.LOCALIZATIONS)} proteins.",
            )

    @property
    def cells_each(self) -> int:
        """Cells of each protein."""
        each = self.proteins * len(MODELS) * len(CONDITIONS) * len(PROTOCOLS)
        return max(2, self.examples, -(-self.predictions // each))

    @property
    def cells(self) -> int:
        """Cells in all."""
        return self.proteins * self.cells_each

    @property
    def rows(self) -> int:
        """Rows of `predictions`."""
        return self.cells * len(MODELS) * len(CONDITIONS) * len(PROTOCOLS)


@dataclass(frozen=True)
class Drawn:
    """What the run's tables share.

    Parameters
    ----------
    size
        Of the run.
    names, orfs
        Of the proteins, in alphabetical order.
    home
        Number of each protein's localization, shape (proteins,).
    proportion, probability
        Share of answers and mean probability of each class, by (model, protocol): shape
        (proteins, conditions, classes). Filled while predictions are written.
    """

    size: Size
    names: list[str]
    orfs: list[str]
    home: Ints
    proportion: dict[tuple[str, str], Floats] = field(default_factory=dict)
    probability: dict[tuple[str, str], Floats] = field(default_factory=dict)

    def groups(self) -> Iterator[Ints]:
        """Give the proteins' numbers, some at a time."""
        yield from np.split(
            np.arange(self.size.proteins), range(TOGETHER, self.size.proteins, TOGETHER)
        )


def make_run(path: Path, size: Size = Size(), progress: Progress = silent) -> Path:
    """Write a run directory; `run.json` comes last, so what is there is whole.

    Parameters
    ----------
    path
        The folder, new or empty.
    size
        How large.
    progress
        Called with what is written, parts done and in all.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    UsageError
        The folder holds something already.
    """
    if path.exists() and any(path.iterdir()):
        raise UsageError(f"{path} is not empty.", "Give a new folder.")
    paths = RunPaths(path)
    rng = np.random.default_rng(size.seed)
    width = len(str(size.proteins))
    drawn = Drawn(
        size,
        [f"GEN{i + 1:0{width}d}" for i in range(size.proteins)],
        [f"Y{chr(65 + i % 16)}{'LR'[i % 2]}{i + 1:0{width}d}{'CW'[i // 2 % 2]}"
         for i in range(size.proteins)],
        rng.permutation(np.arange(size.proteins) % len(schema.LOCALIZATIONS)),
    )  # fmt: skip
    write_stream(paths.summary("cells"), _cells(drawn), schema.cells_schema())
    _write_trials(paths, drawn, progress)
    _write_predictions(paths, drawn, progress)
    for name, tables in synthetic_tables.summaries(drawn).items():
        write_stream(paths.summary(name), tables, schema.SUMMARY_TABLES[name])
    layout = schema.SUMMARY_TABLES["examples"]
    write_stream(paths.summary("examples"), _examples(drawn), layout, EXAMPLES_TOGETHER)
    write_json(paths.header, _meta(drawn))
    return path


def _meta(drawn: Drawn) -> dict[str, Any]:
    size = drawn.size
    counts = {"cells": size.cells, "usable": size.cells, "windows": 0}
    card = {"title": "No network: answers are drawn", "source": "bystander bench"}
    return {
        "schema_version": schema.SCHEMA_VERSION,
        "status": "complete",
        "name": f"bench-{size.rows}",
        "simulated": True,
        "localizations": list(schema.LOCALIZATIONS),
        "conditions": list(CONDITIONS),
        "protocols": list(PROTOCOLS),
        "models": [
            {"name": name, "hash": fingerprint({"model": name}), "dimension": 64, "card": card}
            for name in MODELS
        ],
        "store": {
            "path": "none",
            "fingerprint": fingerprint({"seed": size.seed}),
            "channels": ["GFP", "RFP"],
            "size": 64,
            "dtype": "uint16",
            "counts": counts,
        },
        "counts": {**counts, "proteins": size.proteins, "predictions": size.rows},
        "fingerprint": fingerprint({"size": vars(size)}),
    }


def _cells_of(drawn: Drawn, proteins: Ints) -> tuple[Ints, Ints]:
    """Return the numbers of some proteins' cells, and the protein of each; they lie together."""
    each = drawn.size.cells_each
    cells = (proteins[:, None] * each + np.arange(each)).ravel()
    return cells, np.repeat(proteins, each)


def _cells(drawn: Drawn) -> Iterator[pa.Table]:
    rng = np.random.default_rng((drawn.size.seed, 1))
    labels = pa.array([[name] for name in schema.LOCALIZATIONS], pa.list_(pa.string()))
    fields = drawn.size.cells // 20 + 1
    for proteins in drawn.groups():
        cells, of = _cells_of(drawn, proteins)
        home, count = drawn.home[of], len(cells)
        columns = {
            "cell": pa.array(cells),
            "protein": take(drawn.names, of),
            "orf": take(drawn.orfs, of),
            "localization": take(schema.LOCALIZATIONS, home),
            "labels": labels.take(pa.array(home)),
            "field": take([f"field_{i}" for i in range(fields)], cells // 20),
            "replicate": take(("A", "B"), cells % 2),
            "split": constant("evaluate", count),
            "mask_area": pa.array(rng.integers(500, 1200, count, dtype=np.int32)),
            "neighbour_fraction": pa.array(rng.random(count, dtype=np.float32)),
            "flags": pa.array(np.zeros(count, np.int32)),
        }
        yield pa.table(columns, schema=schema.cells_schema())


def _donors(drawn: Drawn, cells: Ints, condition: int, rng: np.random.Generator) -> Ints:
    """Draw the class behind each cell; -1 where none is."""
    home = drawn.home[cells // drawn.size.cells_each]
    name = CONDITIONS[condition]
    if name in ("unaltered", "masked"):
        return np.full(len(cells), -1)
    if name == "same":
        return home
    return (home + rng.integers(1, len(schema.LOCALIZATIONS), len(cells))) % len(
        schema.LOCALIZATIONS
    )


def _write_trials(paths: RunPaths, drawn: Drawn, progress: Progress) -> None:
    """Write a file per 64 cells. Trial numbers are 5 × cell + condition."""
    size, kinds = drawn.size, len(CONDITIONS)
    shards = -(-size.cells // SHARD_CELLS)
    together = 64 * SHARD_CELLS
    layout = schema.trials_schema()
    for start in range(0, size.cells, together):
        progress("trials", start // SHARD_CELLS, shards)
        rng = np.random.default_rng((size.seed, 2, start))
        cells = np.arange(start, min(size.cells, start + together))
        behind = np.stack([_donors(drawn, cells, i, rng) for i in range(kinds)], axis=1).ravel()
        count = len(behind)
        donors = pa.array(rng.integers(0, size.cells, count), mask=behind < 0)
        columns = {
            "trial": pa.array(np.arange(cells[0] * kinds, cells[0] * kinds + count)),
            "cell": pa.array(np.repeat(cells, kinds)),
            "condition": take(CONDITIONS, np.tile(np.arange(kinds), len(cells))),
            "donor": donors,
            "donor_localization": take(schema.LOCALIZATIONS, behind),
            "repeat": pa.array(np.zeros(count, np.int16)),
            "seed": pa.array(rng.integers(0, 2**62, count)),
            "flags": pa.array(((rng.random(count) < 0.05) & (behind >= 0)).astype(np.int32) * 8),
        }
        table = pa.table(columns, schema=layout)
        for first in range(0, count, SHARD_CELLS * kinds):
            shard = (start * kinds + first) // (SHARD_CELLS * kinds)
            part = paths.part("trials", shard)
            synthetic_tables.write_quickly(part, table.slice(first, SHARD_CELLS * kinds))


def _write_predictions(paths: RunPaths, drawn: Drawn, progress: Progress) -> None:
    """Write a file per model and condition, by protein; keep the means of each protein."""
    names = schema.LOCALIZATIONS
    layout = schema.predictions_schema(len(names))
    shape = (drawn.size.proteins, len(CONDITIONS), len(names))
    for model in MODELS:
        for protocol in PROTOCOLS:
            drawn.proportion[model, protocol] = np.zeros(shape)
            drawn.probability[model, protocol] = np.zeros(shape)
    done, groups = 0, -(-drawn.size.proteins // TOGETHER) * len(MODELS) * len(CONDITIONS)
    for number, model in enumerate(MODELS):
        for place in range(len(CONDITIONS)):
            rng = np.random.default_rng((drawn.size.seed, 3, number, place))
            part = paths.part("predictions", place, model)
            with table_writer(part, layout) as add:
                for proteins in drawn.groups():
                    add(_predictions(drawn, model, place, proteins, rng))
                    done += 1
                    progress("predictions", done, groups)


def _predictions(
    drawn: Drawn, model: str, place: int, proteins: Ints, rng: np.random.Generator
) -> pa.Table:
    """Draw the answers of a model to some proteins' cells, refit before frozen."""
    names, each = schema.LOCALIZATIONS, drawn.size.cells_each
    cells, of = _cells_of(drawn, proteins)
    home = drawn.home[of]
    said, scores = [], []
    for protocol in PROTOCOLS:
        lost = LOST[CONDITIONS[place]] * (FROZEN_LOSES if protocol == "frozen" else 1.0)
        right = rng.random(len(cells)) < SKILL[model] - lost
        top = np.where(right, home, rng.integers(0, len(names), len(cells)))
        p = rng.standard_exponential((len(cells), len(names)), dtype=np.float32)
        p[np.arange(len(cells)), top] += rng.gamma(4, 3, len(cells)).astype(np.float32)
        p /= p.sum(axis=1, keepdims=True)
        said.append(p.argmax(axis=1).reshape(len(proteins), each))
        scores.append(p.reshape(len(proteins), each, len(names)))
        key = (model, protocol)
        drawn.probability[key][proteins, place] = scores[-1].mean(axis=1)
        counts = np.zeros((len(proteins), len(names)))
        np.add.at(counts, (np.repeat(np.arange(len(proteins)), each), said[-1].ravel()), 1)
        drawn.proportion[key][proteins, place] = counts / each
    both = np.repeat(proteins, each * 2)
    cell = np.tile(cells.reshape(len(proteins), each), 2).ravel()
    count = len(cell)
    columns = {
        "protein": take(drawn.names, both),
        "cell": pa.array(cell),
        "trial": pa.array(cell * len(CONDITIONS) + place),
        "condition": constant(CONDITIONS[place], count),
        "protocol": take(PROTOCOLS, np.tile(np.repeat([0, 1], each), len(proteins))),
        "predicted": take(names, np.concatenate(said, axis=1).ravel()),
        "probabilities": vectors(np.concatenate(scores, axis=1).reshape(count, len(names))),
    }
    return pa.table(columns, schema=schema.predictions_schema(len(names)))


def _examples(drawn: Drawn) -> Iterator[pa.Table]:
    """Draw images: some crops, shared by all, beside answers drawn for each."""
    rng = np.random.default_rng((drawn.size.seed, 4))
    pictures = [_picture(rng) for _ in range(IMAGES)]
    angles = np.linspace(0, 2 * np.pi, 41)
    outline = [np.stack([32 + 13 * np.cos(angles), 32 + 16 * np.sin(angles)], 1).ravel().tolist()]
    names, size = schema.LOCALIZATIONS, drawn.size
    rows: list[dict[str, Any]] = []
    for protein, home in enumerate(drawn.home):
        for cell in protein * size.cells_each + np.arange(size.examples):
            for place, condition in enumerate(CONDITIONS):
                behind = int(_donors(drawn, np.array([cell]), place, rng)[0])
                donor = int(rng.integers(0, size.cells)) if behind >= 0 else None
                rows.append(
                    {
                        "protein": drawn.names[protein],
                        "cell": int(cell),
                        "condition": condition,
                        "trial": int(cell) * len(CONDITIONS) + place,
                        "localization": names[home],
                        "labels": [names[home]],
                        "donor": donor,
                        "donor_localization": names[behind] if behind >= 0 else None,
                        "donor_protein": None
                        if donor is None
                        else drawn.names[donor // size.cells_each],
                        "flags": 0,
                        "images": pictures[int(rng.integers(IMAGES))],
                        "offset": [0.0, 0.0],
                        "gain": [1.0, 1.0],
                        "outline": outline,
                        "predictions": _answers(int(home), condition, rng),
                    }
                )
        if len(rows) >= EXAMPLES_TOGETHER or protein == size.proteins - 1:
            yield pa.Table.from_pylist(rows, schema.SUMMARY_TABLES["examples"])
            rows = []


def _answers(home: int, condition: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    names = schema.LOCALIZATIONS
    found = []
    for model in MODELS:
        for protocol in PROTOCOLS:
            right = rng.random() < SKILL[model] - LOST[condition]
            said = names[home] if right else names[int(rng.integers(len(names)))]
            found.append(
                {
                    "model": model,
                    "protocol": protocol,
                    "predicted": said,
                    "probability": float(rng.uniform(0.3, 1.0)),
                }
            )
    return found


def _picture(rng: np.random.Generator) -> list[bytes]:
    """Draw a crop: two channels of noise around a bright cell, as 16-bit PNG."""
    y, x = np.mgrid[0:64, 0:64]
    cell = np.hypot((x - 32) / 13, (y - 32) / 16) < 1
    image = rng.normal(400, 60, (2, 64, 64)) + cell * rng.uniform(300, 3000, (2, 1, 1))
    pixels = np.clip(image, 0, 65535).astype(np.uint16)
    return [bytes(imagecodecs.png_encode(channel)) for channel in pixels]
