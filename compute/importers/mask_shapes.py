"""Shapes of numbered cells: outlines filled, parts joined, touching cells separated. Pure arrays.

What `compute.importers.masks` does with a mask whose values it has understood.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import MCP_Geometric
from skimage.segmentation import watershed

from compute.images.cell_quality import SMALLEST_AREA
from compute.images.dilation import grow_square
from compute.images.segmentation_compiled import numbered
from compute.importers.tiff import CropRejected

ENCLOSED = 0.9
"""Least share of a label's rim that lies on one other label of which it is then a part."""

SPECK = 10
"""Pixels below which a piece is no cell, nor the seed of one, beside larger ones."""

SLIVER = 0.05
"""Share of the median area of what lines enclose, below which it is a gap between two lines."""

GAPS = "thin lines that enclose nothing (outlines with gaps?)"
"""Why a mask of lines is refused."""

TOUCHING = np.ones((3, 3), bool)
"""Pixels that touch by a corner are connected."""

_watershed: Callable[..., NDArray[np.int32]] = watershed

Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Filled:
    """Numbered cells of shape (H, W), and whether outlines, or holes, were filled."""

    cells: Labels
    outlines: bool
    holes: bool


def fill(cells: Labels, one_value: bool, largest_hole: float) -> Filled:
    """Fill outlines, and holes that only one cell encloses.

    Parameters
    ----------
    cells
        Numbered, 0 for background, shape (H, W).
    one_value
        Whether all have the same value, so that every region that an outline closes is a cell.
    largest_hole
        Largest area of a hole, in areas of the cell around it.

    Returns
    -------
    Filled
        The cells. An outline is nowhere thicker than 4 pixels and encloses at least half its area.

    Raises
    ------
    CropRejected
        The mask is thin lines that close nothing.
    """
    regions = connected(cells == 0)
    inner = np.ones(int(regions.max()) + 1, bool)
    inner[edge_pixels(regions)] = False
    pieces, owner = cells, np.zeros(len(inner), np.int64)
    if inner[1:].any():
        pieces = connected(cells > 0, corners=True) if one_value else cells
        owner = _owners(pieces, regions, inner)
    if not owner.any():
        if _lines(cells > 0):
            raise CropRejected(GAPS)
        return Filled(cells, False, False)
    thin = _thin(pieces, owner)
    area = np.bincount(pieces.ravel(), minlength=len(thin))
    hole = np.bincount(regions.ravel(), minlength=len(owner)) * (owner > 0)
    room = np.bincount(owner, weights=hole, minlength=len(thin))
    outline = thin & (room >= area / 2) & (area > 0)
    outline[0] = False
    if not outline.any() and _lines(cells > 0):
        raise CropRejected(GAPS)
    closed = outline[owner] & (owner > 0)
    small = (owner > 0) & ~closed & (hole <= largest_hole * area[owner])
    number = np.zeros(len(owner), np.int32)
    value = np.zeros(len(area), np.int32)
    value[pieces] = cells
    number[small] = value[owner[small]]
    if one_value and closed.any():
        closed &= hole >= SLIVER * np.median(hole[closed])
    if one_value:
        number[closed] = int(cells.max()) + 1 + np.arange(int(closed.sum()))
    else:
        number[closed] = owner[closed]
    filled: Labels = np.where(pieces == 0, number[regions], cells).astype(np.int32)
    if closed.any() and one_value:
        # Lines that two cells share go to the nearer one; those that close nothing are left out.
        lines = outline[pieces]
        nearest = ndimage.distance_transform_edt(
            (filled == 0) | lines, return_distances=False, return_indices=True
        )
        filled = renumber(np.where(lines, filled[tuple(nearest)], filled))
    return Filled(filled, bool(closed.any()), bool(small.any()))


