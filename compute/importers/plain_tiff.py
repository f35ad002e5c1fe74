"""Reads the plainest TIFFs quickly: one grey image, not compressed. From bytes, no files.

A crop is some kilobytes, and a library that reads every TIFF takes longer to find out what a file
might be than to read it. So a file whose tags are exactly those of a plain grey image is read here;
whatever says more (several pages, axes, colours, compression, a program's own tags) is left to
tifffile, as is whatever is damaged, so that reasons are tifffile's.
"""

import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WHOLE = 1 << 18
"""Bytes of a file, at most, of which all is read at once."""

_TYPES = {
    (8, 1): "u1",
    (16, 1): "u2",
    (32, 1): "u4",
    (8, 2): "i1",
    (16, 2): "i2",
    (32, 2): "i4",
    (32, 3): "f4",
    (64, 3): "f8",
}
"""Bits and sample format → NumPy's type; 16 bits of a float are left to tifffile."""

_FIXED = {
    254: (0,),  # an image, neither a thumbnail nor a page
    259: (1,),  # not compressed
    262: (1,),  # grey, black is 0
    266: (1,),
    277: (1,),  # one sample a pixel
    284: (1,),
    317: (1,),
}
"""Tags that must have one of these values where they are there."""

_IGNORED = {274, 280, 281, 282, 283, 296, 306, 340, 341}
"""Tags that change nothing: orientation (which tifffile does not apply either), least and largest
value, resolution, date."""

_WIDTH, _HEIGHT, _BITS, _DESCRIPTION, _OFFSETS, _COUNTS = 256, 257, 258, 270, 273, 279
_ROWS, _SOFTWARE, _FORMAT = 278, 305, 339

_SIZES = {1: ("B", 1), 2: ("s", 1), 3: ("H", 2), 4: ("I", 4)}
"""Type of a tag → its letter, and bytes."""

_IMAGEJ = re.compile(
    rb"ImageJ=[^\n]*\n((images=1|unit=[^\n]*|min=[^\n]*|max=[^\n]*|loop=false)\n)*"
)
"""What ImageJ says of a single image."""


@dataclass(frozen=True)
class _Layout:
    """All bytes of a file that are no pixels, and what they say: type and shape of the pixels."""

    head: bytes
    tail: bytes
    kind: str
    shape: tuple[int, int]


_SEEN_MOST = 16
_seen: dict[int, _Layout] = {}
"""Number of bytes → layout of a file that was read. The files of a source differ in their pixels
only, so most need not be looked through."""


def read_plain(encoded: bytes) -> NDArray[Any] | None:
    """Read a TIFF of one grey image without compression.

    Parameters
    ----------
    encoded
        The whole file.

    Returns
    -------
    ndarray or None
        Shape (H, W), in native byte order; None for any other file, and for a damaged one.
    """
    seen = _seen.get(len(encoded))
    if seen and encoded.startswith(seen.head) and encoded.endswith(seen.tail):
        count = seen.shape[0] * seen.shape[1]
        flat = np.frombuffer(encoded, seen.kind, count, len(seen.head))
        return flat.astype(flat.dtype.newbyteorder("=")).reshape(seen.shape)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(encoded[:4])
    if order is None:
        return None
    try:
        tags = _tags(encoded, order)
        return None if tags is None else _pixels(encoded, order, tags)
    except (struct.error, IndexError, TypeError, ValueError):
        return None


def _tags(encoded: bytes, order: str) -> dict[int, tuple[Any, ...]] | None:
    """Return the values of the tags that matter; None if there is one that is not known here."""
    (start,) = struct.unpack_from(f"{order}I", encoded, 4)
    (count,) = struct.unpack_from(f"{order}H", encoded, start)
    (following,) = struct.unpack_from(f"{order}I", encoded, start + 2 + 12 * count)
    if following:
        return None
    tags: dict[int, tuple[Any, ...]] = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", encoded, at)
        if tag in _IGNORED:
            continue
        if tag in tags or kind not in _SIZES or number > WHOLE:
            return None
        letter, size = _SIZES[kind]
        place = at + 8
        if size * number > 4:
            (place,) = struct.unpack_from(f"{order}I", encoded, place)
        values = struct.unpack_from(f"{order}{number}{letter}", encoded, place)
        if tag in _FIXED and values != _FIXED[tag]:
            return None
        tags[tag] = values
    known = {*_FIXED, _WIDTH, _HEIGHT, _BITS, _DESCRIPTION, _OFFSETS, _COUNTS}
    return tags if tags.keys() <= known | {_ROWS, _SOFTWARE, _FORMAT} else None


def _pixels(encoded: bytes, order: str, tags: dict[int, tuple[Any, ...]]) -> NDArray[Any] | None:
    needed = (_WIDTH, _HEIGHT, _BITS, _OFFSETS, _COUNTS, 262)
    if not all(tag in tags for tag in needed):
        return None
    (width,), (height,), bits = tags[_WIDTH], tags[_HEIGHT], tags[_BITS]
    kind = _TYPES.get((bits[0], tags.get(_FORMAT, (1,))[0])) if len(bits) == 1 else None
    if kind is None or min(width, height) < 2:
        return None
    described = tags.get(_DESCRIPTION, (b"",))[0].rstrip(b"\0")
    shaped = b'{"shape": [%d, %d]}' % (height, width)
    if described not in (b"", shaped) and not _IMAGEJ.fullmatch(described):
        return None
    # Some programs are known by their name, and their files are read in a way of their own.
    if tags.get(_SOFTWARE, (b"",))[0].rstrip(b"\0") not in (b"", b"tifffile.py"):
        return None
    offsets, counts = tags[_OFFSETS], tags[_COUNTS]
    row = width * np.dtype(kind).itemsize
    (rows,) = tags.get(_ROWS, (height,))
    rows = min(rows, height)
    if rows == 0 or len(offsets) != len(counts) or len(offsets) != -(-height // rows):
        return None
    parts = []
    for i, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        expected = row * min(rows, height - i * rows)
        if count != expected or offset + count > len(encoded) or offset < 8:
            return None
        parts.append(encoded[offset : offset + count])
    pixels = b"".join(parts)
    flat = np.frombuffer(pixels, f"{order}{kind}")
    end = offsets[0] + len(pixels)
    head, tail = encoded[: offsets[0]], encoded[end:]
    # Pixels lie together, and nothing that was said among them: with any others it is the same.
    others = (head + byte * len(pixels) + tail for byte in (b"\x00", b"\xff"))
    if encoded[offsets[0] : end] == pixels and all(_tags(one, order) == tags for one in others):
        if len(_seen) >= _SEEN_MOST:
            _seen.clear()
        _seen[len(encoded)] = _Layout(head, tail, f"{order}{kind}", (height, width))
    return flat.astype(kind).reshape(height, width)
