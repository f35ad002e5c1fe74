"""Cuts fields into crops and windows: pixels and labels read, cells found, masks judged.

What `compute.importers.fields` does with a chunk of its listing, in any process.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.images.rescale import resample_image, resample_labels
from compute.images.seeded import cells_around, estimate_diameter, lit
from compute.importers.cell_places import check_hits, rows_of_labels, unplaced, values_at
from compute.importers.config import CuttingConfig
from compute.importers.cut_fields import (
    Cell,
    find_cells,
    find_nuclei,
    find_traces,
    find_unlabelled,
    place_windows,
    separate,
    window_at,
)
from compute.importers.field_record import FieldRecord
from compute.importers.field_table import Strain
from compute.importers.judge_fields import check_labels
from compute.importers.mask_shapes import renumber
from compute.importers.masks import MaskCoding, Understood, counted, understand
from compute.importers.part_builder import Crop, PartBuilder
from compute.importers.read_refs import read_field, read_field_labels
from compute.importers.resample import Resampling
from compute.importers.text_table import is_clean, printable
from compute.importers.tiff import CropRejected, check_crop, check_types
from compute.store.part import FIELD

NO_ROW = "labels without a row"
AROUND = "cells segmented around centres"
DARK = "centre(s) in the dark"
VANISHED = "label(s) too small for the new pixel size"


@dataclass(frozen=True)
class FieldItem:
    """A field with what it and its cells show; `cells` goes with the kinds of its rows."""

    record: FieldRecord
    strain: Strain | None = None
    cells: tuple[Strain, ...] = ()


@dataclass(frozen=True)
class FieldReader:
    """Cuts fields.

    Parameters
    ----------
    channels, types
        Names of the channels, and the pixel types of all fields' files.
    config
        How fields are cut.
    marker
        Number of the channel that shows whole cells, if any does.
    coding, nuclei_coding
        How label images are coded, and images of nuclei.
    nuclei
        Number of the channel whose bright spots separate touching cells; None for none.
    unchecked
        Whether labels that do not lie on cells are taken.
    project
        See `compute.importers.read_images.read_planes`.
    resampling
        How the fields' pixels become those of the store.
    diameter
        Of a usual cell, pixels of the store, for cells that are found around centres; None, the
        default, estimates it in each field.
    """

    channels: tuple[str, ...]
    types: tuple[str, ...]
    config: CuttingConfig
    marker: int | None
    coding: MaskCoding
    nuclei_coding: MaskCoding
    nuclei: int | None
    unchecked: bool
    project: str | None
    resampling: Resampling
    diameter: float | None = None

    def read(self, items: Sequence[FieldItem], builder: PartBuilder) -> None:
        """Add the crops of the fields that can be cut; count and reject the others."""
        for item in items:
            record, counts = item.record, builder.part.counts
            try:
                if record.problem is not None or item.strain is None:
                    raise CropRejected(record.problem or "a field without a strain")
                if not is_clean(record.name):
                    raise CropRejected("a name that is not valid UTF-8")
                image, types = read_field(record.images, self.channels, counts, self.project)
                check_types(types, self.types)
                builder.duplicates.check(image)
                pixels, image = image, resample_image(image, self.resampling.scale)
                marked = (
                    self._around_centres(image, record, counts)
                    if record.labels is None
                    else self._labelled(pixels, record, counts)
                )
                if record.labels is not None and not self.unchecked:
                    check_labels(image, marked.labels, self.marker, self.config.size)
                row_of = self._rows(record, marked)
            except CropRejected as rejected:
                builder.part.found += 1
                builder.part.reject(rejected.reason, printable(record.name), FIELD)
                continue
            counts.update(counted(marked.how, self.coding))
            builder.part.found += self._cut(image, marked, item, row_of, builder)

    def _labelled(
        self, pixels: NDArray[Any], record: FieldRecord, counts: Counter[str]
    ) -> Understood:
        """Find the cells of a field by its label image.

        What a file shows is understood in the file's own pixels, and only then resampled: thin
        parts of cells, and gaps between them, may be lost with pixels.
        """
        assert record.labels is not None
        read_as: set[str] = set()
        labels = read_field_labels(record.labels, read_as)
        _check_shape(labels, pixels, "a label image")
        seeds: NDArray[Any] | None = None
        if record.nuclei is not None and self.coding.binary:
            nuclei = read_field_labels(record.nuclei)
            _check_shape(nuclei, pixels, "an image of nuclei")
            seeds = understand(nuclei, self.nuclei_coding).labels
        elif self.nuclei is not None:
            seeds = find_nuclei(pixels[self.nuclei])
        found = understand(labels, self.coding, seeds)
        small = resample_labels(found.labels, self.resampling.scale)
        there = np.isin(np.arange(1, len(found.names) + 1), small)
        counts[VANISHED] += int((~there).sum())
        how = found.how | read_as
        counts["shared"] += found.shared
        return Understood(renumber(small), found.names[there], how, found.renumbered)

    def _around_centres(
        self, image: NDArray[Any], record: FieldRecord, counts: Counter[str]
    ) -> Understood:
        rows = record.cells
        if rows is None or rows.centres is None:
            raise CropRejected("a field without a label image")
        if self.marker is None or not np.isfinite(image[self.marker]).all():
            raise CropRejected("a field whose marker is not finite")
        useless = list(unplaced(rows.centres))
        centres = (rows.centres + 0.5) * self.resampling.scale - 0.5
        centres[useless] = np.nan
        if len(useless) == len(centres):
            raise CropRejected("a field without cells")
        there = np.isfinite(centres).all(1)
        # Whatever is lit is a cell, so where none is lit no centre tells anything.
        marker = image[self.marker]
        shown = lit(marker)
        if shown.any():
            hits, other = (
                values_at(shown, places).astype(bool)
                for places in (centres[there], centres[there, ::-1])
            )
            check_hits(hits, other, "cells")
        diameter = self.diameter or estimate_diameter(marker, centres[there], shown)
        labels = cells_around(marker, centres, diameter, shown)
        there = np.bincount(labels.ravel(), minlength=len(centres) + 1)[1:] > 0
        counts[AROUND] += int(there.sum())
        counts[DARK] += int((~there).sum())
        counts["diameter: fields"] += 1
        counts["diameter: hundredths"] += round(100 * diameter)
        return Understood(labels, np.arange(1, len(centres) + 1), frozenset())

    def _rows(self, record: FieldRecord, marked: Understood) -> dict[int, int]:
        """Return which row of the field's table of cells each cell has."""
        rows = record.cells
        if rows is None or rows.kind is None:
            return {}
        if record.labels is None:
            return {place: place for place in range(len(rows.kind))}
        return rows_of_labels(rows, marked, self.resampling.scale)

    def _cut(
        self,
        image: NDArray[Any],
        marked: Understood,
        item: FieldItem,
        row_of: dict[int, int],
        builder: PartBuilder,
    ) -> int:
        """Add a field's crops and windows to the builder; return the number of its cells."""
        config, strain = self.config, item.strain
        assert strain is not None
        name = item.record.name
        counts = builder.part.counts
        around = item.record.labels is None
        found = len(marked.names)
        # Around centres cells are whole as they are, and some centres have none.
        separated, fragmented = (
            (marked.labels, np.zeros(found, bool)) if around else separate(marked.labels)
        )
        every = marked.labels > 0
        if self.marker is not None and np.isfinite(image[self.marker]).all():
            more = find_unlabelled(image[self.marker], marked.labels, config)
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
                localization=_only_label(strain, item.cells),
                replicate=strain.replicate,
            )
        rows = item.record.cells
        cells = (
            [
                Cell(place + 1, self._corner(centre, image.shape[1:]), False)
                for place, centre in enumerate(rows.centres)
            ]
            if around and rows is not None and rows.centres is not None
            else find_cells(separated, fragmented, config.size)
        )
        useless = unplaced(rows.centres) if around and rows and rows.centres is not None else {}
        for place, cell in enumerate(cells):
            number = marked.names[cell.label - 1]
            where = f"{name}, {'cell' if around else 'label'} {number:g}"
            counts["fragmented"] += cell.fragmented
            own = self._strain_of(item, row_of.get(place), counts)
            try:
                if around and place in useless:
                    raise CropRejected(useless[place])
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
                    own.protein,
                    name,
                    mask=separated[box] == cell.label,
                    foreground=every[box].copy(),
                    orf=own.orf,
                    labels=own.labels,
                    replicate=own.replicate,
                    split=own.split,
                    segmented=around,
                ),
                compared=True,
            )
        return found

    def _corner(
        self, centre: NDArray[np.float64], shape: tuple[int, ...]
    ) -> tuple[int, int] | None:
        """Return the first row and column of the crop around a centre; None where none fits."""
        x, y = (centre + 0.5) * self.resampling.scale - 0.5
        if not (np.isfinite(x) and np.isfinite(y)):
            return None
        top, left = (round(float(at) - (self.config.size - 1) / 2) for at in (y, x))
        fits = 0 <= top <= shape[0] - self.config.size and 0 <= left <= shape[1] - self.config.size
        return (top, left) if fits else None

    def _strain_of(self, item: FieldItem, row: int | None, counts: Counter[str]) -> Strain:
        """Return what a cell shows: its row's, where it has one, else its field's."""
        strain, rows = item.strain, item.record.cells
        assert strain is not None
        if rows is None or rows.kind is None or not item.cells:
            return strain
        if row is None:
            counts[NO_ROW] += 1
            return replace(strain, labels=None, outside=[])
        return item.cells[int(rows.kind[row])]


def _check_shape(labels: NDArray[Any], pixels: NDArray[Any], what: str) -> None:
    if labels.shape != pixels.shape[1:]:
        sizes = ["×".join(map(str, shape)) for shape in (labels.shape, pixels.shape[1:])]
        raise CropRejected(f"{what} of {sizes[0]} pixels; its channels have {sizes[1]}")


def _only_label(strain: Strain, cells: Sequence[Strain]) -> str | None:
    """Return the one class of a field, or of all its cells; None where there is none or more."""
    labels = {tuple(one.labels or ()) for one in cells} or {tuple(strain.labels or ())}
    only = labels.pop() if len(labels) == 1 else ()
    return only[0] if len(only) == 1 else None
