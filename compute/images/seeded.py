"""Finds the cells of a whole field around given centres, in a channel that fills them. Pure arrays.

Tables of cells (CellProfiler, DeepProfiler) say where nuclei are, not how far cells reach. Where a
marker is brighter than the medium, every lit pixel belongs to the centre from which the way is
cheapest, where a step across an edge of the marker costs more than one along it (as for
CellProfiler's secondary objects by propagation: Jones, Carpenter, Golland, "Voronoi-based
segmentation of cells on image manifolds", CVBIA 2005, doi:10.1007/11569541_54). A cell reaches at
most `REACH` diameters far.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.graph import MCP_Geometric
from skimage.segmentation import watershed

_otsu: Callable[..., float] = threshold_otsu
_watershed: Callable[..., NDArray[np.int32]] = watershed

REACH = 1.5
"""Farthest a cell reaches from its centre, in diameters of a usual cell: flat cells are long."""

LEAST, MOST = 8.0, 400.0
"""Range of a cell's diameter that is estimated, pixels."""

ELONGATION = 4.0
"""Largest diameter of a cell, by its area, in distances of its centre from its edge (a disc: 2)."""

EDGES = 8.0
"""What a step across the strongest edges of the marker costs more than one where it is even."""

HOLE = 0.25
"""Largest hole that is filled, in areas of a usual cell: a vacuole or nucleus, no medium."""


def lit(marker: NDArray[Any]) -> NDArray[np.bool_]:
    """Find where a marker is brighter than the medium, by Otsu's threshold of its logarithm.

    Parameters
    ----------
    marker
        Shape (H, W), finite.

    Returns
    -------
    ndarray
        Booleans of shape (H, W).
    """
    smooth = ndimage.gaussian_filter(marker.astype(np.float32), 1.0, mode="nearest")
    low = float(np.percentile(smooth, 1))
    spread = float(np.percentile(smooth, 99)) - low
    if spread <= 0:
        return np.zeros(marker.shape, bool)
    logarithm = np.log(np.maximum(smooth - low, 0) + 0.02 * spread)
    return np.asarray(logarithm > _otsu(logarithm), bool)


def estimate_diameter(
    marker: NDArray[Any],
    centres: NDArray[np.float64],
    shown: NDArray[np.bool_] | None = None,
) -> float:
    """Estimate how large a cell is from the lit area that there is for each centre.

    Parameters
    ----------
    marker
        Shape (H, W), finite.
    centres
        x and y, pixels, shape (n, 2), n at least 1.
    shown
        What `lit` has found in the marker; None, the default, has it found here.

    Returns
    -------
    float
        Diameter of a disc of the median area that is nearest to a centre, but no more than
        `ELONGATION` times the median distance of a centre from the dark (so that a table with few
        of a field's cells does not make them large), pixels, `LEAST` to `MOST`.
    """
    found = lit(marker) if shown is None else shown
    # A centre may lie a few pixels off, or in a nucleus that the marker spares.
    depth = ndimage.maximum_filter(ndimage.distance_transform_edt(found), 9)
    depths = depth[_rows_and_columns(found.shape, centres)]
    deep = depths[depths > 1]
    most = ELONGATION * float(np.median(deep)) if len(deep) else MOST
    nearest = _nearest(found.shape, centres)
    areas = np.bincount(nearest[found], minlength=len(centres) + 1)[1:]
    areas = areas[areas > 0]
    diameter = 2 * float(np.sqrt(np.median(areas) / np.pi)) if len(areas) else LEAST
    return float(np.clip(min(diameter, most), LEAST, MOST))


