"""Imports whole fields of any layout: a crop around every cell, windows where no cell is.

A layout (`compute.importers.presets`) lists the fields: files of their channels, and a label image,
or masks with nuclei, or centres around which cells are segmented. Tables say which protein or
compound each field, or cell, shows.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from compute.errors import UsageError
from compute.importers.cell_rows import attach_cells
from compute.importers.chunks import Chunk, ImportSpec
from compute.importers.config import CENTRES, MARKER, CuttingConfig
from compute.importers.field_reader import (
    AROUND,
    DARK,
    NO_ROW,
    VANISHED,
    FieldItem,
    FieldReader,
)
from compute.importers.field_record import FieldRecord, choose_channels
from compute.importers.field_table import read_strains
from compute.importers.find_files import forget_listings
from compute.importers.first_crops import Unread, nothing_read
from compute.importers.layout import LayoutOptions
from compute.importers.localization_table import (
    names_identity,
    read_class_names,
    read_localizations,
)
from compute.importers.mask_files import SURVEYED_FIELDS, spread, survey_masks
from compute.importers.presets.registry import FIELDS, list_fields
from compute.importers.read_refs import read_field, read_field_labels
from compute.importers.resample import choose_resampling
from compute.importers.run_import import (
    ImportOptions,
    ImportReport,
    Listing,
    identity,
    refuse_early,
    run_import,
)
from compute.importers.text_table import printable
from compute.importers.tiff import CropRejected, check_projection
from compute.store.part import StoreFormat

TYPED = 5
"""Fields that are read first: their commonest pixel type is that of the store."""


def import_fields(
    source: Path | str,
    out: Path | str,
    *,
    preset: str = FIELDS,
    images: Path | str | None = None,
    labels: Path | str | None = None,
    objects: str | None = None,
    channels: Sequence[str] | None = None,
    marker: str | None = None,
    table: Path | str | None = None,
    cells: Path | str | None = None,
    protein: str | None = None,
    protein_column: str | None = None,
    class_column: str | None = None,
    config: CuttingConfig | None = None,
    pixel_size: float | None = None,
    resample: float | None = None,
    cell_diameter: float | None = None,
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
        Folder, table or file of the fields, as the preset says.
    out
        Folder of the store to make.
    preset
        Layout of the source, one of `compute.importers.presets.registry.PRESETS`; ``"fields"`` by
        default: a folder of ``<field>-ch1.tiff`` and so on, or a table of fields.
    images
        Folder of the images that a table names, which may name folders of another computer; the
        source's own folder by default.
    labels
        Folder of the label images, masks or outlines; the source's own by default.
    objects
        Which objects of a table are the cells, such as ``Cells`` or ``Nuclei``; None, the default,
        leaves it to the preset.
    channels
        Names of the channels, in order; ``NEW=OLD`` renames one. None, the default, takes all that
        the source names, and of ``"fields"`` ch1, ch2 and ch3 as ``GFP``, ``nuclear``, ``RFP``.
    marker
        The channel that shows whole cells, to find those without a label, and to segment cells
        around centres; by default the one that the source names as such, or ``RFP``.
    table
        CSV, Parquet or Excel with `field` (or the well, such as r01c01), `protein` and optionally
        `localization`, `orf`, `replicate`, `split`.
    cells
        CSV, Parquet or Excel with `field` and a row per cell: its number in the label image
        (`label`), or its centre (`x`, `y`, pixels), and optionally what it shows.
    protein
        The protein of fields of which neither the table nor the source names one; None, the
        default, calls them by their well, or by their own name.
    protein_column, class_column
        Columns of the source's tables that name the protein (or compound, gene, donor: what is held
        out together) and the class; by default known by name.
    config
        How fields are cut; the defaults of `CuttingConfig` if None.
    pixel_size
        Micrometres from pixel to pixel in the images; by default as their files say it.
    resample
        Micrometres from pixel to pixel that the store should have; None, the default, leaves pixels
        as they are.
    cell_diameter
        Of a usual cell, pixels of the images, where cells are segmented around centres; None, the
        default, estimates it.
    localizations
        Table of proteins, for fields whose localization nothing else gives
        (`compute.importers.localization_table`).
    class_names
        Table of what class names stand for (`compute.importers.class_names`), before the built-in
        names; ``keep`` takes names as they are, which is the default of all presets but
        ``"fields"``.
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
        watershed from its bright spots). None, the default, uses images of nuclei where the source
        has them, else takes each connected piece as a cell.
    **options
        Those of every importer: `compute.importers.run_import.run_import`. Progress counts
        ``"fields"``.

    Returns
    -------
    ImportReport
        What was stored, what was rejected and why. A label, or a centre, counts as one crop, and so
        does a field that cannot be cut at all, and a file that belongs to no field.

    Raises
    ------
    InputError
        There is no such source, no field with cells or none that can be read, or a table is not as
        it should be.
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
    source, out = Path(source), Path(out)
    refuse_early(out, options.get("overwrite", False))
    forget_listings()
    check_projection(project)
    chosen = LayoutOptions(
        images=None if images is None else Path(images),
        labels=None if labels is None else Path(labels),
        objects=objects,
        channels=None if channels is None else tuple(channels),
        cells=None if cells is None else Path(cells),
        protein_column=protein_column,
        class_column=class_column,
    )
    listing = choose_channels(list_fields(preset, source, chosen), chosen.channels)
    names = listing.channels or ()
    fields = list(listing.fields)
    attached: list[str] = []
    if chosen.cells is not None:
        fields, attached = attach_cells(fields, chosen.cells, protein_column, class_column)
    if split_cells not in (None, CENTRES, *names):
        raise UsageError(
            f"split_cells = {split_cells!r} cannot be used.",
            f"Allowed: {', '.join((CENTRES, *names))}.",
        )
    known = read_class_names(class_names, separators, keep=preset != FIELDS)
    strains = read_strains(
        [one for one in fields if one.problem is None],
        table,
        protein,
        read_localizations(localizations, known),
        known,
    )
    notes = [*listing.notes, *attached, *strains.notes]
    number, said = _marker(names, marker, listing.marker, fields)
    notes += said
    resampling = choose_resampling(listing.pixel_size, pixel_size, resample)
    notes += resampling.notes()
    dtype, types = _types(fields, names, source, project)
    store_format = StoreFormat(names, config.size, dtype.name, strains.classes)

    def chunks() -> Iterator[Chunk]:
        for done, record in enumerate(fields, 1):
            strain = strains.of_field.get(record.name)
            item = FieldItem(record, strain, strains.of_cells.get(record.name, ()))
            yield Chunk([item], done)

    depends_on = {
        "source": printable(source.resolve()),
        "preset": preset,
        "files": _version(fields),
        "marker": None if number is None else names[number],
        "protein": protein,
        "config": asdict(config),
        "resampling": asdict(resampling),
        "cell_diameter": cell_diameter,
        "table": identity(table),
        "cells": identity(cells),
        "columns": [protein_column, class_column, objects],
        "localizations": identity(localizations),
        "class_names": names_identity(class_names),
        "separators": separators,
        "project": project,
        "mask_threshold": mask_threshold,
        "split_cells": split_cells,
    }

    labelled = [one for one in fields if one.labels is not None and one.problem is None]
    split = split_cells if split_cells == CENTRES else None
    shown = spread(labelled, len(labelled), SURVEYED_FIELDS)
    coding = survey_masks(
        (one.labels for one in shown), mask_threshold, whole_fields=True, split=split,
        read=read_field_labels,
    )  # fmt: skip
    with_nuclei = [one for one in labelled if one.nuclei is not None]
    nuclei_coding = survey_masks(
        (one.nuclei for one in spread(with_nuclei, len(with_nuclei), SURVEYED_FIELDS)),
        None, whole_fields=True, read=read_field_labels,
    )  # fmt: skip
    if split_cells is not None and labelled and not coding.binary:
        raise UsageError(
            "The label images number their cells, so there is nothing to separate.",
            "Leave out --split-cells.",
        )
    reader = FieldReader(
        names,
        types,
        config,
        number,
        coding,
        nuclei_coding,
        names.index(split_cells) if split_cells in names else None,
        options.get("unchecked_masks", False),
        project,
        resampling,
        None if cell_diameter is None else cell_diameter * resampling.scale,
    )
    spec = ImportSpec(
        preset,
        store_format,
        reader,
        None,
        compared="field",
        shows=number,
        pixel_size=resampling.pixel_size,
    )
    listed = Listing(chunks, "fields", len(fields), depends_on, notes, _notes)
    return run_import(out, spec, listed, **options)


def _marker(
    names: tuple[str, ...], asked: str | None, said: str | None, fields: Sequence[FieldRecord]
) -> tuple[int | None, list[str]]:
    """Return the number of the channel that shows whole cells, and what to say of it."""
    marker = asked or said or MARKER
    if asked is not None and asked not in names:
        raise UsageError(
            f"No channel {asked!r} to show whole cells (--marker).",
            f"Allowed: {', '.join(names)}.",
        )
    if marker in names:
        return names.index(marker), []
    good = [one for one in fields if one.problem is None]
    if good and all(one.labels is None for one in good):
        raise UsageError(
            "The fields have centres of cells but no label images, so cells must be found in a "
            "channel that shows whole cells, and none is named.",
            f"Name it with --marker, one of {', '.join(names)}; or give label images (--labels).",
        )
    return None, [
        f"No channel {marker!r} shows whole cells: cells without a label pass for medium."
    ]


def _version(fields: Sequence[FieldRecord]) -> str:
    """Return a hash of the files' names, sizes and dates."""
    digest = sha256(repr([(one.name, one.problem) for one in fields]).encode())
    for record in fields:
        for path in record.files():
            try:
                stat = path.stat()
            except OSError:
                digest.update(f"{path!r} is not there".encode())
                continue
            digest.update(f"{path!r} {stat.st_size} {stat.st_mtime_ns}".encode())
        if record.cells is not None:
            for values in (record.cells.centres, record.cells.numbers, record.cells.kind):
                if values is not None:
                    digest.update(np.ascontiguousarray(values).tobytes())
            digest.update(repr(record.cells.kinds).encode())
        digest.update(repr(sorted(record.known.items())).encode())
    return digest.hexdigest()[:16]


