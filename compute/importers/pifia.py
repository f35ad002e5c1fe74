"""Imports crops as PIFiA's published data and code name them: a folder per protein.

What is in it
    64×64 crops of GFP-tagged yeast, one file per channel and cell: ``GENE/GENE_ch1_N.tiff`` the
    tagged protein (GFP), ``ch2`` a nuclear marker, ``ch3`` a marker in the cytosol (called RFP
    here), and ``GENE_mask_N.tiff``, 0 and 255, the centre cell; 4,049 proteins, over 3 million
    cells. PIFiA's code also reads Chong's crops: ``…_gfp.``, ``…_rfp.``, ``…_mask.``. Files of
    both kinds are recognised by their names; every cell must have the channels that most have.
    Without a mask the cell is found in the cytosol channel. Localizations come from a table.
What is not there
    Nothing says which image a crop was cut from, so consecutive numbers of a protein count as one
    field (`FIELD_CELLS`). The published splits are in pickled files (``.npy``), which could run
    code and are never opened: give splits as a table, or have them drawn by ``train_share``.
Publication
    Razdaibiedina and others, "PIFiA: self-supervised approach for protein functional annotation
    from single-cell imaging data", 2023, doi:10.1101/2023.02.24.529975; Chong and others, "Yeast
    proteome dynamics from single cell imaging and automated analysis", Cell 161: 1413, 2015,
    doi:10.1016/j.cell.2015.04.051.
Licence
    MIT (code and its example); the data's own terms are at the address.
Address
    https://github.com/arazd/pifia, https://thecellvision.org
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError, UsageError
from compute.importers.chunks import ImportSpec
from compute.importers.config import FIELD_CELLS
from compute.importers.first_crops import SAMPLED, Unread, common_size
from compute.importers.localization_table import (
    LocalizationTable,
    names_identity,
    read_class_names,
    read_localizations,
    settle,
)
from compute.importers.mask_files import SURVEYED, read_mask, spread, survey_masks
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
from compute.importers.text_table import is_clean, printable, read_rows, short_list
from compute.importers.tiff import (
    CropRejected,
    check_crop,
    check_projection,
    check_types,
    read_channels,
)
from compute.store.part import StoreFormat

CHANNELS = ("GFP", "nuclear", "RFP")
"""Every channel that a cell can have, in the store's order."""

KINDS = {
    "ch1": "GFP", "ch2": "nuclear", "ch3": "RFP", "gfp": "GFP", "rfp": "RFP", "mask": "mask",
}  # fmt: skip
"""What file names call a channel → what it is."""

PICKLED = (".npy", ".npz", ".pkl", ".pickle", ".p", ".joblib")
"""Endings of files that may be pickled; none is ever opened."""

_PIFIA = re.compile(r"(?P<before>.+)_(?P<kind>ch[123]|mask)_(?P<after>.+)", re.DOTALL | re.I)
_CHONG = re.compile(r"(?P<before>.+)_(?P<kind>gfp|rfp|mask)", re.DOTALL | re.I)
_NUMBER = re.compile(r"(?P<before>.*?)_?(?P<number>\d+)", re.DOTALL)
_IMAGES = (".tif", ".tiff", ".png")


@dataclass(frozen=True)
class _Found:
    """A cell whose files were found by their names, or a file that belongs to no cell.

    `files` has names in the protein's folder by channel, and that of the mask; `problem` says why a
    cell cannot be taken; `number` is the folder's, from 1.
    """

    gene: str
    where: str
    field: str = ""
    files: dict[str, str] | None = None
    problem: str | None = None
    split: str | None = None
    number: int = 0


