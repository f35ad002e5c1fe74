"""Imports crops that a table lists: one row a crop, its image files and what is known of it.

What is in it
    A CSV or Parquet table with `protein` and the paths of the images: a column per channel, named
    like the channel (one grey TIFF or PNG each), or one column `path` (TIFFs with every channel).
    Optional columns: `localization` (any class names; empty if unknown; several separated by
    ``;``), `orf`, `mask` (an image of the crop's size, 0 = background: one other value marks the
    centre cell, several mark every cell), `field`, `replicate`, `split`. Relative paths start at
    the table's folder. Pixels are uint8, uint16 or float32, all alike.
Publication, licence, address
    Those of the crops; nothing here comes from any data set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.crops.intake import Crop, ImportReport, Intake, common_size, report
from compute.crops.localization_table import (
    LocalizationTable,
    is_clean,
    printable,
    read_localizations,
    read_rows,
    split_labels,
)
from compute.crops.tiff import (
    CropRejected,
    as_stored,
    check_crop,
    read_image,
    read_mask,
    stack_channels,
)
from compute.crops.writer import CropStoreWriter
from compute.errors import InputError, UsageError
from compute.files import Progress, silent
from compute.schema import LOCALIZATIONS

PATH = "path"
"""Column of images that hold every channel."""

Record = dict[str, str | None]
"""A row: column to text, None where empty."""

OPTIONAL = ("localization", "orf", "mask", "field", "replicate", "split")


@dataclass(frozen=True)
class _Source:
    """A manifest that has been read and checked, and how to read its crops."""

    table: Path
    root: Path
    columns: tuple[str, ...]
    numbers: list[int]
    records: list[Record]
    image_columns: tuple[str, ...]
    channels: int


def import_manifest(
    table: Path,
    out: Path,
    *,
    channels: Sequence[str] = ("GFP", "RFP"),
    root: Path | None = None,
    marker: str = "RFP",
    localizations: Path | None = None,
    train_share: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Write a crop store from a table of crops.

    Parameters
    ----------
    table
        CSV or Parquet, one row a crop; columns as above.
    out
        Store to make. Its cells are ordered by field, and within a field as in the table.
    channels
        Names of the channels in order.
    root
        Where relative paths start; the table's folder if None.
    marker
        The channel that shows every cell. Crops without a mask are segmented from it; crops with
        one take the neighbours from it, where there is such a channel.
    localizations
        Table of proteins for rows that have no `localization` of their own
        (`compute.crops.localization_table`).
    train_share
        Deal fields to the splits ``train`` and ``test``, this share to the first
        (`compute.crops.writer.CropStoreWriter`).
    overwrite
        Replace a store that is there already.
    progress
        Called with ``"crops"``, crops done and crops in all.

    Returns
    -------
    ImportReport
        What was stored, what was rejected and why. The store's class names are the 15 of
        `compute.schema.LOCALIZATIONS` if they cover all that occur, else those that occur, sorted.

    Raises
    ------
    InputError
        No such table, missing columns, rows without mask but no marker channel, pixel types that
        are mixed, or not one crop that can be taken; names the row.
    UsageError
        Something is at `out` already, or no channels are given.
    """
    tell = progress or silent
    table, out = Path(table), Path(out)
    source = _open(table, Path(root) if root is not None else table.parent, tuple(channels))
    number = list(channels).index(marker) if marker in channels else None
    if number is None:
        _need_masks(source, marker, channels)
    known = read_localizations(localizations)
    labels = [_labels(record, known) for record in source.records]
    size = common_size((image for _, image in _first_images(source)), table)
    dtype, first_row = _dtype(source)
    notes = _notes(source, labels, known)
    if "field" not in source.columns:
        notes.append("No column `field`: all crops of a protein count as one field.")
    origin = {"kind": "manifest", "simulated": False, "notes": notes}
    seen: set[tuple[str, ...]] = set()
    total = len(source.records)
    with CropStoreWriter(
        out,
        channels=channels,
        size=size,
        dtype=dtype.name,
        source=origin,
        localizations=_class_names(labels),
        train_share=train_share,
        overwrite=overwrite,
    ) as writer:
        intake = Intake(writer, number)
        for done, at in enumerate(_by_field(source.records)):
            if done % 100 == 0:
                tell("crops", done, total)
            try:
                crop = _crop(source, source.records[at], labels[at], size, seen)
            except CropRejected as rejected:
                writer.reject(rejected.reason, _where(source, at))
                continue
            if crop.image.dtype != dtype:
                raise InputError(
                    f"{table}, row {source.numbers[at]}: pixels of type {crop.image.dtype}, but "
                    f"row {first_row} has {dtype.name}.",
                    "Convert the images to one type, or import them into two stores.",
                )
            intake.take(crop)
        tell("crops", total, total)
        intake.finish()
        # The store's description holds the same list.
        notes.extend(intake.notes())
    return report(out, total, writer.rejections, notes)


