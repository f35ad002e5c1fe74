"""The pixels of a training: every crop of a store, and what cells can be put on, made once.

Layer: reads a store; arrays and tensors out.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from compute.backgrounds.prepared import DONOR, MEDIUM, bytes_needed, prepare
from compute.models.networks import NetworkSpec
from compute.models.scaling import scaling_named
from compute.models.training.crops import Pixels, Side, fits
from compute.models.training.donors import BackgroundDraws
from compute.models.training.options import TrainingOptions
from compute.models.training.select_cells import Rows, Selection
from compute.storage.atomic_files import Progress, silent
from compute.store.reader import CropArrays, CropStore


def load_pixels(
    store: CropStore,
    spec: NetworkSpec,
    channels: Sequence[str],
    selection: Selection,
    options: TrainingOptions,
    device: torch.device,
    progress: Progress = silent,
) -> Pixels:
    """Load every crop of a store, and make the backgrounds that are asked for.

    Parameters
    ----------
    store
        The crops.
    spec
        The network.
    channels
        The store's channels that the network reads, in its order.
    selection
        The cells in use. Those of one side of the split are never behind one of the other.
    options
        What cells stand on, how they are put there, and the seed of what fills holes.
    device
        Where the network computes.
    progress
        Called while backgrounds are made, with the number of cells that are done and of all; silent
        by default.
    """
    arrays = store.arrays()
    wanted = [store.channels.index(channel) for channel in channels]
    images = np.asarray(arrays.images)
    if wanted != list(range(len(store.channels))):
        images = np.ascontiguousarray(images[:, wanted])
    jitter = spec.default_windows != "centre"
    scale = scaling_named(spec.scaling)
    pixels = Pixels(images, scale, spec.input_size, jitter, device)
    if not options.way.changes:
        return pixels.on_device()
    windows = np.asarray(arrays.windows)[:, wanted]
    arrays = CropArrays(images, arrays.masks, arrays.foregrounds, windows)
    kinds = (DONOR,) if options.way.donors else (MEDIUM,)
    count = len(selection.training) + len(selection.validation)
    home = torch.device("cpu")
    if fits(count * bytes_needed(arrays, kinds), device):
        home = device

    def side(rows: Rows, before: int) -> Side:
        cells = prepare(
            rows, store.cells, arrays, kinds, paste=options.paste, seed=options.seed, device=home,
            progress=_shifted(progress, before, count),
        )  # fmt: skip
        place = np.full(len(images), -1)
        place[rows] = np.arange(len(rows))
        return Side(place, cells, BackgroundDraws(options, selection.field[rows], rows))

    training = side(selection.training, 0)
    validation = side(selection.validation, len(selection.training))
    return Pixels(images, scale, spec.input_size, jitter, device, training, validation)


def _shifted(progress: Progress, before: int, count: int) -> Callable[[int], None]:
    """Report cells that are done after those that were before."""
    return lambda done: progress("making backgrounds", before + done, count)
