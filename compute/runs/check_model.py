"""Whether a model can read a store, and what it makes of a few of its cells. Prints nothing.

Layer: above models and stores; torch is loaded when a model is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compute.errors import InputError
from compute.models.card_files import Model
from compute.models.readable import bind
from compute.store.reader import CropStore


@dataclass(frozen=True)
class ModelCheck:
    """What a model made of a few cells of a store.

    Parameters
    ----------
    model
        Its name.
    cells
        How many were embedded.
    dimension
        Numbers in an embedding.
    spread
        Standard deviation between the cells, mean over the numbers.
    reads
        What it sees of the store's crops, in a sentence.
    """

    model: str
    cells: int
    dimension: int
    spread: float
    reads: str

    def lines(self) -> Iterator[str]:
        """Say it in sentences."""
        yield self.reads
        yield f"{self.model}: {self.cells} cells give {self.dimension} numbers each, all finite"
        yield f"mean standard deviation between cells: {self.spread:.4g}"


def check_model(model: Model, store: Path | str, *, trusted: bool = False) -> ModelCheck:
    """Load a model and embed up to 16 of a store's usable cells.

    Parameters
    ----------
    model
        Name of a shipped model, or path of a card.
    store
        A crop store.
    trusted
        Whether foreign code that it brings may run; False by default.

    Returns
    -------
    ModelCheck
        What came out.

    Raises
    ------
    BystanderError
        The card, the weights or the channels do not fit, or every cell gives the same embedding.

    Examples
    --------
    >>> from compute import check_model
    >>> check_model("deeploc.toml", "store").cells
    16
    """
    import numpy as np
    import torch

    from compute.backgrounds.compose import Composed
    from compute.backgrounds.scene import Scene
    from compute.embedding.tables import embed_crops
    from compute.models.card import select_channels
    from compute.models.embedder import load_model

    opened = CropStore(store)
    [found], [reads] = bind([model], opened, trusted=trusted)
    embedder = load_model(found)
    channels = select_channels(embedder.card, opened.channels)
    rows = np.flatnonzero(opened.usable)[:16]
    first = int(rows.max()) + 1 if len(rows) else 0
    arrays = opened.arrays(first=first)
    images = arrays.images[rows].astype(np.float32)
    flags, unknown = np.zeros(len(rows), np.int32), np.full(len(rows), np.nan, np.float32)
    mask, every = (arrays.unpack(packed[rows]) for packed in (arrays.masks, arrays.foregrounds))
    scene = Scene(torch.from_numpy(mask), torch.from_numpy(every & ~mask))
    crops = Composed(images, flags, unknown, unknown, images, np.arange(len(rows)), scene)
    vectors = embed_crops(embedder, crops, channels, 16, "crop")
    spread = float(vectors.std(0).mean())
    if spread == 0:
        raise InputError(f"Model {embedder.name!r} gives every cell the same vector.", "Check it.")
    return ModelCheck(embedder.name, len(rows), vectors.shape[1], spread, str(reads))
