"""Imports crops that a table lists: a row per crop, with its image files and what is known of it.

What is in it
    A CSV or Parquet table with `protein` and the paths of the images: a column per channel, named
    like the channel (one grey TIFF or PNG each), or one column `path` (TIFFs with every channel).
    Optional columns: `localization` (any class names; empty if unknown; several separated by
    ``;``), `orf`, `mask` (an image of the crop's size, 0 = background: one other value marks the
    centre cell, several mark every cell; other ways are in `compute.importers.masks`), `field`,
    `replicate`, `split`. Relative paths start at the table's folder. Pixels are uint8,
    uint16 or float32, all alike.
Publication, licence, address
    Those of the crops; nothing here comes from any data set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError, UsageError
from compute.importers.chunks import ImportSpec
from compute.importers.config import MANIFEST_CHANNELS, MARKER
from compute.importers.localization_table import LocalizationTable, read_localizations, split_labels
from compute.importers.mask_files import read_mask, spread, survey_masks
from compute.importers.masks import MaskCoding
from compute.importers.part_builder import Crop, PartBuilder, common_size
from compute.importers.run_import import (
    ImportOptions,
    ImportReport,
    Listing,
    chunk_size,
    identity,
    in_chunks,
    refuse_early,
    run_import,
)
from compute.importers.text_table import RowFile, is_clean, printable
from compute.importers.tiff import (
    CropRejected,
    as_stored,
    check_crop,
    read_image,
    stack_channels,
)
from compute.schema import LOCALIZATIONS
from compute.store.part import StoreFormat

PATH = "path"
"""Column of images that hold every channel."""

Record = dict[str, str | None]
"""A row: column → text, None where empty."""

OPTIONAL = ("localization", "orf", "mask", "field", "replicate", "split")


@dataclass(frozen=True)
class _Item:
    """A row, with its number as a person would count it and its place in the store, from 1."""

    number: int
    record: Record
    place: int


@dataclass(frozen=True)
class _Images:
    """Reads the image of a row from the files in its `columns`, relative to `root`."""

    root: Path
    columns: tuple[str, ...]
    channels: int

    def read(self, record: Record) -> NDArray[Any]:
        """Read a row's channels, shape (C, H, W)."""
        paths = [path for name in self.columns if (path := record[name]) is not None]
        if len(paths) < len(self.columns):
            raise CropRejected("an image without a path")
        images = [read_image(self.root / path) for path in paths]
        if len({image.dtype for image in images}) > 1:
            raise CropRejected("the channels differ in pixel type")
        return as_stored(stack_channels(images, self.channels))


@dataclass(frozen=True)
class _Reader:
    """Reads rows; `first_row` is the number of the one that gave the store its pixel type."""

    table: Path
    images: _Images
    format: StoreFormat
    known: LocalizationTable
    first_row: int
    coding: MaskCoding

    def read(self, items: Sequence[_Item], builder: PartBuilder) -> None:
        """Add the rows that can be taken; count and reject the others."""
        for item in items:
            builder.part.found += 1
            try:
                crop, how = self._crop(item)
                builder.add(crop)
                builder.part.counts.update(how)
            except CropRejected as rejected:
                path = item.record[self.images.columns[0]]
                where = f"row {item.number} ({printable(path) if path else 'no path'})"
                builder.part.reject(rejected.reason, where)

    def _crop(self, item: _Item) -> tuple[Crop, list[str]]:
        """Read and check one row; say how its mask was understood."""
        record, labels = item.record, _labels(item.record, self.known)
        texts = [value for value in (*record.values(), *(labels or ())) if value is not None]
        if not all(is_clean(value) for value in texts):
            raise CropRejected("a value that is not valid UTF-8")
        protein = record["protein"]
        if protein is None:
            raise CropRejected("no protein name")
        image = self.images.read(record)
        check_crop(image, self.format.size)
        path = record.get("mask")
        mask = foreground = None
        how: list[str] = []
        if path:
            where = self.images.root / path
            mask, foreground, how = read_mask(where, self.format.size, self.coding)
        if image.dtype != self.format.dtype:
            raise InputError(
                f"{self.table}, row {item.number}: pixels of type {image.dtype}, but row "
                f"{self.first_row} has {self.format.dtype}.",
                "Convert the images to one type, or import them into two stores.",
            )
        crop = Crop(
            image,
            protein,
            _field(record),
            mask=mask,
            foreground=foreground,
            orf=record.get("orf"),
            labels=labels,
            replicate=record.get("replicate"),
            split=record.get("split"),
        )
        return crop, how


