"""Imports crops that a table lists: a row per crop, with its image files and what is known of it.

What is in it
    A CSV, Parquet or Excel table with `protein` and the paths of the images: a column per channel,
    named like the channel (one grey image each), or one column `path` (files with every channel).
    Optional columns: `localization` (any class names; empty or NA if unknown; several separated by
    ``;``), `orf`, `mask` (an image of the crop's size, 0 = background: one other value marks the
    centre cell, several mark every cell; other ways are in `compute.importers.masks`), `field`,
    `replicate`, `split`. Columns are known by any case and by common other names
    (`compute.importers.columns`). Relative paths start at the table's folder. Images are TIFF, PNG,
    JPEG, BMP or ``.npy``, with pixels of the same type in all files of a channel.
Publication, licence, address
    Those of the crops; nothing here comes from any data set.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError, UsageError
from compute.importers.chunks import ImportSpec
from compute.importers.class_names import class_set
from compute.importers.columns import nearest
from compute.importers.config import MANIFEST_CHANNELS, MARKER
from compute.importers.find_files import find_file, forget_listings
from compute.importers.first_crops import Unread, common_size
from compute.importers.localization_table import (
    names_identity,
    read_class_names,
    read_localizations,
    settle_spellings,
)
from compute.importers.manifest_table import (
    OPTIONAL,
    PATH,
    Classes,
    Record,
    field_of,
    record_of,
    refuse_fields,
    scan_rows,
    table_notes,
)
from compute.importers.mask_files import read_mask, spread, survey_masks
from compute.importers.masks import MaskCoding
from compute.importers.part_builder import Crop, PartBuilder
from compute.importers.run_import import (
    CropOptions,
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
    check_crop,
    check_projection,
    check_types,
    read_channels,
)
from compute.store.part import DTYPES, StoreFormat


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
    project: str | None

    def read(self, record: Record, counts: Counter[str]) -> tuple[NDArray[Any], tuple[str, ...]]:
        """Read a row's channels, shape (C, H, W), and its files' pixel types."""
        paths = [path for name in self.columns if (path := record[name]) is not None]
        if len(paths) < len(self.columns):
            raise CropRejected("an image without a path")
        files = [self.find(path, counts) for path in paths]
        return read_channels(files, self.channels, counts, self.project)

    def find(self, path: str, counts: Counter[str]) -> Path:
        """Find the file that a path of the table means."""
        file, other = find_file(self.root, path)
        counts.update(["other spelling"] * other)
        return file


@dataclass(frozen=True)
class _Reader:
    """Reads rows; `first_row` is the number of the one that gave the store its pixel `types`."""

    table: Path
    images: _Images
    format: StoreFormat
    classes: Classes
    types: tuple[str, ...]
    first_row: int
    coding: MaskCoding
    size: int | None

    def read(self, items: Sequence[_Item], builder: PartBuilder) -> None:
        """Add the rows that can be taken; count and reject the others."""
        for item in items:
            builder.part.found += 1
            try:
                crop, how = self._crop(item, builder.part.counts)
                builder.add(crop)
                builder.part.counts.update(how)
            except CropRejected as rejected:
                path = item.record[self.images.columns[0]]
                builder.part.reject(rejected.reason, _where(item.number, path))

    def _crop(self, item: _Item, counts: Counter[str]) -> tuple[Crop, list[str]]:
        """Read and check one row; say how its mask was understood."""
        record = item.record
        labels, flags = self.classes.of(record)
        texts = [value for value in (*record.values(), *(labels or ())) if value is not None]
        if not all(is_clean(value) for value in texts):
            raise CropRejected("a value that is not valid UTF-8")
        protein = record["protein"]
        if protein is None:
            raise CropRejected("no protein name")
        image, types = self.images.read(record, counts)
        check_crop(image, self.size)
        mask, foreground, how = self._mask(record.get("mask"), image.shape[1:], counts)
        if image.dtype != self.format.dtype and set(types) <= set(DTYPES):
            raise InputError(
                f"{self.table}, row {item.number}: pixels of type {image.dtype}, but row "
                f"{self.first_row} has {self.format.dtype}.",
                "Convert the images to one type, or import them into two stores.",
            )
        check_types(types, self.types)
        crop = Crop(
            image,
            protein,
            field_of(record),
            mask=mask,
            foreground=foreground,
            orf=record.get("orf"),
            labels=labels,
            replicate=record.get("replicate"),
            split=record.get("split"),
            flags=flags,
        )
        return crop, how

    def _mask(
        self, path: str | None, shape: tuple[int, ...], counts: Counter[str]
    ) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None, list[str]]:
        """Read a row's mask and foreground, None without one; say how it was understood."""
        if path is None:
            return None, None, []
        try:
            file = self.images.find(path, counts)
        except CropRejected as rejected:
            raise CropRejected(f"mask: {rejected.reason}") from rejected
        return read_mask(file, shape, self.coding)


