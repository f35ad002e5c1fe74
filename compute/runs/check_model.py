"""Whether a model can read a store, and what it makes of a few of its cells. Prints nothing.

Layer: above models and stores; torch is loaded when a model is.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError, UsageError
from compute.models.card_files import Model, source_words
from compute.models.own_answer import head_words
from compute.models.readable import bind
from compute.models.recipe import NO_CHANNEL
from compute.schema import Condition
from compute.store.reader import CropStore

if TYPE_CHECKING:
    from compute.backgrounds.compose import Composed
    from compute.models.embedder import Embedder

CROPS = 16
"""Cells that are looked at, at most."""

SAME = 1e-3
"""Largest relative distance between two answers to the same crop that counts as rounding."""


@dataclass(frozen=True)
class ModelCheck:
    """What a model made of a few cells of a store.

    Parameters
    ----------
    model
        Its name.
    source
        Where it comes from, in words.
    cells
        How many were embedded.
    dimension
        Numbers in an embedding.
    reads
        What it sees of the store's crops, in a sentence.
    raw, scaled
        Least and greatest intensity of each channel as imaged, and as it is scaled, by its name.
    given
        Shape of the network's input, and how many such passes there are for a crop.
    spread
        Standard deviation between the cells, mean over the numbers.
    dead
        Numbers that are the same for every cell.
    repeated, together
        Largest relative distance between two answers to the same crop, and between its answers
        alone and among others.
    sham
        Distance that pasting a cell back on its own background moves its embedding, as a share of
        that between two cells; medians.
    crops_per_second
        Speed on this device, scaling and network.
    inputs
        What the network gets of the cells, shape (n, passes, I, h, w), float32.
    head
        What its own head can answer with, in a sentence; empty, the default, where it has none.
    layers
        How several layers of its card are computed, in a sentence; empty, the default, where it
        has one.
    """

    model: str
    source: str
    cells: int
    dimension: int
    reads: str
    raw: dict[str, tuple[float, float]]
    scaled: dict[str, tuple[float, float]]
    given: tuple[int, ...]
    spread: float
    dead: int
    repeated: float
    together: float
    sham: float
    crops_per_second: float
    inputs: NDArray[np.float32] = field(repr=False, compare=False)
    head: str = ""
    layers: str = ""

    @property
    def columns(self) -> list[str]:
        """Names of the network's inputs, pass by pass."""
        passes, inputs = self.given[:2]
        if not self.raw:
            return ["the cell", "its neighbours"]
        if passes * inputs == len(self.raw) and passes in (1, len(self.raw)):
            return list(self.raw)
        several = passes > 1
        return [
            (f"pass {p + 1}, " if several else "") + f"input {k + 1}"
            for p in range(passes)
            for k in range(inputs)
        ]

    def lines(self) -> Iterator[str]:
        """Say it in sentences; what needs to be mended comes with the way out."""
        yield f"{self.model}: {self.source}"
        yield self.reads
        if self.head:
            yield self.head
        for name, (low, high) in self.raw.items():
            scaled = self.scaled[name]
            yield (
                f"{name}: {low:.6g} to {high:.6g} as imaged, {scaled[0]:.4g} to {scaled[1]:.4g} "
                "as scaled"
            )
        *_, passes, inputs, height, width = (1, *self.given)
        times = f"{passes} times " if passes > 1 else ""
        if self.raw:
            yield f"the network gets {times}{inputs} × {height} × {width} of each crop"
        yield f"{self.cells} cells give {self.dimension} numbers each, all finite"
        yield f"mean standard deviation between cells: {self.spread:.4g}"
        if self.dead:
            yield (
                f"{self.dead} of {self.dimension} numbers are the same for every cell; that is "
                "usual after a ReLU, unless it is most of them: then check `scaling`, `mean` and "
                "`deviation`"
            )
        yield f"the same crop twice: {self.repeated:.1e} apart; alone and among others: " + (
            f"{self.together:.1e}"
        )
        yield (
            f"a cell pasted back on its own background moves by {self.sham:.1%} of the distance "
            "between two cells"
        )
        yield f"{self.crops_per_second:,.0f} crops per second, scaled and embedded"
        if self.layers:
            yield self.layers


