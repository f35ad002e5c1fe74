"""A crop store as a screen may be: any channels, any size, any classes; drawn from a seed.

Layer: numpy and the store's writer; used by tests of both packages.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from compute.store.writer import CropStoreWriter

PAINTING = ("DNA", "ER", "RNA", "AGP", "Mito")
"""Channels of a Cell Painting assay."""

COMPOUNDS = (
    "DMSO", "5-fluorouracil", "(+)-JQ1", "taxol (paclitaxel)", "LY-2109761", "N-acetyl-L-cysteine",
    "anti-CD3/CD28", "α-tocopherol", "MG-132 & bortezomib", "<10 µM nocodazole",
    "4-[(3-chloro-4-fluorophenyl)amino]-7-methoxyquinazoline", "staurosporine, 50%",
)  # fmt: skip
"""Class names as compound libraries have them."""


def draw_store(
    path: Path,
    channels: Sequence[str] = PAINTING,
    size: int = 128,
    classes: Sequence[str] = COMPOUNDS,
    *,
    groups: int = 2,
    cells: int = 3,
    dtype: str = "uint16",
    pixel_size: float = 0.0,
    seed: int = 0,
) -> Path:
    """Write a store: round cells among neighbours, whose light in each channel tells the class.

    Parameters
    ----------
    path
        Folder of the store.
    channels, size, classes, dtype
        As the store has them; pixels of float32 stores lie between 0 and 1.
    groups
        Wells (`protein`) of each class, at least 2.
    cells
        Crops of each, from two fields.
    pixel_size
        Micrometres a pixel that the store says; 0, the default, for none.
    seed
        Decides everything.
    """
    rng = np.random.default_rng(seed)
    light = rng.uniform(0.2, 1, (len(classes), len(channels)))
    grain = rng.uniform(0.3, 2, len(classes))
    places = [(k, g, i) for k in range(len(classes)) for g in range(groups) for i in range(cells)]
    rows, columns = np.mgrid[:size, :size] + 0.5
    radius = size / 5

    def disc(y: float, x: float, r: float) -> np.ndarray:
        return np.hypot(rows - y, columns - x) < r

    images = np.empty((len(places), len(channels), size, size))
    masks = np.empty((len(places), size, size), bool)
    around = np.empty_like(masks)
    for n, (k, _, _) in enumerate(places):
        mask = disc(*(size / 2 + rng.normal(0, size / 60, 2)), radius * rng.uniform(0.8, 1.1))
        every = mask.copy()
        for angle in rng.uniform(0, 2 * np.pi, 3):
            far = 2.4 * radius
            there = size / 2 + far * np.sin(angle), size / 2 + far * np.cos(angle)
            every |= disc(*there, radius) & ~disc(size / 2, size / 2, 1.25 * radius)
        texture = 1 + 0.3 * np.sin(grain[k] * rows) * np.sin(grain[k] * columns)
        for c in range(len(channels)):
            # Each channel shines elsewhere in the cells, as if it were another organelle.
            turn = 2 * np.pi * c / len(channels)
            organelle = np.cos(turn + (rows + columns * (1 + c)) * 9 / size) > 0.2
            images[n, c] = 0.05 + every * organelle * light[k, c] * texture * 0.6
        images[n] += rng.normal(0, 0.01, images[n].shape)
        masks[n], around[n] = mask, every
    scale = {"uint8": 255, "uint16": 20_000, "float32": 1}[dtype]
    frame = pd.DataFrame(
        [
            {
                "protein": f"{chr(65 + g)}{k + 1:02d}",
                "localization": classes[k],
                "field": f"plate 1/{chr(65 + g)}{k + 1:02d}/{i % 2}",
            }
            for k, g, i in places
        ]
    )
    with CropStoreWriter(
        path, channels=channels, size=size, dtype=dtype, localizations=tuple(classes),
        source={"kind": "test", "simulated": True, "pixel_size": pixel_size},
    ) as writer:  # fmt: skip
        writer.add((images.clip(0, 1) * scale).astype(dtype), masks, around, frame)
    return path
