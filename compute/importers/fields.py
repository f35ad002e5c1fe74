"""Imports whole fields with label images: a crop around every label, windows where no cell is.

What is in it
    A grey image per channel and field, ``<field>-ch1<anything>.tiff`` (Harmony's names, such as
    ``r01c01f01p01-ch1sk1fk1fl1.tiff``: row, column, field, plane), and a label image of the same
    size, ``<field>_labeled.tiff``: 0 for background, one number per cell (or as
    `compute.importers.masks` understands it). PNG files are read too. In CycleNET's example
    (16-bit, 1080×1080): ch1 the GFP-tagged protein, ch2 a nuclear and a septin marker, ch3 a
    marker in the cytosol, called RFP here as in the other sources, so that models that read a
    cytosolic marker find it. Its label images leave out about a sixth of the cells (dim, dead,
    odd ones): see `compute.importers.cut_fields`. Localizations come from a table.
Publication
    Litsios and others, "Proteome-scale movements and compartment connectivity during the
    eukaryotic cell cycle", Cell 187: 1490, 2024, doi:10.1016/j.cell.2024.02.014.
Licence
    BSD-3-Clause (code and example fields).
Address
    https://github.com/BooneAndrewsLab/CycleNET
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError, UsageError
from compute.importers.chunks import Chunk, ImportSpec
from compute.importers.config import CENTRES, FIELD_CHANNELS, MARKER
from compute.importers.cut_fields import (
    CuttingConfig,
    find_cells,
    find_nuclei,
    find_traces,
    find_unlabelled,
    place_windows,
    separate,
    window_at,
)
from compute.importers.field_table import Strain, read_strains
from compute.importers.first_crops import Unread, nothing_read
from compute.importers.judge_fields import check_labels
from compute.importers.localization_table import (
    names_identity,
    read_class_names,
    read_localizations,
)
from compute.importers.mask_files import SURVEYED_FIELDS, read_labels, spread, survey_masks
from compute.importers.masks import MaskCoding, Understood, counted, understand
from compute.importers.part_builder import Crop, PartBuilder
from compute.importers.run_import import (
    ImportOptions,
    ImportReport,
    Listing,
    identity,
    refuse_early,
    run_import,
)
from compute.importers.text_table import is_clean, printable
from compute.importers.tiff import (
    CropRejected,
    check_crop,
    check_projection,
    check_types,
    read_channels,
)
from compute.store.part import StoreFormat

_ENDS = r"\.(?:tiff?|png|jpe?g|bmp|npy)"

_IMAGE = re.compile(rf"(?P<field>.+)-ch(?P<channel>\d+)(?:[a-z].*)?{_ENDS}", re.DOTALL | re.I)
_LABELS = re.compile(rf"(?P<field>.+)_labell?ed{_ENDS}", re.DOTALL | re.I)


@dataclass
class _Files:
    """The files of one field: its images by channel number, from 1, and its label image."""

    channels: dict[int, Path] = field(default_factory=dict)
    labels: Path | None = None


@dataclass(frozen=True)
class _Field:
    """One field to cut, or a file that belongs to no field; `problem` says why."""

    name: str
    files: _Files | None = None
    strain: Strain | None = None
    problem: str | None = None


@dataclass(frozen=True)
class _Reader:
    """Cuts fields.

    Parameters
    ----------
    channels, dtype
        Number of channels, and the pixel type of all.
    config
        How fields are cut.
    marker
        Number of the channel that shows whole cells, if any does.
    coding
        How label images are coded.
    nuclei
        Number of the channel whose bright spots separate touching cells; None for none.
    unchecked
        Whether labels that do not lie on cells are taken.
    """

    channels: int
    types: tuple[str, ...]
    config: CuttingConfig
    marker: int | None
    coding: MaskCoding
    nuclei: int | None
    unchecked: bool
    project: str | None

    def read(self, items: Sequence[_Field], builder: PartBuilder) -> None:
        """Add the crops of the fields that can be cut; count and reject the others."""
        for item in items:
            try:
                if item.problem is not None or item.files is None or item.strain is None:
                    raise CropRejected(item.problem or "a field without a strain")
                if not is_clean(item.name):
                    raise CropRejected("a name that is not valid UTF-8")
                counts = builder.part.counts
                image, labels, types = _read(item.files, self.channels, counts, self.project)
                check_types(types, self.types)
                builder.duplicates.check(image)
                seeds = None if self.nuclei is None else find_nuclei(image[self.nuclei])
                marked = understand(labels, self.coding, seeds)
                if not self.unchecked:
                    check_labels(image, marked.labels, self.marker, self.config.size)
            except CropRejected as rejected:
                builder.part.found += 1
                builder.part.reject(rejected.reason, printable(item.name))
                continue
            builder.part.counts.update(counted(marked.how, self.coding))
            builder.part.found += _cut(
                image, marked, item.name, item.strain, self.config, self.marker, builder
            )


def import_fields(
    source: Path | str,
    out: Path | str,
    *,
    labels: Path | str | None = None,
    channels: Sequence[str] = FIELD_CHANNELS,
    marker: str = MARKER,
    table: Path | str | None = None,
    protein: str | None = None,
    config: CuttingConfig | None = None,
    localizations: Path | str | None = None,
    class_names: Path | str | None = None,
    separators: str = "",
    project: str | None = None,
    mask_threshold: float | None = None,
    split_cells: str | None = None,
    **options: Unpack[ImportOptions],
) -> ImportReport:
    """Write a crop store from whole fields.

    Parameters
    ----------
    source
        Folder of the fields' images.
    out
        Folder of the store to make.
    labels
        Folder of the label images; `source` by default.
    channels
        Names of ch1, ch2 and so on, by default ``GFP``, ``nuclear`` and ``RFP``; images of further
        channels are not read.
    marker
        The channel that shows whole cells, to find those without a label; ``RFP`` by default.
    table
        CSV or Parquet with `field` (or the well, such as r01c01), `protein` and optionally
        `localization`, `orf`, `replicate`, `split`.
    protein
        The protein of fields that are not in `table`; None, the default, calls them by their well,
        or by their own name.
    config
        How fields are cut; the defaults of `CuttingConfig` if None.
    localizations
        Table of proteins, for fields whose localization `table` does not give
        (`compute.importers.localization_table`).
    class_names
        Table of what class names stand for (`compute.importers.class_names`), before the built-in
        names; ``keep`` takes names as they are.
    separators
        Characters, of ``|`` and ``,``, that stand between several classes in a cell, beside ``;``.
    project
        ``max`` takes the brightest of the planes of a Z stack; None, the default, refuses stacks.
    mask_threshold
        Least value of a pixel of a cell in label images that are maps of probabilities; None, the
        default, refuses these.
    split_cells
        What separates touching cells in label images that are 0 and one other value: ``"centres"``
        (a watershed from the middles of what is thick) or the name of a channel with nuclei (a
        watershed from its bright spots). None, the default, takes each connected piece as a cell.
    **options
        Those of every importer: `compute.importers.run_import.run_import`. Progress counts
        ``"fields"``.

    Returns
    -------
    ImportReport
        What was stored, what was rejected and why. A label counts as one crop, and so does a field
        that cannot be cut at all, and a file that belongs to no field.

    Raises
    ------
    InputError
        There is no such folder, no field with a label image or none that can be read, or a table
        is not as it should be.
    UsageError
        Names of channels are missing or repeated, or `split_cells` is none of them.
    BystanderError
        See `compute.importers.run_import.run_import`.

    Examples
    --------
    >>> from compute import import_fields
    >>> report = import_fields("images", "store", table="fields.csv")  # doctest: +SKIP
    >>> report.stored, report.rejected  # doctest: +SKIP
    (1200, 3)
    """
    config = config or CuttingConfig()
    source, out, channels = Path(source), Path(out), tuple(channels)
    refuse_early(out, options.get("overwrite", False))
    if not channels or len(set(channels)) != len(channels):
        raise UsageError(f"Channels {list(channels)}: names must be there and differ.")
    if split_cells not in (None, CENTRES, *channels):
        raise UsageError(
            f"split_cells = {split_cells!r} cannot be used.",
            f"Allowed: {', '.join((CENTRES, *channels))}.",
        )
    files, unplaced = _find(source, Path(labels) if labels is not None else None)
    check_projection(project)
    names = read_class_names(class_names, separators)
    known = read_localizations(localizations, names)
    strains, notes, classes = read_strains(list(files), table, protein, known, names)
    dtype, types = _types(files, len(channels), source, project)
    marker_number = channels.index(marker) if marker in channels else None
    if marker_number is None:
        notes.append(
            f"No channel {marker!r} shows whole cells: cells without a label pass for medium."
        )

    def chunks() -> Iterator[Chunk]:
        if unplaced:
            yield Chunk([_Field(name, problem=reason) for name, reason in unplaced], 0)
        for done, (name, item) in enumerate(files.items(), 1):
            yield Chunk([_Field(name, item, strains[name])], done)

    listing = Listing(
        chunks,
        "fields",
        len(files),
        {
            "source": printable(source.resolve()),
            "files": _version(files, unplaced),
            "marker": marker,
            "protein": protein,
            "config": asdict(config),
            "table": identity(table),
            "localizations": identity(localizations),
            "class_names": names_identity(class_names),
            "separators": separators,
            "project": project,
            "mask_threshold": mask_threshold,
            "split_cells": split_cells,
        },
        notes,
        _notes,
    )
    store_format = StoreFormat(channels, config.size, dtype.name, classes)
    labelled = [item.labels for item in files.values() if item.labels is not None]
    coding = survey_masks(
        spread(labelled, len(labelled), SURVEYED_FIELDS),
        mask_threshold,
        whole_fields=True,
        split=split_cells if split_cells == CENTRES else None,
    )
    if split_cells is not None and not coding.binary:
        raise UsageError(
            "The label images number their cells, so there is nothing to separate.",
            "Leave out --split-cells.",
        )
    reader = _Reader(
        len(channels),
        types,
        config,
        marker_number,
        coding,
        channels.index(split_cells) if split_cells in channels else None,
        options.get("unchecked_masks", False),
        project,
    )
    spec = ImportSpec("fields", store_format, reader, None, compared="field", shows=marker_number)
    return run_import(out, spec, listing, **options)


def _version(files: dict[str, _Files], unplaced: Sequence[tuple[str, str]]) -> str:
    """Return a hash of the files' names, sizes and dates."""
    digest = sha256(repr(unplaced).encode())
    for item in files.values():
        for path in (*(item.channels[n] for n in sorted(item.channels)), item.labels):
            if path is not None:
                stat = path.stat()
                digest.update(f"{path!r} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _find(source: Path, labels: Path | None) -> tuple[dict[str, _Files], list[tuple[str, str]]]:
    """Return the fields with their files, and the images that belong to none, with reasons."""
    fields: dict[str, _Files] = {}
    unplaced = []
    twice = "a second file for the same field and channel"
    folders = [source] if labels is None or labels == source else [source, labels]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder.", "Give the folder that holds fields.")
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    # TIFFs first: images of other formats beside them are often previews, and left aside.
    for tiff, path in [(True, path) for path in paths] + [(False, path) for path in paths]:
        name = path.name
        if name.startswith(".") or (path.suffix.lower() in (".tif", ".tiff")) != tiff:
            continue
        if match := _LABELS.fullmatch(name):
            item = fields.setdefault(match["field"], _Files())
            if item.labels is not None and tiff:
                unplaced.append((printable(name), twice))
            item.labels = item.labels or path
        elif match := _IMAGE.fullmatch(name):
            item = fields.setdefault(match["field"], _Files())
            if int(match["channel"]) in item.channels and tiff:
                unplaced.append((printable(name), twice))
            item.channels.setdefault(int(match["channel"]), path)
        elif tiff:
            reason = "a name that is neither <field>-ch<n> nor <field>_labeled"
            unplaced.append((printable(name), reason))
    if not any(item.labels for item in fields.values()):
        raise InputError(
            f"{source}: no field with a label image found.",
            "Expected <field>-ch1….tiff, <field>-ch2….tiff and <field>_labeled.tiff (or .png, "
            ".jpg, .bmp, .npy); label images may be in another folder (--labels).",
        )
    return dict(sorted(fields.items())), unplaced


def _read(
    item: _Files, channels: int, counts: Counter[str], project: str | None
) -> tuple[NDArray[Any], NDArray[Any], tuple[str, ...]]:
    """Read a field's channels, shape (C, H, W), its label image, shape (H, W), and its types."""
    missing = [f"ch{n}" for n in range(1, channels + 1) if n not in item.channels]
    if missing:
        raise CropRejected(
            f"a field without its image of {', '.join(missing)}",
            remedy="Check its files, and the names of the channels (--channels).",
        )
    if item.labels is None:
        raise CropRejected("a field without a label image")
    paths = [item.channels[n] for n in range(1, channels + 1)]
    image, types = read_channels(paths, channels, counts, project)
    labels = read_labels(item.labels, "label image")
    if labels.shape != image.shape[1:]:
        sizes = [f"{height}×{width}" for height, width in (labels.shape, image.shape[1:])]
        raise CropRejected(f"a label image of {sizes[0]} pixels; its channels have {sizes[1]}")
    return image, labels, types


def _cut(
    image: NDArray[Any],
    marked: Understood,
    name: str,
    strain: Strain,
    config: CuttingConfig,
    marker: int | None,
    builder: PartBuilder,
) -> int:
    """Add a field's crops and windows to the builder; return the number of labels."""
    counts = builder.part.counts
    labels, numbers = marked.labels, marked.names
    separated, fragmented = separate(labels)
    every = labels > 0
    if marker is not None and np.isfinite(image[marker]).all():
        more = find_unlabelled(image[marker], every, config)
        if more is not None:
            every = every | more[0]
            counts["unlabelled"] += more[1]
    traces = find_traces(image, every, config)
    corners = place_windows(every, traces, config, zlib.crc32(name.encode()))
    windows = [image[:, *window_at(corner, config.size)] for corner in corners]
    windows = [window for window in windows if np.isfinite(window).all()]
    if windows:
        counts["windows"] += len(windows)
        builder.has_windows(name)
        builder.part.add_windows(
            np.stack(windows),
            field=name,
            protein=strain.protein,
            localization=strain.labels[0] if strain.labels and len(strain.labels) == 1 else None,
            replicate=strain.replicate,
        )
    for cell in find_cells(separated, fragmented, config.size):
        where = f"{name}, label {numbers[cell.label - 1]:g}"
        counts["fragmented"] += cell.fragmented
        try:
            if cell.corner is None:
                raise CropRejected(
                    f"too near the field's edge for a whole {config.size}×{config.size} crop"
                )
            box = window_at(cell.corner, config.size)
            crop = image[:, *box]
            check_crop(crop, config.size)
        except CropRejected as rejected:
            builder.part.reject(rejected.reason, where)
            continue
        builder.add(
            Crop(
                crop.copy(),
                strain.protein,
                name,
                mask=separated[box] == cell.label,
                foreground=every[box].copy(),
                orf=strain.orf,
                labels=strain.labels,
                replicate=strain.replicate,
                split=strain.split,
            ),
            compared=True,
        )
    return len(numbers)


def _types(
    files: dict[str, _Files], channels: int, source: Path, project: str | None
) -> tuple[np.dtype[Any], tuple[str, ...]]:
    """Return the pixel type of the first field that can be read, and those of its files."""
    unread = []
    for name, item in files.items():
        try:
            image, _, types = _read(item, channels, Counter(), project)
        except CropRejected as rejected:
            unread.append(Unread(printable(name), rejected))
        else:
            return image.dtype, types
    raise nothing_read(source, "field", unread)


def _notes(counts: Counter[str]) -> list[str]:
    notes = []
    if counts["fragmented"]:
        notes.append(
            f"{counts['fragmented']} label(s) are in several pieces: the largest is taken as the "
            "cell, the others as its neighbours."
        )
    if counts["unlabelled"]:
        notes.append(
            f"About {counts['unlabelled']} cells that the marker shows have no label: they count "
            "as neighbours, and windows keep away from them."
        )
    if counts["windows"]:
        notes.append(f"{counts['windows']} windows were cut where no cell is.")
    return notes
