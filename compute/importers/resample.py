"""Brings images and masks to another pixel size, and crops to another side. Pure arrays.

`compute.images.rescale` resamples. A crop that is too small is padded with medium: single pixels
of its own medium, as holes are filled (`compute.images.fill_holes`), so that no cell is mirrored
into a neighbour.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.images.fill_holes import fill_batch
from compute.images.rescale import resample_image, resample_labels
from compute.images.seeded import lit
from compute.importers.duplicates import pixel_digest
from compute.importers.first_crops import LARGEST_CROP

LEAST_SCALE, MOST_SCALE = 0.05, 20.0
"""Range of factors by which images are resampled."""

LEAST_SIDE = 8
"""Smallest side of a crop, pixels."""

NEARLY = 0.01
"""Two pixel sizes that differ by less are one."""


@dataclass(frozen=True)
class Resampling:
    """How pixels of a source become those of a store.

    Parameters
    ----------
    scale
        Pixels of the store for one of the source, along a side; 1, the default, resamples nothing.
    pixel_size
        Micrometres from pixel to pixel in the store; None, the default, where nobody says it.
    """

    scale: float = 1.0
    pixel_size: float | None = None

    def notes(self) -> list[str]:
        """Say what was resampled, in sentences; none where nothing was."""
        if self.scale == 1:
            return []
        return [
            f"Images were resampled by {self.scale:.3g} to {self.pixel_size:g} µm a pixel "
            f"(they had {self.pixel_size * self.scale:.4g})."
            if self.pixel_size is not None
            else f"Images were resampled by {self.scale:.3g}."
        ]


FITTED = {
    "fit: cut": "crop(s) were cut to {size}×{size} pixels around their middle.",
    "fit: padded": "crop(s) were padded to {size}×{size} pixels with their own medium.",
    "fit: cut and padded": "crop(s) were cut in one direction and padded in the other to "
    "{size}×{size} pixels.",
    "fit: dimmest": "crop(s) that were padded hold hardly any medium: their dimmest pixels were "
    "taken for it, so what was added may look like cells.",
}
"""Count of a part → what was done to so many crops."""


@dataclass(frozen=True)
class CropFit:
    """How crops of a source are brought to the store's pixel size and side.

    Parameters
    ----------
    size
        Side of the store's crops, pixels.
    resampling
        How pixels of the source become those of the store; by default they stay.
    """

    size: int
    resampling: Resampling = Resampling()

    def apply(
        self,
        image: NDArray[Any],
        mask: NDArray[np.bool_] | None,
        foreground: NDArray[np.bool_] | None,
        marker: int | None,
        counts: Counter[str],
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
        """Resample a crop, and cut or pad it.

        Parameters
        ----------
        image
            Shape (C, H, W).
        mask, foreground
            The centre cell and every cell, shape (H, W), or None.
        marker
            Number of the channel that shows cells, to pad a crop without masks with its medium
            only; None where there is none.
        counts
            Gets what was done, by the names of `FITTED`.

        Returns
        -------
        image, mask, foreground
            Of the store's side.
        """
        scale = self.resampling.scale
        image = resample_image(image, scale)
        mask, foreground = (
            None if one is None else resample_labels(one, scale) for one in (mask, foreground)
        )
        cells = foreground if foreground is not None else mask
        if cells is None and marker is not None and min(image.shape[1:]) < self.size:
            cells = lit(image[marker])
        if mask is not None and cells is not None:
            cells = cells | mask
        fitted = resize_crop(image, mask, foreground, cells, self.size)
        if fitted.how:
            counts[f"fit: {fitted.how}"] += 1
            counts.update(["fit: dimmest"] * fitted.dimmest)
        return fitted.image, fitted.mask, fitted.foreground


def fit_notes(counts: Counter[str], size: int) -> list[str]:
    """Say how many crops were cut or padded."""
    return [
        f"{counts[name]} {words.format(size=size)}"
        for name, words in FITTED.items()
        if counts[name]
    ]


def choose_fit(
    native: int, size: int | None, pixel_size: float | None, resample: float | None
) -> CropFit:
    """Find out how crops of a source become those of the store.

    Parameters
    ----------
    native
        Side of most crops of the source, pixels.
    size
        Side that is wanted, pixels; None keeps it, as far as resampling allows.
    pixel_size, resample
        See `choose_resampling`.

    Raises
    ------
    UsageError
        The side is out of range, or see `choose_resampling`.
    """
    resampling = choose_resampling(None, pixel_size, resample)
    if size is not None and not LEAST_SIDE <= size <= LARGEST_CROP:
        raise UsageError(
            f"--size {size} is out of range.", f"Allowed: {LEAST_SIDE} to {LARGEST_CROP} pixels."
        )
    return CropFit(size or max(LEAST_SIDE, round(native * resampling.scale)), resampling)


def choose_resampling(
    said: float | None, pixel_size: float | None, resample: float | None
) -> Resampling:
    """Find out how a source's pixels become those of the store.

    Parameters
    ----------
    said
        Micrometres from pixel to pixel as the source's files say it; None if they do not.
    pixel_size
        As the reader says it, who knows better; None, if not.
    resample
        Micrometres from pixel to pixel that are wanted; None leaves pixels as they are.

    Raises
    ------
    UsageError
        A size is not positive, or nobody says that of the images, or they differ too much.
    """
    for name, value in (("pixel-size", pixel_size), ("resample", resample)):
        if value is not None and not 0 < value < 1000:
            raise UsageError(f"--{name} {value:g}: micrometres a pixel, above 0 and below 1000.")
    known = pixel_size or said
    if resample is None:
        return Resampling(1.0, known)
    if known is None:
        raise UsageError(
            f"To resample to {resample:g} µm a pixel, the images' own pixel size must be known.",
            "Give it with --pixel-size, in µm.",
        )
    scale = known / resample
    if not LEAST_SCALE <= scale <= MOST_SCALE:
        raise UsageError(
            f"From {known:g} to {resample:g} µm a pixel is a factor of {scale:.3g}.",
            f"Allowed: {LEAST_SCALE:g} to {MOST_SCALE:g}. Are both in µm?",
        )
    return Resampling(1.0 if abs(scale - 1) < NEARLY else scale, resample)


@dataclass(frozen=True)
class Fitted:
    """A crop of another side.

    Parameters
    ----------
    image, mask, foreground
        Shapes (C, size, size) and (size, size), or None as before.
    how
        ``"cut"``, ``"padded"``, ``"cut and padded"``, or ``""``, the default.
    dimmest
        Whether it was padded with its dimmest pixels, as it holds too little medium; False by
        default.
    """

    image: NDArray[Any]
    mask: NDArray[np.bool_] | None
    foreground: NDArray[np.bool_] | None
    how: str = ""
    dimmest: bool = False


def resize_crop(
    image: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    foreground: NDArray[np.bool_] | None,
    cells: NDArray[np.bool_] | None,
    size: int,
) -> Fitted:
    """Cut or pad a crop around its middle to a side.

    Parameters
    ----------
    image
        Shape (C, H, W).
    mask, foreground
        The centre cell and every cell, shape (H, W), or None.
    cells
        What is no medium, shape (H, W); None where nothing is known.
    size
        Side of the result, pixels.

    Returns
    -------
    Fitted
        The crop, of shape (C, size, size) and (size, size), and what was done.
    """
    height, width = image.shape[1:]
    if (height, width) == (size, size):
        return Fitted(image, mask, foreground)
    top, left = (height - size) // 2, (width - size) // 2
    rows = slice(max(top, 0), min(top + size, height))
    columns = slice(max(left, 0), min(left + size, width))
    inside = (
        slice(max(-top, 0), max(-top, 0) + rows.stop - rows.start),
        slice(max(-left, 0), max(-left, 0) + columns.stop - columns.start),
    )

    def placed(values: NDArray[Any]) -> NDArray[Any]:
        new = np.zeros((*values.shape[:-2], size, size), values.dtype)
        new[..., inside[0], inside[1]] = values[..., rows, columns]
        return new

    cut, pad = height > size or width > size, height < size or width < size
    new = placed(image)
    new_mask = None if mask is None else placed(mask)
    new_foreground = None if foreground is None else placed(foreground)
    dimmest = False
    if pad:
        hole = np.ones((size, size), bool)
        hole[inside] = False
        known = np.zeros((size, size), bool) if cells is None else placed(cells)
        seed = np.array([pixel_digest(new)], np.uint64)
        filled, little = fill_batch(new[None], hole[None], known[None], seed)
        new, dimmest = filled[0], bool(little[0])
    how = " and ".join(["cut"] * cut + ["padded"] * pad)
    return Fitted(new, new_mask, new_foreground, how, dimmest)
