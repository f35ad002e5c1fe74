"""Crops with one piece taken out at a time: a neighbour, the centre cell, a patch of medium.

Layer: arrays, no files. A piece is taken out as composing takes a cell out of a crop
(`compute.backgrounds.behind.take_out`), with its halo and, where the run pastes so, its glow. The
centre cell keeps its own pixels whatever is taken out around it, as in every composite.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.backgrounds.behind import steps_of, take_out
from compute.hashing import mix
from compute.images.dilation import to_masks, to_words
from compute.images.distance import UNREACHED, steps_from
from compute.images.fill_holes import find_medium
from compute.images.pieces import SPECK, neighbour_pieces
from compute.schema import Piece

MOST_MEDIUM = 1 / 2
"""Part of a crop's medium that a patch of it takes at most: the rest fills it."""


@dataclass(frozen=True)
class Occluded:
    """A crop and itself with one piece after the other taken out, k of them.

    Parameters
    ----------
    images
        First the crop as imaged, then one without each piece; float32, shape (1 + k, C, H, W).
    pieces
        The pixels of each piece, none in the first; shape (1 + k, H, W).
    kinds
        What each is: k kinds.
    numbers
        Number of each piece among its kind, from 1; 0 for `Piece.NOTHING`, shape (k,).
    mask
        The centre cell, shape (H, W).
    neighbours
        Pixels of other cells that each image shows, shape (1 + k, H, W).
    little_medium
        Where a piece was filled for want of medium with the dimmest pixels, shape (k,).
    distance, centroid_distance
        Steps from the cell's mask to the nearest pixel of each piece, and to its centroid; −1 where
        that is `UNREACHED` or more, or there is no piece. Shape (k,).
    """

    images: NDArray[np.float32]
    pieces: NDArray[np.bool_]
    kinds: tuple[Piece, ...]
    numbers: NDArray[np.int64]
    mask: NDArray[np.bool_]
    neighbours: NDArray[np.bool_]
    little_medium: NDArray[np.bool_]
    distance: NDArray[np.int64]
    centroid_distance: NDArray[np.int64]

    def __len__(self) -> int:
        """Count the pieces."""
        return len(self.kinds)

    @property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each piece, shape (k,)."""
        return np.count_nonzero(self.pieces[1:], axis=(1, 2))


def occlude(
    image: NDArray[Any],
    mask: NDArray[np.bool_],
    foreground: NDArray[np.bool_],
    seed: int,
    *,
    glow: bool = True,
    labels: NDArray[np.integer[Any]] | None = None,
    speck: int = SPECK,
) -> Occluded:
    """Take one piece after the other out of a crop.

    Parameters
    ----------
    image
        The crop as imaged, shape (C, H, W).
    mask, foreground
        The centre cell, and every cell, shape (H, W).
    seed
        Chooses the medium that fills holes, and where the patch of medium lies.
    glow
        Whether a cell's glow goes with it, as runs have it by default.
    labels, speck
        As for `compute.images.pieces.neighbour_pieces`.

    Returns
    -------
    Occluded
        In order nothing, a patch of medium (where there is enough of it), the neighbours from the
        nearest, the centre (where the mask is not empty).
    """
    numbered = neighbour_pieces(mask, foreground, labels, speck)
    neighbours = [numbered == number for number in range(1, numbered.max() + 1)]
    wanted = max((int(piece.sum()) for piece in neighbours), default=int(mask.sum()))
    patch = medium_patch(mask, foreground, wanted, seed)
    found = [(Piece.NOTHING, np.zeros_like(mask))]
    found += [(Piece.MEDIUM, patch)] if patch.any() else []
    found += [(Piece.NEIGHBOUR, piece) for piece in neighbours]
    found += [(Piece.CENTRE, mask)] if mask.any() else []
    kinds = tuple(kind for kind, _ in found)
    pieces = np.stack([piece for _, piece in found])
    # What is no cell is taken out as if it were one.
    every = foreground | pieces
    images = np.repeat(image[None], len(pieces), axis=0)
    words, others = to_words(pieces), to_words(every & ~pieces)
    little, _ = take_out(
        images, words, words | others, steps_of(others, image.shape[-1]),
        np.full(len(pieces), seed), glow,
    )  # fmt: skip
    kept = mask & ~pieces
    images = np.where(kept[:, None], image, images)
    shown = (foreground & ~mask) & ~pieces
    numbers = np.array([kinds[: k + 1].count(kind) for k, kind in enumerate(kinds)])
    numbers[np.array(kinds) == Piece.NOTHING] = 0
    away = [_distances(mask, piece) for piece in pieces]
    whole = np.concatenate([image[None], images]).astype(np.float32)
    return Occluded(
        whole, np.concatenate([np.zeros_like(mask)[None], pieces]), kinds, numbers, mask,
        np.concatenate([(foreground & ~mask)[None], shown]), little & pieces.any((1, 2)),
        np.array([near for near, _ in away]), np.array([centroid for _, centroid in away]),
    )  # fmt: skip


def medium_patch(
    mask: NDArray[np.bool_], foreground: NDArray[np.bool_], area: int, seed: int
) -> NDArray[np.bool_]:
    """Choose a patch of medium, around a pixel of it that the seed draws.

    Parameters
    ----------
    mask, foreground
        The centre cell, and every cell, shape (H, W).
    area
        Pixels that are wanted.
    seed
        Draws the pixel.

    Returns
    -------
    ndarray
        The `area` pixels of medium that are nearest to it, at most `MOST_MEDIUM` of all; none where
        the crop has little medium. Shape (H, W).
    """
    width = mask.shape[-1]
    nothing = to_words(np.zeros_like(mask))[None]
    words, scarce = find_medium(nothing, to_words(foreground)[None], width)
    patch = np.zeros_like(mask)
    if scarce[0]:
        return patch
    rows, columns = np.nonzero(to_masks(words[0], width))
    at = int(mix(seed, area) % np.uint64(len(rows)))
    away = (rows - rows[at]) ** 2 + (columns - columns[at]) ** 2
    some = np.argsort(away, kind="stable")[: min(area, int(MOST_MEDIUM * len(rows)))]
    patch[rows[some], columns[some]] = True
    return patch


def _distances(mask: NDArray[np.bool_], piece: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the steps from a mask to a piece's nearest pixel and to its centroid; −1 for none."""
    if not piece.any():
        return -1, -1
    steps = steps_from(mask[None])[0]
    rows, columns = np.nonzero(piece)
    both = int(steps[piece].min()), int(steps[round(rows.mean()), round(columns.mean())])
    near, centroid = (-1 if each == UNREACHED else each for each in both)
    return near, centroid
