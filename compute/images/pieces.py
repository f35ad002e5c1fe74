"""Parts a crop's neighbours into pieces that can be taken out one at a time. Pure arrays.

A store knows which pixels are of any cell, not which cell each is of. So neighbours that touch each
other are one piece, unless labels are given.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compute.images.distance import steps_from

SPECK = 16
"""Pixels below which a piece is a speck: less than a square of 4 pixels, which is the rim of a mask
or a cell's last corner in the crop."""

_EIGHT = np.ones((3, 3), bool)
"""Corners connect, as in `compute.models.baselines.crowd`."""


def neighbour_pieces(
    mask: NDArray[np.bool_],
    foreground: NDArray[np.bool_],
    labels: NDArray[np.integer[Any]] | None = None,
    speck: int = SPECK,
) -> NDArray[np.int32]:
    """Find the pieces of a crop's neighbours and number them, the nearest first.

    Parameters
    ----------
    mask
        Pixels of the centre cell, shape (H, W).
    foreground
        Pixels of any cell, shape (H, W).
    labels
        Number of the cell that each pixel is of, 0 for none, shape (H, W): touching neighbours are
        then pieces of their own. None, the default, where that is not known.
    speck
        Pieces of fewer pixels are taken together, as the last piece; `SPECK` by default, and with 1
        none is.

    Returns
    -------
    ndarray
        The piece of each pixel from 1, 0 outside of neighbours; int32, shape (H, W). Pieces are
        disjoint and cover `foreground` outside `mask`. They are numbered by the steps from `mask`
        to their nearest pixel, equally near ones in reading order.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.array([[1, 0, 0, 0, 0]], bool)
    >>> neighbour_pieces(mask, np.array([[1, 0, 1, 0, 1]], bool), speck=1)
    array([[0, 0, 1, 0, 2]], dtype=int32)
    """
    others = foreground & ~mask
    found = np.zeros(others.shape, np.int32)
    count = 0
    kinds = [others]
    if labels is not None:
        kinds = [others & (labels == label) for label in np.unique(labels[others])]
    for kind in kinds:
        numbered, many = ndimage.label(kind, _EIGHT)
        found[kind] = numbered[kind] + count
        count += many
    areas = np.bincount(found.ravel(), minlength=count + 1)
    steps = steps_from(mask[None])[0]
    nearest = np.full(count + 1, np.iinfo(np.int64).max)
    np.minimum.at(nearest, found.ravel(), steps.ravel().astype(np.int64))
    first = np.full(count + 1, others.size)
    np.minimum.at(first, found.ravel(), np.arange(others.size))
    order = np.lexsort((first[1:], nearest[1:])) + 1
    large = order[areas[order] >= speck]
    number = np.full(count + 1, len(large) + 1, np.int32)
    number[0] = 0
    number[large] = np.arange(1, len(large) + 1)
    return number[found]
