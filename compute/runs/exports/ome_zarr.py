"""Crops as one OME-Zarr image, version 0.5 (Zarr format 3).

What is in it
    A group with the array ``0``, shape (crops, C, H, W), float32, in chunks of some whole crops.
    Its axes are called t, c, y, x: the format knows no axis of crops, and only time may come before
    the channels, so t counts the crops. ``omero`` names the channels.
Publication
    Moore and others, "OME-NGFF", Nature Methods 18: 1496, 2021, doi:10.1038/s41592-021-01326-w.
Address
    https://ngff.openmicroscopy.org/0.5/
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compute.errors import InputError
from compute.runs.exports.crop_writer import CropFacts, Crops, CropWriter
from compute.schema import ExportFormat
from compute.storage.paths import ExportPaths

ARRAY = "0"
"""Name of the array, as OME-Zarr calls the full-size level."""

CHUNK_CROPS, CHUNK_BYTES = 64, 2**25
"""Crops in a chunk at most, and bytes of them before compression."""

COLOURS = ("00FF00", "FF0000", "0000FF", "FF00FF", "00FFFF", "FFFF00")
"""Colours in which viewers show channels, in turn."""


class OmeZarrWriter(CropWriter):
    """Writes crops as one OME-Zarr image; parameters are those of `CropWriter`."""

    format = ExportFormat.OME_ZARR

    def __init__(self, folder: Path, facts: CropFacts) -> None:
        super().__init__(folder, facts)
        try:
            import zarr
            from zarr.codecs import BloscCodec
        except ImportError as error:
            raise InputError(
                f"Format {self.format}: Zarr needs a further package.",
                'pip install "bystander[zarr]", or choose ome-tiff or h5sc, which need none.',
            ) from error
        crop = 4 * int(np.prod(facts.shape))
        rows = max(1, min(CHUNK_CROPS, CHUNK_BYTES // crop, facts.count))
        self._path = ExportPaths(folder).zarr
        self._group = zarr.open_group(self._path, mode="w", zarr_format=3)
        self._array: Any = self._group.create_array(
            ARRAY,
            shape=(facts.count, *facts.shape),
            chunks=(rows, *facts.shape),
            dtype="float32",
            # Whole numbers as float32 have bytes that hardly differ: put together they shrink.
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=4),
            dimension_names=["t", "c", "y", "x"],
        )
        # Shards end within chunks; a chunk is written once, when all its crops are there.
        self._waiting = np.empty((rows, *facts.shape), np.float32)
        self._filled, self._written = 0, 0
        self._low, self._high = np.inf, -np.inf

    def places(self, shard: int, first: int, count: int) -> tuple[str, NDArray[np.int64]]:
        """Put all crops in one array; see `CropWriter.places`."""
        return self._path.name, np.arange(first, first + count)

    def write(self, rows: pa.Table, crops: Iterator[Crops]) -> None:
        """Write a shard; see `CropWriter.write`."""
        for some in crops:
            self._low = min(self._low, float(some.images.min()))
            self._high = max(self._high, float(some.images.max()))
            rest = some.images
            while len(rest):
                taken = rest[: len(self._waiting) - self._filled]
                self._waiting[self._filled : self._filled + len(taken)] = taken
                self._filled += len(taken)
                rest = rest[len(taken) :]
                if self._filled == len(self._waiting):
                    self._flush()

    def _flush(self) -> None:
        stop = self._written + self._filled
        self._array[self._written : stop] = self._waiting[: self._filled]
        self._written, self._filled = stop, 0

    def finish(self) -> None:
        """Write the last chunk, and what describes the image."""
        if self._filled:
            self._flush()
        facts = self.facts
        space = {"type": "space"} | ({} if facts.pixel_size is None else {"unit": "micrometer"})
        step = facts.pixel_size or 1.0
        window = {"min": self._low, "max": self._high, "start": self._low, "end": self._high}
        self._group.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [
                {
                    "name": facts.name,
                    "axes": [
                        {"name": "t", "type": "time"},
                        {"name": "c", "type": "channel"},
                        {"name": "y", **space},
                        {"name": "x", **space},
                    ],
                    "datasets": [
                        {
                            "path": ARRAY,
                            "coordinateTransformations": [
                                {"type": "scale", "scale": [1.0, 1.0, step, step]}
                            ],
                        }
                    ],
                }
            ],
            "omero": {
                "channels": [
                    {"label": name, "color": COLOURS[n % len(COLOURS)], "active": True,
                     "window": window}
                    for n, name in enumerate(facts.channels)
                ]
            },
        }  # fmt: skip

    def read(self, file: str, start: int, stop: int) -> NDArray[np.float32]:
        """Read finished crops; see `CropWriter.read`."""
        import zarr

        group = zarr.open_group(self.folder / file, mode="r")
        array: Any = group[ARRAY]
        return np.asarray(array[start:stop])