def import_manifest(
    table: Path | str,
    out: Path | str,
    *,
    channels: Sequence[str] = MANIFEST_CHANNELS,
    root: Path | str | None = None,
    marker: str = MARKER,
    localizations: Path | str | None = None,
    mask_threshold: float | None = None,
    **options: Unpack[ImportOptions],
) -> ImportReport:
    """Write a crop store from a table of crops.

    Parameters
    ----------
    table
        CSV or Parquet, a row per crop; columns as above. It is copied to a temporary file beside
        `out`, so that memory stays flat.
    out
        Folder of the store to make. Its cells are ordered by field, and within a field as in the
        table.
    channels
        Names of the channels in order; ``GFP`` and ``RFP`` by default.
    root
        Folder in which relative paths start; the table's folder if None.
    marker
        The channel that shows every cell, ``RFP`` by default. The masks of crops that have none are
        found in it, and the neighbours of all, where there is such a channel.
    localizations
        Table of proteins for rows that have no `localization` of their own
        (`compute.importers.localization_table`).
    mask_threshold
        Least value of a pixel of a cell in masks that are maps of probabilities, in the masks' own
        numbers (0.5, or 128 of 255). None, the default, refuses such masks.
    **options
        Those of every importer: `compute.importers.run_import.run_import`. Progress counts
        ``"crops"``. A resumed import notices another table, but not other images under the same
        names.

    Returns
    -------
    ImportReport
        What was stored, what was rejected and why. The store's class names are the 15 of
        `compute.schema.LOCALIZATIONS` if they cover all that occur, else those that occur, sorted.

    Raises
    ------
    InputError
        There is no such table, columns are missing, rows have no mask and there is no marker
        channel, pixel types are mixed, or not one crop can be taken; names the row.
    UsageError
        Names of channels are missing, repeated, or those of other columns.
    BystanderError
        See `compute.importers.run_import.run_import`.

    Examples
    --------
    >>> from compute import import_manifest
    >>> report = import_manifest("crops.csv", "store", channels=["GFP", "RFP"])  # doctest: +SKIP
    >>> report.stored, report.rejected  # doctest: +SKIP
    (1200, 3)
    """
    table, out, channels = Path(table), Path(out), tuple(channels)
    refuse_early(out, options.get("overwrite", False))
    _check_channels(channels)
    rows = RowFile(table, ("protein",), out.parent)
    root = Path(root) if root is not None else table.parent
    images = _Images(root, _image_columns(table, rows, channels), len(channels))
    known = read_localizations(localizations)
    scan = _scan(rows, known)
    number = channels.index(marker) if marker in channels else None
    if number is None and scan.without_mask:
        raise InputError(
            f"{table}: {scan.without_mask} row(s) have no mask, the first is row "
            f"{scan.first_without}, and there is no channel {marker!r} to find cells in "
            f"(channels: {', '.join(channels)}).",
            "Add a column `mask`, or name the channel that shows every cell with --marker.",
        )
    size = common_size((image for _, image in _first_images(rows, images)), table)
    dtype, first_row = next(
        (image.dtype, row) for row, image in _first_images(rows, images) if image is not None
    )
    notes = LocalizationTable({**known.labels, **scan.own}).notes(scan.proteins)
    if "field" not in rows.columns:
        notes.append("No column `field`: all crops of a protein count as one field.")
    # The paper's 15 if they cover every name, else the names found.
    names = LOCALIZATIONS if not scan.names - set(LOCALIZATIONS) else sorted(scan.names)
    store_format = StoreFormat(channels, size, dtype.name, tuple(names))

    def items() -> Iterator[_Item]:
        for place, (row, values) in enumerate(rows.rows(scan.order), 1):
            yield _Item(row, dict(zip(rows.columns, values, strict=True)), place)

    listing = Listing(
        lambda: in_chunks(
            items(), chunk_size(store_format), lambda i: _field(i.record), lambda item: item.place
        ),
        "crops",
        len(rows),
        {
            "table": identity(table.resolve()),
            "root": printable(root.resolve()),
            "marker": marker,
            "localizations": identity(localizations),
            "mask_threshold": mask_threshold,
        },
        notes,
    )
    masks = (
        images.root / path
        for _, values in rows.rows()
        if (path := dict(zip(rows.columns, values, strict=True)).get("mask")) is not None
    )
    coding = survey_masks(spread(masks, len(rows) - scan.without_mask), mask_threshold)
    reader = _Reader(table, images, store_format, known, first_row, coding)
    return run_import(out, ImportSpec("manifest", store_format, reader, number), listing, **options)


