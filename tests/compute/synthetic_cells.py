"""Small stores made in memory: tables of cells and windows, and pixels with known values."""

import numpy as np
import pandas as pd

from compute.backgrounds.config import PlanConfig
from compute.backgrounds.plan import Plan
from compute.images.fill_holes import medium_mask
from compute.store.reader import CropArrays

CLASSES = ["actin", "ER", "Golgi", "nucleus", "vacuole"]
SIDE = 32

POPULATION = {
    **{f"{name}-{i}": [name] for name in CLASSES[:4] for i in range(3)},
    "lone": ["vacuole"],
    "mixed": ["actin", "ER"],
    "mystery": [],
}
"""Protein to labels: four classes of three proteins, one of one; a protein in two, one in none."""


def cells_table(population=POPULATION, per_protein=4, seed=0):
    """Cells in random order; each protein in two fields, one of the split test, one of train."""
    rng = np.random.default_rng(seed)
    proteins = [name for name in population for _ in range(per_protein)]
    number = [i for _ in population for i in range(per_protein)]
    order = rng.permutation(len(proteins))
    rows = [
        {
            "protein": proteins[i],
            "localization": population[proteins[i]][0]
            if len(population[proteins[i]]) == 1
            else None,
            "labels": list(population[proteins[i]]) or None,
            "field": f"{proteins[i]}/{number[i] % 2}",
            "split": ["test", "train"][number[i] % 2],
            "orf": None,
        }
        for i in order
    ]
    frame = pd.DataFrame(rows)
    frame.insert(0, "cell", np.arange(len(frame)))
    frame["localization"] = (
        frame["localization"].astype(object).where(frame["localization"].notna(), None)
    )
    return frame


def windows_table(classes=CLASSES[:4], each=3, population=POPULATION):
    """Windows of the first protein of each class, and one window without a label."""
    first = {
        name: next(p for p, labels in population.items() if labels == [name]) for name in classes
    }
    rows = [
        {"protein": first[name], "localization": name, "field": f"{first[name]}/{i % 2}"}
        for name in classes
        for i in range(each)
    ]
    rows.append({"protein": "mystery", "localization": None, "field": "mystery/0"})
    frame = pd.DataFrame(rows)
    frame.insert(0, "window", np.arange(len(frame)))
    return frame


def make_plan(cells=None, usable=None, windows=None, names=CLASSES, **config):
    """Plan over the tables above."""
    cells = cells_table() if cells is None else cells
    usable = np.ones(len(cells), bool) if usable is None else usable
    windows = windows_table() if windows is None else windows
    return Plan(cells, usable, windows, list(names), PlanConfig(**config))


def whole(plan):
    """All trials of a plan."""
    return plan.trials(0, len(plan.rows))


def disc(row, column, radius):
    y, x = np.mgrid[:SIDE, :SIDE]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


def crop_arrays(n, windows=0, seed=0, dtype=np.uint16, channels=2):
    """Crops whose every region tells where it is from.

    Medium lies in 100 to 199; cell i's own pixels are 40000 + 100·i + 0 to 99; its neighbours'
    20000 + 100·i + 0 to 99; windows' 300 to 399. The two channels differ.
    """
    rng = np.random.default_rng(seed)
    masks, foregrounds = np.zeros((2, n, SIDE, SIDE), bool)
    images = rng.integers(100, 200, (n, channels, SIDE, SIDE))
    for i in range(n):
        masks[i] = disc(15.5 + rng.uniform(-2, 2), 15.5 + rng.uniform(-2, 2), rng.uniform(4, 8))
        near = disc(*rng.uniform(1, 6, 2), 5) | disc(rng.uniform(24, 30), 16, 4)
        neighbours = near & ~masks[i]
        foregrounds[i] = masks[i] | neighbours
        values = rng.integers(0, 100, (2, channels, SIDE, SIDE)) + 100 * i
        images[i] = np.where(masks[i], 40_000 + values[0], images[i])
        images[i] = np.where(neighbours, 20_000 + values[1], images[i])
    plain = rng.integers(300, 400, (windows, channels, SIDE, SIDE))
    return CropArrays(images.astype(dtype), pack(masks), pack(foregrounds), plain.astype(dtype))


def pack(masks):
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def medium_of(arrays, row):
    """Pixels (C each) of a crop's medium, as a set of tuples."""
    foreground = arrays.unpack(arrays.foregrounds[[row]])[0]
    pixels = arrays.images[row][:, medium_mask(foreground)]
    return set(map(tuple, pixels.T.tolist()))
