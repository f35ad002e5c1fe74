"""Example crops of a synthetic run: a few pictures, shared by all, with each crop's answers."""

from collections.abc import Iterator

import imagecodecs
import numpy as np
import pyarrow as pa

from compute import schema
from compute.schema import CellFlag
from dashboard.bench.columns import take
from dashboard.bench.synthetic_cells import Drawn, Floats, Ints
from dashboard.bench.synthetic_config import PROTOCOLS, SyntheticConfig
from dashboard.bench.synthetic_trials import behind_names, look_up

CHANNELS = ("GFP", "RFP")
SIDE = 64
"""Pixels along a crop's side."""

MOSAIC_CELLS = 40
"""Cells in the mosaic of a run, at most."""

PICTURES = 32
"""Different cells among the example crops."""

HALO = 1.3
"""How far what is removed with a cell reaches, as a multiple of its radius."""


def examples(drawn: Drawn) -> Iterator[pa.Table]:
    """Give the table of example crops: some pictures, shared by all, beside each crop's answers.

    The first cells of each protein are shown, the first trial of each condition. Ask after all
    predictions were drawn.
    """
    config = drawn.config
    slots = [name for name, _ in config.slots]
    first = np.array([slots.index(name) for name in config.composed], np.int64)
    pictures = pa.array(_pictures(config), pa.list_(pa.binary()))
    angle = np.linspace(0, 2 * np.pi, 41)
    ellipse = np.stack([31.5 + 13 * np.cos(angle), 31.5 + 16 * np.sin(angle)], axis=1).ravel()
    outline = pa.array([[ellipse.tolist()]], schema.EXAMPLES.field("outline").type)
    numbers = pa.array([[0.0] * len(CHANNELS), [1.0] * len(CHANNELS)], pa.list_(pa.float64()))
    for proteins in drawn.groups():
        index = proteins[:, None] * config.cells + np.arange(config.examples)
        trial = (index[:, :, None] * len(slots) + first).ravel()
        found, count = look_up(drawn, trial), len(trial)
        place = np.tile(np.arange(len(first)), index.size)
        labels = drawn.labels.take(pa.array(found.protein))
        single = drawn.classes[found.protein]
        known = (single[:, 0] == single[:, 1]) & config.labels
        donor = np.where(found.donor < 0, 0, found.donor) // (config.cells + 1)
        of_cell = np.array([name != "cell_free" for name in config.composed])[place]
        nothing = pa.array(np.zeros(count, np.int64))
        columns = {
            "protein": take(drawn.names, found.protein),
            "cell": pa.array(found.cell),
            "condition": take(config.composed, place),
            "trial": pa.array(trial),
            "localization": take(config.localizations, np.where(known, single[:, 0], -1)),
            "labels": labels,
            "donor": pa.array(found.donor, mask=found.donor < 0),
            "donor_localization": behind_names(drawn, found),
            "donor_protein": take(drawn.names, np.where((found.donor >= 0) & of_cell, donor, -1)),
            "flags": pa.array(found.flags),
            "images": pictures.take(pa.array(found.cell % PICTURES * len(first) + place)),
            "offset": numbers.take(nothing),
            "gain": numbers.take(pa.array(np.ones(count, np.int64))),
            "outline": outline.take(nothing),
            "predictions": _example_answers(drawn, proteins),
        }
        yield pa.table(columns, schema=schema.EXAMPLES)


