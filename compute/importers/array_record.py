"""Crops that lie in arrays: many in one file, one after another. What is known of them, no pixels.

Layouts of such files (`compute.importers.layouts`) are listed as `ArrayRecord`s, of which
`compute.importers.crop_arrays` makes a store.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.importers.field_record import CellRows, Texts


@dataclass(frozen=True)
class CropArrays:
    """Some crops as they are in their file.

    Parameters
    ----------
    images
        Shape (n, C, H, W).
    masks
        Centre cells, booleans of shape (n, H, W); None, the default, where there are none.
    nuclei
        Nuclei, booleans of shape (n, H, W); None, the default, where there are none.
    """

    images: NDArray[Any]
    masks: NDArray[np.bool_] | None = None
    nuclei: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class ArrayRecord:
    """The crops of one file, or of files that go together.

    Parameters
    ----------
    name
        Its name, by which a table of cells may know it.
    files
        The files.
    count
        Number of crops.
    planes
        Which channels of the files are taken, from 0.
    rows
        What is known of every crop: its number in the source, and what it shows.
    fields
        The image that each crop is from, shape (count,).
    known
        What is said of all of them; nothing by default.
    mask
        Which channel of the files is the mask; None, the default, where there is none.
    """

    name: str
    files: tuple[Path, ...]
    count: int
    planes: tuple[int, ...]
    rows: CellRows
    fields: NDArray[Any]
    known: Texts = field(default_factory=dict)
    mask: int | None = None


@dataclass(frozen=True)
class ArrayListing:
    """The crops of a source.

    Parameters
    ----------
    records
        In the order of the store.
    channels
        Names of the channels.
    size
        Side of a crop, pixels.
    read
        Reads the crops from `start` to `stop` of a record; a function of a module, as it is sent to
        other processes.
    notes
        Sentences for the store's description; none by default.
    """

    records: tuple[ArrayRecord, ...]
    channels: tuple[str, ...]
    size: int
    read: Callable[[ArrayRecord, int, int], CropArrays]
    notes: tuple[str, ...] = ()
