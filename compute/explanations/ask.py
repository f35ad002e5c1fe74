"""What taking a piece out of a crop does to a model's answer: rows of the table `occlusions`.

Layer: crops in memory, embedded by loaded models, asked of fitted probes; no files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from compute.backgrounds.compose import Composed
from compute.backgrounds.occlusion import Occluded
from compute.backgrounds.scene import Scene
from compute.embedding.config import EmbedConfig
from compute.embedding.tables import embed_crops
from compute.hashing import Stream, mix
from compute.models.card import select_channels
from compute.models.embedder import Embedder
from compute.probes.cells import Cells
from compute.probes.multiclass import Multiclass


@dataclass(frozen=True)
class Asked:
    """A model that can be asked about crops.

    Parameters
    ----------
    model
        The model, loaded.
    probe
        Its frozen multi-class probe.
    """

    model: Embedder
    probe: Multiclass


def choose_cells(cells: Cells, most: int, seed: int) -> NDArray[np.int64]:
    """Choose cells of pair tests by hash, as many of every class as can be.

    Parameters
    ----------
    cells
        Labels and folds of the store's cells.
    most
        How many are chosen at most.
    seed
        Any integer ≥ 0.

    Returns
    -------
    ndarray
        Rows in the store's `cells`, ascending.
    """
    rows = np.flatnonzero(cells.tested)
    lot, classes = mix(seed, Stream.OCCLUDED_CELLS, rows), cells.classes[rows]
    order = np.lexsort((lot, classes))
    turn = np.empty(len(rows), np.int64)
    turn[order] = np.arange(len(rows)) - np.searchsorted(classes[order], classes[order])
    return np.sort(rows[np.lexsort((lot, turn))[:most]])


def fill_seed(seed: int, cell: int) -> int:
    """Return the seed of the medium that fills a cell's pieces."""
    return int(mix(seed, Stream.OCCLUSION_FILL, cell) >> np.uint64(1))


def occlusion_rows(
    occluded: Mapping[int, Occluded],
    asked: Sequence[Asked],
    cells: Cells,
    channels: Sequence[str],
    config: EmbedConfig,
) -> Iterator[dict[str, Any]]:
    """Ask models about crops with and without each piece.

    Parameters
    ----------
    occluded
        The crops, by row of the cell in the store's `cells`.
    asked
        The models.
    cells
        Labels and folds of the store's cells.
    channels
        Names of the store's channels.
    config
        How crops are embedded.

    Yields
    ------
    dict
        Columns of `compute.schema.OCCLUSIONS`, model by model, cell by cell.
    """
    many = np.array([1 + len(one) for one in occluded.values()])
    cell = np.repeat(np.array(list(occluded), np.int64), many)
    crops = _joined(list(occluded.values()), many)
    for one in asked:
        picked = select_channels(one.model.card, channels)
        vectors = embed_crops(one.model, crops, picked, config.batch_size, config.normalisation)
        probabilities = one.probe(vectors, cell).astype(np.float64)
        starts = np.cumsum(many) - many
        for (row, each), start, count in zip(
            occluded.items(), starts.tolist(), many.tolist(), strict=True
        ):
            answers = probabilities[start : start + count]
            yield from _rows_of_cell(one.model.name, row, each, answers, cells)


def _joined(occluded: Sequence[Occluded], many: NDArray[np.int64]) -> Composed:
    """Put the crops of several cells behind each other, as composed crops."""
    images = np.concatenate([one.images for one in occluded])
    unknown = np.full(len(images), np.nan, np.float32)
    masks = np.concatenate([np.repeat(one.mask[None], 1 + len(one), 0) for one in occluded])
    neighbours = np.concatenate([one.neighbours for one in occluded])
    return Composed(
        images, np.zeros(len(images), np.int32), unknown, unknown,
        np.stack([one.images[0] for one in occluded]), np.repeat(np.arange(len(occluded)), many),
        Scene(torch.from_numpy(masks), torch.from_numpy(neighbours)),
    )  # fmt: skip


def _rows_of_cell(
    model: str, cell: int, occluded: Occluded, answers: NDArray[np.float64], cells: Cells
) -> Iterator[dict[str, Any]]:
    """Say what each piece of one cell's crop changes; `answers` has shape (1 + k, classes)."""
    names, own = list(cells.names), int(cells.classes[cell])
    given, predicted = int(answers[0].argmax()), answers.argmax(1)
    areas, pixels = occluded.areas, occluded.mask.size
    for k, kind in enumerate(occluded.kinds):
        near, centroid = int(occluded.distance[k]), int(occluded.centroid_distance[k])
        after = answers[1 + k]
        yield {
            "model": model,
            "cell": cell,
            "protein": str(cells.protein[cell]),
            "localization": names[own] if own >= 0 else None,
            "kind": str(kind),
            "piece": int(occluded.numbers[k]),
            "area": int(areas[k]),
            "share": float(areas[k] / pixels),
            "distance": near if near >= 0 else None,
            "centroid_distance": centroid if centroid >= 0 else None,
            "little_medium": bool(occluded.little_medium[k]),
            "answer": names[given],
            "probability": float(answers[0, given]),
            "fall": float(answers[0, given] - after[given]),
            "true_fall": float(answers[0, own] - after[own]) if own >= 0 else None,
            "answer_after": names[predicted[1 + k]],
            "changed": bool(predicted[1 + k] != given),
        }
