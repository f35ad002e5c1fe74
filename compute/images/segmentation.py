"""Finds cells in crops without masks, from a channel that fills the cell. Pure arrays.

A marker in the cytosol (RFP in the yeast collections) shows every cell, but cells of one crop
differ in brightness several-fold, and their haloes run into each other. So no single threshold
fits. A low one finds everything; a watershed on the distance to the edge separates what touches;
each region is outlined at half of its own brightness and separated once more, now that haloes no
longer hide the necks; what that cut away is searched for dim cells; and neighbours meet in the
dark valley between them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import convex_hull_image, reconstruction
from skimage.segmentation import watershed

from compute.errors import InputError, UsageError
from compute.images.cell_quality import by_cell

# scikit-image ships these without types.
_otsu: Callable[..., float] = threshold_otsu
_hull: Callable[..., NDArray[np.bool_]] = convex_hull_image
_reconstruction: Callable[..., NDArray[np.float64]] = reconstruction
_watershed: Callable[..., NDArray[np.int32]] = watershed


@dataclass(frozen=True)
class SegmentationConfig:
    """How cells are found; the defaults fit yeast of 20 to 50 pixels across.

    Parameters
    ----------
    smoothing
        Standard deviation of the Gaussian that is run over the marker first, pixels, 0 to 10.
    seed_depth
        How much narrower than both cells a neck must be for the watershed to separate them, pixels
        of distance to the edge, above 0, to 20.
    core
        Threshold, between medium (0) and the cell's own brightness (1), at which the necks between
        cells are looked for, 0.1 to 0.9.
    edge
        Threshold, on the same scale, of the final outline, 0.1 to `core`. It is below a half so
        that the mask includes the cell's blur: outlined at a half, 20% of its light is still there
        two pixels outside, at 0.35 12% (means over the crops of `compute.importers.paired_cell`).
    contrast
        Least height of a cell above the medium, multiples of the noise that is left after
        smoothing, 0 to 100.
    smallest
        Area of the smallest cell, pixels, at least 1.
    opening
        Radius of what is trimmed off outlines (haloes, threads of noise), pixels, 0 to 10.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    smoothing: float = 1.5
    seed_depth: float = 0.75
    core: float = 0.5
    edge: float = 0.35
    contrast: float = 4.0
    smallest: int = 40
    opening: int = 2

    def __post_init__(self) -> None:
        """Check the ranges."""
        ranges = {
            "smoothing": (0, 10),
            "seed_depth": (1e-6, 20),
            "core": (0.1, 0.9),
            "edge": (0.1, self.core),
            "contrast": (0, 100),
            "smallest": (1, np.inf),
            "opening": (0, 10),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(
                    f"Segmentation: {name} = {value} is out of range.",
                    f"Allowed: {low:g} to {high:g}.",
                )


ROUNDS = 2
"""How often cells are looked for: first everywhere, then in what was left over."""

HALO = 3
"""Width of the halo around a cell, and radius of the smallest cell in what is left over, pixels."""

DEFAULT = SegmentationConfig()


def segment(
    marker: NDArray[np.generic], config: SegmentationConfig = DEFAULT
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find the centre cell and every cell of each crop.

    Parameters
    ----------
    marker
        A channel that is bright inside cells, shape (N, H, W), finite, any scale and offset.
    config
        How cells are found; the defaults if not given.

    Returns
    -------
    masks, foregrounds
        Booleans of shape (N, H, W): the cell at the centre (all False where there is none), and
        every cell.

    Raises
    ------
    InputError
        The marker is not three-dimensional, or a value is not finite.
    """
    if marker.ndim != 3:
        raise InputError(f"A marker of shape {marker.shape}; expected (crops, height, width).")
    masks = np.zeros(marker.shape, bool)
    foregrounds = np.zeros(marker.shape, bool)
    for i, labels in enumerate(label_cells(marker, config)):
        foregrounds[i] = labels > 0
        centre = centre_label(labels)
        if centre:
            masks[i] = labels == centre
    return masks, foregrounds


def label_cells(
    marker: NDArray[np.generic], config: SegmentationConfig = DEFAULT
) -> Iterator[NDArray[np.int32]]:
    """Find every cell of each crop.

    Parameters
    ----------
    marker, config
        See `segment`.

    Yields
    ------
    ndarray
        A label image per crop, int32, shape (H, W): 0 is medium, cells are numbered from 1.

    Raises
    ------
    InputError
        A value is not finite.
    """
    values = np.asarray(marker, np.float32)
    if not np.isfinite(values).all():
        raise InputError("The marker channel holds values that are not finite.", "Reject them.")
    disk = _disk(config.opening)
    for raw in values:
        yield _label_one(raw, config, disk)


def centre_label(labels: NDArray[np.int32]) -> int:
    """Return the number of the cell at the centre of a label image, or 0 if there is none.

    That is the nearest cell within an eighth of the crop's side (in large crops: of 64 pixels, or
    within the cell's radius), as a vacuole or a rounding of the crop's position may leave the very
    middle uncovered.
    """
    height, width = labels.shape
    here = int(labels[height // 2, width // 2])
    if here:
        return here
    y, x = np.ogrid[:height, :width]
    distance = np.hypot(y + 0.5 - height / 2, x + 0.5 - width / 2)
    distance = np.where(labels > 0, distance, np.inf)
    nearest = np.unravel_index(int(np.argmin(distance)), labels.shape)
    number = int(labels[nearest])
    radius = np.sqrt(np.count_nonzero(labels == number) / np.pi)
    near = distance[nearest] <= by_cell(1 / 8, min(height, width), radius)
    return number if near else 0


def _label_one(
    raw: NDArray[np.float32], config: SegmentationConfig, disk: NDArray[np.bool_]
) -> NDArray[np.int32]:
    smooth = ndimage.gaussian_filter(raw, config.smoothing, mode="nearest")
    noise = _noise(raw, config.smoothing)
    # The lowest 2% of medium lie 2.05 standard deviations of its noise below its mean.
    rise = np.maximum(smooth - np.percentile(smooth, 2) - 2.05 * noise, 0)
    floor = max(config.contrast * noise, 0.02 * float(rise.max()))
    labels = np.zeros(raw.shape, np.int32)
    if rise.max() <= floor:
        return labels
    low = _clean(rise > _threshold(rise, floor), disk, config.smallest // 2)
    left = low
    for _ in range(ROUNDS):
        for _, tight in _outline(_split(left, config.seed_depth), rise, config, disk):
            # Outlined at half its brightness, a pair of cells has the neck that its halo hid.
            regions = _split(tight, config.seed_depth)
            alone = regions.max() < 2
            found = [(tight, tight)] if alone else _outline(regions, rise, config, disk)
            for inside, cell in found:
                # A vacuole at the edge bites into the outline, but cells are convex.
                hull = _hull(cell) & low & (inside | ~tight)
                labels[(cell | hull) & (labels == 0)] = labels.max() + 1
        # What is dim and fused with something bright was cut away with the bright one's halo.
        left = _open(low & (_distance_to(labels > 0) > HALO), _disk(HALO))
        if not left.any():
            break
    return _settle(labels, low, rise, config, disk)


def _settle(
    labels: NDArray[np.int32],
    low: NDArray[np.bool_],
    rise: NDArray[np.float32],
    config: SegmentationConfig,
    disk: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """Let cells grow to their outlines, meeting in the dark valleys between them."""
    reach = low & (_distance_to(labels > 0) <= HALO + 1)
    grown = _watershed(-rise, labels, mask=reach | (labels > 0))
    settled = np.zeros_like(labels)
    for number in range(1, int(labels.max()) + 1):
        before = labels == number
        level = float(np.percentile(rise[before], 75))
        cell = before | ((grown == number) & (rise > config.edge * level))
        cell = _clean(cell, disk, cell.size // 4) & ((grown == number) | (grown == 0))
        if cell.sum() >= config.smallest:
            settled[cell & (settled == 0)] = settled.max() + 1
    return settled


def _distance_to(found: NDArray[np.bool_]) -> NDArray[np.float64]:
    if not found.any():
        return np.full(found.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~found), np.float64)


def _threshold(rise: NDArray[np.float32], floor: float) -> float:
    """Return a low threshold for the whole crop, under which there is no cell."""
    height, width = rise.shape
    # Logarithms, because a dim cell beside a bright one would fall to Otsu's dark side.
    threshold = float(np.exp(_otsu(np.log(rise + floor / 2)))) - floor / 2
    # The crop is centred on a cell, so the threshold must leave that one in, however dim.
    y, x = height // 8, width // 8
    middle = rise[height // 2 - y : height // 2 + y, width // 2 - x : width // 2 + x]
    centre = float(np.percentile(middle, 75)) if middle.size else np.inf
    if centre > floor:
        threshold = min(threshold, 0.25 * centre)
    return max(threshold, floor / 2)


def _noise(raw: NDArray[np.float32], smoothing: float) -> float:
    """Return the noise that is left after smoothing, from differences of diagonal neighbours."""
    second = raw[1:, 1:] - raw[1:, :-1] - raw[:-1, 1:] + raw[:-1, :-1]
    pixel = float(np.median(np.abs(second))) / 0.6745 / 2
    # A Gaussian averages over 4πσ² pixels.
    return pixel / max(1.0, np.sqrt(4 * np.pi) * smoothing)


def _split(found: NDArray[np.bool_], depth: float) -> NDArray[np.int32]:
    """Separate touching cells at their necks, by a watershed on the distance to the edge."""
    distance = ndimage.distance_transform_edt(found)
    distance = ndimage.gaussian_filter(distance, 1.0, mode="nearest")
    domes = distance - _reconstruction(np.maximum(distance - depth, 0), distance)
    seeds = _label(found & (domes >= depth - 1e-6), touching=True)
    return np.asarray(_watershed(-distance, seeds, mask=found), np.int32)


def _outline(
    regions: NDArray[np.int32],
    rise: NDArray[np.float32],
    config: SegmentationConfig,
    disk: NDArray[np.bool_],
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield each region with the cell in it, cut at a share of its brightness, if large enough."""
    for number in range(1, int(regions.max()) + 1):
        inside = regions == number
        if inside.sum() < config.smallest:
            continue
        # The 75th percentile is a cell's plateau: above vacuoles, below bright spots.
        level = float(np.percentile(rise[inside], 75))
        cell = inside & _clean(inside & (rise > config.core * level), disk, inside.size // 4)
        components = _label(cell)
        if components.max() == 0:
            continue
        sizes = np.bincount(components.ravel())[1:]
        if sizes.max() < config.smallest:
            continue
        yield inside, components == int(sizes.argmax()) + 1


def _clean(
    found: NDArray[np.bool_], disk: NDArray[np.bool_], largest_hole: int
) -> NDArray[np.bool_]:
    """Fill holes up to a size, in pixels, and trim what is thinner than the disk."""
    holes = _label(~found)
    sizes = np.bincount(holes.ravel())
    small = sizes <= largest_hole
    edge = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))
    small[edge] = False
    small[0] = False
    return _open(found | small[holes], disk)


def _open(found: NDArray[np.bool_], disk: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # Cells go on beyond the border of the crop, so it must not trim them.
    pad = disk.shape[0]
    padded = np.pad(found, pad, mode="edge")
    return np.asarray(ndimage.binary_opening(padded, disk)[pad:-pad, pad:-pad], bool)


def _label(found: NDArray[np.bool_], touching: bool = False) -> NDArray[np.int32]:
    """Return connected components, from 1; `touching` joins pixels by their corners too."""
    structure = np.ones((3, 3), bool) if touching else None
    labels: NDArray[Any] = ndimage.label(found, structure)[0]
    return np.asarray(labels, np.int32)


def _disk(radius: int) -> NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= (radius + 0.3) ** 2, bool)