@dataclass(frozen=True)
class _Reader:
    """Reads cells in the proteins' folders."""

    source: Path
    format: StoreFormat
    table: LocalizationTable
    coding: MaskCoding
    types: tuple[str, ...]
    project: str | None
    size: int | None

    def read(self, items: Sequence[_Found], builder: PartBuilder) -> None:
        """Add the cells that can be taken; count and reject the others."""
        for item in items:
            builder.part.found += 1
            try:
                counts = builder.part.counts
                image, mask, foreground, how = self._crop(item, counts)
                crop = Crop(
                    image,
                    item.gene,
                    item.field,
                    mask=mask,
                    foreground=foreground,
                    orf=self.table.orf.get(item.gene),
                    labels=self.table.labels.get(item.gene),
                    split=item.split,
                )
                builder.add(crop)
            except CropRejected as rejected:
                builder.part.reject(rejected.reason, item.where)
                continue
            builder.part.counts.update(how)
            builder.part.counts["no mask"] += mask is None
            builder.part.counts["split"] += item.split is not None

    def _crop(
        self, item: _Found, counts: Counter[str]
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None, NDArray[np.bool_] | None, list[str]]:
        """Read and check a cell: image, mask, foreground, and how the mask was understood."""
        image, types = _image(self.source, item, self.format.channels, counts, self.project)
        check_types(types, self.types)
        check_crop(image, self.size)
        name = (item.files or {}).get("mask")
        if name is not None:
            return image, *read_mask(self.source / item.gene / name, image.shape[1:], self.coding)
        if "RFP" not in self.format.channels:
            raise CropRejected("no mask, and no cytosol channel to find the cell in")
        return image, None, None, []


def import_pifia(
    source: Path | str,
    out: Path | str,
    *,
    splits: Path | str | None = None,
    field_cells: int = FIELD_CELLS,
    localizations: Path | str | None = None,
    class_names: Path | str | None = None,
    separators: str = "",
    project: str | None = None,
    mask_threshold: float | None = None,
    **options: Unpack[CropOptions],
) -> ImportReport:
    """Write a crop store from a folder of PIFiA's crops.

    Parameters
    ----------
    source
        Folder with one folder per protein.
    out
        Folder of the store to make.
    splits
        CSV or Parquet with `split` and either `protein` or `file` (a cell's GFP image, as
        ``GENE/name``), which is held in memory; None, the default, leaves splits empty.
    field_cells
        Consecutive cells of a protein that count as one field, at least 1; 50 by default.
    localizations
        Table of proteins (`compute.importers.localization_table`); without it, by default, no cell
        is labelled.
    class_names
        Table of what its localizations stand for (`compute.importers.class_names`), before the
        built-in names; ``keep`` takes names as they are.
    separators
        Characters, of ``|`` and ``,``, that stand between several classes in a cell, beside ``;``.
    project
        ``max`` takes the brightest of the planes of a Z stack; None, the default, refuses stacks.
    mask_threshold
        Least value of a pixel of a cell in masks that are maps of probabilities; None, the default,
        refuses such masks.
    **options
        Those of every importer: `compute.importers.run_import.run_import`. Progress counts
        ``"proteins"``.

    Returns
    -------
    ImportReport
        What was stored, what was rejected and why.

    Raises
    ------
    InputError
        There is no such folder, no crop in it, or a table is not as it should be.
    UsageError
        `field_cells` is out of range.
    BystanderError
        See `compute.importers.run_import.run_import`.

    Examples
    --------
    >>> from compute import import_pifia
    >>> report = import_pifia(
    ...     "crops", "store", localizations="localizations.csv"
    ... )  # doctest: +SKIP
    >>> report.stored, report.rejected  # doctest: +SKIP
    (1200, 3)
    """
    source, out = Path(source), Path(out)
    refuse_early(out, options.get("overwrite", False))
    if field_cells < 1:
        raise UsageError(f"field_cells is {field_cells}; it must be at least 1.")
    if not source.is_dir():
        raise InputError(f"{source}: no such folder.", "Give the folder of the proteins' folders.")
    genes = sorted(e.name for e in source.iterdir() if e.is_dir() and not e.name.startswith("."))
    check_projection(project)
    known = {gene for gene in genes if is_clean(gene)}
    names = read_class_names(class_names, separators)
    table, classes = settle(read_localizations(localizations, names), names, known)
    split_of = _splits(splits)
    channels = _channels(source, genes)
    any_size = options.get("size") is not None
    size, dtype, types = _size_and_types(source, genes, channels, project, any_size=any_size)
    store_format = StoreFormat(channels, size, dtype.name, classes)
    notes = table.notes(known) if localizations is not None else []
    if localizations is None:
        notes.append(f"No localization table was given: {len(known)} proteins have no label.")
    notes.append(
        f"The source does not say which image a crop is from: every {field_cells} consecutive "
        "cells of a protein count as one field."
    )
    files, pickles = _survey(source, genes)
    if pickles:
        notes.append(
            f"{len(pickles)} file(s) that may hold pickles were not opened "
            f"({short_list(pickles, 3)}): give splits as a table instead (--splits)."
        )

    def items() -> Iterator[_Found]:
        for entry in sorted(source.iterdir()):
            if entry.is_file() and _is_image(entry.name):
                problem = "an image outside a protein's folder"
                yield _Found("", printable(entry.name), problem=problem)
        for number, gene in enumerate(genes, 1):
            for item in _cells(source, gene, field_cells):
                yield replace(item, number=number, split=_split(item, split_of))

    def closing(counts: Counter[str]) -> Iterator[str]:
        if counts["no mask"]:
            yield f"{counts['no mask']} cells without a mask were found in the cytosol."
        if splits is not None:
            yield f"{counts['split']} cells have the split that {splits} gives them."

    listing = Listing(
        lambda: in_chunks(
            items(),
            chunk_size(store_format),
            lambda item: item.field,
            lambda item: max(item.number - 1, 0),
        ),
        "proteins",
        len(genes),
        {
            "source": printable(source.resolve()),
            "files": files,
            "field_cells": field_cells,
            "splits": identity(splits),
            "localizations": identity(localizations),
            "class_names": names_identity(class_names),
            "separators": separators,
            "project": project,
            "mask_threshold": mask_threshold,
        },
        notes,
        lambda counts: list(closing(counts)),
    )
    marker = channels.index("RFP") if "RFP" in channels else None
    coding = survey_masks(_some_masks(source, genes), mask_threshold)
    reader = _Reader(
        source, store_format, table, coding, types, project, None if any_size else size
    )
    spec = ImportSpec("pifia", store_format, reader, marker)
    return run_import(out, spec, listing, **options)


