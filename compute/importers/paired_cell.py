"""Imports crops as Paired Cell Inpainting's published code cuts and names them.

What is in it
    Yeast cells of GFP-tagged strains, one 64×64 image per channel and cell, as
    ``GENE/GENE_<image>_rfp_<n>_gfp.tif`` (the tagged protein) and ``…_rfp.tif`` (a marker in the
    cytosol). The published toy data are float32 between 0 and 1: 552 crops of 4 proteins. There
    are no masks: cells are found in the marker. There are no localizations either: they come
    from a table (`compute.importers.localization_table`).
Publication
    Lu, Kraus, Cooper and Moses, "Learning unsupervised feature representations for single cell
    microscopy images with paired cell inpainting", PLoS Computational Biology 15(9): e1007348,
    2019, doi:10.1371/journal.pcbi.1007348.
Licence
    GPL-2.0 (code and toy data).
Address
    https://github.com/alexxijielu/paired_cell_inpainting
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError
from compute.importers.chunks import ImportSpec
from compute.importers.first_crops import Unread, common_size
from compute.importers.localization_table import (
    LocalizationTable,
    names_identity,
    read_class_names,
    read_localizations,
    settle,
)
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
from compute.importers.text_table import is_clean, printable
from compute.importers.tiff import (
    CropRejected,
    check_crop,
    check_projection,
    read_channels,
)
from compute.store.part import StoreFormat

CHANNELS = ("GFP", "RFP")
MARKER = CHANNELS.index("RFP")

_NAME = re.compile(
    r"(?P<field>.+)_rfp_(?P<number>\d+)_(?P<channel>gfp|rfp)\.tiff?", re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True)
class _Found:
    """A cell whose files were found by their names, or a file that belongs to no cell.

    `files` are names in the gene's folder, in channel order; `problem` says why a cell cannot be
    taken; `number` is the folder's, from 1.
    """

    gene: str
    field: str
    where: str
    files: tuple[str, ...] = ()
    problem: str | None = None
    number: int = 0


@dataclass(frozen=True)
class _Reader:
    """Reads cells in the genes' folders."""

    source: Path
    size: int | None
    table: LocalizationTable
    project: str | None

    def read(self, items: Sequence[_Found], builder: PartBuilder) -> None:
        """Add the cells that can be taken; count and reject the others."""
        for item in items:
            builder.part.found += 1
            try:
                image = _read(self.source, item, builder.part.counts, self.project)
                check_crop(image, self.size)
                crop = Crop(
                    image,
                    item.gene,
                    item.field,
                    orf=self.table.orf.get(item.gene),
                    labels=self.table.labels.get(item.gene),
                )
                builder.add(crop)
            except CropRejected as rejected:
                builder.part.reject(rejected.reason, item.where)


def import_paired_cell(
    source: Path | str,
    out: Path | str,
    *,
    localizations: Path | str | None = None,
    class_names: Path | str | None = None,
    separators: str = "",
    project: str | None = None,
    **options: Unpack[CropOptions],
) -> ImportReport:
    """Write a crop store from a folder of Paired Cell Inpainting crops.

    Parameters
    ----------
    source
        Folder with one folder per gene.
    out
        Folder of the store to make.
    localizations
        Table with the columns `protein` (the gene), `localization` and optionally `orf`; without
        it, by default, no cell is labelled.
    class_names
        Table of what its localizations stand for (`compute.importers.class_names`), before the
        built-in names; ``keep`` takes names as they are.
    separators
        Characters, of ``|`` and ``,``, that stand between several classes in a cell, beside ``;``.
    project
        ``max`` takes the brightest of the planes of a Z stack; None, the default, refuses stacks.
    **options
        Those of every importer: `compute.importers.run_import.run_import`. Progress counts
        ``"genes"``.

    Returns
    -------
    ImportReport
        What was stored, what was rejected and why.

    Raises
    ------
    InputError
        There is no such folder, no crop in it, or a table is not as it should be.
    BystanderError
        See `compute.importers.run_import.run_import`.

    Examples
    --------
    >>> from compute import import_paired_cell
    >>> report = import_paired_cell(
    ...     "crops", "store", localizations="localizations.csv"
    ... )  # doctest: +SKIP
    >>> report.stored, report.rejected  # doctest: +SKIP
    (1200, 3)
    """
    source, out = Path(source), Path(out)
    refuse_early(out, options.get("overwrite", False))
    if not source.is_dir():
        raise InputError(f"{source}: no such folder.", "Give the folder that holds the genes'.")
    check_projection(project)
    genes, loose = _genes(source)
    known = {gene for gene in genes if is_clean(gene)}
    names = read_class_names(class_names, separators)
    table, classes = settle(read_localizations(localizations, names), names, known)
    any_size = options.get("size") is not None
    size = common_size(_first_images(source, genes, project), source, any_size=any_size)
    store_format = StoreFormat(CHANNELS, size, "float32", classes)
    notes = table.notes(known) if localizations is not None else []
    if localizations is None:
        notes.append(f"No localization table was given: {len(known)} proteins have no label.")

    def items() -> Iterator[_Found]:
        for name in loose:
            yield _Found("", "", printable(name), (), "an image outside a gene's folder")
        for number, gene in enumerate(genes, 1):
            for item in _cells(source, gene):
                yield replace(item, number=number)

    listing = Listing(
        lambda: in_chunks(
            items(),
            chunk_size(store_format),
            lambda item: item.field,
            lambda item: max(item.number - 1, 0),
        ),
        "genes",
        len(genes),
        {
            "source": printable(source.resolve()),
            "files": _survey(source, genes),
            "localizations": identity(localizations),
            "class_names": names_identity(class_names),
            "separators": separators,
            "project": project,
        },
        notes,
    )
    reader = _Reader(source, None if any_size else size, table, project)
    spec = ImportSpec("paired-cell", store_format, reader, MARKER)
    return run_import(out, spec, listing, **options)


