"""Reads one image file of any usual format, or says in a few words why it cannot be taken.

A source holds many thousand files and a few broken ones. So what is wrong with one file is a
`CropRejected`, whose reason the importers count, and never the end of the import. Nothing here
unpickles: TIFF by tifffile with imagecodecs, PNG, JPEG and BMP by imagecodecs, ``.npy`` by NumPy
without pickles. Axes that a TIFF names are honoured: planes of a Z stack are no channels.
"""

import logging
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from compute.importers.plain_tiff import WHOLE, read_plain
from compute.storage.regular_files import without_waiting

# What tifffile would print about a broken file is counted as a rejection instead.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

LARGEST = 4096 * 4096 * 8
"""Most values in an image that is read; a movie has more."""

PROJECTIONS: tuple[str, ...] = ("max",)
"""How the planes of a Z stack can become one."""

FORMATS = "TIFF, PNG, JPEG, BMP or .npy"

_TOO_LARGE = "far larger than a crop"

_OTHERS = {
    b"GIF8": "a GIF",
    b"\x89HDF": "an HDF5 file",
    b"PK\x03\x04": "a ZIP archive (.npz, .zip, .xlsx)",
    b"\x1f\x8b": "a gzip archive",
    b"ZISRAWFILE": "a Zeiss CZI file",
    b"\xda\xce\xbe\x0a": "a Nikon ND2 file",
    b"\x70\x00\x00\x00": "a Leica LIF file",
    b"\x00\x00\x00\x0cjP": "a JPEG 2000 file",
    b"RIFF": "a WebP file",
    b"%PDF": "a PDF",
    b"\x80": "a pickle",
    b"version https://git-lfs": "a pointer to a file in Git LFS that was not downloaded",
}
"""First bytes of files that are not read → what they are."""


class CropRejected(Exception):
    """A crop that cannot be taken; it is counted, and the import continues.

    Parameters
    ----------
    reason
        Why, in words that are the same for every crop rejected alike, so they can be counted.
    detail
        What is particular to this crop, in words; empty by default.
    remedy
        What to do, in sentences; empty by default.
    """

    def __init__(self, reason: str, detail: str = "", remedy: str = "") -> None:
        self.reason = reason
        self.detail = detail
        self.remedy = remedy
        super().__init__(reason)


@dataclass(frozen=True)
class Planes:
    """The image of one file.

    Parameters
    ----------
    pixels
        Shape (C, H, W), the file's dtype; a grey image has C = 1.
    alpha
        Whether the last of several planes is transparency.
    named
        Whether the file says that its planes are channels or colours; a plain stack does not.
    projected
        Whether planes of a Z stack were projected to one.
    lossy
        Whether the format has lost detail (JPEG).
    palette
        Whether values are numbers of colours in a palette (TIFF); those of other formats are read
        as their colours.
    """

    pixels: NDArray[Any]
    alpha: bool = False
    named: bool = True
    projected: bool = False
    lossy: bool = False
    palette: bool = False


def read_image(path: Path) -> NDArray[Any]:
    """Read one image with its channels first, as the file has it: `read_planes` without words.

    Parameters
    ----------
    path
        A TIFF (any compression that imagecodecs knows), PNG, JPEG, BMP or ``.npy``.

    Returns
    -------
    ndarray
        Shape (C, H, W), the file's dtype; a grey image has C = 1.

    Raises
    ------
    CropRejected
        See `read_planes`.
    """
    return read_planes(path).pixels


def read_start(path: Path) -> bytes:
    """Read the first `compute.importers.plain_tiff.WHOLE` bytes of a file, of a crop all.

    Raises
    ------
    CropRejected
        There is no such file, or it cannot be opened.
    """
    try:
        with open(path, "rb", buffering=0, opener=without_waiting) as handle:
            # Room for what is there alone: to allocate more takes longer than to read a crop.
            return handle.read(min(os.fstat(handle.fileno()).st_size + 1, WHOLE))
    except FileNotFoundError as error:
        raise CropRejected("no such file") from error
    except IsADirectoryError as error:
        raise CropRejected("a folder, not an image file") from error
    except (OSError, ValueError) as error:
        raise CropRejected("the file cannot be opened") from error


def read_planes(path: Path, project: str | None = None, start: bytes | None = None) -> Planes:
    """Read the image of one file with its channels first, and what is known of its planes.

    Parameters
    ----------
    path
        A TIFF (any compression that imagecodecs knows), PNG, JPEG, BMP or ``.npy``.
    project
        One of `PROJECTIONS`, for the planes of a Z stack; None, the default, refuses it.
    start
        What `read_start` has read of it; None, the default, where nothing was read.

    Raises
    ------
    CropRejected
        There is no such file, or it is no image, unreadable, cut off, far larger than a crop, of
        more than three dimensions, or of several images; or its planes are not channels.
    """
    if start is None:
        start = read_start(path)
    if len(start) < WHOLE and (plain := read_plain(start)) is not None:
        return Planes(plain[None])
    read = next((read for magic, read in _READERS.items() if start.startswith(magic)), None)
    if read is None:
        raise _no_image(start)
    try:
        image, axes, alpha, *rest = read(path)
    except CropRejected:
        raise
    # Decoders of a damaged file fail in every way there is: struct, index, value, codec errors.
    except Exception as error:
        detail = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else ""
        raise CropRejected("unreadable or cut-off image file", detail) from error
    if image.size == 0:
        raise CropRejected("an image without pixels")
    planes = channels_first(image, axes, project)
    lossy = start.startswith(b"\xff\xd8\xff")
    return Planes(planes.pixels, alpha, planes.named, planes.projected, lossy, any(rest))


