"""The tables that embedding makes, and the embedding of crops that are composed already.

Layer: arrays and tables in memory; no files.
"""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute.backgrounds.compose import Composed
from compute.devices import BatchSize
from compute.errors import BystanderError
from compute.models.embedder import Embedder, with_own_together
from compute.schema import CONDITIONS, STEP_CONDITIONS, Condition


def embed_crops(
    model: Embedder,
    crops: Composed,
    channels: Sequence[int],
    batch_size: int,
    normalisation: str,
    *,
    with_own: bool = False,
) -> NDArray[np.float32]:
    """Embed composed crops.

    Parameters
    ----------
    model
        The model.
    crops
        T synthetic crops with their cells' unaltered ones, and with their scene where the model
        needs it.
    channels
        Numbers of the store's channels that the model reads, in its order; −1 for zeros.
    batch_size
        Crops per forward pass; 0 leaves it to the device.
    normalisation
        One of `compute.embedding.config.NORMALISATION`.
    with_own
        Whether the model's own answers are asked too, if it has a head; False by default.

    Returns
    -------
    ndarray
        Embeddings, shape (T, D), float32; with its own answers, shape (T, `model.width`).

    Raises
    ------
    BystanderError
        The model gave a value that is not finite.
    """
    [found] = embed_each([model], crops, channels, batch_size, normalisation, with_own=with_own)
    return found


def embed_each(
    models: Sequence[Embedder],
    crops: Composed,
    channels: Sequence[int],
    batch_size: int,
    normalisation: str,
    *,
    with_own: bool = True,
) -> list[NDArray[np.float32]]:
    """Embed composed crops with models of one network, in one pass for all of them.

    Parameters and errors are those of `embed_crops`, but that own answers are asked by default;
    `models` are some that `compute.models.one_network.passes` puts together.

    Returns
    -------
    list of ndarray
        As `embed_crops` returns it, for each model.
    """
    widths = [model.width if with_own else model.dimension for model in models]
    found = [np.empty((len(crops.images), width), np.float32) for width in widths]
    picked, by_scene = list(channels), any(model.needs_scene for model in models)
    step = BatchSize(batch_size, models[0].device).now
    for start in range(0, len(crops.images), step):
        rows = slice(start, start + step)
        images = pick_channels(torch.from_numpy(crops.images[rows]), picked)
        reference = None
        if normalisation == "locked":
            whole = torch.from_numpy(crops.unaltered[crops.reference[rows]])
            reference = pick_channels(whole, picked)
        scene = None
        if by_scene and crops.scene is not None:
            scene = crops.scene.at(rows).moved(lambda t: t.to(models[0].device))
        given = with_own_together(models, images, reference, scene=scene, ask=with_own)
        for vectors, some in zip(found, given, strict=True):
            vectors[rows] = some.cpu().numpy()
    return [finite(model, vectors) for model, vectors in zip(models, found, strict=True)]


def pick_channels(images: Tensor, picked: Sequence[int]) -> Tensor:
    """Take some channels of N×C×H×W images, zeros for −1; no copy where all are taken in order."""
    if list(picked) == list(range(images.shape[1])):
        return images
    chosen = images[:, [max(channel, 0) for channel in picked]]
    for place, channel in enumerate(picked):
        if channel < 0:
            chosen[:, place] = 0
    return chosen


def second_readings(trials: pd.DataFrame, conditions: Collection[Condition]) -> NDArray[np.int64]:
    """Return the rows of trials that are read again.

    They are a cell's first trial under a condition (repeat 0), and on each background class where
    a step of a drop (`compute.schema.STEPS`) needs pair tests on all of them.

    Parameters
    ----------
    trials
        Rows of `compute.backgrounds.plan.Plan.trials`, whole cells.
    conditions
        The conditions whose trials are read again.
    """
    chosen = trials["condition"].isin([str(c) for c in conditions])
    every = [str(c) for c in STEP_CONDITIONS if CONDITIONS[c].grid]
    again = trials["condition"].isin(every) & ~trials.duplicated(
        ["cell", "condition", "donor_localization"]
    )
    return np.flatnonzero(chosen & ((trials["repeat"] == 0) | again))


def trials_table(
    trials: pd.DataFrame,
    flags: NDArray[np.int32],
    fraction: NDArray[np.float32],
    distance: NDArray[np.float32],
) -> pa.Table:
    """Turn planned trials into the `trials` table.

    Parameters
    ----------
    trials
        T rows of `compute.backgrounds.plan.Plan.trials`.
    flags, fraction, distance
        As in `compute.backgrounds.compose.Composed`, shape (T,); NaN becomes null.
    """
    donor = trials["donor"].to_numpy()
    columns = {
        "trial": pa.array(trials["trial"].to_numpy()),
        "cell": pa.array(trials["cell"].to_numpy()),
        "condition": _texts(trials["condition"]),
        "donor": pa.array(donor, mask=donor < 0),
        "donor_localization": _texts(trials["donor_localization"]),
        "repeat": pa.array(trials["repeat"].to_numpy().astype(np.int16)),
        "seed": pa.array(trials["seed"].to_numpy()),
        "flags": pa.array(flags),
        "donor_seen": pa.array(trials["donor_seen"]),
        "neighbour_fraction": pa.array(fraction, from_pandas=True),
        "neighbour_distance": pa.array(distance, from_pandas=True),
    }
    return pa.table(columns)


def embeddings_table(
    trials: pd.DataFrame, vectors: NDArray[np.float32], dimension: int | None = None
) -> pa.Table:
    """Turn trials and their vectors into the `embeddings` table.

    Parameters
    ----------
    trials
        T rows.
    vectors
        Embeddings, then the model's own answers if it has any, shape (T, D) or (T, D + K + 1).
    dimension
        D; by default all columns are embeddings.
    """
    parts = np.split(vectors, [dimension or vectors.shape[1], vectors.shape[1] - 1], axis=1)
    columns = {
        "trial": pa.array(trials["trial"].to_numpy()),
        "cell": pa.array(trials["cell"].to_numpy()),
        "condition": _texts(trials["condition"]),
        "embedding": _lists(parts[0]),
    }
    if dimension is not None and vectors.shape[1] > dimension:
        columns |= {"own": _lists(parts[1]), "own_left_out": pa.array(parts[2][:, 0])}
    return pa.table(columns)


def _lists(rows: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """Turn an array into a column of lists of the same length."""
    return pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(rows).ravel()), rows.shape[1]
    )


def _texts(column: pd.Series) -> pa.Array:
    """Turn a column of categories into texts, all at once."""
    names = pa.array(list(column.cat.categories), pa.string())
    codes = column.cat.codes.to_numpy()
    return names.take(pa.array(codes, mask=codes < 0))


def finite(model: Embedder, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors if all their values are finite.

    Raises
    ------
    BystanderError
        A value is not finite; names the model.
    """
    if not np.isfinite(vectors).all():
        raise BystanderError(
            f"Model {model.name!r} gave values that are not finite.",
            "Check its weights with `bystander models check`.",
        )
    return vectors