def _types(
    fields: Sequence[FieldRecord], channels: tuple[str, ...], source: Path, project: str | None
) -> tuple[np.dtype[Any], tuple[str, ...]]:
    """Return the commonest pixel type of some fields, and those of its files.

    Fields are looked at until `TYPED` could be read, the first ones first among equally many.
    """
    unread = []
    found: Counter[tuple[np.dtype[Any], tuple[str, ...]]] = Counter()
    for record in fields:
        try:
            if record.problem is not None:
                raise CropRejected(record.problem)
            image, types = read_field(record.images, channels, Counter(), project)
            if record.labels is not None:
                read_field_labels(record.labels)
        except CropRejected as rejected:
            unread.append(Unread(printable(record.name), rejected))
            continue
        found[image.dtype, types] += 1
        if found.total() == TYPED:
            break
    if not found:
        raise nothing_read(source, "field", unread)
    return found.most_common(1)[0][0]


def _notes(counts: Counter[str]) -> list[str]:
    notes = []
    if counts["diameter: fields"]:
        mean = counts["diameter: hundredths"] / 100 / counts["diameter: fields"]
        notes.append(
            f"{counts[AROUND]} cell(s) were segmented around the centres that the table gives, "
            f"as cells of about {mean:.0f} pixels across."
        )
    if counts[DARK]:
        notes.append(f"{counts[DARK]} {DARK}: the marker shows no cell there.")
    if counts[VANISHED]:
        notes.append(f"{counts[VANISHED]} {VANISHED} were left out.")
    if counts[NO_ROW]:
        notes.append(f"{counts[NO_ROW]} {NO_ROW} in the table of cells: they have no class.")
    if counts["fragmented"]:
        notes.append(
            f"{counts['fragmented']} label(s) are in several pieces: the largest is taken as the "
            "cell, the others as its neighbours."
        )
    if counts["shared"]:
        notes.append(
            f"{counts['shared']} label(s) have two pieces that lie apart, each as large as a cell: "
            "is one number used for several cells? What a table says of it went to the larger one."
        )
    if counts["unlabelled"]:
        notes.append(
            f"About {counts['unlabelled']} cells that the marker shows have no label: they count "
            "as neighbours, and windows keep away from them."
        )
    if counts["windows"]:
        notes.append(f"{counts['windows']} windows were cut where no cell is.")
    return notes
