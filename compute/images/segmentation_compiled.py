"""The inner loops of `compute.images.segmentation`, compiled: one crop at a time. Pure arrays.

A crop holds a handful of cells, each of some hundred pixels, and is gone through some fifty times.
Array libraries spend most of that time on being called. Here every step works in the box around
one cell. Results are those of the plain steps (SciPy's transforms, scikit-image's watershed,
reconstruction and convex hull) bit by bit; the tests hold the two together. Masks are uint8.

Functions that call each other are in one file, though it is long, as numba keeps what it compiled
until the function's own file changes.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

ROUNDS = 2
"""How often cells are looked for: first everywhere, then in what was left over."""

HALO = 3
"""Width of the halo around a cell, and radius of the smallest cell in what is left over, pixels."""

BINS = 256
"""Bins of brightness among which the threshold of a crop is looked for."""

PLATEAU = 0.75
"""Quantile of a cell's pixels that is its brightness: above vacuoles, below bright spots."""

_x = np.arange(-4, 5)
_GAUSS = np.exp(-0.5 * _x**2) / np.exp(-0.5 * _x**2).sum()
"""Weights of a Gaussian of 1 pixel, to smooth distances, cut at 4 pixels as SciPy's."""

Mask = NDArray[np.uint8]
Labels = NDArray[np.int32]
Values = NDArray[Any]


@njit(nogil=True, cache=True)
def quantile(values: Values, share: float) -> Any:
    """Return a quantile of values, shape (n,), as NumPy does; their order is changed."""
    n = len(values)
    place = (n - 1) * share
    low = int(place)
    first = _select(values, low)
    t = place - low
    if low + 1 >= n:
        return first
    second = values[low + 1]
    for i in range(low + 2, n):
        second = min(second, values[i])
    step = second - first
    if t >= 0.5:
        return second - step * values.dtype.type(1 - t)
    return first + step * values.dtype.type(t)


