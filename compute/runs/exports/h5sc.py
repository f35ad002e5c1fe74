"""Crops as scPortrait's HDF5 file of single cells, which its featurisers read.

What is in it
    ``obsm/single_cell_images``, shape (crops, 1 + C, H, W): first the mask of the centre cell, 0 or
    1, then the channels. scPortrait stores float16 between 0 and 1 and removes what is around a
    cell; here it is float32 in raw intensities, which float16 cannot hold, with the background that
    the export is about. ``var`` says which channels are masks, ``uns`` says it again, ``obs`` has
    the crop's row of the table as ``scportrait_cell_id``, its trial and what it shows. It is an
    AnnData file, written as AnnData's format is specified, some crops at a time.
Publication
    Mädler and others, "scPortrait integrates single-cell images into multimodal modeling", bioRxiv
    2025.09.22.677590, doi:10.1101/2025.09.22.677590.
Address
    https://github.com/MannLabs/scPortrait and
    https://anndata.readthedocs.io/en/stable/fileformat-prose.html
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compute.runs.exports.crop_writer import CropFacts, Crops, CropWriter
from compute.schema import CONDITIONS, OWN_READING, ExportFormat, Reading
from compute.storage.paths import ExportPaths

IMAGES = "single_cell_images"

MASK = "seg_all_cytosol"
"""Name of the mask; scPortrait calls those of whole cells so."""

COMPRESSION = "gzip"

CATEGORIES = {"condition": list(map(str, CONDITIONS)), "reading": [OWN_READING, *map(str, Reading)]}
"""Columns of ``obs`` that are texts, with all that they can be."""

NUMBERS = {"scportrait_cell_id": ("row", "uint64"), "trial": ("trial", "int64"),
           "cell": ("cell", "int64")}  # fmt: skip
"""Columns of ``obs`` that are numbers: the column of the table, and their type."""


class H5scWriter(CropWriter):
    """Writes crops as one file of single cells; parameters are those of `CropWriter`."""

    format = ExportFormat.H5SC

    def __init__(self, folder: Path, facts: CropFacts) -> None:
        super().__init__(folder, facts)
        self._path = ExportPaths(folder).h5sc
        self._file = h5py.File(self._path, "w")
        _encode(self._file, "anndata", "0.1.0")
        for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            _encode(self._file.create_group(name), "dict", "0.1.0")
        names = [MASK, *facts.channels]
        kinds = ["mask"] + ["image_channel"] * len(facts.channels)
        self._images = self._file["obsm"].create_dataset(
            IMAGES,
            shape=(facts.count, len(names), facts.size, facts.size),
            chunks=(1, 1, facts.size, facts.size),
            dtype="float32",
            compression=COMPRESSION,
            compression_opts=1,
            shuffle=True,
        )
        _encode(self._images, "array", "0.2.0")
        counts = {
            "n_cells": facts.count,
            "n_channels": len(names),
            "n_masks": 1,
            "n_image_channels": len(facts.channels),
            "image_size_x": facts.size,
            "image_size_y": facts.size,
        }
        self._describe(counts, names, kinds)
        self._var(names, kinds)
        self._obs = self._begin_obs()

    def _describe(self, counts: dict[str, int], names: Sequence[str], kinds: Sequence[str]) -> None:
        """Write what scPortrait writes twice: beside the images and in ``uns``."""
        said = _encode(self._file["uns"].create_group(IMAGES), "dict", "0.1.0")
        texts = {"channel_names": names, "channel_mapping": kinds}
        for name, number in counts.items():
            self._images.attrs[name] = number
            _encode(said.create_dataset(name, data=number), "numeric-scalar", "0.2.0")
        for name, values in texts.items():
            self._images.attrs[name] = np.array([text.encode() for text in values])
            _texts(said, name, values)
        self._images.attrs["compression"] = COMPRESSION
        written = said.create_dataset("compression", data=COMPRESSION, dtype=h5py.string_dtype())
        _encode(written, "string", "0.2.0")

    def _var(self, names: Sequence[str], kinds: Sequence[str]) -> None:
        """Write the table of channels."""
        var = _frame(self._file, "var", ["channels", "channel_mapping"])
        _texts(var, "_index", [str(n) for n in range(len(names))])
        _texts(var, "channels", names)
        every = sorted(set(kinds))
        codes = _categories(var, "channel_mapping", every, len(kinds))
        codes[:] = [every.index(kind) for kind in kinds]

    def _begin_obs(self) -> h5py.Group:
        """Make the table of crops, of as many rows as there will be."""
        obs = _frame(self._file, "obs", [*NUMBERS, *CATEGORIES])
        index = obs.create_dataset(
            "_index", shape=(self.facts.count,), dtype=h5py.string_dtype(), chunks=True
        )
        _encode(index, "string-array", "0.2.0")
        for name, (_, kind) in NUMBERS.items():
            column = obs.create_dataset(name, shape=(self.facts.count,), dtype=kind, chunks=True)
            _encode(column, "array", "0.2.0")
        for name, every in CATEGORIES.items():
            _categories(obs, name, every, self.facts.count)
        return obs

    def places(self, shard: int, first: int, count: int) -> tuple[str, NDArray[np.int64]]:
        """Put all crops in one file; see `CropWriter.places`."""
        return self._path.name, np.arange(first, first + count)

    def write(self, rows: pa.Table, crops: Iterator[Crops]) -> None:
        """Write a shard; see `CropWriter.write`."""
        place = rows["place"].to_numpy()
        first, stop = int(place[0]), int(place[-1]) + 1
        self._obs["_index"][first:stop] = [str(n) for n in rows["row"].to_pylist()]
        for name, (source, _) in NUMBERS.items():
            self._obs[name][first:stop] = rows[source].to_numpy()
        for name, every in CATEGORIES.items():
            code = {text: number for number, text in enumerate(every)}
            self._obs[f"{name}/codes"][first:stop] = [code[t] for t in rows[name].to_pylist()]
        for some in crops:
            planes = np.concatenate([some.masks[:, None].astype(np.float32), some.images], axis=1)
            self._images[first : first + len(planes)] = planes
            first += len(planes)

    def finish(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, file: str, start: int, stop: int) -> NDArray[np.float32]:
        """Read finished crops without their masks; see `CropWriter.read`."""
        with h5py.File(self.folder / file, "r") as opened:
            return np.asarray(opened["obsm"][IMAGES][start:stop, 1:])


def _encode(node: Any, kind: str, version: str) -> Any:
    """Say of a group or data set how AnnData is to read it; return it."""
    node.attrs["encoding-type"], node.attrs["encoding-version"] = kind, version
    return node


def _texts(group: h5py.Group, name: str, values: Sequence[str]) -> None:
    written = group.create_dataset(name, data=list(values), dtype=h5py.string_dtype())
    _encode(written, "string-array", "0.2.0")


def _frame(file: h5py.File, name: str, columns: Sequence[str]) -> h5py.Group:
    frame = _encode(file.create_group(name), "dataframe", "0.2.0")
    frame.attrs["_index"] = "_index"
    frame.attrs.create("column-order", list(columns), dtype=h5py.string_dtype())
    return frame


def _categories(group: h5py.Group, name: str, every: Sequence[str], count: int) -> h5py.Dataset:
    """Make a column of categories; return its codes, which are to be filled in."""
    column = _encode(group.create_group(name), "categorical", "0.2.0")
    column.attrs["ordered"] = False
    _texts(column, "categories", every)
    return _encode(
        column.create_dataset("codes", shape=(count,), dtype="int8", chunks=True),
        "array", "0.2.0",
    )  # fmt: skip
