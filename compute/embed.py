"""Trials through models: crops of a shard are composed once and embedded by every model.

Layer: reads the store's pixels, writes `trials` and `embeddings` shards of a run directory.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray

from compute import schema
from compute.cards import select_channels
from compute.composite import DONOR_CENTRE, Composed, compose
from compute.conditions import Plan
from compute.errors import BystanderError, UsageError, unknown_value
from compute.files import Progress, silent
from compute.harmonise import HARMONISE, Scales
from compute.models import Embedder
from compute.rundir import RunDirectory
from compute.store import CropArrays, CropStore

NORMALISATION = ("crop", "locked")
"""Where a model's scaling takes its range: from each crop, or from the cell's unaltered crop."""

SHARD_CELLS = 64
"""Cells whose trials are composed and written together (about 2,000 crops, 65 MB)."""


@dataclass(frozen=True)
class EmbedConfig:
    """How crops are composed and embedded.

    Parameters
    ----------
    harmonise
        One of `compute.harmonise.HARMONISE`.
    donor_centre
        One of `compute.composite.DONOR_CENTRE`.
    normalisation
        One of `NORMALISATION`.
    batch_size
        Crops per forward pass, 1 to 65536.
    """

    harmonise: str = "protein"
    donor_centre: str = "remove"
    normalisation: str = "crop"
    batch_size: int = 256

    def __post_init__(self) -> None:
        """Check every value."""
        for kind, value, allowed in (
            ("harmonisation", self.harmonise, HARMONISE),
            ("donor centre", self.donor_centre, DONOR_CENTRE),
            ("normalisation", self.normalisation, NORMALISATION),
        ):
            if value not in allowed:
                raise unknown_value(kind, value, allowed)
        if not 1 <= self.batch_size <= 65536:
            raise UsageError(f"batch_size is {self.batch_size}; it must be 1 to 65536.")


@dataclass(frozen=True)
class _Work:
    """One shard that lacks some of its files."""

    number: int
    trials: pd.DataFrame
    missing: Sequence[Embedder]
    trials_missing: bool


def embed(
    run: RunDirectory,
    store: CropStore,
    plan: Plan,
    arrays: CropArrays,
    scales: Scales,
    models: Sequence[Embedder],
    config: EmbedConfig,
    progress: Progress = silent,
) -> None:
    """Write every `trials` and `embeddings` shard that is not there yet.

    The next shard is composed in another thread while the models read this one.
    """
    channels = {model.name: select_channels(model.card, store.channels) for model in models}
    shards = plan.shards(SHARD_CELLS)

    def composed(work: _Work) -> tuple[_Work, Composed]:
        return work, compose(work.trials, arrays, scales, config.donor_centre)

    todo = [
        (number, start, stop, missing, not run.part("trials", number).is_file())
        for number, (start, stop) in enumerate(shards)
        if (missing := [m for m in models if not run.part("embeddings", number, m.name).is_file()])
        or not run.part("trials", number).is_file()
    ]
    done = len(shards) - len(todo)
    progress("embed", done, len(shards))
    with ThreadPoolExecutor(1) as pool:
        work = (
            _Work(number, plan.trials(start, stop), missing, trials_missing)
            for number, start, stop, missing, trials_missing in todo
        )
        for item, crops in _ahead(pool, composed, work):
            if item.trials_missing:
                table = trials_table(item.trials, crops.flags)
                run.write(run.part("trials", item.number), table, schema.trials_schema())
            for model in item.missing:
                vectors = embed_crops(
                    model, crops, channels[model.name], config.batch_size, config.normalisation
                )
                _write_embeddings(run, item, model, vectors)
            done += 1
            progress("embed", done, len(shards))


def _ahead(pool: ThreadPoolExecutor, function: Any, items: Iterator[Any]) -> Iterator[Any]:
    """Apply a function one item ahead of who asks for the results."""
    waiting = None
    for item in items:
        following = pool.submit(function, item)
        if waiting is not None:
            yield waiting.result()
        waiting = following
    if waiting is not None:
        yield waiting.result()


def embed_crops(
    model: Embedder,
    crops: Composed,
    channels: Sequence[int],
    batch_size: int,
    normalisation: str,
) -> NDArray[np.float32]:
    """Embed composed crops.

    Parameters
    ----------
    model
        The model.
    crops
        T synthetic crops with their cells' unaltered ones.
    channels
        The store's channels that the model reads, in its order.
    batch_size
        Crops per forward pass.
    normalisation
        One of `NORMALISATION`.

    Returns
    -------
    ndarray
        Shape (T, D).

    Raises
    ------
    BystanderError
        The model gave a value that is not finite.
    """
    vectors = np.empty((len(crops.images), model.dimension), np.float32)
    picked = list(channels)
    for start in range(0, len(vectors), batch_size):
        rows = slice(start, start + batch_size)
        images = torch.from_numpy(crops.images[rows][:, picked])
        reference = None
        if normalisation == "locked":
            reference = torch.from_numpy(crops.unaltered[crops.reference[rows]][:, picked])
        vectors[rows] = model(images, reference).cpu().numpy()
    if not np.isfinite(vectors).all():
        raise BystanderError(
            f"Model {model.name!r} gave values that are not finite.",
            "Check its weights with `bystander models check`.",
        )
    return vectors


def trials_table(trials: pd.DataFrame, flags: NDArray[np.int32]) -> pa.Table:
    """Turn planned trials and their quality flags into the `trials` table."""
    donor = trials["donor"].to_numpy()
    columns = {
        "trial": pa.array(trials["trial"].to_numpy()),
        "cell": pa.array(trials["cell"].to_numpy()),
        "condition": pa.array(list(trials["condition"]), pa.string()),
        "donor": pa.array(donor, mask=donor < 0),
        "donor_localization": pa.array(
            [name if isinstance(name, str) else None for name in trials["donor_localization"]],
            pa.string(),
        ),
        "repeat": pa.array(trials["repeat"].to_numpy().astype(np.int16)),
        "seed": pa.array(trials["seed"].to_numpy()),
        "flags": pa.array(flags),
    }
    return pa.table(columns)


def _write_embeddings(
    run: RunDirectory, item: _Work, model: Embedder, vectors: NDArray[np.float32]
) -> None:
    table = pa.table(
        {
            "trial": pa.array(item.trials["trial"].to_numpy()),
            "cell": pa.array(item.trials["cell"].to_numpy()),
            "condition": pa.array(list(item.trials["condition"]), pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.ravel()), model.dimension
            ),
        }
    )
    expected = schema.embeddings_schema(model.dimension)
    run.write(run.part("embeddings", item.number, model.name), table, expected)