def mosaic(drawn: Drawn) -> pa.Table:
    """Give the table of cells to look at: some without a flag, some cut by the border."""
    config = drawn.config
    # A run without unaltered crops shows the cells under its first condition.
    first = config.composed.index("unaltered") if "unaltered" in config.composed else 0
    pictures = _pictures(config)[first :: len(config.composed)]
    angle = np.linspace(0, 2 * np.pi, 41)
    ellipse = np.stack([31.5 + 13 * np.cos(angle), 31.5 + 16 * np.sin(angle)], axis=1).ravel()
    rows = []
    for number in range(min(MOSAIC_CELLS, len(drawn.names) * config.cells)):
        protein = number % len(drawn.names)
        cut = number % 5 == 4
        one, other = drawn.classes[protein]
        known = one == other and config.labels
        rows.append(
            {
                "cell": protein * config.cells + number // len(drawn.names),
                "group": CellFlag.TOUCHES_BORDER.name if cut else "good",
                "rank": number // 5 + 1 if cut else number - number // 5 + 1,
                "group_cells": 9 if cut else 1000,
                "looked_at": 9 if cut else 1000,
                "protein": drawn.names[protein],
                "localization": config.localizations[one] if known else None,
                "labels": drawn.labels[protein].as_py(),
                "field": f"field {protein}",
                "flags": int(CellFlag.TOUCHES_BORDER) if cut else 0,
                "size": SIDE,
                "reduced": 1,
                "images": pictures[number % PICTURES],
                "offset": [0.0] * len(CHANNELS),
                "gain": [1.0] * len(CHANNELS),
                "outline": [ellipse.tolist()],
                "neighbours": [],
            }
        )
    rows.sort(key=lambda row: row["group"] != "good")
    return pa.Table.from_pylist(rows, schema=schema.MOSAIC)


def _example_answers(drawn: Drawn, proteins: Ints) -> pa.Array:
    """Return the answers to each example crop of some proteins, a list for each crop."""
    keys = [(model, protocol) for model in drawn.config.models for protocol in PROTOCOLS]
    kind = schema.EXAMPLES.field("predictions").type
    count = len(proteins) * drawn.config.examples * len(drawn.config.composed)
    if not keys:
        return pa.array([[]] * count, kind)
    # Shape (keys, proteins, conditions, examples) becomes (proteins, examples, conditions, keys).
    said = np.stack([drawn.said[key][proteins] for key in keys]).transpose(1, 3, 2, 0).ravel()
    sure = np.stack([drawn.sure[key][proteins] for key in keys]).transpose(1, 3, 2, 0).ravel()
    number = np.tile(np.arange(len(keys)), count)
    fields = [
        take([model for model, _ in keys], number),
        take([protocol for _, protocol in keys], number),
        take(drawn.config.localizations, said),
        pa.array(sure.astype(np.float32)),
    ]
    answers = pa.StructArray.from_arrays(fields, fields=list(kind.value_type))
    starts = pa.array(np.arange(count + 1, dtype=np.int32) * len(keys))
    return pa.ListArray.from_arrays(starts, answers)


def _pictures(config: SyntheticConfig) -> list[list[bytes]]:
    """Draw cells under every composed condition: for each crop a 16-bit PNG per channel.

    A cell's own pixels are the same under all conditions that show it.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE]

    def radius(cx: float, cy: float) -> Floats:
        return np.hypot((x - cx) / 13, (y - cy) / 16)

    inside = radius(31.5, 31.5) < 1
    found = []
    for number in range(PICTURES):
        rng = np.random.default_rng((config.seed, 4, number))

        def cell(cx: float, cy: float, rng: np.random.Generator = rng) -> Floats:
            spot = np.hypot(x - cx - rng.normal(0, 4), y - cy - rng.normal(0, 4)) / 4
            body = np.clip(1.2 - radius(cx, cy), 0, 1)
            return np.stack([300 * (body > 0) + 2500 * np.exp(-(spot**2)), 900 * body])

        def medium(neighbours: int, rng: np.random.Generator = rng) -> Floats:
            image = rng.normal(300, 40, (len(CHANNELS), SIDE, SIDE))
            for angle in rng.uniform(0, 2 * np.pi, neighbours):
                image += cell(31.5 + 33 * np.cos(angle), 31.5 + 33 * np.sin(angle))
            return image

        own, around = medium(0) + cell(31.5, 31.5), medium(3)
        halo = radius(31.5, 31.5) < HALO
        for condition in config.composed:
            image = medium(3)
            if condition in ("unaltered", "sham", "background_only"):
                image = around.copy()
            elif condition in ("cell_free", "alone"):
                image = medium(0)
            elif condition == "masked":
                image = np.zeros_like(own)
            if condition == "sham":
                image[:, halo] = medium(0)[:, halo]
            if condition != "background_only":
                image[:, inside] = own[:, inside]
            pixels = np.clip(image, 0, 65535).astype(np.uint16)
            found.append([bytes(imagecodecs.png_encode(channel)) for channel in pixels])
    return found
