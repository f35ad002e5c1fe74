"""Descriptions and checks of stores, runs and models, as lines of text.

Layer: reads files; writes none. The command line prints what these functions yield.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from compute import schema
from compute.errors import InputError
from compute.runs.verify import check_run
from compute.storage.atomic_files import Progress, silent
from compute.storage.paths import RunPaths
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore


def describe_store(path: Path) -> Iterator[str]:
    """Say what a crop store holds, how many cells are flagged, and what it could not take."""
    store = CropStore(path)
    counts = store.meta["counts"]
    words = "simulated cells" if store.simulated else "cells"
    names: set[str] = set()
    unlabelled = 0
    cells = pq.ParquetFile(store.paths.cells)
    for rows in cells.iter_batches(columns=["protein", "labels"]):
        names.update(rows["protein"].unique().to_pylist())
        unlabelled += rows["labels"].null_count
    proteins = len(names)
    yield (
        f"{path}: {counts['cells']} {words} of {proteins} proteins, {counts['usable']} usable, "
        f"{counts['windows']} windows without cells, channels {', '.join(store.channels)}"
    )
    for name, count in counts["flags"].items():
        if count:
            yield f"  {count} × {schema.CELL_FLAGS[schema.CellFlag[name]]}"
    for note in store.meta["source"].get("notes", []):
        yield f"  {note}"
    if unlabelled:
        yield f"  {unlabelled} × no localization given (no swap by class, not in pair tests)"
    for item in store.meta["rejections"]:
        yield f"  {item['count']} × rejected: {item['reason']} ({', '.join(item['examples'][:3])})"


def list_models() -> Iterator[str]:
    """Describe the shipped models, a line each."""
    from compute.models.card import builtin_cards, load_card

    for name, path in builtin_cards().items():
        card = load_card(path)
        yield (
            f"{name}: {card.network}, width {card.width:g}, reads {', '.join(card.channels)}, "
            f"{card.dimension} numbers from {card.layer}; trained on {card.trained_on}"
        )


def check_model(card_path: Path, store_path: Path) -> Iterator[str]:
    """Load a model, embed up to 16 of a store's cells, and say what came out.

    Parameters
    ----------
    card_path, store_path
        A model card and a crop store.

    Raises
    ------
    BystanderError
        The card, the weights or the channels do not fit, or all cells get the same embedding.
    """
    import numpy as np

    from compute.backgrounds.compose import Composed
    from compute.embedding.tables import embed_crops
    from compute.models.card import select_channels
    from compute.models.embedder import load_model

    store = CropStore(store_path)
    model = load_model(card_path)
    channels = select_channels(model.card, store.channels)
    rows = np.flatnonzero(store.usable)[:16]
    images = store.arrays().images[rows].astype(np.float32)
    flags = np.zeros(len(rows), np.int32)
    crops = Composed(images, flags, images, np.arange(len(rows)))
    vectors = embed_crops(model, crops, channels, 16, "crop")
    spread = float(vectors.std(0).mean())
    yield f"{model.name}: {len(rows)} cells give {vectors.shape[1]} numbers each, all finite"
    if spread == 0:
        raise InputError(f"Model {model.name!r} gives every cell the same vector.", "Check it.")
    yield f"mean standard deviation between cells: {spread:.4g}"


def check_path(path: Path, progress: Progress = silent) -> Iterator[str]:
    """Verify a crop store or a run, and say what was found.

    Parameters
    ----------
    path
        Folder of the store or the run.
    progress
        Called with files hashed; silent by default.

    Raises
    ------
    InputError
        Something is missing or altered, or refers to something that is not there.
    """
    if RunPaths(path).header.is_file():
        yield from check_run(RunDirectory(path), progress)
        return
    store = CropStore(path)
    store.check()
    for name, count in (("cells", len(store.cells)), ("windows", len(store.windows))):
        if count != store.meta["counts"][name]:
            raise InputError(
                f"{path}: {count} {name}, store.json says {store.meta['counts'][name]}.",
                "Make the store anew.",
            )
    yield from describe_store(path)
    yield "Every file is as it was written."