def check_model(
    model: Model, store: Path | str, *, device: str = "auto", trusted: bool = False
) -> ModelCheck:
    """Load a model and embed up to 16 of a store's usable cells.

    Of a card with several `layers` each is loaded and tried; numbers are of the first.

    Parameters
    ----------
    model
        Name of a shipped model, or path of a card.
    store
        A crop store.
    device
        As for `compute.runs.run.run`; ``"auto"`` by default.
    trusted
        Whether foreign code that it brings may run; False by default.

    Returns
    -------
    ModelCheck
        What came out.

    Raises
    ------
    BystanderError
        The card, the weights or the channels do not fit; every cell gives the same embedding; or an
        answer depends on chance or on other crops.

    Examples
    --------
    >>> from compute import check_model
    >>> check_model("deeploc.toml", "store").cells
    16
    """
    from compute.devices import choose_device
    from compute.embedding.tables import embed_crops
    from compute.models.card import select_channels
    from compute.models.one_network import load_models, passes

    opened = CropStore(store)
    found, [reads, *_] = bind([model], opened, trusted=trusted)
    layers = load_models(found, choose_device(device))
    embedder = layers[0]
    if embedder.answers is not None:
        raise UsageError(
            f"Model {embedder.name!r} is a table of {len(embedder.answers)} answers; there is "
            "nothing to ask it.",
            "A run checks that they are to its crops.",
        )
    channels = select_channels(embedder.card, opened.channels)
    rows = np.flatnonzero(opened.usable)[:CROPS]
    if len(rows) < 2:
        raise InputError(f"{store} has {len(rows)} usable cells.", "Give a store of more.")
    own, sham = _composed(opened, rows)

    def embed(crops: "Composed", size: int = CROPS) -> NDArray[np.float32]:
        return embed_crops(embedder, crops, channels, size, "crop")

    vectors = embed(own)
    started = time.perf_counter()
    again = embed(own)
    speed = len(rows) / max(time.perf_counter() - started, 1e-9)
    spread = vectors.std(0)
    if float(spread.mean()) == 0:
        raise InputError(
            f"Model {embedder.name!r} gives every cell the same vector.",
            "Look at what the network gets (bystander models check … --picture FILE); check its "
            "weights, `scaling` and `layer`.",
        )
    repeated, together = _apart(vectors, again), _apart(vectors, embed(own, 1))
    if repeated > SAME:
        raise InputError(
            f"Model {embedder.name!r} answers the same crop differently: {repeated:.1e} apart.",
            "Switch off dropout and drawn augmentation in it.",
        )
    if together > SAME:
        raise InputError(
            f"Model {embedder.name!r} answers a crop differently among others: {together:.1e} "
            "apart.",
            "Its normalisation must use stored statistics, not those of a batch.",
        )
    raw, scaled, inputs = _ranges(embedder, own, channels)
    return ModelCheck(
        embedder.name, source_words(embedder.card), len(rows), vectors.shape[1], str(reads),
        raw, scaled, inputs.shape[1:], float(spread.mean()), int((spread == 0).sum()),
        repeated, together, _moved(vectors, embed(sham)), speed, inputs,
        head_words(embedder.card, embedder.own),
        _layers_words(layers, [len(some) for some in passes(layers)]),
    )  # fmt: skip


def _layers_words(layers: "Sequence[Embedder]", passes: Sequence[int]) -> str:
    """Say whether a card's layers are had in one pass; empty where there is one layer."""
    if len(layers) < 2:
        return ""
    names = ", ".join(layer.card.layer for layer in layers)
    if len(passes) == 1:
        return f"its {len(layers)} layers ({names}) come from one pass of the network"
    return (
        f"its {len(layers)} layers ({names}) take {len(passes)} passes of the network: it cannot "
        "give them all at once, so each adds its own time"
    )


def _composed(store: CropStore, rows: NDArray[np.int64]) -> "tuple[Composed, Composed]":
    """Compose cells as imaged and pasted back on their own background, with their scenes."""
    import pandas as pd

    from compute.backgrounds.compose import compose
    from compute.backgrounds.harmonise import Scales

    arrays = store.arrays(first=int(rows.max()) + 1)
    channels, count = len(store.channels), len(arrays.images)
    scales = Scales(
        np.zeros((count, channels), np.float32), np.ones((count, channels), np.float32),
        np.arange(count), np.zeros(len(arrays.windows), np.int64),
    )  # fmt: skip
    trials = pd.DataFrame(
        {"cell": rows, "donor": np.full(len(rows), -1), "seed": np.arange(len(rows))}
    )
    own, sham = (
        compose(trials.assign(condition=str(name)), arrays, scales, with_scene=True)
        for name in (Condition.UNALTERED, Condition.SHAM)
    )
    return own, sham


def _ranges(
    model: "Embedder", crops: "Composed", channels: list[int]
) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]], NDArray[np.float32]]:
    """Return each channel's range as imaged and as scaled, and what the network gets."""
    import torch

    from compute.embedding.tables import pick_channels

    images = pick_channels(torch.from_numpy(crops.images), channels)
    scaled = model.scale(images)

    def ranges(tensor: Any) -> dict[str, tuple[float, float]]:
        return {
            name: (float(tensor[:, k].min()), float(tensor[:, k].max()))
            for k, name in enumerate(model.card.channels)
            if name != NO_CHANNEL
        }

    if model.card.kind.by_scene:
        scene = crops.scene
        masks = [] if scene is None else [scene.mask, scene.neighbours]
        shown = torch.stack(masks, dim=1).float() if model.card.kind.blind else images
        return ranges(images), ranges(scaled), shown[:, None].numpy()
    given = torch.stack(next(iter(model.inputs(scaled)))[0], dim=1)
    array: NDArray[np.float32] = given.float().cpu().numpy()
    return ranges(images), ranges(scaled), array


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the largest relative distance between two answers to the same crop."""
    away = np.linalg.norm(one - other, axis=1)
    return float((away / np.maximum(np.linalg.norm(one, axis=1), 1e-30)).max())


def _moved(own: NDArray[np.float32], sham: NDArray[np.float32]) -> float:
    """Return how far pasting moves embeddings, as a share of the distance between two cells."""
    between = np.linalg.norm(own - np.roll(own, 1, axis=0), axis=1)
    return float(np.median(np.linalg.norm(own - sham, axis=1)) / max(np.median(between), 1e-30))
