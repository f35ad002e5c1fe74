"""Reads one image file (TIFF or PNG), or says in a few words why it cannot be taken.

A source holds many thousand files and a few broken ones. So what is wrong with one file is a
`CropRejected`, whose reason the importers count, and never the end of the import. Nothing here
unpickles: TIFF by tifffile with imagecodecs, PNG by imagecodecs.
"""

import logging
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from compute.store.part import DTYPES

# What tifffile would print about a broken file is counted as a rejection instead.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

LARGEST = 4096 * 4096 * 8
"""Most values in an image that is read; a movie has more."""

_PNG = b"\x89PNG\r\n\x1a\n"


class CropRejected(Exception):
    """A crop that cannot be taken; it is counted, and the import continues.

    Parameters
    ----------
    reason
        Why, in words that are the same for every crop rejected alike, so they can be counted.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def read_image(path: Path) -> NDArray[Any]:
    """Read one image with its channels first.

    Parameters
    ----------
    path
        A TIFF (any compression that imagecodecs knows, one series) or a PNG.

    Returns
    -------
    ndarray
        Shape (C, H, W), the file's dtype; a grey image has C = 1.

    Raises
    ------
    CropRejected
        There is no such file, or it is unreadable, cut off, far larger than a crop, or of more
        than three dimensions.
    """
    try:
        with path.open("rb") as handle:
            start = handle.read(len(_PNG))
    except FileNotFoundError as error:
        raise CropRejected("no such file") from error
    except (OSError, ValueError) as error:
        raise CropRejected("the file cannot be opened") from error
    try:
        image, axes = _read_png(path) if start == _PNG else _read_tiff(path)
    except CropRejected:
        raise
    # Decoders of a damaged file fail in every way there is: struct, index, value, codec errors.
    except Exception as error:
        raise CropRejected("unreadable or cut-off image file") from error
    if image.ndim == 2:
        return image[None]
    if image.ndim != 3:
        raise CropRejected(f"an image of {image.ndim} dimensions; 2 or 3 expected")
    return np.moveaxis(image, -1, 0) if axes.endswith("S") else image


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
            raise CropRejected(f"{image.shape[0]} channels; {channels} expected")
        return image
    for image in images:
        if image.shape[0] != 1:
            raise CropRejected(f"{image.shape[0]} channels in a file; 1 expected")
    if len({image.shape for image in images}) > 1:
        raise CropRejected("the channels differ in size")
    return np.concatenate(images)


def as_stored(image: NDArray[Any]) -> NDArray[Any]:
    """Convert pixels to a type that a store can hold, in native byte order.

    Parameters
    ----------
    image
        Any shape; uint8, uint16, float32, or float64, which becomes float32.

    Returns
    -------
    ndarray
        The same shape.

    Raises
    ------
    CropRejected
        The pixels are of any other type.
    """
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    if image.dtype.name not in DTYPES:
        raise CropRejected(f"pixels of type {image.dtype}; {', '.join(DTYPES)} expected")
    return image


def check_crop(image: NDArray[Any], size: int) -> None:
    """Refuse a crop that a model could not use.

    Parameters
    ----------
    image
        Shape (C, H, W).
    size
        Side that every crop of the store has, pixels.

    Raises
    ------
    CropRejected
        The crop is of another size, holds values that are not finite, or has a channel whose
        pixels are all the same.
    """
    if image.shape[1:] != (size, size):
        height, width = image.shape[1:]
        raise CropRejected(f"{height}×{width} pixels; {size}×{size} expected")
    if not np.isfinite(image).all():
        raise CropRejected("pixels that are not finite (NaN or infinite)")
    if (image.min((1, 2)) == image.max((1, 2))).any():
        raise CropRejected("a channel whose pixels are all the same")


def _read_tiff(path: Path) -> tuple[NDArray[Any], str]:
    # Without OME: its metadata may name further files, which nobody has asked to read.
    with tifffile.TiffFile(path, is_ome=False) as file:
        series = file.series[0]
        if series.size > LARGEST:
            raise CropRejected("far larger than a crop")
        return np.asarray(series.asarray()), str(series.axes)


def _read_png(path: Path) -> tuple[NDArray[Any], str]:
    encoded = path.read_bytes()
    width, height = (int.from_bytes(encoded[at : at + 4], "big") for at in (16, 20))
    if width * height > LARGEST:
        raise CropRejected("far larger than a crop")
    image = np.asarray(imagecodecs.png_decode(encoded))
    return image, "YXS" if image.ndim == 3 else "YX"
