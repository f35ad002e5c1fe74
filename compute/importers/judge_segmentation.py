"""Judges whether cells can be found in a source's marker, before any crop is stored. No files.

Where a source gives no masks, cells are found in the channel that shows whole cells
(`compute.images.segmentation`). That channel may show something else, such as membranes, fibres or
tissue without medium, in which outlines are as good as drawn by lot. So a sample is looked at
first: how large cells are, whether there is one in the middle of the crops, and whether it stays
the same cell under stricter thresholds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compute.errors import InputError, UsageError
from compute.images.seeded import lit
from compute.images.segmentation import SMALL, SegmentationConfig, segment
from compute.importers.chunks import Chunk, ImportSpec
from compute.importers.config import ENOUGH_JUDGED
from compute.importers.part_builder import Crop, PartBuilder
from compute.store.part import Part

CHUNKS, EACH = 4, 32
"""Chunks at a source's beginning that are looked at, and crops of each, at most."""

STRICTER_CORE, STRICTER_EDGE = 0.7, 0.55
"""Thresholds under which a cell should stay what it is."""

STABLE = 0.6
"""Least median overlap (intersection over union) of a cell with itself under stricter thresholds.
Of yeast with a cytosolic marker it is 0.76 to 0.81, of human nuclei 0.91; of microtubules in human
cells 0.44, of drawn fibres, membranes and random textures 0.00 to 0.30. Membranes around cells of
less than 25 pixels are not told (0.6 to 0.8): where they meet they look like small cells."""

CENTRED = 0.5
"""Least share of crops with a cell in the middle."""

LEAST_SIZE, MOST_SIZE = 0.6, 1.7
"""Range of the median diameter of what is found, by its area, for one of the diameter that was
given. Drawn cells have 1.00 to 1.10, and 0.76 to 1.56 where the diameter given is 40% too large or
30% too small; their nuclei, of 0.35 to 0.45 of their diameter, 0.38 to 0.53, of 0.6 as whole cells
that are given too large: these are not told."""

DIAMETER = 2.2
"""Diameter of a cell in largest distances of its middle from the dark: cells are a little long."""


@dataclass(frozen=True)
class Chosen:
    """How cells are looked for, and what to say of it, in sentences."""

    config: SegmentationConfig
    notes: tuple[str, ...] = ()


class _Sample(PartBuilder):
    """Keeps the crops without masks that a reader adds, and stores nothing."""

    def __init__(self, spec: ImportSpec) -> None:
        super().__init__(Part(spec.format), spec.marker, fit=spec.fit)
        self.planes: list[NDArray[Any]] = []

    def add(self, crop: Crop, *, compared: bool = False) -> None:
        """Keep a crop's marker, if it has no mask."""
        fitted = self.fitted(crop)
        if fitted.mask is None and self.marker is not None and len(self.planes) < EACH:
            self.planes.append(fitted.image[self.marker])


def choose_segmentation(
    spec: ImportSpec, chunks: Iterable[Chunk], diameter: float | None, *, unchecked: bool
) -> Chosen:
    """Find out how cells of a source are to be looked for, or refuse to.

    Parameters
    ----------
    spec
        How the source is read; without a marker nothing is looked for.
    chunks
        The source's.
    diameter
        Of a usual cell, pixels of the store; None estimates it.
    unchecked
        Whether masks are taken unchecked.

    Returns
    -------
    Chosen
        The defaults where every crop has a mask.

    Raises
    ------
    UsageError
        The diameter is out of range.
    InputError
        Cells cannot be found in the marker; says what was seen.
    """
    if diameter is not None and not 4 <= diameter <= 1000:
        raise UsageError(f"--cell-diameter {diameter:g} is out of range.", "Allowed: 4 to 1000.")
    if spec.marker is None:
        return Chosen(SegmentationConfig())
    planes = _sample(spec, chunks)
    if not planes:
        return Chosen(SegmentationConfig())
    marker = np.stack(planes)
    said = diameter is not None
    found = diameter if diameter is not None else estimate_diameter(marker)
    config = replace(SegmentationConfig(), diameter=found)
    name = spec.format.channels[spec.marker]
    if len(planes) >= ENOUGH_JUDGED and not unchecked:
        refuse_unstable(marker, config, name, said=said)
    if config.scale == 1 and not said:
        return Chosen(config)
    how = "as given" if said else "estimated; --cell-diameter says it"
    note = (
        f"Cells without masks were looked for in {name} as cells of about {found:.0f} pixels "
        f"across ({how})."
    )
    return Chosen(config, (note,))