def separate_touching(cells: Labels, seeds: NDArray[Any] | None = None) -> tuple[Labels, int]:
    """Separate cells that touch, by a watershed.

    Parameters
    ----------
    cells
        Numbered pieces, shape (H, W).
    seeds
        Such as nuclei, shape (H, W): numbered, one for each cell, or booleans, of which each piece
        is one; every pixel goes to a near one. None, the default, takes the middles of what is
        thick.

    Returns
    -------
    cells, count
        Numbered anew, and how many pieces were separated.
    """
    found = cells > 0
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(found), 1.0)
    if seeds is None:
        width = 2 * int(max(3, np.median(distance[found]))) + 1
        peaks = (distance == ndimage.maximum_filter(distance, width)) & (distance > 1)
    else:
        peaks = seeds
    numbered = seeds is not None and seeds.dtype != bool
    marks = (
        renumber(np.where(found, peaks, 0)) if numbered else connected(peaks & found, corners=True)
    )
    if seeds is not None:
        marks[(np.bincount(marks.ravel()) < SPECK)[marks]] = 0
    # A piece without a seed is a cell as it is; what shares a corner with a seeded one is not.
    pieces = cells if seeds is None else connected(found, corners=True)
    bare = np.setdiff1d(np.unique(pieces), np.append(np.unique(pieces[marks > 0]), 0))
    for number, piece in enumerate(bare, int(marks.max()) + 1):
        marks[pieces == piece] = number
    if seeds is None:
        grown = _watershed(-distance, marks, mask=found)
    else:
        # Every pixel goes to the seed that is nearest to it on a way within the piece.
        way, _ = MCP_Geometric(np.where(found, 1.0, -1.0)).find_costs(np.argwhere(marks > 0))
        grown = _watershed(way, marks, mask=found, connectivity=2)
    apart: Labels = np.asarray(grown, np.int32)
    return apart, int(apart.max()) - len(np.unique(pieces[found]))


def cells_together(found: NDArray[np.bool_], seeds: NDArray[Any]) -> float:
    """Return how many seeds a piece holds on the mean, at least 1.

    Parameters
    ----------
    found
        Where cells are, shape (H, W).
    seeds
        As in `separate_touching`.
    """
    pieces = int(connected(found, corners=True).max())
    inside = np.where(found, seeds, 0)
    count = len(np.unique(inside)) - 1 if seeds.dtype != bool else connected(inside > 0).max()
    return max(1.0, float(count) / max(pieces, 1))


