"""Imports crops that lie in arrays, many in a file (`compute.importers.layouts`)."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError, UsageError
from compute.images.seeded import cell_around_nucleus
from compute.importers.array_record import ArrayListing, ArrayRecord, CropArrays
from compute.importers.cell_rows import attach_cells
from compute.importers.chunks import Chunk, ImportSpec
from compute.importers.field_record import FieldRecord
from compute.importers.field_table import Strain, read_strains
from compute.importers.layout import LayoutOptions
from compute.importers.layouts.registry import list_crops
from compute.importers.localization_table import (
    names_identity,
    read_class_names,
    read_localizations,
)
from compute.importers.part_builder import Crop, PartBuilder
from compute.importers.run_import import (
    CropOptions,
    ImportReport,
    Listing,
    chunk_size,
    identity,
    refuse_early,
    run_import,
)
from compute.importers.text_table import is_clean, printable
from compute.importers.tiff import CropRejected, as_stored, check_crop, check_types
from compute.store.part import StoreFormat

GUESSED = "cells around nuclei"


@dataclass(frozen=True)
class _Span:
    """Crops of a record, `start` to `stop`, with what each shows and the image it is from."""

    record: ArrayRecord
    start: int
    stop: int
    strains: tuple[Strain, ...]
    kind: NDArray[np.int32]


@dataclass(frozen=True)
class _Reader:
    """Reads spans; `planes` are those channels of a record that are taken, in order."""

    read_crops: Callable[[ArrayRecord, int, int], CropArrays]
    planes: tuple[int, ...]
    size: int
    marker: int | None

    def read(self, items: Sequence[_Span], builder: PartBuilder) -> None:
        """Add the crops that can be taken; count and reject the others."""
        for item in items:
            found = self.read_crops(item.record, item.start, item.stop)
            for n in range(len(found.images)):
                builder.part.found += 1
                where = f"{item.record.name}, crop {item.start + n + 1}"
                try:
                    crop = self._crop(item, found, n, builder.part.counts)
                    check_types([crop.image.dtype.name], [builder.part.format.dtype])
                    builder.add(crop)
                except CropRejected as rejected:
                    builder.part.reject(rejected.reason, printable(where))

    def _crop(self, item: _Span, found: CropArrays, n: int, counts: Counter[str]) -> Crop:
        strain = item.strains[int(item.kind[n])]
        field = str(item.record.fields[item.start + n])
        if not (is_clean(field) and is_clean(strain.protein)):
            raise CropRejected("a name that is not valid UTF-8")
        image = as_stored(found.images[n][list(self.planes)])
        check_crop(image, self.size)
        mask, foreground = None, None
        if found.masks is not None:
            mask = found.masks[n]
        elif found.nuclei is not None:
            mask, foreground = cell_around_nucleus(self._light(image), found.nuclei[n])
            counts[GUESSED] += 1
        return Crop(
            image,
            strain.protein,
            field,
            mask=mask,
            foreground=foreground,
            orf=strain.orf,
            labels=strain.labels,
            replicate=strain.replicate,
            split=strain.split,
            segmented=found.masks is None,
        )

    def _light(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return the marker, or without one the brightest channel at each pixel, each 0 to 1."""
        if self.marker is not None:
            return np.asarray(image[self.marker], np.float32)
        low, high = np.percentile(image, (1, 99), axis=(1, 2), keepdims=True)
        return np.asarray(((image - low) / np.maximum(high - low, 1e-12)).max(0), np.float32)