def _no_image(start: bytes) -> CropRejected:
    """Return why a file that begins so is not read."""
    remedy = f"Give images as {FORMATS}."
    if not start:
        return CropRejected("an empty file", remedy="Check that it was copied to its end.")
    kind = next((kind for magic, kind in _OTHERS.items() if start.startswith(magic)), None)
    if kind is None:
        return CropRejected(
            f"no image: {FORMATS} expected", f"it begins with {start[:12]!r}", remedy
        )
    return CropRejected(f"{kind}; {FORMATS} expected", remedy=remedy)


def channels_first(image: NDArray[Any], axes: str, project: str | None) -> Planes:
    """Bring an image whose axes have one letter each, as tifffile's, to shape (C, H, W).

    Parameters
    ----------
    image
        As its file has it.
    axes
        A letter for each axis: X, Y, C or S for channels, Z, T; Q or I where nothing is known.
    project
        See `read_planes`.

    Raises
    ------
    CropRejected
        A Z stack that is not to be projected, a time series, or axes that are no image.
    """
    if image.ndim < 2:
        raise CropRejected(f"an image of {image.ndim} dimensions; 2 or 3 expected")
    for i in reversed(range(image.ndim)):
        if image.shape[i] == 1 and axes[i] not in "YX" and image.ndim > 2:
            image, axes = image.take(0, axis=i), axes[:i] + axes[i + 1 :]
    projected = False
    if "Z" in axes and "T" not in axes:
        if project is None:
            raise CropRejected(
                f"a Z stack (axes {axes})",
                f"{image.shape[axes.index('Z')]} planes",
                "Project its planes to one with --project max, or save the plane in focus. If they "
                "are channels, say so in the file (in Fiji: Image, Properties), or save a file per "
                "channel.",
            )
        image, axes = image.max(axis=axes.index("Z")), axes.replace("Z", "")
        projected = True
    if "T" in axes:
        raise CropRejected(
            f"a time series (axes {axes})",
            f"{image.shape[axes.index('T')]} points in time",
            "Save one point in time per file. If they are channels, say so in the file (in Fiji: "
            "Image, Properties), or save a file per channel.",
        )
    if image.ndim == 2:
        return Planes(image[None], projected=projected)
    if image.ndim != 3:
        raise CropRejected(
            f"an image of {image.ndim} dimensions; 2 or 3 expected",
            f"shape {'×'.join(map(str, image.shape))}, axes {axes}",
            "Save channels, rows and columns only.",
        )
    at = next((axes.index(letter) for letter in "CS" if letter in axes), None)
    if at is None and set(axes) - set("YXQI"):
        raise CropRejected(f"an image with axes {axes}; channels, rows and columns expected")
    return Planes(np.moveaxis(image, at or 0, 0), named=at is not None, projected=projected)


Read = tuple[NDArray[Any], str, bool] | tuple[NDArray[Any], str, bool, bool]
"""An image as its file has it, a letter per axis, whether the last sample is transparency, and of a
TIFF whether it has a palette."""


def _refuse_cycle(path: Path) -> None:
    """Refuse a TIFF one of whose pages is followed by an earlier one: its pages have no end."""
    with path.open("rb") as handle:
        start = handle.read(16)
        order = "<" if start[:2] == b"II" else ">"
        big = start[2:4] in (b"+\0", b"\0+")
        # How many tags a page has, the bytes of each, and the place of the next page.
        count, tag, place = ("Q", 20, "Q") if big else ("H", 12, "I")
        (following,) = struct.unpack_from(f"{order}{place}", start, 8 if big else 4)
        seen: set[int] = set()
        while following:
            if following in seen:
                raise CropRejected(
                    "a TIFF whose pages form a cycle",
                    f"page {len(seen)} is followed by an earlier one",
                    "It is damaged: copy it anew.",
                )
            seen.add(following)
            handle.seek(following)
            (tags,) = struct.unpack(f"{order}{count}", handle.read(struct.calcsize(count)))
            handle.seek(tags * tag, os.SEEK_CUR)
            (following,) = struct.unpack(f"{order}{place}", handle.read(struct.calcsize(place)))


