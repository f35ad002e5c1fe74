"""Hand-made features of crops: intensity, texture, layout, and the shape of a mask. Compiled.

Layer: pure arrays, no files. Every number is of one crop alone: nothing is learned from others, not
even a scale, so each is defined to vary by about 1 or less: logarithms of intensities, and ratios.
What is measured inside a mask never looks at a pixel outside it. Compiled functions that call each
other are in one file, as numba keeps what it compiled until that file changes.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

PERCENTILES = (5, 25, 50, 75, 95, 99)
"""Of a region's intensities, interpolated as `numpy.percentile` does."""

RADII = (1, 2, 4, 8)
"""Radii in pixels of the square means between which bands lie, from fine to coarse."""

OFFSETS = (1, 2, 4)
"""Distances in pixels of the pairs that texture is measured from, in four directions together."""

LEVELS = 8
"""Grey levels of that texture, evenly between percentiles 1 and 99 of the region."""

PAIRS = ("contrast", "homogeneity", "energy", "correlation", "entropy")
"""What is measured of pairs: Haralick et al., IEEE Transactions on Systems, Man and Cybernetics
1973; contrast and entropy as shares of the most there can be."""

PATTERNS = 10
"""Local binary patterns: 0 to 8 neighbours that are as bright, in one run, or not in one (Ojala et
al., IEEE Transactions on Pattern Analysis and Machine Intelligence 2002, uniform; here of the eight
pixels around, without interpolation)."""

RINGS = 6
"""Rings of equal width around the region's centre."""

SHAPE = ("log_area", "eccentricity", "solidity", "roundness")
"""What is measured of a mask: ln of pixels; eccentricity of the ellipse with its second moments;
area over that of its convex hull; 4π area / perimeter², with the perimeter π/4 of its pixels' free
sides."""

OF_CHANNEL = (
    "mean", "deviation", *(f"percentile_{p}" for p in PERCENTILES), "skewness", "kurtosis",
    *(f"band_{r}" for r in RADII), "coarse",
    *(f"{name}_{d}" for d in OFFSETS for name in PAIRS),
    *(f"pattern_{k}" for k in range(PATTERNS)),
    *(f"ring_{k}" for k in range(1, RINGS + 1)),
    "off_centre", "spread", "elongation",
)  # fmt: skip
"""What is measured of each channel in a region, in order.

Intensities and their deviation as sign(v) ln(1 + |v|); so is the skewness; kurtosis as ln(m4/m2²).
Bands: deviation of what one square mean keeps and the next does not, as a share of all deviation;
`coarse` is what the widest keeps. Patterns: square roots of shares. Rings: their mean above the
region's, in deviations. `off_centre`, `spread`, `elongation`: of the light above percentile 5, how
far its centroid is from the region's, how far it is spread around that (both as shares of the
farthest pixel's distance), and its eccentricity.
"""

_PER = len(OF_CHANNEL)


def feature_names(channels: Sequence[str], inside: bool) -> list[str]:
    """Name the numbers of `measure_crops`, for channels of these names, whole or inside masks."""
    names = [f"{channel}_{name}" for channel in channels for name in OF_CHANNEL]
    names += [
        f"correlation_{one}_{other}"
        for k, one in enumerate(channels)
        for other in channels[k + 1 :]
    ]
    return names + [f"mask_{name}" for name in (SHAPE if inside else ())]


def measure_crops(
    images: NDArray[np.float32], masks: Booleans | None = None
) -> NDArray[np.float32]:
    """Measure crops, whole or inside masks.

    Parameters
    ----------
    images
        Raw intensities, shape (N, C, H, W).
    masks
        Where to measure, shape (N, H, W); None, the default, for whole crops.

    Returns
    -------
    ndarray
        float32, shape (N, D): 49 numbers of each channel (`OF_CHANNEL`), the correlation of every
        two channels, and with masks 4 of their shape (`SHAPE`). Without a pixel in the mask all
        are 0.
    """
    n, channels, height, width = images.shape
    pairs = channels * (channels - 1) // 2
    size = channels * _PER + pairs + (0 if masks is None else len(SHAPE))
    found = np.zeros((n, size), np.float32)
    if masks is None:
        whole = np.ones((1, height, width), np.bool_)
        _measure(images, whole, False, found)
    else:
        _measure(images, np.ascontiguousarray(masks), True, found)
    return found