def cells_around(
    marker: NDArray[Any],
    centres: NDArray[np.float64],
    diameter: float,
    shown: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """Find the cell of every centre.

    Parameters
    ----------
    marker
        A channel that is bright inside whole cells, shape (H, W), finite.
    centres
        x and y of one point in each cell, pixels from 0, shape (n, 2); those outside of the field
        are in no cell.
    diameter
        Of a usual cell, pixels.
    shown
        What `lit` has found in the marker; None, the default, has it found here.

    Returns
    -------
    ndarray
        int32, shape (H, W): the number of the centre, from 1, that a pixel belongs to; 0 for medium
        and what is too far from any. A centre in the dark has no cell.
    """
    height, width = marker.shape
    found = lit(marker) if shown is None else shown
    # What is thinner than a twelfth of a cell is noise, a fibre, or glow between cells.
    found = ndimage.binary_opening(found, iterations=max(1, round(diameter / 24)))
    found = _filled(found, HOLE * np.pi * diameter**2 / 4)
    seeds = np.zeros(marker.shape, np.int32)
    y, x = np.ogrid[:height, :width]
    size = max(1.5, diameter / 10)
    for number, (cx, cy) in enumerate(centres, 1):
        if not (0 <= cx < width and 0 <= cy < height):
            continue
        rows = slice(max(0, int(cy - size)), int(cy + size) + 2)
        columns = slice(max(0, int(cx - size)), int(cx + size) + 2)
        near = np.hypot(y[rows] - cy, x[:, columns] - cx) <= size
        part = seeds[rows, columns]
        part[near & (part == 0)] = number
        seeds[min(round(cy), height - 1), min(round(cx), width - 1)] = number
    seeds[~found] = 0
    if not seeds.any():
        return seeds
    smooth = ndimage.gaussian_filter(
        marker.astype(np.float32), max(1.0, diameter / 30), mode="nearest"
    )
    slope = ndimage.gaussian_gradient_magnitude(smooth, 1.0, mode="nearest")
    edge = np.clip(slope / max(float(np.percentile(slope[found], 95)), 1e-12), 0, 1)
    distance = ndimage.distance_transform_edt(seeds == 0)
    reachable = found & (distance <= REACH * diameter)
    # A negative cost is a wall.
    costs = np.where(reachable, 1 + EDGES * edge, -1.0)
    way, _ = MCP_Geometric(costs).find_costs(np.argwhere(seeds > 0).tolist())
    reachable &= np.isfinite(way)
    # Every pixel is flooded from the neighbour that its cheapest way comes from.
    cells = np.asarray(_watershed(way, seeds, mask=reachable, connectivity=2), np.int32)
    return _whole(cells, HOLE * np.pi * diameter**2 / 4)


def cell_around_nucleus(
    light: NDArray[Any], nuclei: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find the cell in the middle of a crop, and all others, around their nuclei.

    Parameters
    ----------
    light
        What is bright inside whole cells, shape (H, W), finite.
    nuclei
        Where nuclei are, shape (H, W).

    Returns
    -------
    mask, foreground
        Booleans of shape (H, W): the cell whose nucleus is in the middle (all False where none is),
        and every cell.
    """
    labels, count = ndimage.label(nuclei)
    height, width = light.shape
    if count == 0:
        return np.zeros(light.shape, bool), np.zeros(light.shape, bool)
    places = np.array(ndimage.center_of_mass(nuclei, labels, range(1, count + 1)))
    centres = places[:, ::-1]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    nearest = int(np.hypot(*(centres - middle).T).argmin())
    if np.hypot(*(centres[nearest] - middle)) > min(height, width) / 4:
        return np.zeros(light.shape, bool), np.asarray(nuclei, bool)
    shown = lit(light)
    cells = cells_around(light, centres, estimate_diameter(light, centres, shown), shown)
    cells = np.where(nuclei, labels, cells)
    return cells == nearest + 1, cells > 0


def _nearest(shape: tuple[int, ...], centres: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the number, from 1, of the centre that is nearest to each pixel."""
    seeds = np.zeros(shape, np.int32)
    seeds[_rows_and_columns(shape, centres)] = np.arange(1, len(centres) + 1)
    places = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    return np.asarray(seeds[tuple(places)], np.int32)


def _rows_and_columns(
    shape: tuple[int, ...], centres: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels of centres, those outside moved to the border."""
    # Clipped before they become whole numbers, which do not reach as far.
    y, x = (
        np.round(np.clip(centres[:, axis], 0, side - 1)).astype(np.int64)
        for axis, side in zip((1, 0), shape, strict=True)
    )
    return y, x


def _filled(found: NDArray[np.bool_], largest: float) -> NDArray[np.bool_]:
    """Fill holes of at most so many pixels."""
    holes, _ = ndimage.label(~found)
    small = np.bincount(holes.ravel()) <= largest
    edge = np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]])
    small[np.unique(edge)] = False
    small[0] = False
    return np.asarray(found | small[holes], bool)


def _whole(cells: NDArray[np.int32], largest_hole: float) -> NDArray[np.int32]:
    """Smooth outlines, keep each cell's largest piece, and fill its small holes."""
    settled = np.zeros_like(cells)
    for number, box in enumerate(ndimage.find_objects(cells), 1):
        if box is None:
            continue
        inside = np.pad(cells[box] == number, 2)
        opened = ndimage.binary_opening(inside)
        pieces, count = ndimage.label(opened if opened.any() else inside)
        if count > 1:
            pieces = pieces == int(np.bincount(pieces.ravel())[1:].argmax()) + 1
        whole = _filled(pieces > 0, largest_hole)[2:-2, 2:-2]
        settled[box][whole & np.isin(cells[box], (0, number))] = number
    return settled
