"""What importers do with an image file that was read: channels of one crop, its mask, checks.

Files are read by `compute.importers.read_images`. What is wrong with one of them is a
`CropRejected`, whose reason the importers count.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import unknown_value
from compute.importers.read_images import PROJECTIONS, Planes, read_planes
from compute.importers.read_images import CropRejected as CropRejected
from compute.importers.read_images import read_image as read_image
from compute.store.part import DTYPES

_EXACT = 2**24
"""Up to here float32 holds every whole number."""

READ_AS = {
    "grey colours": "image(s) in colour have the same grey in red, green and blue: read as grey.",
    "one colour": "image(s) in colour have one colour only: its values are read as grey.",
    "colour": "image(s) are in pseudo-colour: the plane of their own colour is taken.",
    "alpha": "image(s) have transparency (alpha), which is left out.",
    "projected": "image(s) are Z stacks: the brightest of their planes is taken at every pixel.",
    "lossy": "image(s) are JPEG, whose compression has changed pixels.",
    "other spelling": "path(s) were found under another spelling (backslashes, ~, case, accents).",
}
"""Count of a part → what was done to so many images, for the store's notes."""


def read_channels(
    paths: Sequence[Path], channels: int, counts: Counter[str], project: str | None = None
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Read the channels of one crop or field in a type that a store can hold.

    Parameters
    ----------
    paths
        One file with every channel, or a grey image per channel.
    channels
        Number of channels that there must be in all.
    counts
        Gets what was done, by the names of `READ_AS`.
    project
        See `compute.importers.read_images.read_planes`.

    Returns
    -------
    image, types
        Shape (channels, H, W), of the smallest type of a store that holds all files; and the name
        of every file's own type, where float64 counts as float32.

    Raises
    ------
    CropRejected
        A file cannot be read, or the files are not the channels of one image.
    """
    each = channels if len(paths) == 1 else 1
    images = [fit_planes(read_planes(path, project), each, counts, project) for path in paths]
    stored = stack_channels([as_stored(image) for image in images], channels)
    return stored, tuple("float32" if i.dtype == np.float64 else i.dtype.name for i in images)


def check_projection(project: str | None) -> None:
    """Refuse a way to project Z stacks that does not exist; None is to project none."""
    if project is not None and project not in PROJECTIONS:
        raise unknown_value("projection", project, PROJECTIONS)


def reading_notes(counts: Counter[str]) -> list[str]:
    """Return a sentence for all that was done to images, with how many (`READ_AS`)."""
    return [f"{counts[name]} {words}" for name, words in READ_AS.items() if counts[name]]


def check_types(types: Iterable[str], expected: Iterable[str]) -> None:
    """Refuse files of other pixel types than those of the same channels elsewhere.

    Parameters
    ----------
    types, expected
        From `read_channels`: of this crop, and of the one that gave the store its type.

    Raises
    ------
    CropRejected
        They differ. A brightness of 200 means another thing among 256 than among 65,536.
    """
    types, expected = tuple(types), tuple(expected)
    if types != expected:
        given, wanted = (
            ", ".join(dict.fromkeys(names) if len(set(names)) == 1 else names)
            for names in (types, expected)
        )
        raise CropRejected(
            f"pixels of type {given}; {wanted} expected",
            remedy="Convert the images to one type, or import them into two stores.",
        )


def fit_planes(
    planes: Planes, channels: int, counts: Counter[str], project: str | None
) -> NDArray[Any]:
    """Return the pixels of a file that should have so many channels, where one reading is right.

    Parameters
    ----------
    planes
        The file's planes.
    channels
        How many it should have.
    counts
        Gets what was done (`READ_AS`).
    project
        See `compute.importers.read_images.read_planes`.

    Returns
    -------
    ndarray
        Shape (C, H, W); C is another number where no reading is right.

    Raises
    ------
    CropRejected
        One channel was expected, and its colours differ.
    """
    pixels = planes.pixels
    counts.update(["projected"] * planes.projected + ["lossy"] * planes.lossy)
    if len(pixels) == channels:
        return pixels
    if planes.alpha:
        pixels = pixels[:-1]
        counts["alpha"] += 1
    if channels != 1 or len(pixels) == 1:
        return pixels
    if planes.named and len(pixels) == 3:
        if (pixels == pixels[:1]).all():
            counts["grey colours"] += 1
            return pixels[:1]
        seen = pixels.any((1, 2))
        if seen.sum() == 1:
            counts["one colour"] += 1
            return pixels[seen]
        raise CropRejected(
            "3 channels in a file, which differ; 1 expected",
            remedy="Save a grey image per channel, or name the file in a column `path` and its "
            "colours with --channels.",
        )
    if project is not None and not planes.named:
        counts["projected"] += 1
        return pixels.max(0, keepdims=True)
    return pixels


def stack_channels(images: list[NDArray[Any]], channels: int) -> NDArray[Any]:
    """Join the images of one crop, or field, along the channel axis.

    Parameters
    ----------
    images
        From `read_image`: one image with every channel, or one grey image per channel.
    channels
        Number of channels that there must be in all.

    Returns
    -------
    ndarray
        Shape (channels, H, W).

    Raises
    ------
    CropRejected
        There is another number of channels, or they differ in size.
    """
    if len(images) == 1 and channels > 1:
        image = images[0]
        # Nothing in a plain TIFF says which axis the channels are.
        if image.shape[0] != channels and image.shape[2] == channels:
            image = np.moveaxis(image, 2, 0)
        if image.shape[0] != channels:
            raise CropRejected(
                f"{image.shape[0]} channels; {channels} expected",
                remedy="Name as many channels as the files have (--channels).",
            )
        return image
    for image in images:
        if image.shape[0] != 1:
            raise CropRejected(
                f"{image.shape[0]} channels in a file; 1 expected",
                remedy="Save a grey image per channel, or name the file in a column `path` and its "
                "channels with --channels. Planes of a Z stack: --project max.",
            )
    if len({image.shape for image in images}) > 1:
        raise CropRejected(
            "the channels differ in size",
            ", ".join(f"{image.shape[1]}×{image.shape[2]}" for image in images),
        )
    return np.concatenate(images)


def as_stored(image: NDArray[Any]) -> NDArray[Any]:
    """Convert pixels to a type that a store can hold, in native byte order, without a loss.

    Parameters
    ----------
    image
        Any shape; whole numbers, floats or booleans of any width.

    Returns
    -------
    ndarray
        The same shape: uint8 and uint16 as they are, booleans as uint8, all else as float32.

    Raises
    ------
    CropRejected
        The pixels are no numbers, or float32 cannot hold them: whole numbers above 16,777,216, or
        values beyond 3.4e38.
    """
    if image.dtype.kind == "b":
        return image.astype(np.uint8)
    if image.dtype.kind not in "uif":
        raise CropRejected(
            f"pixels of type {image.dtype}; whole numbers or floats expected",
            remedy="Save grey values as uint8, uint16 or float32.",
        )
    if image.dtype.name in DTYPES:
        return image.astype(image.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore"):
        stored = image.astype(np.float32)
    if image.dtype.kind == "f":
        lost = bool((np.isinf(stored) & np.isfinite(image)).any())
    else:
        lost = image.size > 0 and bool(image.max() > _EXACT or image.min() < -_EXACT)
    if lost:
        raise CropRejected(
            f"pixels of type {image.dtype} beyond what float32 holds",
            f"{image.min()} to {image.max()}",
            "Scale them to fewer bits.",
        )
    return stored


def check_crop(image: NDArray[Any], size: int | None) -> None:
    """Refuse a crop that a model could not use.

    Parameters
    ----------
    image
        Shape (C, H, W).
    size
        Side that every crop of the source has, pixels; None where they are cut or padded.

    Raises
    ------
    CropRejected
        The crop is of another size, holds values that are not finite, or has a channel whose
        pixels are all the same.
    """
    if size is not None and image.shape[1:] != (size, size):
        height, width = image.shape[1:]
        raise CropRejected(
            f"{height}×{width} pixels; {size}×{size} expected",
            remedy=f"Cut or pad all crops to one side, such as --size {size}.",
        )
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise CropRejected("pixels that are not finite (NaN or infinite)")
    if (image.min((1, 2)) == image.max((1, 2))).any():
        raise CropRejected("a channel whose pixels are all the same")
