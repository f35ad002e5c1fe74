"""What writes crops in a format, and what it must know of them.

Layer: an abstract class that the formats beside this file fill in; no files.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compute.schema import ExportFormat


@dataclass(frozen=True)
class Crops:
    """Some composed crops, in order.

    Parameters
    ----------
    images
        Raw intensities, shape (n, C, H, W), float32.
    masks
        Where the centre cells are (or were), booleans, shape (n, H, W).
    """

    images: NDArray[np.float32]
    masks: NDArray[np.bool_]


@dataclass(frozen=True)
class CropFacts:
    """What all crops of an export have in common.

    Parameters
    ----------
    name
        What they are called.
    fingerprint
        Of the crops, from `compute.runs.exports.identity.composites`.
    count
        Number of crops in all shards.
    channels
        Names of the C channels.
    size
        Side of a crop, pixels.
    pixel_size
        Micrometres from pixel to pixel; None where nobody knows.
    """

    name: str
    fingerprint: str
    count: int
    channels: tuple[str, ...]
    size: int
    pixel_size: float | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a crop, C×H×W."""
        return len(self.channels), self.size, self.size


class CropWriter(ABC):
    """Writes shards of crops, one after the other, below a folder.

    Parameters
    ----------
    folder
        A folder that is there and empty.
    facts
        What is about to be written.

    Raises
    ------
    InputError
        A package is needed that is not installed.
    """

    format: ClassVar[ExportFormat]

    def __init__(self, folder: Path, facts: CropFacts) -> None:
        self.folder, self.facts = folder, facts

    @abstractmethod
    def places(self, shard: int, first: int, count: int) -> tuple[str, NDArray[np.int64]]:
        """Say where the crops of a shard go.

        Parameters
        ----------
        shard
            Its number.
        first, count
            How many crops are before it, and in it.

        Returns
        -------
        file : str
            What holds them, below the folder.
        places : ndarray
            Their places along its first axis, shape (count,).
        """

    @abstractmethod
    def write(self, rows: pa.Table, crops: Iterator[Crops]) -> None:
        """Write a shard.

        Parameters
        ----------
        rows
            Its rows of the table that `compute.schema.exported_schema` describes.
        crops
            As many crops, some at a time.
        """

    @abstractmethod
    def finish(self) -> None:
        """Write what is left, and close the files."""

    @abstractmethod
    def read(self, file: str, start: int, stop: int) -> NDArray[np.float32]:
        """Read finished crops from `start` to `stop` of a file, shape (n, C, H, W)."""
