"""Finds images that were there before, by 64 bits of a hash of their pixels. No files.

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
    """Return 64 bits of the hash (BLAKE2b) of an image's pixels, whatever its shape."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest()
    return int.from_bytes(digest, "big")


class Repeats:
    """Refuses images of one piece of a source whose pixels were there before.

    Parameters
    ----------
    what
        What the images are, for the reason.
    before
        Digests of images in earlier pieces that are known to come again in this one.
    """

    def __init__(self, what: str = "crop", before: Collection[int] = ()) -> None:
        self._what = what
        self._before = frozenset(before)
        self._seen: dict[int, None] = {}

    def check(self, image: NDArray[Any]) -> None:
        """Remember an image.

        Parameters
        ----------
        image
            Pixels, any shape.

        Raises
        ------
        CropRejected
            One with the same pixels was checked before.
        """
        number = pixel_digest(image)
        if number in self._seen or number in self._before:
            raise CropRejected(f"the same pixels as an earlier {self._what}")
        self._seen[number] = None

    def digests(self) -> NDArray[np.uint64]:
        """Return the digests of the images that were let through, in their order."""
        return np.array(list(self._seen), np.uint64)


class DigestSet:
    """The digests of a whole source: 8 bytes each, three times that while runs are merged.

    They lie in sorted runs; a new one is merged with those that are not much longer, so there are
    few runs and each number is moved few times.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        """Count the digests."""
        return sum(map(len, self._runs))

    def known(self, digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which of some digests are there, shape (n,)."""
        found = np.zeros(len(digests), bool)
        for run in self._runs:
            place = np.searchsorted(run, digests).clip(max=len(run) - 1)
            found |= run[place] == digests
        return found

    def add(self, digests: NDArray[np.uint64]) -> None:
        """Add digests, shape (n,)."""
        if len(digests) == 0:
            return
        run = np.sort(digests)
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort()
        self._runs.append(run)