def _mask_files(rows: RowFile, images: _Images) -> Iterator[Path]:
    """Yield the files of the masks that are there."""
    for _, values in rows.rows():
        path = record_of(rows, values).get("mask")
        if path is not None:
            with suppress(CropRejected):
                yield images.find(path, Counter())


def import_manifest(
    table: Path | str,
    out: Path | str,
    *,
    channels: Sequence[str] = MANIFEST_CHANNELS,
    root: Path | str | None = None,
    marker: str = MARKER,
    localizations: Path | str | None = None,
    class_names: Path | str | None = None,
    separators: str = "",
    project: str | None = None,
    mask_threshold: float | None = None,
    **options: Unpack[CropOptions],
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
    class_names
        Table of what class names stand for, or ``built-in`` for the names that Bystander knows
        (`compute.importers.localization_table.read_class_names`). Names that are not in the table
        stay as they are, and by default all do, but for case and spaces.
    separators
        Characters, of ``|`` and ``,``, that stand between several classes in a cell, beside ``;``.
    project
        ``max`` takes the brightest of the planes of a Z stack; None, the default, refuses stacks.
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
        channel, pixel types are mixed, rows name whole fields, class names are unknown, or not one
        crop can be taken; names the row.
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
    forget_listings()
    _check_channels(channels)
    check_projection(project)
    rows = RowFile(table, ("protein",), out.parent, (*OPTIONAL, PATH), channels)
    root = Path(root) if root is not None else table.parent
    images = _Images(root, _image_columns(table, rows, channels), len(channels), project)
    names = read_class_names(class_names, separators, keep=True)
    known = read_localizations(localizations, names)
    scan = scan_rows(table, rows, names, images.columns)
    refuse_fields(table, rows, scan)
    number = channels.index(marker) if marker in channels else None
    if number is None and scan.without_mask:
        raise InputError(
            f"{table}: {scan.without_mask} row(s) have no mask, the first is row "
            f"{scan.first_without}, and there is no channel {marker!r} to find cells in "
            f"(channels: {', '.join(channels)}).",
            "Add a column `mask`, or name the channel that shows every cell with --marker.",
        )
    any_size = options.get("size") is not None
    size = common_size((item[1] for item in _first_images(rows, images)), table, any_size=any_size)
    dtype, types, first_row = next(
        (image.dtype, types, row)
        for row, image, types in _first_images(rows, images)
        if not isinstance(image, Unread)
    )
    counts = scan.names + Counter(name for labels in known.labels.values() for name in labels)
    spelling, spelled = settle_spellings(counts, names)
    classes = Classes(names, known.respelled(spelling), spelling)
    notes = table_notes(rows, scan, classes) + spelled
    occurring = {spelling[name] for name in scan.names if name in spelling}
    occurring.update(
        name for protein in scan.unlabelled for name in classes.known.labels.get(protein, ())
    )
    store_format = StoreFormat(channels, size, dtype.name, class_set(filter(is_clean, occurring)))

    def items() -> Iterator[_Item]:
        for place, (row, values) in enumerate(rows.rows(scan.order), 1):
            yield _Item(row, record_of(rows, values), place)

    listing = Listing(
        lambda: in_chunks(
            items(), chunk_size(store_format), lambda i: field_of(i.record), lambda item: item.place
        ),
        "crops",
        len(rows),
        {
            "table": identity(table.resolve()),
            "root": printable(root.resolve()),
            "marker": marker,
            "localizations": identity(localizations),
            "class_names": names_identity(class_names),
            "separators": separators,
            "project": project,
            "mask_threshold": mask_threshold,
        },
        notes,
    )
    masks = _mask_files(rows, images)
    coding = survey_masks(spread(masks, len(rows) - scan.without_mask), mask_threshold)
    side = None if any_size else size
    reader = _Reader(table, images, store_format, classes, types, first_row, coding, side)
    return run_import(out, ImportSpec("manifest", store_format, reader, number), listing, **options)


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
            f"{', '.join(map(printable, rows.columns))}.{nearest(missing, rows.columns)}",
            f"Give a column of paths per channel ({', '.join(channels)}), or one called `{PATH}` "
            "for images with every channel, or name your channels with --channels.",
        )
    return (PATH,) if missing else channels


def _where(number: int, path: str | None) -> str:
    return f"row {number} ({printable(path) if path else 'no path'})"


def _first_images(
    rows: RowFile, images: _Images
) -> Iterator[tuple[int, NDArray[Any] | Unread, tuple[str, ...]]]:
    """Yield every crop's row, image and pixel types, or why it cannot be read."""
    for number, values in rows.rows():
        record = record_of(rows, values)
        try:
            yield number, *images.read(record, Counter())
        except CropRejected as rejected:
            yield number, Unread(_where(number, record[images.columns[0]]), rejected), ()