def import_crop_arrays(
    source: Path | str,
    out: Path | str,
    *,
    layout: str,
    channels: Sequence[str] | None = None,
    marker: str | None = None,
    objects: str | None = None,
    cells: Path | str | None = None,
    protein: str | None = None,
    protein_column: str | None = None,
    class_column: str | None = None,
    localizations: Path | str | None = None,
    class_names: Path | str | None = None,
    separators: str = "",
    **options: Unpack[CropOptions],
) -> ImportReport:
    """Write a crop store from crops in arrays.

    Parameters
    ----------
    source
        File or folder of the crops, as the layout says.
    out
        Folder of the store to make.
    layout
        One of `compute.importers.layouts.registry.LAYOUTS`.
    channels
        Names of the channels, in order; ``NEW=OLD`` renames one. None, the default, takes all.
    marker
        The channel that shows whole cells, by which masks are judged, neighbours are found, and
        cells around nuclei; None, the default, where there is none.
    objects
        Which mask is that of the cells, where there are several; None by default.
    cells
        Table of cells with `field` (the file's name), `label` (the crop's number in the source) and
        what each shows.
    protein
        The protein of crops of which nothing names one; the file's name by default.
    protein_column, class_column
        Columns of the source that name the protein and the class; by default known by name.
    localizations, class_names, separators
        As in `compute.importers.fields.import_fields`; class names are kept by default.
    **options
        Those of every importer: `compute.importers.run_import.run_import`. Progress counts
        ``"crops"``.

    Returns
    -------
    ImportReport
        What was stored, what was rejected and why.

    Raises
    ------
    InputError
        There is no such source, it is not of this layout, or a table is not as it should be.
    UsageError
        A channel that is not there is named.
    BystanderError
        See `compute.importers.run_import.run_import`.

    Examples
    --------
    >>> from compute import import_crop_arrays
    >>> report = import_crop_arrays(
    ...     "single_cells.h5sc", "store", layout="scportrait"
    ... )  # doctest: +SKIP
    >>> report.stored  # doctest: +SKIP
    96
    """
    source, out = Path(source), Path(out)
    refuse_early(out, options.get("overwrite", False))
    chosen = LayoutOptions(
        objects=objects, protein_column=protein_column, class_column=class_column
    )
    listing = list_crops(layout, source, chosen)
    names, planes = _chosen(listing, channels)
    if marker is not None and marker not in names:
        raise UsageError(
            f"No channel {marker!r} to show whole cells (--marker).",
            f"Allowed: {', '.join(names)}.",
        )
    number = None if marker is None else names.index(marker)
    known = read_class_names(class_names, separators, keep=True)
    fields = [FieldRecord(one.name, cells=one.rows, known=one.known) for one in listing.records]
    notes = list(listing.notes)
    attached = fields
    if cells is not None:
        attached, said = attach_cells(fields, Path(cells), protein_column, class_column)
        notes += said
    strains = read_strains(attached, None, protein, read_localizations(localizations, known), known)
    notes += strains.notes
    by_record = [
        _kinds(record, of, strains.of_field[record.name], strains.of_cells.get(record.name, ()))
        for record, of in zip(listing.records, attached, strict=True)
    ]
    first = listing.read(listing.records[0], 0, 1)
    dtype = as_stored(first.images[0]).dtype
    store_format = StoreFormat(names, listing.size, dtype.name, strains.classes)
    most = chunk_size(store_format)

    def chunks() -> Iterator[Chunk]:
        done = 0
        for record, (kinds, kind) in zip(listing.records, by_record, strict=True):
            for start in range(0, record.count, most):
                stop = min(start + most, record.count)
                done += stop - start
                yield Chunk([_Span(record, start, stop, kinds, kind[start:stop])], done)

    depends = {
        "source": printable(source.resolve()),
        "layout": layout,
        "files": _version(listing),
        "marker": marker,
        "objects": objects,
        "cells": identity(cells),
        "protein": protein,
        "columns": [protein_column, class_column],
        "localizations": identity(localizations),
        "class_names": names_identity(class_names),
        "separators": separators,
    }
    total = sum(record.count for record in listing.records)
    reader = _Reader(listing.read, planes, listing.size, number)
    spec = ImportSpec(layout, store_format, reader, number, interleaved=True, shows=number)
    return run_import(out, spec, Listing(chunks, "crops", total, depends, notes, _notes), **options)


def _chosen(
    listing: ArrayListing, asked: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names of the channels that are taken, and their places."""
    pairs = [entry.partition("=")[::2] for entry in asked or listing.channels]
    names = [name.strip() for name, _ in pairs]
    wanted = [(old or name).strip() for name, old in pairs]
    missing = [name for name in wanted if name not in listing.channels]
    if missing or len(set(names)) < len(names) or not all(names):
        raise UsageError(
            f"Channels {', '.join(wanted)} cannot be taken.",
            f"The source has {', '.join(listing.channels)}; names must differ.",
        )
    return tuple(names), tuple(listing.channels.index(name) for name in wanted)


def _kinds(
    record: ArrayRecord, field: FieldRecord, strain: Strain, cells: tuple[Strain, ...]
) -> tuple[tuple[Strain, ...], NDArray[np.int32]]:
    """Return what crops of a record show, and which of it each does."""
    rows = field.cells
    if rows is None or rows.kind is None or not cells:
        return (strain,), np.zeros(record.count, np.int32)
    if rows is record.rows:
        return cells, rows.kind
    if rows.numbers is None:
        raise InputError(
            f"The table of cells gives places in {printable(record.name)}, whose crops have none.",
            "Give the number of each crop in a column `label`.",
        )
    own = record.rows.numbers
    kind_of = dict(zip(rows.numbers.tolist(), rows.kind.tolist(), strict=True))
    # Crops that the table does not have show what their file says, without a class.
    rest = replace(strain, labels=None, outside=[])
    numbers = range(record.count) if own is None else own.tolist()
    kind = np.array([kind_of.get(number, len(cells)) for number in numbers], np.int32)
    return (*cells, rest), kind


def _version(listing: ArrayListing) -> str:
    digest = sha256()
    for record in listing.records:
        for path in record.files:
            stat = path.stat()
            digest.update(f"{path!r} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _notes(counts: Counter[str]) -> list[str]:
    if not counts[GUESSED]:
        return []
    return [
        f"The source has no masks: {counts[GUESSED]} cells were found around their nuclei. Look at "
        "them (bystander check STORE --pictures OUT)."
    ]
