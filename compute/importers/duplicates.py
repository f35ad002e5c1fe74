"""Finds images that occurred before, by 64 bits of a hash of their pixels. No files.

Among 3 million images, two different ones have the same 64 bits with a probability below one in a
million (n² / 2⁶⁵).
"""

import hashlib
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.importers.tiff import CropRejected


def pixel_digest(image: NDArray[Any]) -> int:
    """Return 64 bits of the hash (BLAKE2b) of an image's pixels.

    Parameters
    ----------
    image
        Any shape and type; only the bytes of the pixels count.

    Returns
    -------
    int
        0 to 2⁶⁴ − 1.
    """
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest()
    return int.from_bytes(digest, "big")


class DuplicateCheck:
    """Refuses images of one chunk of a source whose pixels occurred before.

    Parameters
    ----------
    what
        What the images are, for the reason: ``"crop"`` or ``"field"``.
    before
        Digests of images of earlier chunks that are known to occur in this one again.
    """

    def __init__(self, what: str = "crop", before: Collection[int] = ()) -> None:
        self._what = what
        self._before = frozenset(before)
        self._seen: dict[int, None] = {}

    def check(self, image: NDArray[Any]) -> None:
        """Let an image through and remember it.

        Parameters
        ----------
        image
            Pixels, any shape.

        Raises
        ------
        CropRejected
            An image with the same pixels came before it.
        """
        number = pixel_digest(image)
        if number in self._seen or number in self._before:
            raise CropRejected(f"the same pixels as an earlier {self._what}")
        self._seen[number] = None

    def digests(self) -> NDArray[np.uint64]:
        """Return the digests of the images that were let through, in order, uint64, shape (n,)."""
        return np.array(list(self._seen), np.uint64)


class DigestSet:
    """The digests of a whole source: 8 bytes each, three times that while they are merged.

    They are kept in sorted arrays. A new array is merged with those that are not much longer, so
    there are few arrays and each number is moved few times.
    """

    def __init__(self) -> None:
        self._sorted: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        """Count the digests."""
        return sum(map(len, self._sorted))

    def known(self, digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which of some digests, shape (n,), are in the set: booleans of the same shape."""
        found = np.zeros(len(digests), bool)
        for array in self._sorted:
            place = np.searchsorted(array, digests).clip(max=len(array) - 1)
            found |= array[place] == digests
        return found

    def add(self, digests: NDArray[np.uint64]) -> None:
        """Add digests, shape (n,)."""
        if len(digests) == 0:
            return
        array = np.sort(digests)
        while self._sorted and len(self._sorted[-1]) <= 2 * len(array):
            array = np.concatenate([self._sorted.pop(), array])
            array.sort()
        self._sorted.append(array)
