"""Random choices that depend on their names alone: counter-based hashing. Pure arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)
"""SplitMix64's increment and factors (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195)."""


def mix(*parts: Any) -> NDArray[np.uint64]:
    """Hash integers, elementwise, to well-spread 64-bit numbers.

    The same parts give the same number on any machine, in any order of calls. The finaliser is
    SplitMix64's.

    Parameters
    ----------
    *parts
        Integers or integer arrays that broadcast together; the order of parts matters.

    Returns
    -------
    ndarray
        uint64, the broadcast shape.
    """
    state = np.zeros(np.broadcast_shapes(*(np.shape(part) for part in parts)), np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            state = state + np.asarray(part).astype(np.uint64) + GOLDEN
            state = (state ^ (state >> np.uint64(30))) * FIRST
            state = (state ^ (state >> np.uint64(27))) * SECOND
            state = state ^ (state >> np.uint64(31))
    return state