def edge_pixels(values: NDArray[Any]) -> NDArray[Any]:
    """Return the outermost pixels of an image of shape (H, W)."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def connected(found: NDArray[np.bool_], corners: bool = False) -> Labels:
    """Give numbers from 1 to connected pieces; unless `corners`, those that share one are two."""
    labels: Labels = numbered(np.ascontiguousarray(found).view(np.uint8), corners)[0]
    return labels


def cells_of_pieces(found: NDArray[np.bool_]) -> Labels:
    """Give numbers from 1 to connected pieces; specks belong to what they share a corner with."""
    pieces = connected(found)
    large = np.bincount(pieces.ravel()) >= SPECK
    large[0] = False
    if large[1:].all():
        return pieces
    seeds = np.where(large[pieces], pieces, 0)
    grown = np.asarray(_watershed(np.zeros(found.shape), seeds, mask=found, connectivity=2))
    # Specks by themselves stay what they are.
    return renumber(np.where(grown > 0, grown, pieces))


def renumber(cells: Labels) -> Labels:
    """Renumber cells from 1 without gaps, 0 stays 0."""
    there = np.bincount(cells.ravel()) > 0
    there[0] = False
    return np.asarray((there.cumsum() * there)[cells], np.int32)


def enclosing(cells: Labels) -> dict[int, int]:
    """Return which labels lie inside another one, and in which."""
    count = int(cells.max())
    boxes = ndimage.find_objects(cells)
    hosts: dict[int, int] = {}
    found = count > 1
    while found:
        found = False
        for number, box in enumerate(boxes, 1):
            if box is None or number in hosts:
                continue
            grown = tuple(
                slice(max(side.start - 1, 0), min(side.stop + 1, length))
                for side, length in zip(box, cells.shape, strict=True)
            )
            # Whatever lies in it has no say in where it lies itself.
            inner = _descendants(number, hosts)
            inside = np.isin(cells[grown], inner)
            rim = cells[grown][ndimage.binary_dilation(inside, TOUCHING) & ~inside]
            counts = np.bincount(rim, minlength=2)
            host = int(counts[1:].argmax()) + 1
            # What the crop's edge cuts has a shorter rim.
            if counts[host] > 0 and counts[host] >= ENCLOSED * len(rim):
                hosts[number] = host
                found = True
    return hosts


def _descendants(number: int, hosts: dict[int, int]) -> list[int]:
    """Return a label and all that lie inside of it, or in one of these."""
    found = [number]
    for one in found:
        found += [part for part, host in hosts.items() if host == one]
    return found


def merge_rims(cells: Labels) -> Labels:
    """Give one number to all labels that are lines of 1 or 2 pixels: borders, or smoothed edges."""
    areas = np.bincount(cells.ravel())
    boxes = ndimage.find_objects(cells)
    rims = [
        number
        for number, box in enumerate(boxes, 1)
        if box is not None
        and areas[number] >= SPECK
        and _lines(np.pad(cells[box] == number, 1), SPECK)
    ]
    return np.where(np.isin(cells, rims), rims[0], cells).astype(np.int32) if rims else cells


def join_parts(cells: Labels) -> Labels:
    """Join labels that lie inside others to whole cells.

    Parameters
    ----------
    cells
        Numbered, 0 for background, shape (H, W), such as cells and nuclei. One number may stand for
        the same part of every cell.

    Returns
    -------
    ndarray
        Whole cells, numbered anew. Where a piece holds several parts (cells that touch), it is
        separated by these.
    """
    cells = merge_rims(cells)
    hosts = enclosing(cells)
    if not hosts:
        return cells_of_pieces(cells > 0) if cells.max() <= 2 else cells
    root = np.arange(int(cells.max()) + 1)
    for part, host in hosts.items():
        seen = {part}
        while host in hosts and host not in seen:
            seen.add(host)
            host = hosts[host]
        root[part] = host
    whole = root[cells].astype(np.int32)
    inner = (cells > 0) & (root[cells] != cells)
    result = np.zeros_like(cells)
    for number in np.unique(whole[whole > 0]):
        pieces = cells_of_pieces(whole == number)
        apart, _ = separate_touching(pieces, inner & (whole == number))
        result[apart > 0] = apart[apart > 0] + result.max()
    return result


def _owners(pieces: Labels, regions: Labels, inner: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each region of background, by number, the one piece that encloses it, or 0.

    `inner` says of each number whether the region is away from the image's edge.
    """
    owner = np.zeros(len(inner), np.int64)
    for number, box in enumerate(ndimage.find_objects(regions), 1):
        if not inner[number] or box is None:
            continue
        grown = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
        inside = regions[grown] == number
        around = np.unique(pieces[grown][ndimage.binary_dilation(inside) & ~inside])
        if len(around) == 1:
            owner[number] = around[0]
    return owner


def _thin(pieces: Labels, owner: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pieces with holes, by number, are hardly anywhere thicker than 4 pixels."""
    area = np.bincount(pieces.ravel())
    thin = np.zeros(len(area), bool)
    boxes = ndimage.find_objects(pieces)
    for number in np.unique(owner[owner > 0]).tolist():
        inside = np.pad(pieces[boxes[number - 1]] == number, 2)
        # What is left is where all that lies within 2 pixels belongs to the piece.
        core = inside & ~grow_square(~inside, 2)
        thin[number] = core.sum() <= 0.05 * area[number]
    return thin


def _lines(found: NDArray[np.bool_], least: int = SMALLEST_AREA) -> bool:
    """Whether what was found has at least so many pixels, and is at most 2 pixels thick."""
    area, thick = _areas(np.ascontiguousarray(found).view(np.uint8))
    return bool(area >= least and thick <= 0.02 * area)


@njit(nogil=True, cache=True)
def _areas(found: NDArray[np.uint8]) -> tuple[int, int]:
    """Count the pixels of a mask, and those with nothing of the image outside of it beside them."""
    height, width = found.shape
    area = thick = 0
    for y in range(height):
        for x in range(width):
            if found[y, x]:
                area += 1
                whole = True
                for j in range(max(y - 1, 0), min(y + 2, height)):
                    for i in range(max(x - 1, 0), min(x + 2, width)):
                        whole &= found[j, i] != 0
                thick += whole
    return area, thick
