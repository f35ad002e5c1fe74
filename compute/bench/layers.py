"""What several layers of one network cost: one pass for all of them against a pass for each.

Layer: above models; reads a store and embeds crops that are composed once, writes nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from compute.bench.timing import Timing, alternate
from compute.embedding.tables import pick_channels
from compute.errors import UsageError
from compute.models.card import select_channels
from compute.models.card_files import Model, find_model
from compute.models.embedder import with_own_together
from compute.models.one_network import in_one, load_models
from compute.models.readable import bind
from compute.store.reader import CropStore


def measure_layers(
    store: Path | str,
    model: Model,
    layers: Sequence[str],
    *,
    crops: int = 64,
    batch: int = 32,
    repeats: int = 5,
    device: str = "cpu",
) -> tuple[Timing, Timing]:
    """Time scaling and embedding a store's crops at several layers, in one pass and in one each.

    Parameters
    ----------
    store
        A crop store.
    model
        A model whose network has the layers.
    layers
        Two names or more.
    crops
        How many of the store's crops are embedded; 64 by default.
    batch
        Crops in a forward pass; 32 by default, as on CPUs.
    repeats
        Rounds in which both take turns; 5 by default.
    device
        Where it computes; the CPU by default.

    Returns
    -------
    together, apart : Timing
        Medians of one pass for all layers, and of a pass for each.

    Raises
    ------
    UsageError
        The network cannot give these layers in one pass.
    """
    opened = CropStore(store)
    found = find_model(model)
    read = replace(found, card=replace(found.card, layers=tuple(layers)))
    bound, _ = bind([read], opened)
    models = load_models(bound, device)
    if len(models) < 2 or not in_one(models):
        raise UsageError(
            f"{found.name!r} does not give {', '.join(layers)} in one pass, so there is nothing to "
            "compare.",
            "Name two layers or more of a network that does.",
        )
    rows = np.flatnonzero(opened.usable)[:crops]
    images = torch.from_numpy(opened.arrays(first=int(rows.max()) + 1).images[rows])
    picked = select_channels(models[0].card, opened.channels)
    batches = [pick_channels(part, picked).float() for part in images.split(batch)]

    def together() -> None:
        for part in batches:
            with_own_together(models, part)

    def apart() -> None:
        for part in batches:
            for one in models:
                one.with_own(part)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the embedding stage, where each thread has its own batch
    try:
        one_pass, each = alternate([together, apart], repeats, models[0].device)
    finally:
        torch.set_num_threads(threads)
    return one_pass, each
