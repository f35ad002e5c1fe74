"""Cuts a whole field into crops around its labels and windows where there is no cell. Pure arrays.

Label images seldom hold every cell: dead, dim and odd ones are often left out of them. Such a cell
is no medium, though: it must neither fill a hole nor stand in a window "without cells". So where a
channel shows whole cells, what is bright there without a label counts as a cell too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from compute.images.cell_quality import FAR, SMALLEST_AREA
from compute.images.fill_holes import medium_mask
from compute.images.segmentation_compiled import numbered
from compute.importers.config import CuttingConfig as CuttingConfig

# scikit-image ships it without types.
_otsu: Callable[..., float] = threshold_otsu

_TOUCHING = np.ones((3, 3), bool)

SMALLEST_SHARE = 0.05
"""Area of the smallest cell without a label, in median areas of those with one: a bud, no speck."""

Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cell:
    """One label of a field.

    Parameters
    ----------
    label
        Its number, from 1, as `compute.importers.masks.understand` gives it.
    corner
        First row and column of the crop around its centroid; None where no whole crop fits.
    fragmented
        Whether the label has several components, of which this is the largest.
    """

    label: int
    corner: tuple[int, int] | None
    fragmented: bool


def separate(labels: Labels) -> tuple[Labels, NDArray[np.bool_]]:
    """Keep each label's largest connected component; the others get numbers of their own.

    Components less than three pixels apart, such as a mother and the bud beside it, are one.

    Parameters
    ----------
    labels
        From `compute.importers.masks.understand`: numbered from 1 without gaps, 0 for background.

    Returns
    -------
    separated, fragmented
        Labels, int32, shape (H, W); and whether each of the given labels, from 1, had several
        components, booleans of shape (n,).
    """
    separated = labels.copy()
    boxes = ndimage.find_objects(labels)
    fragmented = np.zeros(len(boxes), bool)
    following = len(boxes) + 1
    for i, box in enumerate(boxes):
        inside = labels[box] == i + 1
        if numbered(inside.view(np.uint8), True)[1] < 2:
            continue
        near = ndimage.binary_dilation(inside, _TOUCHING)
        components, count = numbered(near.view(np.uint8), True)
        if count < 2:
            continue
        components = np.where(inside, components, 0)
        sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
        fragmented[i] = True
        for number in range(1, count + 1):
            if number != int(sizes.argmax()) + 1:
                separated[box][components == number] = following
                following += 1
    return separated, fragmented


def shared_labels(labels: Labels) -> NDArray[np.bool_]:
    """Find the labels that seem to stand for several cells.

    Parameters
    ----------
    labels
        As for `separate`.

    Returns
    -------
    ndarray
        Booleans of shape (n,): whether a label has a further piece of at least half the area of its
        largest one, and of a cell, whose centre is more than that piece's diameter away. A cell
        that another one lies across is in pieces, too, but these are nearer.
    """
    separated, fragmented = separate(labels)
    shared = np.zeros(len(fragmented), bool)
    more = np.arange(len(shared) + 1, int(separated.max(initial=0)) + 1)
    if len(more) == 0:
        return shared
    numbers = np.arange(1, int(more[-1]) + 1)
    areas = np.bincount(separated.ravel(), minlength=len(numbers) + 1)
    places = np.array([(0.0, 0.0), *ndimage.center_of_mass(separated > 0, separated, numbers)])
    whole = np.asarray(ndimage.maximum(labels, separated, more), int)
    apart = np.hypot(*(places[more] - places[whole]).T)
    far = apart > 2 * np.sqrt(areas[whole] / np.pi)
    large = areas[more] >= np.maximum(areas[whole] / 2, SMALLEST_AREA)
    shared[whole[far & large] - 1] = True
    return shared


def find_cells(separated: Labels, fragmented: NDArray[np.bool_], size: int) -> list[Cell]:
    """Find where each label's crop lies.

    Parameters
    ----------
    separated, fragmented
        From `separate`.
    size
        Side of a crop, pixels.

    Returns
    -------
    list of Cell
        In the order of the labels.
    """
    numbers = np.arange(1, len(fragmented) + 1)
    centres = ndimage.center_of_mass(separated > 0, separated, numbers)
    cells = []
    for i, (y, x) in enumerate(centres):
        top, left = (round(float(at) - (size - 1) / 2) for at in (y, x))
        height, width = separated.shape
        fits = 0 <= top <= height - size and 0 <= left <= width - size
        cells.append(Cell(i + 1, (top, left) if fits else None, bool(fragmented[i])))
    return cells


def find_nuclei(channel: NDArray[Any]) -> Mask:
    """Find the bright spots of a channel that shows nuclei, by one threshold (Otsu's).

    Parameters
    ----------
    channel
        Shape (H, W), finite.

    Returns
    -------
    ndarray
        Booleans of shape (H, W).
    """
    smooth = ndimage.gaussian_filter(channel.astype(np.float32), 2.0, mode="nearest")
    return np.asarray(smooth > _otsu(smooth), bool)


def find_unlabelled(
    marker: NDArray[Any], labels: Labels, config: CuttingConfig
) -> tuple[Mask, int] | None:
    """Find cells without a label.

    Parameters
    ----------
    marker
        A channel that shows whole cells, shape (H, W), finite.
    labels
        Numbered cells, 0 for background, shape (H, W).
    config
        Its `cell` and `smallest`.

    Returns
    -------
    cells, count
        Booleans of shape (H, W), and about how many cells they are. None instead of both where
        labelled cells are hardly brighter than the rest, so that the marker shows nothing.
    """
    labelled = labels > 0
    areas = np.bincount(labels.ravel())[1:]
    median_area = float(np.median(areas[areas > 0])) if labelled.any() else 0.0
    smooth = ndimage.gaussian_filter(marker.astype(np.float32), 1.0, mode="nearest")
    away = medium_mask(labelled, 2 * FAR)
    outside = smooth[away] if away.mean() > 0.01 else smooth[~labelled]
    if outside.size == 0:
        return None
    medium, noise = _centre_and_spread(outside)
    contrast = float(np.median(smooth[labelled])) - medium
    if contrast <= 10 * noise:
        return None
    # Labelled cells' own haloes reach 3 pixels far at the brightness of a dim cell.
    cells = (smooth > medium + max(config.cell * contrast, 5 * noise)) & medium_mask(labelled, 3)
    cells = ndimage.binary_opening(cells, iterations=2)
    components, count = ndimage.label(cells, _TOUCHING)
    least = max(config.smallest, SMALLEST_SHARE * median_area)
    large = np.bincount(components.ravel(), minlength=count + 1) >= least
    large[0] = False
    return large[components], int(large.sum())


def find_traces(image: NDArray[Any], occupied: Mask, config: CuttingConfig) -> Mask:
    """Find spots that are brighter than the medium around them in any channel.

    Parameters
    ----------
    image
        Shape (C, H, W); channels that are not finite are left out.
    occupied
        Every cell, shape (H, W).
    config
        Its `trace`.

    Returns
    -------
    ndarray
        Booleans of shape (H, W).
    """
    away = medium_mask(occupied, FAR)
    traces = np.zeros(occupied.shape, bool)
    if away.mean() < 0.01:
        return traces
    weight = np.maximum(_local_mean(away.astype(np.float32)), 1e-3)
    for channel in image:
        if not np.isfinite(channel).all():
            continue
        values = channel.astype(np.float32)
        level = float(np.median(values[away]))
        around = _local_mean(np.where(away, values - level, 0)) / weight
        rest = ndimage.gaussian_filter(values - level, 2.0, mode="nearest") - around
        medium, noise = _centre_and_spread(rest[away])
        traces |= rest > medium + max(config.trace * noise, 1e-3 * float(np.ptp(values)))
    return traces


def place_windows(
    occupied: Mask, traces: Mask | None, config: CuttingConfig, seed: int
) -> list[tuple[int, int]]:
    """Choose windows without cells at random, apart from each other as far as there is room.

    Parameters
    ----------
    occupied
        Every cell, shape (H, W); windows keep `config.margin` from it.
    traces
        What windows must not hold, shape (H, W).
    config
        Its `size`, `windows`, `margin` and `seed`.
    seed
        This field's seed, used together with that of `config`.

    Returns
    -------
    list of tuple
        First row and column of each window, at most `config.windows`. Windows overlap, by half a
        side at most in one direction, only where there is no more room.
    """
    size = config.size
    taken = ~medium_mask(occupied, config.margin)
    if traces is not None:
        taken |= traces
    height, width = taken.shape
    if height < size or width < size or config.windows == 0:
        return []
    sums = np.zeros((height + 1, width + 1), np.int64)
    sums[1:, 1:] = taken.cumsum(0).cumsum(1)
    covered = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    free = covered == 0
    rng = np.random.default_rng((config.seed, seed))
    chosen: list[tuple[int, int]] = []
    for apart in (size, (size + 1) // 2):
        room = free.copy()
        for y, x in chosen:
            _exclude(room, y, x, apart)
        while len(chosen) < config.windows:
            places = np.flatnonzero(room)
            if len(places) == 0:
                break
            place = int(places[rng.integers(len(places))])
            y, x = divmod(place, room.shape[1])
            chosen.append((y, x))
            _exclude(room, y, x, apart)
    return chosen


def window_at(corner: tuple[int, int], size: int) -> tuple[slice, slice]:
    """Return the rows and columns of a crop of side `size` whose first pixel is at `corner`."""
    return slice(corner[0], corner[0] + size), slice(corner[1], corner[1] + size)


def _centre_and_spread(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the median and, from the median absolute deviation, the standard deviation."""
    medium = float(np.median(values))
    return medium, 1.4826 * float(np.median(np.abs(values - medium)))


def _local_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return averages over a neighbourhood of a few cells, which follow uneven light."""
    once = ndimage.uniform_filter(values, 61, mode="nearest")
    return np.asarray(ndimage.uniform_filter(once, 61, mode="nearest"), np.float32)


def _exclude(room: Mask, y: int, x: int, apart: int) -> None:
    """Mark, in place, as taken where a window would lie less than `apart` from one at (y, x)."""
    room[max(y - apart + 1, 0) : y + apart, max(x - apart + 1, 0) : x + apart] = False
