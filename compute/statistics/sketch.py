"""Sums of products over very many keys, from a few thousand numbers. Pure arrays, no files.

What donors add to the variance of a difference between two models needs the products of both
models' influences over every pair of a centre unit and a donor unit. There may be as many such
pairs as trials, and models are gone through one after the other. So each model's values are added
up, with random signs, in buckets: the product of two such sketches is, on average, the sum of the
products (Charikar, Chen and Farach-Colton 2004, doi:10.1016/S0304-3975(03)00400-6). Its standard
error is at most √(2 / BUCKETS) of the geometric mean of both sums of squares: 1.1%.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.hashing import Stream, mix

BUCKETS = 2**14
"""Numbers in a sketch."""


def buckets_each(parts: int) -> int:
    """Return the number of buckets of each of some parts, which share `BUCKETS`; at least 1."""
    return max(1, BUCKETS // max(parts, 1))


def add_to_sketch(
    sketch: NDArray[np.float64],
    part: NDArray[np.integer[Any]],
    keys: tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]],
    values: NDArray[Any],
) -> None:
    """Add the values of n keys to sketches, in place.

    Parameters
    ----------
    sketch
        Sketches of V values in each of P parts, of B buckets, shape (P, B, V).
    part
        Part that each key belongs to, shape (n,).
    keys
        Two integers that name each key, shape (n,) each; the same key has the same bucket and sign
        in every sketch.
    values
        Shape (n, V).

    Examples
    --------
    The sum of products over three keys:

    >>> import numpy as np
    >>> keys = np.array([1, 2, 3]), np.array([7, 8, 9])
    >>> first, second = np.zeros((2, 1, BUCKETS, 1))
    >>> add_to_sketch(first, np.zeros(3, int), keys, np.array([[1.0], [2.0], [3.0]]))
    >>> add_to_sketch(second, np.zeros(3, int), keys, np.array([[1.0], [1.0], [-1.0]]))
    >>> float((first * second).sum())
    0.0
    """
    count, width = sketch.shape[1:]
    drawn = mix(int(Stream.DONOR_PAIRS), *keys)
    bucket = ((drawn >> np.uint64(1)) % np.uint64(count)).astype(np.int64)
    sign = (drawn & np.uint64(1)).astype(float) * 2 - 1
    place = np.asarray(part, np.int64) * count + bucket
    flat = sketch.reshape(-1, width)
    np.add.at(flat, place, values * sign[:, None])