@njit(nogil=True, cache=True)
def _measure(
    images: NDArray[np.float32], masks: Booleans, inside: bool, found: NDArray[np.float32]
) -> None:
    """Fill `found`, shape (N, D); one mask may stand for all crops."""
    n, channels = images.shape[:2]
    for i in range(n):
        region = masks[i if inside else 0]
        rows, columns = np.nonzero(region)
        if len(rows) == 0:
            continue
        centre_y, centre_x = rows.mean(), columns.mean()
        away = np.sqrt((rows - centre_y) ** 2 + (columns - centre_x) ** 2)
        away /= max(away.max(), 1e-9)
        values = np.empty((channels, len(rows)))
        for c in range(channels):
            for p in range(len(rows)):
                values[c, p] = images[i, c, rows[p], columns[p]]
            out = found[i, c * _PER : (c + 1) * _PER]
            _measure_channel(values[c], region, rows, columns, away, out)
        at = channels * _PER
        for c in range(channels):
            for d in range(c + 1, channels):
                found[i, at] = _correlation(values[c], values[d])
                at += 1
        if inside:
            _measure_shape(region, rows, columns, found[i, at:])


@njit(nogil=True, cache=True)
def _measure_channel(
    values: Floats, region: Booleans, rows: NDArray[np.int64], columns: NDArray[np.int64],
    away: Floats, out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Measure one channel: intensity, bands, pairs, patterns, rings and the layout of light.

    Parameters
    ----------
    values
        Intensities of the region's P pixels, shape (P,).
    region
        The region, shape (H, W).
    rows, columns
        Where its pixels are, shape (P,).
    away
        Their distance from its centre, the farthest at 1; shape (P,).
    out
        Filled, as `OF_CHANNEL` says.
    """
    count = len(values)
    mean = values.mean()
    centred = values - mean
    second = (centred * centred).mean()
    deviation = np.sqrt(second)
    ordered = np.sort(values)
    out[0], out[1] = _signed_log(mean), _signed_log(deviation)
    at = 2
    for percentile in PERCENTILES:
        out[at] = _signed_log(_percentile(ordered, percentile))
        at += 1
    # Rounding alone is no contrast.
    if deviation <= 1e-6 * max(abs(mean), 1e-30):
        return
    out[at] = _signed_log((centred**3).mean() / deviation**3)
    out[at + 1] = np.log((centred**4).mean() / second**2)
    at += 2
    image = np.zeros(region.shape)
    for p in range(count):
        image[rows[p], columns[p]] = centred[p]
    _measure_bands(image, region, rows, columns, deviation, out[at : at + len(RADII) + 1])
    at += len(RADII) + 1
    low, high = _percentile(ordered, 1.0), _percentile(ordered, 99.0)
    level = np.full(region.shape, -1, np.int64)
    for p in range(count):
        share = (values[p] - low) / (high - low) if high > low else 0.0
        level[rows[p], columns[p]] = min(max(int(share * LEVELS), 0), LEVELS - 1)
    for offset in OFFSETS:
        _measure_pairs(level, offset, out[at : at + len(PAIRS)])
        at += len(PAIRS)
    _measure_patterns(image, region, rows, columns, out[at : at + PATTERNS])
    at += PATTERNS
    _measure_rings(centred / deviation, away, out[at : at + RINGS])
    at += RINGS
    floor = _percentile(ordered, 5.0)
    _measure_layout(np.maximum(values - floor, 0.0), rows, columns, away, out[at:])


@njit(nogil=True, cache=True)
def _signed_log(value: float) -> float:
    """Return sign(v) ln(1 + |v|), which also takes what is below 0 after a subtraction."""
    return float(np.sign(value) * np.log1p(abs(value)))


@njit(nogil=True, cache=True)
def _percentile(ordered: Floats, percentile: float) -> float:
    """Return a percentile of sorted values, interpolated."""
    place = percentile / 100 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


@njit(nogil=True, cache=True)
def _measure_bands(
    image: Floats, region: Booleans, rows: NDArray[np.int64], columns: NDArray[np.int64],
    deviation: float, out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Measure how much of an image, 0 outside its region, lies in bands of ever coarser detail."""
    height, width = image.shape
    sums, counts = np.zeros((2, height + 1, width + 1))
    for y in range(height):
        of_row, there = 0.0, 0.0
        for x in range(width):
            of_row += image[y, x]
            there += region[y, x]
            sums[y + 1, x + 1] = sums[y, x + 1] + of_row
            counts[y + 1, x + 1] = counts[y, x + 1] + there
    total = len(rows)
    finer = np.empty(total)
    for p in range(total):
        finer[p] = image[rows[p], columns[p]]
    coarser = np.empty(total)
    for k in range(len(RADII)):
        radius = RADII[k]
        for p in range(total):
            top, bottom = max(rows[p] - radius, 0), min(rows[p] + radius + 1, height)
            left, right = max(columns[p] - radius, 0), min(columns[p] + radius + 1, width)
            light = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
            seen = (
                counts[bottom, right]
                - counts[top, right]
                - counts[bottom, left]
                + counts[top, left]
            )
            coarser[p] = light / seen
        out[k] = (finer - coarser).std() / deviation
        finer[:] = coarser
    out[len(RADII)] = finer.std() / deviation


@njit(nogil=True, cache=True)
def _measure_pairs(level: NDArray[np.int64], offset: int, out: NDArray[np.float32]) -> None:
    """Measure pairs of pixels at a distance, of grey levels that are −1 outside the region."""
    height, width = level.shape
    share = np.zeros((LEVELS, LEVELS))
    for down, right in ((0, offset), (offset, 0), (offset, offset), (offset, -offset)):
        for y in range(height - down):
            for x in range(max(-right, 0), width - max(right, 0)):
                one, other = level[y, x], level[y + down, x + right]
                if one >= 0 and other >= 0:
                    share[one, other] += 1
                    share[other, one] += 1
    total = share.sum()
    if total == 0:
        return
    share /= total
    mean = variance = covariance = contrast = homogeneity = energy = entropy = 0.0
    for a in range(LEVELS):
        mean += a * share[a].sum()
    for a in range(LEVELS):
        for b in range(LEVELS):
            value = share[a, b]
            apart = float((a - b) ** 2)
            contrast += value * apart
            homogeneity += value / (1 + apart)
            energy += value * value
            variance += value * (a - mean) ** 2
            covariance += value * (a - mean) * (b - mean)
            if value > 0:
                entropy -= value * np.log(value)
    out[0] = contrast / (LEVELS - 1) ** 2
    out[1] = homogeneity
    out[2] = np.sqrt(energy)
    out[3] = covariance / variance if variance > 0 else 0.0
    out[4] = entropy / np.log(LEVELS * LEVELS)


@njit(nogil=True, cache=True)
def _measure_patterns(
    image: Floats, region: Booleans, rows: NDArray[np.int64], columns: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Count local binary patterns of the pixels whose eight neighbours are all in the region."""
    height, width = image.shape
    down = (-1, -1, -1, 0, 1, 1, 1, 0)
    right = (-1, 0, 1, 1, 1, 0, -1, -1)
    bright, counts, total = np.zeros(8, np.bool_), np.zeros(PATTERNS), 0
    for p in range(len(rows)):
        y, x = rows[p], columns[p]
        if not (0 < y < height - 1 and 0 < x < width - 1):
            continue
        whole = True
        for k in range(8):
            whole = whole and region[y + down[k], x + right[k]]
            bright[k] = image[y + down[k], x + right[k]] >= image[y, x]
        if not whole:
            continue
        changes = ones = 0
        for k in range(8):
            ones += bright[k]
            changes += bright[k] != bright[k - 1]
        counts[ones if changes <= 2 else PATTERNS - 1] += 1
        total += 1
    if total:
        for k in range(PATTERNS):
            out[k] = np.sqrt(counts[k] / total)


@njit(nogil=True, cache=True)
def _measure_rings(scaled: Floats, away: Floats, out: NDArray[np.float32]) -> None:
    """Average values in rings of equal width; 0 where a ring has no pixel."""
    total, counts = np.zeros(RINGS), np.zeros(RINGS)
    for p in range(len(scaled)):
        ring = min(int(away[p] * RINGS), RINGS - 1)
        total[ring] += scaled[p]
        counts[ring] += 1
    for ring in range(RINGS):
        if counts[ring]:
            out[ring] = total[ring] / counts[ring]


@njit(nogil=True, cache=True)
def _measure_layout(
    light: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64], away: Floats,
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Measure where light lies: off the region's centre, how far spread, how elongated."""
    total = light.sum()
    if total <= 0:
        return
    own_y, own_x = rows.mean(), columns.mean()
    y, x = (light * rows).sum() / total, (light * columns).sum() / total
    reach = max(np.sqrt(((rows - own_y) ** 2 + (columns - own_x) ** 2).max()), 1e-9)
    out[0] = np.sqrt((y - own_y) ** 2 + (x - own_x) ** 2) / reach
    out[1] = np.sqrt((light * away * away).sum() / total)
    yy = (light * (rows - y) ** 2).sum() / total
    xx = (light * (columns - x) ** 2).sum() / total
    xy = (light * (rows - y) * (columns - x)).sum() / total
    out[2] = _eccentricity(yy, xx, xy)


@njit(nogil=True, cache=True)
def _eccentricity(yy: float, xx: float, xy: float) -> float:
    """Return the eccentricity of the ellipse with these second moments; 0 of a single point."""
    middle, half = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + xy * xy)
    long = middle + half
    return float(np.sqrt(max(1 - (middle - half) / long, 0.0))) if long > 0 else 0.0


@njit(nogil=True, cache=True)
def _correlation(one: Floats, other: Floats) -> float:
    """Return Pearson's correlation; 0 where either is constant."""
    a, b = one - one.mean(), other - other.mean()
    spread = np.sqrt((a * a).sum() * (b * b).sum())
    flat = 1e-12 * len(one) * max(abs(one.mean() * other.mean()), 1e-60)
    return float((a * b).sum() / spread) if spread > flat else 0.0


@njit(nogil=True, cache=True)
def _measure_shape(
    region: Booleans, rows: NDArray[np.int64], columns: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """Measure a mask, as `SHAPE` says."""
    height, width = region.shape
    area = len(rows)
    # A pixel is a square: along each side it has a second moment of 1/12 of its own.
    yy, xx = rows.var() + 1 / 12, columns.var() + 1 / 12
    xy = ((rows - rows.mean()) * (columns - columns.mean())).mean()
    sides = 0
    for p in range(area):
        y, x = rows[p], columns[p]
        sides += y == 0 or not region[y - 1, x]
        sides += y == height - 1 or not region[y + 1, x]
        sides += x == 0 or not region[y, x - 1]
        sides += x == width - 1 or not region[y, x + 1]
    out[0] = np.log(area)
    out[1] = _eccentricity(yy, xx, xy)
    out[2] = area / _hull_area(rows, columns)
    out[3] = 4 * np.pi * area / (sides * np.pi / 4) ** 2


@njit(nogil=True, cache=True)
def _hull_area(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> float:
    """Return the area of the convex hull of pixels, each a square; `rows` ascend."""
    first, last = rows[0], rows[-1] + 1
    # Of each line between rows of pixels, the outermost corners on it.
    left = np.full(last - first + 1, np.inf)
    right = np.full(last - first + 1, -np.inf)
    for p in range(len(rows)):
        for line in (rows[p] - first, rows[p] - first + 1):
            left[line] = min(left[line], columns[p])
            right[line] = max(right[line], columns[p] + 1)
    return _under_chain(right) + _under_chain(-left)


@njit(nogil=True, cache=True)
def _under_chain(edge: Floats) -> float:
    """Integrate the least concave function above values at 0, 1, 2 …; −inf where there is none."""
    kept, count = np.empty(len(edge), np.int64), 0
    for line in range(len(edge)):
        if edge[line] == -np.inf:
            continue
        while count > 1:
            a, b = kept[count - 2], kept[count - 1]
            if (edge[b] - edge[a]) * (line - b) > (edge[line] - edge[b]) * (b - a):
                break
            count -= 1
        kept[count] = line
        count += 1
    area = 0.0
    for k in range(1, count):
        a, b = kept[k - 1], kept[k]
        area += (edge[a] + edge[b]) / 2 * (b - a)
    return area