@njit(nogil=True, cache=True)
def _select(values: Values, k: int) -> Any:
    """Return the value of rank k, bringing lower ones before it and higher ones after."""
    left, right = 0, len(values) - 1
    while right > left:
        a, b, c = values[left], values[(left + right) // 2], values[right]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = left, right
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            right = j
        elif k >= i:
            left = i
        else:
            break
    return values[k]


@njit(nogil=True, cache=True)
def noise_of(raw: NDArray[np.float32]) -> np.float32:
    """Return the median size of differences of diagonal neighbours, shape (H, W) to a number."""
    height, width = raw.shape
    second = np.empty((height - 1) * (width - 1), np.float32)
    for y in range(height - 1):
        for x in range(width - 1):
            by = raw[y + 1, x + 1] - raw[y + 1, x] - raw[y, x + 1] + raw[y, x]
            second[y * (width - 1) + x] = abs(by)
    n = len(second)
    upper = _select(second, n // 2)
    if n % 2:
        return upper
    lower = second[0]
    for i in range(1, n // 2):
        lower = max(lower, second[i])
    return (lower + upper) * np.float32(0.5)


@njit(nogil=True, cache=True)
def otsu(values: Values) -> float:
    """Return Otsu's threshold of float64 values, shape (n,), as scikit-image does."""
    first, last = values.min(), values.max()
    if first == last:
        return float(first)
    span = last - first
    step = span / BINS
    edges = np.empty(BINS + 1)
    for i in range(BINS):
        edges[i] = i * step + first
    edges[BINS] = last
    counts = np.zeros(BINS)
    for value in values:
        place = min(int((value - first) / span * BINS), BINS - 1)
        if value < edges[place]:
            place -= 1
        if place != BINS - 1 and value >= edges[place + 1]:
            place += 1
        counts[place] += 1
    centres = (edges[:-1] + edges[1:]) / 2
    above, means = np.empty(BINS), np.empty(BINS)
    weight, total = 0.0, 0.0
    for i in range(BINS - 1, -1, -1):
        weight += counts[i]
        total += counts[i] * centres[i]
        above[i], means[i] = weight, total / weight
    weight, total = 0.0, 0.0
    best, at = -1.0, 0
    for i in range(BINS - 1):
        weight += counts[i]
        total += counts[i] * centres[i]
        apart = total / weight - means[i + 1]
        # scikit-image counts in 32 bits.
        between = float(np.float32(weight * above[i + 1])) * (apart * apart)
        if between > best:
            best, at = between, i
    return float(centres[at])


@njit(nogil=True, cache=True)
def numbered(found: Mask, corners: bool) -> tuple[Labels, int]:
    """Give connected pieces of a mask numbers from 1, in reading order, as SciPy does.

    Parameters
    ----------
    found
        Shape (H, W), uint8.
    corners
        Whether pixels that only share a corner are connected.

    Returns
    -------
    labels, count
        Int32, shape (H, W), 0 outside of the mask; and how many pieces there are.
    """
    height, width = found.shape
    labels = np.zeros((height, width), np.int32)
    # Provisional number → a lower one of the same piece, or itself.
    parent = np.empty(height * width // 2 + 2, np.int32)
    parent[0] = 0
    many = 0
    for y in range(height):
        row = labels[y]
        above = labels[y - 1] if y else row
        for x in range(width):
            if not found[y, x]:
                continue
            number = row[x - 1] if x else np.int32(0)
            if y:
                first, end = x, x + 1
                if corners:
                    first, end = max(x - 1, 0), min(x + 2, width)
                for i in range(first, end):
                    other = above[i]
                    if other and number and other != number:
                        number = _join(parent, number, other)
                    elif other:
                        number = other
            if number == 0:
                many += 1
                number = np.int32(many)
                parent[many] = number
            row[x] = number
    final = np.zeros(many + 1, np.int32)
    count = 0
    # The first pixel of a piece got its lowest number, so pieces are counted in reading order.
    for number in range(1, many + 1):
        root = parent[number]
        if root == number:
            count += 1
            final[number] = count
        else:
            while parent[root] != root:
                root = parent[root]
            final[number] = final[root]
    for y in range(height):
        for x in range(width):
            labels[y, x] = final[labels[y, x]]
    return labels, count


@njit(nogil=True, cache=True)
def _join(parent: Labels, one: Any, other: Any) -> Any:
    """Make two provisional numbers one piece; return the lowest of it."""
    while parent[one] != one:
        one = parent[one]
    while parent[other] != other:
        other = parent[other]
    low, high = min(one, other), max(one, other)
    parent[high] = low
    return low


@njit(nogil=True, cache=True)
def _combine(padded: Mask, spans: NDArray[np.int64], both: bool) -> Mask:
    """Join a padded mask with itself moved by every pixel of a disk: by and, or by or.

    `spans` are the disk's half widths by row. Values near the rim of the padding are wrong.
    """
    height, width = padded.shape
    flat = padded.reshape(height * width)
    result = flat.copy()
    radius = len(spans) // 2
    reach = radius * width + radius
    n = len(flat) - 2 * reach
    target = result[reach : reach + n]
    for dy in range(-radius, radius + 1):
        span = spans[dy + radius]
        for dx in range(-span, span + 1):
            source = flat[reach + dy * width + dx : reach + dy * width + dx + n]
            if both:
                for i in range(n):
                    target[i] &= source[i]
            else:
                for i in range(n):
                    target[i] |= source[i]
    return result.reshape(height, width)


@njit(nogil=True, cache=True)
def _pad(found: Mask, pad: int, open_sides: tuple[bool, bool, bool, bool]) -> Mask:
    """Pad a mask: with its outermost pixels where a side is open, else with 0."""
    height, width = found.shape
    top, bottom, left, right = open_sides
    padded = np.zeros((height + 2 * pad, width + 2 * pad), np.uint8)
    for y in range(height):
        row = padded[y + pad]
        row[pad : pad + width] = found[y]
        if left and found[y, 0]:
            row[:pad] = 1
        if right and found[y, width - 1]:
            row[pad + width :] = 1
    for y in range(pad):
        if top:
            padded[y] = padded[pad]
        if bottom:
            padded[pad + height + y] = padded[pad + height - 1]
    return padded


@njit(nogil=True, cache=True)
def _opened(found: Mask, spans: NDArray[np.int64], open_sides: Any) -> Mask:
    """Trim what is thinner than a disk; cells go on beyond the open sides, those of the crop."""
    height, width = found.shape
    pad = len(spans) - 1
    if pad == 0:
        return found
    eroded = _combine(_pad(found, pad, open_sides), spans, True)
    return _combine(eroded, spans, False)[pad : pad + height, pad : pad + width].copy()


@njit(nogil=True, cache=True)
def _cleaned(found: Mask, spans: NDArray[np.int64], largest_hole: int, open_sides: Any) -> Mask:
    """Fill holes up to a size, in pixels, and trim what is thinner than the disk.

    The mask is that of the whole crop or of a box around all that is in it, so that what reaches
    the box's rim is no hole.
    """
    height, width = found.shape
    holes, count = numbered(1 - found, False)
    sizes = np.zeros(count + 1, np.int64)
    for y in range(height):
        inner = 0 < y < height - 1
        for x in range(width):
            # What reaches the rim is larger than any hole.
            sizes[holes[y, x]] += 1 if inner and 0 < x < width - 1 else height * width
    filled = found.copy()
    for y in range(height):
        for x in range(width):
            hole = holes[y, x]
            if hole and sizes[hole] <= min(largest_hole, height * width - 1):
                filled[y, x] = 1
    return _opened(filled, spans, open_sides)


@njit(nogil=True, cache=True)
def _distances(found: Mask) -> NDArray[np.float64]:
    """Return the distance of each pixel of a mask to the next one outside of it, as SciPy does."""
    height, width = found.shape
    result = np.zeros((height, width), np.float64)
    far = 2 * (height + width)
    # Steps to the next pixel outside in the same column, from above, then from below too.
    steps = np.empty((height, width), np.int64)
    least = far
    for y in range(height):
        for x in range(width):
            before = steps[y - 1, x] if y else far
            steps[y, x] = before + 1 if found[y, x] else 0
    for y in range(height - 1, -1, -1):
        for x in range(width):
            if y < height - 1:
                steps[y, x] = min(steps[y, x], steps[y + 1, x] + 1)
            least = min(least, steps[y, x])
    if least > 0:  # SciPy then measures from the pixel above the first one.
        for y in range(height):
            for x in range(width):
                result[y, x] = np.sqrt(float((y + 1) * (y + 1) + x * x))
        return result
    # Beyond both ends of a row nothing is near.
    squares = np.full(3 * width, far * far, np.int64)
    middle = squares[width : 2 * width]
    for y in range(height):
        for x in range(width):
            middle[x] = steps[y, x] * steps[y, x]
        for x in range(width):
            best = middle[x]
            k = 1
            while k * k < best and k < width:
                beside = min(squares[width + x - k], squares[width + x + k])
                best = min(best, beside + k * k)
                k += 1
            result[y, x] = np.sqrt(float(best))
    return result


@njit(nogil=True, cache=True)
def _blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth by a Gaussian of 1 pixel, with the outermost values going on beyond the edge."""
    height, width = values.shape
    reach = len(_GAUSS) // 2
    line = np.empty(max(height, width) + 2 * reach)
    down, result = np.empty_like(values), np.empty_like(values)
    padded = np.empty((height + 2 * reach, width))
    for y in range(height + 2 * reach):
        padded[y] = values[min(max(y - reach, 0), height - 1)]
    for y in range(height):
        row = down[y]
        middle = padded[y + reach]
        for x in range(width):
            row[x] = middle[x] * _GAUSS[reach]
        for k in range(reach):
            above, below, weight = padded[y + k], padded[y + 2 * reach - k], _GAUSS[k]
            for x in range(width):
                row[x] += (above[x] + below[x]) * weight
    for y in range(height):
        line[:reach] = down[y, 0]
        line[reach : reach + width] = down[y]
        line[reach + width : width + 2 * reach] = down[y, width - 1]
        for x in range(width):
            total = line[x + reach] * _GAUSS[reach]
            for k in range(reach):
                total += (line[x + k] + line[x + 2 * reach - k]) * _GAUSS[k]
            result[y, x] = total
    return result


@njit(nogil=True, cache=True)
def _levelled(peaks: NDArray[np.float64], depth: float) -> NDArray[np.float64]:
    """Cut `depth` off each peak: morphological reconstruction from what is so much lower."""
    height, width = peaks.shape
    # A rim of zeros, so that every pixel has eight neighbours.
    limit = np.zeros((height + 2, width + 2))
    limit[1:-1, 1:-1] = peaks
    level = np.maximum(limit - depth, 0.0)
    changed = True
    while changed:
        changed = False
        for way in range(2):
            for step in range(height):
                y = step + 1 if way == 0 else height - step
                before = level[y - 1] if way == 0 else level[y + 1]
                row, top = level[y], limit[y]
                for k in range(width):
                    x = k + 1 if way == 0 else width - k
                    if row[x] >= top[x]:
                        continue
                    beside = row[x - 1] if way == 0 else row[x + 1]
                    reached = max(max(before[x - 1], before[x]), max(before[x + 1], beside))
                    reached = min(reached, top[x])
                    if reached > row[x]:
                        row[x] = reached
                        changed = True
    return level[1:-1, 1:-1]


@njit(nogil=True, cache=True)
def _flood(height_of: NDArray[np.float64], labels: Labels, allowed: Mask) -> None:
    """Let labels grow into what is allowed, the lowest pixels first, as scikit-image's watershed.

    `height_of` has shape (H, W), `labels` is changed. Pixels of one height come in the order in
    which they were reached; only marks of one height come as the heap has them.
    """
    rows, columns = labels.shape
    pieces, count = numbered(allowed, False)
    # The one label of each piece; -1 where it has several.
    only = np.zeros(count + 1, np.int32)
    for y in range(rows):
        for x in range(columns):
            piece, label = pieces[y, x], labels[y, x]
            if label and only[piece] != label:
                only[piece] = label if only[piece] == 0 else -1
    width = columns + 2
    size = (rows + 2) * width
    free = np.zeros(size, np.uint8)
    label_of = np.zeros(size, np.int32)
    values = np.empty(size)
    contested = np.zeros(size, np.uint8)
    for y in range(rows):
        for x in range(columns):
            at = (y + 1) * width + x + 1
            label_of[at] = labels[y, x]
            free[at] = allowed[y, x] and labels[y, x] == 0
            contested[at] = only[pieces[y, x]] < 0
            values[at] = height_of[y, x]
    marks = np.flatnonzero(label_of)
    # A mark with nothing free beside it does nothing, and a piece with one label needs no order.
    # But such marks have a place in the heap, which decides between marks of one height.
    active = np.empty(len(marks), np.int64)
    waiting = 0
    for at in marks:
        if _beside(free, at, width):
            active[waiting] = at
            waiting += 1
    active = active[:waiting]
    ordered = np.sort(values[active])
    alike = False
    for i in range(1, waiting):
        alike |= ordered[i] == ordered[i - 1]
    if alike:
        active = marks
    else:
        for y in range(rows):
            for x in range(columns):
                if only[pieces[y, x]] > 0:
                    labels[y, x] = only[pieces[y, x]]
        active = active[contested[active] > 0]
    heap_value, heap_age = np.empty(size), np.empty(size, np.int64)
    heap_at = np.empty(size, np.int64)
    n, age = 0, 1
    for at in active:
        n = _push(heap_value, heap_age, heap_at, n, values[at], 0, at)
    while n:
        at, level = heap_at[0], heap_value[0]
        n = _pop(heap_value, heap_age, heap_at, n)
        for step in (-width, -1, 1, width):
            beside = at + step
            if free[beside]:
                free[beside] = 0
                label_of[beside] = label_of[at]
                age += 1
                if alike or _beside(free, beside, width):
                    # Never lower than where it came from, or the first to spill takes all.
                    reached = max(values[beside], level)
                    n = _push(heap_value, heap_age, heap_at, n, reached, age, beside)
    for y in range(rows):
        for x in range(columns):
            if alike or only[pieces[y, x]] < 0:
                labels[y, x] = label_of[(y + 1) * width + x + 1]


@njit(nogil=True, cache=True)
def _beside(free: Mask, at: Any, width: int) -> bool:
    """Whether a pixel beside this one, in a flat image of so many columns, is free."""
    return bool(free[at - width] or free[at - 1] or free[at + 1] or free[at + width])


@njit(nogil=True, cache=True)
def _push(value: Any, age: Any, at: Any, n: int, v: float, a: int, place: Any) -> int:
    child = n
    while child > 0:
        parent = (child + 1) // 2 - 1
        if v < value[parent] or (v == value[parent] and a < age[parent]):
            value[child], age[child], at[child] = value[parent], age[parent], at[parent]
            child = parent
        else:
            break
    value[child], age[child], at[child] = v, a, place
    return n + 1


@njit(nogil=True, cache=True)
def _pop(value: Any, age: Any, at: Any, n: int) -> int:
    n -= 1
    v, a, place = value[n], age[n], at[n]
    i = 0
    while 2 * i + 1 < n:
        left, right, smallest = 2 * i + 1, 2 * i + 2, -1
        least, youngest = v, a
        if value[left] < least or (value[left] == least and age[left] < youngest):
            smallest, least, youngest = left, value[left], age[left]
        if right < n and (
            value[right] < least or (value[right] == least and age[right] < youngest)
        ):
            smallest = right
        if smallest < 0:
            break
        value[i], age[i], at[i] = value[smallest], age[smallest], at[smallest]
        i = smallest
    value[i], age[i], at[i] = v, a, place
    return n


@njit(nogil=True, cache=True)
def _split(found: Mask, depth: float, least: int) -> tuple[Labels, int]:
    """Separate touching cells at their necks, by a watershed on the distance to the edge.

    Of fewer than `least` cells only the seeds are returned.
    """
    distance = _blurred(_distances(found))
    level = _levelled(distance, depth)
    high = found.copy()
    height, width = found.shape
    for y in range(height):
        for x in range(width):
            high[y, x] &= distance[y, x] - level[y, x] >= depth - 1e-6
    seeds, count = numbered(high, True)
    if count >= least:
        _flood(-distance, seeds, found)
    return seeds, count


@njit(nogil=True, cache=True)
def _boxes(labels: Labels, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each label's box (first row, end, first column, end), from label 1, and its area."""
    boxes = np.empty((count + 1, 4), np.int64)
    boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3] = labels.shape[0], 0, labels.shape[1], 0
    areas = np.zeros(count + 1, np.int64)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            number = labels[y, x]
            if number:
                box = boxes[number]
                box[0], box[1] = min(box[0], y), max(box[1], y + 1)
                box[2], box[3] = min(box[2], x), max(box[3], x + 1)
                areas[number] += 1
    return boxes, areas


@njit(nogil=True, cache=True)
def _largest(found: Mask) -> tuple[Mask, int]:
    """Return the largest connected piece, and its area."""
    pieces, count = numbered(found, False)
    sizes = np.zeros(count + 1, np.int64)
    for number in pieces.ravel():
        sizes[number] += 1
    sizes[0] = 0
    best = int(sizes.argmax())
    return ((pieces == best) & (pieces > 0)).astype(np.uint8), sizes[best]


@njit(nogil=True, cache=True)
def _outlined(
    inside: Mask,
    rise: Values,
    core: float,
    spans: NDArray[np.int64],
    largest_hole: int,
    open_sides: Any,
) -> tuple[Mask, int]:
    """Return the cell in a region, cut at a share of its brightness, and its area."""
    height, width = inside.shape
    level = quantile(rise.ravel()[inside.ravel() > 0], PLATEAU)
    least = core * level
    bright = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            bright[y, x] = inside[y, x] and rise[y, x] > least
    cell = _cleaned(bright, spans, largest_hole, open_sides)
    cell &= inside
    return _largest(cell)


@njit(nogil=True, cache=True)
def _hull(cell: Mask) -> Mask:
    """Mark all pixels whose middle is in the convex hull of a cell's pixels, as diamonds.

    In half pixels, so that all is in whole numbers: pixel (y, x) has the corners (2y ± 1, 2x) and
    (2y, 2x ± 1).
    """
    height, width = cell.shape
    rows = 2 * height + 1
    none = 4 * width + 4
    left = np.full(rows, none, np.int64)
    for y in range(height):
        for x in range(width):
            if cell[y, x]:
                left[2 * y + 1] = min(left[2 * y + 1], 2 * x - 1)
                left[2 * y] = min(left[2 * y], 2 * x)
                left[2 * y + 2] = min(left[2 * y + 2], 2 * x)
                break
    right = np.full(rows, none, np.int64)  # mirrored, so that both sides are alike
    for y in range(height):
        for x in range(width - 1, -1, -1):
            if cell[y, x]:
                right[2 * y + 1] = min(right[2 * y + 1], -2 * x - 1)
                right[2 * y] = min(right[2 * y], -2 * x)
                right[2 * y + 2] = min(right[2 * y + 2], -2 * x)
                break
    hull = np.ones((height, width), np.uint8)
    chain = np.empty(rows, np.int64)
    for side in range(2):
        ends = left if side == 0 else right
        n = 0
        for row in range(rows):
            if ends[row] == none:
                continue
            while n > 1:
                a, b = chain[n - 2], chain[n - 1]
                # Whether b lies outside of the line from a to this point.
                if (ends[b] - ends[a]) * (row - a) < (ends[row] - ends[a]) * (b - a):
                    break
                n -= 1
            chain[n] = row
            n += 1
        for y in range(height):
            row = 2 * y + 1
            if n == 0 or row < chain[0] or row > chain[n - 1]:
                hull[y] = 0
        for k in range(n - 1):
            a, b = chain[k], chain[k + 1]
            for row in range(a, b + 1):
                if row % 2 == 0:
                    continue
                y = (row - 1) // 2
                # The line at this row, times b - a.
                line = ends[a] * (b - a) + (ends[b] - ends[a]) * (row - a)
                for x in range(width):
                    middle = 2 * x if side == 0 else -2 * x
                    if middle * (b - a) < line:
                        hull[y, x] = 0
    return hull


@njit(nogil=True, cache=True)
def _sides(box: NDArray[np.int64], height: int, width: int) -> tuple[bool, bool, bool, bool]:
    """Return which sides of a box (top, bottom, left, right) are those of the crop."""
    return box[0] == 0, box[1] == height, box[2] == 0, box[3] == width


@njit(nogil=True, cache=True)
def _add(labels: Labels, cell: Mask, y: int, x: int, count: int) -> int:
    """Give a cell, whose box begins at (y, x), the next number where there is none; return it."""
    number = count
    for j in range(cell.shape[0]):
        for i in range(cell.shape[1]):
            if cell[j, i] and labels[y + j, x + i] == 0:
                labels[y + j, x + i] = count + 1
                number = count + 1
    return number


@njit(nogil=True, cache=True)
def _find(
    left: Mask,
    low: Mask,
    rise: Values,
    labels: Labels,
    count: int,
    settings: tuple[float, float, float, int],
    disk: NDArray[np.int64],
) -> int:
    """Find the cells in what is `left` and give them the next numbers in `labels`."""
    height, width = left.shape
    depth, core, _, smallest = settings
    largest_hole = height * width // 4
    regions, many = _split(left, depth, 1)
    boxes, areas = _boxes(regions, many)
    for number in range(1, many + 1):
        if areas[number] < smallest:
            continue
        y0, y1, x0, x1 = boxes[number]
        inside = (regions[y0:y1, x0:x1] == number).astype(np.uint8)
        light = rise[y0:y1, x0:x1].copy()
        sides = _sides(boxes[number], height, width)
        tight, area = _outlined(inside, light, core, disk, largest_hole, sides)
        if area < smallest:
            continue
        # Outlined at half its brightness, a pair of cells has the neck that its halo hid. Around
        # the box is the room that the smoothed distance reaches into.
        room = len(_GAUSS) // 2
        top, start = min(room, y0), min(room, x0)
        bottom, end = min(room, height - y1), min(room, width - x1)
        roomy = np.zeros((top + y1 - y0 + bottom, start + x1 - x0 + end), np.uint8)
        roomy[top : top + y1 - y0, start : start + x1 - x0] = tight
        pieces, several = _split(roomy, depth, 2)
        if several < 2:
            count = _add_cell(labels, tight, tight, tight, low, y0, x0, count)
            continue
        pieces = pieces[top : top + y1 - y0, start : start + x1 - x0].copy()
        inner, sizes = _boxes(pieces, several)
        for piece in range(1, several + 1):
            if sizes[piece] < smallest:
                continue
            j0, j1, i0, i1 = inner[piece]
            within = (pieces[j0:j1, i0:i1] == piece).astype(np.uint8)
            here = np.array([y0 + j0, y0 + j1, x0 + i0, x0 + i1])
            sides = _sides(here, height, width)
            cell, area = _outlined(
                within, light[j0:j1, i0:i1].copy(), core, disk, largest_hole, sides
            )
            if area >= smallest:
                around = tight[j0:j1, i0:i1].copy()
                count = _add_cell(labels, cell, within, around, low, y0 + j0, x0 + i0, count)
    return count


@njit(nogil=True, cache=True)
def _add_cell(
    labels: Labels, cell: Mask, inside: Mask, tight: Mask, low: Mask, y: int, x: int, count: int
) -> int:
    """Add a cell with what a vacuole at its edge bites out of its outline: cells are convex."""
    hull = _hull(cell)
    for j in range(cell.shape[0]):
        for i in range(cell.shape[1]):
            if hull[j, i] and low[y + j, x + i] and (inside[j, i] or not tight[j, i]):
                cell[j, i] = 1
    return _add(labels, cell, y, x, count)


@njit(nogil=True, cache=True)
def label_cells(
    rise: Values,
    threshold: float,
    settings: tuple[float, float, float, int],
    disks: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> Labels:
    """Find the cells of one crop.

    Parameters
    ----------
    rise
        Smoothed marker above the medium, shape (H, W).
    threshold
        Of the whole crop, under which there is no cell.
    settings
        `seed_depth`, `core`, `edge` and `smallest` of
        `compute.images.segmentation.SegmentationConfig`.
    disks
        Half widths, by row, of the disks that outlines are trimmed with and that what is left over
        is, and of the pixels up to `HALO` and up to `HALO` + 1 away.

    Returns
    -------
    ndarray
        Labels of shape (H, W); 0 is medium.
    """
    height, width = rise.shape
    disk, smallest_left, halo, reach = disks
    smallest = settings[3]
    everywhere = (True, True, True, True)
    low = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            low[y, x] = rise[y, x] > threshold
    low = _cleaned(low, disk, smallest // 2, everywhere)
    labels = np.zeros((height, width), np.int32)
    count = _find(low, low, rise, labels, 0, settings, disk)
    for _ in range(1, ROUNDS):
        # What is dim and fused with something bright was cut away with the bright one's halo.
        left = (low > _near(labels, halo)).astype(np.uint8)
        left = _opened(left, smallest_left, everywhere)
        if not left.any():
            break
        count = _find(left, low, rise, labels, count, settings, disk)
    if count == 0:
        return labels
    return _settled(labels, count, low, rise, settings, disk, reach)


@njit(nogil=True, cache=True)
def _near(labels: Labels, spans: NDArray[np.int64]) -> Mask:
    """Mark the pixels that are within a disk of a label."""
    height, width = labels.shape
    pad = len(spans) // 2
    padded = np.zeros((height + 4 * pad, width + 4 * pad), np.uint8)
    padded[2 * pad : 2 * pad + height, 2 * pad : 2 * pad + width] = labels > 0
    grown = _combine(padded, spans, False)
    return grown[2 * pad : 2 * pad + height, 2 * pad : 2 * pad + width].copy()


@njit(nogil=True, cache=True)
def _settled(
    labels: Labels,
    count: int,
    low: Mask,
    rise: Values,
    settings: tuple[float, float, float, int],
    disk: NDArray[np.int64],
    reach: NDArray[np.int64],
) -> Labels:
    """Let cells grow to their outlines, meeting in the dark valleys between them."""
    height, width = labels.shape
    edge, smallest = settings[2], settings[3]
    grown = labels.copy()
    # The mask may hold more than the labels' reach: what is labelled is in it anyway.
    _flood(-rise, grown, low & _near(labels, reach))
    boxes, areas = _boxes(labels, count)
    wide, _ = _boxes(grown, count)
    settled = np.zeros((height, width), np.int32)
    done = 0
    for number in range(1, count + 1):
        y0, y1 = min(boxes[number, 0], wide[number, 0]), max(boxes[number, 1], wide[number, 1])
        x0, x1 = min(boxes[number, 2], wide[number, 2]), max(boxes[number, 3], wide[number, 3])
        values = np.empty(areas[number])
        n = 0
        for y in range(y0, y1):
            for x in range(x0, x1):
                if labels[y, x] == number:
                    values[n] = rise[y, x]
                    n += 1
        least = edge * quantile(values, PLATEAU)
        cell = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for y in range(y0, y1):
            for x in range(x0, x1):
                cell[y - y0, x - x0] = labels[y, x] == number or (
                    grown[y, x] == number and rise[y, x] > least
                )
        sides = _sides(np.array([y0, y1, x0, x1]), height, width)
        cell = _cleaned(cell, disk, height * width // 4, sides)
        area = 0
        for y in range(y0, y1):
            for x in range(x0, x1):
                cell[y - y0, x - x0] &= grown[y, x] == number or grown[y, x] == 0
                area += cell[y - y0, x - x0]
        if area >= smallest:
            done = _add(settled, cell, y0, x0, done)
    return settled