def _genes(source: Path) -> tuple[list[str], list[str]]:
    """Return the names of the genes' folders, and of images beside them instead of inside."""
    entries = sorted(source.iterdir())
    genes = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    loose = [entry.name for entry in entries if _is_tiff(entry.name) and not entry.is_dir()]
    if not any(True for gene in genes for _ in _cells(source, gene)):
        raise InputError(
            f"{source}: no crop found in {len(genes)} folder(s).",
            "Expected GENE/GENE_<image>_rfp_<n>_gfp.tif and GENE/GENE_<image>_rfp_<n>_rfp.tif.",
        )
    return genes, loose


def _cells(source: Path, gene: str) -> Iterator[_Found]:
    """Yield the cells of one gene's folder, ordered by field and number."""
    cells: dict[tuple[str, int], dict[str, str]] = {}
    for name in sorted(os.listdir(source / gene)):
        if not _is_tiff(name):
            continue
        where = printable(f"{gene}/{name}")
        match = _NAME.fullmatch(name)
        if match is None:
            yield _Found(gene, "", where, (), "a name that is not GENE_<image>_rfp_<n>_gfp or _rfp")
            continue
        key, channel = (match["field"], int(match["number"])), match["channel"].lower()
        files = cells.setdefault(key, {})
        if channel in files:
            yield _Found(gene, key[0], where, (), "a second file for the same cell and channel")
            continue
        files[channel] = name
    for (field, number), files in sorted(cells.items()):
        where = printable(f"{gene}/{field}_rfp_{number}")
        problem = None
        if not (is_clean(gene) and is_clean(field)):
            problem = "a name that is not valid UTF-8"
        elif not field.startswith(f"{gene}_"):
            problem = "the name of another gene than its folder's"
        else:
            for channel, partner in (("gfp", "rfp"), ("rfp", "gfp")):
                if channel not in files:
                    problem = f"{partner.upper()} without its {channel.upper()} partner"
        names = tuple(files[name.lower()] for name in CHANNELS if name.lower() in files)
        yield _Found(gene, field, where, names, problem)


def _read(
    source: Path, item: _Found, counts: Counter[str], project: str | None
) -> NDArray[np.float32]:
    """Read a cell's channels, float32, shape (2, H, W)."""
    if item.problem is not None:
        raise CropRejected(item.problem)
    paths = [source / item.gene / name for name in item.files]
    image, _ = read_channels(paths, len(CHANNELS), counts, project)
    return image.astype(np.float32)


def _first_images(
    source: Path, genes: list[str], project: str | None
) -> Iterator[NDArray[Any] | Unread]:
    for gene in genes:
        for item in _cells(source, gene):
            try:
                yield _read(source, item, Counter(), project)
            except CropRejected as rejected:
                yield Unread(item.where, rejected)


def _survey(source: Path, genes: list[str]) -> str:
    """Return a hash of all names and of the folders' dates, which change with their files."""
    digest = sha256()
    for gene in genes:
        names = sorted(os.listdir(source / gene))
        date = str((source / gene).stat().st_mtime_ns)
        digest.update(os.fsencode("\0".join((gene, date, *names))))
    return digest.hexdigest()[:16]


def _is_tiff(name: str) -> bool:
    return name.lower().endswith((".tif", ".tiff")) and not name.startswith(".")
