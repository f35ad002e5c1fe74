"""Rows in pools, and in groups within pools, from which donors are drawn. Pure arrays, no files."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.integer[Any]]


class Pools:
    """Rows ordered by pool, by group within it, and by number.

    Parameters
    ----------
    rows
        The n rows, shape (n,).
    pool
        Pool of each, 0 to `count` − 1, shape (n,).
    group
        Group of each within its pool, at least 0, shape (n,).
    count
        Number of pools.

    Attributes
    ----------
    size : ndarray
        Rows of each pool, shape (count,).
    """

    def __init__(self, rows: Integers, pool: Integers, group: Integers, count: int) -> None:
        order = np.lexsort((rows, group, pool))
        self._rows = rows[order]
        self._groups = int(group.max(initial=0)) + 1
        key = pool[order].astype(np.int64) * self._groups + group[order]
        self._key, self._first, self._many = np.unique(key, return_index=True, return_counts=True)
        self.size = np.bincount(pool, minlength=count)
        self._start = np.cumsum(self.size) - self.size

    def among(self, pool: Integers, group: Integers) -> NDArray[np.int64]:
        """Count the rows of groups of pools, in the shape that `pool` and `group` broadcast to."""
        return self._find(pool, group)[1]

    def draw(self, pool: Integers, pick: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows at places `pick` (below `size`) of pools, shape (n,)."""
        return np.asarray(self._rows[self._start[pool] + pick], np.int64)

    def draw_inside(
        self, pool: Integers, group: Integers, pick: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the rows at places `pick` of groups of pools, which have more, shape (n,)."""
        return np.asarray(self._rows[self._find(pool, group)[0] + pick], np.int64)

    def draw_outside(
        self, pool: Integers, group: Integers, pick: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the rows at places of pools in which a group is passed over.

        Parameters
        ----------
        pool, group
            The pools, and the group of each that gives no row, shape (n,).
        pick
            Places, 0 to the pool's size less the group's, not included, shape (n,).
        """
        first, many = self._find(pool, group)
        place = self._start[pool] + pick
        return np.asarray(self._rows[place + np.where((many > 0) & (place >= first), many, 0)])

    def _find(self, pool: Integers, group: Integers) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return where groups of pools begin among the rows, and how many rows each has."""
        key = np.asarray(pool, np.int64) * self._groups + group
        if len(self._key) == 0:
            return np.zeros(key.shape, np.int64), np.zeros(key.shape, np.int64)
        place = np.minimum(np.searchsorted(self._key, key), len(self._key) - 1)
        found = (self._key[place] == key) & (np.asarray(group) < self._groups)
        return self._first[place], np.where(found, self._many[place], 0)
