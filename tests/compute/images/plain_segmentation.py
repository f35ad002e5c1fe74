"""The steps of `compute.images.segmentation`, by SciPy and scikit-image: its twin."""

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import convex_hull_image, reconstruction
from skimage.segmentation import watershed

from compute.images.segmentation import DEFAULT
from compute.images.segmentation_compiled import HALO, ROUNDS


def label_plainly(marker, config=DEFAULT):
    """Return the label image of each crop, shape (N, H, W)."""
    disk = _disk(config.opening)
    return [_label_one(raw, config, disk) for raw in np.asarray(marker, np.float32)]


def _label_one(raw, config, disk):
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
                hull = convex_hull_image(cell) & low & (inside | ~tight)
                labels[(cell | hull) & (labels == 0)] = labels.max() + 1
        # What is dim and fused with something bright was cut away with the bright one's halo.
        left = _open(low & (_distance_to(labels > 0) > HALO), _disk(HALO))
        if not left.any():
            break
    return _settle(labels, low, rise, config, disk)


def _settle(labels, low, rise, config, disk):
    """Let cells grow to their outlines, meeting in the dark valleys between them."""
    reach = low & (_distance_to(labels > 0) <= HALO + 1)
    grown = watershed(-rise, labels, mask=reach | (labels > 0))
    settled = np.zeros_like(labels)
    for number in range(1, int(labels.max()) + 1):
        before = labels == number
        level = float(np.percentile(rise[before], 75))
        cell = before | ((grown == number) & (rise > config.edge * level))
        cell = _clean(cell, disk, cell.size // 4) & ((grown == number) | (grown == 0))
        if cell.sum() >= config.smallest:
            settled[cell & (settled == 0)] = settled.max() + 1
    return settled


def _distance_to(found):
    if not found.any():
        return np.full(found.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~found), np.float64)


def _threshold(rise, floor):
    """Return a low threshold for the whole crop, under which there is no cell."""
    height, width = rise.shape
    # Logarithms, because a dim cell beside a bright one would fall to Otsu's dark side.
    threshold = float(np.exp(threshold_otsu(np.log(rise + floor / 2)))) - floor / 2
    # The crop is centred on a cell, so the threshold must leave that one in, however dim.
    y, x = height // 8, width // 8
    middle = rise[height // 2 - y : height // 2 + y, width // 2 - x : width // 2 + x]
    centre = float(np.percentile(middle, 75)) if middle.size else np.inf
    if centre > floor:
        threshold = min(threshold, 0.25 * centre)
    return max(threshold, floor / 2)


def _noise(raw, smoothing):
    """Return the noise that is left after smoothing, from differences of diagonal neighbours."""
    second = raw[1:, 1:] - raw[1:, :-1] - raw[:-1, 1:] + raw[:-1, :-1]
    pixel = float(np.median(np.abs(second))) / 0.6745 / 2
    # A Gaussian averages over 4πσ² pixels.
    return pixel / max(1.0, np.sqrt(4 * np.pi) * smoothing)


def _split(found, depth):
    """Separate touching cells at their necks, by a watershed on the distance to the edge."""
    distance = ndimage.distance_transform_edt(found)
    distance = ndimage.gaussian_filter(distance, 1.0, mode="nearest")
    domes = distance - reconstruction(np.maximum(distance - depth, 0), distance)
    seeds = _label(found & (domes >= depth - 1e-6), touching=True)
    return np.asarray(watershed(-distance, seeds, mask=found), np.int32)


def _outline(regions, rise, config, disk):
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


def _clean(found, disk, largest_hole):
    """Fill holes up to a size, in pixels, and trim what is thinner than the disk."""
    holes = _label(~found)
    sizes = np.bincount(holes.ravel())
    small = sizes <= largest_hole
    edge = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))
    small[edge] = False
    small[0] = False
    return _open(found | small[holes], disk)


def _open(found, disk):
    # Cells go on beyond the border of the crop, so it must not trim them.
    pad = disk.shape[0]
    padded = np.pad(found, pad, mode="edge")
    return np.asarray(ndimage.binary_opening(padded, disk)[pad:-pad, pad:-pad], bool)


def _label(found, touching=False):
    """Return connected components, from 1; `touching` joins pixels by their corners too."""
    structure = np.ones((3, 3), bool) if touching else None
    labels = ndimage.label(found, structure)[0]
    return np.asarray(labels, np.int32)


def _disk(radius):
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= (radius + 0.3) ** 2, bool)
