"""The way from an importer's crops to a store: batches, masks, windows, counts. No file formats.

Crops come one at a time, ordered by field. They are segmented and written in batches, and each
field's crops with the most medium become its windows without cells. Memory holds one batch.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.crops.medium import FAR, medium_mask, windows_from_crops
from compute.crops.quality import LEAST_MEDIUM
from compute.crops.segment import DEFAULT, HALO, SegmentationConfig, segment
from compute.crops.tiff import CropRejected
from compute.crops.writer import CropStoreWriter
from compute.errors import InputError
from compute.schema import UNUSABLE
from compute.store import CropStore

BATCH = 256
"""Crops segmented and written at a time."""

WINDOWS_PER_FIELD = 3
"""Windows without cells made from each field's crops, at most."""

LOOKED_AT = 64
"""Crops whose size decides that of the store: the most common one."""


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


@dataclass(frozen=True)
class ImportReport:
    """What became of a source.

    Parameters
    ----------
    path
        The store.
    found, stored, usable, windows
        Crops in the source, in the store, and without any flag that keeps them out of trials;
        and windows without cells.
    rejections
        `reason`, `count` and `examples` of what was not taken; the counts and `stored` add up
        to `found`.
    notes
        What else a person should know, in sentences.
    filled
        Whether every window was made by filling its cells with medium.
    """

    path: Path
    found: int
    stored: int
    usable: int
    windows: int
    rejections: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    filled: bool = True

    @property
    def rejected(self) -> int:
        """Crops that were not taken."""
        return sum(int(item["count"]) for item in self.rejections)

    def sentences(self) -> list[str]:
        """Say it all, a line each."""
        how = " (filled with medium)" if self.filled else ""
        return [
            f"{self.stored} of {self.found} crops stored in {self.path}; {self.usable} usable, "
            f"{self.windows} windows without cells{how}.",
            *(
                f"Rejected {item['count']}: {item['reason']} (such as {item['examples'][0]})."
                for item in self.rejections
            ),
            *self.notes,
        ]


class Intake:
    """Takes crops one at a time and hands them to a store's writer in batches.

    Crops of a field must come one after another (unless `interleaved`), and `finish` must follow
    the last one, before the writer's block ends.

    Parameters
    ----------
    writer
        The open store.
    marker
        Number of the channel that shows every cell; None where there is none, and every crop
        brings its mask.
    config
        How cells are found in the marker.
    interleaved
        Crops of different fields come mixed: a few crops of every field are kept to the end.
    """

    def __init__(
        self,
        writer: CropStoreWriter,
        marker: int | None,
        config: SegmentationConfig = DEFAULT,
        *,
        interleaved: bool = False,
    ) -> None:
        self.writer = writer
        self.marker = marker
        self.config = config
        self.interleaved = interleaved
        self.taken = 0
        self.proteins: set[str] = set()
        self.fields_without_window = 0
        self._waiting: list[Crop] = []
        self._candidates: dict[str, list[tuple[int, int, Crop]]] = {}
        self._windowed: set[str] = set()

    def take(self, crop: Crop) -> None:
        """Add a crop that has been checked (`compute.crops.tiff.check_crop`)."""
        self._waiting.append(crop)
        self.taken += 1
        self.proteins.add(crop.protein)
        if len(self._waiting) == BATCH:
            self._flush()

    def has_windows(self, field: str) -> None:
        """Make no windows from this field's crops: its importer has added real ones."""
        self._windowed.add(field)

    def finish(self) -> None:
        """Write what is waiting, with the last field's windows."""
        self._flush()
        self._write_windows()

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
        self.writer.add(images, masks, foregrounds, cells)
        medium = medium_mask(foregrounds, FAR).sum((1, 2))
        number = self.taken - len(crops)
        for i, crop in enumerate(crops):
            if not self.interleaved and crop.field not in self._candidates:
                self._write_windows()
            if crop.field in self._windowed or crop.flags & UNUSABLE:
                continue
            candidates = self._candidates.setdefault(crop.field, [])
            # Lighter without its mask, and with the foreground that the window is made by.
            kept = replace(crop, mask=None, foreground=foregrounds[i])
            candidates.append((int(medium[i]), number + i, kept))
            candidates.sort(key=lambda item: (-item[0], item[1]))
            del candidates[WINDOWS_PER_FIELD:]

    def _write_windows(self) -> None:
        """Make every open field's windows from its crops with the most medium."""
        fields, self._candidates = self._candidates, {}
        for candidates in fields.values():
            self._write_field(candidates)

    def _write_field(self, candidates: list[tuple[int, int, Crop]]) -> None:
        enough = [
            (number, crop, crop.foreground)
            for medium, number, crop in candidates
            if crop.foreground is not None and medium >= LEAST_MEDIUM * crop.foreground.size
        ]
        if not enough:
            self.fields_without_window += bool(candidates)
            return
        windows, _ = windows_from_crops(
            np.stack([crop.image for _, crop, _ in enough]),
            np.stack([foreground for _, _, foreground in enough]),
            np.array([number for number, _, _ in enough]),
        )
        first = enough[0][1]
        self.writer.add_windows(
            windows,
            field=first.field,
            protein=first.protein,
            localization=first.localization,
            replicate=first.replicate,
            filled=True,
        )

    def notes(self) -> list[str]:
        """Say what a person should know of the windows."""
        if self.fields_without_window == 0:
            return []
        return [
            f"{self.fields_without_window} field(s) have no window without cells: none of their "
            "crops has enough medium."
        ]


class Repeats:
    """Finds images whose pixels were there before; 8 bytes of each one's hash are kept.

    Parameters
    ----------
    what
        What the images are, for the reason.
    """

    def __init__(self, what: str = "crop") -> None:
        self._what = what
        self._seen: set[int] = set()

    def check(self, image: NDArray[Any]) -> None:
        """Remember an image.

        Parameters
        ----------
        image
            Pixels, any shape.

        Raises
        ------
        CropRejected
            One with the same pixels was checked before.
        """
        digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest()
        number = int.from_bytes(digest, "big")
        if number in self._seen:
            raise CropRejected(f"the same pixels as an earlier {self._what}")
        self._seen.add(number)


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


def report(
    path: Path,
    found: int,
    rejections: Sequence[dict[str, Any]],
    notes: Sequence[str],
    *,
    filled: bool = True,
) -> ImportReport:
    """Sum up a finished store."""
    counts = CropStore(path).meta["counts"]
    return ImportReport(
        path,
        found,
        counts["cells"],
        counts["usable"],
        counts["windows"],
        tuple(rejections),
        tuple(notes),
        filled,
    )
