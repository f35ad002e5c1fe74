"""The way from an importer's crops to a part of a store: batches, masks, windows. No file formats.

Crops come one at a time, ordered by field. They are segmented in batches, and each field's crops
with the most medium become its windows without cells.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.errors import InputError
from compute.images.cell_quality import FAR, LEAST_MEDIUM
from compute.images.fill_holes import medium_mask, windows_from_crops
from compute.images.segmentation import DEFAULT, HALO, SegmentationConfig, segment
from compute.importers.duplicates import Repeats, pixel_digest
from compute.schema import UNUSABLE
from compute.store.part import Part

BATCH = 256
"""Crops segmented at a time."""

WINDOWS_PER_FIELD = 3
"""Windows without cells made from each field's crops, at most."""

LOOKED_AT = 64
"""Crops whose size decides that of the store: the most common one."""

NO_WINDOW = "fields without a window"
"""Count of a part's fields none of whose crops has enough medium for a window."""


@dataclass(frozen=True)
class Crop:
    """One crop as an importer has read it.

    Parameters
    ----------
    image
        Shape (C, H, W).
    protein, field
        Of which protein, from which image.
    mask
        Centre cell, shape (H, W); None to have it segmented.
    foreground
        Every cell that the source knows of, shape (H, W); the segmentation of the marker is
        added where there is a marker.
    orf, replicate, split
        As in the `cells` table.
    labels
        Every localization of the protein; None if it is not labelled.
    flags
        `compute.schema.CellFlag` bits that the source knows of.
    """

    image: NDArray[Any]
    protein: str
    field: str
    mask: NDArray[np.bool_] | None = None
    foreground: NDArray[np.bool_] | None = None
    orf: str | None = None
    labels: list[str] | None = None
    replicate: str | None = None
    split: str | None = None
    flags: int = 0

    @property
    def localization(self) -> str | None:
        """The only localization; None for none or several."""
        return self.labels[0] if self.labels and len(self.labels) == 1 else None


class Intake:
    """Takes the crops of one piece of a source, and makes a part of the store of them.

    Crops of a field must come one after another (unless `interleaved`), and `finish` must follow
    the last one.

    Parameters
    ----------
    part
        Where to put them; its counts are for the importer to add to.
    marker
        Number of the channel that shows every cell; None where there is none, and every crop
        brings its mask.
    config
        How cells are found in the marker.
    interleaved
        Crops of different fields come mixed: a few crops of every field are kept to the end.
    repeats
        Tells images that were there before; see `check`.
    """

    def __init__(
        self,
        part: Part,
        marker: int | None,
        config: SegmentationConfig = DEFAULT,
        *,
        interleaved: bool = False,
        repeats: Repeats | None = None,
    ) -> None:
        self.part = part
        self.marker = marker
        self.config = config
        self.interleaved = interleaved
        self.repeats = repeats or Repeats()
        self._waiting: list[Crop] = []
        self._taken = 0
        self._candidates: dict[str, list[tuple[int, int, Crop]]] = {}
        self._windowed: set[str] = set()

    def take(self, crop: Crop) -> None:
        """Add a crop that has been checked (`compute.importers.tiff.check_crop`).

        Raises
        ------
        CropRejected
            The same pixels were there before.
        """
        self.repeats.check(crop.image)
        self.put(crop)

    def put(self, crop: Crop) -> None:
        """Add a crop as `take`, of an image that was compared with earlier ones as a whole."""
        self._waiting.append(crop)
        if len(self._waiting) == BATCH:
            self._flush()

    def has_windows(self, field: str) -> None:
        """Make no windows from this field's crops: its importer has added real ones."""
        self._windowed.add(field)

    def finish(self) -> Part:
        """Hand over what is waiting, with the last field's windows."""
        self._flush()
        self._write_windows()
        self.part.add_digests(self.repeats.digests())
        return self.part

    def _flush(self) -> None:
        crops, self._waiting = self._waiting, []
        if not crops:
            return
        images = np.stack([crop.image for crop in crops])
        masks = np.zeros((len(crops), *images.shape[2:]), bool)
        foregrounds = np.zeros_like(masks)
        if self.marker is not None:
            masks, foregrounds = segment(images[:, self.marker], self.config)
        for i, crop in enumerate(crops):
            if crop.mask is not None:
                # The outline found in the marker is another one; its rim must not pass for a
                # neighbour.
                foregrounds[i] &= ~masks[i] | medium_mask(crop.mask, HALO + 1)
                masks[i] = crop.mask
            if crop.foreground is not None:
                foregrounds[i] |= crop.foreground
        foregrounds |= masks
        cells = pd.DataFrame(
            {
                name: pd.Series([getattr(crop, name) for crop in crops], dtype=object)
                for name in (
                    "protein",
                    "orf",
                    "localization",
                    "labels",
                    "field",
                    "replicate",
                    "split",
                    "flags",
                )
            }
        )
        self.part.add(images, masks, foregrounds, cells)
        medium = medium_mask(foregrounds, FAR).sum((1, 2))
        for i, crop in enumerate(crops):
            if not self.interleaved and crop.field not in self._candidates:
                self._write_windows()
            if crop.field in self._windowed or crop.flags & UNUSABLE:
                continue
            candidates = self._candidates.setdefault(crop.field, [])
            # Lighter without its mask, and with the foreground that the window is made by.
            kept = replace(crop, mask=None, foreground=foregrounds[i])
            candidates.append((int(medium[i]), self._taken + i, kept))
            candidates.sort(key=lambda item: (-item[0], item[1]))
            del candidates[WINDOWS_PER_FIELD:]
        self._taken += len(crops)

    def _write_windows(self) -> None:
        """Make every open field's windows from its crops with the most medium."""
        fields, self._candidates = self._candidates, {}
        for candidates in fields.values():
            self._write_field(candidates)

    def _write_field(self, candidates: list[tuple[int, int, Crop]]) -> None:
        enough = [
            (crop, crop.foreground)
            for medium, _, crop in candidates
            if crop.foreground is not None and medium >= LEAST_MEDIUM * crop.foreground.size
        ]
        if not enough:
            self.part.counts[NO_WINDOW] += bool(candidates)
            return
        windows, _ = windows_from_crops(
            np.stack([crop.image for crop, _ in enough]),
            np.stack([foreground for _, foreground in enough]),
            # The same window wherever the crop lies in its source, and with whatever else.
            np.array([pixel_digest(crop.image) for crop, _ in enough], np.uint64),
        )
        first = enough[0][0]
        self.part.add_windows(
            windows,
            field=first.field,
            protein=first.protein,
            localization=first.localization,
            replicate=first.replicate,
            filled=True,
        )


def common_size(images: Iterable[NDArray[Any] | None], source: Path) -> int:
    """Find the side of most of the first crops.

    Parameters
    ----------
    images
        Shape (C, H, W); None for what could not be read.
    source
        For the message.

    Raises
    ------
    InputError
        Most crops are not square, or none of the first could be read.
    """
    readable = (image.shape[1:] for image in images if image is not None)
    sizes = Counter(islice(readable, LOOKED_AT))
    if not sizes:
        raise InputError(
            f"{source}: not one crop could be read.", "Check that its files are TIFF images."
        )
    (height, width), count = sizes.most_common(1)[0]
    if height != width:
        raise InputError(
            f"{source}: most crops ({count} of the first {sum(sizes.values())}) are "
            f"{height}×{width} pixels; a store needs square crops.",
            "Cut or pad them to squares.",
        )
    return int(height)