def estimate_diameter(marker: NDArray[Any]) -> float:
    """Estimate how large the cells in the middle of crops are.

    Parameters
    ----------
    marker
        A channel that is bright inside cells, shape (N, H, W), finite, N at least 1.

    Returns
    -------
    float
        Pixels, `SMALL` to 1000, as noise and fibres look like cells that are smaller; the
        segmentation's default where nothing is lit.
    """
    height, width = marker.shape[1:]
    y, x = height // 8, width // 8
    depths = []
    for plane in marker:
        depth = ndimage.distance_transform_edt(lit(plane))
        middle = depth[height // 2 - y : height // 2 + y + 1, width // 2 - x : width // 2 + x + 1]
        if middle.max() > 1:
            depths.append(float(middle.max()))
    if not depths:
        return SegmentationConfig().diameter
    return float(np.clip(DIAMETER * np.median(depths), SMALL, 1000))


def refuse_unstable(
    marker: NDArray[Any], config: SegmentationConfig, name: str, *, said: bool = False
) -> None:
    """Refuse a marker in which no cell is found, or another one under stricter thresholds.

    Where the diameter of cells is given, cells of another size are refused, too: nuclei are found
    as well as cells, and nothing but their size tells them.

    Parameters
    ----------
    marker
        Shape (N, H, W).
    config
        How cells are found.
    name
        The channel's.
    said
        Whether a person has given the diameter; False by default.

    Raises
    ------
    InputError
        Says the share of crops with a cell, or how much of it stays, or how large it is.
    """
    masks, foregrounds = segment(marker, config)
    there = masks.any((1, 2))
    stricter, _ = segment(marker, replace(config, core=STRICTER_CORE, edge=STRICTER_EDGE))
    both = (masks & stricter).sum((1, 2))[there]
    either = (masks | stricter).sum((1, 2))[there]
    overlap = float(np.median(both / np.maximum(either, 1))) if there.any() else 0.0
    if there.mean() >= CENTRED and overlap >= STABLE:
        if said:
            _refuse_sizes(masks[there], config.diameter, name)
        return
    size = f"{config.diameter:.0f} pixels across"
    raise InputError(
        f"Cells cannot be told in {name}: of {len(marker)} crops {there.mean():.0%} have a cell of "
        f"about {size} in the middle, and with stricter thresholds {overlap:.0%} of it stays "
        f"(at least {STABLE:.0%} where a channel fills cells); {foregrounds.mean():.0%} of the "
        "crops are cells.",
        "Give masks; or name the channel that is bright in whole cells and dark between them "
        "(--marker); or say how large a cell is (--cell-diameter, pixels). --unchecked-masks takes "
        "what is found.",
    )


def _refuse_sizes(masks: NDArray[np.bool_], diameter: float, name: str) -> None:
    """Refuse cells, shape (n, H, W), that are far larger or smaller than was said."""
    found = 2 * float(np.sqrt(np.median(masks.sum((1, 2))) / np.pi))
    if LEAST_SIZE * diameter <= found <= MOST_SIZE * diameter:
        return
    seen = "nuclei, or other parts of cells" if found < diameter else "cells that are not separated"
    raise InputError(
        f"What {name} shows is no cell of {diameter:.0f} pixels across, as --cell-diameter says, "
        f"but {found:.0f} across (median of {len(masks)} crops): {seen}?",
        "Name the channel that is bright in whole cells (--marker), or correct --cell-diameter. "
        "--unchecked-masks takes what is found.",
    )


def _sample(spec: ImportSpec, chunks: Iterable[Chunk]) -> Sequence[NDArray[Any]]:
    """Return the marker of some crops without masks, of the source's first chunks."""
    planes: list[NDArray[Any]] = []
    for chunk in islice(chunks, CHUNKS):
        sample = _Sample(spec)
        step = max(1, len(chunk.items) // EACH)
        spec.reader.read(chunk.items[::step], sample)
        planes += sample.planes
    return planes