def _read_tiff(path: Path) -> Read:
    _refuse_cycle(path)
    # Without OME: its metadata may name further files, which nobody has asked to read.
    with tifffile.TiffFile(path, is_ome=False) as file:
        series = [one for one in file.series if not one.keyframe.is_reduced]
        first = series[0] if series else file.series[0]
        if first.size > LARGEST:
            raise CropRejected(_TOO_LARGE, f"shape {'×'.join(map(str, first.shape))}")
        page = file.pages.first
        alpha = any(int(kind) in (1, 2) for kind in page.extrasamples)
        same = [one for one in series if one.shape[-2:] == first.shape[-2:]]
        if len(same) > 1:
            if any(one.ndim != 2 for one in same):
                raise CropRejected(
                    f"a file of {len(same)} images (series)",
                    ", ".join(f"{one.axes} {'×'.join(map(str, one.shape))}" for one in same[:4]),
                    "Save each as a file of its own.",
                )
            return np.stack([one.asarray() for one in same]), "QYX", False
        image, axes = np.asarray(first.asarray()), str(first.axes)
        palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
        return (*_ome(image, axes, str(page.description)), alpha, palette)


def _ome(image: NDArray[Any], axes: str, description: str) -> tuple[NDArray[Any], str]:
    """Name the axis of pages that the file's OME metadata describes."""
    tag = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", description) if "OME" in description else None
    if tag is None or axes[:1] not in ("I", "Q"):
        return image, axes
    said = dict(re.findall(r"(\w+)\s*=\s*\"([^\"]*)\"", tag[0]))
    order = said.get("DimensionOrder", "XYCZT")[:1:-1]
    sizes = {name: int(said.get(f"Size{name}", "1")) for name in "CZT"}
    if axes.endswith("S"):
        sizes["C"] //= image.shape[-1]
    if sorted(order) != ["C", "T", "Z"] or prod(sizes.values()) != image.shape[0]:
        return image, axes
    shape = [sizes[name] for name in order]
    return image.reshape(*shape, *image.shape[1:]), order + axes[1:]


def _read_png(path: Path) -> Read:
    encoded = path.read_bytes()
    width, height = (int.from_bytes(encoded[at : at + 4], "big") for at in (16, 20))
    _check_size(width * height)
    image = np.asarray(imagecodecs.png_decode(encoded))
    return image, _colours(image), image.ndim == 3 and image.shape[2] in (2, 4)


def _read_jpeg(path: Path) -> Read:
    encoded = path.read_bytes()
    _check_size(_jpeg_values(encoded))
    image = np.asarray(imagecodecs.jpeg_decode(encoded))
    return image, _colours(image), False


def _jpeg_values(encoded: bytes) -> int:
    """Return how many values a JPEG's frame header claims (ITU T.81, B.2.2); 0 without one."""
    at = 2
    while at + 10 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, samples = struct.unpack_from(">HHB", encoded, at + 5)
            return int(height * width * samples)
        at += 1 if marker == 0xFF else 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
    return 0


def _read_bmp(path: Path) -> Read:
    encoded = path.read_bytes()
    width, height = (
        abs(int.from_bytes(encoded[at : at + 4], "little", signed=True)) for at in (18, 22)
    )
    _check_size(width * height)
    bits = int.from_bytes(encoded[28:30], "little")
    image = np.asarray(imagecodecs.bmp_decode(encoded))
    if bits == 8 and image.ndim == 2:
        # The decoder gives numbers of colours; in a grey image they are the greys.
        start = 14 + int.from_bytes(encoded[14:18], "little")
        first = int.from_bytes(encoded[10:14], "little")
        table = np.frombuffer(encoded[start:first], np.uint8)
        colours = table[: len(table) // 4 * 4].reshape(-1, 4)[:, 2::-1]
        if len(colours) > int(image.max()):
            grey = bool((colours == colours[:, :1]).all())
            image = colours[image, 0] if grey else colours[image]
    return image, _colours(image), False


def _read_npy(path: Path) -> Read:
    try:
        image = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" not in str(error) and "Python objects" not in str(error):
            raise
        raise CropRejected(
            "a .npy file of Python objects, which are never unpickled",
            remedy="Save an array of numbers.",
        ) from error
    _check_size(image.size)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    return np.array(image), ("Q" * image.ndim + "YX")[-image.ndim :], False


def _colours(image: NDArray[Any]) -> str:
    return "YXS" if image.ndim == 3 else "YX"


def _check_size(values: int) -> None:
    if values > LARGEST:
        raise CropRejected(_TOO_LARGE)


_READERS: dict[bytes, Callable[[Path], Read]] = {
    b"II*\x00": _read_tiff,
    b"MM\x00*": _read_tiff,
    b"II+\x00": _read_tiff,
    b"MM\x00+": _read_tiff,
    b"\x89PNG\r\n\x1a\n": _read_png,
    b"\xff\xd8\xff": _read_jpeg,
    b"BM": _read_bmp,
    b"\x93NUMPY": _read_npy,
}
"""First bytes of a file → what reads it."""
