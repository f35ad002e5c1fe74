"""How extreme each cell is of its flags: one definition of "worst". Pure arrays, no files.

The flags themselves are set by `compute.images.cell_quality` and, where masks do not lie on cells,
by `compute.images.contrast`; `compute.schema.WORST_FIRST` says in words what is measured here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.images.cell_quality import border_pixels, centre_distances
from compute.images.contrast import contrasts
from compute.schema import CellFlag

Measure = Callable[[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.float64]]
"""Takes images (n, C, H, W), masks and foregrounds (n, H, W); returns (n,), larger where worse."""

NEEDS_PIXELS = (CellFlag.OFF_CELL,)
"""Flags whose measure looks at images; the others need masks alone."""


def _small(
    images: NDArray[Any], masks: NDArray[np.bool_], foregrounds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    return -masks.sum((1, 2)).astype(np.float64)


def _far(
    images: NDArray[Any], masks: NDArray[np.bool_], foregrounds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    return centre_distances(masks)


def _cut(
    images: NDArray[Any], masks: NDArray[np.bool_], foregrounds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    return border_pixels(masks).astype(np.float64)


def _crowded(
    images: NDArray[Any], masks: NDArray[np.bool_], foregrounds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    return (foregrounds | masks).sum((1, 2)).astype(np.float64)


def _unknown(
    images: NDArray[Any], masks: NDArray[np.bool_], foregrounds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    return np.zeros(len(masks))


def _faint(
    images: NDArray[Any], masks: NDArray[np.bool_], foregrounds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    contrast, _ = contrasts(images, masks, foregrounds)
    # In the channel where the cell stands out most; where nothing can be said it is not the worst.
    return -np.nan_to_num(contrast, nan=1.0).max(1)


MEASURES: dict[CellFlag, Measure] = {
    CellFlag.EMPTY_MASK: _small,
    CellFlag.OFF_CENTRE: _far,
    CellFlag.TOUCHES_BORDER: _cut,
    CellFlag.LITTLE_MEDIUM: _crowded,
    CellFlag.NOT_A_CELL: _unknown,
    CellFlag.OFF_CELL: _faint,
}
"""What is measured of each flag; a source's word that something is no cell has no measure."""
