"""Makes a part of a store from an importer's crops: masks, flags, windows. No file formats.

Crops come one at a time, ordered by field. Some hundred are segmented together, and each field's
crops with the most medium become its windows without cells.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.images.cell_quality import FAR, LEAST_MEDIUM
from compute.images.fill_holes import medium_mask, windows_from_crops
from compute.images.segmentation import DEFAULT, HALO, SegmentationConfig, segment
from compute.importers.duplicates import DuplicateCheck, pixel_digest
from compute.importers.judge import judge
from compute.importers.resample import CropFit
from compute.schema import UNUSABLE
from compute.store.part import Part

SEGMENTED_AT_ONCE = 256
"""Crops segmented at a time."""

WINDOWS_PER_FIELD = 3
"""Windows without cells made from each field's crops, at most."""

NO_WINDOW = "fields without a window"
"""Name of a count: fields of a part none of whose crops has enough medium for a window."""

GIVEN, SEGMENTED = "masks: given", "masks: segmented"
"""Names of counts: crops that came with their mask, and those whose mask was found here."""


@dataclass(frozen=True)
class Crop:
    """One crop as an importer has read it.

    Parameters
    ----------
    image
        Pixels, shape (C, H, W).
    protein, field
        Names of its protein and of the image that it was cut from.
    mask
        The centre cell, shape (H, W); None (the default) has it found in the marker.
    foreground
        Every cell that the source knows of, shape (H, W), or None; what is found in the marker is
        added where there is a marker.
    orf, replicate, split
        As in the `cells` table.
    labels
        Every localization of the protein; None if it is not labelled.
    flags
        `compute.schema.CellFlag` bits that the source knows of; 0 by default.
    segmented
        Whether Bystander has found the mask that is given; False by default.
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
    segmented: bool = False

    @property
    def localization(self) -> str | None:
        """The crop's localization; None where it has none or several."""
        return self.labels[0] if self.labels and len(self.labels) == 1 else None


class PartBuilder:
    """Makes a part of a store from the crops of one chunk of a source.

    Crops of a field must be added one after another (unless `interleaved`), and `finish` must
    follow the last one.

    Parameters
    ----------
    part
        The part, empty; an importer adds to its counts.
    marker
        Number of the channel that shows every cell; None where there is none, and every crop
        brings its mask.
    config
        How cells are found in the marker.
    interleaved
        Whether crops of different fields come mixed. Then up to `WINDOWS_PER_FIELD` crops of every
        field are kept until the end. False by default.
    duplicates
        Refuses images that occurred before; by default it knows of none before this chunk.
    shows
        Number of the channel that shows whole cells, by which given masks are judged; `marker` by
        default, and any channel where there is neither.
    unchecked_masks
        Whether masks that do not lie on cells are left unflagged. False by default.
    fit
        How crops are brought to the store's side; None, the default, where they have it.
    """

    def __init__(
        self,
        part: Part,
        marker: int | None,
        config: SegmentationConfig = DEFAULT,
        *,
        interleaved: bool = False,
        duplicates: DuplicateCheck | None = None,
        shows: int | None = None,
        unchecked_masks: bool = False,
        fit: CropFit | None = None,
    ) -> None:
        self.part = part
        self.marker = marker
        self.config = config
        self.interleaved = interleaved
        self.duplicates = duplicates or DuplicateCheck()
        self.shows = marker if marker is not None else shows
        self.unchecked_masks = unchecked_masks
        self.fit = fit
        self._waiting: list[Crop] = []
        self._added = 0
        self._candidates: dict[str, list[tuple[int, int, Crop]]] = {}
        self._windowed: set[str] = set()

    def add(self, crop: Crop, *, compared: bool = False) -> None:
        """Add a crop that has been checked (`compute.importers.tiff.check_crop`).

        Parameters
        ----------
        crop
            The crop.
        compared
            Whether the image that it is from was compared with earlier ones as a whole.

        Raises
        ------
        CropRejected
            The same pixels occurred before.
        """
        if not compared:
            self.duplicates.check(crop.image)
        self._waiting.append(self.fitted(crop))
        if len(self._waiting) == SEGMENTED_AT_ONCE:
            self._flush()

    def fitted(self, crop: Crop) -> Crop:
        """Return a crop brought to the store's side, if it has to be."""
        if self.fit is None:
            return crop
        image, mask, foreground = self.fit.apply(
            crop.image, crop.mask, crop.foreground, self.shows, self.part.counts
        )
        return replace(crop, image=image, mask=mask, foreground=foreground)

    def has_windows(self, field: str) -> None:
        """Make no windows from this field's crops, as its importer has added real ones."""
        self._windowed.add(field)

    def finish(self) -> Part:
        """Add what is waiting and the last field's windows; return the part."""
        self._flush()
        self._write_windows()
        self.part.add_digests(self.duplicates.digests())
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
        given = np.array([crop.mask is not None for crop in crops])
        if given.any():
            known = np.stack([crop.mask for crop in crops if crop.mask is not None])
            # The outline found in the marker is another one; its rim must not pass for a neighbour.
            foregrounds[given] &= ~masks[given] | medium_mask(known, HALO + 1)
            masks[given] = known
        for i, crop in enumerate(crops):
            if crop.foreground is not None:
                foregrounds[i] |= crop.foreground
        foregrounds |= masks
        segmented = sum(crop.segmented or crop.mask is None for crop in crops)
        self.part.counts[GIVEN] += len(crops) - segmented
        self.part.counts[SEGMENTED] += segmented
        found = judge(images, masks, foregrounds, given, self.shows, self.part.counts)
        if not self.unchecked_masks:
            crops = [
                replace(crop, flags=crop.flags | flag)
                for crop, flag in zip(crops, found.tolist(), strict=True)
            ]
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
            candidates.append((int(medium[i]), self._added + i, kept))
            candidates.sort(key=lambda item: (-item[0], item[1]))
            del candidates[WINDOWS_PER_FIELD:]
        self._added += len(crops)

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