def _open(table: Path, root: Path, channels: tuple[str, ...]) -> _Source:
    """Read the table and find its image columns."""
    if not channels or len(set(channels)) != len(channels):
        raise UsageError(f"Channels {list(channels)}: names must be there and differ.")
    clash = sorted({*OPTIONAL, "protein", PATH} & set(channels))
    if clash:
        raise UsageError(f"A channel cannot be called {', '.join(clash)}.", "Rename it.")
    rows = read_rows(table, required=("protein",))
    missing = [name for name in channels if name not in rows]
    if missing and PATH not in rows:
        raise InputError(
            f"{table}: missing column(s) {', '.join(missing)}; it has "
            f"{', '.join(map(printable, rows.columns))}.",
            f"Give a column of paths per channel ({', '.join(channels)}), or one called `{PATH}` "
            "for images with every channel, or name your channels with --channels.",
        )
    columns = (PATH,) if missing else channels
    names = tuple(str(name) for name in rows.columns)
    records: list[Record] = [
        dict(zip(names, row, strict=True)) for row in rows.itertuples(index=False, name=None)
    ]
    return _Source(table, root, names, list(rows.index), records, columns, len(channels))


def _need_masks(source: _Source, marker: str, channels: Sequence[str]) -> None:
    """Refuse rows that have neither a mask nor a channel to find one in."""
    without = [
        number
        for number, record in zip(source.numbers, source.records, strict=True)
        if record.get("mask") is None
    ]
    if without:
        raise InputError(
            f"{source.table}: {len(without)} row(s) have no mask, the first is row {without[0]}, "
            f"and there is no channel {marker!r} to find cells in "
            f"(channels: {', '.join(channels)}).",
            "Add a column `mask`, or name the channel that shows every cell with --marker.",
        )


def _labels(record: Record, known: LocalizationTable) -> list[str] | None:
    own = split_labels(record.get("localization"))
    return own or known.labels.get(record["protein"] or "")


def _notes(
    source: _Source, labels: Sequence[list[str] | None], known: LocalizationTable
) -> list[str]:
    """Say which proteins have no label, several, or are in the localization table only."""
    proteins = [str(record["protein"]) for record in source.records]
    own = {name: given for name, given in zip(proteins, labels, strict=True) if given}
    return LocalizationTable({**known.labels, **own}).notes(proteins)


def _class_names(labels: Sequence[list[str] | None]) -> list[str]:
    """Take the paper's 15 if they cover every name, else the names found, sorted."""
    found = {name for names in labels for name in names or () if is_clean(name)}
    return sorted(found) if found - set(LOCALIZATIONS) else list(LOCALIZATIONS)


def _by_field(records: Sequence[Record]) -> list[int]:
    """Order the rows so that fields stay together, in the order in which they first occur."""
    first: dict[str, int] = {}
    rank = [first.setdefault(_field(record), len(first)) for record in records]
    return sorted(range(len(records)), key=rank.__getitem__)


def _field(record: Record) -> str:
    """Name the image that a crop is from: its protein's, where the table does not say."""
    return record.get("field") or record["protein"] or ""


def _where(source: _Source, at: int) -> str:
    path = source.records[at][source.image_columns[0]]
    return f"row {source.numbers[at]} ({printable(path) if path else 'no path'})"


def _first_images(source: _Source) -> Iterator[tuple[int, NDArray[Any] | None]]:
    """Yield the row and image of every crop, as far as they can be read."""
    for row, record in zip(source.numbers, source.records, strict=True):
        try:
            yield row, _image(source, record)
        except CropRejected:
            yield row, None


def _dtype(source: _Source) -> tuple[np.dtype[Any], int]:
    """Return the pixel type of the first crop that can be read, and its row."""
    for row, image in _first_images(source):
        if image is not None:
            return image.dtype, row
    raise InputError(f"{source.table}: not one crop could be read.", "Check its paths.")


def _image(source: _Source, record: Record) -> NDArray[Any]:
    """Read a row's channels, (C, H, W)."""
    paths = [path for name in source.image_columns if (path := record[name]) is not None]
    if len(paths) < len(source.image_columns):
        raise CropRejected("an image without a path")
    images = [read_image(source.root / path) for path in paths]
    if len({image.dtype for image in images}) > 1:
        raise CropRejected("the channels differ in pixel type")
    return as_stored(stack_channels(images, source.channels))


def _crop(
    source: _Source,
    record: Record,
    labels: list[str] | None,
    size: int,
    seen: set[tuple[str, ...]],
) -> Crop:
    """Read and check one row."""
    texts = [value for value in (*record.values(), *(labels or ())) if value is not None]
    if not all(is_clean(value) for value in texts):
        raise CropRejected("a value that is not valid UTF-8")
    protein = record["protein"]
    if protein is None:
        raise CropRejected("no protein name")
    key = tuple(str(source.root / (record[name] or "")) for name in source.image_columns)
    if key in seen:
        raise CropRejected("the same image as an earlier row")
    image = _image(source, record)
    check_crop(image, size)
    mask, foreground = _mask(source, record.get("mask"), size)
    # Only now, so that a row that could not be taken does not count as the earlier one.
    seen.add(key)
    return Crop(
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


def _mask(
    source: _Source, path: str | None, size: int
) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
    """Read a mask: the centre cell, and every cell that it shows."""
    if path is None:
        return None, None
    return read_mask(source.root / path, size)
