"""Probes without a fit: which reference cells are most similar to a cell. Pure arrays, no files.

Embeddings are standardised as the references are, and compared by the cosine of their angle, as is
usual for profiles of cells. References are of other folds than the cell, so of other proteins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 15
"""Most references that vote on a cell's class; the fewest references that a class has, if fewer."""

BLOCK = 2**22
"""Similarities that are held at a time (32 MB)."""

_TIE = 1e-9
"""Votes that differ by less than this share of them are equal."""


@dataclass(frozen=True)
class Similarity:
    """What the most similar references say about n cells.

    Parameters
    ----------
    right
        Whether the vote of the nearest references names the cell's class, shape (n,).
    precision
        Average precision with which the cell finds the references of its class, 0 to 1, shape (n,).
    """

    right: NDArray[np.bool_]
    precision: NDArray[np.float64]


@dataclass(frozen=True)
class References:
    """R cells that others are compared with.

    Parameters
    ----------
    features
        Standardised embeddings of length 1, shape (R, D).
    classes
        Class of each, shape (R,).
    mean, scale
        What embeddings are standardised with, shape (D,).
    """

    features: NDArray[np.float64]
    classes: NDArray[np.int64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float32], classes: NDArray[np.int64]) -> "References":
        """Standardise embeddings, shape (R, D), of cells with these classes, shape (R,)."""
        values = features.astype(np.float64)
        if len(values) == 0:
            return References(values, classes, np.zeros(values.shape[1]), np.ones(values.shape[1]))
        mean, scale = values.mean(0), values.std(0)
        scale[scale == 0] = 1
        return References(_unit_length((values - mean) / scale), classes, mean, scale)

    def compare(
        self, features: NDArray[np.float32], classes: NDArray[np.int64], k: int = NEIGHBOURS
    ) -> Similarity:
        """Ask the references about cells.

        Of k nearest references, each votes for its class with a weight that makes all classes of
        references count alike. Of classes with equal votes that of the nearest reference is taken;
        of references that are equally near, that which comes first.

        The average precision of a cell is the mean, over the references of its class, of the share
        of that class among the references that are at least as near. References of other classes
        that are equally near count as nearer, so that no embedding gains by making cells alike.

        Parameters
        ----------
        features
            Embeddings, shape (n, D).
        classes
            Class of each cell, shape (n,). Cells of a class without references are not right, and
            have a precision of 0.
        k
            Most references that vote, by default `NEIGHBOURS`; never more than the class with
            fewest has.

        Examples
        --------
        >>> import numpy as np
        >>> there = np.array([[1, 0], [2, 0], [0, 1], [0, 2]], np.float32)
        >>> references = References.of(there, np.array([0, 0, 1, 1]))
        >>> asked = np.array([[2, 0], [2, 0]], np.float32)
        >>> found = references.compare(asked, np.array([0, 1]))
        >>> found.right, found.precision.round(3)
        (array([ True, False]), array([1.   , 0.417]))
        """
        right = np.zeros(len(features), bool)
        precision = np.zeros(len(features))
        if len(self.classes) == 0:
            return Similarity(right, precision)
        of_class, place, count = np.unique(self.classes, return_inverse=True, return_counts=True)
        most = int(min(k, count.min()))
        step = max(1, BLOCK // len(self.classes))
        known = np.flatnonzero(np.isin(classes, of_class))
        for start in range(0, len(known), step):
            some = known[start : start + step]
            own = np.searchsorted(of_class, classes[some])
            asked = (features[some].astype(np.float64) - self.mean) / self.scale
            mine = place == own[:, None]
            key = ranking_keys(_unit_length(asked) @ self.features.T, mine)
            ordered = np.sort(key, axis=1)
            precision[some] = average_precision(ordered)
            plain = (key.view(np.int64) & -2).view(np.float64)
            least = ordered[:, -most].view(np.int64) & -2
            right[some] = _vote(plain, least.view(np.float64), place, 1 / count, most) == own
        return Similarity(right, precision)


def ranking_keys(similar: NDArray[np.float64], mine: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return numbers that sort as similarities do, and of which each says whose it is.

    The last bit of a number is 0 where the reference should be found, so that numbers alone need
    to be sorted. Similarities that differ by less than 1e-15 are equal, and of these what should be
    found has the smaller number.

    Parameters
    ----------
    similar
        Similarities from −1 to 1, shape (n, R).
    mine
        Which references should be found, shape (n, R).
    """
    bits = (similar + 3).view(np.int64)  # above 0, so that larger bits are larger numbers
    bits &= -2
    bits |= ~mine
    return np.asarray(bits.view(np.float64))


def average_precision(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the average precision of n rankings by similarity.

    Parameters
    ----------
    ordered
        Ranking keys, ascending in each row, shape (n, R); in each row one or more should be found.

    Returns
    -------
    ndarray
        Shape (n,), above 0 and up to 1.

    Examples
    --------
    Found as first and third of four:

    >>> import numpy as np
    >>> similar, mine = np.array([[0.9, 0.7, 0.5, 0.1]]), np.array([[True, False, True, False]])
    >>> average_precision(np.sort(ranking_keys(similar, mine))).round(3)
    array([0.833])
    """
    n, total = ordered.shape
    row, place = np.divmod(np.flatnonzero(ordered.view(np.int64) & 1 == 0), total)
    count = np.bincount(row, minlength=n)
    found = np.cumsum(count)[row] - np.arange(len(row))  # so many are at least as near
    return np.asarray(np.bincount(row, found / (total - place), n) / count)


def chance_precision(same: int, other: int) -> float:
    """Return the mean average precision of rankings in any order, as likely as each other.

    Parameters
    ----------
    same, other
        Number of what should be found, at least 1, and of all else.

    Examples
    --------
    >>> round(chance_precision(72, 1008), 4)
    0.0723
    """
    total = same + other
    harmonic = float((1 / np.arange(1, total + 1)).sum())
    if total == 1:
        return 1.0
    return (harmonic + (same - 1) / (total - 1) * (total - harmonic)) / total


def _vote(
    key: NDArray[np.float64],
    least: NDArray[np.float64],
    place: NDArray[np.int64],
    weight: NDArray[np.float64],
    k: int,
) -> NDArray[np.int64]:
    """Return the class, by its place, that the k most similar references vote for.

    Parameters
    ----------
    key
        Ranking keys of R references without what they say, shape (n, R).
    least
        The k-th largest of each row, shape (n,).
    place
        Place of each reference's class, shape (R,).
    weight
        Weight of a vote for each class, shape (classes,).
    k
        How many vote, up to R.
    """
    n, classes = len(key), len(weight)
    near = key >= least[:, None]
    tied = np.flatnonzero(near.sum(1) > k)
    if len(tied):  # of the equally near, those that come first
        near[tied] = False
        near[tied[:, None], np.argsort(-key[tied], axis=1, kind="stable")[:, :k]] = True
    nearest = np.flatnonzero(near).reshape(n, k) % key.shape[1]
    order = np.argsort(-np.take_along_axis(key, nearest, 1), axis=1, kind="stable")
    voters = place[np.take_along_axis(nearest, order, 1)]
    of_row = np.arange(n)[:, None] * classes + voters
    votes = np.bincount(of_row.ravel(), weight[voters].ravel(), n * classes).reshape(n, classes)
    best = votes >= votes.max(1, keepdims=True) * (1 - _TIE)
    first = np.take_along_axis(best, voters, 1).argmax(1)
    return np.asarray(voters[np.arange(n), first])


def _unit_length(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide rows by their length; rows of zeros stay."""
    length = np.sqrt((values**2).sum(1, keepdims=True))
    return np.asarray(values / np.where(length > 0, length, 1))
