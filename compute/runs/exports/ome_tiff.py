"""Crops as OME-TIFF, a file a shard.

What is in it
    Axes TCYX, float32, a page for every channel of every crop, compressed by Deflate without a
    predictor, which every reader knows. T counts the crops: the format knows no axis of them. The
    XML names the channels.
Publication
    Goldberg and others, "The Open Microscopy Environment (OME) Data Model and XML file", Genome
    Biology 6: R47, 2005, doi:10.1186/gb-2005-6-5-r47.
Address
    https://docs.openmicroscopy.org/ome-model/latest/ome-tiff
"""

import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import tifffile
from numpy.typing import NDArray

from compute.runs.exports.crop_writer import Crops, CropWriter
from compute.schema import ExportFormat
from compute.storage.paths import ExportPaths

CLASSIC_BYTES = 2**32 - 2**25
"""Bytes of pixels above which a file needs 64-bit offsets (BigTIFF)."""


class OmeTiffWriter(CropWriter):
    """Writes crops as OME-TIFF, a file a shard; parameters are those of `CropWriter`."""

    format = ExportFormat.OME_TIFF

    def places(self, shard: int, first: int, count: int) -> tuple[str, NDArray[np.int64]]:
        """Put a shard in a file of its own; see `CropWriter.places`."""
        return ExportPaths(self.folder).tiff(shard).name, np.arange(count)

    def write(self, rows: pa.Table, crops: Iterator[Crops]) -> None:
        """Write a shard; see `CropWriter.write`."""
        facts, name = self.facts, rows["file"][0].as_py()
        shape = (len(rows), *facts.shape)
        said: dict[str, Any] = {
            "axes": "TCYX",
            "Name": name,
            # tifffile's own would hold the time and the address of this machine.
            "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{facts.fingerprint} {name}")),
            "Channel": {"Name": list(facts.channels)},
        }
        if facts.pixel_size is not None:
            said |= {
                f"PhysicalSize{side}{what}": value
                for side in "XY"
                for what, value in (("", facts.pixel_size), ("Unit", "µm"))
            }
        tifffile.imwrite(
            self.folder / name,
            (plane for some in crops for crop in some.images for plane in crop),
            shape=shape,
            dtype=np.float32,
            bigtiff=4 * int(np.prod(shape)) > CLASSIC_BYTES,
            ome=True,
            photometric="minisblack",
            compression="zlib",
            metadata=said,
        )

    def finish(self) -> None:
        """Do nothing: every file is whole."""

    def read(self, file: str, start: int, stop: int) -> NDArray[np.float32]:
        """Read finished crops; see `CropWriter.read`."""
        channels = len(self.facts.channels)
        pages = range(start * channels, stop * channels)
        planes = np.asarray(tifffile.imread(self.folder / file, key=pages), np.float32)
        return planes.reshape(stop - start, *self.facts.shape)