def _some_masks(source: Path, genes: list[str]) -> Iterator[Path]:
    """Yield paths of masks from as many proteins as are looked at, as many of each."""
    each = -(-SURVEYED // max(1, len(genes)))
    for gene in spread(genes, len(genes)):
        masks = (
            name
            for name in sorted(os.listdir(source / gene))
            if _is_image(name) and "mask" in name.lower()
        )
        yield from (source / gene / name for name in islice(masks, each))


def _cells(source: Path, gene: str, field_cells: int) -> Iterator[_Found]:
    """Yield the cells of one protein by number, after files in its folder that belong to none."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for name in sorted(os.listdir(source / gene)):
        if not _is_image(name):
            continue
        where = printable(f"{gene}/{name}")
        stem = name[: name.rindex(".")]
        match = _PIFIA.fullmatch(stem) or _CHONG.fullmatch(stem)
        if match is None:
            reason = "a name that is neither GENE_ch1_<n>, GENE_mask_<n> nor <cell>_gfp"
            yield _Found(gene, where, problem=reason)
            continue
        key = (match["before"], match["after"]) if "after" in match.re.groupindex else None
        files = cells.setdefault(key or (match["before"], ""), {})
        kind = KINDS[match["kind"].lower()]
        if kind in files:
            yield _Found(gene, where, problem="a second file for the same cell and channel")
            continue
        files[kind] = name
    ordered = sorted((_place(gene, *key), files) for key, files in cells.items())
    rank: Counter[str] = Counter()
    for (image, _, cell), files in ordered:
        field = f"{image}_{rank[image] // field_cells + 1}"
        rank[image] += 1
        problem = None
        if not (is_clean(gene) and is_clean(cell)):
            problem = "a name that is not valid UTF-8"
        elif not (cell == gene or cell.startswith(f"{gene}_")):
            problem = "the name of another protein than its folder's"
        yield _Found(gene, printable(f"{gene}/{cell}"), field, files, problem)


def _place(gene: str, before: str, after: str) -> tuple[str, int, str]:
    """Return a cell's image, number and name, by which the cells of a protein are ordered."""
    cell = f"{before}_{after}" if after else before
    match = _NUMBER.fullmatch(cell)
    if match is None:
        return cell, 0, cell
    return match["before"] or gene, int(match["number"]), cell


def _image(
    source: Path,
    item: _Found,
    channels: tuple[str, ...],
    counts: Counter[str],
    project: str | None,
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Read a cell's channels, shape (C, H, W), and its files' pixel types."""
    if item.problem is not None:
        raise CropRejected(item.problem)
    files = item.files or {}
    missing = [name for name in channels if name not in files]
    if missing:
        raise CropRejected(f"a cell without its {' and '.join(missing)} image")
    folder = source / item.gene
    paths = [folder / files[name] for name in channels]
    return read_channels(paths, len(channels), counts, project)


def _split(item: _Found, split_of: dict[str, str]) -> str | None:
    """Return a cell's split by its GFP file, with or without the folder, or by its protein."""
    file = (item.files or {}).get("GFP", "")
    keys = (f"{item.gene}/{file}", file, item.gene)
    return next((split_of[key] for key in keys if key in split_of), None)


def _channels(source: Path, genes: list[str]) -> tuple[str, ...]:
    """Return the channels that most of the first cells have."""
    cells = (item for gene in genes for item in _cells(source, gene, FIELD_CELLS) if item.files)
    sets = Counter(
        tuple(name for name in CHANNELS if name in (item.files or {}))
        for item in islice(cells, SAMPLED)
    )
    channels = max(sets, key=lambda names: (sets[names], len(names)), default=())
    if "GFP" not in channels:
        raise InputError(
            f"{source}: no crop found in {len(genes)} folder(s).",
            "Expected GENE/GENE_ch1_<n>.tiff, or GENE/<cell>_gfp.tiff.",
        )
    return channels


def _size_and_types(
    source: Path,
    genes: list[str],
    channels: tuple[str, ...],
    project: str | None,
    *,
    any_size: bool,
) -> tuple[int, np.dtype[Any], tuple[str, ...]]:
    """Return the side of most of the first crops, pixels, and their most common pixel types."""
    found: Counter[tuple[np.dtype[Any], tuple[str, ...]]] = Counter()

    def images() -> Iterator[NDArray[Any] | Unread]:
        for gene in genes:
            for item in _cells(source, gene, FIELD_CELLS):
                try:
                    image, types = _image(source, item, channels, Counter(), project)
                except CropRejected as rejected:
                    yield Unread(item.where, rejected)
                    continue
                found[image.dtype, types] += 1
                yield image

    size = common_size(images(), source, any_size=any_size)
    return size, *found.most_common(1)[0][0]


def _splits(path: Path | str | None) -> dict[str, str]:
    """Read the table of splits: a dictionary from protein or file to split."""
    if path is None:
        return {}
    rows = read_rows(Path(path), ("split",), ("file", "protein"))
    column = next((name for name in ("file", "protein") if name in rows), None)
    if column is None:
        raise InputError(f"{path}: no column `file` or `protein`.", "Add one of them to `split`.")
    found: dict[str, str] = {}
    for line, name, split in zip(rows.index, rows[column], rows["split"], strict=True):
        if name is None or split is None:
            raise InputError(f"{path}, row {line}: an empty cell.", "Fill or remove the row.")
        if found.setdefault(name, split) != split:
            raise InputError(f"{path}, row {line}: {name} has two splits.", "Keep one.")
    return found


def _survey(source: Path, genes: list[str]) -> tuple[str, list[str]]:
    """Return a hash of all names and folders' dates, and the files that may be pickled.

    A folder's date changes when a file in it is added, removed or replaced.
    """
    digest, pickles = sha256(), []
    for gene in ("", *genes):
        names = sorted(os.listdir(source / gene))
        pickles += [printable(Path(gene, name)) for name in names if name.lower().endswith(PICKLED)]
        digest.update(os.fsencode("\0".join((gene, *names))))
        if gene:
            digest.update(str((source / gene).stat().st_mtime_ns).encode())
    return digest.hexdigest()[:16], pickles


def _is_image(name: str) -> bool:
    return name.lower().endswith(_IMAGES) and not name.startswith(".")
