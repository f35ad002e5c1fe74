"""Finds cells in crops without masks, from a channel that fills the cell. Pure arrays.

A marker in the cytosol (RFP in the yeast collections) shows every cell, but cells of one crop
differ in brightness several-fold, and their haloes run into each other. So no single threshold
fits. A low one finds everything; a watershed on the distance to the edge separates what touches;
each region is outlined at half of its own brightness and separated once more, now that haloes no
longer hide the necks; what that cut away is searched for dim cells; and neighbours meet in the
dark valley between them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compute.errors import InputError, UsageError
from compute.images.cell_quality import by_cell
from compute.images.rescale import resample_image, resample_masks
from compute.images.segmentation_compiled import HALO as HALO
from compute.images.segmentation_compiled import PLATEAU, noise_of, otsu, quantile
from compute.images.segmentation_compiled import label_cells as label_rise


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
    diameter
        Of a usual cell, pixels, 4 to 1000. From `SMALL` to `LARGE` crops are taken as they are;
        beyond, they are resampled so that a cell is `USUAL` across, and the masks back.

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
    diameter: float = 30.0

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
            "diameter": (4, 1000),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(
                    f"Segmentation: {name} = {value} is out of range.",
                    f"Allowed: {low:g} to {high:g}.",
                )

    @property
    def scale(self) -> float:
        """Pixels in which cells are looked for, for one of the crop, along a side."""
        return 1.0 if SMALL <= self.diameter <= LARGE else USUAL / self.diameter


SMALL, USUAL, LARGE = 16.0, 30.0, 60.0
"""Diameters of cells, pixels, that the other defaults fit, and that others are brought to."""

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
    if config.scale != 1 and len(marker):
        planes = resample_image(np.asarray(marker, np.float32), config.scale)
        found = segment(planes, replace(config, diameter=USUAL))
        height, width = marker.shape[1:]
        masks, foregrounds = (resample_masks(one, (height, width)) for one in found)
        return masks, foregrounds | masks
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
    if values.size == 0:
        return
    smoothing = (0, config.smoothing, config.smoothing)
    smooth = ndimage.gaussian_filter(values, smoothing, mode="nearest")
    # A Gaussian averages over 4πσ² pixels.
    averaged = max(1.0, np.sqrt(4 * np.pi) * config.smoothing)
    settings = (config.seed_depth, config.core, config.edge, config.smallest)
    disks = (
        _half_widths(config.opening + 0.3),
        _half_widths(HALO + 0.3),
        _half_widths(HALO),
        _half_widths(HALO + 1),
    )
    for raw, blurred in zip(values, smooth, strict=True):
        noise = float(noise_of(raw)) / 0.6745 / 2 / averaged
        # The lowest 2% of medium lie 2.05 standard deviations of its noise below its mean.
        dark = quantile(blurred.ravel().copy(), 0.02)
        rise = np.maximum((blurred - dark).astype(np.float64) - 2.05 * noise, 0)
        brightest = float(rise.max())
        floor = max(config.contrast * noise, 0.02 * brightest)
        if brightest <= floor:
            yield np.zeros(raw.shape, np.int32)
            continue
        yield label_rise(rise, _threshold(rise, floor), settings, disks)


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


def _threshold(rise: NDArray[np.float64], floor: float) -> float:
    """Return a low threshold for the whole crop, under which there is no cell."""
    height, width = rise.shape
    # Logarithms, because a dim cell beside a bright one would fall to Otsu's dark side.
    threshold = float(np.exp(otsu(np.log(rise + floor / 2).ravel()))) - floor / 2
    # The crop is centred on a cell, so the threshold must leave that one in, however dim.
    y, x = height // 8, width // 8
    middle = rise[height // 2 - y : height // 2 + y, width // 2 - x : width // 2 + x]
    centre = float(quantile(middle.ravel(), PLATEAU)) if middle.size else np.inf
    if centre > floor:
        threshold = min(threshold, 0.25 * centre)
    return max(threshold, floor / 2)


def _half_widths(radius: float) -> NDArray[np.int64]:
    """Return a disk as how far it reaches to both sides, by row, pixels."""
    rows = np.arange(-int(radius), int(radius) + 1)
    return np.sqrt(radius * radius - rows * rows).astype(np.int64)