@dataclass(frozen=True)
class _Scan:
    """What the whole table says, without its images.

    `own` has the localizations that rows give their proteins, `names` all names that occur.
    `order`, shape (N,), has the rows' places with those of a field together, in the order in which
    fields first occur.
    """

    proteins: set[str]
    own: dict[str, list[str]]
    names: set[str]
    without_mask: int
    first_without: int
    order: NDArray[np.int64]


def _scan(rows: RowFile, known: LocalizationTable) -> _Scan:
    """Read all rows once; memory holds what is per protein and field, and a number per row."""
    proteins: set[str] = set()
    own: dict[str, list[str]] = {}
    names: set[str] = set()
    fields: dict[str, int] = {}
    rank = np.empty(len(rows), np.int64)
    without = first = 0
    for place, (number, values) in enumerate(rows.rows()):
        record = dict(zip(rows.columns, values, strict=True))
        protein = str(record["protein"])
        proteins.add(protein)
        labels = _labels(record, known)
        if labels:
            own[protein] = labels
            names.update(filter(is_clean, labels))
        rank[place] = fields.setdefault(_field(record), len(fields))
        if record.get("mask") is None:
            without, first = without + 1, first or number
    return _Scan(proteins, own, names, without, first, np.argsort(rank, kind="stable"))


def _check_channels(channels: tuple[str, ...]) -> None:
    """Refuse channel names that cannot be columns of images."""
    if not channels or len(set(channels)) != len(channels):
        raise UsageError(f"Channels {list(channels)}: names must be there and differ.")
    clash = sorted({*OPTIONAL, "protein", PATH} & set(channels))
    if clash:
        raise UsageError(f"A channel cannot be called {', '.join(clash)}.", "Rename it.")


def _image_columns(table: Path, rows: RowFile, channels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns of paths: one per channel, or one for all."""
    missing = [name for name in channels if name not in rows.columns]
    if missing and PATH not in rows.columns:
        raise InputError(
            f"{table}: missing column(s) {', '.join(missing)}; it has "
            f"{', '.join(map(printable, rows.columns))}.",
            f"Give a column of paths per channel ({', '.join(channels)}), or one called `{PATH}` "
            "for images with every channel, or name your channels with --channels.",
        )
    return (PATH,) if missing else channels


def _labels(record: Record, known: LocalizationTable) -> list[str] | None:
    own = split_labels(record.get("localization"))
    return own or known.labels.get(record["protein"] or "")


def _field(record: Record) -> str:
    """Return the field of a crop: its protein, where the table does not say."""
    return record.get("field") or record["protein"] or ""


def _first_images(rows: RowFile, images: _Images) -> Iterator[tuple[int, NDArray[Any] | None]]:
    """Yield every crop's row and image, None where it cannot be read."""
    for number, values in rows.rows():
        try:
            yield number, images.read(dict(zip(rows.columns, values, strict=True)))
        except CropRejected:
            yield number, None
