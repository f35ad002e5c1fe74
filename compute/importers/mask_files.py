"""Reads files of masks and label images: palettes and colours as labels, a source's coding.

`compute.importers.tiff` reads the pixels, `compute.importers.masks` understands them.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError
from compute.images.segmentation import centre_label
from compute.importers.cut_fields import separate
from compute.importers.mask_values import what_was_seen
from compute.importers.masks import MaskCoding, counted, survey, understand
from compute.importers.read_images import LARGEST, CropRejected, read_planes, read_start
from compute.importers.text_table import printable

SURVEYED, SURVEYED_FIELDS = 64, 16
"""Masks, and label images of fields, that are looked at first, to find out how all are coded."""

_HEADER = 33
"""Bytes of a PNG up to the end of its first chunk, IHDR."""

_PALETTE, _GREY = 3, 0


def read_labels(path: Path, what: str = "mask", how: set[str] | None = None) -> NDArray[Any]:
    """Read a mask or a label image as it is in its file.

    Parameters
    ----------
    path
        A TIFF or PNG, as for `compute.importers.tiff.read_image`. Of an image with a palette the
        numbers of its colours are read, not these; of one in colours each colour becomes a
        number, and black 0.
    what
        What it is called in reasons; ``"mask"`` by default.
    how
        Gets how it was read, by the keys of `compute.importers.masks.UNDERSTOOD`; None, the
        default, where nobody asks.

    Returns
    -------
    ndarray
        Shape (H, W).

    Raises
    ------
    CropRejected
        It is unreadable, or has several planes.
    """
    how = set() if how is None else how
    try:
        start = read_start(path)
        if _has_palette(start):
            how.add("palette")
            return _indices(path)
        planes = read_planes(path, start=start)
    except CropRejected as rejected:
        raise CropRejected(f"{what}: {rejected.reason}") from rejected
    image = planes.pixels
    how |= {"palette"} if planes.palette else set()
    if image.shape[0] in (3, 4) and image.dtype.kind == "u":
        labels, coloured = _colours(image)
        how |= {"colours"} if coloured else set()
        return labels
    if image.shape[0] == 2 and image.dtype.kind == "u":  # Grey and opacity.
        return np.asarray(image[0])
    if image.shape[0] != 1:
        raise CropRejected(f"{what}: {image.shape[0]} planes; 1 expected")
    return np.asarray(image[0])


def survey_masks(
    paths: Iterable[Any],
    threshold: float | None,
    *,
    whole_fields: bool = False,
    split: str | None = None,
    read: Callable[[Any], NDArray[Any]] = read_labels,
) -> MaskCoding:
    """Find out from a source's files how its masks are coded.

    Parameters
    ----------
    paths
        Of its masks, spread over it (`spread`); no more than `SURVEYED` are read.
    threshold, whole_fields, split
        See `compute.importers.masks.survey`.
    read
        Reads one of them; `read_labels`, of paths, by default.

    Returns
    -------
    MaskCoding
        That of all its masks.

    Raises
    ------
    InputError
        Most of those that could be read cannot be used as masks; says what was seen in one.
    """
    masks: list[tuple[Any, NDArray[Any]]] = []
    for path in islice(paths, SURVEYED):
        try:
            mask = read(path)
        except CropRejected:
            continue
        # An empty one says nothing of the others.
        if mask.any():
            masks.append((path, mask))
    shown = [mask for _, mask in masks]
    coding = survey(shown, threshold, whole_fields=whole_fields, split=split)
    refused: list[tuple[Any, NDArray[Any], str]] = []
    for path, mask in masks:
        try:
            understand(mask, coding)
        except CropRejected as rejected:
            refused.append((path, mask, rejected.reason))
    # The few of them that pass may be as wrong as the rest.
    if len(refused) > len(masks) / 2:
        path, mask, reason = refused[0]
        raise InputError(
            f"{len(refused)} of the {len(masks)} {coding.what}s looked at first cannot be used. "
            f"{printable(path)}: {reason}; it has {what_was_seen(mask)}.",
            "A mask is 0 outside of cells and one whole number in each. Maps of probabilities: "
            "give the value from which a pixel is a cell with --mask-threshold.",
        )
    return coding


def spread(items: Iterable[Any], total: int, most: int = SURVEYED) -> Iterator[Any]:
    """Take `most` of the items at most (`SURVEYED` by default), evenly spread over `total`."""
    return islice(islice(items, 0, None, max(1, total // most)), most)


def read_mask(
    path: Path, shape: tuple[int, ...], coding: MaskCoding
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[str]]:
    """Read a crop's mask.

    Parameters
    ----------
    path
        A TIFF or PNG, as for `read_labels`.
    shape
        Height and width of the crop, pixels.
    coding
        How the source's masks are coded (`survey_masks`).

    Returns
    -------
    mask, foreground, how
        Booleans of that shape: the centre cell, and every cell that the image shows; and
        the names under which to count how it was understood.

    Raises
    ------
    CropRejected
        The mask is unreadable, of another shape, cannot be understood, is empty, or has no cell at
        the centre.
    """
    read_as: set[str] = set()
    image = read_labels(path, how=read_as)
    if image.shape != shape:
        raise CropRejected("a mask of another shape than the crop")
    understood = understand(image, coding)
    cells, how = understood.labels, understood.how | read_as
    foreground = cells > 0
    if not coding.binary:
        # One value is one cell, so what lies elsewhere with the same value is another one.
        cells, _ = separate(cells)
    centre = centre_label(cells)
    if centre == 0 and cells.max() > 1:
        raise CropRejected("a mask without a cell at the centre")
    mask = cells == centre if centre else foreground
    whole = understood.labels == understood.labels[mask][0]
    if not coding.binary and (whole & ~mask).any():
        how |= {"rest"}
    return mask, foreground, counted(how, coding)


def _has_palette(start: bytes) -> bool:
    """Whether a file that begins so is a PNG with a palette."""
    return start[:8] == b"\x89PNG\r\n\x1a\n" and len(start) >= _HEADER and start[25] == _PALETTE


def _indices(path: Path) -> NDArray[Any]:
    """Return the numbers of the colours of a PNG with a palette, shape (H, W)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CropRejected("the file cannot be opened") from error
    start, rest = content[:_HEADER], content[_HEADER:]
    width, height = (int.from_bytes(start[at : at + 4], "big") for at in (16, 20))
    if width * height > LARGEST:
        raise CropRejected("far larger than a crop")
    depth = start[24]
    # The pixels of a palette image are coded as those of a grey one; only the header differs.
    head = start[12:25] + bytes([_GREY]) + start[26:29]
    encoded = start[:12] + head + zlib.crc32(head).to_bytes(4, "big") + _without_palette(rest)
    try:
        image = np.asarray(imagecodecs.png_decode(encoded))
    except Exception as error:
        raise CropRejected("unreadable or cut-off image file") from error
    # Fewer than 8 bits come stretched to 0–255.
    return image // (255 // (2**depth - 1))


def _without_palette(chunks: bytes) -> bytes:
    """Leave out the chunks that a grey PNG cannot have: colours and their opacity."""
    kept, at = [], 0
    while at + 12 <= len(chunks):
        end = at + 12 + int.from_bytes(chunks[at : at + 4], "big")
        if chunks[at + 4 : at + 8] not in (b"PLTE", b"tRNS", b"bKGD", b"hIST", b"sBIT"):
            kept.append(chunks[at:end])
        at = end
    return b"".join(kept)


def _colours(image: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """Return numbers for the colours of an image, shape (3 or 4, H, W), and whether it has any.

    Black is 0; of an image in grey the greys are the numbers.
    """
    red, green, blue = image[:3]
    if np.array_equal(red, green) and np.array_equal(red, blue):
        empty = red.min() == red.max() and image.shape[0] == 4
        return np.asarray(image[3] if empty else red), False
    wide = image[:3].astype(np.int64)
    return np.asarray((wide[0] << 32) + (wide[1] << 16) + wide[2]), True
